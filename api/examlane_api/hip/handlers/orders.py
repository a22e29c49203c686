"""Application forms placed, changed and voided; their payments and refunds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from examlane import reporting
from examlane.appointments import status
from examlane.corrections import order_changes, refunds, withdrawing
from examlane.corrections.order_changes import OrderChange
from examlane.corrections.refunds import RefundData
from examlane.domain import Fact, Text
from examlane.errors import Conflict, Refused
from examlane.orders import patients
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.release import PaymentData
from examlane.records import inbox, receipts
from examlane.records.inbox import Missing
from examlane_api.hip.codes import Call, Codes, Unknown, patient_data
from examlane_api.hip.frame import Ack, Detail
from examlane_api.hip.handlers.answers import SUPERSEDED, heard, is_late, item_detail, noted, standing
from examlane_api.hip.messages import Application, OrderedItem

STOPPED = frozenset({"rejected", "needs_confirmation"})
GONE = frozenset({"cancelled", "withdrawn", "replaced"})
OTHER_PATIENT = Text("申请单属于另一患者", "the order belongs to another patient")
VOID_EARLY = Detail("voided", "申请单尚未到达，已登记作废")
VOID = Detail("noted", "申请单已作废")
WHY = "voided by the ordering system"
STORED = """SELECT o.patient_id, o.version, e.encounter_class FROM exam_order o JOIN encounter e ON e.id = o.encounter_id
WHERE o.number = ?"""
LINES = """SELECT oi.line, i.code, oi.state, oi.confirmed, n.number FROM order_item oi
JOIN exam_order o ON o.id = oi.order_id JOIN exam_item i ON i.id = oi.item_id
LEFT JOIN placer_number n ON n.order_number = o.number AND n.line = oi.line WHERE o.number = ? ORDER BY oi.line"""
PLACERS = "SELECT number, line FROM placer_number WHERE order_number = ? ORDER BY line"
KEEP_PLACER = """INSERT INTO placer_number (order_number, line, number) VALUES (?, ?, ?)
ON CONFLICT (order_number, line) DO UPDATE SET number = excluded.number RETURNING id"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An order as it is known here."""

    patient: int
    version: int
    encounter_class: str


def place_order(call: Call, form: Application) -> Ack:
    """Submit the order; each item is answered. Refused as a whole where the rules stop every item."""
    if not form.active:
        return void_order(call, form)
    if is_late(call, "order", form.number) and _stored(call, form) is not None:
        return noted(call, SUPERSEDED)
    reporting.submit_order(call.hospital, _order(call, form), call.actor, call.key)
    return placed(call, form)


def placed(call: Call, form: Application) -> Ack:
    """What became of a placed order, as it stands now; its lines' 医嘱号 are kept."""
    if form.active:
        _keep_placers(call, form, [(line, item.placer) for line, item in enumerate(form.items, 1)])
    return _judged(call, form)


def change_order(call: Call, form: Application) -> Ack:
    """Change an order, or void it; one that is not known yet is placed now. An older change that comes late is noted."""
    if not form.active:
        return void_order(call, form)
    stored = _stored(call, form)
    if stored is not None and is_late(call, "order", form.number):
        return noted(call, SUPERSEDED)
    if stored is None:
        call.allow("order.submit")
        reporting.submit_order(call.hospital, _order(call, form), call.actor, call.key)
        heard(call, "order", form.number)
        return placed(call, form)
    _alter(call, form, stored)
    return changed(call, form)


def changed(call: Call, form: Application) -> Ack:
    """What became of a changed or voided order, as it stands now."""
    heard(call, "order", form.number)
    return _judged(call, form)


def void_order(call: Call, form: Application) -> Ack:
    """Void an order; one that has not come yet is void when it comes."""
    call.allow("order.void")
    if _stored(call, form) is not None:
        if is_late(call, "order", form.number):
            return noted(call, SUPERSEDED)
        if all(item.state in GONE for item in status.of_order(call.hospital, form.number)):
            return noted(call, VOID)
    withdrawing.void(call.hospital, form.number, (), call.actor, call.key, reason=WHY)
    return changed(call, form)


def pay(call: Call, paid: PaymentData) -> Ack:
    answer = reporting.report_payment(call.hospital, paid, call.actor, call.key)
    stored = Detail("unknown_order", "申请单尚未到达，缴费已登记")
    return Ack(True, tuple(item_detail(call, item) for item in answer.items) or (stored,))


def refund(call: Call, told: RefundData) -> Ack:
    """A refund waits for an order that has not come yet."""
    if call.hospital.database.row(STORED, told.order) is None:
        raise Unknown([Missing(inbox.ORDER, told.order)])
    refunds.report(call.hospital, told, call.actor, call.key)
    return refunded(call, told)


