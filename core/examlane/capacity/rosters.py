"""Rosters and their dated changes, turned into slot rows. Booked slots are never deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from examlane.capacity import slots
from examlane.capacity.calendar import Calendar
from examlane.records import events
from examlane.records.versions import bump
from examlane.storage.database import Database, Row
from examlane.storage.fields import epoch
from examlane.storage.models import RosterChange, Slot

TEMPLATES = """SELECT r.resource_id, r.weekday, r.starts_minute, r.ends_minute, r.capacity, r.audience, r.cycle_weeks,
r.week, r.valid_from, r.valid_to, g.slice_minutes, d.code
FROM roster r JOIN resource s ON s.id = r.resource_id JOIN resource_group g ON g.id = s.group_id
JOIN department d ON d.id = g.department_id WHERE s.is_active = 1"""
CHANGES = """SELECT c.resource_id, c.day, c.kind, c.starts_minute, c.ends_minute, c.capacity, c.audience,
c.other_resource_id, g.slice_minutes
FROM roster_change c JOIN resource s ON s.id = c.resource_id JOIN resource_group g ON g.id = s.group_id
WHERE c.day BETWEEN ? AND ? AND NOT EXISTS (SELECT 1 FROM suspension u WHERE u.roster_change_id = c.id
AND u.ended_at IS NOT NULL) ORDER BY c.id"""
CLOSURES = """SELECT resource_id, start_at, end_at, day FROM suspension_scope
WHERE closes = 1 AND start_at < ? AND end_at > ?"""
STORED = """SELECT id, resource_id, start_at, audience, end_at, day, capacity + extra, closed FROM slot
WHERE day BETWEEN ? AND ?"""
DEPARTMENTS = """SELECT r.id, d.code FROM resource r JOIN resource_group g ON g.id = r.group_id
JOIN department d ON d.id = g.department_id"""
SLOT_COLUMNS = ("resource", "audience", "day", "start_at", "end_at", "capacity", "is_open")
DAY_SECONDS = 86400
ALONE = "rosters"
"""The counter whose row keeps two processes from aligning slots at once: neither would see what the other closes."""
Key = tuple[int, int, str]
NewSlot = tuple[int, str, str, int, int, int, int]


class Shift(NamedTuple):
    """One stretch of open time of a resource on a business date, in minutes after midnight."""

    starts: int
    ends: int
    capacity: int
    audience: str
    slice_minutes: int


class Template(NamedTuple):
    resource: int
    weekday: int
    shift: Shift
    cycle_weeks: int
    week: int
    valid_from: str
    valid_to: str
    department: str

    def applies(self, day: date, weekday: int | None) -> bool:
        in_cycle = self.cycle_weeks < 2 or _week_number(day) % self.cycle_weeks == self.week
        valid = (self.valid_from or "") <= day.isoformat() <= (self.valid_to or "9999")
        return weekday == self.weekday and in_cycle and valid


@dataclass(frozen=True)
class Change:
    """A dated change of one resource's roster: stop, swap, replace or add (minutes after midnight)."""

    resource: int
    day: date
    kind: str
    reason: str
    actor: str
    starts: int | None = None
    ends: int | None = None
    capacity: int | None = None
    audience: str = "general"
    other: int | None = None


class Closure(NamedTuple):
    """Time of a resource in which nothing is given out; with a `day`, only the slots of that business date."""

    resource: int
    start_at: int
    end_at: int
    day: str | None = None

    def covers(self, resource: int, start_at: int, end_at: int, day: str) -> bool:
        overlaps = self.resource == resource and self.start_at < end_at and start_at < self.end_at
        return overlaps and self.day in (None, day)


@dataclass(frozen=True, slots=True)
class Difference:
    """How the slots of some days differ from what rosters, calendar and closures say.

    `to_close` and `to_reopen` are slots with the number of their seats.
    """

    to_close: Mapping[int, int]
    to_reopen: Mapping[int, int]
    missing: Sequence[NewSlot]
    unwanted: Sequence[int] = ()
    """Slots that no roster wants any more, closed or not."""
    touched: Collection[tuple[int, str]] = ()
    """The resources and days whose slots change."""


def publish(database: Database, calendar: Calendar, days: Sequence[date], now: int) -> int:
    """Create the slots of business dates that are still missing; returns how many. Running it again adds nothing."""
    if not days:
        return 0

    def write() -> int:
        bump(database, ALONE)
        found = difference(database, calendar, days)
        _insert(database, calendar, days, found.missing)
        _tell(database, {(row[0], row[2]) for row in found.missing}, "schedule.published", now)
        return len(found.missing)

    return database.write(write)


