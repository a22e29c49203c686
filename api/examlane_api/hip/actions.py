"""What each action does here: `ACTIONS` is the whole table. Handlers translate; the core decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane import reporting
from examlane.appointments import changes, status
from examlane.appointments.status import ItemStatus
from examlane.arrival import noshow
from examlane.domain import Fact, Text
from examlane.errors import NotFound, Refused
from examlane.orders import patients
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import PatientData
from examlane.orders.release import PaymentData
from examlane.reasons import text
from examlane.records import audit, inbox, receipts
from examlane.records.inbox import Missing
from examlane.storage.fields import epoch
from examlane_api.hip import messages, queries
from examlane_api.hip.codes import Call, Codes
from examlane_api.hip.frame import Ack, Detail
from examlane_api.hip.messages import Application, Dictionary, Person, Reader, StatusReport

NO_APPOINTMENT = Text("该申请单没有有效预约", "this order has no appointment that stands")
ACCEPTED = queries.ACCEPTED
NOT_YET = Text("本系统尚未启用此服务，请联系管理员", "this action is not served here yet: ask the administrator")
STOPPED = frozenset({"rejected", "needs_confirmation"})
REACHED = {
    "registered": frozenset({"checked_in", "called", "called_absent", "deferred", "in_progress", "fulfilled"}),
    "started": frozenset({"in_progress", "fulfilled"}),
    "finished": frozenset({"fulfilled"}),
    "not_done": frozenset({"not_done"}),
    "no_show": frozenset({"no_show"}),
}
"""In these states a step has been made already: hearing of it again changes nothing."""
NOTED = frozenset({"booked", "cancelled", "reported"})
"""Steps that only repeat what we told, or that mean nothing to appointments."""
KEEP_PLACER = """INSERT INTO placer_number (order_number, line, number) VALUES (?, ?, ?)
ON CONFLICT (order_number, line) DO UPDATE SET number = excluded.number RETURNING id"""


Handler = Callable[[Call, Any], Ack]


@dataclass(frozen=True)
class Action:
    """An action: its name in the permission file, how its document is read, and what is done."""

    operation: str
    read: Reader
    act: Handler
    writes: bool = True


# Orders


def place_order(call: Call, form: Application) -> Ack:
    """Submit the order; each item is answered. Refused as a whole where the rules stop every item."""
    if not form.active:
        return void_order(call, form)
    order = _order(call, form)
    reporting.submit_order(call.hospital, order, call.actor, call.key)
    return placed(call, form)


def placed(call: Call, form: Application) -> Ack:
    """What became of a placed order, as it stands now; its lines' 医嘱号 are kept."""
    database = call.hospital.database

    def keep() -> None:
        for line, item in enumerate(form.items, 1):
            database.rows(KEEP_PLACER, form.number, line, item.placer)

    database.write(keep)
    items = status.of_order(call.hospital, form.number)
    return Ack(not all(item.state in STOPPED for item in items), tuple(_item_detail(call, item) for item in items))


def change_order(call: Call, form: Application) -> Ack:
    """An order that is not known yet is placed now."""
    known = call.hospital.database.value("SELECT 1 FROM exam_order WHERE number = ?", form.number)
    if form.active and not known:
        return place_order(call, form)
    return alter_order(call, form) if form.active else void_order(call, form)


def _order(call: Call, form: Application) -> OrderData:
    codes = Codes(call.hospital, call.profile)
    encounter, who = form.encounter, form.encounter.patient
    context = {"diagnosis": Fact(form.diagnosis, form.ordered_at, call.profile.code)} if form.diagnosis else {}
    order = OrderData(
        number=form.number,
        patient=_patient(codes, who),
        encounter=EncounterData(encounter.number, codes.encounter_class(encounter.encounter_class), encounter.ward),
        ordering_department=codes.department(form.department),
        ordered_at=form.ordered_at,
        lines=tuple(OrderLine(line, codes.item(each.item)) for line, each in enumerate(form.items, 1)),
        priority=codes.priority(form.priority),
        doctor=form.doctor,
        context=context,
        note=form.note,
        drawing=form.drawing,
        verified=form.verified,
    )
    codes.require()
    return order


