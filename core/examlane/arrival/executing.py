"""Exams as they are done: of one visit together or one by one, finished or not done, and booked again free of charge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from examlane.appointments import booking, changes, desk, states, status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.records import events, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import epoch

NOT_DONE = {
    "not_prepared": True, "unwell": True, "equipment": True, "bladder_not_full": True, "has_eaten": True,
    "glucose_too_high": True, "heart_rate_too_fast": True, "wrong_order": False, "refused": False, "other": False,
}  # fmt: skip
"""Why an exam was not done, and whether it is then planned again by itself."""
OPEN = """SELECT ai.order_item_id, oi.key, ai.outcome FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
WHERE ai.appointment_id = ? AND ai.active = 1 ORDER BY oi.id"""
FINISH = "UPDATE appointment_item SET outcome = 'finished' WHERE appointment_id = ? AND order_item_id = ? RETURNING id"
GIVE_BACK = """UPDATE appointment_item SET outcome = 'not_done', active = 0 WHERE appointment_id = ? AND order_item_id = ?
RETURNING id"""
LEAVE = "UPDATE order_item SET state = ?, reason = ? WHERE id = ? RETURNING key, state"
PLAN_AGAIN = """UPDATE order_item SET reason = ''
WHERE reason = 'not_done' AND state = 'accepted' AND key = ? RETURNING id"""
NOT_IN_VISIT = Text("不属于该次预约，或已有结果", "not one of this visit, or settled already")
UNKNOWN_REASON = Text("未知的原因", "unknown reason")


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """What a department's system reports: `started`, `finished` or `not_done`, of all exams of a visit or of `items`.

    `rebook`: whether what was not done is planned again; left out, the reason decides.
    """

    state: str
    items: tuple[str, ...] = ()
    reason: str = ""
    reason_code: str = ""
    rebook: bool | None = None
    at: datetime | None = None

    @property
    def plans_again(self) -> bool:
        wanted = NOT_DONE.get(self.reason_code, False) if self.rebook is None else self.rebook
        return self.state == "not_done" and wanted


def report(
    hospital: Hospital, number: str, said: ExecutionReport, actor: Actor, key: RequestKey | None = None
) -> AppointmentStatus:
    """Store what was done. Exams of one visit may be settled one by one, in any order; it ends with the last one.

    What is not done stays paid, and is planned again at once where the report or its reason says so. Raises
    `InvalidInput`, `NotFound`, and `Conflict` by the visit's state.
    """
    if said.reason_code and said.reason_code not in NOT_DONE:
        raise InvalidInput([("/reason_code", UNKNOWN_REASON)])
    current = status.appointment(hospital, number)
    still_open = [key for _, key, outcome in hospital.database.rows(OPEN, current.id) if not outcome]
    if odd := [(f"/items/{n}", NOT_IN_VISIT) for n, item in enumerate(said.items) if item not in still_open]:
        raise InvalidInput(odd)
    if said.state == "started" or not said.items or set(said.items) == set(current.items):
        found = changes.execution(
            hospital, number, said.state, actor, key, reason=said.reason_code or said.reason, at=said.at
        )
        return _planned_again(hospital, found, current.items, actor) if said.plans_again else found
    changes.tried(partial(_attempt, hospital, number, said, actor, key))
    booking.settle(hospital, current.patient, actor)
    return status.appointment(hospital, number)


def _planned_again(
    hospital: Hospital, found: AppointmentStatus, items: Sequence[str], actor: Actor
) -> AppointmentStatus:
    def open_again() -> None:
        patients.touch(hospital.database, found.patient)
        for item in items:
            hospital.database.rows(PLAN_AGAIN, item)
        jobs.mark_due(hospital.database, found.patient, epoch(hospital.clock.now()))

    hospital.database.write(open_again)
    booking.settle(hospital, found.patient, actor)
    return status.appointment(hospital, found.number)


def _attempt(
    hospital: Hospital, number: str, said: ExecutionReport, actor: Actor, key: RequestKey | None
) -> int:
    current = status.appointment(hospital, number)
    rows = hospital.database.rows(OPEN, current.id)
    after = _state_after(rows, said)
    if current.state != after:
        states.check(current.state, after)
    hospital.database.write(partial(_write, hospital, current, rows, said, after, actor, key))
    return current.id


def _state_after(rows: Sequence[tuple[int, str, str]], said: ExecutionReport) -> str:
    """A visit is over when each of its exams is: fulfilled if any was finished, else not done."""
    outcomes = [said.state if key in said.items else outcome for _, key, outcome in rows]
    if "" in outcomes:
        return "in_progress"
    return "fulfilled" if "finished" in outcomes else "not_done"


def _write(
    hospital: Hospital, current: AppointmentStatus, rows: Sequence[tuple[int, str, str]], said: ExecutionReport,
    after: str, actor: Actor, key: RequestKey | None,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    patients.touch(database, current.patient)
    reason = said.reason_code or said.reason
    if current.state != after:
        visits.change_state(
            database, current.id, current.version, current.state, after, actor, now, reason=reason,
            evidence=changes.told(said.at, now),
        )  # fmt: skip
    for item, key_of_item, _ in rows:
        if key_of_item in said.items:
            _settle_item(hospital, current, item, said, actor)
    jobs.mark_due(database, current.patient, epoch(now))


def _settle_item(
    hospital: Hospital, current: AppointmentStatus, item: int, said: ExecutionReport, actor: Actor
) -> None:
    database, now = hospital.database, hospital.clock.now()
    database.rows(FINISH if said.state == "finished" else GIVE_BACK, current.id, item)
    left = ("fulfilled", "") if said.state == "finished" else ("accepted", "" if said.plans_again else "not_done")
    changed = database.rows(LEAVE, *left, item)
    if not changed:
        raise Conflict("state_conflict", NOT_IN_VISIT)
    desk.close_tasks(database, item, "", actor.name, now)
    key, state = changed[0]
    payload = {"order_item": key, "state": state, "reason": said.reason_code or said.state, "payable": False}
    events.emit(database, "order_item", key, "order_item.changed", payload, epoch(now))
