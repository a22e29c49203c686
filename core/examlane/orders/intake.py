"""Orders as they arrive: checked for understanding, stored as facts, their patient's plan marked due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from examlane.capacity.catalogue import Catalogue
from examlane.domain import EncounterClass, ExamItem, Fact, Priority, Text
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.orders import patients, release
from examlane.orders.patients import PatientData
from examlane.records import audit, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.settings import Settings
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, maybe_epoch
from examlane.storage.models import Encounter, Order, OrderItem

ORDER_EXISTS = Text("申请单号已存在", "an order with this number exists")
NOT_REPLACEABLE = Text("只能替代同一患者的另一申请单", "only another order of the same patient can be replaced")
ALREADY_REPLACED = Text("原申请单已被另一申请单替代", "another order has replaced that one")
OTHER_HEIR = """SELECT 1 FROM exam_order o JOIN order_item oi ON oi.order_id = o.id WHERE o.replaces = ? AND o.number <> ?
AND oi.state NOT IN ('cancelled', 'rejected', 'withdrawn', 'replaced')"""
STORED = """SELECT o.id, o.patient_id, e.encounter_class FROM exam_order o JOIN encounter e ON e.id = o.encounter_id
WHERE o.number = ?"""
PAID_BEFORE = """SELECT oi.id FROM order_item oi JOIN exam_order o ON o.id = oi.order_id
JOIN exam_item i ON i.id = oi.item_id WHERE o.number = ? AND i.code = ? AND oi.payment = 'paid' ORDER BY oi.id LIMIT 1"""
CARRIED = """UPDATE order_item SET payment = 'paid', release = CASE WHEN release = '' THEN ? ELSE release END,
released_at = coalesce(released_at, ?) WHERE key = ? RETURNING id"""
VOID_EARLY = """INSERT INTO voided_order (number, reason, actor, voided_at) VALUES (?, ?, ?, ?)
ON CONFLICT (number) DO NOTHING RETURNING id"""
IS_VOID = "UPDATE order_item SET state = 'withdrawn', reason = 'voided' WHERE order_id = ? RETURNING id"
OTHER_PATIENT = Text("就诊号属于另一患者", "the encounter belongs to another patient")


@dataclass(frozen=True, slots=True)
class EncounterData:
    number: str
    encounter_class: EncounterClass
    ward: str = ""
    campus: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One ordered exam; `confirmed` are the codes of findings that the doctor has confirmed, with his reason."""

    line: int
    item: str
    confirmed: tuple[str, ...] = ()
    confirm_reason: str = ""
    price: str = ""

    @property
    def confirmations(self) -> Mapping[str, str]:
        """The confirmed codes, each with the reason given."""
        return MappingProxyType({code: self.confirm_reason.strip() for code in self.confirmed})


@dataclass(frozen=True, slots=True)
class OrderData:
    """An order from the hospital information system."""

    number: str
    patient: PatientData
    encounter: EncounterData
    ordering_department: str
    ordered_at: datetime
    lines: tuple[OrderLine, ...]
    priority: Priority = Priority.ROUTINE
    doctor: str = ""
    context: Mapping[str, Fact] = field(default_factory=dict)
    note: str = ""
    drawing: str = ""
    replaces: str = ""
    verified: bool = False
    provisional: bool = False
    """Whether an emergency was examined before its order was written: another order will replace this one."""
    waits: str = ""
    """The reason for which its items are not booked by themselves."""
    carry_payment: bool = False
    """Whether what was paid for the replaced order counts for this one."""


def check(catalogue: Catalogue, order: OrderData, now: datetime) -> None:
    """Raise `InvalidInput` with every problem at once: unknown items and departments, double lines, future times."""
    problems = line_problems(catalogue, order.lines)
    if order.ordering_department not in catalogue.departments:
        problems.append(("/ordering_department", Text("未知的开单科室", "unknown ordering department")))
    if order.encounter.campus and order.encounter.campus not in catalogue.campuses:
        problems.append(("/encounter/campus", Text("未知的院区", "unknown campus")))
    if (order.ordered_at - now).total_seconds() > 300:
        problems.append(("/ordered_at", Text("开单时间在将来", "ordered in the future")))
    for name, fact in order.context.items():
        if fact.observed_at is not None and (fact.observed_at - now).total_seconds() > 300:
            problems.append((f"/context/{name}/observed_at", Text("时间在将来", "observed in the future")))
    problems += [(f"/patient{pointer}", text) for pointer, text in patients.problems(order.patient, now.date())]
    if problems:
        raise InvalidInput(problems)


