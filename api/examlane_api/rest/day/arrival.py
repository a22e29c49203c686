"""Arriving, being called, not being ready, being examined at the bedside, over REST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import g
from marshmallow import Schema, fields, validate

from examlane import Sex
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import bedside, calling, queue, walkin
from examlane.arrival.executing import NOT_DONE, ExecutionReport
from examlane.arrival.queue import Entry, Place
from examlane.arrival.walkin import Arrived, EmergencyData
from examlane.errors import NotFound
from examlane.orders.patients import Identifier
from examlane.records import receipts
from examlane.records.receipts import RequestKey
from examlane_api.answers import words
from examlane_api.rest import schemas
from examlane_api.rest.api import (
    actor,
    allow_appointment,
    allow_department,
    answers,
    blueprint,
    hospital,
    operation,
    write,
)
from examlane_api.rest.fields import CleanText, Code, Instant, Several, YesNo

blp = blueprint("arrival", "From the door to the exam")
DEPARTMENT_OF_ITEM = """SELECT d.code FROM order_item oi JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id WHERE oi.key = ?"""


class Arrival(Schema):
    """`items`: the order items the patient came for; none: all of today.

    `add_on`: a seat more where none is free, for a `reason`. `move`: what is booked on a later day is done today.
    """

    patient = fields.Nested(schemas.Identifier, required=True)
    items = Several(Code(80), 0, 20, load_default=())
    add_on = YesNo(load_default=False)
    reason = CleanText(100, minimum=0, load_default="")
    move = YesNo(load_default=False)


class Emergency(Schema):
    """`number`: the temporary number on the patient's wristband, where he has one."""

    department = Code(32, required=True)
    items = Several(Code(64), 1, 10, required=True)
    reason = CleanText(200, required=True)
    name = CleanText(64, load_default="无名氏")
    sex = fields.Enum(Sex, by_value=True, load_default=Sex.UNKNOWN)
    campus = CleanText(32, minimum=0, load_default="")
    needs = Several(Code(32), 0, 10, load_default=())
    number = CleanText(64, minimum=0, load_default="")
    ward = CleanText(64, minimum=0, load_default="")


class Deferral(Schema):
    reason = fields.String(required=True, validate=validate.OneOf(calling.DEFERRALS))
    ready_at = Instant(load_default=None, allow_none=True)


class Undo(Schema):
    reason = CleanText(200, required=True)


class BedsideReport(Schema):
    """`rebook`: whether what was not done is on the list again; left out, the reason decides."""

    state = fields.String(required=True, validate=validate.OneOf(["started", "finished", "not_done"]))
    reason_code = fields.String(validate=validate.OneOf(list(NOT_DONE)), load_default=None, allow_none=True)
    rebook = YesNo(load_default=None, allow_none=True)
    at = Instant(load_default=None, allow_none=True)


class BedsideQuery(Schema):
    department = Code(32, load_default=None)


class RefusedPart(Schema):
    what = fields.String()
    code = fields.String()
    message = fields.Nested(schemas.Words)


class ArrivalAnswer(Schema):
    """`appointments`: what the patient is here for now; `refused`: what was not possible, and why."""

    order = fields.String()
    appointments = fields.List(fields.Nested(schemas.AppointmentAnswer))
    refused = fields.List(fields.Nested(RefusedPart))


class QueueEntryAnswer(Schema):
    appointment = fields.String()
    patient = fields.String()
    queue_number = fields.Integer()
    state = fields.String()
    isolation = fields.Boolean()
    ahead = fields.Integer()
    expected_at = fields.String()


class QueueAnswer(Schema):
    """Who waits, first to last; who is in a room; who is not ready, or was called in vain too often."""

    group = fields.String()
    rooms = fields.Integer()
    waiting = fields.List(fields.Nested(QueueEntryAnswer))
    busy = fields.List(fields.Nested(QueueEntryAnswer))
    others = fields.List(fields.Nested(QueueEntryAnswer))


