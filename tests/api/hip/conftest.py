"""A hospital behind its platform endpoint, and short ways to send it documents as a platform does."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from flask import Flask
from lxml import etree
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from examlane import hookimpl
from examlane.orders.patients import Identifier
from examlane.testing import World, small_hospital
from examlane_api import clients
from examlane_api.app import create_app
from examlane_api.hip import frame, profiles
from examlane_api.hip.frame import Ack
from examlane_api.hip.outbound import documents
from examlane_api.hip.outbound.reading import Form, FormItem, Head, Named
from examlane_api.hip.profiles import Profile
from tests.api.hip.platforms import FakePlatform

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
V3 = "urn:hl7-org:v3"
ITEMS = {"US001": ("US", "甲状腺彩超"), "US002": ("US", "心脏彩超"), "CT001": ("CT", "头颅CT")}


class Quiet:
    @hookimpl
    def validate_order(self) -> list[object]:
        return []


def example(**more: Any) -> Profile:
    """The profile that the package ships."""
    return replace(profiles.load(Path(str(files("examlane_api.hip") / "example.toml"))), **more)


@dataclass
class Hip:
    """One hospital with one platform."""

    world: World
    app: Flask
    profile: Profile
    secret: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def now(self) -> datetime:
        return self.world.clock.now()

    def post(self, body: bytes | str, *, url: str = "", user: str = "platform", **headers: str) -> TestResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Content-Type": "text/xml; charset=utf-8"} | given
        auth = (user, self.secret) if user else None
        return self.app.test_client().post(url or f"/soap/hip/{self.profile.code}", data=body, headers=sent, auth=auth)

    def envelope(
        self, action: str, message: str, *, soap: str = SOAP_12, namespace: str = V3, operation: str = "HIPMessageServer",
        names: tuple[str, str] = ("action", "message"), cdata: bool = True, prefix: str = "",
    ) -> str:  # fmt: skip
        inner = f"<![CDATA[{message}]]>" if cdata else escape(message)
        declared = f' xmlns:urn="{namespace}"' if namespace else ""
        start = "urn:" if namespace else ""
        first, second = (f"{prefix}{name}" for name in names)
        return (
            f'<s:Envelope xmlns:s="{soap}"{declared}><s:Header/><s:Body><{start}{operation}><{first}>{action}</{first}>'
            f"<{second}>{inner}</{second}></{start}{operation}></s:Body></s:Envelope>"
        )

    def answer(self, action: str, message: str, **more: Any) -> str:
        """The document that is answered, as text."""
        response = self.post(self.envelope(action, message, **more))
        assert response.status_code == 200, response.text
        body = etree.fromstring(response.data)[-1]
        return str(body[0][0].text)

    def send(self, action: str, message: str, **more: Any) -> Ack:
        return frame.read_ack(self.answer(action, message, **more))

    def taken(self, action: str, message: str) -> Ack:
        ack = self.send(action, message)
        assert ack.taken, ack.details
        return ack

    def found(self, action: str, message: str) -> list[etree._Element]:
        """The subjects that a query found."""
        root = etree.fromstring(self.answer(action, message))
        assert root.find("{*}acknowledgement").get("typeCode") == "AA", etree.tostring(root)  # type: ignore[union-attr]
        return root.findall("{*}controlActProcess/{*}subject")

    def head(self) -> Head:
        return Head(str(uuid.uuid4()), self.now)

    def form(self, number: str, *items: str, patient: str = "P1", **more: Any) -> Form:
        """An application form that the platform's doctors wrote."""
        known = [(item, *ITEMS.get(item, ("US", "新项目"))) for item in items or ("US001",)]
        lines = tuple(
            FormItem(f"{number}{line}", Named(item, name), Named(department, department))
            for line, (item, department, name) in enumerate(known, 1)
        )
        made = Form(
            number=number, active=True, ordered_at=self.now, verified=True, doctor="李医生",
            ordering_department=Named("CLINIC", "门诊"), priority="routine", encounter=f"V{patient}",
            encounter_class="outpatient", ward="", patient=(Identifier("patient_id", patient),), patient_name="张三",
            sex="female", birth_date=date(1980, 2, 29), phone="13800001234", items=lines, diagnosis="结节", note="",
        )  # fmt: skip
        return replace(made, **more)

    def order(self, number: str, *items: str, message_id: str = "", new: bool = True, **more: Any) -> str:
        head = Head(message_id or str(uuid.uuid4()), self.now)
        return frame.to_text(documents.application(self.profile, head, self.form(number, *items, **more), new=new))

    def private(self, action: str, content: str, message_id: str = "") -> str:
        return (
            f'<{action} xmlns="urn:examlane:hip:1"><messageId>{message_id or uuid.uuid4()}</messageId>'
            f"<createdAt>20261123080000</createdAt><sender>HIS00001</sender>{content}</{action}>"
        )

    def paid(self, number: str, **more: Any) -> Ack:
        paid = f"<payment><orderNo>{number}</orderNo><paidAt>20261123080000</paidAt></payment>"
        return self.send("PaymentInfoAdd", self.private("PaymentInfoAdd", paid, **more))

    def status(
        self, order: str, code: str, *, department: str = "32", at: str = "20261123080000", message_id: str = ""
    ) -> str:
        """CheckStatusInfoUpdate of a department's system, only with what we read."""
        return f"""<POOR_IN200902UV xmlns="urn:hl7-org:v3"><id extension="{message_id or uuid.uuid4()}"/><controlActProcess>
        <subject><placerGroup><component2><observationRequest><id><item extension="{order}"/></id>
        <performer><time><low value="{at}"/></time></performer>
        <location><serviceDeliveryLocation><serviceProviderOrganization><id><item extension="{department}"/></id>
        </serviceProviderOrganization></serviceDeliveryLocation></location>
        <component1><processStep><code code="{code}"><displayName value="状态{code}"/></code></processStep></component1>
        </observationRequest></component2></placerGroup></subject></controlActProcess></POOR_IN200902UV>"""

    def booked(self, number: str, *items: str, **more: Any) -> str:
        """Ordered and paid; the number of the first item's appointment."""
        self.taken("CheckAppInfoAdd", self.order(number, *items, **more))
        assert self.paid(number).taken
        found = self.world.item(f"{number}/1").appointment
        assert found
        return str(found)

    def state(self, appointment: str) -> str:
        return str(self.world.database.value("SELECT state FROM appointment WHERE number = ?", appointment))

    def count(self, table: str) -> int:
        return int(self.world.database.value(f"SELECT count(*) FROM {table}"))


@contextmanager
def opened(url: str, profile: Profile, plugins: Mapping[str, Any] | None = None) -> Iterator[Hip]:
    world = small_hospital(url, {"quiet": Quiet(), **(plugins or {})})
    secret = clients.add(world.database, "platform", "集成平台")
    app = create_app(world.hospital, "for tests only", "https://examlane.example.org", platforms={profile.code: profile})
    yield Hip(world, app, profile, secret)
    world.hospital.close()


@pytest.fixture
def hip(database_url: str) -> Iterator[Hip]:
    with opened(database_url, example()) as found:
        yield found


@pytest.fixture
def hip_on_sqlite(sqlite_url: str) -> Iterator[Hip]:
    with opened(sqlite_url, example()) as found:
        yield found


@pytest.fixture
def open_hip() -> Callable[..., Any]:
    return opened


@pytest.fixture
def profile() -> Profile:
    return example()


@pytest.fixture
def make_profile() -> Callable[..., Profile]:
    return example


@pytest.fixture
def fake() -> Iterator[FakePlatform]:
    made = FakePlatform()
    server = make_server("127.0.0.1", 0, made, threaded=True)
    made.address = f"http://127.0.0.1:{server.server_port}/hip"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()