def line_problems(catalogue: Catalogue, lines: Sequence[OrderLine]) -> list[tuple[str, Text]]:
    """What is wrong with the lines of an order: unknown items, a line number used twice."""
    problems = []
    seen: set[int] = set()
    for index, line in enumerate(lines):
        if line.line in seen:
            problems.append((f"/items/{index}/line", Text("行号重复", "this line number is used twice")))
        seen.add(line.line)
        try:
            catalogue.item(line.item)
        except NotFound:
            problems.append((f"/items/{index}/item", Text("未知的检查项目", "unknown item")))
    return problems


def check_replaced(database: Database, order: OrderData, patient: int | None) -> None:
    """Raise `Refused` unless an order may take the place of the one it names; one that is not known yet is no hindrance."""
    row = database.row("SELECT patient_id FROM exam_order WHERE number = ?", order.replaces)
    if order.replaces == order.number or (row is not None and row[0] != patient):
        raise Refused("not_replaceable", NOT_REPLACEABLE, "/replaces")
    if database.value(OTHER_HEIR, order.replaces, order.number):
        raise Conflict("already_replaced", ALREADY_REPLACED, "/replaces")


def void_early(database: Database, number: str, reason: str, actor: Actor, now: datetime) -> bool:
    """Remember that an order is void which has not come yet; False if it has. Inside a write transaction."""
    if database.value("SELECT 1 FROM exam_order WHERE number = ?", number):
        return False
    database.rows(VOID_EARLY, number, reason, actor.name, epoch(now))
    return True


def was_voided(database: Database, number: str) -> bool:
    """Whether an order was voided, or replaced, before it came."""
    return bool(database.value("SELECT 1 FROM voided_order WHERE number = ?", number))


def record(
    database: Database,
    catalogue: Catalogue,
    settings: Settings,
    order: OrderData,
    actor: Actor,
    now: datetime,
    key: RequestKey | None = None,
    notice: release.Notice | None = None,
) -> int:
    """Store an order as a fact and mark its patient's plan due; returns the patient's id.

    An order whose items were all rejected may be sent again with the same number; any other number is used once.
    """

    def store() -> int:
        receipts.keep(database, key, "order", order.number, epoch(now))
        patient = patients.touch(database, patients.register(database, order.patient))
        encounter = _encounter(database, order.encounter, patient)
        encounter_class = database.value("SELECT encounter_class FROM encounter WHERE id = ?", encounter)
        version = _make_room(database, order.number, patient)
        stored = _store(database, catalogue, settings, order, patient, encounter, encounter_class, version, now)
        jobs.mark_due(database, patient, epoch(now))
        if order.carry_payment:
            _carry_payment(database, order, settings, encounter_class, now)
        if order.replaces:
            void_early(database, order.replaces, f"replaced by {order.number}", actor, now)
        if was_voided(database, order.number):
            database.rows(IS_VOID, stored)
        release.adopt(database, order.number, settings, now, notice)
        audit.record(database, actor, "order.submit", "order", order.number, epoch(now), items=len(order.lines))
        return patient

    return database.write(store)


def _encounter(database: Database, data: EncounterData, patient: int) -> int:
    row = database.row("SELECT id, patient_id FROM encounter WHERE number = ?", data.number)
    if row is None:
        return database.insert(
            Encounter, number=data.number, patient=patient, encounter_class=data.encounter_class.value, ward=data.ward,
            campus=data.campus, needs=dump(list(data.needs)),
        )  # fmt: skip
    if row[1] != patient:
        raise Conflict("encounter_of_another_patient", OTHER_PATIENT, "/encounter/number")
    # Once an admission, transfer or discharge was reported, an order no longer says of what class its encounter is.
    if database.row("SELECT 1 FROM encounter_event WHERE encounter_id = ? AND withdrawn_at IS NULL", row[0]):
        return int(row[0])
    database.rows(
        "UPDATE encounter SET encounter_class = ?, ward = ?, campus = ?, needs = ? WHERE id = ? RETURNING id",
        data.encounter_class.value, data.ward, data.campus, dump(list(data.needs)), row[0],
    )  # fmt: skip
    return int(row[0])


