"""Check-up groups over REST: contracts, their people, and their group days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from examlane import Sex
from examlane.checkups import contracts, group_days
from examlane.checkups.contracts import ContractData, Imported
from examlane.domain import Text
from examlane.errors import InvalidInput
from examlane.orders.patients import Identifier, PatientData
from examlane.records.receipts import RequestKey
from examlane_api.answers import words
from examlane_api.rest import schemas
from examlane_api.rest.api import actor, answers, blueprint, hospital, operation, write
from examlane_api.rest.fields import ByName, CleanText, Code, Day, OrderNumber, Several, Whole

blp = blueprint("checkups", "Check-up groups")
PERSON = 2**53
ONE_OR_OTHER = Text("campus 与 day，或 other", "either campus and day, or other")


class PackageItem(Schema):
    """`sex`: whom it is for; empty for everybody."""

    item = Code(64, required=True)
    sex = fields.String(load_default="", validate=validate.OneOf(["", Sex.FEMALE.value, Sex.MALE.value]))


class ContractChange(Schema):
    """The contract as it shall be; `quotas`: people a day by campus. `version` is the one that was read."""

    unit = CleanText(100, required=True)
    items = Several(fields.Nested(PackageItem), 1, 50, required=True)
    quotas = ByName(Code(32), Whole(1, 2000), 20, required=True)
    starts_on = Day(required=True)
    ends_on = Day(required=True)
    version = Whole(1, 1_000_000, load_default=None, allow_none=True)


class ContractBody(ContractChange):
    """A new contract."""

    number = OrderNumber(32, required=True)


class PeopleBody(Schema):
    people = Several(fields.Nested(schemas.Patient), 1, 500, required=True)


class Wish(Schema):
    person = Whole(1, PERSON, required=True)
    campus = Code(32, required=True)
    day = Day(required=True)


class BookingsBody(Schema):
    """No `people`: everybody who is listed, evenly over the days."""

    people = Several(fields.Nested(Wish), 1, 100, load_default=None, allow_none=True)


class MoveBody(Schema):
    """To another `campus` and `day`, or days exchanged with `other`."""

    person = Whole(1, PERSON, required=True)
    campus = Code(32, load_default=None, allow_none=True)
    day = Day(load_default=None, allow_none=True)
    other = Whole(1, PERSON, load_default=None, allow_none=True)


class DepartureBody(Schema):
    people = Several(Whole(1, PERSON), 1, 500, required=True)
    reason = CleanText(200, required=True)


class CancellationBody(Schema):
    reason = CleanText(200, required=True)


class CheckupMember(Schema):
    person = fields.Integer()
    name = fields.String()
    state = fields.String()
    campus = fields.String(allow_none=True)
    day = fields.String(allow_none=True)
    order = fields.String()


class ImportedLine(Schema):
    outcome = fields.String()
    person = fields.Integer(allow_none=True)
    code = fields.String()
    message = fields.Nested(schemas.Words, allow_none=True)


class CheckupAnswer(Schema):
    """A contract, its people masked, and their `counts`; `lines` answer an import."""

    number = fields.String()
    unit = fields.String()
    state = fields.String()
    version = fields.Integer()
    items = fields.List(fields.Nested(PackageItem))
    quotas = fields.Dict(fields.String(), fields.Integer())
    starts_on = fields.String()
    ends_on = fields.String()
    counts = fields.Dict(fields.String(), fields.Integer())
    people = fields.List(fields.Nested(CheckupMember))
    lines = fields.List(fields.Nested(ImportedLine))


@blp.route("/checkups", methods=["POST"])
@blp.arguments(ContractBody())
@blp.response(200, CheckupAnswer())
@operation("checkup.write", writes=True)
def create(body: dict[str, Any]) -> Mapping[str, Any]:
    """A new contract with its group days."""
    data = _contract(body["number"], body)

    def act(key: RequestKey) -> Mapping[str, Any]:
        contracts.create(hospital(), data, actor(), key)
        return _read(data.number)

    return write("checkup.create", body, act)


@blp.route("/checkups/<string:number>", methods=["GET"])
@blp.response(200, CheckupAnswer())
@operation("checkup.read")
def read(number: str) -> Mapping[str, Any]:
    """A contract as it stands: who is booked when, who was examined, who is missing."""
    return _read(number)


@blp.route("/checkups/<string:number>/changes", methods=["POST"])
@blp.arguments(ContractChange())
@blp.response(200, CheckupAnswer())
@operation("checkup.write", writes=True)
def change(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Change a contract; whoever is booked stays."""

    def act(key: RequestKey) -> Mapping[str, Any]:
        contracts.change(hospital(), _contract(number, body), actor(), key, version=body["version"])
        return _read(number)

    return write("checkup.change", body, act)


