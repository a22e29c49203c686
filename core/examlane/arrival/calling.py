"""Calling: the next one, somebody who does not come, somebody who is not ready; and what was reported by mistake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from examlane.appointments import changes, desk, states, status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import queue
from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch, maybe_epoch

DEFERRALS = ("bladder_not_full", "has_eaten", "glucose_too_high", "heart_rate_too_fast", "unwell", "other")
"""Why a patient who is here cannot be examined yet."""
BACK = {"checked_in": "booked", "called": "checked_in", "called_absent": "checked_in", "deferred": "checked_in"}
ABSENT = "UPDATE appointment SET absences = absences + 1, queue_places = ? WHERE id = ? RETURNING absences"
BACK_AGAIN = """UPDATE appointment SET absences = CASE WHEN absences > 0 THEN absences - 1 ELSE 0 END, queue_places = ?
WHERE id = ? RETURNING id"""
GATES = ("awaiting_gate", "not_ready")
READINGS = 8
"""How often a queue is read anew before a call gives up because others call at the same time."""
NOBODY = Text("候检队列为空", "nobody waits to be called")
NOT_HERE = Text("患者不在候检", "the patient does not wait here")
BUSY = Text("多个诊室同时叫号，请重试", "others are calling at the same time: try again")
BY_QUEUE_SYSTEM = Text("该科室由排队叫号系统叫号", "the queue system calls the patients of this department")
CANNOT_BE_UNDONE = Text("当前状态不能撤销", "nothing can be undone in this state")
ITEMS = """SELECT oi.id FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
WHERE ai.appointment_id = ? AND ai.active = 1"""


def call_next(hospital: Hospital, group: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """Call the next patient of a group; who is stopped by a closed gate is passed over. Two rooms never call the same.

    Raises `NotFound`, and `Conflict` when nobody can be called, or the queue system owns the call order.
    """
    if (place := hospital.catalogues.current().groups.get(group)) is None:
        raise NotFound("group", group)
    _must_own(hospital, place.department)
    refusal, passed = Conflict("nobody_waiting", NOBODY), set[str]()
    for _ in range(READINGS):
        waiting = queue.order(queue.entries(hospital, group), epoch(hospital.clock.now()))
        first = next((one for one in waiting if one.number not in passed), None)
        if first is None:
            raise refusal
        try:
            return changes.call(hospital, first.number, actor, key, version=first.version)
        except Conflict as conflict:
            if conflict.code == "request_in_flight":
                raise
            if conflict.code in GATES:
                refusal = conflict
                passed.add(first.number)
    raise refusal if passed else Conflict("conflict_repeated", BUSY)


def call(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """Call one patient out of turn, or take a call that the queue system reports.

    Raises `Conflict` while he is not ready, a gate is closed, or somebody calls where the queue system does.
    """
    _may_call(hospital, number, actor)
    return changes.call(hospital, number, actor, key)


def absent(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """He was called and did not come: some places back; too often, and the desk decides. Raises `Conflict`."""
    _may_call(hospital, number, actor)

    def attempt() -> int:
        current = status.appointment(hospital, number)
        states.check(current.state, "called_absent")
        policy = hospital.catalogues.current().department(current.department).policy
        here = queue.entries(hospital, current.group)
        places = [*_places(hospital, current), queue.behind(here, number, policy.absent_places, epoch(hospital.clock.now()))]
        hospital.database.write(partial(_absent, hospital, current, places, policy.absent_limit, actor, key))
        return current.id

    return changes.by_id(hospital, changes.tried(attempt))


def _may_call(hospital: Hospital, number: str, actor: Actor) -> None:
    """Members of staff call only where examlane owns the call order; what a system reports is a fact."""
    if actor.desk:
        _must_own(hospital, status.appointment(hospital, number).department)


def _must_own(hospital: Hospital, department: str) -> None:
    if hospital.catalogues.current().department(department).policy.call_order_owner != "examlane":
        raise Conflict("queue_system_calls", BY_QUEUE_SYSTEM)


def _places(hospital: Hospital, current: AppointmentStatus) -> list[Sequence[int]]:
    """Where he has stood since he was first called in vain."""
    return list(json.loads(hospital.database.value("SELECT queue_places FROM appointment WHERE id = ?", current.id)))


def _absent(
    hospital: Hospital, current: AppointmentStatus, places: Sequence[Sequence[int]], limit: int, actor: Actor,
    key: RequestKey | None,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    patients.touch(database, current.patient)
    visits.change_state(
        database, current.id, current.version, current.state, "called_absent", actor, now, reason="not there"
    )
    absences = database.value(ABSENT, dump(places), current.id)
    if absences >= limit:
        for (item,) in database.rows(ITEMS, current.id):
            desk.open_task(
                database, "absent_repeatedly", current.department, current.patient, item, now,
                hospital.settings.desk_deadline, appointment=current.id,
            )  # fmt: skip


def defer(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, reason: str,
    ready_at: datetime | None = None,
) -> AppointmentStatus:  # fmt: skip
    """He is here and cannot be examined yet: not called until he is ready, then at his old place.

    Raises `InvalidInput` for an unknown reason or a ready time in the past, `Conflict` by his state.
    """
    now = hospital.clock.now()
    problems = []
    if reason not in DEFERRALS:
        problems.append(("/reason", Text("未知的原因", "unknown reason")))
    if ready_at is not None and not now < ready_at < now + timedelta(hours=24):
        problems.append(("/ready_at", Text("须在今后 24 小时内", "must be within the next 24 hours")))
    if problems:
        raise InvalidInput(problems)
    return _to(hospital, number, "deferred", actor, key, reason, ready_at)


def ready(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """Who was deferred is ready now: back to his old place. Who was called in vain is here again."""
    current = status.appointment(hospital, number)
    if current.state not in ("deferred", "called_absent"):
        raise Conflict("not_here", NOT_HERE)
    return _to(hospital, number, "checked_in", actor, key, "ready")


def undo(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, reason: str) -> AppointmentStatus:
    """Take back a check-in, a call or a deferral that was reported by mistake; never once the exam has begun."""
    current = status.appointment(hospital, number)
    if current.state not in BACK:
        raise Conflict("not_undoable", CANNOT_BE_UNDONE)
    after = BACK[current.state]
    if after == "booked" and hospital.database.value("SELECT mode FROM appointment WHERE id = ?", current.id) != "slot":
        return changes.cancel(hospital, number, actor, key, reason=f"undone: {reason}"[:200])
    return _to(hospital, number, after, actor, key, f"undone: {reason}"[:200], undone=current.state)


def _to(
    hospital: Hospital, number: str, after: str, actor: Actor, key: RequestKey | None, reason: str,
    ready_at: datetime | None = None, undone: str = "",
) -> AppointmentStatus:  # fmt: skip
    def attempt() -> int:
        current = status.appointment(hospital, number)
        if undone and current.state != undone:
            raise Conflict("not_undoable", CANNOT_BE_UNDONE)
        states.check(current.state, after)
        hospital.database.write(partial(_write, hospital, current, after, actor, key, reason, ready_at, bool(undone)))
        return current.id

    return changes.by_id(hospital, changes.tried(attempt))


def _write(
    hospital: Hospital, current: AppointmentStatus, after: str, actor: Actor, key: RequestKey | None, reason: str,
    ready_at: datetime | None, undone: bool,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    patients.touch(database, current.patient)
    visits.change_state(database, current.id, current.version, current.state, after, actor, now, reason=reason)
    database.rows("UPDATE appointment SET ready_at = ? WHERE id = ? RETURNING id", maybe_epoch(ready_at), current.id)
    if undone and current.state == "called_absent":
        database.rows(BACK_AGAIN, dump(_places(hospital, current)[:-1]), current.id)
    if after == "booked":
        database.rows(visits.LEAVE_QUEUE, current.id)
    desk.close_task(database, current.id, "absent_repeatedly", actor.name, now)
