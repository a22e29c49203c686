"""The commands that `day.py` measures: what each needs beforehand, and the call itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from reference import CLIENT, DEPARTMENTS

from examlane.appointments import changes, choosing
from examlane.arrival import noshow
from examlane.testing import World


@dataclass
class Stage:
    """The hospital, and fresh numbers for what is made in it."""

    world: World
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def hospital(self) -> Any:
        return self.world.hospital

    def order(self, items: int = 1, **more: Any) -> str:
        """A new patient's order in departments one after the other; returns its number."""
        number = next(self.numbers)
        codes = [f"D{1 + (number + each) % DEPARTMENTS:02}-0001" for each in range(items)]
        return self.world.order(*codes, patient=f"N{number}", **more)

    def booked(self) -> str:
        """The number of a new patient's appointment."""
        order = self.order()
        self.world.pay(order)
        return str(self.world.item(f"{order}/1").appointment)


@dataclass(frozen=True)
class Command:
    name: str
    prepare: Callable[[Stage, int], Any]
    act: Callable[[Stage, Any], Any]


def _booked(stage: Stage, _number: int) -> str:
    return stage.booked()


def _arrived(stage: Stage, _number: int) -> str:
    number = stage.booked()
    changes.check_in(stage.hospital, number, CLIENT)
    return number


def _moved(stage: Stage, number: str) -> None:
    time = choosing.times(stage.hospital, appointment=number, limit=30)[-1]
    choosing.reschedule(stage.hospital, number, time.group, time.starts_at, CLIENT)


COMMANDS: tuple[Command, ...] = (
    Command("order submitted", lambda stage, _: None, lambda stage, _: stage.order()),
    Command("payment, booked", lambda stage, _: stage.order(), lambda stage, order: stage.world.pay(order)),
    Command("payment of three exams, booked", lambda stage, _: stage.order(3),
            lambda stage, order: stage.world.pay(order)),
    Command("rescheduled", _booked, _moved),
    Command("cancelled", _booked,
            lambda stage, number: changes.cancel(stage.hospital, number, CLIENT, reason="patient")),
    Command("checked in", _booked, lambda stage, number: changes.check_in(stage.hospital, number, CLIENT)),
    Command("called", _arrived, lambda stage, number: changes.call(stage.hospital, number, CLIENT)),
    Command("finished", _arrived,
            lambda stage, number: changes.execution(stage.hospital, number, "finished", CLIENT)),
    Command("no-show", _booked, lambda stage, number: noshow.mark(stage.hospital, number, CLIENT)),
)  # fmt: skip
