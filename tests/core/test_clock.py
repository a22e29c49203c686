"""Now is told in whole seconds, as instants are stored: what starts at a second is not a fraction too early."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from examlane.clock import SetClock, SystemClock
from examlane.testing import World, small_hospital


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    found = small_hospital(database_url)
    yield found
    found.hospital.close()


def test_now_has_no_fraction_of_a_second() -> None:
    half = SetClock(SystemClock().now() + timedelta(seconds=0.5))
    half.advance(timedelta(seconds=0.25))
    assert (SystemClock().now().microsecond, half.now().microsecond) == (0, 0)


def test_a_payment_within_the_second_of_the_earliest_start_is_booked_there(world: World) -> None:
    now = world.clock.now()
    world.clock.set(now + timedelta(seconds=0.5))
    number = world.order("US-THYROID")
    world.pay(number)
    item = world.item(f"{number}/1")
    starts_at = world.database.value("SELECT start_at FROM appointment WHERE number = ?", item.appointment)
    assert starts_at == (now + world.hospital.settings.notice).timestamp()
