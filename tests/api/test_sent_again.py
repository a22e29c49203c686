"""Messages sent twenty times at once to a real server, half of the senders gone too early: one effect, one answer."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from examlane.storage.tables import TABLES
from examlane.testing import small_hospital
from examlane_api import clients
from examlane_api.app import create_app
from examlane_api.demo.serving import Served
from tests.api.bad_input import BODIES, MESSAGES, NAMESPACE, enveloped
from tests.api.hip.conftest import Hip, example

SENDERS = 20
SEND_AGAIN = re.compile(rb"request_in_flight|conflict_repeated|unavailable")


@dataclass(frozen=True)
class Message:
    """A write as one protocol sends it."""

    path: str
    media_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Server:
    """A hospital behind waitress."""

    hip: Hip
    port: int

    def send(self, message: Message) -> tuple[int, bytes]:
        """Send until the answer is not that another sending is still being worked on."""
        for _ in range(500):
            answer = self._send(message)
            if not SEND_AGAIN.search(answer[1]):
                return answer
        raise TimeoutError(answer)

    def _send(self, message: Message) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", message.path, message.body, self._headers(message))
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def lose(self, message: Message) -> None:
        """Send and go away without reading the answer."""
        headers = {"Host": "hospital", "Content-Length": str(len(message.body)), **self._headers(message)}
        lines = [f"POST {message.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall("\r\n".join(lines).encode() + message.body)

    def _headers(self, message: Message) -> dict[str, str]:
        key = base64.b64encode(f"platform:{self.hip.secret}".encode()).decode()
        who = f"Bearer platform.{self.hip.secret}" if message.path.startswith("/api") else f"Basic {key}"
        return {"Content-Type": message.media_type, "Authorization": who, **dict(message.headers)}

    def send_at_once(self, message: Message) -> list[tuple[int, bytes]]:
        """Twenty sendings in one moment; the answers of the ten who wait for theirs."""
        ready, answers = threading.Barrier(SENDERS), list[tuple[int, bytes]]()

        def run(number: int) -> None:
            ready.wait()
            if number % 2:
                self.lose(message)
            else:
                answers.append(self.send(message))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def counts(self) -> dict[str, int]:
        return {name: self.hip.count(name) for name in (table._meta.table_name for table in TABLES)}


Start = Callable[[str], Server]


@pytest.fixture
def start() -> Iterator[Start]:
    """Open a hospital on an empty database and serve it."""
    opened: list[tuple[Served, Hip]] = []

    def serve(url: str) -> Server:
        world, profile = small_hospital(url), example()
        secret = clients.add(world.database, "platform", "集成平台")
        app = create_app(world.hospital, "for tests only", platforms={profile.code: profile})
        app.teardown_request(lambda _: world.database.close())
        served = Served(app, threads=SENDERS)
        opened.append((served, Hip(world, app, profile, secret)))
        return Server(opened[-1][1], served.port)

    yield serve
    for served, hip in opened:
        served.stop()
        hip.world.hospital.close()


def json_of(name: str, note: str = "") -> Callable[[Hip], Message]:
    def make(hip: Hip) -> Message:
        path = {"order": "/orders", "payment": "/payments"}.get(name) or f"/appointments/{booked(hip)}/cancel"
        body = {"payment": {**BODIES["/payments"], "order": "O1"}, "cancel": {"reason": "改期"}}.get(name, BODIES["/orders"])
        content = json.dumps(body | ({"note": note} if note else {})).encode()
        return Message(f"/api/v1{path}", "application/json", content, (("Idempotency-Key", name),))

    return make


def soap_of(operation: str, note: str = "第一行") -> Callable[[Hip], Message]:
    def make(hip: Hip) -> Message:
        text = MESSAGES[operation].replace(">bad<", f">{operation}<").replace("O0", "O1").replace("第一行", note)
        text = text.replace("CANCELLED", booked(hip)) if operation == "CancelAppointment" else text
        body = enveloped(f'<{operation} xmlns="{NAMESPACE}">{text}</{operation}>').encode()
        return Message("/soap/booking", "text/xml; charset=utf-8", body)

    return make


def hip_of(action: str, name: str = "张三") -> Callable[[Hip], Message]:
    def make(hip: Hip) -> Message:
        number = str(uuid.uuid5(uuid.NAMESPACE_OID, action))
        paid = "<payment><orderNo>O1</orderNo><paidAt>20261123080000</paidAt></payment>"
        document = {
            "CheckAppInfoAdd": lambda: hip.order("O1", message_id=number, patient_name=name),
            "PaymentInfoAdd": lambda: hip.private(action, paid, message_id=number),
        }[action]()
        path = f"/soap/hip/{hip.profile.code}"
        return Message(path, "text/xml; charset=utf-8", hip.envelope(action, document).encode())

    return make


def booked(hip: Hip) -> str:
    return str(hip.world.database.value("SELECT number FROM appointment"))


STORIES = {
    "REST": [json_of("order"), json_of("payment"), json_of("cancel")],
    "SOAP": [soap_of("SubmitOrder"), soap_of("ReportPayment"), soap_of("CancelAppointment")],
    "HIP": [hip_of("CheckAppInfoAdd"), hip_of("PaymentInfoAdd")],
}


@pytest.mark.parametrize("protocol", STORIES)
def test_twenty_sendings_leave_what_one_leaves_and_are_answered_alike(
    start: Start, database_url: str, tmp_path: Path, protocol: str
) -> None:
    crowded, quiet = start(database_url), start(f"sqlite:///{tmp_path / 'quiet.db'}")
    for make in STORIES[protocol]:
        message = make(crowded.hip)
        answers = crowded.send_at_once(message)
        quiet.send(make(quiet.hip))

        assert len(answers) == SENDERS // 2
        assert {*answers, crowded.send(message)} == {answers[0]}
        assert answers[0][0] == 200
        assert crowded.counts() == quiet.counts()
    assert crowded.hip.count("receipt") == len(STORIES[protocol])
    assert [crowded.hip.count(name) for name in ("exam_order", "payment", "appointment")] == [1, 1, 1]


@pytest.mark.parametrize("protocol", STORIES)
def test_a_sender_who_never_hears_an_answer_finds_the_effect_of_his_first_sending(
    start: Start, database_url: str, protocol: str
) -> None:
    server = start(database_url)
    for make in STORIES[protocol]:
        message = make(server.hip)
        for _ in range(5):
            server.lose(message)
        status, _answer = server.send(message)
        before = server.counts()

        assert status == 200
        assert server.send(message)[0] == 200
        assert server.counts() == before
    assert server.hip.count("receipt") == len(STORIES[protocol])


OTHER: dict[str, tuple[Callable[[Hip], Message], Callable[[Hip], Message], int]] = {
    "REST": (json_of("order"), json_of("order", "另一份"), 422),
    "SOAP": (soap_of("SubmitOrder"), soap_of("SubmitOrder", "另一份"), 500),
    "HIP": (hip_of("CheckAppInfoAdd"), hip_of("CheckAppInfoAdd", "李四"), 200),
}


@pytest.mark.parametrize("protocol", OTHER)
def test_another_message_under_a_used_key_is_refused_to_each_of_twenty(
    start: Start, database_url: str, protocol: str
) -> None:
    server = start(database_url)
    first, other, expected = OTHER[protocol]
    server.send(first(server.hip))
    before = server.counts()
    answers: list[Any] = server.send_at_once(other(server.hip))

    assert {status for status, _ in answers} == {expected}
    assert [body for _, body in answers if b"idempotency_key_reused" not in body] == []
    assert not any(b"Server<" in body or b"Receiver<" in body for _, body in answers)
    assert server.counts() == before