class PlaceAnswer(Schema):
    """A patient's own place: null where he does not wait."""

    appointment = fields.String()
    waiting = fields.Boolean()
    ahead = fields.Integer(allow_none=True)
    expected_at = fields.String(allow_none=True)
    minutes = fields.Integer(allow_none=True)


class BedsideExamAnswer(Schema):
    key = fields.String()
    item = fields.Nested(schemas.Words)
    department = fields.String()
    patient = fields.String()
    ward = fields.String()
    encounter = fields.String()
    isolation = fields.Boolean()
    needs = fields.List(fields.String())
    ordered_at = fields.String()
    priority = fields.String()
    note = fields.String()


class BedsideAnswer(Schema):
    exams = fields.List(fields.Nested(BedsideExamAnswer))


@blp.route("/arrivals", methods=["POST"])
@blp.arguments(Arrival())
@blp.response(200, ArrivalAnswer())
@operation("arrival.report", writes=True)
def arrive(body: dict[str, Any]) -> Mapping[str, Any]:
    """A patient is here, with or without an appointment: checked in, given a number, the next free place, or a seat more."""
    identifier = Identifier(**body["patient"])

    def act(key: RequestKey) -> Mapping[str, Any]:
        options = {name: body[name] for name in ("add_on", "reason", "move")}
        return arrived(walkin.come(hospital(), identifier, body["items"], actor(), key, **options))

    return whole(write("arrival.report", body, act))


@blp.route("/emergencies", methods=["POST"])
@blp.arguments(Emergency())
@blp.response(200, ArrivalAnswer())
@operation("arrival.emergency", writes=True)
def emergency(body: dict[str, Any]) -> Mapping[str, Any]:
    """Examine a patient before order, payment and identity; the order that is written later names it in `replaces`."""
    data = EmergencyData(**{**body, "items": tuple(body["items"]), "needs": tuple(body["needs"])})

    def act(key: RequestKey) -> Mapping[str, Any]:
        order, came = walkin.emergency(hospital(), data, actor(), key)
        return {"order": order, **arrived(came)}

    def again(key: RequestKey) -> Mapping[str, Any]:
        stored = receipts.find(hospital().database, key)
        assert stored is not None
        return {"order": stored.subject_key, **arrived(walkin.take_in(hospital(), stored.subject_key, actor()))}

    return write("arrival.emergency", body, act, again)


