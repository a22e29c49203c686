"""Which visits a suspension concerns: who holds a seat on what is closed, in the order they are served."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from examlane.appointments import states
from examlane.capacity.rosters import Closure
from examlane.orders import patients
from examlane.storage.database import Database
from examlane.storage.fields import epoch

RANKS = ("urgent", "fasting", "sedated", "out_of_town", "usual")
"""Who is served first: those who cannot wait, who went hungry, who was prepared and came with an escort, who came far."""
HERE = frozenset({"checked_in", "called", "called_absent", "deferred", "in_progress"})
"""Who is here already is never moved without a person."""
MOVED_BY_PATIENT, SHORT_NOTICE = "moved_by_patient", "short_notice"
HOLDERS = """SELECT c.appointment_id, s.id, s.closed, s.start_at, s.end_at, s.day FROM slot s
JOIN claim c ON c.slot_id = s.id AND c.released_at IS NULL
WHERE s.resource_id = ? AND s.start_at < ? AND s.end_at > ?"""
VISITS = """SELECT a.id, a.number, a.state, a.start_at, g.code, a.itinerary_id, a.moved_by_patient, p.out_of_town,
p.name FROM appointment a JOIN resource_group g ON g.id = a.group_id JOIN patient p ON p.id = a.patient_id"""
ITEMS = """SELECT ai.appointment_id, o.priority, e.encounter_class, i.attributes FROM appointment_item ai
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
JOIN encounter e ON e.id = o.encounter_id JOIN exam_item i ON i.id = oi.item_id WHERE ai.active = 1"""
SCOPE = "SELECT resource_id, start_at, end_at, day FROM suspension_scope WHERE suspension_id = ?"
COMPANIONS = """SELECT b.id FROM appointment a JOIN appointment b ON b.patient_id = a.patient_id AND b.id <> a.id
WHERE a.id = ? AND b.state = 'booked' AND b.start_at > ? AND ((b.itinerary_id = a.itinerary_id AND b.day = a.day)
OR EXISTS (SELECT 1 FROM appointment_interval i WHERE i.relation IN ('same_day', 'lag') AND i.overridden_by = ''
AND ((i.first_id = a.id AND i.second_id = b.id) OR (i.first_id = b.id AND i.second_id = a.id)))) ORDER BY b.id"""
CHUNK = 400


@dataclass(frozen=True, slots=True)
class Affected:
    """A visit that a suspension concerns, its patient's name masked."""

    appointment: int
    number: str
    state: str
    start_at: int
    group: str
    patient: str
    itinerary: int | None
    rank: str
    flags: tuple[str, ...]


def visits(
    database: Database, scope: Iterable[Closure], now: datetime, freeze: timedelta, closing: Collection[int] = ()
) -> list[Affected]:
    """The active visits with a seat on a closed slot of a scope, as they are served; `closing` slots count as closed."""
    holders = {
        appointment
        for one in scope
        for appointment, slot, closed, start, end, day in database.rows(HOLDERS, one.resource, one.end_at, one.start_at)
        if (closed or slot in closing) and one.covers(one.resource, start, end, day)
    }
    found = []
    ordered = sorted(holders)
    for place in range(0, len(ordered), CHUNK):
        found += _read(database, ordered[place : place + CHUNK], epoch(now + freeze))
    return _in_order(found)


def is_affected(database: Database, suspension: int, appointment: int) -> bool:
    """Whether an appointment holds a seat on a closed slot that a suspension is about."""
    scope = [Closure(*row) for row in database.rows(SCOPE, suspension)]
    held = database.rows(
        "SELECT s.resource_id, s.start_at, s.end_at, s.day FROM claim c JOIN slot s ON s.id = c.slot_id "
        "WHERE c.appointment_id = ? AND c.released_at IS NULL AND s.closed = 1",
        appointment,
    )
    return any(one.covers(*slot) for one in scope for slot in held)


def companions(database: Database, appointment: int, now: datetime) -> list[int]:
    """The patient's other booked visits that an appointment must stay together with."""
    return [row[0] for row in database.rows(COMPANIONS, appointment, epoch(now))]


def _read(database: Database, appointments: Sequence[int], freeze: int) -> list[Affected]:
    marks = ", ".join("?" for _ in appointments)
    items: dict[int, list[Any]] = defaultdict(list)
    for appointment, *item in database.rows(f"{ITEMS} AND ai.appointment_id IN ({marks})", *appointments):
        items[appointment].append(item)
    return [
        Affected(
            key, number, state, start, group, patients.masked(name), itinerary, _rank(items[key], bool(far)),
            tuple(_flags(bool(moved), start <= freeze)),
        )
        for key, number, state, start, group, itinerary, moved, far, name in database.rows(
            f"{VISITS} WHERE a.id IN ({marks})", *appointments
        )
        if state in states.ACTIVE
    ]  # fmt: skip


def _rank(items: Sequence[Any], out_of_town: bool) -> str:
    attributes = [json.loads(each) for _, _, each in items]
    if any(priority in ("stat", "urgent") or known == "emergency" for priority, known, _ in items):
        return "urgent"
    if any(each.get("fasting_hours") for each in attributes):
        return "fasting"
    if any(each.get("sedation") is True for each in attributes):
        return "sedated"
    return "out_of_town" if out_of_town else "usual"


def _flags(moved_by_patient: bool, soon: bool) -> list[str]:
    return [*([MOVED_BY_PATIENT] if moved_by_patient else []), *([SHORT_NOTICE] if soon else [])]


def _in_order(found: Sequence[Affected]) -> list[Affected]:
    """By rank and start; what was planned together is served together, when its first one is."""

    def turn(one: Affected) -> tuple[int, int, int]:
        return RANKS.index(one.rank), one.start_at, one.appointment

    together: dict[tuple[bool, int], list[Affected]] = defaultdict(list)
    for one in sorted(found, key=turn):
        together[one.itinerary is not None, one.itinerary or one.appointment].append(one)
    return [one for group in together.values() for one in group]
