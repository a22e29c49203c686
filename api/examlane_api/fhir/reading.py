"""What is read for FHIR: appointments, service requests, schedules and slots, each with the searches that it answers."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane.hospital import Hospital
from examlane.orders.patients import Identifier, masked
from examlane.storage.database import Database
from examlane.storage.fields import instant
from examlane_api.fhir import states
from examlane_api.fhir.search import (
    Condition,
    Parameter,
    chosen,
    coded,
    dated,
    identity,
    patient,
    plain,
    reference,
)

APPOINTMENTS = """SELECT a.id, a.number, a.version, a.state, a.start_at, a.end_at, a.created_at, v.at, v.reason, a.mode,
e.encounter_class, a.preparation, d.code, d.name, g.code, g.name, p.id, p.name FROM appointment a
JOIN appointment_version v ON v.appointment_id = a.id AND v.version = a.version
JOIN department d ON d.code = a.department JOIN resource_group g ON g.id = a.group_id
JOIN patient p ON p.id = a.patient_id JOIN encounter e ON e.id = a.encounter_id"""
APPOINTMENT_ITEMS = """SELECT ai.appointment_id, oi.id, i.code, i.name FROM appointment_item ai
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_item i ON i.id = oi.item_id
WHERE ai.outcome NOT IN ('left', 'replaced') AND ai.appointment_id IN ({marks}) ORDER BY ai.appointment_id, oi.id"""
CLAIMS = """SELECT c.appointment_id, c.slot_id FROM claim c WHERE c.released_at IS NULL AND c.appointment_id IN ({marks})
ORDER BY c.slot_id"""
IDENTIFIERS = "SELECT patient_id, kind, value FROM patient_identifier WHERE patient_id IN ({marks}) ORDER BY id"
REQUESTS = f"""SELECT oi.id, oi.key, o.number, coalesce(n.number, ''), oi.state,
CASE WHEN {states.CLOSED_GATE} THEN 1 ELSE 0 END, o.ordered_at, o.doctor, o.priority, o.ordering_department,
coalesce(w.name, o.ordering_department), i.code, i.name, i.body_part, d.code, d.name,
e.number, p.id, p.name FROM order_item oi JOIN exam_order o ON o.id = oi.order_id JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id JOIN encounter e ON e.id = o.encounter_id
JOIN patient p ON p.id = oi.patient_id LEFT JOIN department w ON w.code = o.ordering_department
LEFT JOIN placer_number n ON n.order_number = o.number AND n.line = oi.line"""
SCHEDULES = """SELECT r.id, r.code, r.name, r.is_active, g.id, g.role, g.code, g.name, d.code, d.name FROM resource r
JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id"""
SERVICES = """SELECT s.group_id, i.code, i.name FROM service s JOIN exam_item i ON i.id = s.item_id
WHERE i.is_active = 1 AND s.group_id IN ({marks}) ORDER BY s.group_id, i.code"""
SLOTS = """SELECT s.id, s.resource_id, s.start_at, s.end_at, s.capacity, s.extra, s.taken, s.withheld, s.closed, s.is_open,
s.audience, d.code FROM slot s JOIN resource r ON r.id = s.resource_id JOIN resource_group g ON g.id = r.group_id
JOIN department d ON d.id = g.department_id"""
OFFERS = "EXISTS (SELECT 1 FROM service z JOIN exam_item i ON i.id = z.item_id WHERE z.group_id = g.id AND i.code = ?)"
SERVES = """EXISTS (SELECT 1 FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_item i ON i.id = oi.item_id
WHERE ai.appointment_id = a.id AND ai.outcome NOT IN ('left', 'replaced') AND {condition})"""


@dataclass(frozen=True, slots=True)
class Coded:
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Person:
    """A patient as he may stand in a list: his name masked, and his identifiers, of which the hospital tells some."""

    name: str
    identifiers: tuple[Identifier, ...]


@dataclass(frozen=True, slots=True)
class AppointmentRow:
    id: int
    number: str
    version: int
    state: str
    starts_at: datetime
    ends_at: datetime
    created_at: datetime
    changed_at: datetime
    reason: str
    mode: str
    encounter_class: str
    preparation: str
    department: Coded
    place: Coded
    patient: Person
    items: tuple[tuple[int, Coded], ...]
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One ordered exam."""

    id: int
    key: str
    order: str
    placer: str
    state: str
    gate_closed: bool
    ordered_at: datetime
    doctor: str
    priority: str
    ordering_department: Coded
    item: Coded
    body_part: str
    department: Coded
    encounter: str
    patient: Person


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A resource: what it offers, where, and until when its roster is published."""

    id: int
    resource: Coded
    active: bool
    role: str
    place: Coded
    department: Coded
    items: tuple[Coded, ...]
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class SlotRow:
    id: int
    schedule: int
    starts_at: datetime
    ends_at: datetime
    capacity: int
    extra: int
    taken: int
    withheld: int
    closed: bool
    is_open: bool
    audience: str
    department: Coded


Row = AppointmentRow | RequestRow | ScheduleRow | SlotRow


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type: who may read it, where it is read, in which order its pages go, and how it is asked for.

    `key` finds one by its id; `needs`: one of these parameters narrows every search.
    """

    name: str
    permission: str
    sql: str
    order: tuple[str, ...]
    key: Parameter
    parameters: Mapping[str, Parameter]
    rows: Callable[[Hospital, Sequence[Sequence[Any]]], Sequence[Row]]
    places: Callable[[Row], tuple[int, ...]]
    needs: frozenset[str] = frozenset()


