"""How appointments came about: every version of one, and the itineraries that were planned together."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane.domain import Text
from examlane.errors import NotFound
from examlane.orders.patients import masked
from examlane.storage.database import Database, Row, where
from examlane.storage.fields import instant

VERSIONS = """SELECT v.version, v.from_state, v.state, v.start_at, v.end_at, v.at, v.actor, v.channel, v.reason, v.evidence
FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id"""
ITINERARIES = """SELECT i.id, p.name, i.code, i.reason, i.proven, i.created_at
FROM itinerary i JOIN patient p ON p.id = i.patient_id"""
STOPS = """SELECT a.itinerary_id, a.number, a.department, a.state, a.start_at, a.end_at, g.code, g.name, g.name_en
FROM appointment a JOIN resource_group g ON g.id = a.group_id"""
HAS_STOP = "EXISTS (SELECT 1 FROM appointment a WHERE a.itinerary_id = i.id AND a.department IN ({marks}))"


@dataclass(frozen=True, slots=True)
class VersionRow:
    """What an appointment became: from which state, when it is held, by whom, why, and on what evidence."""

    version: int
    from_state: str
    state: str
    starts_at: datetime
    ends_at: datetime
    at: datetime
    actor: str
    channel: str
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stop:
    """One appointment of an itinerary."""

    number: str
    department: str
    state: str
    starts_at: datetime
    ends_at: datetime
    group: str
    place: Text


@dataclass(frozen=True, slots=True)
class Itinerary:
    """Appointments planned together, in the order they are held; `proven`: no better one exists."""

    id: int
    patient: str
    code: str
    reason: Text | None
    proven: bool
    created_at: datetime
    stops: tuple[Stop, ...]


def versions(database: Database, number: str, after: int, limit: int) -> list[VersionRow]:
    """The versions of an appointment, from the first on."""
    condition = "WHERE a.number = ? AND v.version > ? ORDER BY v.version LIMIT ?"
    return [
        VersionRow(
            version, before, state, instant(start), instant(end), instant(at), who, channel, reason, json.loads(evidence)
        )
        for version, before, state, start, end, at, who, channel, reason, evidence in database.rows(
            f"{VERSIONS} {condition}", number, after, limit
        )
    ]  # fmt: skip


def itineraries(
    database: Database, *, departments: Sequence[str] = (), patient: int | None = None, after: int = 0, limit: int = 50
) -> list[Itinerary]:
    """Itineraries in the order they were planned; those with a stop in some departments, or all."""
    condition, values = where(("i.id > ?", after), ("i.patient_id = ?", patient))
    if departments:
        marks = ", ".join("?" for _ in departments)
        condition, values = f"{condition} AND {HAS_STOP.format(marks=marks)}", [*values, *departments]
    return _read(database, f"WHERE {condition} ORDER BY i.id LIMIT ?", *values, limit)


def itinerary(database: Database, key: int) -> Itinerary:
    """One itinerary. Raises `NotFound`."""
    found = _read(database, "WHERE i.id = ?", key)
    if not found:
        raise NotFound("itinerary", str(key))
    return found[0]


def _read(database: Database, clause: str, *values: Any) -> list[Itinerary]:
    rows = database.rows(f"{ITINERARIES} {clause}", *values)
    stops: dict[int, list[Stop]] = defaultdict(list)
    if rows:
        condition, keys = where(("a.itinerary_id IN", [row[0] for row in rows]))
        for key, *stop in database.rows(f"{STOPS} WHERE {condition} ORDER BY a.start_at, a.id", *keys):
            stops[key].append(_stop(stop))
    return [
        Itinerary(key, masked(name), code, _text(reason), bool(proven), instant(at), tuple(stops[key]))
        for key, name, code, reason, proven, at in rows
    ]


def _stop(row: Sequence[Any] | Row) -> Stop:
    number, department, state, start, end, group, zh, en = row
    return Stop(number, department, state, instant(start), instant(end), group, Text(zh, en or zh))


def _text(stored: str) -> Text | None:
    words = json.loads(stored)
    return Text(words["zh"], words["en"]) if words else None
