"""What lets an item be booked: payments per item, and the ward's verification. A payment is never refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from examlane.errors import NotFound
from examlane.orders import patients
from examlane.records import audit, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.settings import Settings
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, instant
from examlane.storage.models import Payment

ITEMS = """SELECT oi.id, oi.line, oi.patient_id, e.encounter_class, oi.state, oi.payment, oi.price, d.code
FROM order_item oi JOIN exam_order o ON o.id = oi.order_id JOIN encounter e ON e.id = o.encounter_id
JOIN exam_item i ON i.id = oi.item_id JOIN department d ON d.id = i.department_id
WHERE o.number = ? AND oi.state <> 'cancelled' ORDER BY oi.line"""
PAY = """UPDATE order_item SET payment = ?, release = CASE WHEN release = '' THEN ? ELSE release END,
released_at = coalesce(released_at, ?) WHERE id = ? RETURNING id"""
PAID_SO_FAR = """SELECT p.amount FROM payment p WHERE p.order_item_id = ? AND p.kind = 'paid' AND NOT EXISTS
(SELECT 1 FROM payment r WHERE r.order_item_id = p.order_item_id AND r.kind = 'refunded'
AND (r.paid_at > p.paid_at OR (r.paid_at = p.paid_at AND r.id > p.id)))"""
NEWEST_REFUND = """SELECT kind, paid_at FROM payment WHERE order_item_id = ? AND kind <> 'paid'
ORDER BY paid_at DESC, id DESC LIMIT 1"""
VOID = ("withdrawn", "replaced")
# Other payable items of the same encounter that are still unpaid: their payments may be on the way.
UNPAID = """SELECT count(*) FROM order_item oi JOIN exam_order o ON o.id = oi.order_id
JOIN encounter e ON e.id = o.encounter_id WHERE oi.patient_id = ? AND oi.payment = 'unpaid' AND oi.release = ''
AND oi.state = 'accepted' AND e.encounter_class = 'outpatient'
AND e.id = (SELECT encounter_id FROM exam_order WHERE number = ?)
AND NOT EXISTS (SELECT 1 FROM gate g WHERE g.order_item_id = oi.id AND g.state <> 'open' AND g.payable = 0)"""


@dataclass(frozen=True, slots=True)
class PaymentData:
    """A payment of an order, or of some of its lines."""

    order: str
    paid_at: datetime
    lines: tuple[int, ...] = ()
    amount: str = ""
    settlement: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored payment: of which patient (None: the order is not known yet), and whether others are awaited."""

    patient: int | None
    awaits_others: bool = False


@dataclass(frozen=True, slots=True)
class Payable:
    """An item of an order as a payment finds it."""

    id: int
    line: int
    patient: int
    encounter_class: str
    state: str
    payment: str
    price: str
    department: str


Notice = Callable[[Payable, str], None]
"""Told of a payment that somebody must look at: the item, and the code of the desk task."""


def pay(
    database: Database, settings: Settings, payment: PaymentData, actor: Actor, now: datetime,
    key: RequestKey | None = None, notice: Notice | None = None,
) -> Recorded:  # fmt: skip
    """Store a payment as a fact, release what it covers, and mark the patient's plan due."""

    def store() -> Recorded:
        receipts.keep(database, key, "payment", payment.order, epoch(now))
        items = [Payable(*row) for row in database.rows(ITEMS, payment.order)]
        paid = [item for item in items if not payment.lines or item.line in payment.lines]
        left = _amount(payment.amount)
        for item in paid:
            left = _pay_item(database, settings, payment, item, left, actor.name, now, notice)
        if not paid:
            _insert(database, payment, None, actor.name)
        audit.record(database, actor, "payment.report", "order", payment.order, epoch(now), items=len(paid))
        if not items:
            return Recorded(None)
        patient = patients.touch(database, items[0].patient)
        awaits_others = bool(settings.planning_window) and database.value(UNPAID, patient, payment.order) > 0
        due = epoch(now + settings.planning_window) if awaits_others else epoch(now)
        jobs.mark_due(database, patient, due)
        return Recorded(patient, awaits_others)

    return database.write(store)


