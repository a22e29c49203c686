"""Rosters and their dated changes, turned into slot rows. Booked slots are never deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from examlane.capacity.calendar import Calendar
from examlane.storage.database import Database
from examlane.storage.fields import epoch
from examlane.storage.models import RosterChange, Slot

TEMPLATES = """SELECT r.resource_id, r.weekday, r.starts_minute, r.ends_minute, r.capacity, r.audience, r.cycle_weeks,
r.week, r.valid_from, r.valid_to, g.slice_minutes
FROM roster r JOIN resource s ON s.id = r.resource_id JOIN resource_group g ON g.id = s.group_id
WHERE s.is_active = 1"""
CHANGES = """SELECT c.resource_id, c.day, c.kind, c.starts_minute, c.ends_minute, c.capacity, c.audience,
c.other_resource_id, g.slice_minutes
FROM roster_change c JOIN resource s ON s.id = c.resource_id JOIN resource_group g ON g.id = s.group_id
WHERE c.day BETWEEN ? AND ? ORDER BY c.id"""
SLOT_COLUMNS = ("resource", "audience", "day", "start_at", "end_at", "capacity", "is_open")


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


def publish(database: Database, calendar: Calendar, days: Sequence[date]) -> int:
    """Create the slots of business dates that are still missing; returns how many. Running it again adds nothing."""
    if not days:
        return 0
    wanted = _wanted(database, calendar, days)
    existing = {
        (row[0], row[1], row[2])
        for row in database.rows(
            "SELECT resource_id, start_at, audience FROM slot WHERE day BETWEEN ? AND ?",
            days[0].isoformat(), days[-1].isoformat(),
        )
    }  # fmt: skip
    missing = [slot for key, slot in wanted.items() if key not in existing]
    database.write(lambda: database.insert_many(Slot, SLOT_COLUMNS, missing))
    return len(missing)


def change(database: Database, calendar: Calendar, entry: Change, now: int) -> None:
    """Record a roster change and bring that day's slots in line with it, in the caller's write transaction.

    Slots no longer wanted are deleted when nobody holds them, else closed: their visits stay until they are moved.
    """
    database.insert(
        RosterChange, resource=entry.resource, day=entry.day.isoformat(), kind=entry.kind, starts_minute=entry.starts,
        ends_minute=entry.ends, capacity=entry.capacity, audience=entry.audience, other_resource=entry.other,
        reason=entry.reason, actor=entry.actor, created_at=now,
    )  # fmt: skip
    wanted = _wanted(database, calendar, [entry.day])
    for resource in filter(None, (entry.resource, entry.other)):
        _reconcile(database, resource, entry.day, {key: row for key, row in wanted.items() if key[0] == resource})


def _reconcile(
    database: Database, resource: int, day: date, wanted: dict[tuple[int, int, str], tuple[object, ...]]
) -> None:
    rows = database.rows(
        "SELECT id, resource_id, start_at, audience, taken FROM slot WHERE day = ? AND resource_id = ?",
        day.isoformat(), resource,
    )  # fmt: skip
    existing = {(owner, start, audience): (slot, taken) for slot, owner, start, audience, taken in rows}
    for key, (slot, _taken) in existing.items():
        if key in wanted:
            database.rows(
                "UPDATE slot SET closed = 0, is_open = CASE WHEN taken + withheld < capacity + extra THEN 1 ELSE 0 END "
                "WHERE id = ? RETURNING id",
                slot,
            )
        else:
            _withdraw(database, slot)
    database.insert_many(Slot, SLOT_COLUMNS, [row for key, row in wanted.items() if key not in existing])


def _withdraw(database: Database, slot: int) -> None:
    used = database.value("SELECT count(*) FROM claim WHERE slot_id = ?", slot)
    if used:
        database.rows("UPDATE slot SET closed = 1, is_open = 0 WHERE id = ? RETURNING id", slot)
    else:
        database.rows("DELETE FROM slot WHERE id = ? RETURNING id", slot)


def _wanted(
    database: Database, calendar: Calendar, days: Sequence[date]
) -> dict[tuple[int, int, str], tuple[object, ...]]:
    templates = [
        Template(row[0], row[1], Shift(row[2], row[3], row[4], row[5], row[10]), row[6], row[7], row[8], row[9])
        for row in database.rows(TEMPLATES)
    ]
    changes = defaultdict(list)
    for row in database.rows(CHANGES, days[0].isoformat(), days[-1].isoformat()):
        changes[row[1]].append(row)
    slots: dict[tuple[int, int, str], tuple[object, ...]] = {}
    for day in days:
        shifts = _shifts(templates, day, calendar.weekday(day))
        for entry in changes[day.isoformat()]:
            _apply(shifts, *entry[:1], *entry[2:])
        for resource, stretches in shifts.items():
            slots.update(_slots(calendar, resource, day, stretches))
    return slots


def _shifts(templates: Iterable[Template], day: date, weekday: int | None) -> dict[int, list[Shift]]:
    shifts: dict[int, list[Shift]] = defaultdict(list)
    for template in templates:
        if template.applies(day, weekday):
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
            kept.append(shift._replace(starts=max(shift.starts, ends)))
    return kept


def _slots(
    calendar: Calendar, resource: int, day: date, stretches: Iterable[Shift]
) -> dict[tuple[int, int, str], tuple[object, ...]]:
    midnight = epoch(calendar.midnight(day))
    slots: dict[tuple[int, int, str], tuple[object, ...]] = {}
    for starts, ends, capacity, audience, size in stretches:
        for minute in range(starts, ends - size + 1, size):
            start = midnight + minute * 60
            row = (resource, audience, day.isoformat(), start, start + size * 60, capacity, 1)
            slots.setdefault((resource, start, audience), row)
    return slots


def _week_number(day: date) -> int:
    return (day.toordinal() - 1) // 7
