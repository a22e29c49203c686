"""Orders as lists show them: one row an order, with the state of its items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from examlane.domain import Text
from examlane.orders.patients import masked
from examlane.storage.database import Database, Row, where
from examlane.storage.fields import instant, maybe_epoch

ORDERS = """SELECT o.id, o.number, p.name, e.number, e.encounter_class, o.ordering_department, o.doctor, o.priority,
o.ordered_at, o.replaces, o.version FROM exam_order o JOIN patient p ON p.id = o.patient_id
JOIN encounter e ON e.id = o.encounter_id"""
ITEMS = """SELECT oi.order_id, oi.key, oi.line, i.code, i.name, i.name_en, d.code, oi.state, oi.reason, oi.payment,
oi.release FROM order_item oi JOIN exam_item i ON i.id = oi.item_id JOIN department d ON d.id = i.department_id"""
HAS_ITEM = """EXISTS (SELECT 1 FROM order_item x JOIN exam_item xi ON xi.id = x.item_id
JOIN department xd ON xd.id = xi.department_id WHERE x.order_id = o.id AND """


@dataclass(frozen=True, slots=True)
class OrderedItem:
    """An item of an order: what the rules said of it (`state`), why it is not booked (`reason`), what lets it be."""

    key: str
    line: int
    item: str
    name: Text
    department: str
    state: str
    reason: str
    payment: str
    release: str


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order; `patient` is the masked name."""

    id: int
    number: str
    patient: str
    encounter: str
    encounter_class: str
    ordering_department: str
    doctor: str
    priority: str
    ordered_at: datetime
    replaces: str
    version: int
    items: tuple[OrderedItem, ...]


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders: those with an item of these departments and in this state, of a patient, an encounter, a time."""

    departments: Sequence[str] = ()
    ordering_department: str = ""
    patient: int | None = None
    encounter: str = ""
    state: str = ""
    since: datetime | None = None
    until: datetime | None = None


def orders(database: Database, wanted: OrderFilter, after: int, limit: int) -> list[OrderRow]:
    """Orders in the order they came in, with the items of the departments that are asked for."""
    condition, values = where(
        ("o.id > ?", after),
        ("o.patient_id = ?", wanted.patient),
        ("e.number = ?", wanted.encounter),
        ("o.ordering_department = ?", wanted.ordering_department),
        ("o.ordered_at >= ?", maybe_epoch(wanted.since)),
        ("o.ordered_at < ?", maybe_epoch(wanted.until)),
        (f"{HAS_ITEM} x.state = ?)", wanted.state),
    )
    if wanted.departments:
        marks = ", ".join("?" for _ in wanted.departments)
        condition, values = f"{condition} AND {HAS_ITEM} xd.code IN ({marks}))", [*values, *wanted.departments]
    found = database.rows(f"{ORDERS} WHERE {condition} ORDER BY o.id LIMIT ?", *values, limit)
    items = _items(database, [row[0] for row in found], wanted.departments)
    return [_order(row, tuple(items[row[0]])) for row in found]


def version(database: Database, number: str) -> int | None:
    """The version of an order, which each of its changes raises."""
    found: int | None = database.value("SELECT version FROM exam_order WHERE number = ?", number)
    return found


def _items(database: Database, orders: Sequence[int], departments: Sequence[str]) -> dict[int, list[OrderedItem]]:
    found: dict[int, list[OrderedItem]] = defaultdict(list)
    if orders:
        condition, values = where(("oi.order_id IN", list(orders)), ("d.code IN", tuple(departments)))
        for order, key, line, code, zh, en, *rest in database.rows(f"{ITEMS} WHERE {condition} ORDER BY oi.line", *values):
            found[order].append(OrderedItem(key, line, code, Text(zh, en or zh), *rest))
    return found


def _order(row: Row, items: tuple[OrderedItem, ...]) -> OrderRow:
    key, number, name, encounter, kind, department, doctor, priority, ordered_at, replaces, version = row
    return OrderRow(
        key, number, masked(name), encounter, kind, department, doctor, priority, instant(ordered_at), replaces, version,
        items,
    )  # fmt: skip
