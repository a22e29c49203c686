"""Patients who did not come: noticed after the grace time, decided by the department's hook, re-booked by themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from examlane.appointments import changes, desk, states, status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.domain import NoShow, NoShowAction, NoShowDecision, Text
from examlane.errors import Conflict, StalePlan
from examlane.extension import answers
from examlane.extension.dispatch import Budget
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.records import receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch

DUE = "SELECT number FROM appointment WHERE state = 'booked' AND end_at <= ? ORDER BY end_at LIMIT ?"
REBOOKED_TODAY = """SELECT count(*) FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id
WHERE a.patient_id = ? AND a.department = ? AND v.reason = 'self_rebook' AND v.at >= ?"""
NOT_ALLOWED = Text("请到登记台办理", "please go to the desk")
TOO_LATE = Text("今天已不能自助改约，请到登记台", "self-service has ended for today: please go to the desk")
NO_PLACE = Text("今天已无空位，请到登记台", "no place is left today: please go to the desk")


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
    current = status.appointment(hospital, number)
    if current.state != "no_show":
        states.check(current.state, "no_show")
        raise Conflict("not_missed", Text("该预约未错过，无需重新登记", "this appointment was not missed"))
    _may_rebook(hospital, current)
    now = hospital.clock.now()
    calendar = hospital.calendar
    today = calendar.day_of(now)
    for time in changes.times(hospital, appointment=number, days=1, limit=50):
        if time.group == current.group and calendar.day_of(time.starts_at) == today:
            return changes.reschedule(
                hospital, number, time.group, time.starts_at, actor, key, reason="self_rebook", by_patient=True
            )
    raise Conflict("no_place_today", NO_PLACE)


def _may_rebook(hospital: Hospital, current: AppointmentStatus) -> None:
    decision = current.no_show
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


def _decide(hospital: Hospital, current: AppointmentStatus) -> tuple[NoShowDecision | None, str]:
    """The first answer of the department's chain; a failing plugin leaves it to the desk."""
    now = hospital.clock.now()
    state = snapshot.read(hospital.database, hospital.catalogues, current.patient, now)
    own = [item for item in state.items if item.key in current.items]
    if not own:
        return None, ""
    question = NoShow(
        current.number, state.patient, own[0].order.encounter, tuple(item.view for item in own),
        current.starts_at.astimezone(hospital.settings.zone), now.astimezone(UTC), _rebooked_today(hospital, current),
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
    key: RequestKey | None,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    patients.touch(database, current.patient)
    # The time is over: only a department that says so gives the seats back for the rest of the visit.
    release = decision is not None and decision.action is NoShowAction.RELEASE
    visits.change_state(
        database, current.id, current.version, current.state, "no_show", actor, now, reason="did not come",
        release=release, evidence=dump({"decision": _as_data(decision), "failure": failure}),
    )  # fmt: skip
    database.rows(
        "UPDATE appointment SET no_show = ? WHERE id = ? RETURNING id", dump(_as_data(decision)), current.id
    )
    for key_of_item in current.items:
        rows = database.rows("UPDATE order_item SET reason = 'no_show' WHERE key = ? RETURNING id", key_of_item)
        if decision is None or decision.action is NoShowAction.MANUAL:
            desk.open_task(
                database, "no_show", current.department, current.patient, rows[0][0], now,
                hospital.settings.desk_deadline, appointment=current.id,
            )  # fmt: skip


def _as_data(decision: NoShowDecision | None) -> dict[str, Any]:
    if decision is None:
        return {"action": NoShowAction.MANUAL.value}
    return {
        "action": decision.action.value, "code": decision.code, "limit": decision.limit,
        "text": {"zh": decision.text.zh, "en": decision.text.en},
        "rebook_until": decision.rebook_until.isoformat() if decision.rebook_until else None,
    }  # fmt: skip
