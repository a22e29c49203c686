"""Encounters and wards: admission, transfer, discharge, death; a ward's exams of a day and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g
from marshmallow import Schema, fields, validate

from examlane.appointments.status import AppointmentStatus
from examlane.orders.patients import Identifier, PatientData
from examlane.records.receipts import RequestKey
from examlane.wards import encounters, ward_list
from examlane.wards.encounters import EncounterReport
from examlane_api.access import may
from examlane_api.rest import schemas
from examlane_api.rest.api import actor, allow_appointment, answers, blueprint, hospital, operation, write
from examlane_api.rest.fields import CleanText, Code, Day, Instant, Several, YesNo

blp = blueprint("encounters", "Encounters and wards")


class Report(Schema):
    """What is null is not said and stays as it was. `patient` is needed where the encounter is not known yet."""

    encounter = Code(64, required=True)
    event = fields.String(required=True, validate=validate.OneOf(encounters.KINDS))
    at = Instant(required=True)
    patient = fields.Nested(schemas.Patient, load_default=None, allow_none=True)
    orders = Several(Code(64), 0, 50, load_default=())
    ward = CleanText(64, load_default=None, allow_none=True)
    bed = CleanText(32, load_default=None, allow_none=True)
    campus = CleanText(32, load_default=None, allow_none=True)
    needs = Several(Code(32), 0, 10, load_default=None, allow_none=True)
    convert = YesNo(load_default=False)


class Mistake(Schema):
    """The newest event of this kind was none."""

    encounter = Code(64, required=True)
    event = fields.String(required=True, validate=validate.OneOf(encounters.KINDS))
    reason = CleanText(200, required=True)


class EncounterQuery(Schema):
    number = Code(64, required=True)


class EncounterEventAnswer(Schema):
    event = fields.String()
    at = fields.String()
    ward = fields.String()
    bed = fields.String()
    recorded_at = fields.String()
    recorded_by = fields.String()
    withdrawn_at = fields.String(allow_none=True)
    withdrawn_reason = fields.String()


class EncounterAnswer(Schema):
    """`state`: open, discharged or converted; `appointments` are the visits that are still to come."""

    encounter = fields.String()
    class_ = fields.String(attribute="class", data_key="class")
    state = fields.String()
    ward = fields.String()
    bed = fields.String()
    campus = fields.String()
    needs = fields.List(fields.String())
    died = fields.Boolean()
    appointments = fields.List(fields.String())
    events = fields.List(fields.Nested(EncounterEventAnswer))


class WardQuery(Schema):
    day = Day(load_default=None)


class WardSaid(Schema):
    """`reason` and `note` only for `not_coming`; then the visit gets another time, or is cancelled without `move`."""

    answer = fields.String(required=True, validate=validate.OneOf(ward_list.ANSWERS))
    reason = Code(32, load_default=None, allow_none=True)
    note = CleanText(200, minimum=0, load_default="")
    move = YesNo(load_default=True)
    not_before = Instant(load_default=None, allow_none=True)


class WardItem(Schema):
    key = fields.String()
    name = fields.Nested(schemas.Words)


class WardExamAnswer(Schema):
    """`answered` is what the ward said of the visit at its present time, or null."""

    appointment = fields.String()
    version = fields.Integer()
    state = fields.String()
    department = fields.String()
    items = fields.List(fields.Nested(WardItem))
    starts_at = fields.String()
    period = fields.Dict(fields.String(), fields.String())
    place = fields.Nested(schemas.Words)
    campus = fields.String()
    preparation = fields.List(fields.Nested(schemas.PreparationAnswer))
    fasting_hours = fields.Integer()
    answered = fields.Dict(allow_none=True)


class WardPatientAnswer(Schema):
    """`needs`: what bringing the patient takes, such as wheelchair, stretcher, isolation, oxygen or escort."""

    patient = fields.String()
    encounter = fields.String()
    bed = fields.String()
    needs = fields.List(fields.String())
    exams = fields.List(fields.Nested(WardExamAnswer))


class WardExams(Schema):
    ward = fields.String()
    day = fields.String()
    patients = fields.List(fields.Nested(WardPatientAnswer))


@blp.route("/encounters", methods=["POST"])
@blp.arguments(Report())
@blp.response(200, EncounterAnswer())
@operation("encounter.report", writes=True)
def report(body: dict[str, Any]) -> Mapping[str, Any]:
    """Report an admission, a transfer, a discharge or a death, in any order: the event's `at` counts."""
    data = encounter_report(body)
    return write(
        "encounter.report", body, lambda key: answers().encounter(encounters.report(hospital(), data, actor(), key))
    )


