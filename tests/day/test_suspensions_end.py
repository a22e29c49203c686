"""When a suspension ends, what was closed opens, who waits for the desk is put back, and nobody else is disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from examlane import worker
from examlane.appointments import changes, choosing
from examlane.errors import NotFound
from examlane.insight.invariants import check
from examlane.replanning import reading, suspensions
from examlane.replanning.closing import Asked
from examlane.testing import TESTER, World, small_hospital
from tests.day.suspending import TODAY, at, book, down, end, outcomes, suspend, unbroken

ALL_MONTH = {"until": at(12, days=30)}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = small_hospital(database_url, days=7, planning_window=timedelta())
    yield made
    assert unbroken(made) == []
    made.hospital.close()


def whole_group(world: World, **more: Any) -> Any:
    return suspend(world, down("", group="US-N", **more))


def open_tasks(world: World) -> int:
    return int(world.database.value("SELECT count(*) FROM desk_task WHERE closed_at IS NULL"))


def closed(world: World) -> int:
    return int(world.database.value("SELECT count(*) FROM slot WHERE closed = 1"))


def test_who_waits_for_the_desk_gets_the_old_place_back_under_the_old_number(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    before = world.item(f"{order}/1")
    found = whole_group(world, **ALL_MONTH)
    assert (found.outcomes, open_tasks(world)) == ({"suspended": 1}, 1)
    ended = end(world, found.number)

    after = world.item(f"{order}/1")
    assert (after.appointment, after.starts_at, after.appointment_state) == (before.appointment, before.starts_at, "booked")
    assert (ended.state, ended.undone, open_tasks(world)) == ("ended", {"restored": 1}, 0)
    assert after.reason == "booked"


def test_whose_old_place_is_closed_again_or_over_stays_with_the_desk(world: World) -> None:
    over, closed_again = book(world, "P1", "US-HEART"), book(world, "P2", "US-HEART")
    choosing.reschedule(world.hospital, world.item(f"{closed_again}/1").appointment, "US-N", at(11), TESTER)
    found = whole_group(world, **ALL_MONTH)
    other = suspend(world, down("", group="US-N", since=at(10, 50), until=at(11, 30)))
    world.clock.set(at(9))
    ended = end(world, found.number)

    assert (ended.undone, open_tasks(world)) == ({"stays": 2}, 2)
    assert world.database.rows("SELECT DISTINCT state FROM appointment") == [("suspended",)]
    assert number(world, over) != number(world, closed_again)
    end(world, other.number)


def test_what_was_moved_stays_unless_it_is_asked_to_move_back(world: World) -> None:
    order, again = book(world, "P1", "US-HEART"), book(world, "P2", "US-HEART")
    for each, hour in ((order, 10), (again, 11)):
        choosing.reschedule(world.hospital, world.item(f"{each}/1").appointment, "US-N", at(hour), TESTER)
    one = whole_group(world)
    assert end(world, one.number).undone == {"stays": 2}
    moved = world.item(f"{order}/1").starts_at
    assert moved.date() != TODAY

    two = whole_group(world, since=at(8, days=1), until=at(12, days=1))
    touched = world.item(f"{again}/1").appointment
    choosing.reschedule(world.hospital, touched, "US-N", at(10, days=3), TESTER)
    back = end(world, two.number, move_back=True)
    assert back.undone == {"moved_back": 1, "stays": 1}
    assert world.item(f"{order}/1").starts_at == moved
    assert world.item(f"{again}/1").starts_at == at(10, days=3)


def test_who_was_told_another_time_is_not_moved_back_to_one_that_he_cannot_reach(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    found = whole_group(world)
    world.clock.set(at(8, 15))

    assert end(world, found.number, move_back=True).undone == {"stays": 1}
    assert world.item(f"{order}/1").starts_at == at(8, days=1)


def test_a_device_that_is_back_early_opens_what_is_to_come_and_not_what_is_over(world: World) -> None:
    found = whole_group(world)
    assert closed(world) == 48
    world.clock.set(at(10))
    end(world, found.number)

    assert closed(world) == 24


def test_a_slot_opens_only_when_no_suspension_covers_it_any_more(world: World) -> None:
    longer = suspend(world, down("US-N-1"))
    shorter = suspend(world, down("US-N-1", since=at(9), until=at(10)))
    absent = suspend(world, Asked("staff_absent", "病假", "US-N-1", since=at(11), until=at(12)))
    assert closed(world) == 24
    end(world, longer.number)
    assert closed(world) == 12
    end(world, shorter.number)
    assert closed(world) == 6
    end(world, absent.number)
    assert closed(world) == 0


def test_a_holiday_within_another_opens_only_with_the_last(world: World) -> None:
    holiday = suspend(world, Asked("holiday", "放假", day=TODAY))
    workday = suspend(world, Asked("workday", "照常上班", day=TODAY, weekday=1))
    assert closed(world) == 0
    end(world, workday.number)
    assert closed(world) == 96
    end(world, holiday.number)
    assert closed(world) == 0
    assert reading.calendar(world.hospital, "2026-01-01") == []


def test_rosters_that_were_swapped_are_swapped_back(world: World) -> None:
    saturday = date(2026, 11, 28)
    opened = suspend(world, Asked("workday", "调休", day=saturday, weekday=1))
    found = suspend(world, Asked("replaced", "病假", "US-N-1", day=saturday, other="US-N-2"))
    assert closed(world) == 24
    end(world, found.number)
    assert closed(world) == 0
    end(world, opened.number)
    assert closed(world) == 96


def test_a_workday_that_is_taken_back_moves_whom_it_let_in(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    opened = suspend(world, Asked("workday", "调休", day=date(2026, 11, 28), weekday=1))
    choosing.reschedule(world.hospital, world.item(f"{order}/1").appointment, "US-N", at(9, days=5), TESTER)
    world.clock.advance(timedelta(days=3))
    worker.publish(world.hospital)
    ended = end(world, opened.number)

    assert (ended.state, ended.outcomes) == ("ended", {"moved": 1})
    assert world.item(f"{order}/1").starts_at == at(8, days=7)


def test_who_went_to_the_substitute_comes_back_with_the_doctor(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    ill = world.database.value("SELECT r.code FROM claim c JOIN resource r ON r.id = c.resource_id")
    other = "US-N-2" if ill == "US-N-1" else "US-N-1"
    suspend(world, down(other))
    moved = suspend(world, Asked("replaced", "病假", ill, day=TODAY + timedelta(days=1), other=other))
    choosing.reschedule(world.hospital, world.item(f"{order}/1").appointment, "US-N", at(9, days=1), TESTER)
    ended = end(world, moved.number)

    assert ended.state == "ended"
    assert world.item(f"{order}/1").starts_at == at(9, days=1)


def test_undoing_twice_changes_nothing_more(world: World) -> None:
    book(world, "P1", "US-HEART")
    found = whole_group(world, **ALL_MONTH)
    once = end(world, found.number)
    tables = ("slot", "appointment", "claim", "desk_task", "audit", "suspension", "suspension_visit")
    before = [world.database.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]

    assert end(world, found.number, move_back=True) == once
    assert [world.database.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables] == before


def test_who_was_here_keeps_his_place_and_his_task_is_closed_when_the_device_is_back(world: World) -> None:
    order = book(world, "P1")
    changes.check_in(world.hospital, world.item(f"{order}/1").appointment, TESTER)
    found = whole_group(world)
    assert open_tasks(world) == 1
    end(world, found.number)

    assert (world.item(f"{order}/1").appointment_state, open_tasks(world)) == ("checked_in", 0)


def test_what_the_desk_has_settled_meanwhile_is_left_alone(world: World) -> None:
    order, other = book(world, "P1", "US-HEART"), book(world, "P2", "US-HEART")
    found = whole_group(world, **ALL_MONTH)
    changes.cancel(world.hospital, number(world, order), TESTER, reason="患者取消")
    ended = end(world, found.number)

    assert ended.undone == {"restored": 1, "stays": 1}
    assert world.item(f"{other}/1").appointment_state == "booked"
    assert world.database.value("SELECT count(*) FROM appointment WHERE state = 'cancelled'") == 1


def number(world: World, order: str) -> str:
    """The number of an order's appointment, also of one that holds no seat."""
    return str(
        world.database.value(
            "SELECT a.number FROM appointment a JOIN appointment_item i ON i.appointment_id = a.id "
            "JOIN order_item o ON o.id = i.order_item_id WHERE o.key = ?",
            f"{order}/1",
        )
    )