def found(
    hospital: Hospital, kind: Kind, conditions: Iterable[Condition], after: Sequence[int], limit: int
) -> Sequence[Row]:
    """Rows that meet every condition, in the order of pages, after one of them."""
    wanted = [*conditions, *_later(kind.order, after)]
    where = " AND ".join(each.sql for each in wanted) or "1 = 1"
    values = [value for each in wanted for value in each.values]
    sql = f"{kind.sql} WHERE {where} ORDER BY {', '.join(kind.order)} LIMIT ?"
    return kind.rows(hospital, hospital.database.rows(sql, *values, limit))


def count(hospital: Hospital, kind: Kind, conditions: Sequence[Condition]) -> int:
    where = " AND ".join(each.sql for each in conditions) or "1 = 1"
    values = [value for each in conditions for value in each.values]
    return int(hospital.database.value(f"SELECT count(*) FROM ({kind.sql} WHERE {where}) found", *values))


def _later(order: Sequence[str], after: Sequence[int]) -> Iterable[Condition]:
    if len(after) == 1:
        yield Condition(f"{order[0]} > ?", tuple(after))
    elif after:
        first, second = order
        yield Condition(f"({first} > ? OR ({first} = ? AND {second} > ?))", (after[0], after[0], after[1]))


def _grouped(database: Database, sql: str, keys: Iterable[int]) -> Mapping[int, list[tuple[Any, ...]]]:
    """Rows of a statement by their first column."""
    wanted = sorted(set(keys))
    grouped: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    if wanted:
        marks = ", ".join("?" for _ in wanted)
        for key, *rest in database.rows(sql.format(marks=marks), *wanted):
            grouped[key].append(tuple(rest))
    return grouped


def _people(database: Database, named: Mapping[int, str]) -> Mapping[int, Person]:
    known = _grouped(database, IDENTIFIERS, named)
    return {
        key: Person(masked(name), tuple(Identifier(kind, value) for kind, value in known[key]))
        for key, name in named.items()
    }


def _appointments(hospital: Hospital, rows: Sequence[Sequence[Any]]) -> Sequence[AppointmentRow]:
    database, keys = hospital.database, [row[0] for row in rows]
    items, claims = _grouped(database, APPOINTMENT_ITEMS, keys), _grouped(database, CLAIMS, keys)
    people = _people(database, {row[16]: row[17] for row in rows})
    return [
        AppointmentRow(
            id=row[0], number=row[1], version=row[2], state=row[3], starts_at=instant(row[4]), ends_at=instant(row[5]),
            created_at=instant(row[6]), changed_at=instant(row[7]), reason=row[8], mode=row[9], encounter_class=row[10],
            preparation="\n".join(step["text"]["zh"] for step in json.loads(row[11])), department=Coded(row[12], row[13]),
            place=Coded(row[14], row[15]), patient=people[row[16]],
            items=tuple((key, Coded(code, name)) for key, code, name in items[row[0]]),
            slots=tuple(dict.fromkeys(slot for (slot,) in claims[row[0]])),
        )
        for row in rows
    ]  # fmt: skip


def _requests(hospital: Hospital, rows: Sequence[Sequence[Any]]) -> Sequence[RequestRow]:
    people = _people(hospital.database, {row[17]: row[18] for row in rows})
    return [
        RequestRow(
            id=row[0], key=row[1], order=row[2], placer=row[3], state=row[4], gate_closed=bool(row[5]),
            ordered_at=instant(row[6]), doctor=row[7], priority=row[8], ordering_department=Coded(row[9], row[10]),
            item=Coded(row[11], row[12]), body_part=row[13], department=Coded(row[14], row[15]), encounter=row[16],
            patient=people[row[17]],
        )
        for row in rows
    ]  # fmt: skip


def _schedules(hospital: Hospital, rows: Sequence[Sequence[Any]]) -> Sequence[ScheduleRow]:
    offered = _grouped(hospital.database, SERVICES, (row[4] for row in rows))
    calendar = hospital.calendar
    begins = calendar.midnight(calendar.day_of(hospital.clock.now()))
    ends = calendar.instant(calendar.day_of(hospital.clock.now()), 1440 * hospital.settings.horizon_days)
    return [
        ScheduleRow(
            id=row[0], resource=Coded(row[1], row[2]), active=bool(row[3]), role=row[5], place=Coded(row[6], row[7]),
            department=Coded(row[8], row[9]), items=tuple(Coded(code, name) for code, name in offered[row[4]]),
            begins=begins, ends=ends,
        )
        for row in rows
    ]  # fmt: skip


