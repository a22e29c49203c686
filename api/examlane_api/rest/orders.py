"""Orders, evidence and payments: what the hospital information system reports and asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g
from marshmallow import Schema, fields

from examlane import reporting
from examlane.appointments import status
from examlane.appointments.status import ItemStatus
from examlane.domain import Fact
from examlane.errors import NotFound
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.orders.release import PaymentData
from examlane.reading import orders as listed
from examlane.reading.orders import OrderFilter
from examlane_api.access import may
from examlane_api.rest import schemas
from examlane_api.rest.api import (
    actor,
    allow_any,
    answers,
    blueprint,
    departments_of,
    hospital,
    operation,
    patient_of,
    write,
)
from examlane_api.rest.fields import Code, Instant, PatientKey
from examlane_api.rest.paging import Page, Paged, paged

blp = blueprint("orders", "Orders, evidence and payments")


class OrderQuery(Page):
    """`state`: of one of the items. `department`: where it is done. `from` and `until`: when it was ordered."""

    department = Code(32, load_default=None)
    ordering_department = Code(32, load_default=None)
    patient = PatientKey(load_default=None)
    encounter = Code(64, load_default=None)
    state = Code(24, load_default=None)
    since = Instant(load_default=None, data_key="from")
    until = Instant(load_default=None)


class OrderedItemAnswer(Schema):
    """`state`: what the rules said; `reason`: why it is not booked; `release`: what lets it be."""

    key = fields.String()
    line = fields.Integer()
    item = fields.String()
    name = fields.Nested(schemas.Words)
    department = fields.String()
    state = fields.String()
    reason = fields.String()
    payment = fields.String()
    release = fields.String()


class OrderAnswer(Schema):
    """The patient's name is masked."""

    number = fields.String()
    patient = fields.String()
    encounter = fields.String()
    encounter_class = fields.String()
    ordering_department = fields.String()
    doctor = fields.String()
    priority = fields.String()
    ordered_at = fields.String()
    replaces = fields.String()
    version = fields.Integer()
    items = fields.List(fields.Nested(OrderedItemAnswer))


class OrdersAnswer(Paged):
    orders = fields.List(fields.Nested(OrderAnswer))


@blp.route("/orders/validate", methods=["POST"])
@blp.arguments(schemas.Order())
@blp.response(200, schemas.ValidationAnswer())
@operation("order.validate")
def validate_order(body: dict[str, Any]) -> Mapping[str, Any]:
    """Dry run: what the rules would say of an order. Nothing is stored."""
    return answers().judgements(reporting.validate_order(hospital(), order_data(body)))


@blp.route("/orders", methods=["POST"])
@blp.arguments(schemas.Order())
@blp.response(200, schemas.ItemsAnswer())
@operation("order.submit", writes=True)
def submit_order(body: dict[str, Any]) -> Mapping[str, Any]:
    """Submit an order; each item is answered on its own, booked at once where it may be."""
    data = order_data(body)
    return write("order.submit", body, lambda key: answers().items(reporting.submit_order(hospital(), data, actor(), key)))


@blp.route("/orders", methods=["GET"])
@blp.arguments(OrderQuery(), location="query")
@blp.response(200, OrdersAnswer())
@operation("order.read")
def list_orders(query: dict[str, Any]) -> Mapping[str, Any]:
    """Orders with an item of the caller's departments, by patient, encounter, state and time."""
    wanted = OrderFilter(
        departments_of("order.read", query["department"]), query["ordering_department"], patient_of(query["patient"]),
        query["encounter"], query["state"], query["since"], query["until"],
    )  # fmt: skip
    return paged("orders", query, lambda **page: listed.orders(hospital().database, wanted, **page), answers().row)


@blp.route("/orders/<number:number>", methods=["GET"])
@blp.response(200, schemas.ItemsAnswer())
@operation("order.read", tagged=True)
def read_order(number: str) -> Mapping[str, Any]:
    """Every item of an order with its state, reason and appointment; the order's version is its ETag."""
    found = _order("order.read", number)
    g.version = listed.version(hospital().database, number)
    return answers().items(found)


@blp.route("/orders/<string:order>/items/<string:line>", methods=["GET"])
@blp.response(200, schemas.ItemAnswer())
@operation("order.read")
def read_item(order: str, line: str) -> Mapping[str, Any]:
    """One item of an order."""
    found = next((item for item in _order("order.read", order) if item.key == f"{order}/{line}"), None)
    if found is None:
        raise NotFound("order item", f"{order}/{line}")
    return answers().item(found)


@blp.route("/orders/<string:number>/payable", methods=["GET"])
@blp.response(200, schemas.PayableAnswer())
@operation("order.payable")
def payable(number: str) -> Mapping[str, Any]:
    """May the patient pay? Per item, with the reason and what to do next."""
    return answers().items(status.of_order(hospital(), number))


@blp.route("/orders/<string:number>/verification", methods=["POST"])
@blp.arguments(schemas.Nothing())
@blp.response(200, schemas.ItemsAnswer())
@operation("order.verify", writes=True)
def verify_order(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The ward has verified an inpatient's order: it may be booked."""
    return write("order.verify", body, lambda key: answers().items(reporting.verify_order(hospital(), number, actor(), key)))


@blp.route("/evidence", methods=["POST"])
@blp.arguments(schemas.Evidence())
@blp.response(200, schemas.ItemsAnswer())
@operation("evidence.report", writes=True)
def report_evidence(body: dict[str, Any]) -> Mapping[str, Any]:
    """Report a fact about a patient: an assessment, an approval; answers his open items as they are now."""
    data = EvidenceData(**{**body, "patient": Identifier(**body["patient"])})
    return write(
        "evidence.report", body, lambda key: answers().items(reporting.report_evidence(hospital(), data, actor(), key))
    )


@blp.route("/payments", methods=["POST"])
@blp.arguments(schemas.Payment())
@blp.response(200, schemas.PaymentAnswer())
@operation("payment.report", writes=True)
def report_payment(body: dict[str, Any]) -> Mapping[str, Any]:
    """Report a payment; it is never refused: booked, pending, stored, or a desk task."""
    data = PaymentData(**{**body, "lines": tuple(body["lines"])})
    return write(
        "payment.report", body, lambda key: answers().payment(reporting.report_payment(hospital(), data, actor(), key))
    )


def _order(name: str, number: str) -> list[ItemStatus]:
    """The items of an order that the caller may see."""
    found = status.of_order(hospital(), number)
    allow_any(name, {item.department for item in found})
    return [item for item in found if may(g.caller, name, item.department)]


def order_line(line: Mapping[str, Any]) -> OrderLine:
    """A line's message as the core takes it."""
    return OrderLine(**{**line, "confirmed": tuple(line["confirmed"])})


def order_data(body: Mapping[str, Any]) -> OrderData:
    """An order's message as the core takes it."""
    patient, encounter = dict(body["patient"]), dict(body["encounter"])
    identifiers = tuple(Identifier(**identifier) for identifier in patient.pop("identifiers"))
    lines = tuple(order_line(line) for line in body["items"])
    rest = {name: value for name, value in body.items() if name not in ("patient", "encounter", "items", "context")}
    return OrderData(
        patient=PatientData(identifiers=identifiers, **patient),
        encounter=EncounterData(**{**encounter, "needs": tuple(encounter["needs"])}),
        lines=lines,
        context={name: Fact(**fact) for name, fact in body["context"].items()},
        **rest,
    )
