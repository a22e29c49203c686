"""The order items of another system's appointments: ours where it names them, else items that stand in for an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from examlane.appointments import desk
from examlane.capacity.catalogue import Catalogue
from examlane.domain import EncounterClass, Text
from examlane.errors import Conflict, NotFound
from examlane.orders.intake import OTHER_PATIENT
from examlane.planning.judging import BOOKED_OUTSIDE
from examlane.records.audit import Actor
from examlane.storage.database import Database, Row
from examlane.storage.fields import epoch
from examlane.storage.ledger import AppointmentItem
from examlane.storage.models import Encounter, Order, OrderItem

MODE = "SELECT mode FROM department WHERE code = ?"
ITEM_OF_KEY = """SELECT oi.id, oi.patient_id, i.code, d.code, o.encounter_id FROM order_item oi
JOIN exam_order o ON o.id = oi.order_id JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id WHERE oi.key = ? AND oi.state <> 'cancelled'"""
TAKEN = """SELECT 1 FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
WHERE oi.key = ? AND ai.active = 1"""
SERVED = """SELECT oi.id, i.code, oi.release FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_item i ON i.id = oi.item_id WHERE ai.appointment_id = ? AND ai.active = 1 ORDER BY oi.id"""
DROP = "DELETE FROM appointment_item WHERE appointment_id = ? AND order_item_id = ? RETURNING id"
END = "UPDATE order_item SET state = ?, reason = ? WHERE id = ? AND state NOT IN ('cancelled', 'fulfilled') RETURNING id"
LEAVE = "UPDATE order_item SET reason = ? WHERE id = ? RETURNING id"
UNKNOWN_ITEM = Text("未知的检查项目", "unknown item")
UNKNOWN_ORDER = Text("未知的申请项目", "unknown order item")
SEVERAL = Text("须属于同一执行科室", "must belong to one executing department")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be examined: item codes, of which department, and our order items' keys where they are known."""

    department: str
    codes: tuple[str, ...]
    keys: tuple[str, ...] = ()


def understood(
    database: Database, catalogue: Catalogue, items: Sequence[str], keys: Sequence[str], patient: int
) -> tuple[Wanted, list[tuple[str, Text]]]:
    """What a report names, and what cannot be understood of it."""
    problems: list[tuple[str, Text]] = []
    codes, departments = [], set()
    for index, key in enumerate(keys):
        row = database.row(ITEM_OF_KEY, key)
        if row is None or row[1] != patient:
            problems.append((f"/orders/{index}", UNKNOWN_ORDER))
        else:
            codes.append(row[2])
            departments.add(row[3])
    for index, code in enumerate(() if keys else items):
        try:
            departments.add(catalogue.item(code).department)
            codes.append(code)
        except NotFound:
            problems.append((f"/items/{index}", UNKNOWN_ITEM))
    if not codes and not problems:
        problems.append(("/items", Text("缺少检查项目", "no exam is named")))
    if len(departments) > 1:
        problems.append(("/items", SEVERAL))
    return Wanted(next(iter(sorted(departments)), ""), tuple(codes), tuple(keys)), problems


def taken(database: Database, keys: Sequence[str]) -> bool:
    """Whether one of our order items has its appointment already."""
    return any(database.row(TAKEN, key) for key in keys)


def items(
    database: Database, catalogue: Catalogue, name: str, patient: int, wanted: Wanted, encounter: str, now: datetime,
    appointment: int = 0,
) -> tuple[int, tuple[int, ...]]:  # fmt: skip
    """The encounter and the order items an appointment serves; what stands in for an order is written where needed."""
    if wanted.keys:
        rows = [database.rows(ITEM_OF_KEY, key)[0] for key in wanted.keys]
        return rows[0][4], tuple(row[0] for row in rows)
    visit = _encounter(database, encounter, patient)
    kept = {code: key for key, code, release in database.rows(SERVED, appointment) if release == BOOKED_OUTSIDE}
    missing = [code for code in dict.fromkeys(wanted.codes) if code not in kept]
    order = _order(database, name, patient, visit, wanted.department, now) if missing else 0
    kept |= {code: _line(database, catalogue, name, order, patient, code, now) for code in missing}
    return visit, tuple(kept[code] for code in dict.fromkeys(wanted.codes))


def _encounter(database: Database, number: str, patient: int) -> int:
    number = number or f"@{patient}"
    row = database.row("SELECT id, patient_id FROM encounter WHERE number = ?", number)
    if row is None:
        return database.insert(Encounter, number=number, patient=patient, encounter_class=EncounterClass.OUTPATIENT.value)
    if row[1] != patient:
        raise Conflict("encounter_of_another_patient", OTHER_PATIENT, "/encounter")
    return int(row[0])


def _order(database: Database, name: str, patient: int, encounter: int, department: str, now: datetime) -> int:
    found = database.value("SELECT id FROM exam_order WHERE number = ?", name)
    return found or database.insert(
        Order, number=name, patient=patient, encounter=encounter, ordering_department=department, ordered_at=epoch(now)
    )


def _line(database: Database, catalogue: Catalogue, name: str, order: int, patient: int, code: str, now: datetime) -> int:
    line = 1 + (database.value("SELECT max(line) FROM order_item WHERE order_id = ?", order) or 0)
    return database.insert(
        OrderItem, key=f"{name}/{line}", order=order, patient=patient, line=line, item=catalogue.item_id(code),
        state="accepted", reason="booked", release=BOOKED_OUTSIDE, released_at=epoch(now),
    )  # fmt: skip


def relink(database: Database, appointment: int, wanted: Sequence[int], actor: Actor, now: datetime) -> None:
    """Let an appointment serve these order items and no others; one that stood in for an order is given up."""
    served = {key: release for key, _, release in database.rows(SERVED, appointment)}
    for key in served.keys() - set(wanted):
        database.rows(DROP, appointment, key)
        if served[key] == BOOKED_OUTSIDE:
            database.rows(END, "cancelled", "replaced", key)
        desk.close_tasks(database, key, "", actor.name, now)
    for key in wanted:
        if key not in served:
            database.insert(AppointmentItem, appointment=appointment, order_item=key)


def ended(database: Database, served: Sequence[Row], after: str, actor: Actor, now: datetime) -> None:
    """What an exam's end, or its cancelling, means for its order items: what stood in for an order ends with it."""
    for key, _, release in served:
        if after == "fulfilled":
            database.rows(END, "fulfilled", "fulfilled", key)
        elif release == BOOKED_OUTSIDE:
            database.rows(END, "cancelled", after, key)
        else:
            database.rows(LEAVE, after, key)
        desk.close_tasks(database, key, "", actor.name, now)
