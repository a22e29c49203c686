"""What stands beside a version of an appointment: the ticket, the worklist of the department's system, refunds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from examlane.outbound import order_items, worklist
from examlane.records import events
from examlane.storage.database import Database

WAITING = ("checked_in", "called", "called_absent", "deferred")
STARTED = ("in_progress", "fulfilled")
LISTED = ("booked", *WAITING, *STARTED)
"""States in which an appointment stands in the worklist of the department's own system."""
EXTERNAL = "SELECT 1 FROM appointment WHERE id = ? AND mode = 'external'"
OF_ORDER = """SELECT DISTINCT a.id, a.number, a.state FROM appointment a JOIN appointment_item ai ON ai.appointment_id = a.id
AND ai.active = 1 JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
WHERE o.number = ? AND a.mode <> 'external' ORDER BY a.id"""


@dataclass(frozen=True, slots=True)
class Change:
    """A version of an appointment, as it was written."""

    appointment: int
    number: str
    version: int
    before: str
    after: str
    department: str
    reason: str


def told(database: Database, change: Change, now: int) -> None:
    """Tell what a version means beside itself; inside the transaction that wrote it."""
    if (change.before in STARTED) != (change.after in STARTED):
        begun = change.after in STARTED
        reason = "exam_started" if begun else change.after
        order_items.tell_refundable(database, change.appointment, not begun, reason, now)
    wanted = events.wanted(database)
    for kind in (_ticket_kind(change), _worklist_kind(database, change)):
        if kind in wanted:
            _emit(database, change.number, kind, _payload(database, kind, change), now)


def order_changed(database: Database, order: str, now: int) -> None:
    """The remark, drawing or facts of an order changed: what it is booked for is listed anew."""
    if "worklist.scheduled" not in events.wanted(database):
        return
    for appointment, number, state in database.rows(OF_ORDER, order):
        if state in LISTED:
            _emit(database, number, "worklist.scheduled", worklist.entry(database, appointment), now)


def _ticket_kind(change: Change) -> str:
    if change.after == "checked_in" and change.before not in WAITING:
        return "ticket.issued"
    return "ticket.void" if change.before in WAITING and change.after not in (*WAITING, *STARTED) else ""


def _worklist_kind(database: Database, change: Change) -> str:
    """Nothing of what the department's own system books: it knows."""
    if database.value(EXTERNAL, change.appointment):
        return ""
    if change.after == "booked":
        return "worklist.scheduled"
    if change.after == "checked_in" and change.before not in WAITING:
        return "worklist.registered"
    return "worklist.removed" if change.before in LISTED and change.after not in (*LISTED, "not_done") else ""


def _payload(database: Database, kind: str, change: Change) -> Mapping[str, Any]:
    if kind == "ticket.issued":
        return worklist.ticket(database, change.appointment)
    if kind in ("worklist.scheduled", "worklist.registered"):
        return worklist.entry(database, change.appointment)
    told = {"appointment": change.number, "reason": change.reason, "version": change.version}
    return told if kind == "ticket.void" else {**told, "department": change.department, "state": change.after}


def _emit(database: Database, number: str, kind: str, payload: Mapping[str, Any], now: int) -> None:
    events.emit(database, "appointment", number, kind, payload, now, personal=True)
