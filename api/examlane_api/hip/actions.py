"""Every action that is served: its permission, how its document is read, and what is done. `ACTIONS` is the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from examlane_api.hip import messages, queries
from examlane_api.hip.codes import Call
from examlane_api.hip.frame import Ack
from examlane_api.hip.handlers import answers, exams, orders, people
from examlane_api.hip.messages import Reader

Handler = Callable[[Call, Any], Ack]


@dataclass(frozen=True)
class Action:
    """An action: its name in the permission file, how its document is read, and what is done.

    `again` makes the answer anew of a message whose effect is there and whose answer is not.
    """

    operation: str
    read: Reader
    act: Handler
    again: Handler = answers.accepted
    writes: bool = True


def _query(operation: str, read: Reader, act: Handler) -> Action:
    return Action(operation, read, act, writes=False)


ACTIONS: Mapping[str, Action] = {
    "CheckAppInfoAdd": Action("order.submit", messages.application, orders.place_order, orders.placed),
    "CheckAppInfoUpdate": Action("order.change", messages.application, orders.change_order, orders.changed),
    "CheckStatusInfoUpdate": Action("appointment.execution", messages.status_reports, exams.report_status),
    "PatientInfoRegister": Action("order.submit", messages.person, people.register_patient),
    "PatientInfoUpdate": Action("patient.update", messages.person, people.update_patient, people.updated),
    "PatientInfoMerge": Action("patient.merge", messages.merge, people.merge_patients),
    **{
        f"{name}{verb}": Action("order.submit", messages.dictionary(kind, element), people.record_dictionary)
        for name, kind, element in (
            ("OrganizationInfo", messages.DEPARTMENT, "assignedEntity"),
            ("ProviderInfo", messages.STAFF, "healthCareProvider"),
            ("Terminology", messages.ITEM, "term"),
        )
        for verb in ("Register", "Update")
    },
    **{
        f"{name}{verb}": Action(
            "encounter.report", messages.encounter(event, update=verb == "Update"), people.move_encounter, people.moved
        )
        for name, event in (("InPatientInfo", "admission"), ("TransferInfo", "transfer"), ("DischargeInfo", "discharge"))
        for verb in ("Add", "Update")
    },
    **{
        f"OutPatientInfo{verb}": Action("order.submit", messages.encounter("registration"), people.register_visit)
        for verb in ("Add", "Update")
    },
    "CheckAppInfoQuery": _query("order.read", queries.application_query, queries.find_applications),
    "CheckAppointStatusInfoQuery": _query("appointment.read", queries.appointment_query, queries.find_appointments),
    "CheckStatusInfoQuery": _query("appointment.read", queries.application_query, queries.find_status),
    "SourceAndScheduleInfoQuery": _query("time.search", queries.schedule_query, queries.find_schedules),
    "PaymentInfoAdd": Action("payment.report", messages.payment, orders.pay),
    "RefundInfoAdd": Action("refund.report", messages.refund, orders.refund, orders.refunded),
    "AssessmentInfoAdd": Action("evidence.report", messages.assessment, exams.assess),
    "CallInfoAdd": Action("appointment.call", messages.call, exams.call_patient),
    "NoShowInfoAdd": Action("appointment.no_show", messages.no_show, exams.missed),
    "PayableInfoQuery": _query("order.payable", messages.order_asked, queries.payable),
    "RefundableInfoQuery": _query("order.refundable", messages.order_asked, queries.refundable),
}
PRIVATE_ACTIONS = frozenset({
    "PaymentInfoAdd", "RefundInfoAdd", "AssessmentInfoAdd", "CallInfoAdd", "NoShowInfoAdd", "PayableInfoQuery",
    "RefundableInfoQuery",
})  # fmt: skip
