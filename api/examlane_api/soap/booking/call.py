"""One message as a call of the core: allowed, done once per message id, refused in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import g, request

from examlane import reporting
from examlane.appointments import status
from examlane.appointments.status import AppointmentStatus
from examlane.corrections.order_changes import ItemChange
from examlane.domain import Text
from examlane.errors import ExamlaneError, InvalidInput, NotFound, Refused
from examlane.hospital import Hospital
from examlane.records.audit import Actor
from examlane.records.receipts import Replay, RequestKey, request_key
from examlane_api import replays
from examlane_api.access import Caller, at_desk, may
from examlane_api.answers import Answers
from examlane_api.problems import TITLES
from examlane_api.soap.booking.message import Message
from examlane_api.soap.booking.results import Results
from examlane_api.soap.engine import Handler, language_of
from examlane_api.soap.faults import FaultKind, SoapRefusal

Answer = Mapping[str, Any]
FORBIDDEN = Text("没有权限进行此操作", "This operation is not allowed to you")
SUBJECTS = {
    "order": "申请单", "order item": "检查项目", "appointment": "预约", "patient": "患者", "group": "检查地点",
    "encounter": "就诊", "encounter event": "就诊事件", "item": "检查项目", "merge": "患者合并记录",
    "suspension": "停用记录", "department": "科室",
}  # fmt: skip
SEND_AGAIN = frozenset({"request_in_flight", "conflict_repeated"})
"""Refusals after which the same message may be sent again as it is."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the contract: its name in the permission file, the element it takes, and what it does."""

    permission: str
    root: str
    act: Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Call:
    """One message with who sent it, what it does, and how it is answered."""

    hospital: Hospital
    caller: Caller
    operation: str
    message: Message
    actor: Actor
    results: Results

    @property
    def answers(self) -> Answers:
        return Answers(self.hospital.settings.zone)

    @property
    def payload(self) -> Answer:
        return self.message.payload

    @property
    def by_patient(self) -> bool:
        """Whether the patient himself gives up a time: what a registrar does is the hospital's doing."""
        return self.caller.role != "registrar"

    def allow(self, department: str = "") -> None:
        self.allow_to(self.operation, department)

    def allow_to(self, operation: str, department: str = "") -> None:
        if not may(self.caller, operation, department):
            raise SoapRefusal("forbidden", FORBIDDEN)

    def allow_item(self, key: str) -> None:
        """Allow it within the department of an order item. Raises `NotFound`."""
        department = self.hospital.database.value(
            "SELECT d.code FROM order_item oi JOIN exam_item i ON i.id = oi.item_id "
            "JOIN department d ON d.id = i.department_id WHERE oi.key = ?",
            key,
        )
        if department is None:
            raise NotFound("order item", key)
        self.allow(department)

    def group(self, code: str) -> str:
        """The code of a place, if the caller may in its department. Raises `NotFound`."""
        groups = self.hospital.catalogues.current().groups
        if code not in groups:
            raise NotFound("group", code)
        self.allow(groups[code].department)
        return code

    def once(self, act: Callable[[RequestKey], Answer], again: Callable[[RequestKey], Answer] | None = None) -> Answer:
        """Do a write once for the message's id. `again` makes the answer of one that died before it was answered."""
        key = request_key(self.caller.name, self.payload["messageId"], self.operation, self.payload)

        def once_more(replay: Replay) -> Answer:
            return again(key) if again else replays.answer(self.hospital, self.answers, self.actor, replay)

        answer, _ = reporting.once(self.hospital, key, act, once_more)
        return answer

    def changes(self, found: Sequence[ItemChange]) -> Answer:
        """What a change meant for each item."""
        outcomes = {each.item.key: each.outcome for each in found}
        return {**self.answers.items(each.item for each in found), "outcomes": outcomes}

    def change(self, act: Callable[..., AppointmentStatus]) -> Answer:
        """Change the appointment the message names, within the caller's departments."""
        number = self.payload["appointmentNo"]
        self.allow(status.appointment(self.hospital, number).department)
        act = partial(act, self.hospital, number=number, actor=self.actor)
        return self.results.appointment(self.once(lambda key: self.answers.appointment(act(key=key))))


def handler(hospital: Hospital, operation: Operation) -> Handler:
    """The operation as the engine calls it."""

    def handle(caller: Caller, payload: dict[str, Any]) -> Answer:
        message = Message(operation.root, payload)
        actor = Actor(caller.name, caller.channel, g.get("request_id", ""), desk=at_desk(caller))
        call = Call(hospital, caller, operation.permission, message, actor, Results(language_of(request)))
        call.allow()
        with refusals(message):
            return operation.act(call)

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
        fields = dict.fromkeys(message.path(each.pointer) for each in error.objections if each.pointer)
        rules = dict.fromkeys(each.rule for each in error.objections if each.rule)
        again = error.code in SEND_AGAIN
        return SoapRefusal(error.code, error.text, retryable=again, fields=list(fields), rules=list(rules))
    return SoapRefusal("unavailable", TITLES[503], retryable=True, kind=FaultKind.RECEIVER)


def _invalid(error: InvalidInput, message: Message) -> SoapRefusal:
    problems = [(message.path(pointer), text) for pointer, text in error.problems]
    words = Text(
        "；".join(f"{path}：{text.zh}" for path, text in problems),
        "; ".join(f"{path}: {text.en}" for path, text in problems),
    )
    return SoapRefusal("invalid_input", words, fields=list(dict.fromkeys(path for path, _ in problems)))
