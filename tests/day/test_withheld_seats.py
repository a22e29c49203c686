"""Seats that came free: withheld for a while or for the waiting list, given out once, never lost and never doubled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from examlane.appointments import changes, choosing
from examlane.capacity import policy, slots, withheld
from examlane.errors import SlotTaken
from examlane.insight import invariants
from examlane.storage.fields import epoch
from examlane.testing import MORNING, TESTER, World, small_hospital
from examlane.waiting import backfill


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    found = small_hospital(database_url, planning_window=timedelta())
    found.clock.set(MORNING - timedelta(hours=3))
    yield found
    assert invariants.check(found.database, clock=found.clock) == []
    found.hospital.close()


def set_policy(world: World, **values: int) -> None:
    policy.set_policy(world.database, "US", values, TESTER, epoch(world.clock.now()))


def booked(world: World, patient: str = "P1", item: str = "US-THYROID") -> str:
    order = world.order(item, patient=patient)
    world.pay(order)
    return str(world.item(f"{order}/1").appointment)


def seats(world: World) -> tuple[int, int]:
    """(taken, withheld) seats of all slots."""
    row = world.database.row("SELECT sum(taken), sum(withheld) FROM slot")
    return int(row[0]), int(row[1])


def test_without_a_delay_a_cancelled_seat_is_free_at_once(world: World) -> None:
    changes.cancel(world.hospital, booked(world), TESTER, reason="患者要求", by_patient=True)

    assert seats(world) == (0, 0)
    assert world.database.value("SELECT count(*) FROM freed_time") == 0


def test_what_a_patient_gives_up_comes_back_to_everybody_within_the_delay(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=60)
    number = booked(world)
    changes.cancel(world.hospital, number, TESTER, reason="患者要求", by_patient=True)

    assert seats(world) == (0, 1)
    since, returns = world.database.row("SELECT since, return_at FROM freed_time")
    assert since < returns <= since + 3600
    backfill.turn(world.hospital)
    assert seats(world) == (0, 1)
    world.clock.advance(timedelta(seconds=returns - since))
    backfill.turn(world.hospital)
    assert seats(world) == (0, 0)
    assert world.database.value("SELECT state FROM freed_time") == "returned"


def test_nobody_is_offered_a_withheld_seat_and_nobody_can_take_it(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=60)
    number = booked(world, item="US-HEART")
    slot, number_of_seats = withheld.seats_of(
        world.database, world.database.value("SELECT id FROM appointment WHERE number = ?", number)
    )[0]
    changes.cancel(world.hospital, number, TESTER, reason="患者要求", by_patient=True)

    assert world.database.value("SELECT is_open FROM slot WHERE id = ?", slot) == 0
    with pytest.raises(SlotTaken):
        world.database.write(lambda: slots.take(world.database, [(slot, number_of_seats)]))


def test_a_cancellation_by_staff_is_not_delayed(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=60)
    changes.cancel(world.hospital, booked(world), TESTER, reason="设备故障")

    assert seats(world) == (0, 0)


def test_a_time_that_the_patient_moves_away_from_is_delayed_too(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=60)
    number = booked(world)
    time = choosing.times(world.hospital, appointment=number)[3]
    choosing.reschedule(world.hospital, number, time.group, time.starts_at, TESTER)

    assert seats(world) == (1, 1)
    assert world.database.row("SELECT why, state FROM freed_time") == ("moved", "open")


def test_a_move_at_the_desk_frees_the_old_time_at_once(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=60)
    number = booked(world)
    time = choosing.times(world.hospital, appointment=number)[3]
    choosing.reschedule(world.hospital, number, time.group, time.starts_at, TESTER, at_once=True)

    assert seats(world) == (1, 0)


def test_a_patient_may_move_by_ten_minutes_into_half_of_his_own_time(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=60)
    number = booked(world, item="US-HEART")
    booked(world, "P2", "US-HEART")
    starts_at = world.database.value("SELECT start_at FROM appointment WHERE number = ?", number)
    later = world.clock.now() + timedelta(seconds=starts_at - epoch(world.clock.now()) + 600)
    choosing.reschedule(world.hospital, number, "US-N", later, TESTER)

    assert seats(world) == (4, 1)


def test_a_seat_that_is_too_near_is_free_at_once(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=600)
    number = booked(world)
    starts_at = world.database.value("SELECT start_at FROM appointment WHERE number = ?", number)
    world.clock.advance(timedelta(seconds=starts_at - epoch(world.clock.now()) - 1200))
    changes.cancel(world.hospital, number, TESTER, reason="患者要求", by_patient=True)

    assert seats(world) == (0, 0)


def test_a_seat_comes_back_while_somebody_can_still_use_it(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=1440)
    number = booked(world)
    changes.cancel(world.hospital, number, TESTER, reason="患者要求", by_patient=True)
    starts_at, returns = world.database.row("SELECT start_at, return_at FROM freed_time")

    assert returns <= starts_at - 1800


def test_a_freed_time_ends_once(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=60)
    changes.cancel(world.hospital, booked(world), TESTER, reason="患者要求", by_patient=True)
    freed, now = world.database.value("SELECT id FROM freed_time"), world.clock.now()

    assert world.database.write(lambda: withheld.end(world.database, freed, "returned", now))
    assert not world.database.write(lambda: withheld.end(world.database, freed, "given", now))
    assert seats(world) == (0, 0)


def test_the_seats_of_a_slot_that_was_closed_meanwhile_stay_closed(world: World) -> None:
    set_policy(world, cancelled_seat_delay_minutes=60)
    changes.cancel(world.hospital, booked(world), TESTER, reason="患者要求", by_patient=True)
    close = "UPDATE slot SET closed = 1, is_open = 0 WHERE withheld > 0 RETURNING id"
    world.database.write(lambda: world.database.rows(close))
    backfill.turn(world.hospital)

    assert seats(world) == (0, 0)
    assert world.database.value("SELECT state FROM freed_time") == "lost"
    assert world.database.value("SELECT count(*) FROM slot WHERE closed = 1 AND is_open = 1") == 0
