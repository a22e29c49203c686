"""Patients who come after the grace time: another place today at once where the department allows it, else the desk."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import (
    NoShow,
    NoShowAction,
    NoShowDecision,
    OrderView,
    Preparation,
    Segment,
    Text,
    Visit,
    VisitOption,
    hookimpl,
)
from examlane.appointments import changes, status
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import noshow
from examlane.errors import Refused
from examlane.insight import invariants
from examlane.records.receipts import request_key
from examlane.testing import TESTER, World, small_hospital
from examlane.visit import Need

DESK = Text("请到超声登记台", "please see the ultrasound desk")
KIOSK = Text("可自助重新登记", "please re-register yourself")


class House:
    """Decides as the test says, and remembers what it was asked."""

    def __init__(self, action: NoShowAction = NoShowAction.SELF_REBOOK, limit: int = 2) -> None:
        self.decision: NoShowDecision | None = NoShowDecision(action, KIOSK, "house.kiosk", limit=limit)
        self.asked: list[NoShow] = []

    @hookimpl
    def on_no_show(self, no_show: NoShow) -> NoShowDecision | None:
        self.asked.append(no_show)
        return self.decision


class Fasting:
    """Three hours without food."""

    @hookimpl
    def preparation(self) -> list[Preparation]:
        return [Preparation("fasting", DESK, timedelta(hours=3), 3)]


class Together:
    """Everything of an encounter in one visit."""

    @hookimpl
    def requirements(self, orders: list[OrderView]) -> list[Visit]:
        items = [item for order in orders for item in order.items]
        service = items[0].services[0]
        minutes = sum(item.services[0].minutes for item in items)
        needs = (Need("room", service.group),)
        option = VisitOption(service.group, service.campus, service.zone, (Segment("exam", minutes, needs),))
        keys = tuple(item.key for item in items)
        return [Visit("+".join(keys), items[0].item.department, keys, (option,))]


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def world(database_url: str, house: House) -> Iterator[World]:
    world = opened(database_url, house)
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def opened(url: str, house: House, **more: Any) -> World:
    world = small_hospital(url, {"house": house, "together": Together(), "fasting": Fasting()}, **more)
    world.switch("US", "house")
    return world


def booked(world: World, *items: str, patient: str = "P1") -> str:
    again = {"confirmed": ("core.repeated_order",), "confirm_reason": "control"}
    order = world.order(*(items or ("US-THYROID",)), patient=patient, **again)
    world.pay(order)
    return str(world.item(f"{order}/1").appointment)


def comes(world: World, number: str, after: timedelta = timedelta(hours=1), **more: Any) -> AppointmentStatus:
    """The patient checks in that long after the end of his visit."""
    world.clock.set(status.appointment(world.hospital, number).ends_at + after)
    return noshow.arrive(world.hospital, number, TESTER, **more)


def tasks(world: World) -> list[tuple[str, str]]:
    rows = world.database.rows("SELECT code, reason FROM desk_task WHERE closed_at IS NULL ORDER BY id")
    return [(code, reason) for code, reason in rows]


def history(world: World, number: str) -> list[tuple[int, str, str]]:
    return list(world.database.rows(
        "SELECT v.version, v.state, v.reason FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id "
        "WHERE a.number = ? ORDER BY v.version", number,
    ))  # fmt: skip


def test_who_comes_before_the_grace_time_is_over_is_checked_in_at_his_own_time(world: World, house: House) -> None:
    number = booked(world)
    before = status.appointment(world.hospital, number)
    here = comes(world, number, noshow.grace(world.hospital, "US") - timedelta(seconds=1))

    assert (here.state, here.starts_at, here.queue_number) == ("checked_in", before.starts_at, before.queue_number)
    assert house.asked == []


@pytest.mark.parametrize("swept", [False, True], ids=["before the sweep", "after it"])
def test_who_comes_late_has_the_next_place_today_and_is_checked_in(world: World, house: House, swept: bool) -> None:
    number = booked(world)
    before = status.appointment(world.hospital, number)
    world.clock.set(before.ends_at + noshow.grace(world.hospital, "US"))
    if swept:
        assert noshow.sweep(world.hospital) == 1
    here = noshow.arrive(world.hospital, number, TESTER)

    assert (here.number, here.state, here.group) == (number, "checked_in", before.group)
    waits = here.starts_at - world.clock.now()
    assert timedelta() <= waits < timedelta(minutes=10)
    assert here.queue_number == before.queue_number + 1
    assert here.explanation["code"] == "late_arrival"
    assert [row[1:] for row in history(world, number)][-2:] == [("booked", "late_arrival"), ("checked_in", "arrived")]
    assert house.asked[-1].arrived
    assert world.database.value("SELECT sum(taken) FROM slot") == 1
    assert tasks(world) == []


def test_who_came_in_time_and_is_reported_late_keeps_his_time(world: World) -> None:
    number = booked(world)
    before = status.appointment(world.hospital, number)
    here = comes(world, number, at=before.starts_at)
    assert (here.state, here.starts_at) == ("checked_in", before.starts_at)


def test_an_arrival_reported_of_the_future_counts_as_now(world: World) -> None:
    number = booked(world)
    tomorrow = world.clock.now() + timedelta(days=1)
    assert comes(world, number, timedelta(), at=tomorrow).version == 2


def test_it_costs_no_second_payment(world: World) -> None:
    number = booked(world)
    comes(world, number)
    assert world.database.rows("SELECT payment, release, reason FROM order_item") == [("paid", "paid", "booked")]


def test_a_latecomer_has_prepared_and_needs_no_further_notice(world: World) -> None:
    world.switch("US", "fasting")
    number = booked(world)
    assert status.appointment(world.hospital, number).starts_at.hour == 3  # 11:00 in the hospital
    assert comes(world, number, timedelta(minutes=20)).state == "checked_in"


def test_a_visit_of_several_items_moves_as_one(world: World) -> None:
    world.switch("US", "together")
    number = booked(world, "US-HEART", "US-THYROID")
    before = status.appointment(world.hospital, number)
    here = comes(world, number)

    assert (here.state, here.items) == ("checked_in", before.items)
    assert here.ends_at - here.starts_at == timedelta(minutes=30)


def test_after_the_limit_of_a_day_the_desk_has_the_patient(world: World, house: House) -> None:
    house.decision = NoShowDecision(NoShowAction.SELF_REBOOK, KIOSK, "house.kiosk", limit=1)
    first, second = booked(world), booked(world, "US-HEART")
    assert comes(world, first).state == "checked_in"
    refused = comes(world, second)

    assert refused.state == "no_show"
    assert refused.no_show["code"] == "limit_reached"
    assert [code for code, _ in tasks(world)] == ["late_arrival"]


def test_the_kiosk_counts_towards_the_limit_of_late_arrivals(world: World, house: House) -> None:
    house.decision = NoShowDecision(NoShowAction.SELF_REBOOK, KIOSK, "house.kiosk", limit=1)
    number = booked(world)
    world.later(minutes=90)
    noshow.sweep(world.hospital)
    noshow.rebook(world.hospital, number, TESTER)
    assert comes(world, number).no_show["code"] == "limit_reached"


def test_when_nothing_is_free_today_the_desk_has_the_patient_and_nothing_is_cancelled(world: World) -> None:
    number = booked(world)
    world.clock.set(status.appointment(world.hospital, number).starts_at.replace(hour=4, minute=30))  # 12:30
    here = noshow.arrive(world.hospital, number, TESTER)

    assert (here.state, here.no_show["code"]) == ("no_show", "no_place_today")
    ((code, reason),) = tasks(world)
    assert code == "late_arrival"
    assert "今天已无空位" in reason
    assert world.database.value("SELECT count(*) FROM claim WHERE released_at IS NULL") == 1


@pytest.mark.parametrize("action", [NoShowAction.MANUAL, NoShowAction.RELEASE])
def test_another_decision_leads_to_the_desk_with_the_departments_words(
    world: World, house: House, action: NoShowAction
) -> None:
    house.decision = NoShowDecision(action, DESK, "house.desk")
    here = comes(world, booked(world))

    assert (here.state, here.no_show["action"], here.no_show["text"]["zh"]) == ("no_show", "manual", DESK.zh)
    assert [(code, DESK.zh in reason) for code, reason in tasks(world)] == [("late_arrival", True)]
    assert world.database.value("SELECT sum(taken) FROM slot") == 1


def test_without_a_decision_the_desk_has_the_patient(world: World, house: House) -> None:
    house.decision = None
    assert comes(world, booked(world)).no_show["code"] == "late_arrival"
    assert len(tasks(world)) == 1


def test_a_rule_that_fails_leads_to_the_desk(world: World, house: House) -> None:
    house.decision = "nonsense"  # type: ignore[assignment]
    assert comes(world, booked(world)).state == "no_show"
    assert len(tasks(world)) == 1


def test_a_second_try_finds_the_place_that_was_given_back_meanwhile_and_closes_the_task(world: World, house: House) -> None:
    number, decision = booked(world), house.decision
    house.decision = None
    comes(world, number)
    house.decision = decision
    assert noshow.arrive(world.hospital, number, TESTER).state == "checked_in"
    assert tasks(world) == []


def test_the_task_to_call_the_patient_ends_when_he_stands_at_the_desk(world: World, house: House) -> None:
    house.decision = NoShowDecision(NoShowAction.MANUAL, DESK, "house.desk")
    number = booked(world)
    world.later(hours=2)
    noshow.sweep(world.hospital)
    assert [code for code, _ in tasks(world)] == ["no_show"]
    noshow.arrive(world.hospital, number, TESTER)
    assert [code for code, _ in tasks(world)] == ["late_arrival"]


def test_who_is_checked_in_already_is_not_moved_again(world: World) -> None:
    number = booked(world)
    comes(world, number)
    with pytest.raises(Refused):
        noshow.arrive(world.hospital, number, TESTER)


def test_the_key_of_a_request_is_kept_with_either_answer(world: World, house: House) -> None:
    keys = [request_key("kiosk", name, "check-in", {}) for name in ("a", "b")]
    comes(world, booked(world), key=keys[0])
    house.decision = None
    comes(world, booked(world, "US-HEART"), key=keys[1])
    assert world.database.value("SELECT count(*) FROM receipt") == 2


def test_a_change_between_decision_and_writing_is_seen(world: World, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another counter sends him to the desk while this one is about to do the same: one version, one task."""
    house.decision = None
    number = booked(world)
    real = noshow._write

    def twice(*arguments: Any) -> None:
        monkeypatch.setattr(noshow, "_write", real)
        real(*arguments)
        real(*arguments)

    monkeypatch.setattr(noshow, "_write", twice)
    assert comes(world, number).state == "no_show"
    assert len(history(world, number)) == 2
    assert len(tasks(world)) == 1


