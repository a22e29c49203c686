"""Refunds per item: asked before, reported as facts; an exam that is refunded leaves its visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from examlane.appointments import booking, changes, desk, status
from examlane.appointments.status import ItemStatus
from examlane.corrections import leaving
from examlane.corrections.leaving import Leaving
from examlane.corrections.withdrawing import ITEMS, STARTED, UNKNOWN_LINE, Line
from examlane.domain import Text
from examlane.errors import InvalidInput, NotFound
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.orders.release import NEWEST_REFUND
from examlane.orders.snapshot import Snapshot
from examlane.outbound import order_items
from examlane.records import audit, events, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch
from examlane.storage.models import Payment

REQUESTED, WITHDRAWN, REFUNDED = "requested", "withdrawn", "refunded"
PAYMENT = {REQUESTED: "refund_requested", WITHDRAWN: "paid", REFUNDED: "refunded"}
TAKE_RELEASE = """UPDATE order_item SET payment = ?, release = CASE WHEN release = 'paid' THEN '' ELSE release END,
reason = CASE WHEN state = 'withdrawn' THEN reason ELSE ? END
WHERE id = ? AND NOT (payment = 'unpaid' AND release = '') RETURNING id"""
PAY_AGAIN = """UPDATE order_item SET payment = 'paid', reason = CASE WHEN state = 'withdrawn' THEN reason ELSE '' END,
release = CASE WHEN release = '' AND ? = 1 THEN 'paid' ELSE release END WHERE id = ? AND payment = 'refund_requested'
RETURNING id"""
CLASS = """SELECT e.encounter_class FROM exam_order o JOIN encounter e ON e.id = o.encounter_id WHERE o.number = ?"""
YES = Text("可以退费；预约将随之取消", "may be refunded; its appointment is given up with it")
NOT_PAID = Text("未缴费", "not paid")
STARTED_NO = Text("检查已开始，不能退费", "the exam has begun: no refund")
DONE = Text("已退费", "refunded already")


@dataclass(frozen=True, slots=True)
class Refundable:
    """Whether an item may be refunded, and why (not)."""

    key: str
    refundable: bool
    code: str
    text: Text


@dataclass(frozen=True, slots=True)
class RefundData:
    """A refund of an order or some of its lines: requested, withdrawn again, or paid out."""

    order: str
    kind: str
    at: datetime
    lines: tuple[int, ...] = ()
    amount: str = ""
    settlement: str = ""


def refundable(hospital: Hospital, order: str) -> list[Refundable]:
    """May the items of an order be refunded? No once an exam has begun. Raises `NotFound`."""
    lines = {line.key: line for line in _lines(hospital, order)}
    return [_answer(item, lines[item.key].visit_state) for item in status.of_order(hospital, order)]


def _answer(item: ItemStatus, visit: str | None) -> Refundable:
    if item.payment == "refunded":
        return Refundable(item.key, False, "refunded", DONE)
    if item.state == "fulfilled" or visit in STARTED:
        return Refundable(item.key, False, "exam_started", STARTED_NO)
    if item.payment in ("unpaid", "carried"):
        return Refundable(item.key, False, "not_paid", NOT_PAID)
    return Refundable(item.key, True, "refundable", YES)


def report(hospital: Hospital, refund: RefundData, actor: Actor, key: RequestKey | None = None) -> list[ItemStatus]:
    """Store a refund as a fact; what it concerns leaves its visit, or comes back when the refund is withdrawn.
    Of an item that was never paid, or of which something newer was reported already, it is only stored.

    A merged visit shrinks: it keeps its start and number. An exam that has begun is left as it is, and the desk told.
    A place kept for a re-issued order stays kept. Raises `NotFound`, `InvalidInput` for unknown lines and times to come.
    """
    if (refund.at - hospital.clock.now()).total_seconds() > 300:
        raise InvalidInput([("/at", Text("时间在将来", "in the future"))])

    def attempt() -> int:
        chosen = _chosen(hospital, refund)
        state = snapshot.read(hospital.database, hospital.catalogues, chosen[0].patient, hospital.clock.now())
        valid = [row for row in chosen if not _is_late(hospital, refund, row)]
        going = _going(hospital, state, valid) if refund.kind != WITHDRAWN else []
        hospital.database.write(partial(_write, hospital, state, refund, chosen, valid, going, actor, key))
        return state.patient.id

    booking.settle(hospital, changes.tried(attempt), actor)
    return status.of_order(hospital, refund.order)


def _lines(hospital: Hospital, order: str) -> list[Line]:
    rows = [Line(*row) for row in hospital.database.rows(ITEMS, order)]
    if not rows:
        raise NotFound("order", order)
    return rows


def _chosen(hospital: Hospital, refund: RefundData) -> list[Line]:
    rows = _lines(hospital, refund.order)
    known = {row.line for row in rows}
    if odd := [(f"/lines/{place}", UNKNOWN_LINE) for place, line in enumerate(refund.lines) if line not in known]:
        raise InvalidInput(odd)
    return [row for row in rows if row.line in refund.lines or not refund.lines]


def _begun(row: Line) -> bool:
    return row.state == "fulfilled" or row.visit_state in STARTED


def _is_late(hospital: Hospital, refund: RefundData, row: Line) -> bool:
    """Whether a newer word about the refund of an item came before this one."""
    newest = hospital.database.row(NEWEST_REFUND, row.id)
    return newest is not None and newest[1] > epoch(refund.at)


def _going(hospital: Hospital, state: Snapshot, chosen: Sequence[Line]) -> list[Leaving]:
    """The visits that refunded exams leave; a kept place of a withdrawn order is not left."""
    leavers = [row for row in chosen if row.number and row.state != "withdrawn" and not _begun(row)]
    numbers = dict.fromkeys(row.number for row in leavers if row.number)
    return [leaving.plan(hospital, state, number, [row.key for row in leavers]) for number in numbers]


def _write(
    hospital: Hospital, state: Snapshot, refund: RefundData, chosen: Sequence[Line], valid: Sequence[Line],
    going: Sequence[Leaving], actor: Actor, key: RequestKey | None,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "order", refund.order, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    for row in chosen:
        _store(database, refund, row, actor)
    for row in valid:
        _settle_item(hospital, refund, row, actor)
    for gone in going:
        leaving.write(hospital, gone, actor, reason=PAYMENT[refund.kind], outcome="left", after="cancelled")
    jobs.mark_due(database, state.patient.id, epoch(now))
    lines = [row.line for row in chosen]
    audit.record(database, actor, f"refund.{refund.kind}", "order", refund.order, epoch(now), lines=lines)
    told = {"order": refund.order, "lines": [row.line for row in valid if not _begun(row)], "kind": refund.kind}
    events.emit(database, "order", refund.order, "order.refund", told, epoch(now))


def _store(database: Database, refund: RefundData, row: Line, actor: Actor) -> None:
    database.insert(
        Payment, order_number=refund.order, order_item=row.id, lines=dump(list(refund.lines)), kind=refund.kind,
        amount=refund.amount, settlement=refund.settlement, paid_at=epoch(refund.at), source=actor.name,
    )  # fmt: skip


def _settle_item(hospital: Hospital, refund: RefundData, row: Line, actor: Actor) -> None:
    database, now = hospital.database, hospital.clock.now()
    if _begun(row):
        desk.open_task(
            database, "refund_after_start", row.department, row.patient, row.id, now, hospital.settings.desk_deadline
        )
        order_items.tell_refund(database, row.key, refund.order, row.line, False, "exam_started", epoch(now))
    elif refund.kind == WITHDRAWN:
        rule = hospital.settings.release[database.value(CLASS, refund.order)] == "paid"
        database.rows(PAY_AGAIN, int(rule), row.id)
    else:
        database.rows(TAKE_RELEASE, PAYMENT[refund.kind], PAYMENT[refund.kind], row.id)
        desk.close_tasks(database, row.id, "", actor.name, now)
