"""The waiting list: who takes an earlier time, or any time, within which limits, and until when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from examlane.appointments import states, status
from examlane.appointments.choosing import Waiting
from examlane.appointments.states import MOVABLE
from examlane.capacity.catalogue import Catalogue
from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.records import audit, receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.storage.daily import WaitingEntry, WaitingItem
from examlane.storage.database import Database, where
from examlane.storage.fields import dump, epoch, instant

CHANNELS = ("sms", "wechat", "app", "phone")
PAUSED_AFTER = 3
ITEMS = """SELECT oi.id, oi.key, oi.patient_id, d.code, o.priority, o.ordered_at, oi.state,
(SELECT count(*) FROM appointment_item ai WHERE ai.order_item_id = oi.id AND ai.active = 1)
FROM order_item oi JOIN exam_order o ON o.id = oi.order_id JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id WHERE oi.key IN ({marks}) ORDER BY oi.id"""
ENTRY = """SELECT w.id, w.state, w.reason, w.department, p.name, a.number, w.from_day, w.until_day, w.notice_minutes,
w.accepted_campuses, w.accepted_groups, w.channel, w.automatic, w.urgent, w.ordered_at, w.declines, w.created_at
FROM waiting_entry w JOIN patient p ON p.id = w.patient_id LEFT JOIN appointment a ON a.id = w.appointment_id"""
KEYS = """SELECT i.entry_id, oi.key FROM waiting_item i JOIN order_item oi ON oi.id = i.order_item_id
WHERE i.entry_id IN ({marks}) ORDER BY i.id"""
CLOSE = "UPDATE waiting_entry SET state = 'ended', reason = ?, ended_at = ? WHERE id = ? AND ended_at IS NULL RETURNING id"
LISTED = ", ".join(f"'{state}'" for state in sorted(MOVABLE))
BOOKED = """EXISTS (SELECT 1 FROM appointment_item ai JOIN appointment b ON b.id = ai.appointment_id
WHERE ai.order_item_id = oi.id AND ai.active = 1 AND b.state <> 'held')"""
OVER = f"""SELECT w.id, w.patient_id, CASE WHEN a.id IS NOT NULL AND a.state NOT IN ({LISTED}) THEN a.state
WHEN a.start_at <= ? THEN 'passed' WHEN w.until_day < ? THEN 'horizon_over'
WHEN EXISTS (SELECT 1 FROM waiting_item wi JOIN order_item oi ON oi.id = wi.order_item_id
WHERE wi.entry_id = w.id AND {BOOKED}) THEN 'booked' ELSE 'cancelled' END
FROM waiting_entry w LEFT JOIN appointment a ON a.id = w.appointment_id WHERE w.ended_at IS NULL AND (w.until_day < ?
OR a.start_at <= ? OR (a.id IS NOT NULL AND a.state NOT IN ({LISTED}))
OR (a.id IS NULL AND EXISTS (SELECT 1 FROM waiting_item wi JOIN order_item oi ON oi.id = wi.order_item_id
WHERE wi.entry_id = w.id AND (oi.state IN ('cancelled', 'fulfilled') OR {BOOKED}))))"""
NOTHING = Text("请给出检查项目或预约之一", "name either order items or an appointment")
WAITS = Text("已在候补中", "is on the waiting list already")
IS_OVER = Text("该候补已结束", "this entry of the waiting list has ended")
BOOKED_ALREADY = Text("该项目已预约；请按预约号登记候补", "this item is booked already: name its appointment")
NOT_TOGETHER = Text("须为同一患者、同一科室的项目", "the items must be of one patient and one department")


@dataclass(frozen=True, slots=True)
class EntryData:
    """What a patient agrees to: days, how short a notice (minutes), places (none named: all), whether unasked."""

    from_day: date
    until_day: date
    items: tuple[str, ...] = ()
    appointment: str = ""
    notice_minutes: int = 120
    campuses: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    channel: str = "sms"
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the desk sees it; the name is masked."""

    id: int
    state: str
    reason: str
    department: str
    patient: str
    appointment: str
    from_day: str
    until_day: str
    notice_minutes: int
    campuses: tuple[str, ...]
    groups: tuple[str, ...]
    channel: str
    automatic: bool
    urgent: bool
    ordered_at: datetime
    declines: int
    created_at: datetime
    items: tuple[str, ...]

    @property
    def waiting(self) -> Waiting:
        return Waiting(self.items, self.appointment)


@dataclass(frozen=True, slots=True)
class _Subject:
    """Who waits, where, and since when it was ordered."""

    patient: int
    department: str
    appointment: int | None
    items: tuple[int, ...]
    urgent: bool
    ordered_at: int


