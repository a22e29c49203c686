"""From the door to the exam: arriving with and without a time, being called, not being ready, being examined."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane import reporting
from examlane.appointments import changes, status
from examlane.arrival import bedside, calling, executing, noshow, queue, walkin
from examlane.arrival.executing import ExecutionReport
from examlane.arrival.walkin import EmergencyData
from examlane.capacity import policy
from examlane.domain import EncounterClass, Sex
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.insight import invariants
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.records.audit import Actor
from examlane.records.receipts import request_key
from examlane.storage.fields import epoch
from examlane.testing import TESTER, World, require, small_hospital
from tests.day.test_reissued_orders import MORE, Merging, theirs

DESK = Actor("registrar", "rest", desk=True)
PATIENT = Actor("kiosk", "rest")
WITH_TICKETS: dict[str, list[dict[str, Any]]] = {
    "items": [
        *MORE["items"],
        {"code": "US-TICKET", "name": "残余尿", "modality": "US", "department": "US"},
        {"code": "US-BEDSIDE", "name": "床旁超声", "modality": "US", "department": "US"},
    ],
    "services": [
        *MORE["services"],
        {"item": "US-TICKET", "group": "US-N", "minutes": 5, "mode": "walk_in"},
        {"item": "US-BEDSIDE", "group": "US-N", "minutes": 20, "mode": "bedside"},
    ],
}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"merging": Merging()}, WITH_TICKETS, planning_window=timedelta())
    require(world, "US", "merging")
    yield world
    assert [each.id for each in invariants.check(world.database, clock=world.clock)] == []
    world.hospital.close()


def booked(world: World, *items: str, patient: str = "P1") -> str:
    order = world.order(*(items or ("US-THYROID",)), patient=patient)
    world.pay(order)
    return str(world.item(f"{order}/1").appointment)


def here(world: World, *patients: str) -> list[str]:
    """Booked and checked in, one after the other, when the first one's time has come."""
    numbers = [booked(world, patient=patient) for patient in patients]
    world.clock.set(status.appointment(world.hospital, numbers[0]).starts_at)
    for number in numbers:
        world.clock.advance(timedelta(seconds=10))
        changes.check_in(world.hospital, number, TESTER)
    return numbers


def line(world: World) -> list[str]:
    return [place.entry.number for place in queue.read(world.hospital, "US-N").waiting]


def state(world: World, number: str) -> str:
    return status.appointment(world.hospital, number).state


# Checking in


def test_check_in_opens_shortly_before_the_period_and_says_when(world: World) -> None:
    number = booked(world)
    set_policy(world, check_in_opens_minutes=10)
    with pytest.raises(Conflict, match="08:20"):
        noshow.arrive(world.hospital, number, PATIENT)
    assert noshow.arrive(world.hospital, number, DESK).state == "checked_in"


def test_a_check_in_and_a_call_by_mistake_are_undone_with_a_reason(world: World) -> None:
    (number,) = here(world, "P1")
    calling.call(world.hospital, number, TESTER)
    assert calling.undo(world.hospital, number, TESTER, reason="叫错").state == "checked_in"
    assert calling.undo(world.hospital, number, TESTER, reason="签错").state == "booked"
    assert line(world) == []
    changes.execution(world.hospital, number, "started", TESTER)
    with pytest.raises(Conflict, match="undone"):
        calling.undo(world.hospital, number, TESTER, reason="x")


# Being called


def test_who_comes_first_is_called_first_and_no_two_rooms_call_the_same(world: World) -> None:
    first, second = here(world, "P1", "P2")
    assert line(world) == [first, second]
    assert calling.call_next(world.hospital, "US-N", TESTER).number == first
    assert calling.call_next(world.hospital, "US-N", TESTER).number == second
    with pytest.raises(Conflict, match="nobody"):
        calling.call_next(world.hospital, "US-N", TESTER)
    with pytest.raises(NotFound):
        calling.call_next(world.hospital, "NONE", TESTER)


def test_whoever_is_called_in_vain_goes_back_some_places_and_at_last_to_the_desk(world: World) -> None:
    numbers = here(world, "P1", "P2", "P3", "P4", "P5")
    calling.call(world.hospital, numbers[0], TESTER)
    calling.absent(world.hospital, numbers[0], TESTER)
    assert line(world) == [*numbers[1:4], numbers[0], numbers[4]]
    calling.call(world.hospital, numbers[0], TESTER)
    calling.absent(world.hospital, numbers[0], TESTER)

    assert numbers[0] not in line(world)
    assert tasks(world) == ["absent_repeatedly"]
    calling.ready(world.hospital, numbers[0], DESK)
    assert numbers[0] in line(world)
    assert tasks(world) == []


