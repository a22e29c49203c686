"""Orders, evidence and payments: what the hospital information system reports and asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examlane import reporting
from examlane.appointments import status
from examlane.domain import Fact
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.orders.release import PaymentData
from examlane_api.rest import schemas
from examlane_api.rest.api import actor, answers, blueprint, hospital, operation, write

blp = blueprint("orders", "Orders, evidence and payments")


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
    return write(
        "order.submit", body, lambda key: answers().items(reporting.submit_order(hospital(), data, actor(), key))
    )


@blp.route("/orders/<string:number>", methods=["GET"])
@blp.response(200, schemas.ItemsAnswer())
@operation("order.read")
def read_order(number: str) -> Mapping[str, Any]:
    """Every item of an order with its state, reason and appointment."""
    return answers().items(status.of_order(hospital(), number))


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
    return write(
        "order.verify", body, lambda key: answers().items(reporting.verify_order(hospital(), number, actor(), key))
    )


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