def join(hospital: Hospital, data: EntryData, actor: Actor, key: RequestKey | None = None) -> Entry:
    """Put a patient on the waiting list, as he agreed. Raises `InvalidInput`, `NotFound`, `Refused`."""
    _check(hospital.catalogues.current(), data, hospital.calendar.day_of(hospital.clock.now()))
    subject = _appointment(hospital, data.appointment) if data.appointment else _items(hospital.database, data.items)

    def write() -> int:
        database, now = hospital.database, epoch(hospital.clock.now())
        patients.touch(database, subject.patient)
        _alone(database, subject)
        entry = _insert(database, data, subject, now)
        receipts.keep(database, key, "waiting", str(entry), now)
        audit.record(database, actor, "waiting.join", "waiting", str(entry), now, department=subject.department)
        database.rows(
            "UPDATE freed_time SET due_at = ? WHERE department = ? AND state = 'open' AND due_at > ? RETURNING id",
            now, subject.department, now,
        )  # fmt: skip
        return entry

    return entry_of(hospital.database, hospital.database.write(write))


def departments_of(database: Database, data: EntryData) -> set[str]:
    """Which departments are asked for a time. Raises `NotFound` for an unknown appointment or item."""
    found = database.value("SELECT department FROM appointment WHERE number = ?", data.appointment)
    if data.appointment and found is None:
        raise NotFound("appointment", data.appointment)
    rows = {row[1]: row[3] for row in _rows(database, data.items)} if data.items else {}
    for key in data.items:
        if key not in rows:
            raise NotFound("order item", key)
    return {*rows.values(), *([found] if found else [])}


def withdraw(hospital: Hospital, entry: int, actor: Actor, key: RequestKey | None = None) -> Entry:
    """The patient no longer waits; an open offer is passed on. Raises `NotFound`, `Conflict`."""
    return _change(hospital, entry, actor, key, "withdrawal")


def resume(hospital: Hospital, entry: int, actor: Actor, key: RequestKey | None = None) -> Entry:
    """A paused entry counts again, its misses forgotten. Raises `NotFound`, `Conflict`."""
    return _change(hospital, entry, actor, key, "resumption")


def _change(hospital: Hospital, entry: int, actor: Actor, key: RequestKey | None, what: str) -> Entry:
    patient = patient_of(hospital.database, entry)

    def write() -> None:
        database, now = hospital.database, hospital.clock.now()
        receipts.keep(database, key, "waiting", str(entry), epoch(now))
        patients.touch(database, patient)
        if what == "withdrawal":
            done = end(database, entry, "withdrawn", now)
        else:
            done = bool(database.rows(
                "UPDATE waiting_entry SET state = 'active', reason = '', declines = 0 WHERE id = ? AND ended_at IS NULL "
                "RETURNING id", entry,
            ))  # fmt: skip
        if not done:
            raise Conflict("waiting_ended", IS_OVER)
        audit.record(database, actor, f"waiting.{what}", "waiting", str(entry), epoch(now))

    hospital.database.write(write)
    return entry_of(hospital.database, entry)


def end(database: Database, entry: int, reason: str, now: datetime) -> bool:
    """End an entry with its open offer, inside a write transaction; False when it had ended before."""
    if not database.rows(CLOSE, reason, epoch(now), entry):
        return False
    database.rows("UPDATE waiting_item SET active = 0 WHERE entry_id = ? RETURNING id", entry)
    offered = database.row("SELECT freed_id FROM offer WHERE entry_id = ? AND state = 'open'", entry)
    if offered:  # the freed time first: whoever deals with its offers holds it
        database.rows(
            "UPDATE freed_time SET due_at = ? WHERE id = ? AND state = 'open' RETURNING id", epoch(now), offered[0]
        )
        database.rows(
            "UPDATE offer SET state = 'gone', answered_at = ? WHERE entry_id = ? AND state = 'open' RETURNING id",
            epoch(now), entry,
        )  # fmt: skip
    return True


def not_taken(database: Database, entry: int) -> None:
    """An offer was declined or let pass: after three times the patient is not asked again until he says so."""
    database.rows(
        "UPDATE waiting_entry SET declines = declines + 1, "
        "reason = CASE WHEN declines + 1 >= ? THEN 'not_taken' ELSE reason END, "
        "state = CASE WHEN declines + 1 >= ? THEN 'paused' ELSE state END WHERE id = ? AND state = 'active' RETURNING id",
        PAUSED_AFTER, PAUSED_AFTER, entry,
    )  # fmt: skip


def sweep(hospital: Hospital) -> int:
    """End what is over: examined, cancelled, given a time, or past its last day; returns how many."""
    now = hospital.clock.now()
    today, at = hospital.calendar.day_of(now).isoformat(), epoch(now)
    over = hospital.database.rows(OVER, at, today, today, at)
    return sum(hospital.database.write(partial(_over, hospital.database, now, *row)) for row in over)


def _over(database: Database, now: datetime, entry: int, patient: int, reason: str) -> bool:
    patients.touch(database, patient)
    if not end(database, entry, reason, now):
        return False
    audit.record(database, SYSTEM, "waiting.end", "waiting", str(entry), epoch(now), reason=reason)
    return True


def entry_of(database: Database, entry: int) -> Entry:
    """One entry. Raises `NotFound`."""
    found = _entries(database, "WHERE w.id = ?", entry)
    if not found:
        raise NotFound("waiting entry", str(entry))
    return found[0]


