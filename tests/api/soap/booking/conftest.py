"""A small hospital behind the served contract, and its systems as zeep clients of it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
import zeep
from requests import Session
from werkzeug.serving import make_server
from zeep.helpers import serialize_object
from zeep.wsse.username import UsernameToken

from examlane import (
    EvidenceView,
    Finding,
    FindingKind,
    GateAnswer,
    GateClosed,
    GateOpen,
    NoShowAction,
    NoShowDecision,
    OrderView,
    Text,
    hookimpl,
)
from examlane.testing import World, require, small_hospital
from examlane_api import clients
from examlane_api.app import create_app

EIGHT = datetime(2026, 11, 23, 8, 0)
ASSESS = Text("请先完成评估", "Assessment first")
BE_ASSESSED = Text("去评估", "Be assessed")
NO_WEIGHT = Text("请填写体重", "Weight is missing")


class Rules:
    """Hearts need a passed assessment; heads need a weight, and tell the dose for it."""

    @hookimpl
    def pre_booking_gate(self, order: OrderView, evidence: Sequence[EvidenceView]) -> list[GateAnswer]:
        hearts = [item.key for item in order.items if item.item.code == "US-HEART"]
        if any(each.outcome == "passed" and each.data.get("asa") == 2 for each in evidence):
            return [GateOpen("assessment", key) for key in hearts]
        return [GateClosed("assessment", key, "rules.assess", ASSESS, BE_ASSESSED, "assessor") for key in hearts]

    @hookimpl
    def validate_order(self, order: OrderView) -> list[Finding]:
        weight, metformin = order.known("weight_kg"), order.known("metformin")
        if isinstance(weight, float) and metformin is False:
            kind, field, value = FindingKind.FILL, "dose_ml", weight * 2
        else:
            kind, field, value = FindingKind.BLOCK, "", None
        heads = [item.key for item in order.items if item.item.code == "CT-HEAD"]
        return [Finding(kind, "rules.weight", NO_WEIGHT, key, field=field, value=value) for key in heads]


class Kiosk:
    """Whoever misses his time takes another place today."""

    @hookimpl
    def on_no_show(self) -> NoShowDecision:
        return NoShowDecision(NoShowAction.SELF_REBOOK, Text("请重新登记", "please re-register"), "kiosk")


@dataclass
class Peer:
    """A peer system: its clients log in as the integration platform unless told otherwise."""

    world: World
    url: str
    secret: str
    sessions: list[Session]
    known: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def client(self, code: str = "his", secret: str = "", **headers: str) -> Any:
        session = Session()
        session.headers.update(headers)
        self.sessions.append(session)
        token = UsernameToken(code, secret or self.secret)
        return zeep.Client(f"{self.url}?wsdl", transport=zeep.Transport(session=session), wsse=token)

    @property
    def service(self) -> Any:
        return self.client().service

    def say(self, name: str, code: str = "his", **fields: Any) -> Any:
        """Call an operation with a message id of its own; its answer as plain values."""
        if code not in self.known:
            self.known[code] = self.client(code, self.secrets.get(code, ""))
        key = {} if name.startswith("Query") else {"messageId": f"m-{next(self.numbers)}"}
        return serialize_object(self.known[code].service[name]({**key, **fields}), dict)

    def refused(self, name: str, code: str = "his", **fields: Any) -> SimpleNamespace:
        """The typed fault that an operation ends with."""
        with pytest.raises(zeep.exceptions.Fault) as caught:
            self.say(name, code, **fields)
        fault = self.known[code].wsdl.types.deserialize(caught.value.detail[0])
        return SimpleNamespace(**serialize_object(fault, dict))

    def member(self, code: str, role: str = "integration", *departments: str) -> str:
        """Another client, by its code."""
        self.secrets[code] = clients.add(self.world.database, code, code, role, departments)
        return code

    def order(self, number: str, *items: str, card: str = "P1", **more: Any) -> dict[str, Any]:
        patient = {"identifiers": {"identifier": [{"kind": "card", "value": card}]}, "name": "患者一", "sex": "female"}
        return {
            "orderNo": number, "patient": patient,
            "encounter": {"encounterNo": f"V-{card}", "encounterClass": "outpatient", "campus": "N"},
            "orderingDepartment": "CLINIC", "priority": "routine", "orderedAt": EIGHT,
            "items": {"item": [{"line": line, "itemCode": item} for line, item in enumerate(items, 1)]}, **more,
        }  # fmt: skip

    def paid(self, number: str, *items: str, **more: Any) -> str:
        """Order and pay; the number of the first item's appointment."""
        self.say("SubmitOrder", **self.order(number, *items, **more))
        paid = self.say("ReportPayment", orderNo=number, paidAt=EIGHT)
        return str(paid["items"]["item"][0]["appointment"]["appointmentNo"])

    def appointments(self) -> int:
        return int(self.world.database.value("SELECT count(*) FROM appointment"))

    def book(self) -> str:
        """An ultrasound of the thyroid, ordered and paid: its appointment's number."""
        return self.paid("O1", "US-THYROID")


@contextmanager
def serving(url: str) -> Iterator[Peer]:
    world = small_hospital(url, {"rules": Rules(), "kiosk": Kiosk()})
    require(world, "US", "rules")
    require(world, "CT", "rules")
    secret = clients.add(world.database, "his", "HIS")
    server = make_server("127.0.0.1", 0, create_app(world.hospital, "for this test only"))
    thread = threading.Thread(target=lambda: (server.serve_forever(), world.database.close()))
    thread.start()
    peer = Peer(world, f"http://127.0.0.1:{server.server_port}/soap/booking", secret, [])
    yield peer
    for session in peer.sessions:
        session.close()
    server.shutdown()
    thread.join()
    server.server_close()
    world.hospital.close()


@pytest.fixture
def peer(sqlite_url: str) -> Iterator[Peer]:
    with serving(sqlite_url) as found:
        yield found


@pytest.fixture
def peer_on_each(database_url: str) -> Iterator[Peer]:
    with serving(database_url) as found:
        yield found