@blp.route("/checkups/<string:number>/people", methods=["POST"])
@blp.arguments(PeopleBody())
@blp.response(200, CheckupAnswer())
@operation("checkup.write", writes=True)
def add_people(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Put people on the list; each line is answered on its own."""
    people = [_person(line) for line in body["people"]]

    def act(key: RequestKey) -> Mapping[str, Any]:
        found = contracts.add_people(hospital(), number, people, actor(), key)
        return {**_read(number), "lines": [_line(one) for one in found]}

    return write("checkup.people", body, act)


@blp.route("/checkups/<string:number>/bookings", methods=["POST"])
@blp.arguments(BookingsBody())
@blp.response(200, CheckupAnswer())
@operation("checkup.write", writes=True)
def book(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Group days for those who are listed; asked again, it goes on with the rest."""
    wishes = body["people"]
    chosen = None if wishes is None else {wish["person"]: (wish["campus"], wish["day"]) for wish in wishes}

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().checkup(group_days.book(hospital(), number, actor(), key, chosen=chosen))

    return write("checkup.book", body, act)


@blp.route("/checkups/<string:number>/moves", methods=["POST"])
@blp.arguments(MoveBody())
@blp.response(200, CheckupAnswer())
@operation("checkup.write", writes=True)
def move(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """One person moves to another group day, or two exchange theirs, within the quota."""
    person, campus, day, other = body["person"], body["campus"], body["day"], body["other"]
    if (other is None) == (campus is None or day is None):
        raise InvalidInput([("/other", ONE_OR_OTHER)])

    def act(key: RequestKey) -> Mapping[str, Any]:
        if other is not None:
            return answers().checkup(group_days.swap(hospital(), number, person, other, actor(), key))
        return answers().checkup(group_days.move(hospital(), number, person, campus, day, actor(), key))

    return write("checkup.move", body, act)


@blp.route("/checkups/<string:number>/departures", methods=["POST"])
@blp.arguments(DepartureBody())
@blp.response(200, CheckupAnswer())
@operation("checkup.write", writes=True)
def leave(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """People leave the list; their places are free."""

    def act(key: RequestKey) -> Mapping[str, Any]:
        found = group_days.leave(hospital(), number, body["people"], actor(), key, reason=body["reason"])
        return answers().checkup(found)

    return write("checkup.leave", body, act)


@blp.route("/checkups/<string:number>/cancellation", methods=["POST"])
@blp.arguments(CancellationBody())
@blp.response(200, CheckupAnswer())
@operation("checkup.write", writes=True)
def cancel(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The contract is cancelled; who was examined already stays."""

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().checkup(group_days.cancel(hospital(), number, actor(), key, reason=body["reason"]))

    return write("checkup.cancel", body, act)


def _read(number: str) -> dict[str, Any]:
    return answers().checkup(group_days.read(hospital(), number))


def _contract(number: str, body: Mapping[str, Any]) -> ContractData:
    items = tuple((each["item"], each["sex"]) for each in body["items"])
    return ContractData(number, body["unit"], items, body["quotas"], body["starts_on"], body["ends_on"])


def _person(line: Mapping[str, Any]) -> PatientData:
    return PatientData(**{**line, "identifiers": tuple(Identifier(**each) for each in line["identifiers"])})


def _line(one: Imported) -> dict[str, Any]:
    return {"outcome": one.outcome, "person": one.person, "code": one.code, "message": words(one.text) if one.text else None}
