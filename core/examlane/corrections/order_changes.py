"""A doctor changes an order that was sent: its facts, note, priority, or which exams it asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from examlane.appointments import booking, changes, desk, status
from examlane.appointments.status import ItemStatus
from examlane.corrections import leaving
from examlane.corrections.leaving import Leaving
from examlane.corrections.withdrawing import ITEMS, STARTED, Line
from examlane.domain import Fact, Priority, Text
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.hospital import Hospital
from examlane.orders import intake, patients, snapshot
from examlane.orders.intake import OrderLine
from examlane.orders.snapshot import Snapshot
from examlane.outbound import order_items
from examlane.outbound import visits as outbound
from examlane.records import audit, inbox, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch

SUPERSEDED = Text("已有更新的变更，此变更不再适用", "a newer change of this order came before: this one changes nothing")
CLOSED = Text("申请单已作废或已退回，请另开申请单", "the order is void or was sent back: place another")
STALE = Text("申请单已被更改，请刷新", "the order was changed meanwhile: please reload")
OTHER_EXAM = Text("行号对应的检查项目不能更换，请使用新行号", "a line keeps its exam: use a new line for another one")
NOT_OPEN = Text("检查已开始或已结束", "the exam has begun or is over")
ORDER = "SELECT id, patient_id, version, context FROM exam_order WHERE number = ?"
CODES = """SELECT oi.line, i.code FROM order_item oi JOIN exam_order o ON o.id = oi.order_id
JOIN exam_item i ON i.id = oi.item_id WHERE o.number = ?"""
STANDS = """SELECT 1 FROM order_item oi JOIN exam_order o ON o.id = oi.order_id WHERE o.number = ?
AND oi.state NOT IN ('cancelled', 'withdrawn', 'replaced') LIMIT 1"""
CHANGED_AT, FUTURE = "/changed_at", Text("时间在将来", "in the future")
CHANGE = """UPDATE exam_order SET context = ?, note = coalesce(?, note), drawing = coalesce(?, drawing),
priority = coalesce(?, priority), version = version + 1 WHERE id = ? AND version = ? RETURNING id"""
REMOVE = "UPDATE order_item SET state = 'cancelled', reason = 'cancelled' WHERE id = ? RETURNING id"
CONFIRM = "UPDATE order_item SET confirmed = ? WHERE key = ? RETURNING id"
OPEN = ("booked", "tentative", "held", "checked_in", "called", "called_absent", "deferred")


@dataclass(frozen=True, slots=True)
class OrderChange:
    """What is changed; None stays. `context` replaces the facts it names; `lines` are all lines as they shall be."""

    order: str
    version: int | None = None
    context: Mapping[str, Fact] = field(default_factory=dict)
    note: str | None = None
    drawing: str | None = None
    priority: Priority | None = None
    lines: tuple[OrderLine, ...] | None = None
    changed_at: datetime | None = None
    """When its system made it: one that is older than another which came before is refused."""


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What a change meant for one item: `kept`, `moved`, `booked`, `removed`, or `needs_decision`."""

    outcome: str
    item: ItemStatus


def change(hospital: Hospital, changed: OrderChange, actor: Actor, key: RequestKey | None = None) -> list[ItemChange]:
    """Change an order, ask the rules anew, and say of each item what it meant.

    Raises `NotFound`, `InvalidInput` with every field at fault, `Conflict` when it is stale, an exam has begun, or the
    order is void.
    """
    before = {item.key: item for item in status.of_order(hospital, changed.order)}

    def attempt() -> int:
        row = hospital.database.row(ORDER, changed.order)
        if row is None:
            raise NotFound("order", changed.order)
        _check_order(hospital, changed, row[2], actor)
        check(hospital, changed)
        state = snapshot.read(hospital.database, hospital.catalogues, row[1], hospital.clock.now())
        removed = _removed(hospital, changed)
        numbers = dict.fromkeys(line.number for line in removed if line.number)
        going = [leaving.plan(hospital, state, number, [line.key for line in removed]) for number in numbers]
        hospital.database.write(partial(_write, hospital, state, row, changed, removed, going, actor, key))
        return int(row[1])

    booking.settle(hospital, changes.tried(attempt), actor)
    return compared(before, status.of_order(hospital, changed.order))


