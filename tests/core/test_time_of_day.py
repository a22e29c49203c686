"""A visit that may not start after some time of day, and days that would take longer than allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any

import pytest

from examlane import OrderItemView, OrderView, Segment, Visit, VisitOption, hookimpl
from examlane.appointments import choosing
from examlane.errors import Refused
from examlane.testing import TESTER, World, small_hospital
from examlane.visit import Need


@dataclass
class Early:
    """Every ultrasound starts in the first hours of a day."""

    until: Any = time(9)

    @hookimpl
    def requirements(self, orders: Sequence[OrderView]) -> Sequence[Visit] | None:
        return [self._visit(item) for order in orders for item in order.items]

    def _visit(self, item: OrderItemView) -> Visit:
        options = tuple(
            VisitOption(each.group, each.campus, each.zone, (Segment("exam", each.minutes, (Need("room", each.group),)),))
            for each in item.services
        )
        return Visit(item.key, item.item.department, (item.key,), options, starts_until=self.until)


@pytest.fixture
def early() -> Early:
    return Early()


@pytest.fixture
def world(database_url: str, early: Early) -> Iterator[World]:
    world = small_hospital(database_url, {"early": early})
    world.switch("US", "early")
    yield world
    world.hospital.close()


def booked(world: World, *items: str, patient: str = "P1") -> str:
    number = world.order(*items, patient=patient)
    world.pay(number)
    return number


@pytest.mark.parametrize("item", ["US-THYROID", "US-HEART"])
def test_a_visit_starts_no_later_than_its_time_of_day_on_any_day(world: World, item: str) -> None:
    world.clock.advance(timedelta(minutes=45))
    found = world.item(f"{booked(world, item)}/1").starts_at
    assert (found.date() - world.clock.now().date()).days == 1
    assert f"{found:%H:%M}" == "08:00"


def test_the_last_time_itself_is_allowed_and_the_next_is_not(world: World) -> None:
    appointment = world.item(f"{booked(world, 'US-THYROID')}/1").appointment
    offered = {each.starts_at.astimezone(world.hospital.settings.zone).time() for each in
               choosing.times(world.hospital, appointment=appointment, days=14, limit=500)}  # fmt: skip
    assert max(offered) == time(9)
    nine = world.item("O1/1").starts_at.replace(hour=9, minute=0)
    assert choosing.reschedule(world.hospital, appointment, "US-N", nine, TESTER).version == 2
    with pytest.raises(Refused):
        choosing.reschedule(world.hospital, appointment, "US-N", nine + timedelta(minutes=10), TESTER)


@pytest.mark.parametrize("until", ["09:00", time.fromisoformat("09:00+08:00"), 9])
def test_what_is_no_local_time_of_day_is_no_answer(world: World, early: Early, until: Any) -> None:
    early.until = until
    item = world.item(f"{booked(world, 'US-THYROID')}/1")
    assert (item.appointment, item.reason) == (None, "rule_unavailable")