def change(database: Database, calendar: Calendar, entry: Change, now: int) -> None:
    """Record a roster change and bring that day's slots in line with it, in the caller's write transaction.

    Slots no longer wanted are deleted when nobody holds them, else closed: their visits stay until they are moved.
    """
    record(database, entry, now)
    resources = [resource for resource in (entry.resource, entry.other) if resource]
    unwanted = align(database, calendar, [entry.day], resources, now).unwanted
    for slot in unwanted:
        if not database.value("SELECT count(*) FROM claim WHERE slot_id = ?", slot):
            database.rows("DELETE FROM slot WHERE id = ? RETURNING id", slot)


def record(database: Database, entry: Change, now: int) -> int:
    """Record a roster change; returns its id. Inside the transaction that aligns the slots."""
    return database.insert(
        RosterChange, resource=entry.resource, day=entry.day.isoformat(), kind=entry.kind, starts_minute=entry.starts,
        ends_minute=entry.ends, capacity=entry.capacity, audience=entry.audience, other_resource=entry.other,
        reason=entry.reason, actor=entry.actor, created_at=now,
    )  # fmt: skip


def align(
    database: Database, calendar: Calendar, days: Sequence[date], resources: Sequence[int] | None, now: int
) -> Difference:
    """Bring some resources' slots in line with what holds, in the caller's write transaction; everybody's on days that
    get their first slots.

    Nothing is deleted: what is no longer wanted is closed, and its visits stay until they are moved.
    """
    bump(database, ALONE)
    found = difference(database, calendar, days, resources)
    slots.close(database, list(found.to_close))
    slots.reopen(database, list(found.to_reopen))
    _insert(database, calendar, days, found.missing)
    _tell(database, found.touched, "schedule.published" if resources is None else "schedule.changed", now)
    return found


def _tell(database: Database, touched: Collection[tuple[int, str]], kind: str, now: int) -> None:
    """Tell peers that a department's rosters of a day are there, or are others: one event a department and day."""
    departments: dict[int, str] = dict(database.rows(DEPARTMENTS)) if touched else {}
    for department, day in sorted({(departments[resource], day) for resource, day in touched}):
        payload = {"department": department, "day": day}
        events.emit(database, "schedule", f"{department}/{day}", kind, payload, now)


def difference(
    database: Database, calendar: Calendar, days: Sequence[date], resources: Sequence[int] | None = None, *,
    changes: Sequence[Change] = (), closures: Sequence[Closure] = (),
) -> Difference:  # fmt: skip
    """What would have to change of some resources' slots (or of all), also if some changes and closures were added."""
    wanted = _wanted(database, calendar, days, resources, changes)
    closed = [*_closures(database, calendar, days), *closures]
    by_resource = {one.resource: [each for each in closed if each.resource == one.resource] for one in closed}
    stored: set[Key] = set()
    to_close: dict[int, int] = {}
    to_reopen: dict[int, int] = {}
    unwanted: list[int] = []
    touched: set[tuple[int, str]] = set()
    for slot, resource, start, audience, end, day, seats, is_closed in _stored(database, days, resources):
        key = (resource, start, audience)
        stored.add(key)
        covered = any(one.covers(resource, start, end, day) for one in by_resource.get(resource, ()))
        if key not in wanted:
            unwanted.append(slot)
        stays = key in wanted and not covered
        if stays == bool(is_closed):
            (to_reopen if stays else to_close)[slot] = seats
            touched.add((resource, day))
    missing = [row for key, row in wanted.items() if key not in stored]
    touched |= {(row[0], row[2]) for row in missing}
    return Difference(to_close, to_reopen, missing, unwanted, touched)


def _stored(database: Database, days: Sequence[date], resources: Sequence[int] | None) -> list[Row]:
    first, last, names = days[0].isoformat(), days[-1].isoformat(), {day.isoformat() for day in days}
    if resources is None:
        rows = database.rows(STORED, first, last)
    else:
        rows = [row for one in resources for row in database.rows(f"{STORED} AND resource_id = ?", first, last, one)]
    return [row for row in rows if row[5] in names]


def _closures(database: Database, calendar: Calendar, days: Sequence[date]) -> list[Closure]:
    since, until = epoch(calendar.midnight(days[0])), epoch(calendar.midnight(days[-1])) + 2 * DAY_SECONDS
    return [Closure(*row) for row in database.rows(CLOSURES, until, since)]


