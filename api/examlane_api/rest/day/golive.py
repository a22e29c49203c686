"""Going live: what an external system reports, lists taken in, the check before a switch, differences, the way back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields, validate

from examlane.domain import Sex
from examlane.errors import NotFound
from examlane.golive import differences, exports, imports, received, switching
from examlane.golive import lines as reading
from examlane.golive.imports import Options
from examlane.golive.received import STATES, Report
from examlane.orders.patients import Identifier, PatientData
from examlane.reasons import text
from examlane.records.receipts import RequestKey
from examlane_api.answers import words
from examlane_api.rest import schemas
from examlane_api.rest.api import actor, answers, blueprint, hospital, operation, write
from examlane_api.rest.fields import CleanText, Code, Day, Instant, Several, Whole, YesNo

blp = blueprint("golive", "Going live one department at a time")
LINES = 2000
NUMBER = re.compile(r"\d{1,15}", re.ASCII)
NAMES = ("resource", "group", "encounter", "appointment", "department")


class ExternalPatient(Schema):
    identifiers = Several(fields.Nested(schemas.Identifier()), 1, 20, required=True)
    name = CleanText(64, minimum=0, load_default="")
    sex = fields.Enum(Sex, by_value=True, load_default=Sex.UNKNOWN)
    birth_date = Day(load_default=None, allow_none=True)


class ExternalAppointment(Schema):
    """What is left out stays as it was told before. `orders` are keys of our order items, `items` codes."""

    system = Code(16, required=True)
    number = Code(40, required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    patient = fields.Nested(ExternalPatient(), required=True)
    sent_at = Instant(required=True)
    sequence = Whole(0, 2_000_000_000, load_default=None, allow_none=True)
    starts_at = Instant(load_default=None, allow_none=True)
    ends_at = Instant(load_default=None, allow_none=True)
    items = Several(Code(), 0, 50, load_default=())
    orders = Several(Code(80), 0, 50, load_default=())
    resource = Code(load_default=None, allow_none=True)
    group = Code(load_default=None, allow_none=True)
    encounter = Code(load_default=None, allow_none=True)
    appointment = Code(16, load_default=None, allow_none=True)


class ExternalFlag(Schema):
    code = fields.String()
    text = fields.Dict()


class ExternalAnswer(Schema):
    """`result`: created, changed, executed, not_done, cancelled, history, stored, unchanged or outdated."""

    system = fields.String()
    number = fields.String()
    result = fields.String()
    appointment = fields.String()
    problems = fields.List(fields.Nested(ExternalFlag()))


class ExternalImport(Schema):
    """A list of appointments or of exams done elsewhere; each line is understood on its own."""

    kind = fields.String(required=True, validate=validate.OneOf(imports.KINDS))
    system = Code(16, required=True)
    lines = Several(fields.Raw(allow_none=True), 0, LINES, required=True)
    as_of = Instant(load_default=None, allow_none=True)
    department = Code(32, load_default=None, allow_none=True)
    complete = YesNo(load_default=False)
    dry_run = YesNo(load_default=False)
    extra_seats = YesNo(load_default=False)


class ImportLine(Schema):
    line = fields.Integer()
    number = fields.String()
    code = fields.String()
    field = fields.String()
    text = fields.Dict()


class ImportAnswer(Schema):
    id = fields.Integer(allow_none=True)
    kind = fields.String()
    finished = fields.Boolean()
    read = fields.Integer()
    taken = fields.Integer()
    already = fields.Integer()
    changed = fields.Integer()
    refused = fields.List(fields.Nested(ImportLine()))


class TransferAnswer(ImportAnswer):
    system = fields.String()
    department = fields.String()
    complete = fields.Boolean()
    started_at = fields.String()
    finished_at = fields.String(allow_none=True)
    appointments = fields.List(fields.Dict())


class CutoverObstacle(Schema):
    code = fields.String()
    subject = fields.String()
    text = fields.Dict()


class CutoverAnswer(Schema):
    department = fields.String()
    ready = fields.Boolean()
    obstacles = fields.List(fields.Nested(CutoverObstacle()))


class ExternalDifference(Schema):
    code = fields.String()
    text = fields.Dict()
    system = fields.String()
    number = fields.String()
    appointment = fields.String()
    there = fields.String(allow_none=True)
    here = fields.String(allow_none=True)


class ExternalDifferences(Schema):
    department = fields.String()
    differences = fields.List(fields.Nested(ExternalDifference()))


class DepartmentExport(Schema):
    department = fields.String()
    appointments = fields.List(fields.Dict())


@blp.route("/external/appointments", methods=["POST"])
@blp.arguments(ExternalAppointment())
@blp.response(200, ExternalAnswer())
@operation("external.report", writes=True)
def report(body: dict[str, Any]) -> Mapping[str, Any]:
    """An appointment that another system made, changed, cancelled or has done: a fact, applied in its sender's order."""
    person = body["patient"]
    identifiers = tuple(Identifier(**each) for each in person["identifiers"])
    data = Report(
        **{
            **_named(body), "patient": PatientData(**{**person, "identifiers": identifiers}), "items": tuple(body["items"]),
            "orders": tuple(body["orders"]),
        }
    )  # fmt: skip

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().received(data.system, data.number, received.receive(hospital(), data, actor(), key))

    return write("external.report", body, act)


