"""What a platform is told, read from the hospital: the exams of an appointment, rosters of a day, application forms."""

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

EXAMS = """SELECT a.number, o.number, coalesce(n.number, oi.key), a.start_at, a.queue_number, a.department, d.name,
o.ordering_department, w.name, e.number, e.encounter_class, e.ward, p.id, p.name, g.code, g.name, ai.active
FROM appointment a JOIN appointment_item ai ON ai.appointment_id = a.id JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_order o ON o.id = oi.order_id JOIN encounter e ON e.id = o.encounter_id JOIN patient p ON p.id = a.patient_id
JOIN department d ON d.code = a.department JOIN department w ON w.code = o.ordering_department
JOIN resource_group g ON g.id = a.group_id
LEFT JOIN placer_number n ON n.order_number = o.number AND n.line = oi.line WHERE a.number = ? ORDER BY oi.id"""
IDENTIFIERS = "SELECT kind, value FROM patient_identifier WHERE patient_id = ? ORDER BY id"
CHANGED = """SELECT v.at, v.actor, v.start_at FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id
WHERE a.number = ? AND v.version = ?"""
WAS_BOOKED = """SELECT count(*) FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id
WHERE a.number = ? AND v.version < ? AND v.state = 'booked'"""
SLOTS = """SELECT s.start_at, s.closed, s.capacity + s.extra, s.capacity + s.extra - s.taken FROM slot s
WHERE s.resource_id = ? AND s.day = ? AND s.closed <= ? AND s.capacity + s.extra > 0 ORDER BY s.start_at, s.id"""
RESOURCES = """SELECT r.id, r.code, r.name, d.code, d.name FROM resource r JOIN resource_group g ON g.id = r.group_id
JOIN department d ON d.id = g.department_id WHERE r.is_active = 1 AND (d.code = ? OR r.code = ?) ORDER BY r.code"""
FORM = """SELECT o.number, o.ordered_at, o.doctor, o.ordering_department, w.name, o.priority, o.context, o.note,
e.number, e.encounter_class, e.ward, p.id, p.name, p.sex, p.birth_date, p.phone FROM exam_order o
JOIN encounter e ON e.id = o.encounter_id JOIN patient p ON p.id = o.patient_id
JOIN department w ON w.code = o.ordering_department WHERE o.number = ?"""
FORM_ITEMS = """SELECT coalesce(n.number, oi.key), i.code, i.name, d.code, d.name, oi.state, oi.release FROM order_item oi
JOIN exam_order o ON o.id = oi.order_id JOIN exam_item i ON i.id = oi.item_id JOIN department d ON d.id = i.department_id
LEFT JOIN placer_number n ON n.order_number = o.number AND n.line = oi.line WHERE o.number = ? ORDER BY oi.id"""
Period = tuple[datetime, datetime]
AUTOMATIC = "自动预约"
VOID = frozenset({"cancelled", "withdrawn", "replaced"})


@dataclass(frozen=True, slots=True)
class Head:
    """A document's own number and when what it tells was so: the same event makes the same document again."""

    message_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Named:
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Exam:
    """One exam of an appointment. Departments are ours; the profile says what the platform calls them."""

    appointment: str
    application: str
    placer: str
    starts_at: datetime
    department: Named
    ordering_department: Named
    encounter: str
    encounter_class: str
    ward: str
    patient: tuple[Identifier, ...]
    patient_name: str
    device: Named
    clerk: Named
    queue_number: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A stretch of a resource's day with its seats."""

    starts_at: datetime
    ends_at: datetime
    seats: int
    free: int


@dataclass(frozen=True, slots=True)
class ResourceDay:
    """What a resource offers on one day; `shut`: it offered that, and is closed now."""

    resource: Named
    department: Named
    day: date
    frames: tuple[Frame, ...]
    shut: bool = False


@dataclass(frozen=True, slots=True)
class FormItem:
    placer: str
    item: Named
    department: Named


@dataclass(frozen=True, slots=True)
class Form:
    """An application form as it stands here."""

    number: str
    active: bool
    ordered_at: datetime
    verified: bool
    doctor: str
    ordering_department: Named
    priority: str
    encounter: str
    encounter_class: str
    ward: str
    patient: tuple[Identifier, ...]
    patient_name: str
    sex: str
    birth_date: date | None
    phone: str
    items: tuple[FormItem, ...]
    diagnosis: str
    note: str


