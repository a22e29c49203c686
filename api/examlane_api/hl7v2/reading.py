"""What an SIU message says, read from the hospital as of one version of an appointment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from examlane.errors import NotFound
from examlane.hospital import Hospital
from examlane.orders.patients import Identifier
from examlane.storage.database import Database
from examlane.storage.fields import instant, maybe_day
from examlane_api.hl7v2.triggers import ENDED, Version

HISTORY = """SELECT v.version, v.from_state, v.state, v.start_at, v.end_at, v.claims, v.actor, v.reason, v.at
FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id WHERE a.number = ? AND v.version <= ?
ORDER BY v.version"""
APPOINTMENT = """SELECT a.id, a.mode, d.code, d.name, g.code, g.name, c.code, e.number, e.encounter_class, e.ward, e.bed,
p.id, p.name, p.sex, p.birth_date FROM appointment a JOIN department d ON d.code = a.department
JOIN resource_group g ON g.id = a.group_id JOIN campus c ON c.id = g.campus_id
JOIN encounter e ON e.id = a.encounter_id JOIN patient p ON p.id = a.patient_id WHERE a.number = ?"""
ITEMS = """SELECT i.code, i.name, oi.key, coalesce(n.number, ''), ai.active FROM appointment_item ai
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
JOIN exam_item i ON i.id = oi.item_id
LEFT JOIN placer_number n ON n.order_number = o.number AND n.line = oi.line
WHERE ai.appointment_id = ? AND ai.outcome NOT IN ('left', 'replaced') ORDER BY oi.id"""
SEATS = """SELECT r.code, r.name, g.role, min(s.start_at), max(s.end_at) FROM slot s JOIN resource r ON r.id = s.resource_id
JOIN resource_group g ON g.id = r.group_id WHERE s.id IN ({marks}) GROUP BY r.code, r.name, g.role ORDER BY 4, r.code"""
IDENTIFIERS = "SELECT kind, value FROM patient_identifier WHERE patient_id = ? ORDER BY id"


@dataclass(frozen=True, slots=True)
class Coded:
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Exam:
    """One ordered exam of a visit: ours, and the ordering system's own number."""

    item: Coded
    key: str
    placer: str


@dataclass(frozen=True, slots=True)
class Used:
    """A resource that the visit holds, from when until when."""

    resource: Coded
    role: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Visit:
    """An appointment as of one of its versions."""

    number: str
    version: Version
    mode: str
    department: Coded
    place: Coded
    campus: str
    encounter: str
    encounter_class: str
    ward: str
    bed: str
    patient: tuple[Identifier, ...]
    name: str
    sex: str
    birth_date: date | None
    exams: tuple[Exam, ...]
    resources: tuple[Used, ...]


def history(database: Database, number: str, version: int) -> list[Version]:
    """The versions of an appointment up to one of them. Raises `NotFound`."""
    rows = database.rows(HISTORY, number, version)
    if not rows:
        raise NotFound("appointment", number)
    return [_version(row) for row in rows]


def _version(row: Sequence[Any]) -> Version:
    version, before, state, start, end, claims, actor, reason, at = row
    seats = tuple((int(slot), int(taken)) for slot, taken in json.loads(claims))
    return Version(version, before, state, instant(start), instant(end), seats, actor, reason, instant(at))


def visit(hospital: Hospital, number: str, versions: Sequence[Version]) -> Visit:
    """An appointment as of the last of these versions. Of one that has ended every exam is told. Raises `NotFound`."""
    database, last = hospital.database, versions[-1]
    row = database.row(APPOINTMENT, number)
    if row is None:
        raise NotFound("appointment", number)
    key, mode, code, department, group, place, campus, encounter, kind, ward, bed, person, name, sex, born = row
    seats = next((each.seats for each in reversed(versions) if each.seats), ())
    return Visit(
        number=number, version=last, mode=mode, department=Coded(code, department), place=Coded(group, place),
        campus=campus, encounter=encounter, encounter_class=kind, ward=ward, bed=bed,
        patient=tuple(Identifier(kind, value) for kind, value in database.rows(IDENTIFIERS, person)), name=name, sex=sex,
        birth_date=maybe_day(born), exams=_exams(database, key, all_of_them=last.state in ENDED),
        resources=_resources(database, [slot for slot, _ in seats]),
    )  # fmt: skip


def _exams(database: Database, appointment: int, *, all_of_them: bool) -> tuple[Exam, ...]:
    rows = database.rows(ITEMS, appointment)
    present = [row for row in rows if row[4] and not all_of_them] or rows
    return tuple(Exam(Coded(code, name), key, placer) for code, name, key, placer, _ in present)


def _resources(database: Database, seats: Sequence[int]) -> tuple[Used, ...]:
    if not seats:
        return ()
    rows = database.rows(SEATS.format(marks=", ".join("?" for _ in seats)), *seats)
    return tuple(Used(Coded(code, name), role, instant(start), instant(end)) for code, name, role, start, end in rows)
