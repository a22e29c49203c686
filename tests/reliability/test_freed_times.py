"""kill -9 around an offer: a withheld seat is neither lost nor given twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from examlane import worker
from examlane.appointments import changes, choosing
from examlane.insight import invariants
from examlane.testing import TESTER, World, small_hospital
from examlane.waiting import backfill, offers, waitlist
from examlane.waiting.waitlist import EntryData

SEATS = "SELECT sum(taken), sum(withheld) FROM slot WHERE day = '2026-11-24'"


def booked(world: World, order: str, day: int) -> str:
    """An ultrasound of a patient at nine o'clock of a day of November."""
    world.order("US-THYROID", number=order, patient=f"P-{order}")
    world.pay(order)
    number = str(world.item(f"{order}/1").appointment)
    starts_at = world.hospital.calendar.instant(date(2026, 11, day), 9 * 60)
    choosing.reschedule(world.hospital, number, "US-N", starts_at, TESTER)
    return number


@pytest.fixture
def world(database_url: str) -> World:
    """Tuesday nine o'clock came free and is on offer to somebody who has a time on Thursday."""
    found = small_hospital(database_url, planning_window=timedelta())
    early, late = booked(found, "O1", 24), booked(found, "O2", 26)
    limits = EntryData(date(2026, 11, 23), date(2026, 11, 30), appointment=late, notice_minutes=30)
    waitlist.join(found.hospital, limits, TESTER)
    changes.cancel(found.hospital, early, TESTER, reason="改期", by_patient=True)
    backfill.turn(found.hospital)
    assert found.database.row(SEATS) == (0, 1)
    return found


def test_who_is_killed_while_he_accepts_has_taken_nothing_and_may_accept_again(
    world: World, database_url: str, children: Callable[..., list[Any]]
) -> None:
    victim, again = children(database_url, 2)
    victim.ask("stop_at", "the seats are taken")
    assert victim.ask("accept", "1") == "hangs"
    victim.kill()

    assert world.database.row(SEATS) == (0, 1)
    assert offers.find(world.database, 1).state == "open"
    assert invariants.check(world.database, clock=world.clock) == []
    assert again.ask("accept", "1") == world.item("O2/1").appointment
    assert world.database.row(SEATS) == (1, 0)
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def test_an_offer_whose_patient_is_never_heard_of_again_returns_its_seat(world: World) -> None:
    world.clock.advance(timedelta(minutes=30))
    worker.turn(world.hospital, lambda message: None)

    assert world.database.row(SEATS) == (0, 0)
    assert offers.find(world.database, 1).state == "expired"
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()
