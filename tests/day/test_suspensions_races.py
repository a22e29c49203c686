"""While a suspension is applied patients book, move and cancel, processes are killed, and another one is applied."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from examlane import worker
from examlane.appointments import changes, choosing, visits
from examlane.capacity import slots
from examlane.errors import ExamlaneError, SlotTaken
from examlane.replanning import closing, proposals, reading, suspensions
from examlane.testing import TESTER, World, small_hospital
from tests.day.suspending import at, book, down, end, outcomes, suspend, unbroken


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = small_hospital(database_url, days=7, planning_window=timedelta())
    yield made
    assert unbroken(made) == []
    made.hospital.close()


def send(message: Any) -> None:
    """Nobody listens."""


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen between the proposal for the first visit and its writing."""
    original, waiting = proposals.propose, [act]

    def propose(*arguments: Any) -> Any:
        found = original(*arguments)
        if waiting:
            waiting.pop()()
        return found

    monkeypatch.setattr(proposals, "propose", propose)


def whole_group(world: World, **more: Any) -> Any:
    return suspend(world, down("", group="US-N", **more))


def test_a_patient_who_cancels_meanwhile_is_not_moved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order = book(world, "P1", "US-HEART")
    number = world.item(f"{order}/1").appointment
    meanwhile(monkeypatch, partial(changes.cancel, world.hospital, number, TESTER, reason="患者取消"))

    assert whole_group(world).outcomes == {"gone": 1}
    assert world.database.value("SELECT state FROM appointment") == "cancelled"


