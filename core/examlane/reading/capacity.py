"""What there is to book: slots with their seats, counted by day and group, and the rosters they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from examlane.storage.database import Database, where
from examlane.storage.fields import instant, maybe_instant

SLOTS = """SELECT s.id, r.code, g.code, s.audience, s.day, s.start_at, s.end_at, s.capacity, s.extra, s.taken, s.withheld,
s.closed"""
PLACES = """FROM slot s JOIN resource r ON r.id = s.resource_id JOIN resource_group g ON g.id = r.group_id
JOIN department d ON d.id = g.department_id"""
FREE = "CASE WHEN s.closed = 0 AND s.start_at >= ? THEN s.capacity + s.extra - s.taken - s.withheld ELSE 0 END"
COUNTS = f"""SELECT g.code, d.code, s.day, s.audience, sum(CASE WHEN s.closed = 0 THEN s.capacity + s.extra ELSE 0 END),
sum(s.taken), sum({FREE}), min(CASE WHEN s.is_open = 1 AND s.start_at >= ? THEN s.start_at END) {PLACES}"""
ROSTERS = """SELECT t.id, r.code, g.code, t.weekday, t.starts_minute, t.ends_minute, t.capacity, t.audience, t.cycle_weeks,
t.week, t.valid_from, t.valid_to FROM roster t JOIN resource r ON r.id = t.resource_id
JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id"""
CHANGES = """SELECT t.id, r.code, g.code, t.day, t.kind, t.starts_minute, t.ends_minute, t.capacity, t.audience, o.code,
t.reason, t.actor, t.created_at FROM roster_change t JOIN resource r ON r.id = t.resource_id
JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id
LEFT JOIN resource o ON o.id = t.other_resource_id"""


@dataclass(frozen=True, slots=True)
class SlotRow:
    """A slot of a resource for one audience: `free` seats can be booked now."""

    id: int
    resource: str
    group: str
    audience: str
    day: str
    starts_at: datetime
    ends_at: datetime
    capacity: int
    extra: int
    taken: int
    withheld: int
    closed: bool

    def free(self, now: datetime) -> int:
        return 0 if self.closed or self.starts_at < now else self.capacity + self.extra - self.taken - self.withheld


@dataclass(frozen=True, slots=True)
class DayCount:
    """The seats of a group on a business date for one audience, those still free, and the first start that is."""

    group: str
    department: str
    day: str
    audience: str
    seats: int
    taken: int
    free: int
    first_free: datetime | None

    @property
    def key(self) -> str:
        return f"{self.day}/{self.group}/{self.audience}"


@dataclass(frozen=True, slots=True)
class RosterRow:
    """A weekly stretch of open time of a resource, in minutes after midnight of a weekday (1 = Monday)."""

    id: int
    resource: str
    group: str
    weekday: int
    starts_minute: int
    ends_minute: int
    capacity: int
    audience: str
    cycle_weeks: int
    week: int
    valid_from: str | None
    valid_to: str | None


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A dated change of a roster: stop, swap, replace or add, with who made it and why."""

    id: int
    resource: str
    group: str
    day: str
    kind: str
    starts_minute: int | None
    ends_minute: int | None
    capacity: int | None
    audience: str
    other: str | None
    reason: str
    actor: str
    created_at: datetime


def slots(
    database: Database, *, departments: Sequence[str] = (), group: str = "", resource: str = "", audience: str = "",
    day: str = "", free: bool = False, after: int = 0, limit: int = 50,
) -> list[SlotRow]:  # fmt: skip
    """The slots of a business date, in a stable order; `free`: only those with a seat left."""
    condition, values = where(
        ("s.day = ?", day), ("s.id > ?", after), ("d.code IN", tuple(departments)), ("g.code = ?", group),
        ("r.code = ?", resource), ("s.audience = ?", audience), ("s.is_open = ?", 1 if free else None),
    )  # fmt: skip
    rows = database.rows(f"{SLOTS} {PLACES} WHERE {condition} ORDER BY s.id LIMIT ?", *values, limit)
    return [
        SlotRow(
            key, resource, code, kind, day, instant(start), instant(end), capacity, extra, taken, withheld, bool(closed)
        )
        for key, resource, code, kind, day, start, end, capacity, extra, taken, withheld, closed in rows
    ]  # fmt: skip


def counts(
    database: Database, now: int, *, departments: Sequence[str] = (), group: str = "", audience: str = "", since: str,
    until: str, after: str = "", limit: int = 50,
) -> list[DayCount]:  # fmt: skip
    """Seats by business date, group and audience, within some days."""
    day, _, rest = after.partition("/")
    code, _, kind = rest.partition("/")
    condition, values = where(
        ("s.day >= ?", max(since, day)), ("s.day <= ?", until), ("d.code IN", tuple(departments)), ("g.code = ?", group),
        ("s.audience = ?", audience),
    )  # fmt: skip
    later = "(s.day > ? OR (s.day = ? AND (g.code > ? OR (g.code = ? AND s.audience > ?))))"
    rows = database.rows(
        f"{COUNTS} WHERE {condition} AND {later} GROUP BY g.code, d.code, s.day, s.audience "
        "ORDER BY s.day, g.code, s.audience LIMIT ?",
        now, now, *values, day, day, code, code, kind, limit,
    )  # fmt: skip
    return [
        DayCount(group, department, day, kind, int(seats), int(taken), int(free), maybe_instant(first))
        for group, department, day, kind, seats, taken, free, first in rows
    ]


def rosters(
    database: Database, *, departments: Sequence[str] = (), group: str = "", resource: str = "", after: int = 0,
    limit: int = 50,
) -> list[RosterRow]:  # fmt: skip
    """Weekly rosters, in the order they were entered."""
    condition, values = where(
        ("t.id > ?", after), ("d.code IN", tuple(departments)), ("g.code = ?", group), ("r.code = ?", resource)
    )
    return [RosterRow(*row) for row in database.rows(f"{ROSTERS} WHERE {condition} ORDER BY t.id LIMIT ?", *values, limit)]


def roster_changes(
    database: Database, *, departments: Sequence[str] = (), group: str = "", resource: str = "", since: str = "",
    until: str = "", after: int = 0, limit: int = 50,
) -> list[ChangeRow]:  # fmt: skip
    """Dated changes of rosters, in the order they were made."""
    condition, values = where(
        ("t.id > ?", after), ("d.code IN", tuple(departments)), ("g.code = ?", group), ("r.code = ?", resource),
        ("t.day >= ?", since), ("t.day <= ?", until),
    )  # fmt: skip
    rows = database.rows(f"{CHANGES} WHERE {condition} ORDER BY t.id LIMIT ?", *values, limit)
    return [
        ChangeRow(
            key, resource, code, day, kind, starts, ends, capacity, audience, other, reason, actor, instant(at)
        )
        for key, resource, code, day, kind, starts, ends, capacity, audience, other, reason, actor, at in rows
    ]  # fmt: skip