def test_who_is_not_ready_waits_and_gets_his_old_place_back(world: World) -> None:
    first, second = here(world, "P1", "P2")
    ready_at = world.clock.now() + timedelta(minutes=20)
    calling.defer(world.hospital, first, TESTER, reason="bladder_not_full", ready_at=ready_at)
    assert line(world) == [second]
    with pytest.raises(Conflict, match="not ready"):
        calling.call(world.hospital, first, TESTER)
    world.clock.set(ready_at)
    assert line(world) == [first, second]
    calling.defer(world.hospital, second, TESTER, reason="has_eaten")
    assert line(world) == [first]
    calling.ready(world.hospital, second, TESTER)
    assert line(world) == [first, second]


def test_a_bad_deferral_names_its_fields_and_changes_nothing(world: World) -> None:
    (number,) = here(world, "P1")
    with pytest.raises(InvalidInput) as raised:
        calling.defer(world.hospital, number, TESTER, reason="tired", ready_at=world.clock.now())
    assert [pointer for pointer, _ in raised.value.problems] == ["/reason", "/ready_at"]
    with pytest.raises(Conflict):
        calling.ready(world.hospital, number, TESTER)
    assert state(world, number) == "checked_in"


def test_an_infectious_patient_is_called_last_and_the_others_expect_to_be_called_in_turn(world: World) -> None:
    order = world.order("US-THYROID", patient="P9", encounter="VI")
    world.database.write(
        lambda: world.database.rows("UPDATE encounter SET needs = '[\"isolation\"]' WHERE number = 'VI' RETURNING id")
    )
    world.pay(order)
    infectious = str(world.item(f"{order}/1").appointment)
    number = booked(world)
    world.clock.set(status.appointment(world.hospital, infectious).starts_at)
    for each in (infectious, number):
        changes.check_in(world.hospital, each, TESTER)

    assert line(world) == [number, infectious]
    place = queue.place_of(world.hospital, infectious)
    assert place is not None
    assert (place.ahead, queue.minutes_until(place, world.clock.now())) == (1, 0)


# Coming without a time


def test_a_walk_in_exam_gets_a_queue_number_and_takes_no_seat(world: World) -> None:
    order = world.order("US-TICKET")
    with pytest.raises(Refused):
        walkin.come(world.hospital, Identifier("card", "P1"), [f"{order}/1"], PATIENT)
    world.pay(order)
    assert world.item(f"{order}/1").reason == "walk_in"
    (ticket,) = walkin.come(world.hospital, Identifier("card", "P1"), (), PATIENT).appointments
    assert (ticket.state, ticket.queue_number) == ("checked_in", 1)
    assert world.database.value("SELECT count(*) FROM claim") == 0
    changes.execution(world.hospital, ticket.number, "finished", TESTER)
    assert world.item(f"{order}/1").state == "fulfilled"


def test_undoing_the_check_in_of_a_walk_in_takes_the_ticket_back(world: World) -> None:
    order = world.order("US-TICKET")
    world.pay(order)
    (ticket,) = walkin.come(world.hospital, Identifier("card", "P1"), (), PATIENT).appointments

    assert calling.undo(world.hospital, ticket.number, DESK, reason="走错").state == "cancelled"


def test_a_patient_without_an_appointment_takes_the_next_free_place_and_is_checked_in(world: World) -> None:
    order = world.order("US-THYROID")
    world.pay(order)
    changes.cancel(world.hospital, world.item(f"{order}/1").appointment, TESTER, reason="x")
    came = walkin.come(world.hospital, Identifier("card", "P1"), [f"{order}/1"], PATIENT)

    assert (came.appointments[0].state, came.appointments[0].explanation["code"]) == ("checked_in", "came_today")
    assert came.appointments[0].starts_at.date() == world.clock.now().date()


def fill_today(world: World) -> None:
    world.database.write(
        lambda: world.database.rows(
            "UPDATE slot SET capacity = 0, is_open = 0 WHERE day = ? AND taken = 0 RETURNING id",
            world.hospital.calendar.day_of(world.clock.now()).isoformat(),
        )
    )


def test_where_nothing_is_free_the_desk_adds_a_seat_in_one_step_and_only_so_many_a_day(world: World) -> None:
    fill_today(world)
    set_policy(world, add_ons_a_day=1)
    orders = [world.order("US-THYROID", patient=patient) for patient in ("P1", "P2")]
    for order in orders:
        world.pay(order)
        changes.cancel(world.hospital, world.item(f"{order}/1").appointment, TESTER, reason="x")
    with pytest.raises(Conflict, match="no place"):
        walkin.come(world.hospital, Identifier("card", "P1"), [f"{orders[0]}/1"], PATIENT)
    with pytest.raises(Refused, match="only the desk"):
        walkin.come(world.hospital, Identifier("card", "P1"), [f"{orders[0]}/1"], PATIENT, add_on=True)
    came = walkin.come(world.hospital, Identifier("card", "P1"), [f"{orders[0]}/1"], DESK, add_on=True)
    assert (came.appointments[0].state, came.appointments[0].explanation["code"]) == ("checked_in", "add_on")
    assert world.database.rows("SELECT actor FROM audit WHERE action = 'slot.extra'") == [("registrar",)]
    with pytest.raises(Conflict, match="no more seats"):
        walkin.come(world.hospital, Identifier("card", "P2"), [f"{orders[1]}/1"], DESK, add_on=True)