def encounter_report(body: Mapping[str, Any]) -> EncounterReport:
    """A report's message as the core takes it."""
    needs = None if body["needs"] is None else tuple(body["needs"])
    told = {**body, "patient": _patient(body["patient"]), "orders": tuple(body["orders"]), "needs": needs}
    return EncounterReport(**told)


def _patient(body: Mapping[str, Any] | None) -> PatientData | None:
    if body is None:
        return None
    return PatientData(**{**body, "identifiers": tuple(Identifier(**each) for each in body["identifiers"])})


@blp.route("/encounters", methods=["GET"])
@blp.arguments(EncounterQuery(), location="query")
@blp.response(200, EncounterAnswer())
@operation("encounter.read")
def read(query: dict[str, Any]) -> Mapping[str, Any]:
    """Where an encounter stands, and everything that was reported of it."""
    return answers().encounter(encounters.read(hospital(), query["number"]))


@blp.route("/encounters/withdrawal", methods=["POST"])
@blp.arguments(Mistake())
@blp.response(200, EncounterAnswer())
@operation("encounter.withdraw", writes=True)
def withdraw(body: dict[str, Any]) -> Mapping[str, Any]:
    """An event was reported by mistake: what it took comes back where its seats are free, else it is planned again."""

    def act(key: RequestKey) -> Mapping[str, Any]:
        made = encounters.withdraw(hospital(), body["encounter"], body["event"], actor(), key, reason=body["reason"])
        return answers().encounter(made)

    return write("encounter.withdraw", body, act)


@blp.route("/wards/<string:ward>/exams", methods=["GET"])
@blp.arguments(WardQuery(), location="query")
@blp.response(200, WardExams())
@operation("ward.read")
def ward_exams(query: dict[str, Any], ward: str) -> Mapping[str, Any]:
    """A ward's exams of a day, today's by default: whom to bring where and when, prepared how."""
    here = hospital()
    day = query["day"] or here.calendar.day_of(here.clock.now())
    # Names are for the system that sends them to us, behind which the ward itself stands.
    found = ward_list.exams(here, ward, day, names=may(g.caller, "order.submit"))
    return {
        "ward": ward, "day": day.isoformat(),
        "patients": [
            {
                "patient": one.name, "encounter": one.encounter, "bed": one.bed, "needs": list(one.needs),
                "exams": [answers().ward_exam(exam) for exam in one.exams],
            }
            for one in found
        ],
    }  # fmt: skip


@blp.route("/appointments/<string:number>/ward-answer", methods=["POST"])
@blp.arguments(WardSaid())
@blp.response(200, schemas.AppointmentAnswer())
@operation("ward.answer", writes=True)
def ward_answer(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The ward says that the patient is ready, that transport is ordered, or that he is not coming, with a reason."""
    allow_appointment("ward.answer", number)

    def act(key: RequestKey) -> AppointmentStatus:
        return ward_list.answer(
            hospital(), number, body["answer"], actor(), key, reason=body["reason"] or "", note=body["note"],
            move=body["move"], not_before=body["not_before"],
        )  # fmt: skip

    return write("ward.answer", body, lambda key: answers().appointment(act(key)))