def _patient(codes: Codes, who: Person) -> PatientData:
    return PatientData(who.identifiers, who.name, codes.sex(who.sex), who.birth_date, who.phone)


def _item_detail(call: Call, item: ItemStatus) -> Detail:
    words = f"第{item.line}项 {item.name.zh}：{item.message.zh}"
    if item.appointment is not None:
        since, until = (
            at.astimezone(call.profile.timezone)
            for at in (item.appointment.period_starts_at, item.appointment.period_ends_at)
        )
        words += f"，{since:%Y-%m-%d %H:%M}–{until:%H:%M} {item.appointment.place.zh}"
    return Detail(item.reason, words)


# States of exams


def report_status(call: Call, reports: Sequence[StatusReport]) -> Ack:
    """Apply what a department's system reports to the appointments of each order, each effect once."""
    codes = Codes(call.hospital, call.profile)
    steps = [(report, codes.step(report.status)) for report in reports]
    known = [_visits(call, codes, report) for report in reports]
    codes.require()
    details: list[Detail] = []
    number = 0
    for (report, step), visits in zip(steps, known, strict=True):
        if not visits and step not in NOTED:
            raise Refused("no_appointment", NO_APPOINTMENT)
        for visit in visits:
            number += 1
            details.append(_apply(call.part(number), visit, step, report.at))
    database, now = call.hospital.database, epoch(call.hospital.clock.now())
    database.write(lambda: receipts.keep(database, call.key, "hip", "status", now))
    return Ack(True, tuple(details) or (ACCEPTED,))


def _visits(call: Call, codes: Codes, report: StatusReport) -> list[str]:
    """The appointments an order's report is about: those of the reporting department, where it has several."""
    try:
        items = status.of_order(call.hospital, report.order)
    except NotFound:
        codes.missing.append(Missing(inbox.ORDER, report.order))
        return []
    visited = [item for item in items if item.appointment is not None]
    if len({item.department for item in items}) > 1 and report.department.code:
        department = codes.department(report.department)
        visited = [item for item in visited if item.department == department]
    return list(dict.fromkeys(item.appointment.number for item in visited if item.appointment))


def _apply(call: Call, number: str, step: str, at: datetime) -> Detail:
    current = status.appointment(call.hospital, number)
    if receipts.find(call.hospital.database, call.key) or step in NOTED or current.state in REACHED.get(step, ()):
        return Detail("noted", f"预约 {number}：已知悉")
    operation = "appointment.check_in" if step == "registered" else "appointment.execution"
    call.allow("appointment.no_show" if step == "no_show" else operation, current.department)
    if step == "registered":
        noshow.arrive(call.hospital, number, call.actor, call.key, at=at)
    elif step == "no_show":
        noshow.mark(call.hospital, number, call.actor, call.key)
    elif step == "unregistered":
        withdraw_check_in(call, number)
    else:
        reason = "reported by the department's system" if step == "not_done" else ""
        changes.execution(call.hospital, number, step, call.actor, call.key, reason=reason)
    state = status.appointment(call.hospital, number).state
    return Detail(state, f"预约 {number}：{text(state).zh}")


# People and dictionaries


def register_patient(call: Call, who: Person) -> Ack:
    """Make a patient known, with every identifier that is mapped."""
    database, now = call.hospital.database, epoch(call.hospital.clock.now())
    data = _patient(Codes(call.hospital, call.profile), who)

    def store() -> None:
        patient = patients.register(database, data)
        receipts.keep(database, call.key, "patient", str(patient), now)
        patients.touch(database, patient)
        audit.record(database, call.actor, "patient.register", "patient", str(patient), now)

    database.write(store)
    return Ack(True, (ACCEPTED,))


def record_dictionary(call: Call, found: Dictionary) -> Ack:
    """Note a dictionary's entries; those without one of our codes wait in the inbox for a person."""
    codes, database = Codes(call.hospital, call.profile), call.hospital.database
    for entry in found.entries:
        if found.kind == messages.ITEM:
            codes.item(entry)
        elif found.kind == messages.DEPARTMENT:
            codes.department(entry)
    now = call.hospital.clock.now()

    def store() -> None:
        receipts.keep(database, call.key, "hip", found.kind, epoch(now))
        inbox.note(database, call.profile.code, codes.missing, now)

    database.write(store)
    words = f"收到 {len(found.entries)} 条，{len(codes.missing)} 条待对照"
    return Ack(True, (Detail("accepted", words),))