def _make_room(database: Database, number: str, patient: int) -> int:
    """Let a wholly rejected order be sent again; returns the new version. The old one keeps its version in its number."""
    row = database.row("SELECT id, patient_id, version FROM exam_order WHERE number = ?", number)
    if row is None:
        return 1
    order, owner, version = row
    kept = database.value(
        "SELECT count(*) FROM order_item WHERE order_id = ? AND state NOT IN ('rejected', 'needs_confirmation')", order
    )
    if kept or owner != patient:
        raise Conflict("order_exists", ORDER_EXISTS, "/number")
    old = f"{number}#{version}"
    database.rows("UPDATE exam_order SET number = ? WHERE id = ? RETURNING id", old, order)
    database.rows(
        "UPDATE order_item SET state = 'cancelled', reason = 'resubmitted', key = ? || '/' || line "
        "WHERE order_id = ? RETURNING id",
        old, order,
    )  # fmt: skip
    return int(version) + 1


def _store(
    database: Database, catalogue: Catalogue, settings: Settings, order: OrderData, patient: int, encounter: int,
    encounter_class: str, version: int, now: datetime,
) -> int:  # fmt: skip
    key = database.insert(
        Order, number=order.number, patient=patient, encounter=encounter,
        ordering_department=order.ordering_department, doctor=order.doctor, priority=order.priority.value,
        context=dump(context_as_data(order.context)), note=order.note, drawing=order.drawing, replaces=order.replaces,
        provisional=int(order.provisional),
        ordered_at=epoch(order.ordered_at), version=version,
    )  # fmt: skip
    for line in order.lines:
        rule = "accepted" if order.provisional else settings.release[encounter_class]
        release = _released_by(rule, catalogue.item(line.item), order.verified)
        _insert_line(database, catalogue, order.number, key, patient, line, release, now, order.waits)
    return key


def context_as_data(context: Mapping[str, Fact]) -> dict[str, Any]:
    """Clinical facts as the table keeps them."""
    return {
        name: {"value": fact.value, "observed_at": maybe_epoch(fact.observed_at), "source": fact.source}
        for name, fact in context.items()
    }


def add_line(
    database: Database, catalogue: Catalogue, settings: Settings, order: str, line: OrderLine, now: datetime
) -> None:
    """Add an exam to an order that is stored; inside a write transaction."""
    key, patient, encounter_class = database.rows(STORED, order)[0]
    verified = bool(database.value("SELECT 1 FROM order_item WHERE order_id = ? AND release = 'verified'", key))
    release = _released_by(settings.release[encounter_class], catalogue.item(line.item), verified)
    _insert_line(database, catalogue, order, key, patient, line, release, now)


def _insert_line(
    database: Database, catalogue: Catalogue, number: str, order: int, patient: int, line: OrderLine, release: str,
    now: datetime, waits: str = "",
) -> None:  # fmt: skip
    database.insert(
        OrderItem, key=f"{number}/{line.line}", order=order, patient=patient, line=line.line,
        item=catalogue.item_id(line.item), confirmed=dump(dict(line.confirmations)), release=release, price=line.price,
        released_at=epoch(now) if release else None, reason=waits,
    )  # fmt: skip


def _carry_payment(database: Database, order: OrderData, settings: Settings, encounter_class: str, now: datetime) -> None:
    """What was paid for an item of the replaced order is paid for the same exam of this one."""
    rule = settings.release[encounter_class] == "paid"
    for line in order.lines:
        paid = database.value(PAID_BEFORE, order.replaces, line.item)
        if paid is not None:
            database.rows("UPDATE order_item SET payment = 'carried' WHERE id = ? RETURNING id", paid)
            database.rows(CARRIED, "paid" if rule else "", epoch(now) if rule else None, f"{order.number}/{line.line}")


def _released_by(rule: str, item: ExamItem, verified: bool) -> str:
    """The fact that lets an item be booked, as far as the order itself brings it. What costs nothing is not paid for."""
    if rule == "paid" and item.attributes.get("zero_fee") is True:
        return "zero_fee"
    if rule == "paid" or (rule == "verified" and not verified):
        return ""
    return rule