def _slots(_hospital: Hospital, rows: Sequence[Sequence[Any]]) -> Sequence[SlotRow]:
    return [
        SlotRow(
            id=row[0], schedule=row[1], starts_at=instant(row[2]), ends_at=instant(row[3]), capacity=row[4], extra=row[5],
            taken=row[6], withheld=row[7], closed=bool(row[8]), is_open=bool(row[9]), audience=row[10],
            department=Coded(row[11], row[11]),
        )
        for row in rows
    ]  # fmt: skip


# What may be asked of each

_OF_STATUS = {
    status: Condition(f"a.state IN ({', '.join('?' for _ in found)})", tuple(found)) if found else Condition("1 = 0")
    for status, found in ((status, states.states_of(status)) for status in sorted(states.APPOINTMENT_STATUSES))
}
_DEPARTMENT = Parameter("token", "the executing department", coded("d.code = ?", "department"))
_ITEM_OFFERED = Parameter("token", "an exam item that the resource offers", coded(OFFERS, "item"))


def _patient(column: str) -> Mapping[str, Parameter]:
    one = Parameter("reference", "the patient by an identifier that is told", patient(column))
    return {"patient:identifier": one, "patient.identifier": one}


def _fixed(sql: Mapping[str, str]) -> Mapping[str, Condition]:
    return {status: Condition(text) for status, text in sql.items()}


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "Appointment", "fhir.read", APPOINTMENTS, ("a.id",), Parameter("token", "", plain("a.number = ?")),
            {
                "_id": Parameter("token", "the appointment's number", plain("a.number = ?")),
                "_lastUpdated": Parameter("date", "when it changed last", dated("v.at")),
                "identifier": Parameter("token", "the appointment's number", coded("a.number = ?", "appointment")),
                **_patient("a.patient_id"),
                "date": Parameter("date", "its start", dated("a.start_at")),
                "status": Parameter("token", "its status", chosen(_OF_STATUS, "http://hl7.org/fhir/appointmentstatus")),
                "service-type": Parameter(
                    "token", "an exam item it is for", coded(SERVES.format(condition="i.code = ?"), "item")
                ),
                "service-category": _DEPARTMENT,
                "based-on": Parameter(
                    "reference", "a ServiceRequest it is for",
                    reference(SERVES.format(condition="oi.id = ?"), "ServiceRequest"),
                ),
            },
            _appointments, lambda row: (row.id,),
        ),
        Kind(
            "ServiceRequest", "fhir.read", REQUESTS, ("oi.id",), Parameter("token", "", identity("oi.id = ?")),
            {
                "_id": Parameter("token", "its id", identity("oi.id = ?")),
                "identifier": Parameter("token", "the order item's key", coded("oi.key = ?", "order_item")),
                "requisition": Parameter("token", "the order's number", coded("o.number = ?", "order")),
                **_patient("oi.patient_id"),
                "authored": Parameter("date", "when it was ordered", dated("o.ordered_at")),
                "status": Parameter(
                    "token", "its status",
                    chosen(
                        _fixed({status: states.request_condition(status) for status in states.REQUEST_STATUSES}),
                        "http://hl7.org/fhir/request-status",
                    ),
                ),
                "code": Parameter("token", "the exam item", coded("i.code = ?", "item")),
            },
            _requests, lambda row: (row.id,),
        ),
        Kind(
            "Schedule", "fhir.read_slots", SCHEDULES, ("r.id",), Parameter("token", "", identity("r.id = ?")),
            {
                "_id": Parameter("token", "its id", identity("r.id = ?")),
                "identifier": Parameter("token", "the resource's code", coded("r.code = ?", "resource")),
                "active": Parameter(
                    "token", "whether the resource is in use",
                    chosen(_fixed({"true": "r.is_active = 1", "false": "r.is_active = 0"}), ""),
                ),
                "service-type": _ITEM_OFFERED,
                "service-category": _DEPARTMENT,
            },
            _schedules, lambda row: (row.id,),
        ),
        Kind(
            "Slot", "fhir.read_slots", SLOTS, ("s.start_at", "s.id"), Parameter("token", "", identity("s.id = ?")),
            {
                "_id": Parameter("token", "its id", identity("s.id = ?")),
                "schedule": Parameter("reference", "its Schedule", reference("s.resource_id = ?", "Schedule")),
                "start": Parameter("date", "its start", dated("s.start_at", "s.day")),
                "status": Parameter(
                    "token", "its status", chosen(_fixed(states.SLOT), "http://hl7.org/fhir/slotstatus")
                ),
                "service-type": _ITEM_OFFERED,
                "service-category": _DEPARTMENT,
            },
            _slots, lambda row: (int(row.starts_at.timestamp()), row.id) if isinstance(row, SlotRow) else (),
            frozenset({"_id", "schedule", "start"}),
        ),
    )
}  # fmt: skip
