"""Messages to patients over REST: what the gateway reports, the call list, and what calls led to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from examlane.records.receipts import RequestKey
from examlane.reminders import call_list
from examlane_api import waiting
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
from examlane_api.rest.day.waiting import DepartmentPage
from examlane_api.rest.fields import CleanText, Instant, internal
from examlane_api.rest.paging import Paged, paged
from examlane_api.rest.schemas import Words

blp = blueprint("reminders", "Messages to patients and the call list")
CALLS = "call_list"


class Delivery(Schema):
    """What became of a message."""

    state = fields.String(required=True, validate=validate.OneOf(("delivered", "failed", "no_phone")))
    reason = CleanText(200, minimum=0, load_default="")


class DeliveryAnswer(Schema):
    message = fields.String()
    state = fields.String()


class Result(Schema):
    """What a call led to; `next_try_at` where the patient said when, or the department's minutes count."""

    result = fields.String(required=True, validate=validate.OneOf(call_list.RESULTS))
    next_try_at = Instant(load_default=None, allow_none=True)


class CallAnswer(Schema):
    id = fields.Integer()
    department = fields.String()
    patient = fields.String()
    phone = fields.String()
    appointment = fields.String()
    state = fields.String()
    period_starts_at = fields.String()
    reason = fields.String()
    kind = fields.String()
    text = fields.Nested(Words)
    opened_at = fields.String()
    next_try_at = fields.String()
    misses = fields.Integer()
    result = fields.String()
    closed = fields.Boolean()


class CallsAnswer(Paged):
    calls = fields.List(fields.Nested(CallAnswer))


@blp.route("/messages/<string:message>/delivery", methods=["POST"])
@blp.arguments(Delivery())
@blp.response(200, DeliveryAnswer())
@operation("message.delivery", writes=True)
def report_delivery(body: dict[str, Any], message: str) -> Mapping[str, Any]:
    """The gateway says what became of a message; who was not reached is put on the call list."""

    def act(key: RequestKey) -> Mapping[str, Any]:
        call_list.report(hospital(), message, body["state"], actor(), key, reason=body["reason"])
        return waiting.of_subject(hospital(), answers(), "message", message)

    return write("message.delivery", body, act)


@blp.route("/call-list", methods=["GET"])
@blp.arguments(DepartmentPage(), location="query")
@blp.response(200, CallsAnswer())
@operation(CALLS)
def list_calls(query: dict[str, Any]) -> Mapping[str, Any]:
    """Who is to be called now, page by page; names and numbers are masked."""
    departments, now = departments_of(CALLS, query["department"]), hospital().clock.now()
    return paged(
        "calls", query, lambda **page: call_list.calls(hospital().database, departments, now, **page),
        lambda one: waiting.call(answers(), one),
    )  # fmt: skip


@blp.route("/call-list/<string:call>", methods=["GET"])
@blp.response(200, CallAnswer())
@operation(CALLS)
def read_call(call: str) -> Mapping[str, Any]:
    """One entry with the whole name and number, for who makes the call; that he looked is kept."""
    allow_department(CALLS, call_list.call_of(hospital().database, internal(call)).department)
    return waiting.call(answers(), call_list.shown(hospital(), internal(call), actor()), whole=True)


@blp.route("/call-list/<string:call>/result", methods=["POST"])
@blp.arguments(Result())
@blp.response(200, CallAnswer())
@operation(CALLS, writes=True)
def report_result(body: dict[str, Any], call: str) -> Mapping[str, Any]:
    """What a call led to: reached, not reached, or a wrong number."""
    allow_department(CALLS, call_list.call_of(hospital().database, internal(call)).department)

    def act(key: RequestKey) -> Mapping[str, Any]:
        found = call_list.result(hospital(), internal(call), body["result"], actor(), key, next_try_at=body["next_try_at"])
        return waiting.call(answers(), found)

    return write("call.result", body, act)