def _insert(database: Database, calendar: Calendar, days: Sequence[date], missing: Sequence[NewSlot]) -> None:
    """Insert new slots, those that a closure covers as closed ones."""
    closures = _closures(database, calendar, days)
    rows = [
        (*row[:-1], int(not covered), int(covered))
        for row in missing
        for covered in (any(one.covers(row[0], row[3], row[4], row[2]) for one in closures),)
    ]
    database.insert_many(Slot, (*SLOT_COLUMNS, "closed"), rows)


def _wanted(
    database: Database, calendar: Calendar, days: Sequence[date], only: Sequence[int] | None, extra: Sequence[Change]
) -> dict[Key, NewSlot]:
    changes = defaultdict(list)
    for row in database.rows(CHANGES, days[0].isoformat(), days[-1].isoformat()):
        changes[row[1]].append((row[0], *row[2:]))
    for one in extra:
        entry = (one.resource, one.kind, one.starts, one.ends, one.capacity, one.audience, one.other, 0)
        changes[one.day.isoformat()].append(entry)
    related = None if only is None else _related(only, [entry for entries in changes.values() for entry in entries])
    templates = [
        Template(row[0], row[1], Shift(row[2], row[3], row[4], row[5], row[10]), row[6], row[7], row[8], row[9], row[11])
        for row in database.rows(TEMPLATES)
        if related is None or row[0] in related
    ]
    found: dict[Key, NewSlot] = {}
    for day in days:
        shifts = _shifts(templates, day, calendar)
        for entry in changes[day.isoformat()]:
            _apply(shifts, *entry)
        for resource, stretches in shifts.items():
            if only is None or resource in only:
                found.update(_slots(calendar, resource, day, stretches))
    return found


def _related(resources: Sequence[int], changes: Sequence[tuple[Any, ...]]) -> set[int]:
    """The resources and all they exchange rosters with, also by way of others."""
    found = set(resources)
    while True:
        more = {one for entry in changes for one in (entry[0], entry[6]) if found & {entry[0], entry[6]} and one}
        if more <= found:
            return found
        found |= more


def _shifts(templates: Iterable[Template], day: date, calendar: Calendar) -> dict[int, list[Shift]]:
    shifts: dict[int, list[Shift]] = defaultdict(list)
    for template in templates:
        if template.applies(day, calendar.weekday(day, template.department)):
            shifts[template.resource].append(template.shift)
    return shifts


def _apply(
    shifts: dict[int, list[Shift]], resource: int, kind: str, starts: int | None, ends: int | None,
    capacity: int | None, audience: str, other: int | None, slice_minutes: int,
) -> None:  # fmt: skip
    if kind == "stop":
        shifts[resource] = _without(shifts[resource], starts or 0, 2880 if ends is None else ends)
    elif kind == "add":
        shifts[resource].append(Shift(starts or 0, ends or 1440, capacity or 1, audience, slice_minutes))
    elif kind == "swap" and other is not None:
        shifts[resource], shifts[other] = shifts[other], shifts[resource]
    elif kind == "replace" and other is not None:
        shifts[other], shifts[resource] = [*shifts[other], *shifts[resource]], []


def _without(stretches: Iterable[Shift], starts: int, ends: int) -> list[Shift]:
    kept = []
    for shift in stretches:
        if shift.starts < starts:
            kept.append(shift._replace(ends=min(shift.ends, starts)))
        if shift.ends > ends:
            kept.append(shift._replace(starts=max(shift.starts, _on_grid(shift, ends))))
    return kept


def _on_grid(shift: Shift, minute: int) -> int:
    """The first start of a slice of a shift at or after a minute: what stops in between leaves no half slice."""
    return shift.starts + -(-(minute - shift.starts) // shift.slice_minutes) * shift.slice_minutes


def _slots(calendar: Calendar, resource: int, day: date, stretches: Iterable[Shift]) -> dict[Key, NewSlot]:
    midnight = epoch(calendar.midnight(day))
    found: dict[Key, NewSlot] = {}
    for starts, ends, capacity, audience, size in stretches:
        for minute in range(starts, ends - size + 1, size):
            start = midnight + minute * 60
            row = (resource, audience, day.isoformat(), start, start + size * 60, capacity, 1)
            found.setdefault((resource, start, audience), row)
    return found


def _week_number(day: date) -> int:
    return (day.toordinal() - 1) // 7
