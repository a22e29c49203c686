"""Suspensions of devices, staff, rosters and days: shown before, applied, read, ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from examlane.replanning import closing, reading, suspensions
from examlane.replanning.closing import OF_THE_CALENDAR
from examlane_api.rest.day import suspensions as schemas
from examlane_api.soap.booking.call import Answer, Call, Operation
from examlane_api.soap.booking.results import maybe_instant

DEFAULT_PAGE = 200
HOLIDAY = "suspension.holiday"


def suspend(call: Call) -> Answer:
    planned = closing.plan(call.hospital, schemas.asked(call.message.load(schemas.SuspensionRequest)))
    _allow(call, planned.asked.kind, planned.department)
    if call.payload.get("preview"):
        return _preview(call, call.answers.suspension_preview(suspensions.preview(call.hospital, planned)))
    act = partial(suspensions.apply, call.hospital, planned, call.actor)
    return _result(call.once(lambda key: call.answers.suspension(act(key))))


def resume(call: Call) -> Answer:
    number, body = call.payload["suspensionNo"], call.message.load(schemas.SuspensionEnd)
    found = reading.get(call.hospital, number)
    _allow(call, found.kind, found.department)
    act = partial(suspensions.end, call.hospital, number, call.actor, **body)
    return _result(call.once(lambda key: call.answers.suspension(act(key=key))))


def query(call: Call) -> Answer:
    found = reading.get(call.hospital, call.payload["suspensionNo"])
    call.allow(found.department)
    limit = call.payload.get("limit", DEFAULT_PAGE)
    visits = reading.visits(call.hospital, found.id, after=call.payload.get("after", 0), limit=limit)
    return {
        **_result(call.answers.suspension(found)),
        "visits": _visits(call, [call.answers.suspension_visit(one) for one in visits]),
        "next": visits[-1].position if len(visits) == limit else None,
    }


OPERATIONS: Mapping[str, Operation] = {
    "SuspendResource": Operation("suspension.apply", "suspension", suspend),
    "ResumeResource": Operation("suspension.apply", "resumption", resume),
    "QuerySuspension": Operation("suspension.read", "query", query),
}


def _allow(call: Call, kind: str, department: str) -> None:
    """A day of the calendar is the administrators'; everything else belongs to its department."""
    if kind in OF_THE_CALENDAR:
        call.allow_to(HOLIDAY)
    call.allow(department)


def _result(answer: Answer) -> Answer:
    return {
        "suspensionNo": answer["number"], "state": answer["state"], "seatsLost": answer["seats_lost"],
        "affected": answer["affected"], "outcomes": _counts(answer["outcomes"]),
    }  # fmt: skip


def _preview(call: Call, answer: Answer) -> Answer:
    return {
        "state": "preview", "seatsLost": answer["seats_lost"], "affected": len(answer["visits"]),
        "outcomes": _counts(answer["outcomes"]), "visits": _visits(call, answer["visits"]),
    }  # fmt: skip


def _counts(outcomes: Mapping[str, int]) -> list[Answer]:
    return [{"outcome": outcome, "visits": visits} for outcome, visits in outcomes.items()]


def _visits(call: Call, visits: Iterable[Answer]) -> list[Answer]:
    return [_visit(call, one) for one in visits]


def _visit(call: Call, one: Answer) -> Answer:
    old, new = one["old"] or {}, one["new"] or {}
    return {
        "appointmentNo": one["appointment"], "patient": one["patient"], "state": one["state"],
        "outcome": one["outcome"], "oldStartAt": maybe_instant(old.get("starts_at")), "oldGroup": old.get("group"),
        "newStartAt": maybe_instant(new.get("starts_at")), "newGroup": new.get("group"), "code": one["code"] or None,
        "message": call.results.words(one["reason"]) if one["reason"] else None,
    }  # fmt: skip
