"""A real server with recording handlers, and ways to talk to it: zeep clients and raw bytes."""

from __future__ import annotations

import base64
import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import zeep
from flask import Flask
from lxml import etree
from requests import Session
from werkzeug.serving import make_server

from examlane import Text
from examlane_api.soap import Contract, Credentials, Handler, Limits, SoapRefusal, SoapService

WSDL = Path(str(files("examlane_api.soap") / "booking.wsdl"))
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
ITEM = {
    "line": 1,
    "itemCode": "US-ABD",
    "state": "booked",
    "code": "booked.earliest",
    "message": "已约最早时段",
    "payable": True,
    "appointment": APPOINTMENT,
    "findings": [{"kind": "hint", "code": "ultrasound.fasting", "message": "空腹"}],
    "gates": [],
}
ANSWERS: dict[str, Mapping[str, Any]] = {
    "SubmitOrder": {"orderNo": "O1", "items": [ITEM]},
    "ReportAssessment": {"items": [{"orderNo": "O1", **ITEM}]},
    "ReportPayment": {"orderNo": "O1", "state": "booked", "items": [ITEM]},
    "QuerySlots": {
        "slots": [
            {"group": "US-3", "campus": "东院", "place": "三楼"}
            | {"periodStart": datetime(2026, 5, 4, 9, 0, tzinfo=SHANGHAI)}
            | {"periodEnd": datetime(2026, 5, 4, 9, 30, tzinfo=SHANGHAI)}
        ]
    },
    "QueryPayable": {
        "orderNo": "O1",
        "items": [{"line": 1, "payable": False, "code": "gate.closed", "message": "待评估"}],
    },
    "RescheduleAppointment": APPOINTMENT,
    "CancelAppointment": APPOINTMENT,
    "CheckIn": APPOINTMENT,
    "ReportExecution": APPOINTMENT,
}


@dataclass
class Recorder:
    """Answers each operation from ANSWERS and remembers what it was asked."""

    calls: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)

    def handlers(self) -> dict[str, Handler]:
        return {name: self._handler(name) for name in ANSWERS}

    def _handler(self, name: str) -> Handler:
        def handle(caller: Any, payload: dict[str, Any]) -> Mapping[str, Any]:
            self.calls.append((name, caller, payload))
            if payload.get("reason") == "explode":
                raise RuntimeError("secret insides")
            if payload.get("reason") == "break the contract":
                return APPOINTMENT | {"version": 0}
            if payload.get("appointmentNo") == "gone":
                words = Text("预约不存在\x00", "No such appointment")
                raise SoapRefusal("appointment.unknown", words, fields=["cancellation/appointmentNo"])
            return ANSWERS[name]

        return handle

    @property
    def answers(self) -> Mapping[str, Mapping[str, Any]]:
        return ANSWERS

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
    recorder = Recorder()
    limits = Limits(bytes=400_000)
    location = "https://booking.example.org/soap"
    service = SoapService(Contract(WSDL, SHANGHAI), recorder.handlers(), lambda: location, authenticate, limits)
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