def test_who_has_a_time_today_is_checked_in_for_it(world: World) -> None:
    number = booked(world)

    assert [each.number for each in walkin.come(world.hospital, Identifier("card", "P1"), (), DESK).appointments] == [number]
    assert state(world, number) == "checked_in"


def test_unknown_patients_and_items_are_refused_and_nothing_is_written(world: World) -> None:
    other = world.order("US-THYROID", patient="P2")
    booked(world)
    before = world.database.value("SELECT count(*) FROM audit")
    with pytest.raises(NotFound):
        walkin.come(world.hospital, Identifier("card", "NONE"), (), DESK)
    with pytest.raises(InvalidInput, match="/items/0"):
        walkin.come(world.hospital, Identifier("card", "P1"), [f"{other}/1"], DESK)
    assert world.database.value("SELECT count(*) FROM audit") == before


# Emergencies


def test_an_emergency_is_examined_first_and_gets_its_order_and_name_later(world: World) -> None:
    data = EmergencyData("CLINIC", ("CT-HEAD",), "车祸，昏迷", campus="N")
    number, came = walkin.emergency(world.hospital, data, DESK)
    (visit,) = came.appointments
    assert visit.state == "checked_in"
    assert tasks(world) == ["provisional_order"]
    changes.execution(world.hospital, visit.number, "finished", TESTER)
    order = OrderData(
        number="REAL",
        patient=PatientData((Identifier(walkin.TEMPORARY, number), Identifier("card", "P7")), "张三", Sex.MALE),
        encounter=EncounterData(number, EncounterClass.EMERGENCY, campus="N"),
        ordering_department="CLINIC",
        ordered_at=world.clock.now(),
        lines=(OrderLine(1, "CT-HEAD"),),
        replaces=number,
    )
    (item,) = reporting.submit_order(world.hospital, order, TESTER)

    assert item.state == "fulfilled"
    assert world.item("REAL/1").appointment == visit.number
    assert world.item(f"{number}/1").state == "replaced"
    assert tasks(world) == []


def test_an_emergency_for_an_unknown_exam_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput, match="/items/0/item"):
        walkin.emergency(world.hospital, EmergencyData("CLINIC", ("NONE",), "x"), DESK)


# Being examined


def test_exams_of_one_visit_are_finished_one_by_one(world: World) -> None:
    number = booked(world, "US-THYROID", "US-HEART")
    first, second = status.appointment(world.hospital, number).items
    world.clock.set(status.appointment(world.hospital, number).starts_at)
    executing.report(world.hospital, number, ExecutionReport("finished", (first,)), TESTER)
    assert (state(world, number), world.item(first).state, world.item(second).state) == (
        "in_progress", "fulfilled", "accepted",
    )  # fmt: skip
    executing.report(world.hospital, number, ExecutionReport("finished", (second,)), TESTER)
    assert (state(world, number), world.item(second).state) == ("fulfilled", "fulfilled")


def test_what_was_not_done_of_a_visit_is_planned_again_and_paid_already(world: World) -> None:
    number = booked(world, "US-THYROID", "US-HEART")
    first, second = status.appointment(world.hospital, number).items
    executing.report(world.hospital, number, ExecutionReport("not_done", (second,), reason_code="has_eaten"), TESTER)
    assert world.item(second).appointment not in (None, number)
    assert world.item(second).appointment_state == "booked"
    executing.report(world.hospital, number, ExecutionReport("finished", (first,)), TESTER)
    assert state(world, number) == "fulfilled"


def test_a_whole_visit_that_was_not_done_is_booked_again_unless_the_patient_refused(world: World) -> None:
    number, other = booked(world), booked(world, patient="P2")
    (item,), (refused,) = (status.appointment(world.hospital, each).items for each in (number, other))
    executing.report(world.hospital, number, ExecutionReport("not_done", reason_code="unwell"), TESTER)
    executing.report(world.hospital, other, ExecutionReport("not_done", reason_code="refused"), TESTER)

    assert world.item(item).appointment_state == "booked"
    assert world.item(item).appointment != number
    assert (world.item(refused).appointment, world.item(refused).reason) == (None, "not_done")


