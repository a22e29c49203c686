"""What lets an item be booked: payments per item, and the ward's verification. A payment is never refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from examlane.errors import NotFound
from examlane.orders import patients
from examlane.records import audit, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.settings import Settings
from examlane.storage.database import Database
from examlane.storage.fields import epoch
from examlane.storage.models import Payment

ITEMS = """SELECT oi.id, oi.line, oi.patient_id, e.encounter_class FROM order_item oi
JOIN exam_order o ON o.id = oi.order_id JOIN encounter e ON e.id = o.encounter_id
WHERE o.number = ? AND oi.state <> 'cancelled'"""
PAY = """UPDATE order_item SET payment = 'paid', release = CASE WHEN release = '' THEN ? ELSE release END,
released_at = coalesce(released_at, ?) WHERE id = ? RETURNING id"""
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


def pay(
    database: Database, settings: Settings, payment: PaymentData, actor: Actor, now: datetime,
    key: RequestKey | None = None,
) -> Recorded:  # fmt: skip
    """Store a payment as a fact, release its items, and mark the patient's plan due."""

    def store() -> Recorded:
        receipts.keep(database, key, "payment", payment.order, epoch(now))
        rows = database.rows(ITEMS, payment.order)
        paid = [row for row in rows if not payment.lines or row[1] in payment.lines]
        for item, _line, _patient, encounter_class in paid:
            _insert(database, payment, item, actor)
            release = "paid" if settings.release[encounter_class] == "paid" else ""
            database.rows(PAY, release, epoch(now) if release else None, item)
        if not paid:
            _insert(database, payment, None, actor)
        audit.record(database, actor, "payment.report", "order", payment.order, epoch(now), items=len(paid))
        if not rows:
            return Recorded(None)
        patient = rows[0][2]
        patients.touch(database, patient)
        awaits_others = bool(settings.planning_window) and database.value(UNPAID, patient, payment.order) > 0
        due = epoch(now + settings.planning_window) if awaits_others else epoch(now)
        jobs.mark_due(database, patient, due)
        return Recorded(patient, awaits_others)

    return database.write(store)


def adopt(database: Database, order: str, settings: Settings, now: datetime) -> None:
    """Let payments that came before their order count for it; inside a write transaction."""
    waiting = database.rows("SELECT id FROM payment WHERE order_number = ? AND order_item_id IS NULL", order)
    if not waiting:
        return
    for item, _line, _patient, encounter_class in database.rows(ITEMS, order):
        release = "paid" if settings.release[encounter_class] == "paid" else ""
        database.rows(PAY, release, epoch(now) if release else None, item)
        database.rows(
            "UPDATE payment SET order_item_id = coalesce(order_item_id, ?) WHERE order_number = ? RETURNING id",
            item, order,
        )  # fmt: skip


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
        patients.touch(database, rows[0][2])
        jobs.mark_due(database, rows[0][2], epoch(now))
        audit.record(database, actor, "order.verify", "order", order, epoch(now))
        return int(rows[0][2])

    return database.write(store)


def _insert(database: Database, payment: PaymentData, item: int | None, actor: Actor) -> None:
    database.insert(
        Payment, order_number=payment.order, order_item=item, amount=payment.amount, settlement=payment.settlement,
        paid_at=epoch(payment.paid_at), source=actor.name,
    )  # fmt: skip
