"""A hospital of the reference size: 49 departments, 47,419 items, four weeks of slots and 100,000 appointments in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

from examlane.hospital import Hospital
from examlane.records.audit import Actor
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.storage.ledger import (
    Appointment,
    AppointmentItem,
    AppointmentSegment,
    AppointmentVersion,
    Audit,
    Claim,
    QueueCounter,
)
from examlane.storage.models import Encounter, Order, OrderItem, Patient, PatientIdentifier, Table
from examlane.testing import MORNING, World, small_hospital

DEPARTMENTS, ITEMS, GROUPS, ROOMS, DAYS = 49, 47_419, 2, 4, 28
SLICE = 10
APPOINTMENTS = 100_000
CLIENT = Actor("benchmark", "rest")
Rows = Sequence[dict[str, Any]]


def build(url: str, appointments: int = APPOINTMENTS) -> World:
    """Fill an empty database; takes about a minute."""
    world = small_hospital(url, {}, data(), DAYS, planning_window=timedelta())
    database = world.database
    database.write(lambda: database.insert(Peer, code="HIS", created_at=epoch(MORNING)))
    _book_many(world.hospital, appointments)
    database.rows("ANALYZE")
    return world


def data() -> dict[str, Rows]:
    """The master data: every department with its groups of equal rooms, and its share of the items."""
    departments = [f"D{number:02}" for number in range(1, DEPARTMENTS + 1)]
    groups = [(code, f"{code}-G{number}") for code in departments for number in range(1, GROUPS + 1)]
    items = [(f"{code}-{number:04}", code) for number in range(ITEMS // DEPARTMENTS + 1) for code in departments]
    items = items[:ITEMS]
    return {
        "departments": [{"code": "CLINIC", "name": "门诊", "campus": "N", "ordering": "1"}]
        + [
            {"code": code, "name": f"检查科{code}", "campus": "N", "executing": "1", "mode": "automatic"}
            for code in departments
        ],
        "items": [
            {"code": item, "name": f"检查{item}", "modality": "CT" if department < "D10" else "US",
             "department": department, "attributes": json.dumps({})}
            for item, department in items
        ],
        "groups": [
            {"code": group, "name": group, "department": code, "campus": "N", "zone": f"Z-{code}",
             "slice_minutes": SLICE}
            for code, group in groups
        ],
        "resources": [
            {"code": f"{group}-{room}", "name": f"{room}检查室", "group": group}
            for _, group in groups
            for room in range(1, ROOMS + 1)
        ],
        "services": [
            {"item": item, "group": f"{department}-G{1 + number % GROUPS}", "minutes": SLICE}
            for number, (item, department) in enumerate(items)
        ],
        "rosters": [
            {"resource": f"group:{group}", "weekdays": "1-7", "starts": "07:00", "ends": "19:00"} for _, group in groups
        ],
        "walking": [],
    }  # fmt: skip


def _book_many(hospital: Hospital, count: int) -> None:
    """Appointments as they would stand after days of booking, written in bulk: two a patient, from the second day on."""
    database, now = hospital.database, epoch(hospital.clock.now())
    slots = list(islice(_slots(hospital), count))
    patients = -(-count // 2)
    items: dict[str, int] = dict(database.rows("SELECT code, id FROM exam_item"))

    def many(table: type[Table], names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        """What is not named has its default."""
        defaults = {field.name: value for field, value in table._meta.defaults.items() if field.name not in names}
        database.insert_many(table, (*names, *defaults), [(*row, *defaults.values()) for row in rows])

    def store() -> None:
        numbers = range(1, patients + 1)
        many(
            Patient,
            ("id", "name", "sex", "phone", "region", "out_of_town", "version"),
            [(n, f"患者{n}", "female", "", "", 0, 1) for n in numbers],
        )
        many(PatientIdentifier, ("patient", "kind", "value"), [(n, "card", f"B{n}") for n in numbers])
        many(
            Encounter,
            ("id", "number", "patient", "encounter_class", "ward", "campus", "needs", "state"),
            [(n, f"BV{n}", n, "outpatient", "", "N", "[]", "open") for n in numbers],
        )
        many(
            Order,
            (
                "id",
                "number",
                "patient",
                "encounter",
                "ordering_department",
                "doctor",
                "priority",
                "context",
                "note",
                "drawing",
                "replaces",
                "ordered_at",
                "version",
            ),
            [(n, f"BO{n}", n, n, "CLINIC", "", "routine", "{}", "", "", "", now, 1) for n in numbers],
        )
        booked = [(k, 1 + (k - 1) // 2, *slot) for k, slot in enumerate(slots, 1)]
        many(
            OrderItem,
            (
                "id",
                "key",
                "order",
                "patient",
                "line",
                "item",
                "state",
                "findings",
                "fills",
                "confirmed",
                "price",
                "payment",
                "release",
                "released_at",
                "reason",
            ),
            [
                (
                    k,
                    f"BO{n}/{2 - k % 2}",
                    n,
                    n,
                    2 - k % 2,
                    items[f"{department}-0000"],
                    "accepted",
                    "[]",
                    "{}",
                    "{}",
                    "",
                    "paid",
                    "paid",
                    now,
                    "booked",
                )
                for k, n, _, _, _, department, *_ in booked
            ],
        )
        many(
            Appointment,
            (
                "id",
                "number",
                "patient",
                "encounter",
                "department",
                "group",
                "mode",
                "state",
                "day",
                "start_at",
                "end_at",
                "period_start_at",
                "period_end_at",
                "queue_number",
                "absences",
                "version",
                "automatic",
                "moved_by_patient",
                "fallback",
                "preparation",
                "explanation",
                "no_show",
                "created_at",
            ),
            [
                (
                    k,
                    f"B{k:08}",
                    n,
                    n,
                    department,
                    group,
                    "slot",
                    "booked",
                    day,
                    start,
                    end,
                    start - start % 1800,
                    start - start % 1800 + 1800,
                    k,
                    0,
                    1,
                    1,
                    0,
                    0,
                    "[]",
                    "{}",
                    "",
                    now,
                )
                for k, n, _, _, group, department, day, start, end in booked
            ],
        )
        many(
            AppointmentItem,
            ("appointment", "order_item", "session", "active", "outcome"),
            [(k, k, 1, 1, "") for k, *_ in booked],
        )
        many(
            AppointmentSegment,
            ("appointment", "position", "name", "start_at", "end_at"),
            [(k, 0, "exam", start, end) for k, *_, start, end in booked],
        )
        many(
            Claim,
            ("appointment", "segment", "slot", "resource", "role", "seats"),
            [(k, 0, slot, resource, "room", 1) for k, _, slot, resource, *_ in booked],
        )
        many(
            AppointmentVersion,
            (
                "appointment",
                "version",
                "from_state",
                "state",
                "start_at",
                "end_at",
                "claims",
                "evidence",
                "actor",
                "channel",
                "reason",
                "at",
            ),
            [
                (k, 1, "", "booked", start, end, f"[[{slot},1]]", "{}", "system", "worker", "earliest", now)
                for k, _, slot, *_, start, end in booked
            ],
        )
        many(
            Audit,
            ("at", "actor", "channel", "action", "subject", "subject_key", "version", "request_id", "detail"),
            [(now, "system", "worker", "appointment.booked", "appointment", f"B{k:08}", 1, "", "{}") for k, *_ in booked],
        )
        many(
            QueueCounter, ("group", "day", "last"), sorted({(group, day, count) for _, _, _, _, group, _, day, *_ in booked})
        )
        for k in range(0, count, 500):
            chosen = [slot[0] for slot in slots[k : k + 500]]
            marks = ", ".join("?" for _ in chosen)
            database.rows(f"UPDATE slot SET taken = 1, is_open = 0 WHERE id IN ({marks}) RETURNING id", *chosen)

    database.write(store)


def _slots(hospital: Hospital) -> Iterator[tuple[int, int, int, str, str, int, int]]:
    """Slots from the second day on, department by department within a start, so that a patient's two do not overlap."""
    first = hospital.calendar.midnight(hospital.calendar.day_of(hospital.clock.now()) + timedelta(days=1))
    found = hospital.database.rows(
        """SELECT s.id, s.resource_id, g.id, d.code, s.day, s.start_at, s.end_at FROM slot s
JOIN resource r ON r.id = s.resource_id JOIN resource_group g ON g.id = r.group_id
JOIN department d ON d.id = g.department_id WHERE s.start_at >= ? ORDER BY s.start_at, s.id""",
        epoch(first),
    )
    half = len(found) // 2
    for early, late in zip(found[:half], found[half:], strict=False):
        yield early
        yield late