def compared(before: Mapping[str, ItemStatus], after: Sequence[ItemStatus]) -> list[ItemChange]:
    """What became of each item since it was read."""
    return [ItemChange(_outcome(before.get(item.key), item), item) for item in after]


def _outcome(before: ItemStatus | None, after: ItemStatus) -> str:
    old, new = before.appointment if before else None, after.appointment
    if after.state == "cancelled":
        return "removed"
    if new is not None and new.state in OPEN and new.state != "tentative":
        same = old is not None and (old.starts_at, old.group) == (new.starts_at, new.group)
        return "kept" if same else "moved" if old is not None else "booked"
    asked = after.state in ("rejected", "needs_confirmation", "needs_approval", "unverified")
    unsettled = old is not None or (new is not None and new.state == "tentative")
    return "needs_decision" if asked or unsettled else "kept"


def check(hospital: Hospital, changed: OrderChange) -> None:
    """Raise `InvalidInput` with everything in a change that cannot be understood."""
    now = hospital.clock.now()
    problems = [(CHANGED_AT, FUTURE)] if changed.changed_at is not None and _ahead(changed.changed_at, now) else []
    problems += [
        (f"/context/{name}/observed_at", FUTURE)
        for name, fact in changed.context.items()
        if fact.observed_at is not None and _ahead(fact.observed_at, now)
    ]
    if changed.lines is not None:
        problems += intake.line_problems(hospital.catalogues.current(), changed.lines)
        codes: dict[int, str] = dict(hospital.database.rows(CODES, changed.order))
        problems += [
            (f"/items/{place}/item", OTHER_EXAM)
            for place, line in enumerate(changed.lines)
            if codes.get(line.line, line.item) != line.item
        ]
    if problems:
        raise InvalidInput(problems)


def _check_order(hospital: Hospital, changed: OrderChange, version: int, actor: Actor) -> None:
    if changed.version is not None and changed.version != version:
        raise Conflict("version_conflict", STALE, "/version")
    made = changed.changed_at
    if made is not None and inbox.is_late(hospital.database, actor.name, "order", changed.order, made):
        raise Conflict("superseded", SUPERSEDED, CHANGED_AT)
    if hospital.database.value(STANDS, changed.order) is None:
        raise Conflict("order_closed", CLOSED)


def _ahead(at: datetime, now: datetime) -> bool:
    return (at - now).total_seconds() > 300


def _removed(hospital: Hospital, changed: OrderChange) -> list[Line]:
    if changed.lines is None:
        return []
    rows = [Line(*row) for row in hospital.database.rows(ITEMS, changed.order)]
    staying = {line.line for line in changed.lines}
    gone = [row for row in rows if row.line not in staying and row.state not in ("cancelled", "withdrawn", "replaced")]
    if any(row.state == "fulfilled" or row.visit_state in STARTED for row in gone):
        raise Conflict("exam_started", NOT_OPEN, "/items")
    return gone


def _write(
    hospital: Hospital, state: Snapshot, row: tuple[Any, ...], changed: OrderChange, removed: Sequence[Line],
    going: Sequence[Leaving], actor: Actor, key: RequestKey | None,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "order", changed.order, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    order, _patient, version, context = row
    merged = {**json.loads(context), **intake.context_as_data(changed.context)}
    priority = changed.priority.value if changed.priority else None
    if not database.rows(CHANGE, dump(merged), changed.note, changed.drawing, priority, order, version):
        raise Conflict("version_conflict", STALE, "/version")
    for gone in going:
        leaving.write(hospital, gone, actor, reason="order changed", outcome="left", after="cancelled")
    for line in removed:
        database.rows(REMOVE, line.id)
        desk.close_tasks(database, line.id, "", actor.name, now)
        order_items.changed(database, line.key, "cancelled", "cancelled", epoch(now))
    for wanted in changed.lines or ():
        if not database.rows(CONFIRM, dump(dict(wanted.confirmations)), f"{changed.order}/{wanted.line}"):
            intake.add_line(database, hospital.catalogues.current(), hospital.settings, changed.order, wanted, now)
    if changed.changed_at is not None:
        inbox.heard(database, actor.name, "order", changed.order, changed.changed_at)
    jobs.mark_due(database, state.patient.id, epoch(now))
    outbound.order_changed(database, changed.order, epoch(now))
    facts, lines = sorted(changed.context), [line.line for line in removed]
    audit.record(database, actor, "order.change", "order", changed.order, epoch(now), facts=facts, removed=lines)