def test_a_patient_who_moves_away_meanwhile_stays_where_he_went(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order = book(world, "P1", "US-HEART")
    number = world.item(f"{order}/1").appointment
    meanwhile(monkeypatch, partial(choosing.reschedule, world.hospital, number, "US-N", at(9, days=2), TESTER))

    assert whole_group(world).outcomes == {"gone": 1}
    assert world.item(f"{order}/1").starts_at == at(9, days=2)


def test_a_patient_who_checks_in_meanwhile_keeps_his_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order = book(world, "P1", "US-HEART")
    meanwhile(monkeypatch, partial(changes.check_in, world.hospital, world.item(f"{order}/1").appointment, TESTER))

    assert whole_group(world).outcomes == {"kept": 1}


def test_the_proposed_seat_is_taken_meanwhile_and_another_one_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = book(world, "P1", "US-HEART")
    meanwhile(monkeypatch, lambda: [book(world, f"Q{number}", "US-HEART") for number in range(4)])

    assert whole_group(world).outcomes == {"moved": 1}
    assert world.item(f"{order}/1").starts_at > at(8, days=1)


def test_a_kill_between_two_visits_is_finished_by_the_worker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [book(world, f"P{number}", "US-HEART") for number in range(3)]
    killed = iter([None, None])
    original = visits.move

    def move(*arguments: Any, **more: Any) -> None:
        original(*arguments, **more)
        if next(killed, "now") == "now":
            raise KeyboardInterrupt

    monkeypatch.setattr(visits, "move", move)
    with pytest.raises(KeyboardInterrupt):
        whole_group(world)
    monkeypatch.undo()
    (left,) = reading.unfinished(world.hospital)
    assert (left.state, left.outcomes) == ("applying", {"moved": 2, "pending": 1})
    assert unbroken(world) == []

    assert worker.turn(world.hospital, send).suspended == 1
    found = reading.get(world.hospital, left.number)
    assert (found.state, found.outcomes) == ("applied", {"moved": 3})
    assert worker.turn(world.hospital, send).suspended == 0
    assert {world.item(f"{order}/1").version for order in orders} == {2}


def test_a_large_one_is_answered_as_applying_and_finished_by_the_worker(database_url: str) -> None:
    world = small_hospital(database_url, days=7, planning_window=timedelta(), suspension_seconds=0.0)
    for number in range(3):
        book(world, f"P{number}", "US-HEART")
    found = whole_group(world)
    assert (found.state, found.outcomes) == ("applying", {"pending": 3})

    assert world.item(f"{book(world, 'P9', 'US-HEART')}/1").starts_at == at(8, days=1)
    patient = small_worker(world)
    while worker.turn(patient, send).suspended:
        continue
    assert reading.get(world.hospital, found.number).outcomes == {"moved": 3}
    assert unbroken(world) == []
    world.hospital.close()


def small_worker(world: World) -> Any:
    """The same hospital as a worker with time for it."""
    return replace(world.hospital, settings=replace(world.hospital.settings, suspension_seconds=2.0))


def test_two_suspensions_at_once_leave_nobody_on_either(world: World) -> None:
    orders = [book(world, f"P{number}", ("US-HEART", "US-THYROID")[number % 2]) for number in range(8)]
    asked = [down("US-N-1", until=at(12, days=1)), down("US-N-2", until=at(12, days=1))]
    hospital = world.hospital

    def apply(each: Any) -> str:
        found = suspensions.apply(hospital, closing.plan(hospital, each), TESTER)
        hospital.database.close()
        return found.number

    with ThreadPoolExecutor(2) as both:
        numbers = list(both.map(apply, asked))
    while worker.turn(hospital, send).suspended:
        continue

    assert {reading.get(hospital, number).state for number in numbers} == {"applied"}
    assert all(world.item(f"{order}/1").appointment_state == "booked" for order in orders)
    held = world.database.value(
        "SELECT count(*) FROM claim c JOIN slot s ON s.id = c.slot_id WHERE c.released_at IS NULL AND s.closed = 1"
    )
    assert held == 0


def test_one_ends_while_another_begins_and_nothing_opens_that_the_other_covers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital, first = world.hospital, suspend(world, down("US-N-1"))
    begun, original = threading.Event(), slots.reopen

    def reopen(database: Any, ids: Any) -> None:
        begun.wait(1)  # time enough for the other, if it may
        original(database, ids)

    def begin() -> None:
        suspend(world, down("US-N-1", since=at(9)))
        begun.set()
        hospital.database.close()

    def stop() -> None:
        end(world, first.number)
        hospital.database.close()

    monkeypatch.setattr(slots, "reopen", reopen)
    with ThreadPoolExecutor(2) as both:
        running = [both.submit(stop), both.submit(begin)]
        for each in running:
            each.result()

    assert world.database.value("SELECT count(*) FROM slot WHERE closed = 1") == 18


def test_patients_who_book_move_and_cancel_while_it_is_applied_break_nothing(world: World) -> None:
    orders = [book(world, f"P{number}", "US-HEART") for number in range(8)]
    numbers = [world.item(f"{order}/1").appointment for order in orders]
    hospital = world.hospital

    def patients(place: int) -> None:
        for number in numbers[place::2]:
            for act in (
                partial(choosing.reschedule, hospital, number, "US-N", at(9 + place, 20, days=1), TESTER),
                partial(changes.cancel, hospital, number, TESTER, reason="患者取消"),
            ):
                try:
                    act()
                except ExamlaneError:
                    continue
        hospital.database.close()

    with ThreadPoolExecutor(3) as everybody:
        running = [everybody.submit(patients, place) for place in (0, 1)]
        whole_group(world)
        for each in running:
            each.result()
    while worker.turn(hospital, send).suspended:
        continue

    (found,) = reading.suspensions(hospital)
    assert found.state == "applied"
    assert "pending" not in found.outcomes


def test_one_that_is_ended_while_it_is_applied_moves_nobody_any_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [book(world, f"P{number}", "US-HEART") for number in range(2)]

    def take_back() -> None:
        (found,) = reading.suspensions(world.hospital)
        world.database.write(partial(suspensions._end, world.hospital, found, TESTER, None, False))

    original, waiting = proposals.propose, [take_back]

    def propose(*arguments: Any) -> Any:
        if waiting:
            waiting.pop()()
        return original(*arguments)

    monkeypatch.setattr(proposals, "propose", propose)
    found = whole_group(world)

    assert found.state == "ended"
    assert found.outcomes == {"gone": 2}
    assert [world.item(f"{order}/1").version for order in orders] == [1, 1]


def test_a_visit_that_nobody_can_plan_in_peace_goes_to_the_desk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    book(world, "P1", "US-HEART")

    def never(*_: Any) -> None:
        raise SlotTaken("somebody is always faster")

    monkeypatch.setattr(proposals, "propose", never)
    found = whole_group(world)

    assert outcomes(world, found)[0].code == "conflict_repeated"
    assert found.outcomes == {"suspended": 1}
    monkeypatch.undo()
    assert end(world, found.number).undone == {"restored": 1}
