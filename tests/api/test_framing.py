"""Requests whose frame is wrong, sent byte by byte to a real server: refused, nothing written, the next one is served."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from examlane_api.demo.serving import Served
from tests.api.conftest import Site, opened

LONG = b"a" * 262_150
"""A little more than the server reads of a request's head."""


@dataclass(frozen=True)
class Line:
    """A hospital behind a server, and its client's end of the line."""

    site: Site
    port: int

    def order(self, number: str) -> bytes:
        return json.dumps(self.site.order(number)).encode()

    def head(self, number: str) -> bytes:
        lines = ("POST /api/v1/orders HTTP/1.1", "Host: hospital", "Connection: close", "Content-Type: application/json")
        key = self.site.authorization("his")["Authorization"]
        return "".join(f"{line}\r\n" for line in (*lines, f"Authorization: {key}", f"Idempotency-Key: {number}")).encode()

    def send(self, request: bytes) -> bytes:
        """What comes back until the server hangs up."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request)
            while part := connection.recv(65_536):
                answer += part
        return answer


@pytest.fixture
def line(sqlite_url: str) -> Iterator[Line]:
    with opened(sqlite_url) as site:
        site.app.teardown_request(lambda _: site.world.database.close())
        served = Served(site.app)
        yield Line(site, served.port)
        served.stop()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Content-Length: 700\r\nContent-Length: 3\r\n", 400),
        (b"Content-Length: -5\r\n", 400),
        (b"Content-Length: 1_0\r\n", 400),
        (b"Content Length: 10\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: identity\r\n", 501),
        (b"X-Large: " + LONG + b"\r\n", 431),
    ],
    ids=["two lengths", "negative", "underscored", "blank in a name", "no chunks", "compressed", "identity", "large"],
)
def test_a_wrong_frame_is_refused_and_the_next_request_is_served(line: Line, fields: bytes, status: int) -> None:
    before = line.site.counts()
    body = line.order("O1")

    answer = line.send(line.head("O1") + fields + b"\r\nzz\r\n" + body)

    assert answer.split(None, 2)[1] == b"%d" % status
    assert b"Traceback" not in answer
    assert line.site.counts() == before
    assert b" 200 OK" in line.send(line.head("O2") + b"Content-Length: %d\r\n\r\n" % len(body) + line.order("O2"))


def test_a_request_with_a_length_and_chunks_is_one_request_read_by_its_chunks(line: Line) -> None:
    """RFC 9112 §6.3: the transfer coding overrides the length, and the connection is closed after it."""
    body, hidden = line.order("O1"), line.head("O2") + b"Content-Length: 0\r\n\r\n"
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    fields = b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = line.send(line.head("O1") + fields + chunks + hidden)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert line.site.get("/orders/O1").status_code == 200


@pytest.mark.parametrize("path", [b"/api/v1/orders/" + LONG, b"/api/v1/orders/" + b"a" * 60_000])
def test_a_long_address_is_not_repeated_in_the_answer(line: Line, path: bytes) -> None:
    key = line.site.authorization("his")["Authorization"].encode()

    answer = line.send(
        b"GET " + path + b" HTTP/1.1\r\nHost: hospital\r\nConnection: close\r\nAuthorization: " + key + b"\r\n\r\n"
    )

    assert answer.split(None, 2)[1] in (b"404", b"431")
    assert len(answer) < 2_000
