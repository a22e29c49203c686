"""Seats that came free and are not given out yet: kept back with the change that freed them, ended by who gets them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from examlane.capacity import slots
from examlane.capacity.catalogue import Catalogue
from examlane.storage.daily import FreedTime, WithheldSeat
from examlane.storage.database import Database
from examlane.storage.fields import epoch, instant

HELD = "SELECT slot_id, seats FROM claim WHERE appointment_id = ? AND released_at IS NULL ORDER BY slot_id"
WAITING = """SELECT 1 FROM waiting_entry WHERE department = ? AND state = 'active' AND from_day <= ? AND until_day >= ?
LIMIT 1"""
STRETCH = "SELECT min(start_at), max(end_at) FROM slot WHERE id IN ({marks})"
END = "UPDATE freed_time SET state = ?, ended_at = ? WHERE id = ? AND state = 'open' RETURNING id"
GIVEN_OUT = "UPDATE withheld_seat SET ended_at = ? WHERE freed_id = ? AND ended_at IS NULL RETURNING slot_id, seats"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A time that an appointment gives up; `delayed`: by the patient himself, so that he cannot hand it to anybody."""

    appointment: int
    department: str
    group: str
    why: str
    delayed: bool


def seats_of(database: Database, appointment: int) -> list[tuple[int, int]]:
    """The (slot, seats) an appointment holds; to be read before it gives them up."""
    return [(slot, seats) for slot, seats in database.rows(HELD, appointment)]


def keep_back(
    database: Database, catalogue: Catalogue, given_up: GivenUp, seats: Sequence[tuple[int, int]], now: datetime,
    notice: timedelta,
) -> None:  # fmt: skip
    """Withhold seats that were just released: for a random time where the patient gave them up and the department
    wants that, and until they were offered where somebody waits. What is too near for anybody is free at once.
    """
    if not seats:
        return
    starts_at, ends_at = _stretch(database, seats)
    latest = starts_at - notice
    day = catalogue.calendar.day_of(starts_at).isoformat()
    longest = catalogue.department(given_up.department).policy.cancelled_seat_delay_minutes if given_up.delayed else 0
    if latest <= now or not (longest or database.row(WAITING, given_up.department, day, day)):
        return
    kept = [(slot, number) for slot, number in sorted(seats) if slots.withhold(database, slot, number)]
    if not kept:
        return
    returns_at = min(latest, now + timedelta(seconds=random.randint(1, longest * 60) if longest else 0))
    starts_at, ends_at = _stretch(database, kept)
    freed = database.insert(
        FreedTime, appointment=given_up.appointment, department=given_up.department,
        group=catalogue.group_ids[given_up.group], day=day, start_at=epoch(starts_at), end_at=epoch(ends_at),
        why=given_up.why, since=epoch(now), return_at=epoch(returns_at), due_at=epoch(now),
    )  # fmt: skip
    for slot, number in kept:
        database.insert(WithheldSeat, freed=freed, slot=slot, seats=number)


def end(database: Database, freed: int, state: str, now: datetime) -> bool:
    """End a freed time: its seats are given out, in the transaction that takes them or for everybody.

    False when it had ended already: exactly one of those who try gets True.
    """
    if not database.rows(END, state, epoch(now), freed):
        return False
    for slot, number in sorted(database.rows(GIVEN_OUT, epoch(now), freed)):
        slots.give_out(database, slot, number)
    return True


def _stretch(database: Database, seats: Sequence[tuple[int, int]]) -> tuple[datetime, datetime]:
    marks = ", ".join("?" for _ in seats)
    start, end_at = database.rows(STRETCH.format(marks=marks), *(slot for slot, _ in seats))[0]
    return instant(start), instant(end_at)
