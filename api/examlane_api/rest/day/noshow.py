"""No-shows: withdrawn when they were none, paused with their check-in source, and what follows from too many."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import g
from marshmallow import Schema, ValidationError, fields, validate

from examlane import reporting
from examlane.appointments import changes, status
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import attendance, noshow, repeated
from examlane.arrival.repeated import Restriction
from examlane.domain import Text
from examlane.errors import InvalidInput, NotFound, Refused
from examlane.records import receipts
from examlane.records.receipts import RequestKey
from examlane.storage.fields import epoch
from examlane_api import replays
from examlane_api.access import may
from examlane_api.answers import words
from examlane_api.rest import schemas
from examlane_api.rest.api import (
    actor,
    allow_appointment,
    allow_department,
    answers,
    blueprint,
    hospital,
    operation,
    write,
)
from examlane_api.rest.fields import CleanText, Code, Instant, Several, YesNo
from examlane_api.rest.paging import Page, Paged, paged

blp = blueprint("no-shows", "No-shows and what follows from them")
UNKNOWN = Text("找不到该预约", "no such appointment")
OTHER_DEPARTMENT = Text("无权办理该科室的预约", "not allowed in this department")


class Withdrawal(Schema):
    """`here`: the patient stands at the desk and is checked in."""

    reason = CleanText(200, required=True)
    here = YesNo(load_default=False)


class PaperLine(Schema):
    """One line of a paper list: who came when, and when an exam started or finished."""

    appointment = Code(16, required=True)
    at = Instant(required=True)
    what = fields.String(load_default="arrived", validate=validate.OneOf(["arrived", "started", "finished", "not_done"]))
    reason = CleanText(200, minimum=0, load_default="")


class PaperList(Schema):
    """Each line: `appointment`, `at`, and `what`: arrived (default), started, finished or not_done, with a `reason`."""

    lines = Several(fields.Raw(), 1, 500, required=True)


class LineAnswer(Schema):
    line = fields.Integer()
    done = fields.Boolean()
    appointment = fields.String()
    state = fields.String()
    version = fields.Integer()
    code = fields.String()
    message = fields.Nested(schemas.Words)


class PaperAnswer(Schema):
    lines = fields.List(fields.Nested(LineAnswer))


class SourceState(Schema):
    """`since` when; now where it is left out."""

    state = fields.String(required=True, validate=validate.OneOf(["offline", "online"]))
    since = Instant(load_default=None, allow_none=True)
    reason = CleanText(200, minimum=0, load_default="")


class SourceAnswer(Schema):
    """`state`: online, silent, offline, or paper while paper check-ins are entered until `sweeps_from`."""

    department = fields.String()
    state = fields.String()
    since = fields.String(allow_none=True)
    reason = fields.String()
    sweeps_from = fields.String(allow_none=True)


class RestrictionQuery(Page):
    department = Code(32, load_default=None)
    order = Code(64, load_default=None)


class Appeal(Schema):
    reason = CleanText(200, required=True)


class Decision(Schema):
    decision = fields.String(required=True, validate=validate.OneOf(["upheld", "lifted"]))
    reason = CleanText(200, required=True)


class RestrictionAnswer(Schema):
    """The patient's name is masked; `appointments` are the visits that were missed."""

    id = fields.Integer()
    department = fields.String()
    patient = fields.String()
    state = fields.String()
    from_ = fields.String(attribute="from", data_key="from")
    until = fields.String()
    appointments = fields.List(fields.String())
    appeal = fields.String()
    appealed_at = fields.String(allow_none=True)
    decision = fields.String()
    decision_reason = fields.String()
    decided_at = fields.String(allow_none=True)
    decided_by = fields.String()


class RestrictionsAnswer(Paged):
    restrictions = fields.List(fields.Nested(RestrictionAnswer))


