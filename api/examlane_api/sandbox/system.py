"""One of the hospital's other systems: it hears events, keeps them, shows them, and is at fault when told to be."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, Request, Response, render_template, request
from marshmallow import EXCLUDE, Schema, ValidationError, fields

from examlane.clock import Clock
from examlane.domain import Text
from examlane_api.demo.serving import Served
from examlane_api.peers import SIGNATURE
from examlane_api.problems import pointers, problem
from examlane_api.rest.fields import BadJson, strict_json

ZONE = ZoneInfo("Asia/Shanghai")
"""The demonstration hospital's."""
MAX_BODY = 4 * 1024 * 1024
CLOCKS_DIFFER = timedelta(minutes=5)
NO_ANSWER = "\x00\ufffd <<< 502 ??? no answer to what was asked"
SLOW_SECONDS = 5.0


class Fault(StrEnum):
    """What may be wrong with a system."""

    NONE = "none"
    SLOW = "slow"
    """Takes what it gets, and answers too late; sends late."""
    DOWN = "down"
    """Nobody listens at its port; sends nothing."""
    GARBAGE = "garbage"
    """Takes nothing and answers nonsense; sends nonsense."""
    DUPLICATE = "duplicate"
    """Takes what it gets, but the first answer is lost, so that it comes again; sends everything twice."""
    REORDERED = "reordered"
    """Turns every other message away at first, so that others overtake it; sends each two messages in the wrong order."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that arrived; `times` counts how often, for it may come again."""

    id: str
    via: str
    kind: str
    subject: str
    key: str
    sequence: int | None
    at: datetime
    content: Any
    times: int = 1


class Event(Schema):
    """What an event must say; a newer examlane may say more."""

    class Meta:
        unknown = EXCLUDE

    event_id = fields.String(required=True)
    kind = fields.String(required=True)
    subject = fields.String(required=True)
    subject_key = fields.String(required=True)
    sequence = fields.Integer(required=True)


class Faults:
    """The present fault of a system, and what it has met since."""

    def __init__(self) -> None:
        self.kind, self.seconds = Fault.NONE, SLOW_SECONDS
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._met: set[bytes] = set()

    def set(self, kind: Fault, seconds: float) -> None:
        """From now on; who waits for a slow answer gets it."""
        with self._lock:
            self.kind, self.seconds, self._met = kind, seconds, set()
            self._over.set()
            self._over = threading.Event()

    def wait(self) -> None:
        if self.kind is Fault.SLOW:
            self._over.wait(self.seconds)

    def instead(self, body: bytes) -> Response | None:
        """What is answered without looking at a message."""
        if self.kind is Fault.GARBAGE:
            return Response(NO_ANSWER, 502)
        if self.kind is Fault.REORDERED and self._is_first(body) and len(self._met) % 2:
            return Response(status=503)
        return None

    def after(self, body: bytes, answer: Response) -> Response:
        """What becomes of the answer to a message that was taken."""
        self.wait()
        lost = self.kind is Fault.DUPLICATE and self._is_first(body)
        return Response(status=503) if lost else answer

    def _is_first(self, body: bytes) -> bool:
        digest = hashlib.sha256(body).digest()
        with self._lock:
            first = digest not in self._met
            self._met.add(digest)
        return first


