"""How appointments came about, over REST: their versions, and the itineraries that were planned together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from examlane.reading import history
from examlane_api.rest.api import (
    allow_any,
    allow_appointment,
    answers,
    blueprint,
    departments_of,
    hospital,
    operation,
    patient_of,
)
from examlane_api.rest.fields import Code, PatientKey, internal
from examlane_api.rest.paging import Page, Paged, paged
from examlane_api.rest.schemas import Words

blp = blueprint("history", "Versions of appointments, and itineraries")
READ = "appointment.read"


class ItineraryQuery(Page):
    department = Code(32, load_default=None)
    patient = PatientKey(load_default=None)


class VersionAnswer(Schema):
    """`evidence`: plugins, rules and gates the decision stood on, each with its version."""

    version = fields.Integer()
    from_state = fields.String()
    state = fields.String()
    starts_at = fields.String()
    ends_at = fields.String()
    at = fields.String()
    actor = fields.String()
    channel = fields.String()
    reason = fields.String()
    evidence = fields.Dict()


class VersionsAnswer(Paged):
    versions = fields.List(fields.Nested(VersionAnswer))


class StopAnswer(Schema):
    number = fields.String()
    department = fields.String()
    state = fields.String()
    starts_at = fields.String()
    ends_at = fields.String()
    group = fields.String()
    place = fields.Nested(Words)


class ItineraryAnswer(Schema):
    """`proven`: no better one exists. The patient's name is masked."""

    id = fields.String()
    patient = fields.String()
    code = fields.String()
    reason = fields.Nested(Words, allow_none=True)
    proven = fields.Boolean()
    created_at = fields.String()
    stops = fields.List(fields.Nested(StopAnswer))


class ItinerariesAnswer(Paged):
    itineraries = fields.List(fields.Nested(ItineraryAnswer))


@blp.route("/appointments/<string:number>/versions", methods=["GET"])
@blp.arguments(Page(), location="query")
@blp.response(200, VersionsAnswer())
@operation(READ)
def list_versions(query: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Every version of an appointment: what it became, when, by whom and why."""
    allow_appointment(READ, number)
    return paged(
        "versions", query, lambda **page: history.versions(hospital().database, number, **page), answers().row,
        by="version",
    )  # fmt: skip


@blp.route("/itineraries", methods=["GET"])
@blp.arguments(ItineraryQuery(), location="query")
@blp.response(200, ItinerariesAnswer())
@operation(READ)
def list_itineraries(query: dict[str, Any]) -> Mapping[str, Any]:
    """Appointments that were planned together, by patient and department."""
    departments, patient = departments_of(READ, query["department"]), patient_of(query["patient"])

    def read(**page: Any) -> list[history.Itinerary]:
        return history.itineraries(hospital().database, departments=departments, patient=patient, **page)

    return paged("itineraries", query, read, answers().row)


@blp.route("/itineraries/<string:number>", methods=["GET"])
@blp.response(200, ItineraryAnswer())
@operation(READ)
def read_itinerary(number: str) -> Mapping[str, Any]:
    """One itinerary with its stops in order."""
    found = history.itinerary(hospital().database, internal(number))
    allow_any(READ, {stop.department for stop in found.stops} or {""})
    return answers().row(found)
