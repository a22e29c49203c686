"""A sandbox whose clock and worker the test moves by hand; everything else is as `examlane sandbox` runs it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from examlane import worker
from examlane.records.events import Send
from examlane_api.sandbox.hospital import Sandbox, SandboxOptions, opened, sending

MORNING = datetime.fromisoformat("2026-11-23T07:30:00+08:00")


@dataclass
class Trial:
    """An integrator with one sandbox."""

    sandbox: Sandbox
    worker: Send
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def post(self, path: str, body: Any, key: str | None = None) -> requests.Response:
        given = self.sandbox.shown["CONTROL_KEY"] if key is None else key
        headers = {"Authorization": f"Bearer {given}"}
        return requests.post(self.sandbox.shown["CONTROL"] + path, json=body, headers=headers, timeout=60)

    def told(self, path: str, body: Any) -> Any:
        answer = self.post(path, body)
        assert answer.ok, answer.text
        return answer.json()

    def send(self, message: str, via: str = "rest", **says: Any) -> Any:
        """What examlane answered; the message was sent once."""
        [said] = self.told(f"/send/{message}", {"via": via, **says})["said"]
        return said

    def fault(self, system: str, kind: str, seconds: float = 1.5) -> Any:
        return self.told("/fault", {"system": system, "fault": kind, "seconds": seconds})

    def read(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.sandbox.shown['TOKEN']}"}
        return requests.get(self.sandbox.shown["BASE"] + path, headers=headers, timeout=60).json()

    def client(self, path: str, body: Any) -> Any:
        """Ask examlane as an integrator's own software would, past the sandbox."""
        headers = {"Authorization": f"Bearer {self.sandbox.shown['TOKEN']}", "Idempotency-Key": f"K{next(self.numbers)}"}
        answer = requests.post(self.sandbox.shown["BASE"] + path, json=body, headers=headers, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def until(self, appointment: str) -> None:
        """The clock goes on to an appointment's start."""
        starts_at = datetime.fromisoformat(self.read(f"/appointments/{appointment}")["starts_at"])
        self.sandbox.clock.set(max(starts_at, self.sandbox.clock.now()))

    def item(self, order: str) -> Any:
        [found] = self.read(f"/orders/{order}")["items"]
        return found

    def ordered(self, via: str = "rest", **says: Any) -> str:
        number = f"{2000 + next(self.numbers)}"
        self.send("order", via, number=number, patient=f"C{number}", **says)
        return number

    def booked(self, via: str = "rest", **says: Any) -> str:
        """Ordered and paid; the number of the appointment."""
        order = self.ordered(via, **says)
        self.send("payment", via, order=order)
        return str(self.item(order)["appointment"]["number"])

    def turn(self) -> None:
        worker.turn(self.sandbox.hospital, self.worker)

    def work(self) -> None:
        """Turn until nothing waits for a system any more, or is dead; the clock passes every pause."""
        for _ in range(60):
            self.turn()
            if not self.waiting():
                return
            self.sandbox.clock.advance(timedelta(seconds=20))
        raise AssertionError(f"{self.waiting()} events still wait")

    def count(self, table: str) -> int:
        return int(self.sandbox.hospital.database.value(f"SELECT count(*) FROM {table}"))

    def waiting(self) -> int:
        return int(self.sandbox.hospital.database.value("SELECT count(*) FROM event WHERE sent_at IS NULL"))

    def received(self, system: str) -> list[Any]:
        found = requests.get(f"{self.sandbox.systems[system].address}/received", timeout=60).json()["received"]
        return list(found)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    options = SandboxOptions(tmp_path_factory.mktemp("sandbox"), port=0, clock=MORNING, patience=1)
    with opened(options) as sandbox, sending(sandbox) as send:
        yield Trial(sandbox, send)


@pytest.fixture
def trial(running: Trial) -> Iterator[Trial]:
    """The sandbox of the file's tests: nothing is at fault, and everything has been told."""
    yield running
    for system in running.sandbox.systems:
        running.fault(system, "none")
    running.work()