class System:
    """A system at a port of its own."""

    def __init__(self, code: str, name: Text, clock: Clock, key: str, *, host: str, port: int) -> None:
        self.code, self.name, self.faults = code, name, Faults()
        self._clock, self._key, self._host = clock, key, host
        self._received: dict[str, Received] = {}
        self._lock = threading.Lock()
        self.app = self._application()
        self._served: Served | None = Served(self.app, host=host, port=port)
        self.address, self._port = self._served.address, self._served.port

    def stop(self) -> None:
        self.set_fault(Fault.DOWN)

    def set_fault(self, kind: Fault, seconds: float = SLOW_SECONDS) -> None:
        """Be at fault in this way from now on, or not any more."""
        self.faults.set(kind, seconds)
        if kind is Fault.DOWN and self._served is not None:
            self._served.stop()
            self._served = None
        elif kind is not Fault.DOWN and self._served is None:
            self._served = Served(self.app, host=self._host, port=self._port)

    def keep(self, message: Received) -> None:
        """Keep a message; one that is here already is only counted."""
        with self._lock:
            known = self._received.get(message.id)
            self._received[message.id] = replace(known, times=known.times + 1) if known else message

    def received(self, **conditions: str) -> list[Received]:
        """What has arrived, in the order in which it came first."""
        with self._lock:
            found = list(self._received.values())
        return [each for each in found if all(getattr(each, name) == value for name, value in conditions.items() if value)]

    def is_genuine(self) -> bool:
        """Whether the present request is signed with the key that this system was given."""
        return is_signed(request.headers.get(SIGNATURE, ""), request.get_data(), self._key, self.now())

    def now(self) -> datetime:
        return self._clock.now().astimezone(ZONE)

    def _application(self) -> Flask:
        app = bare_application()
        app.before_request(lambda: self.faults.instead(request.get_data()) if request.method == "POST" else None)
        app.after_request(
            lambda answer: self.faults.after(request.get_data(), answer) if request.method == "POST" else answer
        )
        app.add_url_rule("/", view_func=self._page)
        app.add_url_rule("/received", view_func=self._shown)
        app.add_url_rule("/events", view_func=self._hear, methods=["POST"])
        return app

    def _hear(self) -> Response:
        """An event of examlane: kept if it is signed with the key that this system was given."""
        if not self.is_genuine():
            return not_signed()
        said = body_of(request)
        event = Event().load(said)
        self.keep(
            Received(event["event_id"], "rest", event["kind"], event["subject"], event["subject_key"], event["sequence"],
                     self.now(), said)
        )  # fmt: skip
        return Response(status=204)

    def _shown(self) -> Mapping[str, Any]:
        found = self.received(kind=request.args.get("kind", ""), key=request.args.get("key", ""))
        return {"system": self.code, "fault": self.faults.kind, "received": [as_data(each) for each in found]}

    def _page(self) -> str:
        return render_template("sandbox.html", system=self, received=self.received())


def not_signed() -> Response:
    return Response("the signature is missing, wrong or old\n", 401)


def bare_application() -> Flask:
    """An application that tells bad input as 4xx with the field's path."""
    app = Flask("examlane_api")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.default = _as_json  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.register_error_handler(BadJson, lambda error: problem(400, "bad_request", Text(str(error), str(error))))
    app.register_error_handler(ValidationError, lambda error: problem(422, "invalid_input", errors=pointers(error.messages)))
    return app


def _as_json(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def body_of(sent: Request) -> dict[str, Any]:
    """A request's JSON object. Raises `BadJson`."""
    said = strict_json(sent.get_data())
    if not isinstance(said, dict):
        raise BadJson("the body is not a JSON object")
    return said


def as_data(message: Received) -> Mapping[str, Any]:
    return {
        "id": message.id, "via": message.via, "kind": message.kind, "subject": message.subject, "key": message.key,
        "sequence": message.sequence, "times": message.times, "at": message.at.isoformat(), "content": message.content,
    }  # fmt: skip


def is_signed(header: str, body: bytes, key: str, now: datetime) -> bool:
    """Whether one of a webhook's signatures is made with our key, within the last minutes."""
    parts = [part.partition("=")[::2] for part in header.split(",")]
    at = next((value for name, value in parts if name == "t"), "")
    right = hmac.new(key.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    if not any(hmac.compare_digest(right.encode(), value.encode()) for name, value in parts if name == "v1"):
        return False
    return abs(datetime.fromisoformat(at) - now) < CLOCKS_DIFFER
