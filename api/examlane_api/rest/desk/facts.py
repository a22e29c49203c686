"""Evidence, gates and payments as they were reported, over REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from examlane.reading import facts
from examlane.storage.fields import maybe_epoch
from examlane_api.rest.api import allow_any, answers, blueprint, departments_of, hospital, operation, patient_of
from examlane_api.rest.fields import CleanText, Code, Instant, PatientKey
from examlane_api.rest.paging import Page, Paged, paged
from examlane_api.rest.schemas import Words

blp = blueprint("facts", "Evidence, gates and payments, as reported")
EVIDENCE, GATES, PAYMENTS = "evidence.read", "gate.read", "payment.read"


class EvidenceQuery(Page):
    patient = PatientKey(load_default=None)
    kind = Code(64, load_default=None)
    department = Code(32, load_default=None)


class GateQuery(Page):
    """`owner`: who does the next step."""

    department = Code(32, load_default=None)
    order = Code(64, load_default=None)
    kind = Code(64, load_default=None)
    state = fields.String(validate=validate.OneOf(["open", "closed", "expired"]), load_default=None)
    owner = CleanText(64, load_default=None)


class PaymentQuery(Page):
    department = Code(32, load_default=None)
    order = Code(64, load_default=None)
    patient = PatientKey(load_default=None)
    kind = Code(16, load_default=None)
    settlement = CleanText(64, load_default=None)
    since = Instant(load_default=None, data_key="from")
    until = Instant(load_default=None)


class EvidenceLine(Schema):
    """The patient's name is masked."""

    id = fields.String()
    patient = fields.String()
    kind = fields.String()
    outcome = fields.String()
    scope = fields.String()
    data = fields.Dict()
    observed_at = fields.String()
    valid_until = fields.String(allow_none=True)
    source = fields.String()
    recorded_at = fields.String()


class EvidencesAnswer(Paged):
    evidence = fields.List(fields.Nested(EvidenceLine))


class GateLine(Schema):
    """Of a closed gate: why, what is to be done, by whom, and whether the item may be paid all the same."""

    order_item = fields.String()
    item = fields.String()
    name = fields.Nested(Words)
    department = fields.String()
    patient = fields.String()
    kind = fields.String()
    state = fields.String()
    code = fields.String()
    reason = fields.Nested(Words, allow_none=True)
    next_action = fields.Nested(Words, allow_none=True)
    owner = fields.String()
    payable = fields.Boolean()
    valid_until = fields.String(allow_none=True)
    plugin = fields.String()
    evaluated_at = fields.String()


class GatesAnswer(Paged):
    gates = fields.List(fields.Nested(GateLine))


class PaymentLine(Schema):
    """Without `order_item`: its order is not known yet."""

    id = fields.String()
    order = fields.String()
    order_item = fields.String(allow_none=True)
    department = fields.String(allow_none=True)
    kind = fields.String()
    amount = fields.String()
    lines = fields.List(fields.Integer())
    settlement = fields.String()
    paid_at = fields.String()
    source = fields.String()


class PaymentsAnswer(Paged):
    payments = fields.List(fields.Nested(PaymentLine))


@blp.route("/evidence", methods=["GET"])
@blp.arguments(EvidenceQuery(), location="query")
@blp.response(200, EvidencesAnswer())
@operation(EVIDENCE)
def list_evidence(query: dict[str, Any]) -> Mapping[str, Any]:
    """Evidence of the patients that have exams in the caller's departments."""
    departments, patient = departments_of(EVIDENCE, query["department"]), patient_of(query["patient"])

    def read(**page: Any) -> list[facts.EvidenceRow]:
        return facts.evidence(hospital().database, departments=departments, patient=patient, kind=query["kind"], **page)

    return paged("evidence", query, read, answers().row)


@blp.route("/gates", methods=["GET"])
@blp.arguments(GateQuery(), location="query")
@blp.response(200, GatesAnswer())
@operation(GATES)
def list_gates(query: dict[str, Any]) -> Mapping[str, Any]:
    """Conditions of order items: what is open, closed or expired, and who does the next step."""
    filters = {name: query[name] for name in ("order", "kind", "state", "owner")}
    return _gates(query, departments=departments_of(GATES, query["department"]), **filters)


@blp.route("/orders/<string:order>/items/<string:line>/gates", methods=["GET"])
@blp.arguments(Page(), location="query")
@blp.response(200, GatesAnswer())
@operation(GATES)
def list_gates_of_item(query: dict[str, Any], order: str, line: str) -> Mapping[str, Any]:
    """The conditions of one order item."""
    allow_any(GATES, [facts.department_of(hospital().database, f"{order}/{line}")])
    return _gates(query, item=f"{order}/{line}")


@blp.route("/payments", methods=["GET"])
@blp.arguments(PaymentQuery(), location="query")
@blp.response(200, PaymentsAnswer())
@operation(PAYMENTS)
def list_payments(query: dict[str, Any]) -> Mapping[str, Any]:
    """Payments and refunds as they were reported, item by item."""
    departments, patient = departments_of(PAYMENTS, query["department"]), patient_of(query["patient"])
    filters = {name: query[name] for name in ("order", "kind", "settlement")}

    def read(**page: Any) -> list[facts.PaymentRow]:
        return facts.payments(
            hospital().database, departments=departments, patient=patient, since=maybe_epoch(query["since"]),
            until=maybe_epoch(query["until"]), **filters, **page,
        )  # fmt: skip

    return paged("payments", query, read, answers().row)


def _gates(query: dict[str, Any], **filters: Any) -> Mapping[str, Any]:
    return paged("gates", query, lambda **page: facts.gates(hospital().database, **filters, **page), answers().row)
