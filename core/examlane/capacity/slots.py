"""Slot rows: finding the first open one, claiming seats, releasing and withholding them.

The only file that changes `taken` and `withheld`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from math import inf
from typing import NamedTuple

from examlane.errors import SlotTaken
from examlane.storage.database import Database, Row

TAKE = """UPDATE slot SET taken = taken + ?, is_open = CASE WHEN taken + withheld + ? < capacity + extra THEN 1 ELSE 0 END
WHERE id = ? AND closed = 0 AND taken + withheld + ? <= capacity + extra RETURNING id"""
GIVE_BACK = """UPDATE slot SET taken = taken - ?, is_open = CASE WHEN closed = 1 THEN 0 ELSE 1 END
WHERE id = ? RETURNING id"""
ADD_EXTRA = """UPDATE slot SET extra = extra + ?, is_open = CASE WHEN closed = 1 THEN 0 ELSE 1 END
WHERE id = ? RETURNING id"""
WITHHOLD = """UPDATE slot SET withheld = withheld + ?,
is_open = CASE WHEN taken + withheld + ? < capacity + extra THEN 1 ELSE 0 END
WHERE id = ? AND closed = 0 AND taken + withheld + ? <= capacity + extra RETURNING id"""
GIVE_OUT = """UPDATE slot SET withheld = withheld - ?, is_open = CASE WHEN closed = 1 THEN 0 ELSE 1 END
WHERE id = ? RETURNING id"""


CHUNK = 500


class SlotRow(NamedTuple):
    id: int
    resource: int
    audience: str
    start_at: int
    end_at: int
    free: int


class Audience(NamedTuple):
    """A kind of seats (号源类别) a patient may use; reserved ones only up to an instant (whole UTC seconds)."""

    name: str
    until: int | None = None


def take(database: Database, seats: Iterable[tuple[int, int]]) -> None:
    """Claim (slot id, seats) pairs in id order, all or nothing; raises `SlotTaken`. Inside a write transaction."""
    for slot, number in sorted(seats):
        if not database.rows(TAKE, number, number, slot, number):
            raise SlotTaken(f"slot {slot} is no longer free")


def give_back(database: Database, seats: Iterable[tuple[int, int]]) -> None:
    for slot, number in sorted(seats):
        database.rows(GIVE_BACK, number, slot)


def withhold(database: Database, slot: int, seats: int) -> bool:
    """Keep free seats from being given out; False when somebody has them already."""
    return bool(database.rows(WITHHOLD, seats, seats, slot, seats))


def give_out(database: Database, slot: int, seats: int) -> None:
    """Withheld seats are free again; those of a closed slot stay closed."""
    database.rows(GIVE_OUT, seats, slot)


def add_extra(database: Database, slots: Iterable[SlotRow], seats: int) -> list[int]:
    """Open extra seats (加号) on the slots that lack them; returns which. The caller audits who and why."""
    full = [slot.id for slot in slots if slot.free < seats]
    for slot in sorted(full):
        database.rows(ADD_EXTRA, seats, slot)
    return full


def close(database: Database, slots: Sequence[int]) -> None:
    """Give nothing more out on some slots; who holds a seat there keeps it."""
    for ids in _chunks(slots):
        database.rows(f"UPDATE slot SET closed = 1, is_open = 0 WHERE id IN ({_marks(ids)}) RETURNING id", *ids)


def reopen(database: Database, slots: Sequence[int]) -> None:
    """Give out again what is free on some slots."""
    for ids in _chunks(slots):
        database.rows(
            "UPDATE slot SET closed = 0, is_open = CASE WHEN taken + withheld < capacity + extra THEN 1 ELSE 0 END "
            f"WHERE id IN ({_marks(ids)}) RETURNING id",
            *ids,
        )


def _chunks(slots: Sequence[int]) -> list[Sequence[int]]:
    ordered = sorted(slots)
    return [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]


def _marks(values: Sequence[int]) -> str:
    return ", ".join("?" for _ in values)


def first_open(database: Database, resources: Sequence[int], audiences: Sequence[Audience], not_before: int) -> int | None:
    """The start of the first slot with a free seat on any of the resources, in whole UTC seconds.

    One index look-up a resource, whatever the horizon and however full the calendar is.
    """
    if not resources:
        return None
    statement = _first_open(len(audiences), len(resources))
    names = [audience.name for audience in audiences]
    starts: dict[str, int] = dict(database.rows(statement, not_before, *names, *resources))
    return min(
        (
            start
            for audience in audiences
            if (start := starts.get(audience.name)) is not None
            if audience.until is None or start <= audience.until
        ),
        default=None,
    )


@cache
def _first_open(audiences: int, resources: int) -> str:
    marks = ", ".join("?" for _ in range(resources))
    names = ", ".join("(?)" for _ in range(audiences))
    return f"""SELECT a.column1, min((SELECT s.start_at FROM slot s WHERE s.resource_id = r.id AND s.audience = a.column1
AND s.start_at >= ? AND s.is_open = 1 ORDER BY s.start_at LIMIT 1)) FROM (VALUES {names}) a, resource r
WHERE r.id IN ({marks}) GROUP BY a.column1 ORDER BY a.column1"""


def open_on(
    database: Database, resources: Sequence[int], day: date, audiences: Sequence[Audience], freed: dict[int, int]
) -> list[SlotRow]:
    """The open slots of some resources on a business date; `freed` slots count as having those seats more."""
    if not resources:
        return []
    rows = database.rows(_slots_of_day(len(resources), len(freed)), day.isoformat(), *resources, *freed)
    return [_with_freed(slot, freed) for slot in _offered(rows, audiences)]


def open_between(
    database: Database, resources: Sequence[int], start: int, end: int, audiences: Sequence[Audience]
) -> list[SlotRow]:
    """The open slots of some resources that lie within a stretch of time, earliest first."""
    rows = database.rows(_slots_between(len(resources)), *resources, start, end)
    return _offered(rows, audiences)


def rostered_between(database: Database, resources: Sequence[int], start: int, end: int) -> list[SlotRow]:
    """The slots of some resources within a stretch of time that are not closed, full ones and reserved ones included."""
    if not resources:
        return []
    return [SlotRow(*row) for row in database.rows(_rostered_between(len(resources)), *resources, start, end)]


def seats_by_hour(database: Database, resources: Sequence[int], day: date, midnight: int) -> list[tuple[int, int, int]]:
    """(hour of a business date, taken, all) seats of some resources, for the hours that have any."""
    if not resources:
        return []
    rows = database.rows(_seats_by_hour(len(resources)), midnight, day.isoformat(), *resources)
    return [(int(hour), int(taken), int(seats)) for hour, taken, seats in rows]


def _offered(rows: Sequence[Row], audiences: Sequence[Audience]) -> list[SlotRow]:
    until = {audience.name: inf if audience.until is None else audience.until for audience in audiences}
    return [SlotRow._make(row) for row in rows if row[3] <= until.get(row[2], -1)]


def _with_freed(slot: SlotRow, freed: dict[int, int]) -> SlotRow:
    return slot._replace(free=slot.free + freed[slot.id]) if slot.id in freed else slot


COLUMNS = "id, resource_id, audience, start_at, end_at, capacity + extra - taken - withheld"


@cache
def _slots_of_day(resources: int, freed: int) -> str:
    marks = ", ".join("?" for _ in range(resources))
    own = f" OR (closed = 0 AND id IN ({', '.join('?' for _ in range(freed))}))" if freed else ""
    return f"""SELECT {COLUMNS} FROM slot WHERE day = ? AND resource_id IN ({marks}) AND (is_open = 1{own})
ORDER BY start_at, id"""


@cache
def _seats_by_hour(resources: int) -> str:
    marks = ", ".join("?" for _ in range(resources))
    return f"""SELECT (start_at - ?) / 3600, sum(taken), sum(capacity + extra) FROM slot
WHERE day = ? AND resource_id IN ({marks}) AND closed = 0 AND capacity + extra > 0 GROUP BY 1"""


@cache
def _rostered_between(resources: int) -> str:
    marks = ", ".join("?" for _ in range(resources))
    return f"""SELECT {COLUMNS} FROM slot WHERE resource_id IN ({marks}) AND start_at >= ? AND start_at < ?
AND closed = 0 ORDER BY start_at, id"""


@cache
def _slots_between(resources: int) -> str:
    marks = ", ".join("?" for _ in range(resources))
    return f"""SELECT {COLUMNS} FROM slot WHERE resource_id IN ({marks}) AND start_at >= ? AND start_at < ?
AND is_open = 1 ORDER BY start_at, id"""
