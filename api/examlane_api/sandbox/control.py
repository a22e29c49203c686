"""The sandbox's control: send a message, switch a fault, tell a clinical fact, move the clock."""

from __future__ import annotations

import hmac
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import requests
from flask import Flask, Response, request
from marshmallow import Schema, fields, validate

from examlane.clock import SetClock
from examlane.domain import Text
from examlane.errors import Refused
from examlane_api.problems import part, problem
from examlane_api.rest.fields import Code, Instant
from examlane_api.sandbox.channels import VIA, Channels, Said
from examlane_api.sandbox.messages import MESSAGES, Clinical, Sending
from examlane_api.sandbox.services import Facts
from examlane_api.sandbox.system import SLOW_SECONDS, ZONE, Fault, System, bare_application, body_of

REPEATED_IN_FULL = ("change", "void")
"""Over HIP these say the whole order again."""
NOT_SENT = Text("沙箱没有发送过此申请单", "the sandbox did not send this order")
Held = tuple[Sending, str]


class Options(Schema):
    """How a message goes, beside what it says."""

    via = fields.String(load_default="rest", validate=validate.OneOf(VIA))
    key = Code(64, load_default="")


class FaultBody(Schema):
    system = fields.String(required=True)
    fault = fields.Enum(Fault, by_value=True, required=True)
    seconds = fields.Float(load_default=SLOW_SECONDS, validate=validate.Range(0, 600))


class FactsBody(Schema):
    patient = Code(64, required=True)
    facts = Clinical(fields.String(), fields.Raw(), required=True)


class ClockBody(Schema):
    """`to` an instant that is to come, or `minutes` ahead."""

    to = Instant(load_default=None)
    minutes = fields.Integer(load_default=0, validate=validate.Range(0, 60 * 24 * 60))


@dataclass
class Sender:
    """Sends for the systems, each with its present fault."""

    systems: Mapping[str, System]
    channels: Channels
    clock: SetClock
    _orders: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _held: dict[str, list[Held]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: str, body: Mapping[str, Any]) -> list[Said]:
        """What was sent and answered; nothing while it is held back. Raises `ValidationError`, `Refused`."""
        options = Options().load({name: body[name] for name in ("via", "key") if name in body})
        says = MESSAGES[message].schema().load({name: value for name, value in body.items() if name not in options})
        sent = Sending(message, self._in_full(message, says, options["via"]), options["key"] or str(uuid.uuid4()),
                       self.clock.now().astimezone(ZONE))  # fmt: skip
        return self._as_the_fault_wants(self.systems[MESSAGES[message].system], sent, options["via"])

    def release(self, system: str) -> list[Said]:
        """Send what a system held back."""
        with self._lock:
            held = self._held.pop(system, [])
        return [self.channels.send(*each) for each in held]

    def _in_full(self, message: str, says: Mapping[str, Any], via: str) -> Mapping[str, Any]:
        with self._lock:
            if message == "order":
                self._orders[says["number"]] = says
            if message not in REPEATED_IN_FULL or via != "hip":
                return says
            if says["order"] not in self._orders:
                raise Refused("unknown_order", NOT_SENT, "/order")
            return {**self._orders[says["order"]], **{name: value for name, value in says.items() if value}}

    def _as_the_fault_wants(self, system: System, sent: Sending, via: str) -> list[Said]:
        fault = system.faults.kind
        if fault is Fault.DOWN:
            raise Refused("down", Text(f"{system.name.zh}已停机", f"{system.code} is down: nothing is sent"))
        if fault is Fault.GARBAGE:
            return [self.channels.nonsense(sent, via)]
        if fault is Fault.REORDERED:
            return self._swapped(system.code, (sent, via))
        system.faults.wait()
        return [self.channels.send(sent, via) for _ in range(2 if fault is Fault.DUPLICATE else 1)]

    def _swapped(self, system: str, message: Held) -> list[Said]:
        with self._lock:
            if system not in self._held:
                self._held[system] = [message]
                return []
        return [self.channels.send(*message), *self.release(system)]


def control(systems: Mapping[str, System], sender: Sender, facts: Facts, clock: SetClock, key: str) -> Flask:
    """The application at the control port; whatever changes something wants its key."""
    app = bare_application()

    @app.before_request
    def has_key() -> Response | None:
        given = request.headers.get("Authorization", "").encode()
        right = request.method == "GET" or hmac.compare_digest(given, f"Bearer {key}".encode())
        return None if right else problem(401, "unauthenticated", headers={"WWW-Authenticate": "Bearer"})

    @app.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        return problem(409, error.code, error.text, [part(error.pointer, error.text)] if error.pointer else [])

    @app.errorhandler(requests.RequestException)
    def unanswered(error: requests.RequestException) -> Response:
        return problem(503, "unanswered", Text("examlane 没有应答", f"examlane did not answer: {type(error).__name__}"))

    @app.get("/systems")
    def list_systems() -> Mapping[str, Any]:
        return {"now": _written(clock.now()), "systems": [_system(each) for each in systems.values()]}

    @app.post("/send/<string:message>")
    def send(message: str) -> Any:
        if message not in MESSAGES:
            return problem(404, "not_found", Text(f"没有消息 {message}", f"no message {message}"))
        said = sender.send(message, body_of(request))
        return {"held": not said, "said": [asdict(each) for each in said]}

    @app.post("/fault")
    def fault() -> Any:
        said = FaultBody().load(body_of(request))
        if said["system"] not in systems:
            return problem(404, "not_found", Text(f"没有系统 {said['system']}", f"no system {said['system']}"))
        system = systems[said["system"]]
        system.set_fault(said["fault"], said["seconds"])
        released = [] if said["fault"] is Fault.REORDERED else sender.release(system.code)
        return {**_system(system), "said": [asdict(each) for each in released]}

    @app.post("/facts")
    def tell() -> Mapping[str, Any]:
        said = FactsBody().load(body_of(request))
        at = _written(clock.now())
        told = {name: {"value": value, "observed_at": at, "source": "sandbox"} for name, value in said["facts"].items()}
        facts.setdefault(said["patient"], {}).update(told)
        return {"patient": said["patient"], "facts": facts[said["patient"]]}

    @app.post("/clock")
    def move() -> Mapping[str, Any]:
        said = ClockBody().load(body_of(request))
        to: datetime = said["to"] or clock.now() + timedelta(minutes=said["minutes"])
        if to < clock.now():
            raise Refused("past", Text("时钟只能向前", "the clock only goes forward"), "/to")
        clock.set(to)
        return {"now": _written(clock.now())}

    return app


def _written(at: datetime) -> str:
    return at.astimezone(ZONE).isoformat(timespec="seconds")


def _system(system: System) -> dict[str, Any]:
    return {
        "system": system.code, "name": {"zh": system.name.zh, "en": system.name.en}, "address": system.address,
        "fault": system.faults.kind, "received": len(system.received()),
    }  # fmt: skip
