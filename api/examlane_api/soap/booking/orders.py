"""Orders: submitted, validated, changed, withdrawn; evidence, payments and refunds."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from examlane import reporting
from examlane.appointments import status
from examlane.appointments.status import ItemStatus
from examlane.corrections import early, refunds, withdrawing
from examlane.corrections.refunds import RefundData
from examlane.domain import Text
from examlane.errors import InvalidInput
from examlane.orders import intake
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import OrderData, OrderLine
from examlane.orders.patients import Identifier
from examlane.orders.release import PaymentData
from examlane_api.answers import words
from examlane_api.rest import schemas
from examlane_api.rest.day import corrections
from examlane_api.rest.orders import order_data
from examlane_api.soap.booking.call import Answer, Call, Operation
from examlane_api.soap.booking.message import load
from examlane_api.soap.faults import SoapRefusal

PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
NO_PICTURE = Text("手绘图须为 PNG 或 JPEG", "A drawing is a PNG or a JPEG")
NOTHING_REPLACED = Text("请给出被替代的申请单号", "Say which order this one replaces")
AN_ITEM = re.compile(r"/items/(\d+)/(?!line$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Readable:
    """An order without the items that cannot be understood; those are answered on their own."""

    order: OrderData
    refused: Sequence[Answer]


def submit(call: Call) -> Answer:
    found = _readable(call)
    act = partial(reporting.submit_order, call.hospital, found.order, call.actor)
    answer = call.once(lambda key: {**call.answers.items(act(key)), "refused": list(found.refused)})
    return call.results.order(found.order.number, _whole(call, answer, found))


def replace_order(call: Call) -> Answer:
    if "replaces" not in call.payload:
        raise SoapRefusal("invalid_input", NOTHING_REPLACED, fields=["order/replaces"])
    return submit(call)


def validate(call: Call) -> Answer:
    found = _readable(call)
    judged = call.answers.judgements(reporting.validate_order(call.hospital, found.order))
    answer = {**judged, "refused": found.refused}
    return call.results.validation(found.order.number, _whole(call, answer, found))


def change(call: Call) -> Answer:
    changed = corrections.order_change(call.payload["orderNo"], call.message.load(corrections.OrderChangeBody))
    changed = replace(changed, drawing=_drawing(call))
    act = partial(early.change, call.hospital, changed, call.actor)
    return call.results.changed(call.once(lambda key: call.changes(act(key))))


def cancel(call: Call) -> Answer:
    return _withdrawn(call, withdrawing.void, call.message.load(corrections.Void))


def send_back(call: Call) -> Answer:
    body = call.message.load(corrections.Return)
    for item in status.of_order(call.hospital, call.payload["orderNo"]):
        if item.line in body["lines"] or not body["lines"]:
            call.allow(item.department)
    return _withdrawn(call, withdrawing.send_back, body)


def verify(call: Call) -> Answer:
    number = call.payload["orderNo"]
    return _items(call, lambda key: reporting.verify_order(call.hospital, number, call.actor, key))


def read(call: Call) -> Answer:
    number = call.payload["orderNo"]
    return call.results.order(number, call.answers.items(status.of_order(call.hospital, number)))


def report_assessment(call: Call) -> Answer:
    body = call.message.load(schemas.Evidence)
    data = EvidenceData(**{**body, "patient": Identifier(**body["patient"])})
    act = partial(reporting.report_evidence, call.hospital, data, call.actor)
    return call.results.evidence(call.once(lambda key: call.answers.items(act(key))))


def report_payment(call: Call) -> Answer:
    body = call.message.load(schemas.Payment)
    data = PaymentData(**{**body, "lines": tuple(body["lines"])})
    act = partial(reporting.report_payment, call.hospital, data, call.actor)
    return call.results.payment(data.order, call.once(lambda key: call.answers.payment(act(key))))


def query_payable(call: Call) -> Answer:
    number = call.payload["orderNo"]
    return call.results.payable(number, call.answers.items(status.of_order(call.hospital, number)))


def query_refundable(call: Call) -> Answer:
    number = call.payload["orderNo"]
    return call.results.refundable(number, refunds.refundable(call.hospital, number))


def report_refund(call: Call) -> Answer:
    body = call.message.load(corrections.Refund)
    refund = RefundData(**{**body, "lines": tuple(body["lines"])})
    return _items(call, lambda key: refunds.report(call.hospital, refund, call.actor, key))


OPERATIONS: Mapping[str, Operation] = {
    "SubmitOrder": Operation("order.submit", "order", submit),
    "ValidateOrder": Operation("order.validate", "order", validate),
    "ReplaceOrder": Operation("order.submit", "order", replace_order),
    "ChangeOrder": Operation("order.change", "change", change),
    "CancelOrder": Operation("order.void", "cancellation", cancel),
    "ReturnOrder": Operation("order.send_back", "orderReturn", send_back),
    "VerifyOrder": Operation("order.verify", "verification", verify),
    "QueryOrder": Operation("order.read", "query", read),
    "ReportAssessment": Operation("evidence.report", "assessment", report_assessment),
    "QueryPayable": Operation("order.payable", "query", query_payable),
    "ReportPayment": Operation("payment.report", "payment", report_payment),
    "QueryRefundable": Operation("order.refundable", "query", query_refundable),
    "ReportRefund": Operation("refund.report", "refund", report_refund),
}


def _items(call: Call, act: Callable[..., list[ItemStatus]]) -> Answer:
    """A write whose answer are the items of the order it names."""
    return call.results.order(call.payload["orderNo"], call.once(lambda key: call.answers.items(act(key))))


def _withdrawn(call: Call, act: Callable[..., list[ItemStatus]], body: Mapping[str, Any]) -> Answer:
    number, lines = call.payload["orderNo"], body["lines"]
    how = {name: value for name, value in body.items() if name != "lines"}
    return _items(call, lambda key: act(call.hospital, number, lines, call.actor, key, **how))


def _readable(call: Call) -> Readable:
    """The order in the message. Raises `InvalidInput` unless what is wrong with it concerns some of its items only."""
    catalogue, items = call.hospital.catalogues.current(), call.message.body["items"]
    problems: list[tuple[str, Text]] = intake.line_problems(
        catalogue, [OrderLine(each["line"], each["item"]) for each in items]
    )
    try:
        body = call.message.load(schemas.Order)
    except InvalidInput as error:
        problems = [*error.problems, *problems]
    bad = _bad_items(problems, len(items))
    if bad:
        kept = [each for n, each in enumerate(items) if n not in bad]
        body = load(schemas.Order, {**call.message.body, "items": kept})
    refused = [_refused(items[n], text, known=catalogue.knows(items[n]["item"])) for n, text in sorted(bad.items())]
    return Readable(replace(order_data(body), drawing=_drawing(call) or ""), refused)


def _bad_items(problems: Sequence[tuple[str, Text]], items: int) -> dict[int, Text]:
    """What is wrong with some of an order's items. Raises `InvalidInput` when it is wrong with more than that."""
    places = [AN_ITEM.match(pointer) for pointer, _ in problems]
    bad = {int(place[1]): text for place, (_, text) in zip(places, problems, strict=True) if place}
    if not all(places) or len(bad) == items:
        raise InvalidInput(problems)
    return bad


def _refused(item: Answer, text: Text, *, known: bool) -> Answer:
    code = "invalid_item" if known else "unknown_item"
    return {"line": item["line"], "item": item["item"], "code": code, "message": words(text)}


def _whole(call: Call, answer: Answer, found: Readable) -> Answer:
    """The answer with what was refused of the order; a repeated one that died has to be told again."""
    return {**answer, "refused": answer.get("refused", found.refused)}


def _drawing(call: Call) -> str | None:
    """The drawing of a message as it is stored: a data URL."""
    content = call.payload.get("drawing")
    if content is None:
        return None
    for media, magic in PICTURES.items():
        if content.startswith(magic):
            return f"data:{media};base64,{base64.b64encode(content).decode()}"
    raise SoapRefusal("invalid_input", NO_PICTURE, fields=[f"{call.message.root}/drawing"])
