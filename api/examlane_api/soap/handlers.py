"""The nine operations of the booking contract, as calls of the core: allowed, written once, refused in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time
from functools import partial
from typing import Any

from flask import g, request

from examlane import reporting
from examlane.appointments import changes, choosing, status
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import executing, noshow
from examlane.domain import Text
from examlane.errors import ExamlaneError, InvalidInput, NotFound, Refused
from examlane.hospital import Hospital
from examlane.orders.evidence import EvidenceData
from examlane.orders.patients import Identifier
from examlane.orders.release import PaymentData
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey, request_key
from examlane_api import replays
from examlane_api.access import Caller, at_desk, may
from examlane_api.answers import Answers
from examlane_api.problems import TITLES
from examlane_api.rest import schemas
from examlane_api.rest.appointments import execution_report
from examlane_api.rest.orders import order_data
from examlane_api.soap.engine import Handler, language_of
from examlane_api.soap.faults import FaultKind, SoapRefusal
from examlane_api.soap.messages import Message
from examlane_api.soap.results import Results

Answer = Mapping[str, Any]
MOST_TIMES = 200
DEFAULT_DAYS = 7
FORBIDDEN = Text("没有权限进行此操作", "This operation is not allowed to you")
ONE_SUBJECT = Text("申请单号和预约号须且只能给出一个", "Give either an order number or an appointment number")
SUBJECTS = {"order": "申请单", "order item": "检查项目", "appointment": "预约", "patient": "患者"}


@dataclass(frozen=True, slots=True)
class Call:
    """One message with who sent it, what it does, and how it is answered."""

    caller: Caller
    operation: str
    message: Message
    actor: Actor
    results: Results

    def allow(self, department: str = "") -> None:
        if not may(self.caller, self.operation, department):
            raise SoapRefusal("forbidden", FORBIDDEN)

    @property
    def key(self) -> RequestKey:
        payload = self.message.payload
        return request_key(self.caller.name, payload["messageId"], self.operation, payload)


class BookingHandlers:
    """Handlers for every operation of `booking.wsdl`; they only translate, the core decides."""

    def __init__(self, hospital: Hospital) -> None:
        self._hospital = hospital
        self._answers = Answers(hospital.settings.zone)

    def by_operation(self) -> dict[str, Handler]:
        """Each operation with its name in the permission file and the element it takes."""
        return {
            "SubmitOrder": _handler("order.submit", "order", self._submit_order),
            "ReportAssessment": _handler("evidence.report", "assessment", self._report_assessment),
            "ReportPayment": _handler("payment.report", "payment", self._report_payment),
            "QuerySlots": _handler("time.search", "query", self._query_slots),
            "QueryPayable": _handler("order.payable", "query", self._query_payable),
            "RescheduleAppointment": _handler("appointment.reschedule", "reschedule", self._reschedule),
            "CancelAppointment": _handler("appointment.cancel", "cancellation", self._cancel),
            "CheckIn": _handler("appointment.check_in", "checkIn", self._check_in),
            "ReportExecution": _handler("appointment.execution", "execution", self._report_execution),
        }

    def _submit_order(self, call: Call) -> Answer:
        order = order_data(call.message.load(schemas.Order))
        act = partial(reporting.submit_order, self._hospital, order, call.actor)
        return call.results.order(order.number, self._once(call, lambda key: self._answers.items(act(key))))

    def _report_assessment(self, call: Call) -> Answer:
        body = call.message.load(schemas.Evidence)
        data = EvidenceData(**{**body, "patient": Identifier(**body["patient"])})
        act = partial(reporting.report_evidence, self._hospital, data, call.actor)
        return call.results.evidence(self._once(call, lambda key: self._answers.items(act(key))))

    def _report_payment(self, call: Call) -> Answer:
        body = call.message.load(schemas.Payment)
        data = PaymentData(**{**body, "lines": tuple(body["lines"])})
        act = partial(reporting.report_payment, self._hospital, data, call.actor)
        return call.results.payment(data.order, self._once(call, lambda key: self._answers.payment(act(key))))

    def _query_slots(self, call: Call) -> Answer:
        query = call.message.payload
        if ("orderNo" in query) == ("appointmentNo" in query):
            raise SoapRefusal("invalid_input", ONE_SUBJECT, fields=["query/orderNo", "query/appointmentNo"])
        day = query.get("fromDate")
        found = choosing.times(
            self._hospital,
            items=self._keys(query) if "orderNo" in query else (),
            appointment=query.get("appointmentNo", ""),
            days=query.get("days", DEFAULT_DAYS),
            limit=MOST_TIMES,
            desk=call.actor.desk,
            since=datetime.combine(day, time(12), self._hospital.settings.zone) if day else None,
        )
        return call.results.times(self._answers.times(found))

    def _keys(self, query: Answer) -> list[str]:
        """The order item asked for; all items of the order where no line is named."""
        items = status.of_order(self._hospital, query["orderNo"])
        found = [item.key for item in items if query.get("line", item.line) == item.line]
        if not found:
            raise NotFound("order item", f"{query['orderNo']}/{query['line']}")
        return found

    def _query_payable(self, call: Call) -> Answer:
        number = call.message.payload["orderNo"]
        return call.results.payable(number, self._answers.items(status.of_order(self._hospital, number)))

    def _reschedule(self, call: Call) -> Answer:
        body = call.message.load(schemas.Reschedule)
        return self._change(call, partial(choosing.reschedule, self._hospital, **body))

    def _cancel(self, call: Call) -> Answer:
        body = call.message.load(schemas.Cancellation)
        return self._change(call, partial(changes.cancel, self._hospital, **{**body, "by_patient": True}))

    def _check_in(self, call: Call) -> Answer:
        return self._change(call, partial(noshow.arrive, self._hospital, at=call.message.payload.get("at")))

    def _report_execution(self, call: Call) -> Answer:
        body = call.message.load(schemas.Execution)
        said = execution_report({**body, "at": call.message.payload["at"]})
        return self._change(call, partial(executing.report, self._hospital, said=said))

    def _change(self, call: Call, act: Callable[..., AppointmentStatus]) -> Answer:
        """Change the appointment a message names, within the caller's departments."""
        number = call.message.payload["appointmentNo"]
        call.allow(status.appointment(self._hospital, number).department)
        answer = self._once(
            call, lambda key: self._answers.appointment(act(number=number, actor=call.actor, key=key))
        )
        return call.results.appointment(answer)

    def _once(self, call: Call, act: Callable[[RequestKey], Answer]) -> Answer:
        again = partial(replays.answer, self._hospital, self._answers, call.actor)
        answer, _ = reporting.once(self._hospital, call.key, act, again)
        return answer