def exams(hospital: Hospital, number: str, version: int | None = None, *, all_of_them: bool = False) -> list[Exam]:
    """The exams of an appointment as of one of its versions; `all_of_them`: also those that have left it.

    Of one that has ended meanwhile all are told. The time is the period that the patient was told. Raises `NotFound`.
    """
    database = hospital.database
    rows = database.rows(EXAMS, number)
    if not rows:
        raise NotFound("appointment", number)
    changed = database.row(CHANGED, number, version) if version is not None else None
    clerk = changed[1] if changed else "examlane"
    at = changed[2] if changed else rows[0][3]
    starts_at = hospital.calendar.period(instant(at))[0]
    present = [row for row in rows if row[-1] and not all_of_them] or rows
    return [_exam(database, row, starts_at, clerk) for row in present]


def _exam(database: Database, row: Sequence[Any], starts_at: datetime, clerk: str) -> Exam:
    (number, order, placer, _, queue, code, department, ordering, ordering_name, encounter, encounter_class, ward,
     patient, name, group, place, _) = row  # fmt: skip
    return Exam(
        number, order, placer, starts_at, Named(code, department), Named(ordering, ordering_name), encounter,
        encounter_class, ward, identifiers(database, patient), name, Named(group, place),
        Named(clerk, AUTOMATIC if clerk in ("examlane", "system") else clerk), queue,
    )  # fmt: skip


def identifiers(database: Database, patient: int) -> tuple[Identifier, ...]:
    return tuple(Identifier(kind, value) for kind, value in database.rows(IDENTIFIERS, patient))


def changed_at(database: Database, number: str, version: int) -> datetime:
    """When an appointment got a version. Raises `NotFound`."""
    row = database.row(CHANGED, number, version)
    if row is None:
        raise NotFound("appointment", number)
    return instant(row[0])


def was_booked(database: Database, number: str, version: int) -> bool:
    """Whether an appointment was booked before this version: what was only held was never told."""
    return bool(database.value(WAS_BOOKED, number, version))


def resource_days(
    hospital: Hospital, day: date, *, department: str = "", resource: str = "", shut: bool = False
) -> list[ResourceDay]:
    """What the resources of a department, or one resource, offer on a day; what is shut is left out, or has no free seat."""
    rows = hospital.database.rows(RESOURCES, department, resource)
    days = [
        _day(Named(code, name), Named(where, where_name), day, _slots(hospital, key, day, shut))
        for key, code, name, where, where_name in rows
    ]
    return [each for each in days if each.frames]


def _slots(hospital: Hospital, resource: int, day: date, shut: bool) -> list[tuple[Period, bool, int, int]]:
    rows = hospital.database.rows(SLOTS, resource, day.isoformat(), int(shut))
    return [(hospital.calendar.period(instant(start)), bool(closed), seats, free) for start, closed, seats, free in rows]


def _day(resource: Named, department: Named, day: date, slots: Sequence[tuple[Period, bool, int, int]]) -> ResourceDay:
    """Slots added up to the periods that patients are told."""
    sums: dict[Period, list[int]] = {}
    for period, closed, seats, free in slots:
        total = sums.setdefault(period, [0, 0])
        total[0] += seats
        total[1] += 0 if closed else free
    frames = tuple(Frame(since, until, seats, free) for (since, until), (seats, free) in sorted(sums.items()))
    return ResourceDay(resource, department, day, frames, bool(slots) and all(closed for _, closed, _, _ in slots))


def form(hospital: Hospital, number: str) -> Form:
    """An application form as it stands here. Raises `NotFound`."""
    database = hospital.database
    row = database.row(FORM, number)
    if row is None:
        raise NotFound("order", number)
    (_, ordered, doctor, ordering, ordering_name, priority, context, note, encounter, encounter_class, ward, patient,
     name, sex, born, phone) = row  # fmt: skip
    lines = database.rows(FORM_ITEMS, number)
    diagnosis = json.loads(context).get("diagnosis", {}).get("value", "")
    return Form(
        number=number, active=not all(line[5] in VOID for line in lines), ordered_at=instant(ordered),
        verified=any(line[6] == "verified" for line in lines), doctor=doctor,
        ordering_department=Named(ordering, ordering_name), priority=priority, encounter=encounter,
        encounter_class=encounter_class, ward=ward, patient=identifiers(database, patient), patient_name=name, sex=sex,
        birth_date=maybe_day(born), phone=phone, note=note, diagnosis=str(diagnosis),
        items=tuple(FormItem(line[0], Named(line[1], line[2]), Named(line[3], line[4])) for line in lines),
    )  # fmt: skip
