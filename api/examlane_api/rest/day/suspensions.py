"""Suspensions over REST: shown before, applied, read with the outcome of each visit, ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import abort, g
from marshmallow import Schema, fields, validate

from examlane.records.receipts import RequestKey
from examlane.replanning import closing, reading, suspensions
from examlane.replanning.closing import KINDS, OF_THE_CALENDAR, Asked, Planned
from examlane.replanning.reading import SuspensionStatus
from examlane_api.access import may
from examlane_api.rest.api import (
    actor,
    allow_department,
    answers,
    blueprint,
    departments_of,
    hospital,
    operation,
    write,
)
from examlane_api.rest.fields import CleanText, Code, Count, Day, Instant, Several, Whole, YesNo
from examlane_api.rest.paging import Page, Paged, paged

blp = blueprint("suspensions", "Suspensions of devices, staff, rosters and days")
CLOCK = validate.Regexp(r"([01]\d|2[0-3]):[0-5]\d\Z|24:00\Z", error="Not a time of day such as 08:30.")
APPLY, HOLIDAY, READ = "suspension.apply", "suspension.holiday", "suspension.read"


class SuspensionRequest(Schema):
    """What falls away. Which members belong to a kind: docs/integration.md."""

    kind = fields.String(required=True, validate=validate.OneOf(list(KINDS)))
    reason = CleanText(200, required=True)
    resource = Code(load_default=None, allow_none=True)
    group = Code(load_default=None, allow_none=True)
    since = Instant(data_key="from", load_default=None)
    until = Instant(load_default=None)
    day = Day(load_default=None)
    opens = fields.String(validate=CLOCK, load_default=None)
    closes = fields.String(validate=CLOCK, load_default=None)
    other = Code(load_default=None, allow_none=True)
    weekday = Whole(1, 7, load_default=None)
    departments = Several(Code(), 1, 100, load_default=None)


class SuspensionEnd(Schema):
    """`move_back`: also those who were moved and whom nobody has touched since."""

    move_back = YesNo(load_default=False)


class SuspensionQuery(Page):
    department = Code(load_default=None, allow_none=True)
    state = fields.String(validate=validate.OneOf(["applying", "applied", "ending", "ended"]), load_default=None)


class OutcomeQuery(Page):
    limit = Count(1, 500, load_default=200)


class Word(Schema):
    zh = fields.String()
    en = fields.String()


class Spot(Schema):
    starts_at = fields.String()
    group = fields.String()


class OutcomeAnswer(Schema):
    """What becomes of a visit; the patient is masked. `outcome` null: there was no time to look at it yet."""

    appointment = fields.String()
    patient = fields.String()
    state = fields.String()
    rank = fields.String()
    outcome = fields.String(allow_none=True)
    old = fields.Nested(Spot)
    new = fields.Nested(Spot, allow_none=True)
    code = fields.String()
    reason = fields.Nested(Word, allow_none=True)
    flags = fields.List(fields.String())
    undone = fields.String()


class PreviewAnswer(Schema):
    seats_lost = fields.Integer()
    outcomes = fields.Dict()
    complete = fields.Boolean()
    visits = fields.List(fields.Nested(OutcomeAnswer))


class SuspensionSummary(Schema):
    """`outcomes` counts the visits by what became of them, `undone` by what its end did with them."""

    number = fields.String()
    kind = fields.String()
    name = fields.Nested(Word)
    state = fields.String()
    department = fields.String()
    resources = fields.List(fields.String())
    starts_at = fields.String(data_key="from")
    ends_at = fields.String(data_key="until")
    request = fields.Dict()
    reason = fields.String()
    seats_lost = fields.Integer()
    affected = fields.Integer()
    done = fields.Integer()
    outcomes = fields.Dict()
    undone = fields.Dict()
    created_by = fields.String()
    created_at = fields.String()
    applied_at = fields.String(allow_none=True)
    ended_by = fields.String()
    ended_at = fields.String(allow_none=True)


class SuspensionAnswer(SuspensionSummary, Paged):
    """With the visits, where they were asked for."""

    visits = fields.List(fields.Nested(OutcomeAnswer))


class SuspensionsAnswer(Paged):
    suspensions = fields.List(fields.Nested(SuspensionSummary))


class DeclaredAnswer(Schema):
    """A day that was declared a holiday (`weekday` null), or a workday with the weekday that applies."""

    day = fields.String()
    department = fields.String()
    weekday = fields.Integer(allow_none=True)
    suspension = fields.String()
    reason = fields.String()


class CalendarAnswer(Schema):
    days = fields.List(fields.Nested(DeclaredAnswer))


@blp.route("/suspensions/preview", methods=["POST"])
@blp.arguments(SuspensionRequest())
@blp.response(200, PreviewAnswer())
@operation(APPLY)
def preview(body: dict[str, Any]) -> Mapping[str, Any]:
    """Which visits a suspension would concern and where each would go, in the order they are served. Writes nothing."""
    return answers().suspension_preview(suspensions.preview(hospital(), _planned(body)))


@blp.route("/suspensions", methods=["POST"])
@blp.arguments(SuspensionRequest())
@blp.response(200, SuspensionAnswer())
@operation(APPLY, writes=True)
def apply(body: dict[str, Any]) -> Mapping[str, Any]:
    """Close what falls away and give each visit another place, or to the desk. A large one is answered as `applying`."""
    planned = _planned(body)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().suspension(suspensions.apply(hospital(), planned, actor(), key))

    return write(APPLY, body, act)


@blp.route("/suspensions/<string:number>/end", methods=["POST"])
@blp.arguments(SuspensionEnd())
@blp.response(200, SuspensionAnswer())
@operation(APPLY, writes=True)
def end(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The device is back, the holiday is taken back. One that has ended stays as it is."""
    found = reading.get(hospital(), number)
    _allow(found.kind, found.department)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().suspension(suspensions.end(hospital(), number, actor(), key, **body))

    return write(APPLY, body, act)


