"""Freed times find takers: who waits is considered by urgency and date of order, offered to or booked, and logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from examlane.appointments import choosing, status
from examlane.appointments.states import MOVABLE
from examlane.capacity import withheld
from examlane.capacity.policy import DepartmentPolicy
from examlane.errors import NotFound, Refused, StalePlan
from examlane.hospital import Hospital
from examlane.records import audit, jobs
from examlane.records.audit import SYSTEM
from examlane.storage.database import Database, where
from examlane.storage.fields import epoch, instant
from examlane.waiting import offers, waitlist
from examlane.waiting.waitlist import Entry

SWEEP_SECONDS = 60
LEAST_THOUGHT = timedelta(minutes=1)
DUE = "SELECT id FROM freed_time WHERE state = 'open' AND due_at <= ? ORDER BY due_at, id LIMIT ?"
FREED = """SELECT f.id, f.appointment_id, f.department, g.code, c.code, f.day, f.start_at, f.end_at, f.return_at, f.due_at,
(SELECT count(*) FROM withheld_seat w JOIN slot s ON s.id = w.slot_id WHERE w.freed_id = f.id AND s.closed = 1)
FROM freed_time f JOIN resource_group g ON g.id = f.group_id JOIN campus c ON c.id = g.campus_id WHERE f.id = ?"""
IN_ORDER = """SELECT w.id, coalesce(w.appointment_id, 0), coalesce(l.outcome, ''),
(SELECT count(*) FROM offer o WHERE o.entry_id = w.id AND o.state = 'open')
FROM waiting_entry w LEFT JOIN waiting_log l ON l.freed_id = ? AND l.entry_id = w.id
WHERE w.department = ? AND w.state = 'active' AND w.from_day <= ? AND w.until_day >= ?
ORDER BY w.urgent DESC, w.ordered_at, w.id"""
TAKE = "UPDATE freed_time SET due_at = ? WHERE id = ? AND state = 'open' AND due_at = ? RETURNING id"
LOG = """INSERT INTO waiting_log (freed_id, entry_id, place, outcome, reason, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (freed_id, entry_id) DO UPDATE SET place = excluded.place, outcome = excluded.outcome,
reason = excluded.reason, at = excluded.at RETURNING id"""
LOGGED = """SELECT l.id, l.freed_id, f.department, g.code, f.start_at, l.entry_id, l.place, w.urgent, w.ordered_at,
l.outcome, l.reason, l.at FROM waiting_log l JOIN freed_time f ON f.id = l.freed_id
JOIN resource_group g ON g.id = f.group_id JOIN waiting_entry w ON w.id = l.entry_id"""


@dataclass(frozen=True, slots=True)
class Freed:
    """A freed time that is being looked at."""

    id: int
    appointment: int
    department: str
    group: str
    campus: str
    day: str
    start_at: int
    end_at: int
    return_at: int
    due_at: int
    closed: int

    @property
    def starts_at(self) -> datetime:
        return instant(self.start_at)


@dataclass(frozen=True, slots=True)
class Considered:
    """What was found about one entry: its place in the order, why it was skipped, or which start it may have."""

    entry: Entry
    place: int
    reason: str = ""
    starts_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the fairness log; it names no patient."""

    id: int
    freed: int
    department: str
    group: str
    starts_at: datetime
    entry: int
    place: int
    urgent: bool
    ordered_at: datetime
    outcome: str
    reason: str
    at: datetime


def turn(hospital: Hospital, limit: int = 20) -> int:
    """The worker's part: end entries that are over, and deal with the freed times that are due; returns how many."""
    now = epoch(hospital.clock.now())
    if jobs.take_tick(hospital.database, "waiting", now, SWEEP_SECONDS):
        waitlist.sweep(hospital)
    return sum(deal_with(hospital, freed) for (freed,) in hospital.database.rows(DUE, now, limit))


def deal_with(hospital: Hospital, freed: int) -> bool:
    """Offer a freed time to whoever is next, give it unasked where that was agreed, or return it to everybody.

    False when another process was faster.
    """
    row = hospital.database.row(FREED, freed)
    if row is None:
        raise NotFound("freed time", str(freed))
    found, now = Freed(*row), hospital.clock.now()
    last = found.starts_at - hospital.settings.notice
    if found.closed or now + LEAST_THOUGHT > last:
        return _return(hospital, found, "lost" if found.closed else "returned")
    policy = hospital.catalogues.current().department(found.department).policy
    considered = _consider(hospital, found, _wanted(hospital, found, policy, now))
    if considered and (taken := considered[-1]).starts_at and _unasked(hospital, taken):
        if _given(hospital, found, considered):
            return True
        considered[-1] = Considered(taken.entry, taken.place, "changed")
    expires_at = min(last, now + timedelta(minutes=policy.offer_minutes))
    return hospital.database.write(partial(_write, hospital, found, considered, expires_at))


def log(database: Database, departments: Sequence[str], after: int, limit: int) -> list[LogLine]:
    """The fairness log of departments (none named: all), page by page."""
    condition, values = where(("l.id > ?", after), ("f.department IN", tuple(departments)))
    rows = database.rows(f"{LOGGED} WHERE {condition} ORDER BY l.id LIMIT ?", *values, limit)
    return [
        LogLine(
            key, freed, code, group, instant(start), entry, place, bool(urgent), instant(ordered), outcome, reason,
            instant(at),
        )
        for key, freed, code, group, start, entry, place, urgent, ordered, outcome, reason, at in rows
    ]  # fmt: skip


def _wanted(hospital: Hospital, found: Freed, policy: DepartmentPolicy, now: datetime) -> int:
    """To how many more it may be offered now."""
    near = found.starts_at - now <= timedelta(minutes=policy.offer_near_minutes)
    asked = hospital.database.value(
        "SELECT count(*) FROM offer WHERE freed_id = ? AND state = 'open' AND expires_at > ?", found.id, epoch(now)
    )
    return (policy.offers_at_once if near else 1) - int(asked)


def _consider(hospital: Hospital, found: Freed, wanted: int) -> list[Considered]:
    """The entries in their order, each looked at, until enough may have the time; who agreed to be moved unasked is
    the last of them.
    """
    rows = hospital.database.rows(IN_ORDER, found.id, found.department, found.day, found.day) if wanted > 0 else []
    seats = offers.seats_of(hospital.database, found.id)
    considered: list[Considered] = []
    fits = 0
    for place, (key, appointment, outcome, asked) in enumerate(rows, 1):
        if outcome not in ("", "skipped"):
            continue
        entry = waitlist.entry_of(hospital.database, key)
        reason = "own_time" if appointment == found.appointment else "has_offer" if asked else _unfit(hospital, found, entry)
        if reason:
            considered.append(Considered(entry, place, reason))
            continue
        one = _fitted(hospital, found, entry, place, seats)
        considered.append(one)
        fits += one.starts_at is not None
        if fits == wanted or (one.starts_at and _unasked(hospital, one)):
            break
    return considered


def _unfit(hospital: Hospital, found: Freed, entry: Entry) -> str:
    """Why an entry does not want this time, as far as its own word says."""
    if (entry.groups and found.group not in entry.groups) or (entry.campuses and found.campus not in entry.campuses):
        return "other_place"
    if found.starts_at - hospital.clock.now() < timedelta(minutes=entry.notice_minutes):
        return "too_near"
    return ""


def _fitted(hospital: Hospital, found: Freed, entry: Entry, place: int, seats: dict[int, int]) -> Considered:
    """Whether an entry can have the time by every rule, and from when."""
    current = status.appointment(hospital, entry.appointment) if entry.appointment else None
    if current and (current.state not in MOVABLE or current.starts_at <= found.starts_at):
        return Considered(entry, place, "not_earlier")
    try:
        starts_at = choosing.first_fit(hospital, entry.waiting, found.group, seats, found.starts_at, instant(found.end_at))
    except Refused as refusal:
        return Considered(entry, place, refusal.code)
    except StalePlan:
        return Considered(entry, place, "changed")
    if current and starts_at >= current.starts_at:
        return Considered(entry, place, "not_earlier")
    return Considered(entry, place, starts_at=starts_at)


def _unasked(hospital: Hospital, one: Considered) -> bool:
    """Whether a patient is moved without being asked: he agreed, and neither time is inside the freeze time."""
    frozen_until = hospital.clock.now() + hospital.settings.freeze
    if not one.entry.automatic or one.starts_at is None or one.starts_at <= frozen_until:
        return False
    return not one.entry.appointment or status.appointment(hospital, one.entry.appointment).starts_at > frozen_until


def _given(hospital: Hospital, found: Freed, considered: list[Considered]) -> bool:
    """Book or move the last of those considered at once; False when that is no longer possible."""
    taken = considered[-1]
    assert taken.starts_at is not None

    def claim() -> None:
        database, now = hospital.database, hospital.clock.now()
        if not withheld.end(database, found.id, "given", now):
            raise StalePlan("somebody else has the time")
        _write_log(database, found, considered, now)
        offers.given(database, found.id, taken.entry.id, now)
        audit.record(database, SYSTEM, "waiting.given", "waiting", str(taken.entry.id), epoch(now))

    try:
        choosing.take_offered(
            hospital, taken.entry.waiting, found.group, taken.starts_at, offers.seats_of(hospital.database, found.id),
            claim, SYSTEM, by_patient=False,
        )  # fmt: skip
    except Refused:
        return False
    return True


def _write(hospital: Hospital, found: Freed, considered: list[Considered], expires_at: datetime) -> bool:
    database, now = hospital.database, hospital.clock.now()
    if not database.rows(TAKE, found.due_at, found.id, found.due_at):
        return False
    offers.expire(database, found.id, now)
    _write_log(database, found, considered, now)
    chosen = [one for one in considered if one.starts_at is not None and _still_waits(database, one.entry)]
    for one in chosen:
        offers.make(hospital, found.id, one.entry, found.group, one.starts_at or found.starts_at, expires_at)
    until = database.value("SELECT min(expires_at) FROM offer WHERE freed_id = ? AND state = 'open'", found.id)
    if until is None and found.return_at <= epoch(now):
        return withheld.end(database, found.id, "returned", now)
    database.rows(TAKE, until or found.return_at, found.id, found.due_at)
    return True


def _still_waits(database: Database, entry: Entry) -> bool:
    """He may have been withdrawn, paused or offered another time in this very moment."""
    return not database.value(
        "SELECT count(*) FROM waiting_entry w WHERE w.id = ? AND (w.state <> 'active' OR EXISTS "
        "(SELECT 1 FROM offer o WHERE o.entry_id = w.id AND o.state = 'open'))",
        entry.id,
    )


def _write_log(database: Database, found: Freed, considered: list[Considered], now: datetime) -> None:
    for one in considered:
        outcome = "skipped" if one.starts_at is None else "offered"
        database.rows(LOG, found.id, one.entry.id, one.place, outcome, one.reason, epoch(now))


def _return(hospital: Hospital, found: Freed, state: str) -> bool:
    def write() -> bool:
        now = hospital.clock.now()
        ended = withheld.end(hospital.database, found.id, state, now)
        for offer, entry in hospital.database.rows(offers.OTHERS, epoch(now), found.id) if ended else ():
            offers.tell_gone(hospital.database, offer, entry, epoch(now))
        return ended

    return hospital.database.write(write)
