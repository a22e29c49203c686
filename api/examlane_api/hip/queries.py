"""Queries: what is asked for, found and told as the platform's own documents would tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from lxml import etree

from examlane.appointments import status
from examlane.appointments.status import ItemStatus
from examlane.corrections import refunds
from examlane.corrections.refunds import Refundable
from examlane.domain import Text
from examlane.errors import NotFound
from examlane.orders import patients
from examlane.orders.patients import Identifier
from examlane.storage.fields import epoch
from examlane_api.hip import messages
from examlane_api.hip.codes import Call, Codes
from examlane_api.hip.frame import PRIVATE, Ack, Detail, Part, make
from examlane_api.hip.handlers.answers import ACCEPTED
from examlane_api.hip.messages import Coded
from examlane_api.hip.outbound import documents, reading
from examlane_api.hip.profiles import Profile

NOTHING_FOUND = Detail("nothing_found", "没有符合条件的记录")
TOLD = {
    "booked": "booked", "tentative": "booked", "checked_in": "registered", "called": "registered",
    "called_absent": "registered", "deferred": "registered", "in_progress": "started", "fulfilled": "finished",
    "not_done": "not_done", "no_show": "no_show",
}  # fmt: skip
"""The step that an appointment's state is told as; any other is told as cancelled."""
MOST_FOUND = 50
MOST_DAYS = 14
ORDERS_OF = """SELECT number FROM exam_order WHERE patient_id = ? AND ordered_at >= ? AND ordered_at <= ?
AND number NOT LIKE '%#%' ORDER BY id DESC LIMIT ?"""
APPOINTMENTS_OF_ORDER = """SELECT DISTINCT a.id, a.number FROM appointment a
JOIN appointment_item ai ON ai.appointment_id = a.id JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_order o ON o.id = oi.order_id WHERE o.number = ? AND a.state <> 'held' ORDER BY a.id"""
APPOINTMENTS_OF_PATIENT = """SELECT number FROM appointment WHERE patient_id = ? AND start_at >= ? AND start_at <= ?
AND state <> 'held' ORDER BY start_at DESC LIMIT ?"""
LAST = 2**53