def _handler(operation: str, root: str, act: Callable[[Call], Answer]) -> Handler:
    def handle(caller: Caller, payload: dict[str, Any]) -> Answer:
        message = Message(root, payload)
        actor = Actor(caller.name, caller.channel, g.get("request_id", ""), desk=at_desk(caller))
        call = Call(caller, operation, message, actor, Results(language_of(request)))
        call.allow()
        with refusals(message):
            return act(call)

    return handle


@contextmanager
def refusals(message: Message) -> Iterator[None]:
    """Turn the core's errors into refusals that name the elements of this message."""
    try:
        yield
    except ExamlaneError as error:
        raise _refusal(error, message) from error


def _refusal(error: ExamlaneError, message: Message) -> SoapRefusal:
    if isinstance(error, InvalidInput):
        return _invalid(error, message)
    if isinstance(error, NotFound):
        words = Text(f"没有这个{SUBJECTS.get(error.subject, error.subject)}", f"no such {error.subject}")
        return SoapRefusal("not_found", words)
    if isinstance(error, Refused):
        fields = [message.path(error.pointer)] if error.pointer else []
        return SoapRefusal(error.code, error.text, retryable=error.code == "request_in_flight", fields=fields)
    return SoapRefusal("unavailable", TITLES[503], retryable=True, kind=FaultKind.RECEIVER)


def _invalid(error: InvalidInput, message: Message) -> SoapRefusal:
    problems = [(message.path(pointer), text) for pointer, text in error.problems]
    words = Text(
        "；".join(f"{path}：{text.zh}" for path, text in problems),
        "; ".join(f"{path}: {text.en}" for path, text in problems),
    )
    return SoapRefusal("invalid_input", words, fields=list(dict.fromkeys(path for path, _ in problems)))