def adopt(database: Database, order: str, settings: Settings, now: datetime, notice: Notice | None = None) -> None:
    """Let payments that came before their order count for the lines they name; inside a write transaction."""
    waiting = database.rows(
        "SELECT id, lines, amount, settlement, paid_at, source FROM payment WHERE order_number = ? "
        "AND order_item_id IS NULL AND kind = 'paid' ORDER BY id",
        order,
    )
    for key, lines, amount, settlement, paid_at, source in waiting:
        items = [Payable(*row) for row in database.rows(ITEMS, order)]
        meant = [item for item in items if not json.loads(lines) or item.line in json.loads(lines)]
        if not meant:
            continue
        database.rows("DELETE FROM payment WHERE id = ? RETURNING id", key)
        payment = PaymentData(order, instant(paid_at), tuple(json.loads(lines)), amount, settlement)
        left = _amount(amount)
        for item in meant:
            left = _pay_item(database, settings, payment, item, left, source, now, notice)


def _pay_item(
    database: Database, settings: Settings, payment: PaymentData, item: Payable, left: Decimal | None, source: str,
    now: datetime, notice: Notice | None,
) -> Decimal | None:  # fmt: skip
    """Count a payment for one item; returns what is left of its amount, None where no amount was named."""
    due = _due(database, item)  # before this payment is stored
    part = min(left, due) if left is not None and due is not None else left
    _insert(database, payment, item.id, source, part)
    told = "paid_in_vain" if item.state in VOID else "paid_twice" if item.payment == "paid" else ""
    if told and notice is not None:
        notice(item, told)
    covered = due is None or part is None or part >= due
    if item.payment != "paid" and item.state not in VOID and not _refunded_since(database, payment, item):
        rule = settings.release[item.encounter_class] == "paid"
        release = "paid" if rule and covered else ""
        database.rows(PAY, "paid" if covered else "part_paid", release, epoch(now) if release else None, item.id)
    return left if left is None or part is None else left - part


def _refunded_since(database: Database, payment: PaymentData, item: Payable) -> bool:
    """Whether a payment comes after the word that it was, or shall be, given back."""
    newest = database.row(NEWEST_REFUND, item.id)
    return newest is not None and newest[0] != "withdrawn" and newest[1] > epoch(payment.paid_at)


def _due(database: Database, item: Payable) -> Decimal | None:
    """What is still to be paid for an item; None where its price is not known."""
    price = _amount(item.price)
    if price is None:
        return None
    paid = (_amount(amount) or Decimal() for (amount,) in database.rows(PAID_SO_FAR, item.id))
    return max(price - sum(paid, Decimal()), Decimal())


def _amount(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def verify(database: Database, order: str, actor: Actor, now: datetime, key: RequestKey | None = None) -> int:
    """The ward has verified an inpatient order; returns the patient. Raises `NotFound`."""

    def store() -> int:
        receipts.keep(database, key, "order", order, epoch(now))
        rows = database.rows(ITEMS, order)
        if not rows:
            raise NotFound("order", order)
        for item, *_ in rows:
            database.rows(
                "UPDATE order_item SET release = 'verified', released_at = ? WHERE id = ? AND release = '' RETURNING id",
                epoch(now), item,
            )  # fmt: skip
        patient = patients.touch(database, rows[0][2])
        jobs.mark_due(database, patient, epoch(now))
        audit.record(database, actor, "order.verify", "order", order, epoch(now))
        return patient

    return database.write(store)


def _insert(database: Database, payment: PaymentData, item: int | None, source: str, part: Decimal | None = None) -> None:
    amount = payment.amount if part is None else str(part)
    database.insert(
        Payment, order_number=payment.order, order_item=item, lines=dump(list(payment.lines)), amount=amount,
        settlement=payment.settlement, paid_at=epoch(payment.paid_at), source=source,
    )  # fmt: skip