@dataclass(frozen=True, slots=True)
class Query:
    """What a query asks by. Several conditions must all hold; a query for nothing is refused."""

    numbers: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    patients: tuple[Identifier, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    department: str = ""


def application_query(root: Part, profile: Profile) -> Query:
    """CheckAppInfoQuery and CheckStatusInfoQuery."""
    asked = root.part("controlActProcess/queryByParameter/queryByParameterPayload")
    return _query(asked, profile, orders=_values(asked, "actId"))


def appointment_query(root: Part, profile: Profile) -> Query:
    asked = root.part("controlActProcess/queryByParameter/queryByParameterPayload")
    return _query(asked, profile, numbers=_values(asked, "actId"), orders=_values(asked, "actOrderId"))


def schedule_query(root: Part, profile: Profile) -> Query:
    asked = root.part("controlActProcess/queryByParameter")
    department = asked.code("resourceDept/value/item", required=False)
    return _query(asked, profile, numbers=_values(asked, "scheduleId"), department=department)


def _query(
    asked: Part, profile: Profile, *, numbers: tuple[str, ...] = (), orders: tuple[str, ...] = (), department: str = ""
) -> Query:
    within = asked.part("effectiveTime/value")
    patients = messages.identifiers(asked.parts("patientId/value/item"), profile)
    since, until = within.maybe_instant("low"), within.maybe_instant("high")
    if not (numbers or orders or patients or department):
        asked.wrong("", "", Text("没有查询条件", "asks for nothing"))
    return Query(numbers, orders, patients, since, until, department)


def _values(asked: Part, name: str) -> tuple[str, ...]:
    return tuple(filter(None, (each.code("", required=False) for each in asked.parts(f"{name}/value/item"))))


def find_applications(call: Call, query: Query) -> Ack:
    """The application forms, each as CheckAppInfoAdd would bring it."""
    forms = [reading.form(call.hospital, number) for number in _orders(call, query)]
    return _found([documents.application_subject(call.profile, form) for form in forms])


def find_appointments(call: Call, query: Query) -> Ack:
    """An exam of an appointment each, as CheckAppointStatusInfoAdd tells it."""
    found = []
    for number in _appointments(call, query):
        active = status.appointment(call.hospital, number).state in TOLD
        exams = reading.exams(call.hospital, number, all_of_them=not active)
        found += [documents.appointment_subject(call.profile, exam, active=active) for exam in exams]
    return _found(found)


def find_status(call: Call, query: Query) -> Ack:
    """The step that each appointment has reached, as CheckStatusInfoUpdate tells it."""
    found = []
    for number in _appointments(call, query):
        current = status.appointment(call.hospital, number)
        said = call.profile.status_code(TOLD.get(current.state, "cancelled"), current.department)
        if said is not None and (exams := reading.exams(call.hospital, number, all_of_them=current.state not in TOLD)):
            at = reading.changed_at(call.hospital.database, number, current.version)
            found.append(documents.status_subject(call.profile, exams, said, at))
    return _found(found)


def find_schedules(call: Call, query: Query) -> Ack:
    """What the resources of a department, or one resource's day, offer: a subject with one schedule a resource day."""
    days: list[reading.ResourceDay] = []
    for number in query.numbers:
        resource, _, day = number.rpartition(":")
        if resource and len(day) == 8 and day.isdigit():
            days += reading.resource_days(call.hospital, _day(day), resource=resource)
    if query.department and not query.numbers:
        codes = Codes(call.hospital, call.profile)
        department = codes.department(Coded(query.department))
        if codes.missing:
            raise NotFound("department", query.department)
        first = call.hospital.calendar.day_of(query.since or call.hospital.clock.now())
        last = call.hospital.calendar.day_of(query.until) if query.until else first
        for offset in range(min((last - first).days + 1, MOST_DAYS)):
            days += reading.resource_days(call.hospital, first + timedelta(days=offset), department=department)
    return _found([documents.schedule_subject(call.profile, days)] if days else [])


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotFound("schedule", text) from None


def _orders(call: Call, query: Query) -> list[str]:
    if query.orders:
        return list(query.orders[:MOST_FOUND])
    since, until = _span(query)
    return [
        number
        for identifier in query.patients
        for (number,) in call.hospital.database.rows(ORDERS_OF, _known(call, identifier), since, until, MOST_FOUND)
    ][:MOST_FOUND]


def _appointments(call: Call, query: Query) -> list[str]:
    database = call.hospital.database
    if query.numbers:
        return list(query.numbers[:MOST_FOUND])
    if query.orders:
        rows = [row for order in query.orders for row in database.rows(APPOINTMENTS_OF_ORDER, order)]
        return list(dict.fromkeys(number for _, number in rows))[:MOST_FOUND]
    since, until = _span(query)
    patients_asked = [_known(call, each) for each in query.patients]
    rows = [row for each in patients_asked for row in database.rows(APPOINTMENTS_OF_PATIENT, each, since, until, MOST_FOUND)]
    return [number for (number,) in rows][:MOST_FOUND]


def _span(query: Query) -> tuple[int, int]:
    return epoch(query.since) if query.since else 0, epoch(query.until) if query.until else LAST


def _known(call: Call, identifier: Identifier) -> int:
    return patients.get(call.hospital.database, identifier)


def _found(subjects: Sequence[etree._Element]) -> Ack:
    return Ack(True, (ACCEPTED if subjects else NOTHING_FOUND,), found=tuple(subjects))


def payable(call: Call, number: str) -> Ack:
    """May the patient pay? A line each."""
    items = status.of_order(call.hospital, number)
    return Ack(True, (ACCEPTED,), found=tuple(_payable(item) for item in items))


def _payable(item: ItemStatus) -> etree._Element:
    values = {
        "line": str(item.line), "itemCode": item.item, "payable": str(item.payable).lower(), "code": item.reason,
        "text": item.message.zh,
    }  # fmt: skip
    return _private("payableItem", values)


def refundable(call: Call, number: str) -> Ack:
    """May the patient be refunded? A line each."""
    return Ack(True, (ACCEPTED,), found=tuple(_refundable(each) for each in refunds.refundable(call.hospital, number)))


def _refundable(item: Refundable) -> etree._Element:
    line = item.key.rpartition("/")[2]
    said = str(item.refundable).lower()
    return _private("refundableItem", {"line": line, "refundable": said, "code": item.code, "text": item.text.zh})


def _private(name: str, values: dict[str, str]) -> etree._Element:
    found = make("subject", typeCode="SUBJ")
    etree.SubElement(found, etree.QName(PRIVATE, name), values, nsmap={"p": PRIVATE})
    return found
