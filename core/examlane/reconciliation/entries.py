"""What is compared: orders, payments and executions of a day, here and as a peer lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Protocol

from examlane.hospital import Hospital
from examlane.storage.fields import epoch

SUBJECTS = ("orders", "payments", "executions")
KEYS = {"orders": ("order", "line"), "payments": ("order", "settlement", "kind"), "executions": ("order", "line")}
VALUES = {"orders": ("item", "state"), "payments": ("amount",), "executions": ("state",)}
VOID = ("cancelled", "withdrawn", "replaced")
ORDERS = """SELECT oi.key, i.code, oi.state FROM order_item oi JOIN exam_order o ON o.id = oi.order_id
JOIN exam_item i ON i.id = oi.item_id JOIN department d ON d.id = i.department_id WHERE {where} ORDER BY oi.id"""
PAYMENTS = """SELECT m.order_number, m.settlement, m.kind, m.amount FROM payment m
LEFT JOIN order_item oi ON oi.id = m.order_item_id LEFT JOIN exam_item i ON i.id = oi.item_id
LEFT JOIN department d ON d.id = i.department_id WHERE m.kind IN ('paid', 'refunded') AND {where} ORDER BY m.id"""
EXECUTIONS = """SELECT oi.key, CASE WHEN ai.outcome IN ('finished', 'not_done') THEN ai.outcome
WHEN a.state = 'fulfilled' THEN 'finished' ELSE 'not_done' END FROM appointment_item ai
JOIN appointment a ON a.id = ai.appointment_id JOIN order_item oi ON oi.id = ai.order_item_id
JOIN department d ON d.code = a.department WHERE (ai.outcome IN ('finished', 'not_done')
OR (ai.outcome = '' AND a.state IN ('fulfilled', 'not_done'))) AND {where} ORDER BY ai.id"""
OF_DAY = {
    "orders": "o.ordered_at >= ? AND o.ordered_at < ?", "payments": "m.paid_at >= ? AND m.paid_at < ?",
    "executions": "a.start_at >= ? AND a.start_at < ?",
}  # fmt: skip
OF_KEY = {"orders": "oi.key = ?", "payments": "m.order_number = ?", "executions": "oi.key = ?"}
Entries = Mapping[str, Mapping[str, str]]
"""By key (order and line; of a payment order, settlement and kind) what is said of each."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a peer lists what it knows: which subjects, and of which departments (none: all)."""

    code: str
    kind: str
    address: str
    subjects: tuple[str, ...]
    departments: tuple[str, ...]
    timeout_seconds: int


class DayLists(Protocol):
    """A peer's lists of a day."""

    def read(self, subject: str, day: date) -> Sequence[Mapping[str, str]]:
        """All rows of one subject, whole. Raises `NoList` where the peer is silent or what it says is no list."""


Open = Callable[[Source], DayLists]


class NoList(Exception):
    """A peer gave no list, or none that can be believed to be whole."""


def theirs(subject: str, rows: Sequence[Mapping[str, str]]) -> Entries:
    """A peer's rows by their keys. Raises `NoList` for a row that lacks a field, or a key that comes twice otherwise."""
    found: dict[str, Mapping[str, str]] = {}
    for number, row in enumerate(rows, 1):
        missing = [name for name in (*KEYS[subject], *VALUES[subject]) if not isinstance(row.get(name), str)]
        if missing:
            raise NoList(f"{subject} row {number}: no {missing[0]}")
        key = "/".join(row[name] for name in KEYS[subject])
        values = {name: _plain(name, row[name]) for name in VALUES[subject]}
        if found.setdefault(key, values) != values:
            raise NoList(f"{subject} row {number}: {key} is listed twice")
    return found


def ours(hospital: Hospital, source: Source, subject: str, day: date) -> Entries:
    """What is held here of a day."""
    midnight = hospital.calendar.midnight
    since, until = epoch(midnight(day)), epoch(midnight(day + timedelta(days=1)))
    return _held(hospital, source, subject, OF_DAY[subject], since, until)


def held(hospital: Hospital, source: Source, subject: str, key: str) -> Mapping[str, str] | None:
    """What is held here under a key, of whatever day."""
    asked = key.split("/")[0] if subject == "payments" else key
    return _held(hospital, source, subject, OF_KEY[subject], asked).get(key)


def _held(hospital: Hospital, source: Source, subject: str, where: str, *values: object) -> Entries:
    if source.departments:
        where += f" AND d.code IN ({', '.join('?' for _ in source.departments)})"
    read = {"orders": _orders, "payments": _payments, "executions": _executions}[subject]
    return read(hospital, where, *values, *source.departments)


def _orders(hospital: Hospital, where: str, *values: object) -> Entries:
    rows = hospital.database.rows(ORDERS.format(where=where), *values)
    return {key: {"item": item, "state": "void" if state in VOID else "active"} for key, item, state in rows}


def _payments(hospital: Hospital, where: str, *values: object) -> Entries:
    """A payment of several items is kept in parts here: their sum is what the cashier took."""
    parts: dict[str, list[str]] = {}
    for order, settlement, kind, amount in hospital.database.rows(PAYMENTS.format(where=where), *values):
        parts.setdefault(f"{order}/{settlement}/{kind}", []).append(amount)
    return {key: {"amount": _sum(amounts) if key.endswith("/paid") else ""} for key, amounts in parts.items()}


def _executions(hospital: Hospital, where: str, *values: object) -> Entries:
    return {key: {"state": state} for key, state in hospital.database.rows(EXECUTIONS.format(where=where), *values)}


def _sum(amounts: Sequence[str]) -> str:
    return _plain("amount", str(sum(map(Decimal, amounts), Decimal()))) if all(amounts) else ""


def _plain(name: str, value: str) -> str:
    """An amount without idle zeros, so that 180 is 180.00; nothing where none is named."""
    if name != "amount" or not value:
        return value
    try:
        return format(Decimal(value).normalize(), "f")
    except InvalidOperation as error:
        raise NoList(f"amount {value[:20]} is no number") from error