def test_two_latecomers_and_one_place_left_one_has_it_and_one_the_desk(world: World) -> None:
    numbers = [booked(world, patient="P1"), booked(world, patient="P2")]
    rooms = world.database.rows("SELECT id, capacity FROM slot WHERE start_at >= ?", last_slot(world))
    for slot, _ in rooms[1:]:
        world.database.rows("UPDATE slot SET closed = 1, is_open = 0 WHERE id = ? RETURNING id", slot)
    world.clock.set(datetime.fromtimestamp(last_slot(world) - 60, world.hospital.settings.zone))
    found: list[AppointmentStatus] = []

    def come(number: str) -> None:
        found.append(noshow.arrive(world.hospital, number, TESTER))
        world.database.close()

    threads = [threading.Thread(target=come, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(here.state for here in found) == ["checked_in", "no_show"]


def last_slot(world: World) -> int:
    """The start of the ultrasound rooms' last slot of the day."""
    day = world.hospital.calendar.day_of(world.clock.now()).isoformat()
    return int(world.database.value("SELECT max(start_at) FROM slot WHERE day = ?", day))


@settings(max_examples=8, deadline=None)
@given(
    limit=st.integers(0, 2),
    steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["late", "kiosk", "sweep"])), min_size=3, max_size=10),
)
def test_no_sequence_of_late_arrivals_exceeds_the_limit_of_a_day(limit: int, steps: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = opened(f"sqlite:///{Path(folder) / 'hospital.db'}", House(limit=limit), days=2)
        world.hospital = replace(world.hospital, settings=replace(world.hospital.settings, notice=timedelta()))
        numbers = [booked(world) for _ in range(3)]
        for which, step in steps:
            world.clock.advance(timedelta(minutes=15))
            try:
                act(world, numbers[which], step)
            except Refused:
                continue
        reasons = [reason for number in numbers for _, _, reason in history(world, number)]
        assert sum(reason in ("late_arrival", "self_rebook") for reason in reasons) <= limit
        assert invariants.check(world.database, clock=world.clock) == []
        world.hospital.close()


def act(world: World, number: str, step: str) -> None:
    if step == "sweep":
        noshow.sweep(world.hospital)
    elif step == "kiosk":
        noshow.rebook(world.hospital, number, TESTER)
    else:
        noshow.arrive(world.hospital, number, TESTER)
        changes.call(world.hospital, number, TESTER, absent=True)
        noshow.mark(world.hospital, number, TESTER)