def test_bad_reports_are_named_and_a_repeated_one_changes_nothing(world: World) -> None:
    number = booked(world, "US-THYROID", "US-HEART")
    first, _second = status.appointment(world.hospital, number).items
    with pytest.raises(InvalidInput, match="/reason_code"):
        executing.report(world.hospital, number, ExecutionReport("not_done", reason_code="tired"), TESTER)
    with pytest.raises(InvalidInput, match="/items/1"):
        executing.report(world.hospital, number, ExecutionReport("finished", (first, "X/1")), TESTER)
    told = executing.report(world.hospital, number, ExecutionReport("finished", (first,)), TESTER)
    assert executing.report(world.hospital, number, ExecutionReport("finished", (first,)), TESTER) == told
    with pytest.raises(Conflict, match="another outcome"):
        executing.report(world.hospital, number, ExecutionReport("not_done", (first,), reason_code="unwell"), TESTER)


# At the bedside


def inpatient(world: World, patient: str = "P1") -> str:
    order = world.order("US-BEDSIDE", patient=patient, encounter_class=EncounterClass.INPATIENT, verified=True)
    world.database.write(lambda: world.database.rows("UPDATE encounter SET ward = 'W1' RETURNING id"))
    return f"{order}/1"


def test_a_wards_bedside_exams_are_listed_started_and_finished_without_a_seat(world: World) -> None:
    item = inpatient(world)
    assert [exam.key for exam in bedside.work_list(world.hospital, "W1")] == [item]
    assert "*" in bedside.work_list(world.hospital, "W1")[0].patient
    visit = bedside.report(world.hospital, item, ExecutionReport("started"), TESTER)
    assert (visit.state, bedside.work_list(world.hospital, "W1")) == ("in_progress", [])
    bedside.report(world.hospital, item, ExecutionReport("finished"), TESTER)
    assert world.item(item).state == "fulfilled"


def test_a_bedside_exam_that_was_started_by_mistake_is_on_the_list_again(world: World) -> None:
    item = inpatient(world)
    bedside.report(world.hospital, item, ExecutionReport("started"), TESTER)
    bedside.report(world.hospital, item, ExecutionReport("not_done", rebook=True), TESTER)

    assert [exam.key for exam in bedside.work_list(world.hospital, "W1")] == [item]
    with pytest.raises(NotFound):
        bedside.report(world.hospital, "NONE/1", ExecutionReport("started"), TESTER)
    with pytest.raises(Conflict):
        bedside.report(world.hospital, f"{world.order('US-THYROID')}/1", ExecutionReport("started"), TESTER)


# Once, and nobody else


@pytest.mark.parametrize("command", ["absent", "defer", "undo", "come", "finish", "emergency", "bedside"])
def test_a_repeated_command_changes_nothing_and_no_other_patient_is_touched(world: World, command: str) -> None:
    neighbour = world.order("US-THYROID", patient="P8")
    world.pay(neighbour)
    order = world.order("US-THYROID", "US-HEART")
    world.pay(order)
    number, item = str(world.item(f"{order}/1").appointment), inpatient(world, "P3")
    changes.check_in(world.hospital, number, TESTER)
    ticket = world.order("US-TICKET", patient="P4")
    world.pay(ticket)
    acts = {
        "absent": lambda key: calling.absent(world.hospital, number, TESTER, key),
        "defer": lambda key: calling.defer(world.hospital, number, TESTER, key, reason="unwell"),
        "undo": lambda key: calling.undo(world.hospital, number, TESTER, key, reason="x"),
        "come": lambda key: walkin.come(world.hospital, Identifier("card", "P4"), (), TESTER, key),
        "finish": lambda key: executing.report(
            world.hospital, number, ExecutionReport("finished", (f"{order}/1",)), TESTER, key
        ),
        "emergency": lambda key: walkin.emergency(world.hospital, EmergencyData("CLINIC", ("CT-HEAD",), "x"), TESTER, key),
        "bedside": lambda key: bedside.report(world.hospital, item, ExecutionReport("started"), TESTER, key),
    }  # fmt: skip
    before = theirs(world, neighbour)
    key = request_key("queue", command, command, {})
    acts[command](key)
    count = world.database.value("SELECT count(*) FROM audit")
    with pytest.raises((Refused, InvalidInput)):
        acts[command](key)

    assert world.database.value("SELECT count(*) FROM audit") == count
    assert theirs(world, neighbour) == before


def tasks(world: World) -> list[str]:
    return [code for (code,) in world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL ORDER BY id")]


def set_policy(world: World, **values: int) -> None:
    policy.set_policy(world.database, "US", values, DESK, epoch(world.clock.now()))
