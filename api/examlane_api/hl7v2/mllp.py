"""MLLP: one framed message over TCP, and its framed answer, within a time limit."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

START, END = b"\x0b", b"\x1c\r"
LONGEST = 64 * 1024


class NotMllp(ValueError):
    """What came back is not framed as it must be."""


def exchange(address: str, content: bytes, seconds: float) -> bytes:
    """Send to `mllp://host:port` and wait for the answer, all within so many seconds. Raises `OSError`, `NotMllp`."""
    deadline = time.monotonic() + seconds
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=seconds) as connection:
        connection.settimeout(_left(deadline))
        connection.sendall(START + content + END)
        return _answer(connection, deadline)


def _answer(connection: socket.socket, deadline: float) -> bytes:
    """The first frame; a peer that sends a little at a time has no longer than another."""
    heard = b""
    while END not in heard:
        connection.settimeout(_left(deadline))
        more = connection.recv(4096)
        if not more:
            raise ConnectionError("the connection was closed before an answer came")
        heard += more
        if not heard.startswith(START) or len(heard) > LONGEST:
            raise NotMllp("the answer is not framed as MLLP")
    return heard[1 : heard.index(END)]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