@blp.route("/appointments/<string:number>/deferral", methods=["POST"])
@blp.arguments(Deferral())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.defer", writes=True)
def defer(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The patient is here and not ready; not called until he is."""

    def act(key: RequestKey) -> AppointmentStatus:
        return calling.defer(hospital(), number, actor(), key, reason=body["reason"], ready_at=body["ready_at"])

    return _changed("appointment.defer", number, body, act)


@blp.route("/appointments/<string:number>/ready", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.defer", writes=True)
def ready(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Who was not ready is ready now; who was called in vain is here again."""
    return _changed("appointment.defer", number, body, lambda key: calling.ready(hospital(), number, actor(), key))


@blp.route("/appointments/<string:number>/undo", methods=["POST"])
@blp.arguments(Undo())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.undo", writes=True)
def undo(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Take back a check-in, a call or a deferral that was reported by mistake."""

    def act(key: RequestKey) -> AppointmentStatus:
        return calling.undo(hospital(), number, actor(), key, reason=body["reason"])

    return _changed("appointment.undo", number, body, act)


@blp.route("/appointments/<string:number>/waiting", methods=["GET"])
@blp.response(200, PlaceAnswer())
@operation("appointment.read")
def waiting(number: str) -> Mapping[str, Any]:
    """How many are called before this patient, and when he may expect to be."""
    place = queue.place_of(hospital(), number)
    if place is None:
        return {"appointment": number, "waiting": False, "ahead": None, "expected_at": None, "minutes": None}
    minutes = queue.minutes_until(place, hospital().clock.now())
    return {
        "appointment": number, "waiting": True, "ahead": place.ahead,
        "expected_at": answers().time(place.expected_at), "minutes": minutes,
    }  # fmt: skip


@blp.route("/queues/<string:group>", methods=["GET"])
@blp.response(200, QueueAnswer())
@operation("queue.read")
def read_queue(group: str) -> Mapping[str, Any]:
    """The queue of a place: order, number ahead, expected time."""
    allow_department("queue.read", _department(group))
    found = queue.read(hospital(), group)
    return {
        "group": group, "rooms": found.rooms, "waiting": [_place(place) for place in found.waiting],
        "busy": [_entry(one) for one in found.busy], "others": [_entry(one) for one in found.deferred],
    }  # fmt: skip


@blp.route("/queues/<string:group>/next", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, schemas.AppointmentAnswer())
@operation("queue.call", writes=True)
def call_next(body: dict[str, Any], group: str) -> Mapping[str, Any]:
    """Call the next patient; two rooms never get the same one."""
    allow_department("queue.call", _department(group))
    return write("queue.call", body, lambda key: answers().appointment(calling.call_next(hospital(), group, actor(), key)))


@blp.route("/wards/<string:ward>/bedside", methods=["GET"])
@blp.arguments(BedsideQuery(), location="query")
@blp.response(200, BedsideAnswer())
@operation("bedside.read")
def bedside_list(query: dict[str, Any], ward: str) -> Mapping[str, Any]:
    """What is to be done at the bedside of a ward."""
    return {
        "exams": [
            {
                "key": exam.key, "item": words(exam.item), "department": exam.department, "patient": exam.patient,
                "ward": exam.ward, "encounter": exam.encounter, "isolation": exam.isolation, "needs": list(exam.needs),
                "ordered_at": answers().time(exam.ordered_at), "priority": exam.priority, "note": exam.note,
            }
            for exam in bedside.work_list(hospital(), ward, query["department"] or "")
        ]
    }  # fmt: skip


@blp.route("/orders/<string:order>/items/<string:line>/bedside", methods=["POST"])
@blp.arguments(BedsideReport())
@blp.response(200, schemas.AppointmentAnswer())
@operation("bedside.report", writes=True)
def bedside_report(body: dict[str, Any], order: str, line: str) -> Mapping[str, Any]:
    """An exam at the bedside was started, finished or not done."""
    key_of_item = f"{order}/{line}"
    department = hospital().database.value(DEPARTMENT_OF_ITEM, key_of_item)
    if department is None:
        raise NotFound("order item", key_of_item)
    allow_department("bedside.report", department)
    said = ExecutionReport(body["state"], reason_code=body["reason_code"] or "", rebook=body["rebook"], at=body["at"])

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().appointment(bedside.report(hospital(), key_of_item, said, actor(), key))

    return write("bedside.report", body, act)


def _changed(
    name: str, number: str, body: Mapping[str, Any], act: Callable[[RequestKey], AppointmentStatus]
) -> Mapping[str, Any]:
    allow_appointment(name, number)
    return write(name, body, lambda key: answers().appointment(act(key)))


def _department(group: str) -> str:
    groups = hospital().catalogues.current().groups
    if group not in groups:
        raise NotFound("group", group)
    return groups[group].department


def arrived(came: Arrived) -> dict[str, Any]:
    """What a patient is here for now, and what was not possible."""
    g.version = None
    return {
        "appointments": [answers().appointment(one) for one in came.appointments],
        "refused": [{"what": what, "code": refusal.code, "message": words(refusal.text)} for what, refusal in came.refused],
    }


def whole(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer of an arrival that died before it was answered is made anew from its first visit: in this shape, too."""
    return answer if "appointments" in answer else {"appointments": [answer], "refused": []}


def _entry(one: Entry) -> dict[str, Any]:
    return {
        "appointment": one.number, "patient": one.patient, "queue_number": one.queue_number, "state": one.state,
        "isolation": one.isolated,
    }  # fmt: skip


def _place(place: Place) -> dict[str, Any]:
    return {**_entry(place.entry), "ahead": place.ahead, "expected_at": answers().time(place.expected_at)}
