"""Exams as they are done: of one visit together or one by one, finished or not done, and booked again free of charge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from examlane.appointments import booking, changes, desk, states, status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput, StalePlan
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.outbound import order_items
from examlane.records import audit, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import epoch

NOT_DONE = {
    "not_prepared": True, "unwell": True, "equipment": True, "bladder_not_full": True, "has_eaten": True,
    "glucose_too_high": True, "heart_rate_too_fast": True, "wrong_order": False, "refused": False, "other": False,
}  # fmt: skip
"""Why an exam was not done, and whether it is then planned again by itself."""
# What left the visit for another one is none of its exams any more; what is booked elsewhere is not examined here.
EXAMS = """SELECT ai.order_item_id, oi.key, ai.outcome, (SELECT count(*) FROM appointment_item o WHERE o.active = 1
AND o.order_item_id = ai.order_item_id AND o.session = ai.session AND o.appointment_id <> ai.appointment_id)
FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
WHERE ai.appointment_id = ? AND ai.outcome NOT IN ('left', 'replaced') ORDER BY oi.id"""
SETTLE = """UPDATE appointment_item SET outcome = ?, active = ? WHERE appointment_id = ? AND order_item_id = ?
RETURNING id"""
# What the rules say of an exam stays as it is when it is not done.
LEAVE = """UPDATE order_item SET state = CASE WHEN ? = 1 THEN 'fulfilled' ELSE state END, reason = ? WHERE id = ?
RETURNING key, state"""
OTHER_PART = Text("不属于该次预约", "not one of this visit")
SETTLED = Text("该项目已有不同的结果", "another outcome of this exam was reported before")
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


@dataclass(frozen=True, slots=True)
class Exam:
    """One exam of a visit: how it ended so far, and whether it is booked again elsewhere."""

    id: int
    key: str
    outcome: str
    elsewhere: bool


def report(
    hospital: Hospital, number: str, said: ExecutionReport, actor: Actor, key: RequestKey | None = None
) -> AppointmentStatus:
    """Store what was done. Exams of one visit may be settled one by one, in any order; it ends with the last one.

    What is told twice changes nothing. What is not done stays paid, and is planned again at once where the report or
    its reason says so. Raises `InvalidInput`, `NotFound`, and `Conflict` by the visit's state or an exam's outcome.
    """
    if said.reason_code and said.reason_code not in NOT_DONE:
        raise InvalidInput([("/reason_code", UNKNOWN_REASON)])
    current = status.appointment(hospital, number)
    parts = {exam.key for exam in _exams(hospital, current)}
    if odd := [(f"/items/{n}", OTHER_PART) for n, item in enumerate(said.items) if item not in parts]:
        raise InvalidInput(odd)
    if said.state == "started":
        return changes.execution(hospital, number, said.state, actor, key, at=said.at)
    changes.tried(partial(_attempt, hospital, number, said, actor, key))
    booking.settle(hospital, current.patient, actor)
    return status.appointment(hospital, number)


def _exams(hospital: Hospital, current: AppointmentStatus) -> list[Exam]:
    rows = hospital.database.rows(EXAMS, current.id)
    return [Exam(item, key, outcome, bool(elsewhere)) for item, key, outcome, elsewhere in rows]


def _attempt(hospital: Hospital, number: str, said: ExecutionReport, actor: Actor, key: RequestKey | None) -> int:
    current = status.appointment(hospital, number)
    exams = _exams(hospital, current)
    target = changes.EXECUTION[said.state]
    told = _told_now(exams, said, over=current.state == target)
    after = _state_after(current.state, exams, told, said) if told else current.state
    if told and current.state != "in_progress":
        states.check(current.state, after if after != current.state else "in_progress")
    elif not told and not said.items and current.state != target:
        states.check(current.state, target)
    hospital.database.write(partial(_write, hospital, current, told, said, after, actor, key))
    return current.id


def _told_now(exams: Sequence[Exam], said: ExecutionReport, *, over: bool) -> list[Exam]:
    """The exams whose outcome this report tells: those it names, or all that have none. Raises `Conflict`.

    `over`: the visit has ended as the report says, so that it tells nothing new of exams without an outcome of their own.
    """
    if not said.items:
        return [exam for exam in exams if not exam.outcome and not over]
    known = ("", said.state) if over else (said.state,)
    named = [exam for exam in exams if exam.key in said.items and exam.outcome not in known]
    if any(exam.outcome or exam.elsewhere for exam in named):
        raise Conflict("state_conflict", SETTLED)
    return named


def _state_after(state: str, exams: Sequence[Exam], told: Sequence[Exam], said: ExecutionReport) -> str:
    """A visit is over when each of its exams is: fulfilled if any was finished, else not done.

    An exam that is not done leaves the others where they are.
    """
    outcomes = [said.state if exam in told else exam.outcome for exam in exams]
    if "" not in outcomes:
        return "fulfilled" if "finished" in outcomes else "not_done"
    return "in_progress" if said.state == "finished" else state


def _write(
    hospital: Hospital, current: AppointmentStatus, told: Sequence[Exam], said: ExecutionReport, after: str, actor: Actor,
    key: RequestKey | None,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    patients.touch(database, current.patient)
    if current.state != after:
        visits.change_state(
            database, current.id, current.version, current.state, after, actor, now,
            reason=said.reason_code or said.reason, evidence=changes.told(said.at, now),
        )  # fmt: skip
    elif status.appointment(hospital, current.number).version != current.version:
        raise StalePlan("the appointment changed meanwhile")
    for exam in told:
        _settle(hospital, current, exam, said, after, actor)
    jobs.mark_due(database, current.patient, epoch(now))


def _settle(
    hospital: Hospital, current: AppointmentStatus, exam: Exam, said: ExecutionReport, after: str, actor: Actor
) -> None:
    database, now, done = hospital.database, hospital.clock.now(), said.state == "finished"
    database.rows(SETTLE, said.state, int(done and not exam.elsewhere), current.id, exam.id)
    reason = "" if done or said.plans_again else "not_done"
    (key, state), *_ = database.rows(LEAVE, int(done), reason, exam.id)
    desk.close_tasks(database, exam.id, "", actor.name, now)
    if current.state == after:  # no version of the visit tells of it
        audit.record(
            database, actor, f"order_item.{said.state}", "order_item", key, epoch(now), appointment=current.number,
            reason=said.reason_code or said.reason,
        )  # fmt: skip
    order_items.changed(database, key, state, said.reason_code or said.state, epoch(now))
