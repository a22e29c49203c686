"""The call list: whom no message reached and somebody must call; and what the gateway reports of its messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from examlane.appointments import desk
from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.records import audit, receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.storage.daily import CallEntry
from examlane.storage.database import Database, where
from examlane.storage.fields import epoch, instant

RESULTS = ("reached", "not_reached", "wrong_number")
DESK_AFTER = 3
UNREACHABLE = "patient_unreachable"
ENTRY = """SELECT c.id, c.department, p.name, p.phone, a.number, a.state, a.period_start_at, c.reason, r.kind, r.zh, r.en,
c.opened_at, c.next_try_at, c.misses, c.result, c.closed_at, c.patient_id, c.appointment_id
FROM call_entry c JOIN patient p ON p.id = c.patient_id JOIN appointment a ON a.id = c.appointment_id
JOIN reminder r ON r.id = c.reminder_id"""
OF_MESSAGE = "SELECT id FROM reminder WHERE message = ? AND state IN ('sent', 'delivered')"
REPORTED = "UPDATE reminder SET state = ?, reason = ? WHERE message = ? AND state IN ({states}) RETURNING id"
UNANSWERED = """SELECT r.id, r.message FROM reminder r JOIN event e ON e.subject = 'message' AND e.subject_key = r.message
WHERE r.state = 'sent' AND r.sent_at > ? AND e.peer_id IN (SELECT id FROM peer) AND e.dead = 1"""
REACHED = """UPDATE call_entry SET closed_at = ?, closed_by = ?, result = 'delivered' WHERE reminder_id = ?
AND closed_at IS NULL RETURNING id"""
LOOK_BACK = timedelta(hours=3)
OVER = Text("该电话任务已结束", "this call was dealt with already")


@dataclass(frozen=True, slots=True)
class Call:
    """Somebody to be called: about which appointment, why no message did it, and what he must be told."""

    id: int
    department: str
    name: str
    phone: str
    appointment: str
    state: str
    period_starts_at: datetime
    reason: str
    kind: str
    words: Text
    opened_at: datetime
    next_try_at: datetime
    misses: int
    result: str
    closed: bool
    patient: int
    appointment_id: int

    @property
    def masked(self) -> tuple[str, str]:
        """Name and phone as a list shows them: 张*明, 138****1234."""
        hidden = f"{self.phone[:3]}****{self.phone[-4:]}" if len(self.phone) >= 8 else "*" * len(self.phone)
        return patients.masked(self.name), hidden


def open_for(database: Database, reminder: int, reason: str, now: datetime) -> None:
    """Put a reminder's patient on the call list, once an appointment; what is past needs no call."""
    row = database.row(
        "SELECT a.department, a.patient_id, a.id FROM reminder r JOIN appointment a ON a.id = r.appointment_id "
        "WHERE r.id = ? AND r.version = a.version AND a.period_end_at > ? AND NOT EXISTS "
        "(SELECT 1 FROM call_entry c WHERE c.appointment_id = a.id AND c.closed_at IS NULL)",
        reminder, epoch(now),
    )  # fmt: skip
    if row is not None:
        database.insert(
            CallEntry, department=row[0], patient=row[1], appointment=row[2], reminder=reminder, reason=reason,
            opened_at=epoch(now), next_try_at=epoch(now),
        )  # fmt: skip


def close_for(database: Database, appointment: int, why: str, now: datetime) -> None:
    """An appointment changed: what was to be told by telephone is no longer so."""
    database.rows(
        "UPDATE call_entry SET closed_at = ?, closed_by = ?, result = ? WHERE appointment_id = ? AND closed_at IS NULL "
        "RETURNING id",
        epoch(now), SYSTEM.name, why, appointment,
    )  # fmt: skip


def report(
    hospital: Hospital, message: str, state: str, actor: Actor, key: RequestKey | None = None, *, reason: str = ""
) -> None:
    """What became of a message: delivered, failed or no_phone. Raises `NotFound`.

    What failed, somebody must tell; whom the words reached after all, nobody need call.
    """
    database = hospital.database
    offer = database.row("SELECT id, freed_id FROM offer WHERE message = ?", message)
    if offer is None and not database.row("SELECT 1 FROM reminder WHERE message = ?", message):
        raise NotFound("message", message)

    def write() -> None:
        now = hospital.clock.now()
        receipts.keep(database, key, "message", message, epoch(now))
        audit.record(database, actor, "message.report", "message", message, epoch(now), state=state, reason=reason)
        if state == "delivered":
            for (reminder,) in database.rows(REPORTED.format(states="'sent', 'failed'"), "delivered", "", message):
                database.rows(REACHED, epoch(now), actor.name, reminder)
            return
        failed = database.rows(
            REPORTED.format(states="'sent', 'delivered'"), "failed", "no_phone" if state == "no_phone" else "failed", message
        )
        for (reminder,) in failed:
            open_for(database, reminder, state, now)
        if offer:
            _pass_on(database, offer[0], offer[1], now)

    database.write(write)


