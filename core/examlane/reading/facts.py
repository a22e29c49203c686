"""What was reported of patients and orders: evidence, gates and payments, as lists show them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane.domain import Text
from examlane.errors import NotFound
from examlane.orders.patients import masked
from examlane.storage.database import Database, where
from examlane.storage.fields import instant, maybe_instant

EVIDENCE = """SELECT v.id, p.name, v.kind, v.outcome, v.scope, v.data, v.observed_at, v.valid_until, v.source, v.recorded_at
FROM evidence v JOIN patient p ON p.id = v.patient_id"""
OF_DEPARTMENTS = """EXISTS (SELECT 1 FROM order_item oi JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id WHERE oi.patient_id = v.patient_id AND d.code IN ({marks}))"""
GATES = """SELECT g.id, oi.key, i.code, i.name, i.name_en, d.code, p.name, g.kind, g.state, g.code, g.reason,
g.next_action, g.owner, g.payable, g.valid_until, g.plugin, g.evaluated_at
FROM gate g JOIN order_item oi ON oi.id = g.order_item_id JOIN exam_order o ON o.id = oi.order_id
JOIN exam_item i ON i.id = oi.item_id JOIN department d ON d.id = i.department_id JOIN patient p ON p.id = oi.patient_id"""
DEPARTMENT = """SELECT d.code FROM order_item oi JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id WHERE oi.key = ?"""
PAYMENTS = """SELECT m.id, m.order_number, oi.key, d.code, m.kind, m.amount, m.lines, m.settlement, m.paid_at, m.source
FROM payment m LEFT JOIN order_item oi ON oi.id = m.order_item_id LEFT JOIN exam_item i ON i.id = oi.item_id
LEFT JOIN department d ON d.id = i.department_id"""


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A fact about a patient, whose name is masked."""

    id: int
    patient: str
    kind: str
    outcome: str
    scope: str
    data: Mapping[str, Any]
    observed_at: datetime
    valid_until: datetime | None
    source: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class GateRow:
    """A condition of an order item as last answered: by which plugin, why, what is to be done next and by whom."""

    id: int
    order_item: str
    item: str
    name: Text
    department: str
    patient: str
    kind: str
    state: str
    code: str
    reason: Text | None
    next_action: Text | None
    owner: str
    payable: bool
    valid_until: datetime | None
    plugin: str
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A payment or refund as reported; without `order_item`: its order is not known yet, or names no such `lines`."""

    id: int
    order: str
    order_item: str | None
    department: str | None
    kind: str
    amount: str
    lines: tuple[int, ...]
    settlement: str
    paid_at: datetime
    source: str


def evidence(
    database: Database, *, departments: Sequence[str] = (), patient: int | None = None, kind: str = "", after: int = 0,
    limit: int = 50,
) -> list[EvidenceRow]:  # fmt: skip
    """Evidence in the order it was recorded; of the patients that have exams in some departments, or of all."""
    condition, values = where(("v.id > ?", after), ("v.patient_id = ?", patient), ("v.kind = ?", kind))
    if departments:
        marks = ", ".join("?" for _ in departments)
        condition, values = f"{condition} AND {OF_DEPARTMENTS.format(marks=marks)}", [*values, *departments]
    rows = database.rows(f"{EVIDENCE} WHERE {condition} ORDER BY v.id LIMIT ?", *values, limit)
    return [
        EvidenceRow(
            key, masked(name), kind, outcome, scope, json.loads(data), instant(observed), maybe_instant(until), source,
            instant(recorded),
        )
        for key, name, kind, outcome, scope, data, observed, until, source, recorded in rows
    ]  # fmt: skip


def gates(
    database: Database, *, departments: Sequence[str] = (), order: str = "", item: str = "", kind: str = "",
    state: str = "", owner: str = "", after: int = 0, limit: int = 50,
) -> list[GateRow]:  # fmt: skip
    """Gates of order items that are still ordered, in the order they were first evaluated."""
    condition, values = where(
        ("g.id > ?", after), ("d.code IN", tuple(departments)), ("o.number = ?", order), ("oi.key = ?", item),
        ("g.kind = ?", kind), ("g.state = ?", state), ("g.owner = ?", owner),
        ("oi.state NOT IN", ("cancelled", "replaced")),
    )  # fmt: skip
    rows = database.rows(f"{GATES} WHERE {condition} ORDER BY g.id LIMIT ?", *values, limit)
    return [
        GateRow(
            key, order_item, code, Text(zh, en or zh), department, masked(name), kind, state, why, _text(reason),
            _text(action), owner, bool(payable), maybe_instant(until), plugin, instant(at),
        )
        for key, order_item, code, zh, en, department, name, kind, state, why, reason, action, owner, payable, until,
        plugin, at in rows
    ]  # fmt: skip


def payments(
    database: Database, *, departments: Sequence[str] = (), order: str = "", patient: int | None = None, kind: str = "",
    settlement: str = "", since: int | None = None, until: int | None = None, after: int = 0, limit: int = 50,
) -> list[PaymentRow]:  # fmt: skip
    """Payments in the order they were reported."""
    condition, values = where(
        ("m.id > ?", after), ("d.code IN", tuple(departments)), ("m.order_number = ?", order),
        ("oi.patient_id = ?", patient), ("m.kind = ?", kind), ("m.settlement = ?", settlement),
        ("m.paid_at >= ?", since), ("m.paid_at < ?", until),
    )  # fmt: skip
    rows = database.rows(f"{PAYMENTS} WHERE {condition} ORDER BY m.id LIMIT ?", *values, limit)
    return [
        PaymentRow(
            key, order, item, department, kind, amount, tuple(json.loads(lines)), settlement, instant(paid_at), source
        )
        for key, order, item, department, kind, amount, lines, settlement, paid_at, source in rows
    ]  # fmt: skip


def department_of(database: Database, item: str) -> str:
    """The department that an order item is done in. Raises `NotFound`."""
    found = database.value(DEPARTMENT, item)
    if found is None:
        raise NotFound("order item", item)
    return str(found)


def _text(stored: str) -> Text | None:
    words = json.loads(stored)
    return Text(words["zh"], words["en"]) if words else None
