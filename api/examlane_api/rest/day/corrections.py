"""Orders sent back, voided and changed, and refunds, over REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from examlane import Priority
from examlane.appointments import status
from examlane.corrections import early, refunds, withdrawing
from examlane.corrections.order_changes import OrderChange
from examlane.corrections.refunds import RefundData
from examlane.domain import Fact
from examlane.records.receipts import RequestKey
from examlane_api.answers import words
from examlane_api.rest import schemas
from examlane_api.rest.api import actor, allow_department, answers, blueprint, expecting, hospital, operation, write
from examlane_api.rest.fields import ByName, CleanText, Code, Instant, Several, Whole, YesNo
from examlane_api.rest.orders import order_line

blp = blueprint("corrections", "Orders sent back, changed and refunded")
AMOUNT = validate.Regexp(r"([0-9]{1,9}(\.[0-9]{1,2})?)?\Z")


class Return(Schema):
    """No lines: the whole order."""

    lines = Several(Whole(1, 999), 0, 50, load_default=())
    reason = CleanText(200, required=True)


class Void(Return):
    """`reissue`: a new order follows (its place is kept) or does not (free at once); left out: kept for some minutes."""

    reissue = YesNo(load_default=None, allow_none=True)


class OrderChangeBody(Schema):
    """What is left out stays. `items` are all lines as they shall be; `context` replaces the facts it names.

    `changed_at`: when your system made the change. One that is older than another that came before is refused
    (`superseded`), and one of an order that has not come waits for it, a day.
    """

    version = Whole(1, 1_000_000, load_default=None, allow_none=True)
    changed_at = Instant(load_default=None, allow_none=True)
    context = ByName(Code(48), fields.Nested(schemas.ClinicalFact), 60, load_default=dict)
    note = CleanText(2000, minimum=0, lines=True, load_default=None, allow_none=True)
    priority = fields.Enum(Priority, by_value=True, load_default=None, allow_none=True)
    items = Several(fields.Nested(schemas.OrderLine), 1, 50, load_default=None, allow_none=True)


class Refund(Schema):
    order = Code(64, required=True)
    kind = fields.String(required=True, validate=validate.OneOf([refunds.REQUESTED, refunds.WITHDRAWN, refunds.REFUNDED]))
    at = Instant(required=True)
    lines = Several(Whole(1, 999), 0, 50, load_default=())
    amount = fields.String(load_default="", validate=AMOUNT)
    settlement = CleanText(64, minimum=0, load_default="")


class OrderChangeAnswer(schemas.ItemsAnswer):
    """`outcomes`: of each item `kept`, `moved`, `booked`, `removed` or `needs_decision`."""

    outcomes = fields.Dict(fields.String(), fields.String())


class RefundableItem(Schema):
    key = fields.String()
    refundable = fields.Boolean()
    code = fields.String()
    message = fields.Nested(schemas.Words)


class RefundableAnswer(Schema):
    items = fields.List(fields.Nested(RefundableItem))


@blp.route("/orders/<string:number>/return", methods=["POST"])
@blp.arguments(Return())
@blp.response(200, schemas.ItemsAnswer())
@operation("order.send_back", writes=True)
def send_back(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The department sends an order back; its places are kept until the end of the next working day."""
    for item in status.of_order(hospital(), number):
        if item.line in body["lines"] or not body["lines"]:
            allow_department("order.send_back", item.department)

    def act(key: RequestKey) -> Mapping[str, Any]:
        found = withdrawing.send_back(hospital(), number, body["lines"], actor(), key, reason=body["reason"])
        return answers().items(found)

    return write("order.send_back", body, act)


@blp.route("/orders/<string:number>/void", methods=["POST"])
@blp.arguments(Void())
@blp.response(200, schemas.ItemsAnswer())
@operation("order.void", writes=True)
def void(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """The doctor voids an order; its places are kept for the one that replaces it."""

    def act(key: RequestKey) -> Mapping[str, Any]:
        found = withdrawing.void(
            hospital(), number, body["lines"], actor(), key, reason=body["reason"], reissue=body["reissue"]
        )
        return answers().items(found)

    return write("order.void", body, act)


@blp.route("/orders/<string:number>/changes", methods=["POST"])
@blp.arguments(OrderChangeBody())
@blp.response(200, OrderChangeAnswer())
@operation("order.change", writes=True, expects=True)
def change_order(body: dict[str, Any], number: str) -> Mapping[str, Any]:
    """Change an order: the rules are asked anew. `version` or If-Match names the version that was read."""
    body = expecting(body)
    changed = order_change(number, body)

    def act(key: RequestKey) -> Mapping[str, Any]:
        found = early.change(hospital(), changed, actor(), key)
        outcomes = {each.item.key: each.outcome for each in found}
        return {**answers().items(each.item for each in found), "outcomes": outcomes}

    return write("order.change", body, act)


@blp.route("/orders/<string:number>/refundable", methods=["GET"])
@blp.response(200, RefundableAnswer())
@operation("order.refundable")
def refundable(number: str) -> Mapping[str, Any]:
    """May the patient be refunded? Per item, with the reason; no once an exam has begun."""
    return {
        "items": [
            {"key": each.key, "refundable": each.refundable, "code": each.code, "message": words(each.text)}
            for each in refunds.refundable(hospital(), number)
        ]
    }


@blp.route("/refunds", methods=["POST"])
@blp.arguments(Refund())
@blp.response(200, schemas.ItemsAnswer())
@operation("refund.report", writes=True)
def report_refund(body: dict[str, Any]) -> Mapping[str, Any]:
    """Report a refund that was requested, withdrawn or paid out; what it concerns leaves its visit."""
    refund = RefundData(**{**body, "lines": tuple(body["lines"])})

    def act(key: RequestKey) -> Mapping[str, Any]:
        return answers().items(refunds.report(hospital(), refund, actor(), key))

    return write("refund.report", body, act)


def order_change(number: str, body: Mapping[str, Any]) -> OrderChange:
    """A change's message as the core takes it."""
    lines = body["items"]
    return OrderChange(
        number,
        body["version"],
        {name: Fact(**fact) for name, fact in body["context"].items()},
        body["note"],
        None,
        body["priority"],
        None if lines is None else tuple(order_line(line) for line in lines),
        body["changed_at"],
    )
