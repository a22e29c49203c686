"""A suspension gives every visit it concerns another place, or a person; and says before what it would do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from examlane import worker
from examlane.appointments import changes, choosing, status
from examlane.capacity import slots
from examlane.domain import EncounterClass, Fact, Priority
from examlane.errors import Conflict, InvalidInput, SlotTaken
from examlane.records import events
from examlane.replanning import closing, reading, suspensions
from examlane.replanning.closing import Asked
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import DATA, TESTER, World, small_hospital
from tests.day.suspending import TODAY, at, book, down, outcomes, suspend, unbroken

FASTING = {"code": "US-FAST", "name": "腹部彩超", "modality": "US", "department": "US", "attributes": '{"fasting_hours":8}'}


def with_items(**more: Any) -> dict[str, Any]:
    data = {
        "items": [*DATA["items"], FASTING, {**FASTING, "code": "US-SEDATED", "attributes": '{"sedation":true}'}],
        "services": [
            *DATA["services"], {"item": "US-FAST", "group": "US-N", "minutes": 10},
            {"item": "US-SEDATED", "group": "US-N", "minutes": 10},
        ],
    }  # fmt: skip
    return {**data, **more}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = small_hospital(database_url, data=with_items(), days=7, planning_window=timedelta())
    yield made
    assert unbroken(made) == []
    made.hospital.close()


def start(world: World, order: str) -> Any:
    return world.item(f"{order}/1").starts_at


def place(world: World, order: str) -> str:
    return str(status.appointment(world.hospital, world.item(f"{order}/1").appointment).group)


def room(world: World, order: str) -> str:
    """The resource that holds an order's visit."""
    return str(
        world.database.value(
            "SELECT r.code FROM claim c JOIN resource r ON r.id = c.resource_id "
            "WHERE c.appointment_id = ? AND c.released_at IS NULL",
            world.item(f"{order}/1").appointment_id,
        )
    )


def other_room(world: World, order: str) -> str:
    return "US-N-2" if room(world, order) == "US-N-1" else "US-N-1"


def rows_of(world: World, order: str) -> Any:
    """Everything that is stored of another patient's visit."""
    item = world.item(f"{order}/1")
    return [
        world.database.rows(f"SELECT * FROM {table} WHERE {column} = ? ORDER BY id", item.appointment_id)
        for table, column in (("appointment", "id"), ("claim", "appointment_id"), ("appointment_version", "appointment_id"))
    ]


# Where it goes


