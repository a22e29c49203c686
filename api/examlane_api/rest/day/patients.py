"""Patients merged, parted again and updated over REST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from examlane import Sex
from examlane.domain import Fact
from examlane.errors import NotFound
from examlane.orders.patients import Identifier
from examlane.patients import merging, people, updates
from examlane.patients.updates import PatientUpdate
from examlane.records.receipts import RequestKey
from examlane.storage.fields import instant
from examlane_api.rest import schemas
from examlane_api.rest.api import actor, answers, blueprint, hospital, operation, write
from examlane_api.rest.fields import ByName, CleanText, Code, Day, Phone, YesNo

blp = blueprint("patients", "Patients merged, updated, and how they belong together")


class MergeBody(Schema):
    """`merge` becomes one with `keep`."""

    keep = fields.Nested(schemas.Identifier, required=True)
    merge = fields.Nested(schemas.Identifier, required=True)


class MergeAnswer(schemas.ItemsAnswer):
    """`moved`: rows linked, by table. `overlaps`: numbers of visits that overlap since, each pair a task of the desk."""

    merge = fields.Integer()
    state = fields.String()
    moved = fields.Dict(fields.String(), fields.Integer())
    overlaps = fields.List(fields.List(fields.String()))


class UpdateBody(Schema):
    """What is left out stays; `facts` are clinical facts that hold whatever is ordered."""

    patient = fields.Nested(schemas.Identifier, required=True)
    name = CleanText(64, load_default=None, allow_none=True)
    sex = fields.Enum(Sex, by_value=True, load_default=None, allow_none=True)
    birth_date = Day(load_default=None, allow_none=True)
    phone = Phone(load_default=None, allow_none=True)
    region = CleanText(16, minimum=0, load_default=None, allow_none=True)
    facts = ByName(Code(48), fields.Nested(schemas.ClinicalFact), 60, load_default=dict)


class UpdateAnswer(schemas.ItemsAnswer):
    """`outcomes`: of each open item `kept`, `moved`, `booked` or `needs_decision`."""

    outcomes = fields.Dict(fields.String(), fields.String())


class RelationBody(Schema):
    """`other` is the patient's mother, guardian …; `related` false takes it back."""

    patient = fields.Nested(schemas.Identifier, required=True)
    other = fields.Nested(schemas.Identifier, required=True)
    kind = fields.String(required=True, validate=validate.OneOf(people.KINDS))
    related = YesNo(load_default=True)


class PhoneQuery(Schema):
    phone = CleanText(32, required=True)


class Relation(Schema):
    kind = fields.String()
    name = fields.String()


class Person(Schema):
    """Masked: enough to ask back."""

    name = fields.String()
    sex = fields.String()
    birth_year = fields.String()
    identifiers = fields.List(fields.Nested(schemas.Identifier))
    relations = fields.List(fields.Nested(Relation))


class People(Schema):
    patients = fields.List(fields.Nested(Person))


class Duplicate(Schema):
    first = fields.Nested(Person)
    second = fields.Nested(Person)
    found_at = fields.String()


class Duplicates(Schema):
    duplicates = fields.List(fields.Nested(Duplicate))


@blp.route("/patients", methods=["GET"])
@blp.arguments(PhoneQuery(), location="query")
@blp.response(200, People())
@operation("patient.read")
def by_phone(query: dict[str, Any]) -> Mapping[str, Any]:
    """Everybody who gave a telephone number, masked."""
    return {"patients": [answers().person(each) for each in people.by_phone(hospital(), query["phone"])]}


@blp.route("/patients/duplicates", methods=["GET"])
@blp.response(200, Duplicates())
@operation("patient.read")
def duplicates() -> Mapping[str, Any]:
    """Records that may be one person and that nobody has decided on yet, masked."""
    return {
        "duplicates": [
            {
                "first": answers().person(each.first),
                "second": answers().person(each.second),
                "found_at": answers().time(instant(each.found_at)),
            }
            for each in people.duplicates(hospital())
        ]
    }


@blp.route("/patients/relations", methods=["POST"])
@blp.arguments(RelationBody())
@blp.response(200, Person())
@operation("patient.relate", writes=True)
def relate(body: dict[str, Any]) -> Mapping[str, Any]:
    """Say what another person is to a patient; answers the patient, masked."""

    def act(key: RequestKey) -> Mapping[str, Any]:
        one, other = Identifier(**body["patient"]), Identifier(**body["other"])
        return answers().person(people.relate(hospital(), one, other, body["kind"], actor(), key, related=body["related"]))

    return write("patient.relate", body, act)


@blp.route("/patients/merges", methods=["POST"])
@blp.arguments(MergeBody())
@blp.response(200, MergeAnswer())
@operation("patient.merge", writes=True)
def merge(body: dict[str, Any]) -> Mapping[str, Any]:
    """Two records are one person: everything is linked to the kept one, nothing is cancelled."""

    def act(key: RequestKey) -> Mapping[str, Any]:
        keep, merged = Identifier(**body["keep"]), Identifier(**body["merge"])
        return answers().merge(merging.merge(hospital(), keep, merged, actor(), key))

    return write("patient.merge", body, act)


@blp.route("/patients/merges/<string:number>/undo", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, MergeAnswer())
@operation("patient.merge", writes=True)
def undo(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """They were two people: what was linked goes back, with what has come to its encounters since."""
    if not re.fullmatch(r"\d{1,18}", number, re.ASCII):
        raise NotFound("merge", number)
    return write("patient.unmerge", body, lambda key: answers().merge(merging.undo(hospital(), int(number), actor(), key)))


@blp.route("/patients/updates", methods=["POST"])
@blp.arguments(UpdateBody())
@blp.response(200, UpdateAnswer())
@operation("patient.update", writes=True)
def update(body: dict[str, Any]) -> Mapping[str, Any]:
    """Something of a patient changed: all open orders and visits are asked anew at once."""
    reported = patient_update(body)

    def act(key: RequestKey) -> Mapping[str, Any]:
        found = updates.update(hospital(), reported, actor(), key)
        outcomes = {each.item.key: each.outcome for each in found}
        return {**answers().items(each.item for each in found), "outcomes": outcomes}

    return write("patient.update", body, act)


def patient_update(body: Mapping[str, Any]) -> PatientUpdate:
    """An update's message as the core takes it."""
    facts = {name: Fact(**fact) for name, fact in body["facts"].items()}
    return PatientUpdate(**{**body, "patient": Identifier(**body["patient"]), "facts": facts})
