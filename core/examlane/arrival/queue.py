"""Who is called next, and when the others may expect it: order, number ahead, expected time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from heapq import heappop, heappush
from typing import Any

from examlane.errors import NotFound
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.storage.fields import epoch, instant

EMERGENCY, URGENT, ELDERLY, ON_TIME, LATE, WALK_IN = range(6)
"""Who goes first; within one of these, in turn."""
BUSY = ("called", "in_progress")
ENTRIES = """SELECT a.number, a.version, a.state, a.mode, a.queue_number, a.queue_at, a.queue_places, a.ready_at, a.absences,
a.period_start_at, a.period_end_at, a.start_at, a.end_at, a.explanation, e.encounter_class, e.needs, p.birth_date,
p.name, (SELECT max(v.at) FROM appointment_version v WHERE v.appointment_id = a.id AND v.state = a.state),
(SELECT max(CASE o.priority WHEN 'routine' THEN 0 ELSE 1 END) FROM appointment_item ai
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

    `isolated`: infectious, called last. `ready_at`: not to be called before; `busy`: called or being examined, `since`
    when. `place`: where he stands since he was called in vain, behind whoever stood there.
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
    here_at: int = 0
    place: tuple[int, ...] = ()
    version: int = 0

    @property
    def stands(self) -> tuple[int, ...]:
        """Rank, turn, when he came, queue number; of who was called in vain those of another one, and what follows."""
        return self.place or (self.rank, self.turn_at, self.here_at, self.queue_number)

    @property
    def last(self) -> bool:
        """Whether he is called after everybody else: a room is cleaned after him. An emergency cannot wait for that."""
        return self.isolated and self.rank > EMERGENCY


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
    """Those who may be called now, first to last: by rank, then in turn.

    Behind them those whose period has not begun, at the end the infectious.
    """
    callable_now = [one for one in entries if not one.busy and not one.out and (one.ready_at is None or one.ready_at <= now)]
    return sorted(callable_now, key=lambda one: _key(one, now))


def _key(one: Entry, now: int) -> tuple[bool, bool, tuple[int, ...], str]:
    rank, turn, *rest = one.stands
    early = turn > now and rank > URGENT
    return one.last, early, (turn, rank, *rest) if early else (rank, turn, *rest), one.number


def behind(entries: Iterable[Entry], absent: str, places: int, now: int) -> tuple[int, ...]:
    """The place of whoever was called in vain: behind so many of those who wait, whatever becomes of them.

    It is the last one's own place and one number more, smaller than those of others who were sent there before.
    """
    everybody = list(entries)
    own = next((one for one in everybody if one.number == absent), None)
    waiting = [one for one in order(everybody, now) if own and one is not own and one.last is own.last]
    if not waiting:
        return own.place if own else ()
    at = waiting[min(places, len(waiting)) - 1].stands
    tails = [one.place[len(at)] for one in everybody if len(one.place) > len(at) and one.place[: len(at)] == at]
    return (*at, min(tails, default=0) - 1)


def expected(waiting: Sequence[Entry], busy: Sequence[Entry], rooms: int, now: int, cleaning_minutes: int) -> list[int]:
    """When each of those who wait may expect to be called (UTC seconds), rooms taking the next one as they come free."""
    free = [0] * max(1, rooms)
    for one in sorted(busy, key=lambda each: (each.state != "in_progress", each.since)):
        starts = heappop(free)
        heappush(free, max(now, max(starts, one.since) + 60 * _needs(one, cleaning_minutes)))
    found = []
    for one in waiting:
        starts = max(now, heappop(free))
        found.append(starts)
        heappush(free, starts + 60 * _needs(one, cleaning_minutes))
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


def _entry(row: Sequence[Any], today: date, elderly_age: int, absent_limit: int) -> Entry:
    (number, version, state, mode, queue_number, queue_at, places, ready_at, absences, period_start, period_end, start,
     end, explanation, encounter_class, needs, birth_date, name, since, urgent) = row  # fmt: skip
    here_at = queue_at or start
    late = json.loads(explanation).get("code") == "late_arrival" or here_at > period_end
    rank = _rank(encounter_class, bool(urgent), mode, late, _age(birth_date, today), elderly_age)
    stood = json.loads(places or "[]")
    return Entry(
        number, rank, here_at if rank <= URGENT else max(here_at, period_start), queue_number,
        max(1, (end - start) // 60), "isolation" in json.loads(needs), ready_at if state == "deferred" else None,
        out=(state == "deferred" and ready_at is None) or (state == "called_absent" and absences >= absent_limit),
        busy=state in BUSY, since=since, state=state, patient=patients.masked(name), here_at=here_at,
        place=tuple(stood[-1]) if stood else (), version=version,
    )  # fmt: skip


def _rank(encounter_class: str, urgent: bool, mode: str, late: bool, age: int | None, elderly_age: int) -> int:
    if encounter_class == "emergency":
        return EMERGENCY
    if urgent:
        return URGENT
    if elderly_age and age is not None and age >= elderly_age:
        return ELDERLY
    if mode == "walk_in":
        return WALK_IN
    return LATE if late else ON_TIME


def _age(birth_date: str | None, today: date) -> int | None:
    if not birth_date:
        return None
    born = date.fromisoformat(birth_date)
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
    waiting = read(hospital, group_of(hospital, number)).waiting
    return next((place for place in waiting if place.entry.number == number), None)


def group_of(hospital: Hospital, number: str) -> str:
    """The group where an appointment is done. Raises `NotFound`."""
    row = hospital.database.row(
        "SELECT g.code FROM appointment a JOIN resource_group g ON g.id = a.group_id WHERE a.number = ?", number
    )
    if row is None:
        raise NotFound("appointment", number)
    return str(row[0])


def minutes_until(place: Place, now: datetime) -> int:
    """Whole minutes until a patient may expect to be called."""
    return max(0, -(-(place.expected_at - now) // timedelta(minutes=1)))
