"""Appointments: times to choose from, held, booked, moved, cancelled, read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from functools import partial

from marshmallow import EXCLUDE, Schema

from examlane.appointments import changes, choosing, status
from examlane.appointments.status import AppointmentStatus
from examlane.domain import Text
from examlane.errors import NotFound
from examlane.orders import patients
from examlane.orders.patients import Identifier
from examlane.records.receipts import RequestKey
from examlane_api.rest import schemas
from examlane_api.rest.fields import Day
from examlane_api.soap.booking.call import Answer, Call, Operation
from examlane_api.soap.faults import SoapRefusal

MOST_TIMES = 200
DEFAULT_DAYS = 7
DEFAULT_PAGE = 50
ONE_SUBJECT = Text("申请单号和预约号须且只能给出一个", "Give either an order number or an appointment number")
ONE_FILTER = Text("请按预约号、申请单号、患者或科室之一查询", "Ask by appointment, by order, by patient, or by department")
HOLD_OR_TIME = Text("请给出已保留的预约号，或项目、地点和时间", "Give the number of a hold, or items, group and time")


class Days(Schema):
    """The days in a query."""

    from_date = Day(load_default=None)
    on_day = Day(load_default=None)

    class Meta:
        unknown = EXCLUDE


def query_slots(call: Call) -> Answer:
    query = call.payload
    if ("orderNo" in query) == ("appointmentNo" in query):
        raise SoapRefusal("invalid_input", ONE_SUBJECT, fields=["query/orderNo", "query/appointmentNo"])
    day = call.message.load(Days)["from_date"]
    found = choosing.times(
        call.hospital,
        items=_asked_items(call) if "orderNo" in query else (),
        appointment=query.get("appointmentNo", ""),
        days=query.get("days", DEFAULT_DAYS),
        limit=MOST_TIMES,
        desk=call.actor.desk,
        since=datetime.combine(day, time(12), call.hospital.settings.zone) if day else None,
    )
    return call.results.times(call.answers.times(found))


def hold(call: Call) -> Answer:
    return _chosen(call, held=True)


def book(call: Call) -> Answer:
    names = call.payload.keys() - {"messageId"}
    if names == {"appointmentNo"}:
        return call.change(changes.confirm)
    if names != {"items", "group", "startAt"}:
        fields = [f"booking/{name}" for name in ("appointmentNo", "items", "group", "startAt")]
        raise SoapRefusal("invalid_input", HOLD_OR_TIME, fields=fields)
    return _chosen(call, held=False)


def reschedule(call: Call) -> Answer:
    body = call.message.load(schemas.Reschedule)
    return call.change(partial(choosing.reschedule, at_once=not call.by_patient, **body))


def cancel(call: Call) -> Answer:
    body = call.message.load(schemas.Cancellation)
    said = body["by_patient"]
    return call.change(partial(changes.cancel, **{**body, "by_patient": call.by_patient if said is None else said}))


def query_appointments(call: Call) -> Answer:
    limit = call.payload.get("limit", DEFAULT_PAGE)
    found = _found(call, limit)
    more = len(found) == limit and not call.payload.keys() & {"appointmentNo", "orderNo"}
    return {
        "appointments": [call.results.appointment(call.answers.appointment(each)) for each in found],
        "next": found[-1].id if more else None,
    }


OPERATIONS: Mapping[str, Operation] = {
    "QuerySlots": Operation("time.search", "query", query_slots),
    "HoldSlots": Operation("appointment.hold", "hold", hold),
    "BookAppointment": Operation("appointment.book", "booking", book),
    "RescheduleAppointment": Operation("appointment.reschedule", "reschedule", reschedule),
    "CancelAppointment": Operation("appointment.cancel", "cancellation", cancel),
    "QueryAppointments": Operation("appointment.read", "query", query_appointments),
}


def _asked_items(call: Call) -> list[str]:
    """The order item asked for; all items of the order where no line is named."""
    number, line = call.payload["orderNo"], call.payload.get("line")
    found = [item.key for item in status.of_order(call.hospital, number) if line in (None, item.line)]
    if not found:
        raise NotFound("order item", f"{number}/{line}")
    return found


def _chosen(call: Call, *, held: bool) -> Answer:
    body = call.message.load(schemas.Booking)
    for key in body["items"]:
        call.allow_item(key)

    def act(key: RequestKey) -> Answer:
        made = choosing.book(call.hospital, body["items"], body["group"], body["starts_at"], call.actor, key, hold=held)
        return call.answers.appointment(made)

    return call.results.appointment(call.once(act))


def _found(call: Call, limit: int) -> Sequence[AppointmentStatus]:
    """The appointments asked for, by exactly one of the ways."""
    query, after = call.payload, call.payload.get("after", 0)
    ways = query.keys() & {"appointmentNo", "orderNo", "patientIdentifier", "department"}
    if len(ways) != 1 or ("onDay" in query and ways != {"department"}):
        fields = [f"query/{name}" for name in ("appointmentNo", "orderNo", "patientIdentifier", "department")]
        raise SoapRefusal("invalid_input", ONE_FILTER, fields=fields)
    if "appointmentNo" in query:
        return [status.appointment(call.hospital, query["appointmentNo"])]
    if "orderNo" in query:
        return _of_order(call, query["orderNo"])
    if "patientIdentifier" in query:
        patient = patients.get(call.hospital.database, Identifier(**query["patientIdentifier"]))
        return status.appointments(call.hospital, patient=patient, after=after, limit=limit)
    day = call.message.load(Days)["on_day"]
    return status.appointments(
        call.hospital, department=query["department"], day=day.isoformat() if day else "", after=after, limit=limit
    )


def _of_order(call: Call, number: str) -> Sequence[AppointmentStatus]:
    booked = [item.appointment for item in status.of_order(call.hospital, number)]
    return list({each.id: each for each in booked if each is not None}.values())
