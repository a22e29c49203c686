"""Some exams leave a visit: what remains keeps its start and number, and the rest of the seats is free."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from examlane.appointments import status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.hospital import Hospital
from examlane.orders.snapshot import Snapshot
from examlane.planning.planner import Planner
from examlane.records.audit import Actor
from examlane.storage.fields import epoch
from examlane.visit import Visit

LEAVE = """UPDATE appointment_item SET active = 0, outcome = ?, held_until = NULL WHERE appointment_id = ? AND active = 1
AND order_item_id IN (SELECT id FROM order_item WHERE key = ?) RETURNING id"""
SEGMENTS = "SELECT start_at, end_at FROM appointment_segment WHERE appointment_id = ? ORDER BY position"


@dataclass(frozen=True, slots=True)
class Leaving:
    """Who leaves a visit, and when each of its segments ends then (UTC seconds); nobody remains: no ends."""

    visit: AppointmentStatus
    items: tuple[str, ...]
    ends: tuple[int, ...]


def plan(hospital: Hospital, state: Snapshot, number: str, items: Collection[str]) -> Leaving:
    """What a visit becomes without some of its items. Asks the department's rules, so outside any transaction."""
    current = status.appointment(hospital, number)
    active = _active(hospital, current.id)
    going = tuple(key for key in active if key in items)
    remaining = [key for key in active if key not in items]
    ends = _ends(hospital, state, current, remaining) if remaining else ()
    return Leaving(current, going, ends)


def write(hospital: Hospital, leaving: Leaving, actor: Actor, *, reason: str, outcome: str, after: str) -> None:
    """Let the items go, in the caller's write transaction; a visit that nobody needs becomes `after`."""
    database, current, now = hospital.database, leaving.visit, hospital.clock.now()
    for key in leaving.items:
        database.rows(LEAVE, outcome, current.id, key)
    if leaving.ends:
        visits.shrink(database, current.id, current.version, current.state, leaving.ends, actor, now, reason=reason)
    else:
        visits.change_state(database, current.id, current.version, current.state, after, actor, now, reason=reason)


def _active(hospital: Hospital, appointment: int) -> list[str]:
    rows = hospital.database.rows(
        "SELECT oi.key FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id "
        "WHERE ai.appointment_id = ? AND ai.active = 1 ORDER BY oi.id",
        appointment,
    )
    return [key for (key,) in rows]


def _ends(hospital: Hospital, state: Snapshot, current: AppointmentStatus, remaining: Sequence[str]) -> tuple[int, ...]:
    """The new ends of the segments; as they are where the rules no longer make one visit of what remains."""
    times = hospital.database.rows(SEGMENTS, current.id)
    items = [item for item in state.items if item.key in remaining]
    made = Planner(hospital, state, hospital.clock.now()).requirements(current.department, items) if items else None
    minutes = _minutes(made[0], current.group) if made and len(made) == 1 and len(items) == len(remaining) else ()
    if len(minutes) != len(times):
        return tuple(end for _, end in times)
    return tuple(min(end, start + 60 * length) for (start, end), length in zip(times, minutes, strict=True))


def _minutes(visit: Visit, group: str) -> tuple[int, ...]:
    option = next((option for option in visit.options if option.group == group), None)
    return tuple(segment.minutes for segment in option.segments) if option else ()


def until_end_of_next_working_day(hospital: Hospital) -> int:
    """Midnight after the next day on which the hospital works (UTC seconds): make-up workdays count, holidays do not."""
    calendar = hospital.calendar
    day = calendar.day_of(hospital.clock.now()) + timedelta(days=1)
    while calendar.weekday(day) in (None, 6, 7):
        day += timedelta(days=1)
    return epoch(calendar.midnight(day + timedelta(days=1)))
