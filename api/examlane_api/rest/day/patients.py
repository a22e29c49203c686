"""Patients merged, parted again and updated over REST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from examlane import Sex
from examlane.corrections import merging, patient_updates
from examlane.corrections.patient_updates import PatientUpdate
from examlane.domain import Fact
from examlane.errors import NotFound
from examlane.orders.patients import Identifier
from examlane.records.receipts import RequestKey
from examlane_api.rest import schemas
from examlane_api.rest.api import actor, answers, blueprint, hospital, operation, write
from examlane_api.rest.fields import ByName, CleanText, Code, Day

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
    phone = CleanText(32, minimum=0, load_default=None, allow_none=True)
    region = CleanText(16, minimum=0, load_default=None, allow_none=True)
    facts = ByName(Code(48), fields.Nested(schemas.ClinicalFact), 60, load_default=dict)


class UpdateAnswer(schemas.ItemsAnswer):
    """`outcomes`: of each open item `kept`, `moved`, `booked` or `needs_decision`."""

    outcomes = fields.Dict(fields.String(), fields.String())


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
    return write(
        "patient.unmerge", body, lambda key: answers().merge(merging.undo(hospital(), int(number), actor(), key))
    )


@blp.route("/patients/updates", methods=["POST"])
@blp.arguments(UpdateBody())
@blp.response(200, UpdateAnswer())
@operation("patient.update", writes=True)
def update(body: dict[str, Any]) -> Mapping[str, Any]:
    """Something of a patient changed: all open orders and visits are asked anew at once."""
    reported = PatientUpdate(
        **{
            **body,
            "patient": Identifier(**body["patient"]),
            "facts": {name: Fact(**fact) for name, fact in body["facts"].items()},
        }
    )

    def act(key: RequestKey) -> Mapping[str, Any]:
        found = patient_updates.update(hospital(), reported, actor(), key)
        outcomes = {each.item.key: each.outcome for each in found}
        return {**answers().items(each.item for each in found), "outcomes": outcomes}

    return write("patient.update", body, act)
