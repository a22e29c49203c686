"""Patients who did not come in time: noticed after the grace time, decided by the department's hook, re-booked at a
kiosk, or at once when they check in late.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from examlane.appointments import changes, choosing, desk, states, status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.domain import NoShow, NoShowAction, NoShowDecision, Text
from examlane.errors import Conflict, Refused, StalePlan
from examlane.extension import answers
from examlane.extension.dispatch import Budget
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.records import audit, receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch

DUE = """SELECT number FROM appointment WHERE state = 'booked' AND mode <> 'external' AND end_at <= ?
ORDER BY end_at LIMIT ?"""
REBOOKED_TODAY = """SELECT count(*) FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id
WHERE a.patient_id = ? AND a.department = ? AND v.reason IN ('self_rebook', 'late_arrival') AND v.at >= ?"""
AT_THE_KIOSK = {"code": "self_rebook", "why": {"zh": "错过后自助改至今天的空位", "en": "missed, moved to a place today"}}
CAME_LATE = {
    "code": "late_arrival",
    "why": {"zh": "迟到，已改至今天下一个空位并签到", "en": "came late: moved to the next free place today and checked in"},
}
ATTEMPTS = 4
PASSED_ON = ("time_taken", "state_conflict", "request_in_flight")
"""Refusals that the caller must hear: the desk could do nothing about them."""
TIME_IS_OVER = Text("预约时间已过，请到登记台", "the booked time is over: please go to the desk")
NOT_ALLOWED = Text("请到登记台办理", "please go to the desk")
TOO_LATE = Text("今天已不能自助改约，请到登记台", "self-service has ended for today: please go to the desk")


def sweep(hospital: Hospital, limit: int = 200) -> int:
    """Mark as no-show whoever did not come within the grace time; returns how many."""
    due = hospital.clock.now() - hospital.settings.no_show_grace
    rows = hospital.database.rows(DUE, epoch(due), limit)
    return sum(_swept(hospital, number) for (number,) in rows)


def _swept(hospital: Hospital, number: str) -> bool:
    try:
        mark(hospital, number, SYSTEM)
    except (StalePlan, Conflict):  # he came in this very moment: the next sweep looks again
        return False
    return True


def mark(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """Record a no-show and do what the department decides: release, let the patient re-book, or the desk."""
    current = status.appointment(hospital, number)
    states.check(current.state, "no_show")
    decision, code = _decide(hospital, current)
    hospital.database.write(partial(_write, hospital, current, decision, code, actor, key))
    return status.appointment(hospital, number)


def rebook(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """A patient who missed his time takes the next free place the same day, where the department allows it."""

    def allowed(current: AppointmentStatus) -> None:
        if current.state != "no_show":
            states.check(current.state, "no_show")
            raise Conflict("not_missed", Text("该预约未错过，无需重新登记", "this appointment was not missed"))
        _may_rebook(hospital, current, current.no_show)

    allowed(status.appointment(hospital, number))
    return choosing.take_next(hospital, number, actor, key, explanation=AT_THE_KIOSK, allowed=allowed, arrived=False)


def arrive(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, at: datetime | None = None
) -> AppointmentStatus:
    """The patient is here, or came at an earlier instant: he is checked in, or after the grace time his department
    decides.

    Where it lets patients re-book he gets the next free place of today and is checked in, the same number, in one
    transaction. Else, and when nothing is free, his visit is a no-show whose `no_show` says why, and a desk task.
    """
    now = hospital.clock.now()
    came = min(at, now) if at else now
    for _ in range(ATTEMPTS):
        current = status.appointment(hospital, number)
        if not _is_late(hospital, current, came):
            return changes.check_in(hospital, number, actor, key)
        try:
            return _arrived_late(hospital, current, actor, key)
        except StalePlan:
            continue
    raise Conflict("time_taken", changes.STALE)


def _is_late(hospital: Hospital, current: AppointmentStatus, came: datetime) -> bool:
    over = current.ends_at + hospital.settings.no_show_grace <= came
    return over and current.state in ("booked", "no_show")


def _arrived_late(
    hospital: Hospital, current: AppointmentStatus, actor: Actor, key: RequestKey | None
) -> AppointmentStatus:
    decision, failure = _decide(hospital, current, arrived=True)

    def allowed(now: AppointmentStatus) -> None:
        if now.state != "no_show":
            states.check(now.state, "no_show")
        _may_rebook(hospital, now, _as_data(decision))

    explanation = {**CAME_LATE, "decision": decision.code if decision else ""}
    try:
        return choosing.take_next(
            hospital, current.number, actor, key, explanation=explanation, allowed=allowed, arrived=True
        )
    except Refused as refusal:
        if refusal.code in PASSED_ON:
            raise
        why = _said(decision, refusal)
    hospital.database.write(partial(_write, hospital, current, why, failure, actor, key, True))
    return status.appointment(hospital, current.number)


def _said(decision: NoShowDecision | None, refusal: Refused) -> NoShowDecision:
    """What leads a latecomer to the desk: his department's own words, or why no place could be given."""
    if refusal.code != "not_allowed":
        return NoShowDecision(NoShowAction.MANUAL, refusal.text, refusal.code)
    if decision is None:
        return NoShowDecision(NoShowAction.MANUAL, TIME_IS_OVER, "late_arrival")
    return NoShowDecision(NoShowAction.MANUAL, decision.text, decision.code)