def test_the_same_time_in_the_next_room_is_the_first_choice(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    before = world.item(f"{order}/1")
    found = suspend(world, down(room(world, order)))

    after = world.item(f"{order}/1")
    assert (after.starts_at, after.appointment, after.version) == (before.starts_at, before.appointment, 2)
    assert found.outcomes == {"moved": 1}
    assert (outcomes(world, found)[0].code, found.state) == ("same_place", "applied")


def test_another_place_the_same_day_comes_before_another_day(world: World) -> None:
    order = book(world, "P1")
    found = suspend(world, down("", group="US-N"))

    assert (place(world, order), start(world, order).date()) == ("US-S", TODAY)
    assert outcomes(world, found)[0].code == "other_place"


def test_what_no_other_place_offers_goes_to_the_next_day(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    found = suspend(world, down("", group="US-N"))

    assert start(world, order) == at(8, days=1)
    assert outcomes(world, found)[0].code == "next_possible"


def test_nothing_is_free_within_the_horizon_and_the_desk_has_it_before_the_old_time(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    old = start(world, order)
    found = suspend(world, down("", group="US-N", until=at(12, days=30)))

    item = world.database.row("SELECT reason, state FROM order_item WHERE key = ?", f"{order}/1")
    assert (outcomes(world, found)[0].outcome, *item) == ("suspended", "suspended", "accepted")
    task = world.database.row("SELECT code, deadline_at, closed_at FROM desk_task")
    assert task == ("suspended", min(epoch(old), epoch(world.clock.now() + timedelta(hours=4))), None)


def test_a_patient_who_cannot_read_the_message_in_time_is_not_called_earlier(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    choosing.reschedule(world.hospital, world.item(f"{order}/1").appointment, "US-N", at(9), TESTER)
    world.clock.set(at(8, 50))
    suspend(world, down("", group="US-N", until=at(9, 10)))

    assert start(world, order) == at(9, 20)


def test_who_fasted_for_the_old_time_may_come_later_that_morning_but_not_another_day_too_soon(world: World) -> None:
    order = book(world, "P1", "US-FAST", context={"fasting": Fact(True)})
    one = start(world, order)
    suspend(world, down("", group="US-N", until=at(9)))

    assert one < start(world, order) <= at(9)
    world.clock.set(at(8, 40))
    suspend(world, down("", group="US-N", since=at(8), until=at(12)))
    assert start(world, order) == at(8, days=1)


def test_an_emergency_waits_no_longer_than_it_may_and_else_a_person_finds_it_a_place(world: World) -> None:
    world.order("US-HEART", patient="P1", encounter_class=EncounterClass.EMERGENCY)
    found = suspend(world, down("", group="US-N"))

    assert world.database.value("SELECT state FROM appointment") == "suspended"
    assert outcomes(world, found)[0].rank == "urgent"


# In which order


def test_the_urgent_the_fasting_the_sedated_and_those_from_afar_are_served_first(world: World) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "P1": {"item": "US-HEART"},
        "P2": {"item": "US-SEDATED"},
        "P3": {"item": "US-FAST", "context": {"fasting": Fact(True)}},
        "P4": {"item": "US-HEART", "priority": Priority.URGENT},
        "P5": {"item": "US-HEART"},
    }
    for patient, more in kinds.items():
        book(world, patient, **more)
    world.database.write(
        lambda: world.database.rows("UPDATE patient SET out_of_town = 1 WHERE name = '患者P5' RETURNING id")
    )
    found = suspend(world, down("", group="US-N"))

    assert [one.rank for one in outcomes(world, found)] == ["urgent", "fasting", "sedated", "out_of_town", "usual"]


# Who keeps his place, who is released


@pytest.mark.parametrize("state", ["checked_in", "called", "in_progress"])
def test_who_is_here_is_never_moved_without_a_person(world: World, state: str) -> None:
    order = book(world, "P1")
    number = world.item(f"{order}/1").appointment
    changes.check_in(world.hospital, number, TESTER)
    if state == "called":
        changes.call(world.hospital, number, TESTER)
    if state == "in_progress":
        changes.execution(world.hospital, number, "started", TESTER)
    before = rows_of(world, order)
    found = suspend(world, down("", group="US-N"))

    assert rows_of(world, order) == before
    assert found.outcomes == {"kept": 1}
    assert world.database.row("SELECT code, closed_at FROM desk_task") == ("suspended_here", None)
    changes.execution(world.hospital, number, "finished", TESTER)
    assert world.database.value("SELECT count(*) FROM desk_task WHERE closed_at IS NULL") == 0


def test_what_is_only_held_is_given_up(world: World) -> None:
    order = book(world, "P1")
    changes.cancel(world.hospital, world.item(f"{order}/1").appointment, TESTER, reason="改期")
    held = choosing.book(world.hospital, [f"{order}/1"], "US-N", at(9), TESTER, hold=True)
    found = suspend(world, down("", group="US-N"))

    assert found.outcomes == {"released": 1}
    with pytest.raises(Conflict):
        changes.confirm(world.hospital, held.number, TESTER)


def test_moved_by_the_patient_or_promised_for_today_is_moved_all_the_same_and_flagged(world: World) -> None:
    order, other = book(world, "P1"), book(world, "P2")
    choosing.reschedule(world.hospital, world.item(f"{order}/1").appointment, "US-N", at(9, days=1), TESTER)
    choosing.reschedule(world.hospital, world.item(f"{other}/1").appointment, "US-N", at(9), TESTER, by_patient=False)
    found = suspend(world, down("", group="US-N", until=at(12, days=1)))

    flags = {one.appointment: one.flags for one in outcomes(world, found)}
    assert flags[world.item(f"{order}/1").appointment] == ("moved_by_patient",)
    assert flags[world.item(f"{other}/1").appointment] == ("short_notice",)
    assert found.outcomes == {"moved": 2}


# What is written


def test_the_patient_is_told_and_the_appointment_says_why(world: World) -> None:
    world.database.insert(Peer, code="his", event_types="[]", created_at=epoch(world.clock.now()) - 1)
    order = book(world, "P1", "US-HEART")
    found = suspend(world, down("", group="US-N"))
    number = world.item(f"{order}/1").appointment
    heard: list[events.Message] = []
    while events.deliver_due(world.database, heard.append, epoch(world.clock.now())):
        continue

    explanation = status.appointment(world.hospital, number).explanation
    assert (explanation["code"], explanation["suspension"]) == ("moved_by_suspension", found.number)
    assert [each.kind for each in heard if each.subject == "appointment"][-1] == "appointment.rescheduled"
    assert [each.kind for each in heard if each.subject == "suspension"] == ["suspension.applied"]
    last = world.database.rows("SELECT actor, channel, reason FROM appointment_version ORDER BY id DESC LIMIT 1")
    assert last == [("tester", "test", f"suspension {found.number}")]
    assert world.database.value("SELECT count(*) FROM audit WHERE action = 'suspension.applied'") == 1


def test_nothing_new_is_booked_on_what_is_closed_and_other_patients_stay_as_they_are(world: World) -> None:
    one, two = book(world, "P1", "CT-HEAD"), book(world, "P2")
    before = rows_of(world, one)
    suspend(world, down("", group="US-N"))
    three = book(world, "P3", "US-HEART")

    assert rows_of(world, one) == before
    assert start(world, three) == at(8, days=1)
    assert place(world, two) == "US-S"
    closed = world.database.rows("SELECT id FROM slot WHERE closed = 1")[0]
    with pytest.raises(SlotTaken):
        world.database.write(lambda: slots.take(world.database, [(closed[0], 1)]))


def test_slots_published_later_are_closed_from_the_start(world: World) -> None:
    suspend(world, down("", group="US-N", until=at(12, days=20)))
    world.clock.advance(timedelta(days=3))
    assert worker.publish(world.hospital) > 0
    counts = world.database.rows(
        "SELECT s.closed, count(*) FROM slot s JOIN resource r ON r.id = s.resource_id "
        "WHERE s.day = '2026-12-02' AND r.code LIKE 'US-N%' GROUP BY s.closed"
    )
    assert counts == [(1, 48)]


# Rosters and days


def test_a_shorter_day_moves_what_lies_outside_of_it(world: World) -> None:
    order, other = book(world, "P1", "US-HEART"), book(world, "P2", "US-HEART")
    choosing.reschedule(world.hospital, world.item(f"{other}/1").appointment, "US-N", at(11), TESTER)
    asked = Asked("shortened", "提前下班", room(world, other), day=TODAY, opens=8 * 60, closes=10 * 60)
    found = suspend(world, asked)

    assert found.seats_lost == 12
    assert (start(world, other), room(world, other) != asked.resource) == (at(11), True)
    assert world.item(f"{order}/1").version == 1


def test_another_doctor_takes_over_and_the_patients_keep_their_time(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    ill = room(world, order)
    found = suspend(world, Asked("replaced", "病假", ill, day=TODAY, other=other_room(world, order)))

    assert (found.seats_lost, found.outcomes) == (24, {"moved": 1})
    assert (start(world, order), room(world, order) == ill) == (at(8, 30), False)
    closed = world.database.rows(
        "SELECT DISTINCT r.code FROM slot s JOIN resource r ON r.id = s.resource_id WHERE s.closed = 1"
    )
    assert closed == [(ill,)]


def test_two_rosters_of_different_hours_are_swapped_for_a_day(database_url: str) -> None:
    rosters = [
        *(row for row in DATA["rosters"] if row["resource"] != "group:US-N"),
        {"resource": "US-N-1", "weekdays": "1-5", "starts": "08:00", "ends": "10:00"},
        {"resource": "US-N-2", "weekdays": "1-5", "starts": "10:00", "ends": "12:00"},
    ]
    world = small_hospital(database_url, data={"rosters": rosters}, days=7)
    order = book(world, "P1", "US-HEART")
    assert room(world, order) == "US-N-1"
    found = suspend(world, Asked("swapped", "换班", "US-N-1", day=TODAY, other="US-N-2"))

    assert (room(world, order), start(world, order)) == ("US-N-2", at(8, 30))
    assert (found.seats_lost, found.outcomes) == (24, {"moved": 1})
    assert unbroken(world) == []
    world.hospital.close()


def test_a_new_holiday_moves_the_day_and_a_make_up_workday_opens_one(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    found = suspend(world, Asked("holiday", "临时放假", day=TODAY))

    assert start(world, order) == at(8, days=1)
    assert (found.department, found.seats_lost) == ("", 96)
    saturday = date(2026, 11, 28)
    suspend(world, Asked("workday", "调休", day=saturday, weekday=1))
    choosing.reschedule(world.hospital, world.item(f"{order}/1").appointment, "US-N", at(9, days=5), TESTER)
    assert world.database.value("SELECT count(*) FROM slot WHERE day = ? AND closed = 0", str(saturday)) == 96


def test_a_holiday_of_one_department_leaves_the_others_open(world: World) -> None:
    ours, theirs = book(world, "P1", "CT-HEAD"), book(world, "P2", "US-HEART")
    suspend(world, Asked("holiday", "设备搬迁", day=TODAY, departments=("CT",)))

    assert start(world, ours) == at(8, days=1)
    assert world.item(f"{theirs}/1").version == 1
    assert start(world, book(world, "P3", "US-HEART")).date() == TODAY


# Shown before


def test_a_preview_writes_nothing_and_says_what_the_suspension_then_does(world: World) -> None:
    for number in range(6):
        book(world, f"P{number}", ("US-THYROID", "US-HEART")[number % 2])
    planned = closing.plan(world.hospital, down("", group="US-N"))
    tables = ("slot", "appointment", "claim", "suspension", "desk_task", "audit", "patient")
    before = [world.database.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]
    shown = suspensions.preview(world.hospital, planned)

    assert [world.database.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables] == before
    found = suspensions.apply(world.hospital, planned, TESTER)
    assert shown.complete
    assert shown.seats_lost == found.seats_lost
    assert [(one.visit.number, one.outcome, one.new_starts_at, one.new_group) for one in shown.visits] == [
        (one.appointment, one.outcome, one.new_starts_at, one.new_group) for one in outcomes(world, found)
    ]


def test_a_preview_of_a_replaced_roster_knows_the_seats_that_it_opens(world: World) -> None:
    order = book(world, "P1", "US-HEART")
    gone, takes = room(world, order), other_room(world, order)
    suspend(world, down(takes))
    planned = closing.plan(world.hospital, Asked("swapped", "换班", gone, day=TODAY + timedelta(days=1), other=takes))

    assert suspensions.preview(world.hospital, planned).visits == ()


# Bad input

BAD = [
    (Asked("strike", "x", "US-N-1"), {"/kind"}),
    (Asked("device_down", "x"), {"/resource", "/from", "/until"}),
    (down("US-N-1", group="US-N"), {"/resource"}),
    (down("US-N-9"), {"/resource"}),
    (down("", group="XX"), {"/group"}),
    (down(since=at(9), until=at(9)), {"/until"}),
    (down(since=at(6), until=at(7)), {"/until"}),
    (down(until=at(12, days=400)), {"/until"}),
    (down(weekday=3), {"/weekday"}),
    (Asked("shortened", "x", "US-N-1", day=date(2026, 11, 22), opens=480, closes=600), {"/day"}),
    (Asked("shortened", "x", "US-N-1", day=TODAY, opens=600, closes=600), {"/closes"}),
    (Asked("swapped", "x", "US-N-1", day=TODAY, other="US-N-1"), {"/other"}),
    (Asked("replaced", "x", "US-N-1", day=TODAY, other="CT-N-1"), {"/other"}),
    (Asked("workday", "x", day=TODAY), {"/weekday"}),
    (Asked("holiday", "x", day=TODAY, departments=("XX",)), {"/departments/0"}),
    (Asked("holiday", "x", day=TODAY, departments=("CLINIC",)), {"/departments"}),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "pointers"), BAD, ids=lambda value: getattr(value, "kind", ""))
def test_what_makes_no_sense_is_said_field_by_field_and_writes_nothing(
    sqlite_url: str, asked: Asked, pointers: set[str]
) -> None:
    world = small_hospital(sqlite_url, days=3)
    with pytest.raises(InvalidInput) as caught:
        suspend(world, asked)

    assert {pointer for pointer, _ in caught.value.problems} == pointers
    assert reading.suspensions(world.hospital) == []
    world.hospital.close()
