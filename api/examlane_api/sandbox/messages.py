"""What the hospital's systems can send, each message in a few words, and the REST call that says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from marshmallow import Schema, fields, post_load, pre_load, validate

from examlane import EncounterClass, Priority, Sex
from examlane_api.rest.fields import CleanText, Code, Day, OrderNumber
from examlane_api.soap.booking.message import clinical

KIND = "card"
"""The kind of identifier that the sandbox's patients are known by."""
THYROID_ULTRASOUND = "250110008-T"
ASSESSED = {"asa": 2, "assessor_role": "anaesthetist", "assessor_grade": "attending"}


@dataclass(frozen=True, slots=True)
class Sending:
    """A message on its way: which, what it says, its own identifier, and the hospital's time."""

    message: str
    says: Mapping[str, Any]
    key: str
    at: datetime


class OneOrMore(fields.List[Any]):
    """A list, or its only member."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> list[Any]:
        return super()._deserialize(value if isinstance(value, list) else [value], attr, data, **options)


class Clinical(fields.Dict):
    """Values by name; a text that is a number, true or false means that."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = super()._deserialize(value, attr, data, **options)  # type: ignore[no-untyped-call]
        return {name: clinical(each) if isinstance(each, str) else each for name, each in found.items()}


class Person(Schema):
    patient = Code(64, required=True)
    name = CleanText(64, load_default="测试患者")
    sex = fields.Enum(Sex, by_value=True, load_default=Sex.FEMALE)
    birth_date = Day(load_default=date(1980, 2, 29))
    phone = CleanText(32, minimum=0, load_default="")
    encounter = Code(64, load_default="")
    ward = CleanText(64, minimum=0, load_default="")

    @post_load
    def has_encounter(self, says: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**says, "encounter": says["encounter"] or f"V-{says['patient']}"}


class Order(Person):
    """Without a `patient`, each order is of one of its own."""

    number = OrderNumber(64, required=True)
    item = OneOrMore(Code(64), load_default=[THYROID_ULTRASOUND])
    confirm = OneOrMore(Code(64), load_default=[])
    encounter_class = fields.Enum(EncounterClass, by_value=True, data_key="class", load_default=EncounterClass.OUTPATIENT)
    department = Code(32, load_default="GAS")
    campus = Code(32, load_default="NORTH")
    priority = fields.Enum(Priority, by_value=True, load_default=Priority.ROUTINE)
    verified = fields.Boolean(load_default=False)
    fact = Clinical(fields.String(), fields.Raw(), load_default=dict)
    note = CleanText(2000, minimum=0, load_default="")

    @pre_load
    def has_patient(self, sent: Mapping[str, Any], **_: Any) -> Mapping[str, Any]:
        return {"patient": f"C{sent.get('number', '')}", **sent}


class Lines(Schema):
    order = OrderNumber(64, required=True)
    line = OneOrMore(fields.Integer(), load_default=[])


class Payment(Lines):
    amount = fields.String(load_default="")


class Void(Lines):
    reason = CleanText(200, load_default="作废")
    reissue = fields.Boolean(load_default=None, allow_none=True)


class Refund(Lines):
    kind = fields.String(load_default="requested", validate=validate.OneOf(["requested", "withdrawn", "refunded"]))


class Change(Schema):
    order = OrderNumber(64, required=True)
    item = OneOrMore(Code(64), load_default=[])
    priority = fields.Enum(Priority, by_value=True, load_default=None)
    fact = Clinical(fields.String(), fields.Raw(), load_default=dict)
    note = CleanText(2000, minimum=0, load_default=None)


class Assessment(Schema):
    patient = Code(64, required=True)
    kind = Code(64, load_default="anaesthesia_assessment")
    outcome = Code(32, load_default="passed")
    scope = CleanText(80, minimum=0, load_default="")
    data = Clinical(fields.String(), fields.Raw(), load_default=ASSESSED)


class Merge(Schema):
    keep = Code(64, required=True)
    merge = Code(64, required=True)


class Movement(Person):
    bed = CleanText(32, minimum=0, load_default="")


class Visit(Schema):
    """REST and SOAP name the appointment, HIP the order."""

    appointment = Code(16, load_default="")
    order = OrderNumber(64, load_default="")


class Call(Schema):
    appointment = Code(16, required=True)
    absent = fields.Boolean(load_default=False)


class Execution(Visit):
    state = fields.String(load_default="finished", validate=validate.OneOf(["started", "finished", "not_done"]))
    reason = CleanText(64, minimum=0, load_default="")


class Cancellation(Schema):
    appointment = Code(16, required=True)
    reason = CleanText(200, load_default="患者取消")


class Missed(Schema):
    appointment = Code(16, required=True)