def _may_rebook(hospital: Hospital, current: AppointmentStatus, decision: Mapping[str, Any]) -> None:
    if decision.get("action") != NoShowAction.SELF_REBOOK:
        raise Conflict("not_allowed", NOT_ALLOWED)
    until = decision.get("rebook_until")
    if until and datetime.fromisoformat(until) < hospital.clock.now():
        raise Conflict("too_late", TOO_LATE)
    if _rebooked_today(hospital, current) >= decision["limit"]:
        raise Conflict("limit_reached", NOT_ALLOWED)


def _rebooked_today(hospital: Hospital, current: AppointmentStatus) -> int:
    midnight = hospital.calendar.midnight(hospital.calendar.day_of(hospital.clock.now()))
    return int(hospital.database.value(REBOOKED_TODAY, current.patient, current.department, epoch(midnight)))


def _decide(
    hospital: Hospital, current: AppointmentStatus, *, arrived: bool = False
) -> tuple[NoShowDecision | None, str]:
    """The first answer of the department's chain; a failing plugin leaves it to the desk."""
    now = hospital.clock.now()
    state = snapshot.read(hospital.database, hospital.catalogues, current.patient, now)
    own = [item for item in state.items if item.key in current.items]
    if not own:
        return None, ""
    question = NoShow(
        current.number, state.patient, own[0].order.encounter, tuple(item.view for item in own),
        current.starts_at.astimezone(hospital.settings.zone), now.astimezone(UTC), _rebooked_today(hospital, current),
        arrived,
    )  # fmt: skip
    rollout = hospital.rollouts.at(state.rollout_version, now)
    budget = Budget(hospital.settings.booking_seconds)
    for link in rollout.chain(current.department, "on_no_show", current.patient):
        arguments = {"no_show": question, **link.handed}
        answer = hospital.dispatcher.ask(
            link.plugin, "on_no_show", current.department, arguments, answers.no_show, budget, link.problem
        )
        if answer.failure:
            return None, "rule_unavailable"
        if answer.value is not None:
            return answer.value, ""
    return None, ""


def _write(
    hospital: Hospital, current: AppointmentStatus, decision: NoShowDecision | None, failure: str, actor: Actor,
    key: RequestKey | None, arrived: bool = False,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    patients.touch(database, current.patient)
    if current.state != "no_show":
        # The time is over: only a department that says so gives the seats back for the rest of the visit.
        release = decision is not None and decision.action is NoShowAction.RELEASE
        visits.change_state(
            database, current.id, current.version, current.state, "no_show", actor, now,
            reason="came late" if arrived else "did not come", release=release,
            evidence=dump({"decision": _as_data(decision), "failure": failure}),
        )  # fmt: skip
    if arrived:
        reason = decision.code if decision else ""
        audit.record(database, actor, "appointment.late", "appointment", current.number, epoch(now), reason=reason)
    database.rows(
        "UPDATE appointment SET no_show = ? WHERE id = ? RETURNING id", dump(_as_data(decision)), current.id
    )
    _tell_desk(hospital, current, decision, actor, arrived)


def _tell_desk(
    hospital: Hospital, current: AppointmentStatus, decision: NoShowDecision | None, actor: Actor, arrived: bool
) -> None:
    database, now = hospital.database, hospital.clock.now()
    code = "late_arrival" if arrived else "no_show"
    for key_of_item in current.items:
        rows = database.rows("UPDATE order_item SET reason = 'no_show' WHERE key = ? RETURNING id", key_of_item)
        if decision is None or decision.action is NoShowAction.MANUAL:
            desk.close_tasks(database, rows[0][0], code, actor.name, now)
            desk.open_task(
                database, code, current.department, current.patient, rows[0][0], now,
                hospital.settings.desk_deadline, appointment=current.id,
                reason=decision.text if arrived and decision else None,
            )  # fmt: skip


def _as_data(decision: NoShowDecision | None) -> dict[str, Any]:
    if decision is None:
        return {"action": NoShowAction.MANUAL.value}
    return {
        "action": decision.action.value, "code": decision.code, "limit": decision.limit,
        "text": {"zh": decision.text.zh, "en": decision.text.en},
        "rebook_until": decision.rebook_until.isoformat() if decision.rebook_until else None,
    }  # fmt: skip
