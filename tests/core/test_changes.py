"""Moving, cancelling, holding, arriving, and not coming."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from examlane import NoShowAction, NoShowDecision, Text, hookimpl
from examlane.appointments import changes, choosing, status
from examlane.arrival import noshow
from examlane.errors import Conflict, Refused
from examlane.testing import TESTER, World, small_hospital


class SelfRebooking:
    """Lets a patient who missed his time take the next place, once a day."""

    @hookimpl
    def on_no_show(self, no_show: object) -> NoShowDecision:
        return NoShowDecision(NoShowAction.SELF_REBOOK, Text("可自助重新登记", "please re-register yourself"), limit=1)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"self_rebooking": SelfRebooking()})
    yield world
    world.hospital.close()


@pytest.fixture
def booked(world: World) -> str:
    order = world.order("US-THYROID")
    world.pay(order)
    return f"{order}/1"


def taken(world: World) -> int:
    return int(world.database.value("SELECT sum(taken) FROM slot"))


def test_a_moved_appointment_keeps_its_number_and_swaps_its_seat(world: World, booked: str) -> None:
    number = world.item(booked).appointment
    choice = choosing.times(world.hospital, appointment=number)[3]
    moved = choosing.reschedule(world.hospital, number, choice.group, choice.starts_at, TESTER)

    assert (moved.number, moved.version, moved.starts_at) == (number, 2, choice.starts_at)
    assert taken(world) == 1


def test_a_stale_version_moves_nothing(world: World, booked: str) -> None:
    number = world.item(booked).appointment
    choice = choosing.times(world.hospital, appointment=number)[3]
    with pytest.raises(Conflict, match="reload"):
        choosing.reschedule(world.hospital, number, choice.group, choice.starts_at, TESTER, version=7)

    assert world.item(booked).version == 1


def test_a_time_that_is_taken_or_off_the_grid_is_refused(world: World, booked: str) -> None:
    number = world.item(booked).appointment
    choice = choosing.times(world.hospital, appointment=number)[3]
    with pytest.raises(Refused):
        choosing.reschedule(world.hospital, number, choice.group, choice.starts_at + timedelta(minutes=3), TESTER)
    with pytest.raises(Refused):
        choosing.reschedule(world.hospital, number, "CT-N", choice.starts_at, TESTER)


def test_a_cancelled_appointment_frees_its_seat_and_is_not_booked_again_by_itself(world: World, booked: str) -> None:
    changes.cancel(world.hospital, world.item(booked).appointment, TESTER, reason="patient")
    world.pay(booked.split("/")[0])

    assert taken(world) == 0
    assert world.item(booked).reason == "cancelled"


def test_a_cancelled_item_can_be_booked_again_when_asked(world: World, booked: str) -> None:
    changes.cancel(world.hospital, world.item(booked).appointment, TESTER, reason="patient")
    choice = choosing.times(world.hospital, items=[booked])[0]
    again = choosing.book(world.hospital, [booked], choice.group, choice.starts_at, TESTER)

    assert again.state == "booked"
    assert not again.automatic


def test_a_hold_keeps_the_seat_until_it_is_confirmed_or_expires(world: World) -> None:
    order = world.order("US-THYROID")
    world.pay(order)
    changes.cancel(world.hospital, world.item(f"{order}/1").appointment, TESTER, reason="patient")
    choice = choosing.times(world.hospital, items=[f"{order}/1"])[0]
    held = choosing.book(world.hospital, [f"{order}/1"], choice.group, choice.starts_at, TESTER, hold=True)
    assert (held.state, taken(world)) == ("held", 1)
    world.clock.advance(timedelta(minutes=6))
    with pytest.raises(Conflict, match="expired"):
        changes.confirm(world.hospital, held.number, TESTER)
    changes.expire_holds(world.hospital, TESTER)

    assert status.appointment(world.hospital, held.number).state == "expired"
    assert taken(world) == 0


def test_an_examined_patient_closes_his_order_item(world: World, booked: str) -> None:
    number = world.item(booked).appointment
    changes.check_in(world.hospital, number, TESTER)
    changes.execution(world.hospital, number, "started", TESTER)
    changes.execution(world.hospital, number, "finished", TESTER)

    assert world.item(booked).state == "fulfilled"
    assert taken(world) == 1
    with pytest.raises(Conflict):
        changes.cancel(world.hospital, number, TESTER, reason="too late")


def test_whoever_does_not_come_becomes_a_desk_task_where_nothing_else_is_decided(world: World, booked: str) -> None:
    world.clock.advance(timedelta(hours=2))
    assert noshow.sweep(world.hospital) == 1

    assert world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL") == [("no_show",)]
    with pytest.raises(Conflict, match="desk"):
        noshow.rebook(world.hospital, world.item(booked).appointment, TESTER)


def test_where_the_department_allows_it_a_no_show_takes_the_next_place_once(world: World, booked: str) -> None:
    world.switch("US", "self_rebooking")
    world.clock.advance(timedelta(hours=2))
    noshow.sweep(world.hospital)
    number = world.item(booked).appointment
    again = noshow.rebook(world.hospital, number, TESTER)
    assert (again.number, again.state, again.version) == (number, "booked", 3)
    assert again.starts_at > world.clock.now()
    assert taken(world) == 1
    world.clock.advance(timedelta(hours=1, minutes=30))
    noshow.sweep(world.hospital)
    with pytest.raises(Conflict, match="desk"):
        noshow.rebook(world.hospital, number, TESTER)


def test_a_late_execution_report_wins_over_a_no_show(world: World, booked: str) -> None:
    world.clock.advance(timedelta(hours=2))
    noshow.sweep(world.hospital)
    changes.execution(world.hospital, world.item(booked).appointment, "finished", TESTER)

    assert world.item(booked).state == "fulfilled"
