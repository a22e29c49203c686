"""Who is called next, and when the others may expect it: order, number ahead, expected time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from examlane.errors import NotFound
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.storage.fields import epoch, instant

EMERGENCY, URGENT, ELDERLY, ON_TIME, LATE, WALK_IN = range(6)
"""Who goes first; within one of these, in turn."""
HERE = ("checked_in", "called_absent", "deferred")
BUSY = ("called", "in_progress")
ENTRIES = """SELECT a.number, a.state, a.mode, a.queue_number, a.queue_at, a.queue_rank, a.ready_at, a.absences,
a.period_start_at, a.period_end_at, a.start_at, a.end_at, a.explanation, e.encounter_class, e.needs, p.birth_date,
p.name, (SELECT max(CASE o.priority WHEN 'routine' THEN 0 ELSE 1 END) FROM appointment_item ai
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
WHERE ai.appointment_id = a.id AND ai.active = 1)
FROM appointment a JOIN encounter e ON e.id = a.encounter_id JOIN patient p ON p.id = a.patient_id
WHERE a.group_id = ? AND a.day = ? AND a.mode <> 'bedside'
AND a.state IN ('checked_in', 'called', 'called_absent', 'deferred', 'in_progress') ORDER BY a.id"""
ROOMS = """SELECT count(DISTINCT s.resource_id) FROM slot s JOIN resource r ON r.id = s.resource_id
WHERE r.group_id = ? AND s.day = ? AND s.closed = 0 AND s.end_at > ?"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A patient who is here: his rank, the instant from which it is his turn (UTC seconds), and how long he needs.

    `isolated`: infectious, called last. `ready_at`: not to be called before; `busy`: called or being examined.
    """

    number: str
    rank: int
    turn_at: int
    queue_number: int
    minutes: int
    isolated: bool = False
    ready_at: int | None = None
    out: bool = False
    busy: bool = False
    since: int = 0
    state: str = "checked_in"
    patient: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A patient's place in the queue: how many are called before him, and when he may expect to be."""

    entry: Entry
    ahead: int
    expected_at: datetime


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of a group now: who waits in order, who is in a room, and who waits for something else."""

    group: str
    rooms: int
    waiting: tuple[Place, ...]
    busy: tuple[Entry, ...]
    deferred: tuple[Entry, ...]


def order(entries: Iterable[Entry], now: int) -> list[Entry]:
    """Those who may be called now, first to last: by rank, then in turn; the infectious at the end."""
    callable_now = [one for one in entries if not one.busy and not one.out and (one.ready_at is None or one.ready_at <= now)]
    return sorted(callable_now, key=_key)


def _key(one: Entry) -> tuple[bool, int, int, int, str]:
    return one.isolated, one.rank, one.turn_at, one.queue_number, one.number


def after(entries: Iterable[Entry], absent: str, places: int, now: int) -> tuple[int, int]:
    """The rank and turn with which whoever was called in vain stands behind so many of those who wait."""
    others = [one for one in order(entries, now) if one.number != absent]
    if not others:
        return ON_TIME, now
    last = others[min(places, len(others)) - 1]
    return last.rank, last.turn_at + 1


def expected(
    waiting: Sequence[Entry], busy: Sequence[Entry], rooms: int, now: int, cleaning_minutes: int
) -> list[int]:
    """When each of those who wait may expect to be called (UTC seconds), rooms taking the next one as they come free."""
    free = sorted([max(now, one.since + 60 * _needs(one, cleaning_minutes)) for one in busy])
    free = [now] * max(0, max(1, rooms) - len(free)) + free
    found = []
    for one in waiting:
        starts = free.pop(0)
        found.append(starts)
        free = sorted([*free, starts + 60 * _needs(one, cleaning_minutes)])
    return found


def _needs(one: Entry, cleaning_minutes: int) -> int:
    return one.minutes + (cleaning_minutes if one.isolated else 0)


def entries(hospital: Hospital, group: str) -> list[Entry]:
    """Everybody who is here for a group today. Raises `NotFound`."""
    catalogue = hospital.catalogues.current()
    if group not in catalogue.groups:
        raise NotFound("group", group)
    policy = catalogue.department(catalogue.groups[group].department).policy
    today = catalogue.calendar.day_of(hospital.clock.now())
    rows = hospital.database.rows(ENTRIES, catalogue.group_ids[group], today.isoformat())
    return [_entry(row, today, policy.elderly_age, policy.absent_limit) for row in rows]


def _entry(row: Sequence[object], today: date, elderly_age: int, absent_limit: int) -> Entry:
    (number, state, mode, queue_number, queue_at, queue_rank, ready_at, absences, period_start, period_end, start, end,
     explanation, encounter_class, needs, birth_date, name, urgent) = row  # fmt: skip
    here_at = int(str(queue_at or start))
    turn = max(here_at, int(str(period_start)))
    late = json.loads(str(explanation)).get("code") == "late_arrival" or here_at > int(str(period_end))
    rank = _rank(str(encounter_class), bool(urgent), str(mode), late, _age(birth_date, today), elderly_age)
    minutes = max(1, (int(str(end)) - int(str(start))) // 60)
    return Entry(
        str(number), rank if queue_rank is None else int(str(queue_rank)), here_at if queue_rank is not None else turn,
        int(str(queue_number)), minutes, "isolation" in json.loads(str(needs)),
        int(str(ready_at)) if state == "deferred" and ready_at is not None else None,
        out=(state == "deferred" and ready_at is None)
        or (state == "called_absent" and int(str(absences)) >= absent_limit),
        busy=state in BUSY, since=int(str(start)), state=str(state), patient=patients.masked(str(name)),
    )  # fmt: skip


def _rank(encounter_class: str, urgent: bool, mode: str, late: bool, age: int | None, elderly_age: int) -> int:
    if encounter_class == "emergency":
        return EMERGENCY
    if urgent:
        return URGENT
    if mode == "walk_in":
        return WALK_IN
    if elderly_age and age is not None and age >= elderly_age:
        return ELDERLY
    return LATE if late else ON_TIME


def _age(birth_date: object, today: date) -> int | None:
    if not birth_date:
        return None
    born = date.fromisoformat(str(birth_date))
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def read(hospital: Hospital, group: str) -> Queue:
    """The queue of a group as it stands. Raises `NotFound`."""
    now, catalogue = epoch(hospital.clock.now()), hospital.catalogues.current()
    here = entries(hospital, group)
    policy = catalogue.department(catalogue.groups[group].department).policy
    today = catalogue.calendar.day_of(hospital.clock.now()).isoformat()
    rooms = int(hospital.database.value(ROOMS, catalogue.group_ids[group], today, now))
    waiting, busy = order(here, now), [one for one in here if one.busy]
    times = expected(waiting, busy, rooms, now, policy.cleaning_minutes)
    places = [Place(one, ahead, instant(at)) for ahead, (one, at) in enumerate(zip(waiting, times, strict=True))]
    others = tuple(one for one in here if not one.busy and one not in waiting)
    return Queue(group, rooms, tuple(places), tuple(busy), others)


def place_of(hospital: Hospital, number: str) -> Place | None:
    """A patient's place in his queue, or None when he is not waiting. Raises `NotFound`."""
    row = hospital.database.row(
        "SELECT g.code FROM appointment a JOIN resource_group g ON g.id = a.group_id WHERE a.number = ?", number
    )
    if row is None:
        raise NotFound("appointment", number)
    return next((place for place in read(hospital, row[0]).waiting if place.entry.number == number), None)


def minutes_until(place: Place, now: datetime) -> int:
    """Whole minutes until a patient may expect to be called."""
    return max(0, -(-(place.expected_at - now) // timedelta(minutes=1)))
