"""Patients who did not come in time: noticed after the grace time, decided by the department's hook, re-booked at a
kiosk, or at once when they check in late; and no-shows that were none, withdrawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from examlane.appointments import booking, changes, choosing, desk, states, status, visits
from examlane.appointments.status import AppointmentStatus, ItemStatus
from examlane.arrival import attendance, repeated
from examlane.domain import NoShow, NoShowAction, NoShowDecision, Text
from examlane.errors import Conflict, Refused, StalePlan
from examlane.extension import answers
from examlane.extension.dispatch import Budget
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.planning import gates
from examlane.records import audit, jobs, receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch

DUE = """SELECT number FROM appointment WHERE state = 'booked' AND mode <> 'external' AND department = ? AND end_at <= ?
ORDER BY end_at LIMIT ?"""
LIVES = "SELECT 1 FROM patient WHERE id = ? AND died_at IS NULL"
HELD = """SELECT count(*) FROM claim c JOIN slot s ON s.id = c.slot_id
WHERE c.appointment_id = ? AND c.released_at IS NULL HAVING max(s.closed) = 0"""
ELSEWHERE = """SELECT count(*) FROM appointment_item mine JOIN appointment_item other
ON other.order_item_id = mine.order_item_id AND other.session = mine.session AND other.active = 1
AND other.appointment_id <> mine.appointment_id WHERE mine.appointment_id = ?"""
OVERLAPPING = """SELECT count(*) FROM appointment a JOIN appointment b ON b.patient_id = a.patient_id AND b.id <> a.id
AND b.start_at < a.end_at AND a.start_at < b.end_at WHERE a.id = ? AND b.state IN ('held', 'booked', 'tentative',
'checked_in', 'called', 'called_absent', 'deferred', 'in_progress', 'fulfilled')"""
OPEN_AGAIN = """UPDATE order_item SET reason = '' WHERE key = ? AND reason IN ('no_show', 'booked') AND NOT EXISTS
(SELECT 1 FROM appointment_item ai WHERE ai.order_item_id = order_item.id AND ai.active = 1) RETURNING id"""
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
BOOKED_ELSEWHERE = Text("该项目已另行预约", "the exam was booked again meanwhile")
OTHER_EXAM = Text("同一时间患者另有检查", "the patient has another exam at this time")
NO_NO_SHOW = Text("该预约不是未按时检查", "this appointment is no no-show")
TOO_LATE = Text("今天已不能自助改约，请到登记台", "self-service has ended for today: please go to the desk")


def sweep(hospital: Hospital, limit: int = 200) -> int:
    """Mark as no-show whoever did not come within his department's grace time; returns how many.

    A department whose check-in source is silent or offline waits.
    """
    attendance.look(hospital)
    now = hospital.clock.now()
    departments = [row[0] for row in hospital.database.rows(attendance.DUE_DEPARTMENTS, epoch(now))]
    return sum(_swept_all(hospital, each, limit) for each in departments if not attendance.paused(hospital, each))


def _swept_all(hospital: Hospital, department: str, limit: int) -> int:
    due = hospital.clock.now() - grace(hospital, department)
    rows = hospital.database.rows(DUE, department, epoch(due), limit)
    return sum(_swept(hospital, number) for (number,) in rows)


def grace(hospital: Hospital, department: str) -> timedelta:
    """How long after the end of his time a patient may still come there."""
    return timedelta(minutes=hospital.catalogues.current().department(department).policy.grace_minutes)


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
        if not actor.desk:
            _not_too_early(hospital, current)
        late = _is_late(hospital, current, came)
        if not late and current.state != "no_show":
            return changes.check_in(hospital, number, actor, key, at=at)
        try:
            if not late:
                return _came_after_all(hospital, current, came, actor, key)
            return _arrived_late(hospital, current, actor, key)
        except StalePlan:
            continue
    raise Conflict("time_taken", changes.STALE)


def _not_too_early(hospital: Hospital, current: AppointmentStatus) -> None:
    """Raise `Conflict` before check-in opens, with the time at which it does; the desk may check in at any time."""
    opens = current.period_starts_at - timedelta(
        minutes=hospital.catalogues.current().department(current.department).policy.check_in_opens_minutes
    )
    if current.state == "booked" and hospital.clock.now() < opens:
        when = f"{opens.astimezone(hospital.settings.zone):%Y-%m-%d %H:%M}"
        raise Conflict("too_early", Text(f"{when} 起可签到", f"check-in opens at {when}"))


def _is_late(hospital: Hospital, current: AppointmentStatus, came: datetime) -> bool:
    over = current.ends_at + grace(hospital, current.department) <= came
    return over and current.state in ("booked", "no_show")


def withdraw(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, reason: str, here: bool = False
) -> list[ItemStatus]:
    """A no-show was recorded wrongly: the patient has his time back where it can still be kept, or is checked in when
    he is `here`; else his exams are booked anew, free of charge. What followed from the no-show is withdrawn, too.

    Returns the visit's items as they stand then. Raises `NotFound`, `Refused` with a closed gate, and `Conflict`.
    """

    def attempt() -> int:
        current = status.appointment(hospital, number)
        if current.state != "no_show":
            raise Conflict("no_no_show", NO_NO_SHOW)
        seen = gates.must_be_open(hospital, current.patient, current.items, "checked_in") if here else None
        hospital.database.write(partial(_withdrawn, hospital, current, actor, key, reason, seen))
        return current.patient

    patient = changes.tried(attempt)
    booking.settle(hospital, patient, actor)
    return status.of_appointment(hospital, number)


def _withdrawn(
    hospital: Hospital, current: AppointmentStatus, actor: Actor, key: RequestKey | None, reason: str, seen: int | None
) -> None:
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "visit", current.number, epoch(now))
    why = f"no-show withdrawn: {reason}"[:200]
    if seen is not None:
        patients.bump(database, current.patient, seen)
        return _back_in(hospital, current, "checked_in", actor, why, "{}")
    patients.touch(database, current.patient)
    to_come = database.row(LIVES, current.patient) and current.ends_at + grace(hospital, current.department) > now
    if to_come and database.value(HELD, current.id) and not database.value(OVERLAPPING, current.id):
        return _back_in(hospital, current, "booked", actor, why, "{}")
    visits.change_state(database, current.id, current.version, current.state, "cancelled", actor, now, reason=why)
    for item in current.items:
        for (opened,) in database.rows(OPEN_AGAIN, item):
            desk.close_tasks(database, opened, "", actor.name, now)
    repeated.forget(hospital, current, actor)
    jobs.mark_due(database, current.patient, epoch(now))


def _came_after_all(
    hospital: Hospital, current: AppointmentStatus, came: datetime, actor: Actor, key: RequestKey | None
) -> AppointmentStatus:
    """He was marked as a no-show, and had come in time: a check-in on paper says so."""
    seen = gates.must_be_open(hospital, current.patient, current.items, "checked_in")
    database, now = hospital.database, hospital.clock.now()

    def write() -> None:
        receipts.keep(database, key, "appointment", current.number, epoch(now))
        patients.bump(database, current.patient, seen)
        _back_in(hospital, current, "checked_in", actor, "arrived", changes.told(came, now))

    database.write(write)
    return status.appointment(hospital, current.number)


def _back_in(hospital: Hospital, current: AppointmentStatus, after: str, actor: Actor, reason: str, evidence: str) -> None:
    """A no-show was none: the visit serves its items again, and nothing that followed from it stays."""
    database, now = hospital.database, hospital.clock.now()
    if database.value(ELSEWHERE, current.id):
        raise Conflict("already_booked", BOOKED_ELSEWHERE)
    if database.value(OVERLAPPING, current.id):
        raise Conflict("time_taken", OTHER_EXAM)
    visits.change_state(
        database, current.id, current.version, "no_show", after, actor, now, reason=reason, evidence=evidence
    )
    database.rows("UPDATE appointment_item SET active = 1 WHERE appointment_id = ? RETURNING id", current.id)
    database.rows("UPDATE appointment SET no_show = '' WHERE id = ? RETURNING id", current.id)
    for item in current.items:
        for (key,) in database.rows("UPDATE order_item SET reason = 'booked' WHERE key = ? RETURNING id", item):
            desk.close_tasks(database, key, "", actor.name, now)
    repeated.forget(hospital, current, actor)


def _arrived_late(hospital: Hospital, current: AppointmentStatus, actor: Actor, key: RequestKey | None) -> AppointmentStatus:
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


def _decide(hospital: Hospital, current: AppointmentStatus, *, arrived: bool = False) -> tuple[NoShowDecision | None, str]:
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
        repeated.missed(hospital, current, late=arrived)
    if arrived:
        reason = decision.code if decision else ""
        audit.record(database, actor, "appointment.late", "appointment", current.number, epoch(now), reason=reason)
    database.rows("UPDATE appointment SET no_show = ? WHERE id = ? RETURNING id", dump(_as_data(decision)), current.id)
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
