"""The main road: an order becomes an appointment without a click."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from examlane import EncounterClass, Infeasible, Text, hookimpl
from examlane.testing import World, small_hospital


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url)
    yield world
    world.hospital.close()


def test_a_paid_order_is_booked_at_the_earliest_reachable_time_on_its_campus(world: World) -> None:
    order = world.order("US-THYROID")
    assert world.item(f"{order}/1").reason == "awaiting_payment"
    world.pay(order)

    booked = world.item(f"{order}/1")
    assert (booked.state, booked.reason, booked.appointment_state) == ("accepted", "booked", "booked")
    assert booked.starts_at.strftime("%Y-%m-%d %H:%M") == "2026-11-23 08:30"


def test_an_exam_of_two_slices_takes_two_slots_of_one_room(world: World) -> None:
    order = world.order("US-HEART")
    world.pay(order)

    rows = world.database.rows("SELECT s.resource_id, s.taken FROM claim c JOIN slot s ON s.id = c.slot_id")
    assert len(rows) == 2
    assert len({resource for resource, _ in rows}) == 1
    assert {taken for _, taken in rows} == {1}


def test_visits_of_one_patient_never_overlap_and_leave_time_to_walk(world: World) -> None:
    order = world.order("US-THYROID", "CT-HEAD")
    world.pay(order)

    first, second = sorted((world.item(f"{order}/1"), world.item(f"{order}/2")), key=lambda item: item.starts_at)
    assert (second.starts_at - first.starts_at).total_seconds() >= 20 * 60


def test_a_payment_before_its_order_is_stored_and_counts_when_the_order_arrives(world: World) -> None:
    world.pay("O77")
    order = world.order("US-THYROID", number="O77")

    assert world.item(f"{order}/1").reason == "booked"


def test_payments_of_one_encounter_are_planned_together_after_a_short_window(world: World) -> None:
    first, second = world.order("US-THYROID"), world.order("CT-HEAD")
    world.pay(first)
    assert world.item(f"{first}/1").reason == "awaiting_payment"
    world.later(seconds=5)
    assert world.item(f"{first}/1").reason == "booked"
    world.pay(second)
    assert world.item(f"{second}/1").reason == "booked"


def test_every_version_of_an_appointment_leaves_an_audit_row(world: World) -> None:
    order = world.order("US-THYROID")
    world.pay(order)

    number = world.item(f"{order}/1").appointment
    rows = world.database.rows("SELECT action, version FROM audit WHERE subject_key = ?", number)
    assert rows == [("appointment.booked", 1)]


def test_a_department_that_books_by_hand_gets_a_desk_task(world: World, mode: Callable[[str], None]) -> None:
    mode("manual")
    order = world.order("US-THYROID")
    world.pay(order)

    assert world.item(f"{order}/1").reason == "department_manual"
    assert world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL") == [("department_manual",)]
    mode("automatic")
    world.pay(order)
    assert world.item(f"{order}/1").reason == "booked"
    assert world.database.value("SELECT count(*) FROM desk_task WHERE closed_at IS NULL") == 0


@pytest.fixture
def mode(world: World) -> Callable[[str], None]:
    from examlane import DepartmentMode

    return lambda mode: world.mode("US", DepartmentMode(mode))


def fill(world: World, department: str) -> None:
    world.database.write(
        lambda: world.database.rows(
            "UPDATE slot SET taken = capacity, is_open = 0 WHERE resource_id IN (SELECT r.id FROM resource r "
            "JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id "
            "WHERE d.code = ?) RETURNING id",
            department,
        )
    )


def test_an_emergency_needs_no_payment_and_gets_an_audited_extra_seat_when_all_is_full(world: World) -> None:
    fill(world, "CT")
    order = world.order("CT-HEAD", encounter_class=EncounterClass.EMERGENCY)

    booked = world.item(f"{order}/1")
    assert (booked.reason, booked.starts_at.strftime("%H:%M")) == ("booked", "08:30")
    assert world.database.value("SELECT count(*) FROM audit WHERE action = 'slot.extra'") == 1
    assert world.database.rows("SELECT taken, capacity, extra FROM slot WHERE extra > 0") == [(2, 1, 1)]


def test_an_outpatient_gets_no_extra_seat_but_a_desk_task(world: World) -> None:
    fill(world, "CT")
    order = world.order("CT-HEAD")
    world.pay(order)

    assert world.item(f"{order}/1").reason == "no_time"
    assert world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL") == [("no_time",)]


class Refusing:
    """An ordering department that says: mine and impossible."""

    @hookimpl
    def allocate(self) -> Infeasible:
        return Infeasible("clinic.full", Text("门诊已满", "the clinic is full"))


def test_when_the_ordering_department_says_impossible_nobody_else_is_asked(database_url: str) -> None:
    world = small_hospital(database_url, {"refusing": Refusing()})
    world.switch("CLINIC", "refusing")
    order = world.order("US-THYROID")
    world.pay(order)

    assert world.item(f"{order}/1").reason == "clinic.full"
    assert world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL") == [("clinic.full",)]
    world.hospital.close()


def test_a_seat_lost_while_planning_is_planned_again_and_is_no_lack_of_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examlane.capacity.availability import SlotCalendar

    looked = []
    allows = SlotCalendar.allows

    def lost_once(self: SlotCalendar, *arguments: Any) -> bool:
        looked.append(arguments)
        return len(looked) > 1 and allows(self, *arguments)

    order = world.order("US-HEART")
    monkeypatch.setattr(SlotCalendar, "allows", lost_once)
    world.pay(order)

    assert world.item(f"{order}/1").reason == "booked"
    assert len(looked) == 2
