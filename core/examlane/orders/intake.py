"""Orders as they arrive: checked for understanding, stored as facts, their patient's plan marked due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from examlane.capacity.catalogue import Catalogue
from examlane.domain import EncounterClass, ExamItem, Fact, Priority, Text
from examlane.errors import Conflict, InvalidInput, NotFound
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


def check(catalogue: Catalogue, order: OrderData, now: datetime) -> None:
    """Raise `InvalidInput` with every problem at once: unknown items and departments, double lines, future times."""
    problems = [*_line_problems(catalogue, order)]
    if order.ordering_department not in catalogue.departments:
        problems.append(("/ordering_department", Text("未知的开单科室", "unknown ordering department")))
    if order.encounter.campus and order.encounter.campus not in catalogue.campuses:
        problems.append(("/encounter/campus", Text("未知的院区", "unknown campus")))
    if (order.ordered_at - now).total_seconds() > 300:
        problems.append(("/ordered_at", Text("开单时间在将来", "ordered in the future")))
    for name, fact in order.context.items():
        if fact.observed_at is not None and (fact.observed_at - now).total_seconds() > 300:
            problems.append((f"/context/{name}/observed_at", Text("时间在将来", "observed in the future")))
    if order.patient.birth_date and order.patient.birth_date > now.date():
        problems.append(("/patient/birth_date", Text("出生日期在将来", "born in the future")))
    if problems:
        raise InvalidInput(problems)


def _line_problems(catalogue: Catalogue, order: OrderData) -> list[tuple[str, Text]]:
    problems = []
    seen: set[int] = set()
    for index, line in enumerate(order.lines):
        if line.line in seen:
            problems.append((f"/items/{index}/line", Text("行号重复", "this line number is used twice")))
        seen.add(line.line)
        try:
            catalogue.item(line.item)
        except NotFound:
            problems.append((f"/items/{index}/item", Text("未知的检查项目", "unknown item")))
    return problems


def record(
    database: Database,
    catalogue: Catalogue,
    settings: Settings,
    order: OrderData,
    actor: Actor,
    now: datetime,
    key: RequestKey | None = None,
) -> int:
    """Store an order as a fact and mark its patient's plan due; returns the patient's id.

    An order whose items were all rejected may be sent again with the same number; any other number is used once.
    """

    def store() -> int:
        receipts.keep(database, key, "order", order.number, epoch(now))
        patient = patients.register(database, order.patient)
        patients.touch(database, patient)
        encounter = _encounter(database, order.encounter, patient)
        encounter_class = database.value("SELECT encounter_class FROM encounter WHERE id = ?", encounter)
        version = _make_room(database, order.number, patient)
        _store(database, catalogue, settings, order, patient, encounter, encounter_class, version, now)
        jobs.mark_due(database, patient, epoch(now))
        release.adopt(database, order.number, settings, now)
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
) -> None:  # fmt: skip
    context = {
        name: {"value": fact.value, "observed_at": maybe_epoch(fact.observed_at), "source": fact.source}
        for name, fact in order.context.items()
    }
    key = database.insert(
        Order, number=order.number, patient=patient, encounter=encounter,
        ordering_department=order.ordering_department, doctor=order.doctor, priority=order.priority.value,
        context=dump(context), note=order.note, drawing=order.drawing, replaces=order.replaces,
        ordered_at=epoch(order.ordered_at), version=version,
    )  # fmt: skip
    for line in order.lines:
        release = _release(settings.release[encounter_class], order, catalogue.item(line.item))
        database.insert(
            OrderItem, key=f"{order.number}/{line.line}", order=key, patient=patient, line=line.line,
            item=catalogue.item_id(line.item), confirmed=dump(dict(line.confirmations)), release=release,
            released_at=epoch(now) if release else None,
        )  # fmt: skip


def _release(rule: str, order: OrderData, item: ExamItem) -> str:
    """The fact that lets an item be booked, as far as the order itself brings it. What costs nothing is not paid for."""
    if rule == "paid" and item.attributes.get("zero_fee") is True:
        return "zero_fee"
    if rule == "paid" or (rule == "verified" and not order.verified):
        return ""
    return rule
