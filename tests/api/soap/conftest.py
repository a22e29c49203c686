"""A real server with recording handlers, and ways to talk to it: zeep clients and raw bytes."""

from __future__ import annotations

import base64
import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import zeep
from flask import Flask
from lxml import etree
from requests import Session
from werkzeug.serving import make_server
from zeep.xsd import ComplexType

from examlane import Text
from examlane_api.soap import Contract, Credentials, Handler, Limits, SoapRefusal, SoapService, SoapVersion
from examlane_api.soap.wsdl import BOOKING as WSDL

NAMESPACE = "http://examlane.org/soap/v1"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
SHANGHAI = ZoneInfo("Asia/Shanghai")
BASIC = "Basic " + base64.b64encode("his:right 口令".encode()).decode()

APPOINTMENT = {
    "appointmentNo": "A1",
    "version": 2,
    "state": "booked",
    "periodStart": datetime(2026, 5, 4, 1, 0, 0, 999, tzinfo=UTC),
    "periodEnd": datetime(2026, 5, 4, 9, 30, tzinfo=SHANGHAI),
    "campus": "东院",
    "place": "超声科\x0b 3 号诊室",
    "queueNo": None,
    "preparation": ["空腹 8 小时"],
}
SIMPLE = {
    "Instant": datetime(2026, 5, 4, 9, 0, tzinfo=SHANGHAI), "Day": date(2026, 5, 4), "Amount": Decimal("12.50"),
    "ClockTime": "08:30", "Drawing": b"\x89PNG\r\n\x1a\n", "boolean": True, "int": 1, "LineNo": 1, "Version": 2,
    "DayCount": 7, "PageSize": 50, "RecordNo": 3, "Weekday": 6,
}  # fmt: skip


class Samples:
    """Of every type of the contract a value with all its elements, made from the schema."""

    def __init__(self, contract: Contract) -> None:
        schema = etree.fromstring(contract.wsdl(frozenset({SoapVersion.V11}), "")).iter("{*}simpleType")
        self._choices = {each.get("name"): each.xpath(".//*[local-name()='enumeration']/@value") for each in schema}

    def of(self, kind: Any) -> Any:
        name = kind.qname.localname if kind.qname else str(kind.name)
        if not isinstance(kind, ComplexType):
            choices = self._choices.get(name)
            return choices[0] if choices else SIMPLE.get(name, f"{name}-1")
        parts = list(kind.elements)
        if name.endswith("List") and len(parts) == 1:
            return [self.of(parts[0][1].type)]
        return {part: self.of(element.type) for part, element in parts}

    def sent(self, kind: Any) -> Any:
        """The same value as a client sends it: a list as an object with one repeated element."""
        value = self.of(kind)
        return self._sent(value, kind)

    def _sent(self, value: Any, kind: Any) -> Any:
        if isinstance(value, list):
            [(entry, element)] = kind.elements
            return {entry: [self._sent(each, element.type) for each in value]}
        if isinstance(value, dict):
            kinds = {name: element.type for name, element in kind.elements}
            return {name: self._sent(each, kinds[name]) for name, each in value.items()}
        return value


@dataclass
class Recorder:
    """Answers each operation with a sample and remembers what it was asked."""

    contract: Contract
    calls: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)

    def handlers(self) -> dict[str, Handler]:
        return {name: self._handler(name) for name in self.contract.operations}

    def _handler(self, name: str) -> Handler:
        def handle(caller: Any, payload: dict[str, Any]) -> Mapping[str, Any]:
            self.calls.append((name, caller, payload))
            if payload.get("reason") == "explode":
                raise RuntimeError("secret insides")
            if payload.get("reason") == "break the contract":
                return APPOINTMENT | {"version": 0}
            if payload.get("reason") == "say more than the contract":
                return APPOINTMENT | {"secret": "insides"}
            if payload.get("appointmentNo") == "gone":
                words = Text("预约不存在\x00", "No such appointment")
                raise SoapRefusal("appointment.unknown", words, fields=["cancellation/appointmentNo"])
            return self.answer(name)

        return handle

    def operation(self, name: str) -> Any:
        return self.contract.operation(SoapVersion.V11, f"{{{NAMESPACE}}}{name}")

    def answer(self, name: str) -> Mapping[str, Any]:
        response = self.operation(name).response
        found: Mapping[str, Any] = APPOINTMENT if response.name == "appointment" else self.samples.of(response.type)
        return found

    @cached_property
    def samples(self) -> Samples:
        return Samples(self.contract)

    @property
    def payload(self) -> dict[str, Any]:
        """What the one call said."""
        [(_, _, payload)] = self.calls
        return payload


