"""Patients who miss visits repeatedly: counted per department, booked at the desk only for a while, appealed, over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from examlane.appointments import desk
from examlane.appointments.status import AppointmentStatus
from examlane.capacity.policy import DepartmentPolicy
from examlane.domain import Text
from examlane.errors import Conflict, NotFound
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.records import audit, events, jobs, receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.storage.daily import MissedVisit, NoShowRestriction
from examlane.storage.database import Database, where
from examlane.storage.fields import dump, epoch, instant, maybe_instant

# Who came after all has missed nothing, and nobody misses what his department could not have heard of.
COUNTED = """SELECT DISTINCT a.number FROM missed_visit m JOIN appointment a ON a.id = m.appointment_id
WHERE m.patient_id = ? AND m.department = ? AND m.start_at > ? AND m.excluded = '' AND m.withdrawn_at IS NULL
AND a.state NOT IN ('checked_in', 'called', 'called_absent', 'deferred', 'in_progress', 'fulfilled', 'not_done')
AND NOT EXISTS (SELECT 1 FROM check_in_pause p WHERE p.department = m.department AND p.since <= m.end_at
AND (p.ended_at IS NULL OR p.ended_at >= m.start_at)) ORDER BY a.number"""
WHY_EXCLUDED = """SELECT max(CASE WHEN e.encounter_class = 'inpatient' THEN 1 ELSE 0 END),
max(CASE WHEN e.encounter_class = 'emergency' OR o.priority <> 'routine' THEN 1 ELSE 0 END),
(SELECT count(*) FROM claim c JOIN slot s ON s.id = c.slot_id
WHERE c.appointment_id = ? AND c.released_at IS NULL AND s.closed = 1)
FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
JOIN encounter e ON e.id = o.encounter_id WHERE ai.appointment_id = ?"""
RESTRICTIONS = """SELECT r.id, r.department, r.state, r.from_at, r.until_at, r.visits, r.appeal, r.appealed_at, r.decision,
r.decision_reason, r.decided_at, r.decided_by, p.name, r.patient_id FROM no_show_restriction r
JOIN patient p ON p.id = r.patient_id"""
NOT_ACTIVE = Text("该限制已失效", "this restriction is over")
DECIDED = Text("申诉已处理", "the appeal is decided")


@dataclass(frozen=True, slots=True)
class Restriction:
    """A department books for a patient at its desk only; `name` is masked."""

    id: int
    department: str
    state: str
    from_at: datetime
    until_at: datetime
    visits: tuple[str, ...]
    appeal: str
    appealed_at: datetime | None
    decision: str
    decision_reason: str
    decided_at: datetime | None
    decided_by: str
    name: str
    patient: int


def missed(hospital: Hospital, current: AppointmentStatus, *, late: bool) -> None:
    """Remember a no-show, and restrict the patient once there are too many. Inside a write transaction."""
    database, now = hospital.database, hospital.clock.now()
    database.insert(
        MissedVisit, appointment=current.id, patient=current.patient, department=current.department,
        start_at=epoch(current.starts_at), end_at=epoch(current.ends_at),
        excluded="late" if late else _excluded(database, current.id), recorded_at=epoch(now),
    )  # fmt: skip
    policy = hospital.catalogues.current().department(current.department).policy
    if not policy.no_show_limit or _active(database, current.patient, current.department, now):
        return
    since = now - timedelta(days=policy.no_show_period_days)
    punished = database.rows(
        "SELECT visits FROM no_show_restriction WHERE patient_id = ? AND department = ?",
        current.patient, current.department,
    )  # fmt: skip
    before = {number for (numbers,) in punished for number in json.loads(numbers)}
    counted = [number for number in _counted(database, current.patient, current.department, since) if number not in before]
    if len(counted) >= policy.no_show_limit:
        _restrict(hospital, current, policy, counted)


def forget(hospital: Hospital, current: AppointmentStatus, actor: Actor) -> None:
    """A no-show was none: it no longer counts, nor what followed from it. Inside a write transaction."""
    database, now = hospital.database, hospital.clock.now()
    database.rows(
        "UPDATE missed_visit SET withdrawn_at = ?, withdrawn_by = ? WHERE appointment_id = ? AND withdrawn_at IS NULL "
        "RETURNING id",
        epoch(now), actor.name, current.id,
    )  # fmt: skip
    for restriction in _active(database, current.patient, current.department, now):
        _review(hospital, restriction)


def review(hospital: Hospital) -> None:
    """End what is over, and what rests on no-shows that no longer count; their exams are planned again."""
    for (restriction,) in hospital.database.rows("SELECT id FROM no_show_restriction WHERE state = 'active' ORDER BY id"):
        hospital.database.write(partial(_review, hospital, restriction))


def restrictions(
    hospital: Hospital, *, department: str = "", patient: int | None = None, before: int = 0, limit: int = 200
) -> list[Restriction]:
    """The restrictions that count now, of a department or of a patient, newest first."""
    condition, values = where(
        ("r.until_at > ?", epoch(hospital.clock.now())), ("r.department = ?", department), ("r.patient_id = ?", patient),
        ("r.id < ?", before or None),
    )  # fmt: skip
    clause = f"WHERE r.state = 'active' AND {condition} ORDER BY r.id DESC LIMIT ?"
    return [_restriction(*row) for row in hospital.database.rows(f"{RESTRICTIONS} {clause}", *values, limit)]


def restriction(hospital: Hospital, key: int) -> Restriction:
    """One restriction, over or not. Raises `NotFound`."""
    row = hospital.database.row(f"{RESTRICTIONS} WHERE r.id = ?", key)
    if row is None:
        raise NotFound("restriction", str(key))
    return _restriction(*row)


def appeal(hospital: Hospital, key: int, actor: Actor, request: RequestKey | None = None, *, reason: str) -> Restriction:
    """The patient objects: the desk has a task to decide. Raises `NotFound`, and `Conflict` when it is decided or over."""
    database, now = hospital.database, hospital.clock.now()

    def write() -> None:
        current = restriction(hospital, key)
        receipts.keep(database, request, "restriction", str(key), epoch(now))
        patients.touch(database, current.patient)
        if current.state != "active" or current.until_at <= now:
            raise Conflict("restriction_over", NOT_ACTIVE)
        if current.decision:
            raise Conflict("already_decided", DECIDED)
        database.rows(
            "UPDATE no_show_restriction SET appeal = ?, appealed_at = ?, appealed_by = ? WHERE id = ? RETURNING id",
            reason, epoch(now), actor.name, key,
        )  # fmt: skip
        if current.appealed_at is None:
            desk.open_task(
                database, "restriction_appeal", current.department, current.patient, None, now,
                hospital.settings.desk_deadline,
            )  # fmt: skip
        audit.record(database, actor, "restriction.appeal", "restriction", str(key), epoch(now), reason=reason)

    database.write(write)
    return restriction(hospital, key)


def decide(
    hospital: Hospital, key: int, decision: str, actor: Actor, request: RequestKey | None = None, *, reason: str
) -> Restriction:
    """A registrar or an administrator upholds a restriction, or lifts it: the patient's exams are planned again then.

    Raises `NotFound`, and `Conflict` when it is over.
    """
    database, now = hospital.database, hospital.clock.now()

    def write() -> None:
        current = restriction(hospital, key)
        receipts.keep(database, request, "restriction", str(key), epoch(now))
        patients.touch(database, current.patient)
        if current.state != "active" or current.until_at <= now:
            raise Conflict("restriction_over", NOT_ACTIVE)
        database.rows(
            "UPDATE no_show_restriction SET decision = ?, decision_reason = ?, decided_at = ?, decided_by = ? "
            "WHERE id = ? RETURNING id",
            decision, reason, epoch(now), actor.name, key,
        )  # fmt: skip
        database.rows(
            "UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE patient_id = ? AND department = ? "
            "AND code = 'restriction_appeal' AND closed_at IS NULL RETURNING id",
            epoch(now), actor.name, current.patient, current.department,
        )  # fmt: skip
        audit.record(
            database, actor, "restriction.decide", "restriction", str(key), epoch(now), decision=decision, reason=reason
        )
        if decision == "lifted":
            _end(hospital, current, "lifted")

    database.write(write)
    return restriction(hospital, key)


def _excluded(database: Database, appointment: int) -> str:
    """Why a missed visit does not count against the patient, or nothing."""
    inpatient, urgent, stopped = database.rows(WHY_EXCLUDED, appointment, appointment)[0]
    return "inpatient" if inpatient else "urgent" if urgent else "suspended" if stopped else ""


def _counted(database: Database, patient: int, department: str, since: datetime) -> list[str]:
    return [number for (number,) in database.rows(COUNTED, patient, department, epoch(since))]


def _active(database: Database, patient: int, department: str, now: datetime) -> list[int]:
    rows = database.rows(
        "SELECT id FROM no_show_restriction WHERE patient_id = ? AND department = ? AND state = 'active' AND until_at > ?",
        patient, department, epoch(now),
    )  # fmt: skip
    return [row[0] for row in rows]


def _restrict(hospital: Hospital, current: AppointmentStatus, policy: DepartmentPolicy, counted: Sequence[str]) -> None:
    database, now = hospital.database, hospital.clock.now()
    until = now + timedelta(days=policy.restriction_days)
    key = database.insert(
        NoShowRestriction, patient=current.patient, department=current.department, from_at=epoch(now),
        until_at=epoch(until), threshold=policy.no_show_limit, visits=dump(list(counted)),
    )  # fmt: skip
    _tell(hospital, "restriction.made", key, current.department, now, until, counted)


def _review(hospital: Hospital, key: int) -> None:
    current, now = restriction(hospital, key), hospital.clock.now()
    if current.state != "active":
        return
    threshold = hospital.database.value("SELECT threshold FROM no_show_restriction WHERE id = ?", key)
    counted = _counted(hospital.database, current.patient, current.department, instant(0))
    if current.until_at <= now:
        _end(hospital, current, "expired")
    elif len(set(current.visits).intersection(counted)) < threshold:
        _end(hospital, current, "withdrawn")


def _end(hospital: Hospital, current: Restriction, state: str) -> None:
    database, now = hospital.database, hospital.clock.now()
    patients.touch(database, current.patient)
    database.rows("UPDATE no_show_restriction SET state = ? WHERE id = ? RETURNING id", state, current.id)
    jobs.mark_due(database, current.patient, epoch(now))
    _tell(hospital, "restriction.ended", current.id, current.department, current.from_at, now, current.visits)


def _tell(
    hospital: Hospital, kind: str, key: int, department: str, since: datetime, until: datetime, visits: Sequence[str]
) -> None:
    now = epoch(hospital.clock.now())
    payload = {
        "restriction": key, "department": department, "from": since.isoformat(), "until": until.isoformat(),
        "appointments": list(visits),
    }  # fmt: skip
    events.emit(hospital.database, "restriction", str(key), kind, payload, now)
    audit.record(hospital.database, SYSTEM, kind, "restriction", str(key), now)


def _restriction(
    key: int, department: str, state: str, since: int, until: int, visits: str, appeal: str, appealed_at: int | None,
    decision: str, decision_reason: str, decided_at: int | None, decided_by: str, name: str, patient: int,
) -> Restriction:  # fmt: skip
    return Restriction(
        key, department, state, instant(since), instant(until), tuple(json.loads(visits)), appeal,
        maybe_instant(appealed_at), decision, decision_reason, maybe_instant(decided_at), decided_by,
        patients.masked(name), patient,
    )  # fmt: skip
