"""Figures over REST: booked by itself, waiting, no-shows, use of capacity; by department and period."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import abort
from marshmallow import Schema, fields, validate

from examlane.domain import Text
from examlane.insight import statistics
from examlane_api import problems
from examlane_api.rest.api import blueprint, departments_of, hospital, operation
from examlane_api.rest.fields import Code, Day

blp = blueprint("statistics", "Figures by department and period")
READ = "statistics.read"
MOST_DAYS = 366
TOO_LONG = Text("日期范围须为 1 至 366 天", "a range of 1 to 366 days")


class FiguresQuery(Schema):
    """Business dates on which exams are held."""

    from_day = Day(required=True, data_key="from")
    until_day = Day(required=True, data_key="until")
    department = Code(32, load_default=None)
    by = fields.String(validate=validate.OneOf(list(statistics.PERIODS)), load_default="all")


class ShareAnswer(Schema):
    """`count` of `of`; `rate` null: of none."""

    count = fields.Integer()
    of = fields.Integer()
    rate = fields.Float(allow_none=True)


class SpreadAnswer(Schema):
    count = fields.Integer()
    mean = fields.Float(allow_none=True)
    median = fields.Integer(allow_none=True)
    p90 = fields.Integer(allow_none=True)


class FiguresAnswer(Schema):
    """Empty `department`: all of them together.

    `automatic`: booked without a person's choice. `no_show`: of those not come or examined. `on_time`: begun within
    the period the patient was told. `utilisation`: minutes of seats taken of those offered. `lead_hours`: from order
    to exam. `wait_minutes`: from the later of arrival and appointed time to the start.
    """

    department = fields.String()
    period = fields.String()
    appointments = fields.Integer()
    automatic = fields.Nested(ShareAnswer)
    no_show = fields.Nested(ShareAnswer)
    cancelled = fields.Nested(ShareAnswer)
    moved_by_patient = fields.Nested(ShareAnswer)
    on_time = fields.Nested(ShareAnswer)
    utilisation = fields.Nested(ShareAnswer)
    lead_hours = fields.Nested(SpreadAnswer)
    wait_minutes = fields.Nested(SpreadAnswer)


class StatisticsAnswer(Schema):
    figures = fields.List(fields.Nested(FiguresAnswer))


@blp.route("/statistics", methods=["GET"])
@blp.arguments(FiguresQuery(), location="query")
@blp.response(200, StatisticsAnswer())
@operation(READ)
def read_statistics(query: dict[str, Any]) -> Mapping[str, Any]:
    """The figures of the caller's departments, in all or by day or month."""
    since, until = query["from_day"], query["until_day"]
    if not 0 <= (until - since).days < MOST_DAYS:
        abort(problems.problem(422, "invalid_input", errors=[problems.part("/until", TOO_LONG)]))
    found = statistics.figures(
        hospital().database, since.isoformat(), until.isoformat(),
        departments=departments_of(READ, query["department"]), by=query["by"],
    )  # fmt: skip
    return {"figures": found}