def entries(database: Database, departments: Sequence[str], state: str, after: int, limit: int) -> list[Entry]:
    """Entries of departments and a state (none named: all), in order of their ids, after one of them."""
    condition, values = where(("w.id > ?", after), ("w.department IN", tuple(departments)), ("w.state = ?", state))
    return _entries(database, f"WHERE {condition} ORDER BY w.id LIMIT ?", *values, limit)


def patient_of(database: Database, entry: int) -> int:
    """Whose entry it is. Raises `NotFound`."""
    patient = database.value("SELECT patient_id FROM waiting_entry WHERE id = ?", entry)
    if patient is None:
        raise NotFound("waiting entry", str(entry))
    return int(patient)


def _entries(database: Database, clause: str, *values: Any) -> list[Entry]:
    rows = database.rows(f"{ENTRY} {clause}", *values)
    if not rows:
        return []
    keys: dict[int, list[str]] = {row[0]: [] for row in rows}
    for entry, item in database.rows(KEYS.format(marks=", ".join("?" for _ in rows)), *keys):
        keys[entry].append(item)
    return [
        Entry(
            row[0], row[1], row[2], row[3], patients.masked(row[4]), row[5] or "", row[6], row[7], row[8],
            tuple(json.loads(row[9])), tuple(json.loads(row[10])), row[11], bool(row[12]), bool(row[13]),
            instant(row[14]), row[15], instant(row[16]), tuple(keys[row[0]]),
        )
        for row in rows
    ]  # fmt: skip


def _check(catalogue: Catalogue, data: EntryData, today: date) -> None:
    problems = []
    if bool(data.items) == bool(data.appointment):
        problems.append(("/items", NOTHING))
    if data.until_day < max(data.from_day, today):
        problems.append(("/until", Text("截止日早于开始日或今天", "is before the first day, or before today")))
    if data.channel not in CHANNELS:
        problems.append(("/channel", Text(f"只能是：{', '.join(CHANNELS)}", f"must be one of: {', '.join(CHANNELS)}")))
    for name, given, known in (("campuses", data.campuses, catalogue.campuses), ("groups", data.groups, catalogue.groups)):
        problems += [(f"/{name}/{n}", Text("未知", "is not known")) for n, one in enumerate(given) if one not in known]
    if problems:
        raise InvalidInput(problems)


def _appointment(hospital: Hospital, number: str) -> _Subject:
    current = status.appointment(hospital, number)
    if current.state not in MOVABLE or current.starts_at <= hospital.clock.now():
        states.check(current.state, "suspended")
        raise Conflict("state_conflict", Text("该预约已不能改期", "this appointment can no longer be moved"), "/appointment")
    rows = _rows(hospital.database, current.items)
    return _Subject(
        current.patient, current.department, current.id, tuple(row[0] for row in rows),
        any(row[4] != "routine" for row in rows), min(row[5] for row in rows),
    )  # fmt: skip


def _items(database: Database, keys: Sequence[str]) -> _Subject:
    rows = _rows(database, keys)
    known = {row[1] for row in rows}
    for key in keys:
        if key not in known:
            raise NotFound("order item", key)
    if len({(row[2], row[3]) for row in rows}) > 1:
        raise Refused("not_one_visit", NOT_TOGETHER, "/items")
    for row in rows:
        place = f"/items/{keys.index(row[1])}"
        if row[7]:
            raise Conflict("already_booked", BOOKED_ALREADY, place)
        if row[6] in ("cancelled", "fulfilled", "rejected"):
            raise Conflict("not_bookable", Text("该项目目前不能预约", "this item cannot be booked now"), place)
    return _Subject(
        rows[0][2], rows[0][3], None, tuple(row[0] for row in rows), any(row[4] != "routine" for row in rows),
        min(row[5] for row in rows),
    )  # fmt: skip


def _rows(database: Database, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    return database.rows(ITEMS.format(marks=", ".join("?" for _ in keys)), *keys)


def _alone(database: Database, subject: _Subject) -> None:
    """One entry an appointment and an item; raises `Conflict` for a second one."""
    marks = ", ".join("?" for _ in subject.items)
    waits = database.value(
        f"SELECT count(*) FROM waiting_item WHERE active = 1 AND order_item_id IN ({marks})", *subject.items
    )
    if waits:
        raise Conflict("already_waiting", WAITS)


def _insert(database: Database, data: EntryData, subject: _Subject, now: int) -> int:
    entry = database.insert(
        WaitingEntry, patient=subject.patient, department=subject.department, appointment=subject.appointment,
        from_day=data.from_day.isoformat(), until_day=data.until_day.isoformat(), notice_minutes=data.notice_minutes,
        accepted_campuses=dump(list(data.campuses)), accepted_groups=dump(list(data.groups)), channel=data.channel,
        automatic=int(data.automatic), urgent=int(subject.urgent), ordered_at=subject.ordered_at, created_at=now,
    )  # fmt: skip
    for item in subject.items:
        database.insert(WaitingItem, entry=entry, order_item=item)
    return entry
