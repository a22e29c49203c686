"""Times and appointments: search, hold, book, move, cancel, arrive, be examined, not come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time
from typing import Any

from flask import g

from examlane.appointments import booking, changes, choosing, status
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import calling, executing, noshow
from examlane.arrival.executing import ExecutionReport
from examlane.reading import facts
from examlane.records.receipts import RequestKey
from examlane_api.rest import holds, schemas
from examlane_api.rest.api import (
    actor,
    allow_appointment,
    allow_department,
    answers,
    blueprint,
    departments_of,
    expecting,
    hospital,
    operation,
    patient_of,
    write,
)
from examlane_api.rest.paging import paged

blp = blueprint("appointments", "Times and appointments")


@blp.route("/times", methods=["GET"])
@blp.arguments(schemas.TimeQuery(), location="query")
@blp.response(200, schemas.TimesAnswer())
@operation("time.search")
def search_times(query: dict[str, Any]) -> Mapping[str, Any]:
    """The earliest periods for order items (`items`) or for moving an appointment (`appointment`)."""
    day, appointment = query.pop("since"), query.pop("appointment") or ""
    since = datetime.combine(day, time(), UTC) if day else None
    return answers().times(choosing.times(hospital(), since=since, appointment=appointment, desk=actor().desk, **query))


@blp.route("/holds", methods=["POST"])
@blp.arguments(schemas.ChosenTime())
@blp.response(200, schemas.HoldAnswer())
@operation("appointment.hold", writes=True)
def hold(body: dict[str, Any]) -> Mapping[str, Any]:
    """Hold a time for some minutes; the answer's `token` books it."""
    made = _booked("appointment.hold", body, hold=True)
    return {**made, "token": holds.token(made["number"])}


@blp.route("/appointments", methods=["POST"])
@blp.arguments(schemas.Booking())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.book", writes=True)
def book(body: dict[str, Any]) -> Mapping[str, Any]:
    """Book order items at a chosen time, or what is held, by its token."""
    if body["hold"]:
        return _confirmed(holds.number(body["hold"]), body)
    return _booked("appointment.book", {name: body[name] for name in ("items", "group", "starts_at")}, hold=False)


def _booked(name: str, body: dict[str, Any], *, hold: bool) -> Mapping[str, Any]:
    for key in body["items"]:
        allow_department(name, facts.department_of(hospital().database, key))

    def act(key: RequestKey) -> Mapping[str, Any]:
        made = choosing.book(hospital(), body["items"], body["group"], body["starts_at"], actor(), key, hold=hold)
        return answers().appointment(made)

    return write(name, body, act)