@blp.route("/suspensions", methods=["GET"])
@blp.arguments(SuspensionQuery(), location="query")
@blp.response(200, SuspensionsAnswer())
@operation(READ)
def list_suspensions(query: dict[str, Any]) -> Mapping[str, Any]:
    """Suspensions of the caller's departments, newest first, page by page."""
    departments = departments_of(READ, query["department"])

    def read(after: int, limit: int) -> list[SuspensionStatus]:
        return reading.suspensions(
            hospital(), departments=departments, state=query["state"] or "", before=after, limit=limit
        )

    return paged("suspensions", query, read, answers().suspension)


@blp.route("/suspensions/calendar", methods=["GET"])
@blp.response(200, CalendarAnswer())
@operation(HOLIDAY)
def read_calendar() -> Mapping[str, Any]:
    """The holidays and workdays that were declared and hold, from today on."""
    today = hospital().calendar.day_of(hospital().clock.now())
    return {"days": [_declared(one) for one in reading.calendar(hospital(), today.isoformat())]}


@blp.route("/suspensions/<number:number>", methods=["GET"])
@blp.arguments(OutcomeQuery(), location="query")
@blp.response(200, SuspensionAnswer())
@operation(READ)
def read_suspension(query: dict[str, Any], number: str) -> Mapping[str, Any]:
    """One suspension with what became of each visit, in the order they were served."""
    found = reading.get(hospital(), number)
    allow_department(READ, found.department)
    visits = paged(
        "visits", query, lambda **page: reading.visits(hospital(), found.id, **page), answers().suspension_visit,
        by="position",
    )  # fmt: skip
    return {**answers().suspension(found), **visits}


def asked(body: Mapping[str, Any]) -> Asked:
    """A suspension's message as the core takes it."""
    texts = {name: body[name] or "" for name in ("resource", "group", "other")}
    times = {name: _minute(body[name]) for name in ("opens", "closes")}
    return Asked(**{**body, **texts, **times, "departments": tuple(body["departments"] or ())})


def _planned(body: Mapping[str, Any]) -> Planned:
    """What is asked for, if it makes sense and the caller may ask it."""
    planned = closing.plan(hospital(), asked(body))
    _allow(planned.asked.kind, planned.department)
    return planned


def _allow(kind: str, department: str) -> None:
    """A day of the calendar is the administrators'; everything else belongs to its department."""
    if kind in OF_THE_CALENDAR and not may(g.caller, HOLIDAY):
        abort(403)
    allow_department(APPLY, department)


def _minute(time: str | None) -> int | None:
    return None if time is None else int(time[:2]) * 60 + int(time[3:])


def _declared(one: reading.DeclaredDay) -> dict[str, Any]:
    return {
        "day": one.day, "department": one.department, "weekday": one.weekday, "suspension": one.suspension,
        "reason": one.reason,
    }  # fmt: skip
