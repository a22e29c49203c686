"""What peers hear of order items: their state, whether the cashier may take money or give it back, the rules' answer."""

from __future__ import annotations

from collections.abc import Iterable

from examlane.planning.judging import Verdict
from examlane.records import events
from examlane.storage.database import Database

# Only an unpaid item has anything to be told; what was told last is kept, so that only changes are.
PAYABLE = """UPDATE order_item SET payable_told = ? WHERE key = ? AND payment = 'unpaid'
AND (payable_told IS NULL OR payable_told <> ?) RETURNING id, line"""
ORDER = "SELECT o.number FROM order_item oi JOIN exam_order o ON o.id = oi.order_id WHERE oi.id = ?"
CLOSED = "SELECT kind FROM gate WHERE order_item_id = ? AND state = 'closed' AND payable = 0 ORDER BY kind"
PAID = """SELECT oi.key, oi.line, o.number FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_order o ON o.id = oi.order_id
WHERE ai.appointment_id = ? AND ai.outcome = '' AND oi.payment IN ('paid', 'refund_requested') ORDER BY oi.id"""


def changed(database: Database, key: str, state: str, reason: str, now: int, *, payable: bool = False) -> None:
    """An item's state or reason changed."""
    payload = {"order_item": key, "state": state, "reason": reason, "payable": payable}
    events.emit(database, "order_item", key, "order_item.changed", payload, now)
    tell_payable(database, key, payable, reason, now)


def tell_payable(database: Database, key: str, payable: bool, reason: str, now: int) -> None:
    """Tell the cashier whether an unpaid item may be paid, where he was told otherwise or nothing yet."""
    for item, line in database.rows(PAYABLE, int(payable), key, int(payable)):
        payload = {
            "order_item": key, "order": database.value(ORDER, item), "line": line, "payable": payable, "reason": reason,
            "gates": [kind for (kind,) in database.rows(CLOSED, item)],
        }  # fmt: skip
        events.emit(database, "order_item", key, "order_item.payable", payload, now)


def tell_refundable(database: Database, appointment: int, refundable: bool, reason: str, now: int) -> None:
    """Tell the cashier that what was paid for a visit may not be given back any more, or may again."""
    for key, line, order in database.rows(PAID, appointment):
        tell_refund(database, key, order, line, refundable, reason, now)


def tell_refund(database: Database, key: str, order: str, line: int, refundable: bool, reason: str, now: int) -> None:
    payload = {"order_item": key, "order": order, "line": line, "refundable": refundable, "reason": reason}
    events.emit(database, "order_item", key, "order_item.refundable", payload, now)


def answered(database: Database, verdicts: Iterable[Verdict], now: int) -> None:
    """Tell the ordering system what the rules say anew of items, all of an order at once."""
    by_order: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.state != verdict.item.state:
            by_order.setdefault(verdict.item.order.number, []).append(verdict)
    for order, items in by_order.items():
        payload = {"order": order, "items": [_answer(item) for item in items]}
        events.emit(database, "order", order, "order.answered", payload, now, personal=True)


def _answer(verdict: Verdict) -> dict[str, object]:
    findings = [{"kind": finding.kind, "code": finding.code} for finding in verdict.findings]
    return {
        "order_item": verdict.item.key, "state": verdict.state, "reason": verdict.reason, "findings": findings,
    }  # fmt: skip