@blp.route("/holds/<string:number>/booking", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.book", writes=True)
def confirm(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Book what is held, by its number."""
    return _confirmed(number, body)


def _confirmed(number: str, body: dict[str, Any]) -> Mapping[str, Any]:
    return _changed("appointment.book", number, body, lambda key: changes.confirm(hospital(), number, actor(), key))


@blp.route("/holds/<string:number>/release", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.hold", writes=True)
def release(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Give back what is held."""
    return _changed("appointment.hold", number, body, lambda key: changes.release(hospital(), number, actor(), key))


@blp.route("/appointments", methods=["GET"])
@blp.arguments(schemas.AppointmentQuery(), location="query")
@blp.response(200, schemas.AppointmentsAnswer())
@operation("appointment.read")
def list_appointments(query: dict[str, Any]) -> Mapping[str, Any]:
    """Appointments of the caller's departments, by place, day, state and patient."""
    departments, patient = departments_of("appointment.read", query["department"]), patient_of(query["patient"])
    days: dict[str, Any] = {name: str(query[name] or "") for name in ("day", "since", "until")}

    def read(**page: Any) -> list[AppointmentStatus]:
        return status.appointments(
            hospital(), departments=departments, group=query["group"], states=query["state"], patient=patient, **days,
            **page,
        )  # fmt: skip

    return paged("appointments", query, read, answers().appointment)


@blp.route("/appointments/<string:number>", methods=["GET"])
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.read", tagged=True)
def read_appointment(number: str) -> Mapping[str, Any]:
    """One appointment."""
    found = status.appointment(hospital(), number)
    allow_department("appointment.read", found.department)
    g.version = found.version
    return answers().appointment(found)


@blp.route("/appointments/<string:number>/reschedule", methods=["POST"])
@blp.arguments(schemas.Reschedule())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.reschedule", writes=True, expects=True)
def reschedule(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Move an appointment; it keeps its number. `version` or If-Match names the version that was read."""
    body = expecting(body)

    def act(key: RequestKey) -> AppointmentStatus:
        at_once = not _by_patient(None)
        return choosing.reschedule(hospital(), number, actor=actor(), key=key, at_once=at_once, **body)

    return _changed("appointment.reschedule", number, body, act)


@blp.route("/appointments/<string:number>/cancel", methods=["POST"])
@blp.arguments(schemas.Cancellation())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.cancel", writes=True, expects=True)
def cancel(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Cancel an appointment, with a reason. `version` or If-Match names the version that was read."""
    body = expecting(body)

    def act(key: RequestKey) -> AppointmentStatus:
        sent = {**body, "by_patient": _by_patient(body["by_patient"])}
        return changes.cancel(hospital(), number, actor(), key, **sent)

    return _changed("appointment.cancel", number, body, act)


@blp.route("/appointments/<string:number>/check-in", methods=["POST"])
@blp.arguments(schemas.CheckIn())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.check_in", writes=True)
def check_in(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The patient has arrived. Who comes after the grace time gets another place today, or is sent to the desk."""

    def act(key: RequestKey) -> AppointmentStatus:
        return noshow.arrive(hospital(), number, actor(), key, at=body["at"])

    return _changed("appointment.check_in", number, body, act)


@blp.route("/appointments/<string:number>/call", methods=["POST"])
@blp.arguments(schemas.Call())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.call", writes=True)
def call(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The queue called the patient, or called and did not find him (`absent`)."""

    def act(key: RequestKey) -> AppointmentStatus:
        act_on = calling.absent if body["absent"] else calling.call
        return act_on(hospital(), number, actor(), key)

    return _changed("appointment.call", number, body, act)


@blp.route("/appointments/<string:number>/execution", methods=["POST"])
@blp.arguments(schemas.Execution())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.execution", writes=True)
def execution(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The exam was started, finished or not done: all of a visit, or some `items` of it, in any order."""

    said = execution_report(body)

    def act(key: RequestKey) -> AppointmentStatus:
        return executing.report(hospital(), number, said, actor(), key)

    return _changed("appointment.execution", number, body, act)


@blp.route("/appointments/<string:number>/no-show", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.no_show", writes=True)
def no_show(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The patient did not come; his department's rules decide what becomes of it."""
    return _changed("appointment.no_show", number, body, lambda key: noshow.mark(hospital(), number, actor(), key))


@blp.route("/appointments/<string:number>/rebooking", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, schemas.AppointmentAnswer())
@operation("appointment.rebook", writes=True)
def rebook(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """A patient who missed his time takes the next free place today, where his department allows it."""
    return _changed("appointment.rebook", number, body, lambda key: noshow.rebook(hospital(), number, actor(), key))


@blp.route("/appointments/<string:number>/rest", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, schemas.ItemsAnswer())
@operation("appointment.reschedule", writes=True)
def plan_rest(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Plan together again what is left of a cancelled appointment's itinerary; nothing moves where not all find a time."""
    for each in (number, *booking.rest_of(hospital(), number)):
        allow_appointment("appointment.reschedule", each)

    def act(key: RequestKey) -> Mapping[str, Any]:
        patient = status.appointment(hospital(), number).patient
        booking.plan_rest_again(hospital(), number, actor(), key)
        return answers().items(status.of_patient(hospital(), patient))

    return write("appointment.rest", body, act)


def _by_patient(said: bool | None) -> bool:
    """Whether the patient himself gives up a time: what a registrar does is the hospital's doing, unless he says so."""
    return g.caller.role != "registrar" if said is None else said


def execution_report(body: Mapping[str, Any]) -> ExecutionReport:
    """An execution's message as the core takes it."""
    return ExecutionReport(**{**body, "items": tuple(body["items"]), "reason_code": body["reason_code"] or ""})


def _changed(
    name: str, number: str, body: Mapping[str, Any], act: Callable[[RequestKey], AppointmentStatus]
) -> Mapping[str, Any]:
    """Change one appointment once, if the caller may in its department; answers it as it is then."""
    allow_appointment(name, number)
    return write(name, body, lambda key: answers().appointment(act(key)))
