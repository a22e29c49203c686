"""What happens to exams: what a department's system reports, calls, no-shows, assessments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from examlane import reporting
from examlane.appointments import changes, status
from examlane.arrival import calling, noshow
from examlane.domain import Text
from examlane.errors import NotFound, Refused
from examlane.orders.evidence import EvidenceData
from examlane.reasons import text
from examlane.records import inbox, receipts
from examlane.records.inbox import Missing
from examlane.storage.fields import epoch
from examlane_api.hip import messages
from examlane_api.hip.codes import Call, Codes
from examlane_api.hip.frame import Ack, Detail
from examlane_api.hip.handlers.answers import ACCEPTED, heard, is_late, item_detail
from examlane_api.hip.messages import StatusReport

NO_APPOINTMENT = Text("该申请单没有有效预约", "this order has no appointment that stands")
REACHED = {
    "registered": frozenset({"checked_in", "called", "called_absent", "deferred", "in_progress", "fulfilled"}),
    "unregistered": frozenset({"booked", "tentative", "no_show"}),
    "started": frozenset({"in_progress", "fulfilled"}),
    "finished": frozenset({"fulfilled"}),
    "not_done": frozenset({"not_done"}),
    "no_show": frozenset({"no_show"}),
}
"""In these states a step has been made already: hearing of it again changes nothing."""
NOTED = frozenset({"booked", "cancelled", "reported"})
"""Steps that only repeat what we told, or that mean nothing to appointments."""
BACK_AND_FORTH = frozenset({"registered", "unregistered"})
"""Of these steps the newest counts, in whatever order they come."""
PERMISSIONS = {"registered": "appointment.check_in", "unregistered": "appointment.undo", "no_show": "appointment.no_show"}
MISTAKE = "registration withdrawn by the department's system"


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
    if (
        receipts.find(call.hospital.database, call.key)
        or step in NOTED
        or _overtaken(call, number, step, at)
        or current.state in REACHED.get(step, ())
    ):
        return Detail("noted", f"预约 {number}：已知悉")
    call.allow(PERMISSIONS.get(step, "appointment.execution"), current.department)
    if step == "registered":
        noshow.arrive(call.hospital, number, call.actor, call.key, at=at)
    elif step == "no_show":
        noshow.mark(call.hospital, number, call.actor, call.key)
    elif step == "unregistered":
        _withdraw_check_in(call, number)
    else:
        reason = "reported by the department's system" if step == "not_done" else ""
        changes.execution(call.hospital, number, step, call.actor, call.key, reason=reason)
    state = status.appointment(call.hospital, number).state
    return Detail(state, f"预约 {number}：{text(state).zh}")


def _overtaken(call: Call, number: str, step: str, at: datetime) -> bool:
    """Whether a newer registration, or its withdrawal, was reported before this one."""
    if step not in BACK_AND_FORTH:
        return False
    at = min(at, call.hospital.clock.now())
    late = is_late(call, "registration", number, at)
    heard(call, "registration", number, at)
    return late


def _withdraw_check_in(call: Call, number: str) -> None:
    """Take back a check-in; a call or a deferral after it first."""
    if status.appointment(call.hospital, number).state in ("called", "called_absent", "deferred"):
        calling.undo(call.hospital, number, call.actor, call.part(1).key, reason=MISTAKE)
    calling.undo(call.hospital, number, call.actor, call.key, reason=MISTAKE)


def assess(call: Call, data: EvidenceData) -> Ack:
    items = reporting.report_evidence(call.hospital, data, call.actor, call.key)
    return Ack(True, tuple(item_detail(call, item) for item in items) or (ACCEPTED,))


def call_patient(call: Call, said: messages.Call) -> Ack:
    call.allow("appointment.call", status.appointment(call.hospital, said.appointment).department)
    changes.call(call.hospital, said.appointment, call.actor, call.key, absent=said.absent)
    return Ack(True, (ACCEPTED,))


def missed(call: Call, number: str) -> Ack:
    call.allow("appointment.no_show", status.appointment(call.hospital, number).department)
    noshow.mark(call.hospital, number, call.actor, call.key)
    return Ack(True, (ACCEPTED,))
