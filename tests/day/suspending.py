"""Short ways to suspend something in the small hospital, and to see what became of it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from examlane.insight import invariants
from examlane.replanning import closing, reading, suspensions
from examlane.replanning.closing import Asked
from examlane.replanning.reading import SuspensionStatus, VisitOutcome
from examlane.testing import MORNING, TESTER, World

TODAY = date(2026, 11, 23)


def at(hour: int, minute: int = 0, days: int = 0) -> datetime:
    """A local time of the small hospital's first day, or of a later one."""
    return MORNING + timedelta(days=days, hours=hour - 8, minutes=minute)


def down(resource: str = "US-N-1", since: datetime | None = None, until: datetime | None = None, **more: Any) -> Asked:
    """A device is down, all day unless said otherwise."""
    return Asked("device_down", "球管故障", resource, since=since or at(8), until=until or at(12), **more)


def suspend(world: World, asked: Asked) -> SuspensionStatus:
    return suspensions.apply(world.hospital, closing.plan(world.hospital, asked), TESTER)


def end(world: World, number: str, **more: Any) -> SuspensionStatus:
    return suspensions.end(world.hospital, number, TESTER, **more)


def outcomes(world: World, found: SuspensionStatus) -> list[VisitOutcome]:
    return reading.visits(world.hospital, found.id)


def book(world: World, patient: str, item: str = "US-THYROID", **more: Any) -> str:
    """An order, paid; its number."""
    order = world.order(item, patient=patient, **more)
    world.pay(order)
    return order


def unbroken(world: World) -> list[str]:
    return [each.id for each in invariants.check(world.database, clock=world.clock)]