@blp.route("/appointments/<string:number>/no-show/withdrawal", methods=["POST"])
@blp.arguments(Withdrawal())
@blp.response(200, schemas.ItemsAnswer())
@operation("no_show.withdraw", writes=True)
def withdraw(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """A no-show was recorded wrongly: the time back, checked in if he is here, or booked anew; the visit's items."""
    allow_appointment("no_show.withdraw", number)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().items(noshow.withdraw(hospital(), number, actor(), key, **body))

    return write("no_show.withdraw", body, act)


@blp.route("/check-ins", methods=["POST"])
@blp.arguments(PaperList())
@blp.response(200, PaperAnswer())
@operation("check_in.batch", writes=True)
def enter_paper(body: dict[str, Any]) -> Mapping[str, Any]:
    """Check-ins from paper with their real times: each line is answered on its own, a bad one stops no other."""

    def enter(key: RequestKey) -> Mapping[str, Any]:
        return {"lines": [_entered(key, line, content) for line, content in enumerate(body["lines"])]}

    def act(key: RequestKey) -> Mapping[str, Any]:
        answer, here = enter(key), hospital()
        here.database.write(lambda: receipts.keep(here.database, key, "check_ins", key.key[:80], epoch(here.clock.now())))
        return answer

    return write("check_in.batch", body, act, enter)


def _entered(key: RequestKey, line: int, content: Any) -> dict[str, Any]:
    number = str(content.get("appointment", ""))[:16] if isinstance(content, Mapping) else ""
    told = {"line": line, "appointment": number}
    try:
        entry = PaperLine().load(content)
        if not may(g.caller, "appointment.check_in", status.appointment(hospital(), number).department):
            return {**told, "done": False, "code": "forbidden", "message": words(OTHER_DEPARTMENT)}
        own = hashlib.sha256(f"{key.key}#{line}".encode()).hexdigest()
        again = partial(replays.answer, hospital(), answers(), actor())
        made, _ = reporting.once(
            hospital(), receipts.request_key(key.client, own, "check_in.line", content),
            lambda each: answers().appointment(_enter(entry, each)), again,
        )  # fmt: skip
    except ValidationError as error:
        return {**told, "done": False, "code": "invalid_input", "message": words(Text("内容有误", str(error.messages)))}
    except NotFound:
        return {**told, "done": False, "code": "not_found", "message": words(UNKNOWN)}
    except InvalidInput as error:
        return {**told, "done": False, "code": "invalid_input", "message": words(error.problems[0][1])}
    except Refused as refusal:
        return {**told, "done": False, "code": refusal.code, "message": words(refusal.text)}
    return {**told, "done": True, "state": made["state"], "version": made["version"]}


def _enter(entry: Mapping[str, Any], key: RequestKey) -> AppointmentStatus:
    number, at = entry["appointment"], entry["at"]
    if entry["what"] == "arrived":
        return noshow.arrive(hospital(), number, actor(), key, at=at)
    return changes.execution(hospital(), number, entry["what"], actor(), key, reason=entry["reason"], at=at)


@blp.route("/departments/<string:code>/check-in-source", methods=["GET"])
@blp.response(200, SourceAnswer())
@operation("department.read")
def read_source(code: str) -> Mapping[str, Any]:
    """Whether a department hears of those who arrive; while it does not, nobody becomes a no-show there."""
    return answers().source(attendance.source(hospital(), code))


@blp.route("/departments/<string:code>/check-in-source", methods=["POST"])
@blp.arguments(SourceState())
@blp.response(200, SourceAnswer())
@operation("check_in_source.declare", writes=True)
def declare_source(body: dict[str, Any], code: str) -> Mapping[str, Any]:
    """Say that a department's check-in source is offline, or online again."""
    allow_department("check_in_source.declare", code)

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().source(attendance.declare(hospital(), code, actor=actor(), key=key, **body))

    return write("check_in_source.declare", body, act)


@blp.route("/restrictions", methods=["GET"])
@blp.arguments(RestrictionQuery(), location="query")
@blp.response(200, RestrictionsAnswer())
@operation("restriction.read")
def list_restrictions(query: dict[str, Any]) -> Mapping[str, Any]:
    """The restrictions that count now, of a `department` or of the patient of an `order`; newest first."""
    patient = None
    if query["order"]:
        patient = hospital().database.value("SELECT patient_id FROM exam_order WHERE number = ?", query["order"])
        if patient is None:
            raise NotFound("order", query["order"])

    def read(after: int, limit: int) -> list[Restriction]:
        return repeated.restrictions(
            hospital(), department=query["department"] or "", patient=patient, before=after, limit=limit
        )

    return paged("restrictions", query, read, answers().restriction)


@blp.route("/restrictions/<string:key>/appeal", methods=["POST"])
@blp.arguments(Appeal())
@blp.response(200, RestrictionAnswer())
@operation("restriction.appeal", writes=True)
def appeal(body: dict[str, Any], key: str) -> Mapping[str, Any]:
    """The patient objects to a restriction; the desk has a task to decide."""
    found = _restriction("restriction.appeal", key)

    def act(request: RequestKey) -> Mapping[str, Any]:
        return answers().restriction(repeated.appeal(hospital(), found, actor(), request, **body))

    return write("restriction.appeal", body, act)


@blp.route("/restrictions/<string:key>/decision", methods=["POST"])
@blp.arguments(Decision())
@blp.response(200, RestrictionAnswer())
@operation("restriction.decide", writes=True)
def decide(body: dict[str, Any], key: str) -> Mapping[str, Any]:
    """Uphold a restriction, or lift it: the patient's exams are planned again."""
    found = _restriction("restriction.decide", key)

    def act(request: RequestKey) -> Mapping[str, Any]:
        return answers().restriction(repeated.decide(hospital(), found, actor=actor(), request=request, **body))

    return write("restriction.decide", body, act)


def _restriction(name: str, key: str) -> int:
    """The restriction that an address names, if the caller may in its department."""
    if not re.fullmatch(r"\d{1,15}", key, re.ASCII):
        raise NotFound("restriction", key)
    allow_department(name, repeated.restriction(hospital(), int(key)).department)
    return int(key)