def refunded(call: Call, told: RefundData) -> Ack:
    return standing(call, told.order)


def _judged(call: Call, form: Application) -> Ack:
    """Not taken where the rules stop every item; of an order that was voided before it came there is nothing to tell."""
    if call.hospital.database.row(STORED, form.number) is None:
        return Ack(True, (VOID_EARLY,))
    items = status.of_order(call.hospital, form.number)
    return Ack(not all(item.state in STOPPED for item in items), tuple(item_detail(call, item) for item in items))


def _stored(call: Call, form: Application) -> Stored | None:
    """The order, if it is known. Raises `Refused` for another patient's."""
    row = call.hospital.database.row(STORED, form.number)
    if row is None:
        return None
    if patients.find(call.hospital.database, form.encounter.patient.identifiers) != row[0]:
        raise Refused("other_patient", OTHER_PATIENT)
    return Stored(*row)


def _order(call: Call, form: Application) -> OrderData:
    codes = Codes(call.hospital, call.profile)
    encounter = form.encounter
    order = OrderData(
        number=form.number,
        patient=patient_data(codes, encounter.patient),
        encounter=EncounterData(encounter.number, codes.encounter_class(encounter.encounter_class), encounter.ward),
        ordering_department=codes.department(form.department),
        ordered_at=form.ordered_at,
        lines=tuple(OrderLine(line, codes.item(each.item)) for line, each in enumerate(form.items, 1)),
        priority=codes.priority(form.priority),
        doctor=form.doctor,
        context=_context(call, form),
        note=form.note,
        drawing=form.drawing,
        verified=form.verified,
    )
    codes.require()
    return order


def _context(call: Call, form: Application) -> dict[str, Fact]:
    return {"diagnosis": Fact(form.diagnosis, form.ordered_at, call.profile.code)} if form.diagnosis else {}


def _alter(call: Call, form: Application, stored: Stored) -> None:
    """Bring a known order to what the form says now. Raises `Conflict` for one that is closed."""
    codes = Codes(call.hospital, call.profile)
    rows = call.hospital.database.rows(LINES, form.number)
    if all(state in GONE for _line, _code, state, _confirmed, _placer in rows):
        raise Conflict("order_closed", order_changes.CLOSED)
    wanted = _wanted(call, codes, form, rows)
    priority = codes.priority(form.priority)
    codes.require()
    _verify(call, form, stored)
    _keep_placers(call, form, [(line.line, item.placer) for line, item in wanted])
    lines = tuple(line for line, _item in wanted)
    same = {line.line for line in lines} == {line for line, _code, state, *_ in rows if state not in GONE}
    change = OrderChange(
        form.number, stored.version, _context(call, form), form.note if call.profile.notes else None,
        form.drawing or None, priority, None if same else lines,
    )  # fmt: skip
    order_changes.change(call.hospital, change, call.actor, call.key)


def _wanted(
    call: Call, codes: Codes, form: Application, rows: Sequence[tuple[int, str, str, str, str | None]]
) -> list[tuple[OrderLine, OrderedItem]]:
    """The lines as they shall be: found by 医嘱号, else by exam; another exam under the same 医嘱号 is a new line."""
    placers: dict[str, int] = dict(call.hospital.database.rows(PLACERS, form.number))
    exams = {line: code for line, code, *_ in rows}
    confirmed = {line: json.loads(text) for line, _code, _state, text, _placer in rows}
    unnamed = {code: line for line, code, _state, _confirmed, placer in reversed(rows) if placer is None}
    unused = max([*exams, *placers.values()]) + 1
    found = []
    for item in form.items:
        exam = codes.item(item.item)
        line = placers.get(item.placer)
        if line is None or exams.get(line, exam) != exam:
            line = unnamed.pop(exam, unused)
            unused += line == unused
        reasons: dict[str, str] = confirmed.get(line, {})
        found.append((OrderLine(line, exam, tuple(reasons), next(iter(reasons.values()), "")), item))
    return found


def _verify(call: Call, form: Application, stored: Stored) -> None:
    """A verifier lets an order be booked where its encounter waits for one. Once for the message."""
    key = call.part(1).key
    waits = call.hospital.settings.release[stored.encounter_class] == "verified"
    if form.verified and waits and receipts.find(call.hospital.database, key) is None:
        reporting.verify_order(call.hospital, form.number, call.actor, key)


def _keep_placers(call: Call, form: Application, numbers: Sequence[tuple[int, str]]) -> None:
    database = call.hospital.database

    def keep() -> None:
        for line, number in numbers:
            database.rows(KEEP_PLACER, form.number, line, number)

    database.write(keep)
