"""From the door to the end of the exam: arrivals, calls, queues, execution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from examlane.arrival import calling, executing, noshow, queue, walkin
from examlane.arrival.queue import Entry, Place
from examlane.arrival.walkin import EmergencyData
from examlane.domain import Text
from examlane.orders.patients import Identifier
from examlane.records import receipts
from examlane.records.receipts import RequestKey
from examlane_api.rest import schemas
from examlane_api.rest.appointments import execution_report
from examlane_api.rest.day import arrival
from examlane_api.soap.booking.call import Answer, Call, Operation
from examlane_api.soap.booking.results import maybe_instant
from examlane_api.soap.faults import SoapRefusal

A_PLACE = Text("检查地点和预约号须且只能给出一个", "Give either a group or an appointment number")


def check_in(call: Call) -> Answer:
    return call.change(partial(noshow.arrive, **call.message.load(schemas.CheckIn)))


def report_arrival(call: Call) -> Answer:
    body = call.message.load(arrival.Arrival)
    how = {name: body[name] for name in ("add_on", "reason", "move")}
    come = partial(walkin.come, call.hospital, Identifier(**body["patient"]), body["items"], call.actor, **how)
    return _arrived(call, call.once(lambda key: arrival.arrived(come(key=key))))


def report_emergency(call: Call) -> Answer:
    body = call.message.load(arrival.Emergency)
    data = EmergencyData(**{**body, "items": tuple(body["items"]), "needs": tuple(body["needs"])})

    def act(key: RequestKey) -> Answer:
        order, came = walkin.emergency(call.hospital, data, call.actor, key)
        return {"order": order, **arrival.arrived(came)}

    def again(key: RequestKey) -> Answer:
        stored = receipts.find(call.hospital.database, key)
        assert stored is not None
        came = walkin.take_in(call.hospital, stored.subject_key, call.actor)
        return {"order": stored.subject_key, **arrival.arrived(came)}

    return _arrived(call, call.once(act, again))


def report_call(call: Call) -> Answer:
    return call.change(calling.absent if call.message.load(schemas.Call)["absent"] else calling.call)


def call_next(call: Call) -> Answer:
    act = partial(calling.call_next, call.hospital, call.group(call.payload["group"]), call.actor)
    return call.results.appointment(call.once(lambda key: call.answers.appointment(act(key))))


def defer(call: Call) -> Answer:
    return call.change(partial(calling.defer, **call.message.load(arrival.Deferral)))


def report_ready(call: Call) -> Answer:
    return call.change(calling.ready)


def undo(call: Call) -> Answer:
    return call.change(partial(calling.undo, **call.message.load(arrival.Undo)))


def report_no_show(call: Call) -> Answer:
    return call.change(noshow.mark)


def report_execution(call: Call) -> Answer:
    return call.change(partial(executing.report, said=execution_report(call.message.load(schemas.Execution))))


def query_waiting(call: Call) -> Answer:
    query = call.payload
    if ("group" in query) == ("appointmentNo" in query):
        raise SoapRefusal("invalid_input", A_PLACE, fields=["query/group", "query/appointmentNo"])
    number = query.get("appointmentNo", "")
    group = call.group(query["group"] if "group" in query else queue.group_of(call.hospital, number))
    found = queue.read(call.hospital, group)
    return {
        "group": group, "rooms": found.rooms,
        "waiting": [_place(call, place) for place in found.waiting if number in ("", place.entry.number)],
        "busy": _others(found.busy, number), "others": _others(found.deferred, number),
    }  # fmt: skip


OPERATIONS: Mapping[str, Operation] = {
    "CheckIn": Operation("appointment.check_in", "checkIn", check_in),
    "ReportArrival": Operation("arrival.report", "arrival", report_arrival),
    "ReportEmergency": Operation("arrival.emergency", "emergency", report_emergency),
    "ReportCall": Operation("appointment.call", "report", report_call),
    "CallNext": Operation("queue.call", "nextCall", call_next),
    "DeferAppointment": Operation("appointment.defer", "deferral", defer),
    "ReportReady": Operation("appointment.defer", "ready", report_ready),
    "UndoReport": Operation("appointment.undo", "undo", undo),
    "ReportNoShow": Operation("appointment.no_show", "noShow", report_no_show),
    "ReportExecution": Operation("appointment.execution", "execution", report_execution),
    "QueryWaiting": Operation("queue.read", "query", query_waiting),
}


def _arrived(call: Call, answer: Answer) -> Answer:
    whole = arrival.whole(answer)
    refused = [
        {"what": part["what"], "code": part["code"], "message": call.results.words(part["message"])}
        for part in whole["refused"]
    ]
    here = [call.results.appointment(each) for each in whole["appointments"]]
    return {"appointments": here, "refused": refused, "orderNo": whole.get("order")}


def _place(call: Call, place: Place) -> Answer:
    expected = maybe_instant(call.answers.time(place.expected_at))
    return {**_entry(place.entry), "ahead": place.ahead, "expectedAt": expected}


def _others(entries: Iterable[Entry], number: str) -> list[Answer]:
    return [_entry(one) for one in entries if number in ("", one.number)]


def _entry(one: Entry) -> Answer:
    return {
        "appointmentNo": one.number, "patient": one.patient, "queueNo": str(one.queue_number) if one.queue_number else None,
        "state": one.state, "isolation": one.isolated,
    }  # fmt: skip
