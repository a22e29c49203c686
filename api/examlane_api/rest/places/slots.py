"""Slots and rosters over REST: what there is, what of it is free, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import abort
from marshmallow import Schema, fields

from examlane.domain import Text
from examlane.reading import capacity
from examlane.reading.capacity import SlotRow
from examlane.storage.fields import epoch
from examlane_api import problems
from examlane_api.rest.api import answers, blueprint, departments_of, hospital, operation
from examlane_api.rest.fields import Code, Day, Flag
from examlane_api.rest.paging import CodePage, Page, Paged, paged

blp = blueprint("slots", "Slots, free places and rosters")
READ = "slot.read"
MOST_DAYS = 62
TOO_LONG = Text("日期范围须为 1 至 62 天", "a range of 1 to 62 days")


class SlotQuery(Page):
    """`free`: only those with a seat left."""

    day = Day(required=True)
    department = Code(32, load_default=None)
    group = Code(64, load_default=None)
    resource = Code(64, load_default=None)
    audience = Code(16, load_default=None)
    free = Flag(load_default=False)


class CountQuery(CodePage):
    from_day = Day(required=True, data_key="from")
    until_day = Day(required=True, data_key="until")
    department = Code(32, load_default=None)
    group = Code(64, load_default=None)
    audience = Code(16, load_default=None)


class RosterQuery(Page):
    department = Code(32, load_default=None)
    group = Code(64, load_default=None)
    resource = Code(64, load_default=None)


class ChangeQuery(RosterQuery):
    from_day = Day(load_default=None, data_key="from")
    until_day = Day(load_default=None, data_key="until")


class SlotAnswer(Schema):
    """`withheld` seats came free and are being offered to the waiting list."""

    resource = fields.String()
    group = fields.String()
    audience = fields.String()
    day = fields.String()
    starts_at = fields.String()
    ends_at = fields.String()
    capacity = fields.Integer()
    extra = fields.Integer()
    taken = fields.Integer()
    withheld = fields.Integer()
    free = fields.Integer()
    closed = fields.Boolean()


class SlotsAnswer(Paged):
    slots = fields.List(fields.Nested(SlotAnswer))


class CountAnswer(Schema):
    group = fields.String()
    department = fields.String()
    day = fields.String()
    audience = fields.String()
    seats = fields.Integer()
    taken = fields.Integer()
    free = fields.Integer()
    first_free = fields.String(allow_none=True)


class CountsAnswer(Paged):
    counts = fields.List(fields.Nested(CountAnswer))


class RosterAnswer(Schema):
    """Minutes are after midnight of the `weekday` (1: Monday); beyond 1440: a shift over midnight."""

    resource = fields.String()
    group = fields.String()
    weekday = fields.Integer()
    starts_minute = fields.Integer()
    ends_minute = fields.Integer()
    capacity = fields.Integer()
    audience = fields.String()
    cycle_weeks = fields.Integer()
    week = fields.Integer()
    valid_from = fields.String(allow_none=True)
    valid_to = fields.String(allow_none=True)


class RostersAnswer(Paged):
    rosters = fields.List(fields.Nested(RosterAnswer))


class RosterChange(Schema):
    resource = fields.String()
    group = fields.String()
    day = fields.String()
    kind = fields.String()
    starts_minute = fields.Integer(allow_none=True)
    ends_minute = fields.Integer(allow_none=True)
    capacity = fields.Integer(allow_none=True)
    audience = fields.String()
    other = fields.String(allow_none=True)
    reason = fields.String()
    actor = fields.String()
    created_at = fields.String()


class RosterChanges(Paged):
    changes = fields.List(fields.Nested(RosterChange))


@blp.route("/slots", methods=["GET"])
@blp.arguments(SlotQuery(), location="query")
@blp.response(200, SlotsAnswer())
@operation(READ)
def list_slots(query: dict[str, Any]) -> Mapping[str, Any]:
    """The slots of a day with their seats."""
    now = hospital().clock.now()

    def read(**page: Any) -> list[SlotRow]:
        return capacity.slots(
            hospital().database, day=query["day"].isoformat(), free=query["free"], audience=query["audience"],
            **_where(query), **page,
        )  # fmt: skip

    return paged("slots", query, read, lambda slot: {**answers().row(slot), "free": slot.free(now)})


@blp.route("/slots/counts", methods=["GET"])
@blp.arguments(CountQuery(), location="query")
@blp.response(200, CountsAnswer())
@operation(READ)
def count_slots(query: dict[str, Any]) -> Mapping[str, Any]:
    """The seats of each day, group and audience, how many are free, and the first start that is."""
    since, until = query["from_day"], query["until_day"]
    if not 0 <= (until - since).days < MOST_DAYS:
        abort(problems.problem(422, "invalid_input", errors=[problems.part("/until", TOO_LONG)]))

    def read(**page: Any) -> list[capacity.DayCount]:
        return capacity.counts(
            hospital().database, epoch(hospital().clock.now()), departments=departments_of(READ, query["department"]),
            group=query["group"], audience=query["audience"], since=since.isoformat(), until=until.isoformat(), **page,
        )  # fmt: skip

    return paged("counts", query, read, answers().row, by="key")


@blp.route("/rosters", methods=["GET"])
@blp.arguments(RosterQuery(), location="query")
@blp.response(200, RostersAnswer())
@operation(READ)
def list_rosters(query: dict[str, Any]) -> Mapping[str, Any]:
    """Weekly rosters."""
    return paged(
        "rosters", query, lambda **page: capacity.rosters(hospital().database, **_where(query), **page), answers().row
    )


@blp.route("/rosters/changes", methods=["GET"])
@blp.arguments(ChangeQuery(), location="query")
@blp.response(200, RosterChanges())
@operation(READ)
def list_changes(query: dict[str, Any]) -> Mapping[str, Any]:
    """Dated changes of rosters: stop, swap, replace, add; with who made them and why."""
    days: dict[str, Any] = {"since": str(query["from_day"] or ""), "until": str(query["until_day"] or "")}
    return paged(
        "changes", query, lambda **page: capacity.roster_changes(hospital().database, **_where(query), **days, **page),
        answers().row,
    )  # fmt: skip


def _where(query: Mapping[str, Any]) -> dict[str, Any]:
    """The places that are asked for, of those the caller may see."""
    departments = departments_of(READ, query["department"])
    return {"departments": departments, "group": query["group"], "resource": query["resource"]}