def authenticate(credentials: Credentials | None) -> str | None:
    return credentials.user if credentials == Credentials("his", "right 口令") else None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def xml(self) -> etree._Element:
        return etree.fromstring(self.content)

    @property
    def code(self) -> str | None:
        """The code of the BookingFault, None if there is none."""
        return self.xml.findtext(f".//{{{NAMESPACE}}}BookingFault/{{{NAMESPACE}}}code")

    @property
    def fields(self) -> list[str | None]:
        return [each.text for each in self.xml.iter(f"{{{NAMESPACE}}}field")]

    @property
    def fault_code(self) -> str | None:
        return self.xml.findtext(".//faultcode") or self.xml.findtext(f".//{{{SOAP_12}}}Code/{{{SOAP_12}}}Value")


@dataclass(frozen=True)
class Server:
    port: int
    recorder: Recorder

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/soap"

    def post(self, body: Any, *, chunked: bool = False, **headers: str) -> Answer:
        """POST raw bytes; `Content_Type="…"` sets a header, and an empty Authorization sends none."""
        given = {"Authorization": BASIC, "Content_Type": "text/xml; charset=utf-8"} | headers
        sent = {name.replace("_", "-"): value for name, value in given.items() if value}
        content = iter([body]) if chunked else body
        return self._request("POST", "/soap", content, sent, chunked)

    def send(self, message: str, version: str = SOAP_11, header: str = "", **headers: str) -> Answer:
        """POST one message in an envelope of a SOAP version, with entries for its header."""
        start = f'<s:Envelope xmlns:s="{version}"><s:Header>{header}</s:Header>'
        return self.post(f"{start}<s:Body>{message}</s:Body></s:Envelope>".encode(), **headers)

    def cancel(self, reason: str = "改期", number: str = "A1") -> str:
        """A message that cancels an appointment."""
        return (
            f'<CancelAppointment xmlns="{NAMESPACE}"><cancellation><messageId>m1</messageId><appointmentNo>{number}'
            f"</appointmentNo><reason>{reason}</reason></cancellation></CancelAppointment>"
        )

    def get(self, query: str) -> Answer:
        return self._request("GET", f"/soap{query}", None, {}, False)

    def _request(self, method: str, path: str, body: Any, headers: Mapping[str, str], chunked: bool) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers), encode_chunked=chunked)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def running() -> Iterator[Server]:
    contract = Contract(WSDL, SHANGHAI)
    recorder = Recorder(contract)
    limits = Limits(bytes=400_000)
    location = "https://booking.example.org/soap"
    service = SoapService(contract, recorder.handlers(), lambda: location, authenticate, limits)
    app = Flask("soap_under_test")
    app.register_blueprint(service.blueprint("/soap"))
    listening = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield Server(listening.server_port, recorder)
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def server(running: Server) -> Server:
    running.recorder.calls.clear()
    return running


@pytest.fixture
def wsdl() -> Path:
    return WSDL


Connect = Callable[..., Any]


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    """Make a zeep client from the served WSDL: `connect("?wsdl", "BookingSoap11Binding")`."""
    sessions: list[Session] = []

    def make(query: str, binding: str, **options: Any) -> Any:
        sessions.append(Session())
        if "wsse" not in options:
            sessions[-1].headers["Authorization"] = BASIC
        client = zeep.Client(server.url + query, transport=zeep.Transport(session=sessions[-1]), **options)
        return client, client.create_service(f"{{{NAMESPACE}}}{binding}", server.url)

    yield make
    for session in sessions:
        session.close()