@blp.route("/external/imports", methods=["POST"])
@blp.arguments(ExternalImport())
@blp.response(200, ImportAnswer())
@operation("external.import", writes=True)
def take_in(body: dict[str, Any]) -> Mapping[str, Any]:
    """Take in a list, or try it (`dry_run`): read, taken, already there, changed, and why a line could not be taken."""
    here, rest = hospital(), {name: value for name, value in _named(body).items() if name not in ("kind", "lines")}
    options = Options(**{**rest, "as_of": body["as_of"] or here.clock.now()})
    lines = reading.from_objects(body["lines"])

    def act(key: RequestKey | None) -> Mapping[str, Any]:
        return answers().transfer(asdict(imports.run(here, body["kind"], lines, options, actor(), key)))

    return act(None) if options.dry_run else write("external.import", body, act)


@blp.route("/transfers/<string:transfer>", methods=["GET"])
@blp.response(200, TransferAnswer())
@operation("external.import")
def read_transfer(transfer: str) -> Mapping[str, Any]:
    """A list as it was taken in, or the export that was kept when a department went back."""
    if not NUMBER.fullmatch(transfer):
        raise NotFound("transfer", transfer)
    return answers().transfer(imports.of(hospital(), int(transfer)))


@blp.route("/departments/<string:code>/cutover", methods=["GET"])
@blp.response(200, CutoverAnswer())
@operation("department.cutover")
def cutover(code: str) -> Mapping[str, Any]:
    """What would be wrong if this department booked automatically from now on."""
    found = switching.cutover(hospital(), code)
    obstacles = [{"code": one.code, "subject": one.subject, "text": words(text(one.code))} for one in found]
    return {"department": code, "ready": not obstacles, "obstacles": obstacles}


@blp.route("/departments/<string:code>/differences", methods=["GET"])
@blp.response(200, ExternalDifferences())
@operation("department.differences")
def compare(code: str) -> Mapping[str, Any]:
    """What the external system reported beside what we hold, of all that is not over."""
    found = [
        {
            **asdict(one), "text": words(text(one.code)), "there": answers().time(one.there),
            "here": answers().time(one.here),
        }
        for one in differences.of(hospital(), code)
    ]  # fmt: skip
    return {"department": code, "differences": found}


@blp.route("/departments/<string:code>/export", methods=["GET"])
@blp.response(200, DepartmentExport())
@operation("department.export")
def export(code: str) -> Any:
    """Every future appointment of a department; as CSV when the request accepts `text/csv`."""
    rows = exports.future(hospital(), code)
    if request.accept_mimetypes.best_match(("application/json", "text/csv")) == "text/csv":
        return Response(exports.as_csv(rows), mimetype="text/csv")
    return {"department": code, "appointments": rows}


def _named(body: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose names that were left out are empty, as the core takes them."""
    return {name: "" if value is None and name in NAMES else value for name, value in body.items()}