# Our own actions


def pay(call: Call, paid: PaymentData) -> Ack:
    answer = reporting.report_payment(call.hospital, paid, call.actor, call.key)
    stored = Detail("unknown_order", "申请单尚未到达，缴费已登记")
    return Ack(True, tuple(_item_detail(call, item) for item in answer.items) or (stored,))


def assess(call: Call, data: EvidenceData) -> Ack:
    items = reporting.report_evidence(call.hospital, data, call.actor, call.key)
    return Ack(True, tuple(_item_detail(call, item) for item in items) or (ACCEPTED,))


def call_patient(call: Call, said: messages.Call) -> Ack:
    call.allow("appointment.call", status.appointment(call.hospital, said.appointment).department)
    changes.call(call.hospital, said.appointment, call.actor, call.key, absent=said.absent)
    return Ack(True, (ACCEPTED,))


def missed(call: Call, number: str) -> Ack:
    call.allow("appointment.no_show", status.appointment(call.hospital, number).department)
    noshow.mark(call.hospital, number, call.actor, call.key)
    return Ack(True, (ACCEPTED,))


# Actions whose commands are still to come: their documents are read and checked, then refused.


def _refuse(call: Call, said: Any) -> Ack:
    raise Refused("not_served_yet", NOT_YET)


alter_order = void_order = withdraw_check_in = update_patient = merge_patients = move_encounter = _refuse
refund_order = refundable = _refuse

ACTIONS: Mapping[str, Action] = {
    "CheckAppInfoAdd": Action("order.submit", messages.application, place_order),
    "CheckAppInfoUpdate": Action("order.submit", messages.application, change_order),
    "CheckStatusInfoUpdate": Action("appointment.execution", messages.status_reports, report_status),
    "PatientInfoRegister": Action("order.submit", messages.person, register_patient),
    "PatientInfoUpdate": Action("order.submit", messages.person, update_patient),
    "PatientInfoMerge": Action("order.submit", messages.merge, merge_patients),
    **{
        f"{name}{verb}": Action("order.submit", messages.dictionary(kind, element), record_dictionary)
        for name, kind, element in (
            ("OrganizationInfo", messages.DEPARTMENT, "assignedEntity"),
            ("ProviderInfo", messages.STAFF, "healthCareProvider"),
            ("Terminology", messages.ITEM, "term"),
        )
        for verb in ("Register", "Update")
    },
    **{
        f"{name}{verb}": Action("order.submit", messages.encounter(event), move_encounter)
        for name, event in (
            ("InPatientInfo", "admission"), ("TransferInfo", "transfer"), ("DischargeInfo", "discharge"),
            ("OutPatientInfo", "registration"),
        )
        for verb in ("Add", "Update")
    },
    "CheckAppInfoQuery": Action("order.read", messages.application_query, queries.find_applications, False),
    "CheckAppointStatusInfoQuery": Action("appointment.read", messages.appointment_query, queries.find_appointments, False),
    "CheckStatusInfoQuery": Action("appointment.read", messages.application_query, queries.find_status, False),
    "SourceAndScheduleInfoQuery": Action("time.search", messages.schedule_query, queries.find_schedules, False),
    "PaymentInfoAdd": Action("payment.report", messages.payment, pay),
    "RefundInfoAdd": Action("payment.report", messages.refund, refund_order),
    "AssessmentInfoAdd": Action("evidence.report", messages.assessment, assess),
    "CallInfoAdd": Action("appointment.call", messages.call, call_patient),
    "NoShowInfoAdd": Action("appointment.no_show", messages.no_show, missed),
    "PayableInfoQuery": Action("order.payable", messages.order_asked, queries.payable, False),
    "RefundableInfoQuery": Action("order.payable", messages.order_asked, refundable, False),
}  # fmt: skip
PRIVATE_ACTIONS = frozenset({
    "PaymentInfoAdd", "RefundInfoAdd", "AssessmentInfoAdd", "CallInfoAdd", "NoShowInfoAdd", "PayableInfoQuery",
    "RefundableInfoQuery",
})  # fmt: skip