class Delivery(Schema):
    message = Code(64, required=True)
    state = fields.String(load_default="delivered", validate=validate.OneOf(["delivered", "failed", "no_phone"]))


# As REST says it


def identifier(value: str) -> dict[str, str]:
    return {"kind": KIND, "value": value}


def _person(says: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "identifiers": [identifier(says["patient"])], "name": says["name"], "sex": says["sex"].value,
        "birth_date": str(says["birth_date"]), "phone": says["phone"],
    }  # fmt: skip


def _facts(sent: Sending) -> dict[str, Any]:
    return {name: {"value": value, "observed_at": sent.at.isoformat()} for name, value in sent.says["fact"].items()}


def _lines(says: Mapping[str, Any]) -> list[dict[str, Any]]:
    confirmed = list(says.get("confirm", ()))
    return [{"line": line, "item": item, "confirmed": confirmed} for line, item in enumerate(says["item"], 1)]


def _order(sent: Sending) -> dict[str, Any]:
    says = sent.says
    return {
        "number": says["number"], "patient": _person(says),
        "encounter": {"number": says["encounter"], "encounter_class": says["encounter_class"].value,
                      "ward": says["ward"], "campus": says["campus"]},
        "ordering_department": says["department"], "ordered_at": sent.at.isoformat(), "items": _lines(says),
        "priority": says["priority"].value, "verified": says["verified"], "context": _facts(sent), "note": says["note"],
    }  # fmt: skip


def _change(sent: Sending) -> dict[str, Any]:
    says = sent.says
    body = {"items": _lines(says) or None, "context": _facts(sent), "note": says["note"]}
    return body | ({"priority": says["priority"].value} if says["priority"] else {})


def _assessment(sent: Sending) -> dict[str, Any]:
    says = {name: value for name, value in sent.says.items() if name != "patient"}
    return {**says, "patient": identifier(sent.says["patient"]), "observed_at": sent.at.isoformat()}


def _payment(sent: Sending) -> dict[str, Any]:
    says = sent.says
    return {"order": says["order"], "lines": says["line"], "amount": says["amount"], "paid_at": sent.at.isoformat()}


def _refund(sent: Sending) -> dict[str, Any]:
    says = sent.says
    return {"order": says["order"], "lines": says["line"], "kind": says["kind"], "at": sent.at.isoformat()}


def _void(sent: Sending) -> dict[str, Any]:
    return {"lines": sent.says["line"], "reason": sent.says["reason"], "reissue": sent.says["reissue"]}


def _merge(sent: Sending) -> dict[str, Any]:
    return {"keep": identifier(sent.says["keep"]), "merge": identifier(sent.says["merge"])}


def _movement(sent: Sending) -> dict[str, Any]:
    says = sent.says
    body = {"encounter": says["encounter"], "event": sent.message, "at": sent.at.isoformat(), "patient": _person(says)}
    return body | {name: says[name] for name in ("ward", "bed") if says[name]}


def _execution(sent: Sending) -> dict[str, Any]:
    return {"state": sent.says["state"], "reason": sent.says["reason"], "at": sent.at.isoformat()}


def _only(*names: str) -> Callable[[Sending], dict[str, Any]]:
    return lambda sent: {name: sent.says[name] for name in names}


@dataclass(frozen=True, slots=True)
class Message:
    """Who sends it, what it may say, and the REST call that says it."""

    system: str
    schema: type[Schema]
    path: str
    body: Callable[[Sending], dict[str, Any]]


MESSAGES: Mapping[str, Message] = {
    "order": Message("his", Order, "/orders", _order),
    "payment": Message("his", Payment, "/payments", _payment),
    "assessment": Message("his", Assessment, "/evidence", _assessment),
    "change": Message("his", Change, "/orders/{order}/changes", _change),
    "void": Message("his", Void, "/orders/{order}/void", _void),
    "refund": Message("his", Refund, "/refunds", _refund),
    "merge": Message("his", Merge, "/patients/merges", _merge),
    "admission": Message("his", Movement, "/encounters", _movement),
    "transfer": Message("his", Movement, "/encounters", _movement),
    "discharge": Message("his", Movement, "/encounters", _movement),
    "death": Message("his", Movement, "/encounters", _movement),
    "cancel": Message("his", Cancellation, "/appointments/{appointment}/cancel", _only("reason")),
    "checkin": Message("queue", Visit, "/appointments/{appointment}/check-in", _only()),
    "call": Message("queue", Call, "/appointments/{appointment}/call", _only("absent")),
    "noshow": Message("queue", Missed, "/appointments/{appointment}/no-show", _only()),
    "execution": Message("ris", Execution, "/appointments/{appointment}/execution", _execution),
    "delivery": Message("gateway", Delivery, "/messages/{message}/delivery", _only("state")),
}