def _pass_on(database: Database, offer: int, freed: int, now: datetime) -> None:
    """Who was not reached does not keep a freed time from the next."""
    database.rows("UPDATE freed_time SET due_at = ? WHERE id = ? AND state = 'open' RETURNING id", epoch(now), freed)
    database.rows("UPDATE offer SET expires_at = ? WHERE id = ? AND state = 'open' RETURNING id", epoch(now), offer)


def sweep(hospital: Hospital) -> int:
    """Messages that never reached the gateway become calls; returns how many."""
    database, now = hospital.database, hospital.clock.now()
    lost = database.rows(UNANSWERED, epoch(now - LOOK_BACK))

    def write() -> None:
        for reminder, message in lost:
            database.rows(REPORTED.format(states="'sent'"), "failed", "unreachable", message)
            open_for(database, reminder, "unreachable", now)

    if lost:
        database.write(write)
    return len(lost)


def calls(database: Database, departments: Sequence[str], now: datetime, after: int, limit: int) -> list[Call]:
    """Who is to be called now in some departments (none named: all), in the order they came onto the list."""
    condition, values = where(
        ("c.id > ?", after), ("c.next_try_at <= ?", epoch(now)), ("c.department IN", tuple(departments))
    )
    return _calls(database, f"WHERE c.closed_at IS NULL AND {condition} ORDER BY c.id LIMIT ?", *values, limit)


def call_of(database: Database, call: int) -> Call:
    """One entry. Raises `NotFound`."""
    found = _calls(database, "WHERE c.id = ?", call)
    if not found:
        raise NotFound("call", str(call))
    return found[0]


def shown(hospital: Hospital, call: int, actor: Actor) -> Call:
    """One entry with the whole name and number, for who makes the call; who looked is kept. Raises `NotFound`."""
    found = call_of(hospital.database, call)
    now = epoch(hospital.clock.now())
    hospital.database.write(lambda: audit.record(hospital.database, actor, "call.view", "call", str(call), now))
    return found


def result(
    hospital: Hospital, call: int, outcome: str, actor: Actor, key: RequestKey | None = None, *,
    next_try_at: datetime | None = None,
) -> Call:  # fmt: skip
    """What a call led to. Not reached: tried again later, and after three times, or by a wrong number, the desk has it.

    Raises `InvalidInput`, `NotFound`, `Conflict`.
    """
    found, now = call_of(hospital.database, call), hospital.clock.now()
    if next_try_at is not None and next_try_at <= now:
        raise InvalidInput([("/next_try_at", Text("须在将来", "must lie ahead"))])
    policy = hospital.catalogues.current().department(found.department).policy
    again = next_try_at or now + timedelta(minutes=policy.call_again_minutes)

    def write() -> None:
        database = hospital.database
        receipts.keep(database, key, "call", str(call), epoch(now))
        patients.touch(database, found.patient)
        row = database.rows(
            "UPDATE call_entry SET misses = misses + ?, result = ?, next_try_at = ? WHERE id = ? AND closed_at IS NULL "
            "RETURNING misses",
            int(outcome == "not_reached"), outcome, epoch(again), call,
        )  # fmt: skip
        if not row:
            raise Conflict("call_over", OVER)
        if outcome != "not_reached" or row[0][0] >= DESK_AFTER:
            database.rows(
                "UPDATE call_entry SET closed_at = ?, closed_by = ? WHERE id = ? RETURNING id", epoch(now), actor.name, call
            )
            if outcome != "reached":
                _to_the_desk(hospital, found, now)
        audit.record(database, actor, "call.result", "call", str(call), epoch(now), result=outcome)

    hospital.database.write(write)
    return call_of(hospital.database, call)


def _to_the_desk(hospital: Hospital, found: Call, now: datetime) -> None:
    desk.open_task(
        hospital.database, UNREACHABLE, found.department, found.patient, None, now, hospital.settings.desk_deadline,
        appointment=found.appointment_id,
    )  # fmt: skip


def _calls(database: Database, clause: str, *values: Any) -> list[Call]:
    return [
        Call(
            row[0], row[1], row[2], row[3], row[4], row[5], instant(row[6]), row[7], row[8], Text(row[9], row[10]),
            instant(row[11]), instant(row[12]), row[13], row[14], row[15] is not None, row[16], row[17],
        )
        for row in database.rows(f"{ENTRY} {clause}", *values)
    ]  # fmt: skip
