"""A hospital, a receiver that listens for MLLP on a real socket, and short ways to read what it heard."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.parser import parse_message

from examlane.appointments import choosing
from examlane.appointments.states import State
from examlane.records import events, peers
from examlane.storage.fields import epoch
from examlane.testing import TESTER, World, small_hospital
from examlane_api.hl7v2.profiles import Profile
from examlane_api.outbound.adapters import sender

ACK = "MSH|^~\\&|RIS|RAD|EXAMLANE||20261123080000||ACK^S12^ACK|9|P|2.5.1\rMSA|{code}|{about}|{words}\r"


def parsed(text: str) -> Message:
    """A message that the standard's structure has nothing against."""
    found = parse_message(text, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    assert found.validate()
    return found


def fields(text: str, name: str) -> list[list[str]]:
    """The fields of every segment of a name; `[3]` is field 3 (of MSH: 4)."""
    return [line.split("|") for line in text.split("\r") if line.startswith(f"{name}|")]


@dataclass
class Receiver:
    """A peer's engine: `behave` says what it does with a message, by default AA."""

    address: str = ""
    encoding: str = "utf-8"
    heard: list[str] = field(default_factory=list)
    behave: Callable[[socket.socket, str], None] | None = None

    def fields(self, message: int, name: str) -> list[list[str]]:
        """The segments of a name in one of the messages heard."""
        return fields(self.heard[message], name)

    def take(self, connection: socket.socket) -> None:
        content = b""
        while not content.endswith(b"\x1c\r"):
            more = connection.recv(65536)
            if not more:
                return
            content += more
        assert content.startswith(b"\x0b")
        self.heard.append(content[1:-2].decode(self.encoding))
        (self.behave or self.say)(connection, self.heard[-1])

    def say(self, connection: socket.socket, text: str, code: str = "AA", words: str = "") -> None:
        about = fields(text, "MSH")[0][9]
        answer = ACK.format(code=code, about=about, words=words)
        connection.sendall(b"\x0b" + answer.encode(self.encoding) + b"\x1c\r")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    listening = socket.create_server(("127.0.0.1", 0))
    found.address = f"mllp://127.0.0.1:{listening.getsockname()[1]}"
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                found.take(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield found
    over.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(12)


@dataclass
class Site:
    """A hospital that tells one peer, RIS, of its appointments by HL7 v2."""

    world: World
    receiver: Receiver
    profile: Profile = field(default_factory=Profile)

    def deliver(self) -> int:
        """What the worker does in a turn."""
        with sender(self.world.hospital, None, {}, {"RIS": self.profile}) as send:
            return events.deliver_due(self.world.database, send, epoch(self.world.clock.now()))

    def booked(self, *items: str, patient: str = "P1", number: str = "") -> str:
        order = self.world.order(*(items or ("US-THYROID",)), patient=patient, number=number)
        self.world.pay(order)
        return str(self.world.item(f"{order}/1").appointment)

    def later_time(self, number: str) -> Any:
        """A later time for an appointment."""
        return choosing.times(self.world.hospital, appointment=number, desk=True)[3]

    def move(self, number: str, to: Any = None) -> None:
        time = to or self.later_time(number)
        choosing.reschedule(self.world.hospital, number, time.group, time.starts_at, TESTER, reason="改期")

    def heard(self) -> list[tuple[str, str]]:
        """Trigger and filler status of all that was heard, in order; each is a valid message."""
        said = self.receiver.fields
        for text in self.receiver.heard:
            parsed(text)
        return [
            (said(each, "MSH")[0][8].split("^")[1], said(each, "SCH")[0][25].split("^")[0])
            for each in range(len(self.receiver.heard))
        ]

    def outcome(self) -> tuple[str, str]:
        """Of the latest attempt: what the archive says, and the event's error."""
        row: tuple[str, str] = self.world.database.row(
            "SELECT d.outcome, e.error FROM delivery d JOIN event e ON e.id = d.event_id ORDER BY d.id DESC LIMIT 1"
        )
        return row


def open_site(url: str, receiver: Receiver, timeout: int = 5) -> Site:
    world = small_hospital(url)
    kinds = [f"appointment.{name}" for name in (*State, "rescheduled")]
    peers.add(
        world.database, "RIS", receiver.address, TESTER, world.clock.now(), kind="hl7v2", event_types=kinds,
        timeout_seconds=timeout,
    )  # fmt: skip
    return Site(world, receiver)


@pytest.fixture
def site(sqlite_url: str, receiver: Receiver) -> Iterator[Site]:
    found = open_site(sqlite_url, receiver)
    yield found
    found.world.hospital.close()


@pytest.fixture
def site_on_each(database_url: str, receiver: Receiver) -> Iterator[Site]:
    found = open_site(database_url, receiver)
    yield found
    found.world.hospital.close()
