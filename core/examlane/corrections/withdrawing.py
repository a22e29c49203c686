"""Orders sent back by a department or voided by the doctor: their places are kept for the order that replaces them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from examlane.appointments import booking, changes, desk, status, visits
from examlane.appointments.status import ItemStatus
from examlane.corrections import leaving
from examlane.corrections.leaving import Leaving
from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.hospital import Hospital
from examlane.orders import intake, patients, snapshot
from examlane.orders.snapshot import Snapshot
from examlane.outbound import order_items
from examlane.records import audit, events, jobs, receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import epoch

ITEMS = """SELECT oi.id, oi.key, oi.line, oi.state, oi.patient_id, d.code, a.id, a.number, a.state, a.version, a.end_at
FROM order_item oi JOIN exam_order o ON o.id = oi.order_id JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id
LEFT JOIN appointment_item ai ON ai.order_item_id = oi.id AND ai.active = 1
LEFT JOIN appointment a ON a.id = ai.appointment_id WHERE o.number = ? ORDER BY oi.line"""
WITHDRAW = "UPDATE order_item SET state = 'withdrawn', reason = ? WHERE id = ? RETURNING id"
KEEP_PLACE = """UPDATE appointment_item SET held_until = ? WHERE order_item_id = ? AND appointment_id = ? AND active = 1
RETURNING id"""
UNLINKED = """SELECT oi.id, i.code, oi.line, oi.patient_id, oi.state, oi.reason FROM order_item oi
JOIN exam_order o ON o.id = oi.order_id JOIN exam_item i ON i.id = oi.item_id
WHERE o.number = ? AND oi.state NOT IN ('cancelled', 'withdrawn', 'replaced') ORDER BY oi.line"""
INHERIT = """UPDATE order_item SET state = CASE WHEN ? = 'fulfilled' THEN 'fulfilled' ELSE state END,
release = CASE WHEN release = '' THEN 'accepted' ELSE release END, reason = CASE WHEN ? = 'fulfilled' THEN '' ELSE ? END
WHERE id = ? RETURNING id"""
STAYING = "SELECT count(*) FROM appointment_item WHERE appointment_id = ? AND active = 1 AND held_until IS NULL"
OVERDUE = """SELECT a.number, oi.key FROM appointment_item ai JOIN appointment a ON a.id = ai.appointment_id
JOIN order_item oi ON oi.id = ai.order_item_id WHERE ai.active = 1 AND ai.held_until <= ? ORDER BY a.id LIMIT 200"""
CLOSED = ("cancelled", "fulfilled", "withdrawn", "replaced")
STARTED = ("in_progress", "fulfilled")
KEEPING = ("booked", "tentative", "checked_in", "called", "called_absent", "deferred")
UNKNOWN_LINE = Text("申请单没有这一行", "the order has no such line")
ORDER_CLOSED = Text("申请单已结束或已退回", "the order is closed or withdrawn already")
EXAM_STARTED = Text("检查已开始，不能退回或作废", "the exam has begun: the order can be neither sent back nor voided")


@dataclass(frozen=True, slots=True)
class Line:
    """One item of an order with its visit, if it has one."""

    id: int
    key: str
    line: int
    state: str
    patient: int
    department: str
    appointment: int | None
    number: str | None
    visit_state: str | None
    version: int | None
    ends_at: int | None


def send_back(
    hospital: Hospital, order: str, lines: Sequence[int], actor: Actor, key: RequestKey | None = None, *, reason: str
) -> list[ItemStatus]:
    """The department sends an order back to its doctor; each place is kept until the end of the next working day.

    Raises `NotFound`, `InvalidInput` for unknown lines, `Conflict` when it is closed or its exam has begun.
    """
    until = leaving.until_end_of_next_working_day(hospital)
    return _withdraw(hospital, order, lines, until, actor, key, "sent_back", reason)


def void(
    hospital: Hospital, order: str, lines: Sequence[int], actor: Actor, key: RequestKey | None = None, *, reason: str,
    reissue: bool | None = None,
) -> list[ItemStatus]:  # fmt: skip
    """The doctor voids an order. To be re-issued: its places are kept until the end of the next working day; not:
    they are free at once; not said: kept for some minutes, because most are re-issued at once. Raises like `send_back`,
    but of an order that has not come yet the whole is remembered as void: then it is never booked, and nothing returned.
    """
    if not lines and _void_early(hospital, order, actor, key, reason):
        return settle_early(hospital, order, actor)
    until = leaving.until_end_of_next_working_day(hospital) if reissue else 0
    if reissue is None:
        until = epoch(hospital.clock.now() + hospital.settings.void_hold)
    return _withdraw(hospital, order, lines, until, actor, key, "voided", reason)


def _void_early(hospital: Hospital, order: str, actor: Actor, key: RequestKey | None, reason: str) -> bool:
    database, now = hospital.database, hospital.clock.now()

    def remember() -> bool:
        if not intake.void_early(database, order, reason, actor, now):
            return False
        receipts.keep(database, key, "voided_order", order, epoch(now))
        audit.record(database, actor, "order.voided_early", "order", order, epoch(now), reason=reason)
        return True

    return database.write(remember)


def settle_early(hospital: Hospital, order: str, actor: Actor) -> list[ItemStatus]:
    """Void an order that came at the same moment as its voiding, which neither saw of the other; its items, if it came."""
    rows = [Line(*row) for row in hospital.database.rows(ITEMS, order)]
    if any(_is_open(row) for row in rows):
        try:
            return _withdraw(hospital, order, (), 0, actor, None, "voided", "voided before it came")
        except Conflict as conflict:
            if conflict.code != "order_closed":  # the other of the two was faster
                raise
    return status.of_order(hospital, order) if rows else []


def make_way(hospital: Hospital, order: str, patient: int, actor: Actor) -> None:
    """Void an order because the one that replaces it has arrived; of one that was sent back in part the rest stands."""
    rows = [Line(*row) for row in hospital.database.rows(ITEMS, order)]
    if any(row.state == "withdrawn" for row in rows):
        return
    if any(row.patient == patient and _is_open(row) for row in rows):
        until = leaving.until_end_of_next_working_day(hospital)
        _withdraw(hospital, order, (), until, actor, None, "voided", "replaced by another order", settle=False)


def relink(hospital: Hospital, old: str, new: str, actor: Actor) -> None:
    """Give what an emergency had under its provisional order to the order that was written later: visits as they stand."""
    database, now = hospital.database, hospital.clock.now()

    def write() -> None:
        left = database.rows(UNLINKED, old)
        if not left:
            return
        patients.touch(database, left[0][3])
        fresh = database.rows(UNLINKED, new)
        pairs = [
            (before, after)
            for alike in (1, 2)  # the same exam first, then the same line
            for after in fresh
            for before in left
            if before[alike] == after[alike]
        ]
        done: set[int] = set()
        for (item, _, _, _, state, reason), (heir, *_) in pairs:
            if item in done or heir in done:
                continue
            done |= {item, heir}
            database.rows("UPDATE appointment_item SET order_item_id = ? WHERE order_item_id = ? RETURNING id", heir, item)
            database.rows(INHERIT, state, state, reason, heir)
            database.rows("UPDATE order_item SET state = 'replaced', reason = 'reissued' WHERE id = ? RETURNING id", item)
            desk.close_tasks(database, item, "", actor.name, now)
        audit.record(database, actor, "order.relink", "order", new, epoch(now), provisional=old)

    database.write(write)


def expire(hospital: Hospital) -> int:
    """Give back the places that no order took in time; returns how many. A hold of a whole visit ends with it."""
    rows = hospital.database.rows(OVERDUE, epoch(hospital.clock.now()))
    return sum(_expired(hospital, number, key) for number, key in rows)


def _expired(hospital: Hospital, number: str, key: str) -> bool:
    def attempt() -> int:
        state = _read(hospital, status.appointment(hospital, number).patient)
        hospital.database.write(partial(_give_back, hospital, state, leaving.plan(hospital, state, number, (key,))))
        return 0

    try:
        changes.tried(attempt)
    except (Conflict, NotFound):  # somebody took it, or gave it up, in this very moment
        return False
    return True


def _give_back(hospital: Hospital, state: Snapshot, gone: Leaving) -> None:
    database, now = hospital.database, hospital.clock.now()
    patients.bump(database, state.patient.id, state.version)
    if not gone.items:
        raise Conflict("order_closed", ORDER_CLOSED)
    leaving.write(hospital, gone, SYSTEM, reason="not_reissued", outcome="left", after="expired")
    for key in gone.items:
        item = database.value(
            "UPDATE order_item SET reason = 'not_reissued' WHERE key = ? AND state = 'withdrawn' RETURNING id", key
        )
        if item is not None:
            desk.open_task(
                database, "not_reissued", gone.visit.department, state.patient.id, item, now,
                hospital.settings.desk_deadline,
            )  # fmt: skip


def _is_open(row: Line) -> bool:
    return row.state not in CLOSED and row.visit_state not in STARTED


def _withdraw(
    hospital: Hospital, order: str, lines: Sequence[int], until: int, actor: Actor, key: RequestKey | None, why: str,
    reason: str, *, settle: bool = True,
) -> list[ItemStatus]:  # fmt: skip
    def attempt() -> int:
        chosen = _chosen(hospital, order, lines)
        patient = chosen[0].patient
        state = _read(hospital, patient)
        now = epoch(hospital.clock.now())
        over = [row for row in chosen if not until or (row.ends_at or 0) <= now]
        going = _going(hospital, state, over)
        hospital.database.write(partial(_write, hospital, state, order, chosen, going, until, actor, key, why, reason))
        return patient

    patient = changes.tried(attempt)
    if settle:
        booking.settle(hospital, patient, actor)
    return status.of_order(hospital, order)


def _read(hospital: Hospital, patient: int) -> Snapshot:
    return snapshot.read(hospital.database, hospital.catalogues, patient, hospital.clock.now())


def _chosen(hospital: Hospital, order: str, lines: Sequence[int]) -> list[Line]:
    """The items to withdraw, all open ones where none are named."""
    rows = [Line(*row) for row in hospital.database.rows(ITEMS, order)]
    if not rows:
        raise NotFound("order", order)
    known = {row.line for row in rows}
    if odd := [(f"/lines/{place}", UNKNOWN_LINE) for place, line in enumerate(lines) if line not in known]:
        raise InvalidInput(odd)
    chosen = [row for row in rows if row.line in lines or not lines]
    if any(row.visit_state in STARTED for row in chosen):
        raise Conflict("exam_started", EXAM_STARTED)
    still_open = [row for row in chosen if _is_open(row)]
    if not still_open or (lines and len(still_open) < len(chosen)):
        raise Conflict("order_closed", ORDER_CLOSED)
    return still_open


def _going(hospital: Hospital, state: Snapshot, chosen: Sequence[Line]) -> list[Leaving]:
    numbers = dict.fromkeys(row.number for row in chosen if row.number)
    return [leaving.plan(hospital, state, number, [row.key for row in chosen]) for number in numbers]


def _write(
    hospital: Hospital, state: Snapshot, order: str, chosen: Sequence[Line], going: Sequence[Leaving], until: int,
    actor: Actor, key: RequestKey | None, why: str, reason: str,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "order", order, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    for row in chosen:
        database.rows(WITHDRAW, why, row.id)
        desk.close_tasks(database, row.id, "", actor.name, now)
        order_items.changed(database, row.key, "withdrawn", why, epoch(now))
    for gone in going:
        leaving.write(hospital, gone, actor, reason=why, outcome="left", after="cancelled")
    left = {key for gone in going for key in gone.items}
    _keep_places(hospital, [row for row in chosen if row.key not in left], until, actor, why)
    jobs.mark_due(database, state.patient.id, epoch(now))
    lines = [row.line for row in chosen]
    if why == "sent_back":
        told = {"order": order, "lines": lines, "reason": reason}
        events.emit(database, "order", order, "order.sent_back", told, epoch(now))
    audit.record(database, actor, f"order.{why}", "order", order, epoch(now), lines=lines, reason=reason)


def _keep_places(hospital: Hospital, chosen: Sequence[Line], until: int, actor: Actor, why: str) -> None:
    """Hold each place until an instant, never longer than the visit; a visit that only waits is `held`."""
    database, now = hospital.database, hospital.clock.now()
    seated = {row.appointment: row for row in chosen if row.appointment}
    for row in chosen:
        if row.appointment:
            database.rows(KEEP_PLACE, min(until, row.ends_at or until), row.id, row.appointment)
    for appointment, row in seated.items():
        if row.visit_state not in KEEPING or database.value(STAYING, appointment):
            continue
        assert row.version is not None
        assert row.visit_state is not None
        visits.change_state(database, appointment or 0, row.version, row.visit_state, "held", actor, now, reason=why)
        database.rows(
            "UPDATE appointment SET hold_expires_at = ? WHERE id = ? RETURNING id", min(until, row.ends_at or until),
            appointment,
        )  # fmt: skip