def test_a_suspended_visit_is_not_booked_anew_by_itself_but_may_be_moved_by_hand(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    whole_group(world, since=at(8), until=at(12, days=4))
    whole_group(world, since=at(8), until=at(12, days=30))
    suspended = number(world, order)
    world.evidence("P1", "consent", "signed")
    assert world.database.rows("SELECT state FROM appointment") == [("suspended",)]
    for each in reading.suspensions(world.hospital):
        end(world, each.number)
    time = choosing.times(world.hospital, appointment=suspended)[-1]
    choosing.reschedule(world.hospital, suspended, time.group, time.starts_at, TESTER)
    assert (world.item(f"{order}/1").appointment, open_tasks(world)) == (suspended, 0)


def test_an_unknown_suspension_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        suspensions.end(world.hospital, "S0000-0000", TESTER)


def test_ending_one_that_is_still_applied_leaves_alone_who_was_not_looked_at(database_url: str) -> None:
    world = small_hospital(database_url, days=7, planning_window=timedelta(), suspension_seconds=0.0)
    order = book(world, "P1", "US-HEART")
    found = whole_group(world)
    assert (found.state, found.outcomes) == ("applying", {"pending": 1})
    assert world.item(f"{order}/1").version == 1
    assert [each.id for each in check(world.database, clock=world.clock)] == []
    assert end(world, found.number).state == "ending"
    world.hospital.close()


def test_outcomes_name_no_patient(world: World) -> None:
    book(world, "P1", "US-HEART")
    found = whole_group(world)

    assert [one.patient for one in outcomes(world, found)] == ["患*1"]
