"""Patients who miss visits repeatedly: counted where a department chose so, booked at its desk for a while, appealed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from examlane.appointments import booking, changes, choosing, status
from examlane.arrival import attendance, noshow, repeated
from examlane.arrival.repeated import Restriction
from examlane.capacity import policy
from examlane.domain import EncounterClass, Priority
from examlane.errors import NotFound, Refused
from examlane.insight import invariants
from examlane.storage.fields import epoch
from examlane.testing import TESTER, World, small_hospital

DESK = replace(TESTER, desk=True)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, days=60)
    setting(world)
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def setting(world: World, **values: Any) -> None:
    chosen = {"no_show_limit": 2, "no_show_period_days": 30, "restriction_days": 20, "check_in_silent_minutes": 0}
    policy.set_policy(world.database, "US", {**chosen, **values}, TESTER, epoch(world.clock.now()))


def misses(world: World, item: str = "US-THYROID", patient: str = "P1", **more: Any) -> str:
    """A patient is booked and does not come; returns the number of the visit."""
    order = world.order(item, patient=patient, confirmed=("core.repeated_order",), confirm_reason="复查", **more)
    world.pay(order)
    number = str(world.item(f"{order}/1").appointment)
    world.clock.set(status.appointment(world.hospital, number).ends_at + timedelta(minutes=30))
    noshow.sweep(world.hospital)
    assert status.appointment(world.hospital, number).state == "no_show"
    return number


def ordered(world: World, item: str = "US-HEART", patient: str = "P1", **more: Any) -> str:
    """A paid order's item key."""
    order = world.order(item, patient=patient, **more)
    world.pay(order)
    return f"{order}/1"


def restricted(world: World) -> list[Restriction]:
    return repeated.restrictions(world.hospital, department="US")


def test_it_is_off_until_a_department_chooses_it(world: World) -> None:
    setting(world, no_show_limit=0)
    for _ in range(3):
        misses(world)
    assert restricted(world) == []
    assert world.item(ordered(world)).reason == "booked"


def test_too_many_missed_visits_lead_to_the_desk_of_that_department_only(world: World) -> None:
    first = misses(world)
    assert restricted(world) == []
    second = misses(world)
    (found,) = restricted(world)

    assert set(found.visits) == {first, second}
    assert found.until_at - found.from_at == timedelta(days=20)
    assert found.name == "患*1"
    key = ordered(world)
    assert (world.item(key).reason, world.item(key).appointment) == ("restricted", None)
    assert "restricted" in [row[0] for row in world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL")]
    assert world.item(ordered(world, "CT-HEAD")).reason == "booked"
    assert world.item(ordered(world, patient="P2")).reason == "booked"


def test_the_words_tell_the_patient_where_to_go_and_that_he_may_object(world: World) -> None:
    misses(world), misses(world)
    (item,) = status.of_order(world.hospital, ordered(world).split("/")[0])
    assert item.reason == "restricted"
    assert "登记台" in item.message.zh
    assert "申诉" in item.message.zh
    assert "爽约" not in item.message.zh


def test_a_registrar_books_what_a_phone_may_not(world: World) -> None:
    misses(world), misses(world)
    key = ordered(world)
    times = choosing.times(world.hospital, items=[key], desk=True)
    with pytest.raises(Refused) as refused:
        choosing.book(world.hospital, [key], times[0].group, times[0].starts_at, TESTER)
    assert refused.value.code == "restricted"
    assert choosing.book(world.hospital, [key], times[0].group, times[0].starts_at, DESK).state == "booked"
    assert world.database.value("SELECT count(*) FROM desk_task WHERE code = 'restricted' AND closed_at IS NULL") == 0


def test_a_missed_visit_is_moved_by_the_desk_only(world: World) -> None:
    misses(world)
    number = misses(world)
    times = choosing.times(world.hospital, appointment=number)
    with pytest.raises(Refused) as refused:
        choosing.reschedule(world.hospital, number, times[-1].group, times[-1].starts_at, TESTER)
    assert refused.value.code == "restricted"
    assert choosing.reschedule(world.hospital, number, times[-1].group, times[-1].starts_at, DESK).state == "booked"


def test_what_was_booked_before_stays_and_may_be_moved(world: World) -> None:
    order = world.order("US-HEART")
    world.pay(order)
    number = str(world.item(f"{order}/1").appointment)
    times = choosing.times(world.hospital, appointment=number, days=60, limit=200)
    choosing.reschedule(world.hospital, number, times[-1].group, times[-1].starts_at, TESTER)
    misses(world), misses(world)
    assert restricted(world)
    times = choosing.times(world.hospital, appointment=number)
    assert choosing.reschedule(world.hospital, number, times[-1].group, times[-1].starts_at, TESTER).state == "booked"


@pytest.mark.parametrize(
    "more",
    [{"encounter_class": EncounterClass.INPATIENT}, {"encounter_class": EncounterClass.EMERGENCY},
     {"priority": Priority.URGENT}],
    ids=["inpatient", "emergency", "urgent"],
)  # fmt: skip
def test_the_urgent_and_the_admitted_are_never_restricted_and_never_counted(world: World, more: dict[str, Any]) -> None:
    for _ in range(2):
        misses(world, encounter="V-other", **more)
    assert restricted(world) == []
    misses(world), misses(world)
    assert len(restricted(world)) == 1
    assert world.item(ordered(world, encounter="V-other", **more)).reason == "booked"


def test_old_missed_visits_do_not_count(world: World) -> None:
    setting(world, no_show_period_days=3)
    misses(world)
    world.clock.advance(timedelta(days=4))
    misses(world)
    assert restricted(world) == []


def test_what_the_hospital_could_not_hear_of_does_not_count(world: World) -> None:
    misses(world)
    number = misses(world)
    assert restricted(world)
    visit = status.appointment(world.hospital, number)
    attendance.declare(world.hospital, "US", "offline", TESTER, since=visit.starts_at)
    repeated.review(world.hospital)
    assert restricted(world) == []


def test_a_withdrawn_no_show_takes_its_restriction_with_it_and_the_exam_is_booked(world: World) -> None:
    misses(world)
    number = misses(world)
    key = ordered(world)
    assert world.item(key).reason == "restricted"
    noshow.withdraw(world.hospital, number, TESTER, reason="误判")

    assert restricted(world) == []
    assert world.item(key).reason == "booked"


def test_who_came_after_all_has_missed_nothing(world: World) -> None:
    misses(world)
    number = misses(world)
    changes.execution(world.hospital, number, "finished", TESTER)
    repeated.review(world.hospital)
    assert restricted(world) == []


def test_it_ends_by_itself_and_the_exam_is_booked(world: World) -> None:
    misses(world), misses(world)
    key = ordered(world)
    world.clock.advance(timedelta(days=20))
    assert restricted(world) == []
    repeated.review(world.hospital)
    booking.settle_due(world.hospital)
    assert world.item(key).reason == "booked"
    assert world.database.rows("SELECT state FROM no_show_restriction") == [("expired",)]


def test_the_same_visits_do_not_restrict_again(world: World) -> None:
    misses(world), misses(world)
    (found,) = restricted(world)
    repeated.decide(world.hospital, found.id, "lifted", DESK, reason="首次，已说明")
    misses(world)
    assert restricted(world) == []
    misses(world)
    assert len(restricted(world)) == 1


def test_an_appeal_is_a_task_and_ends_upheld_or_lifted(world: World) -> None:
    misses(world), misses(world)
    key = ordered(world)
    (found,) = restricted(world)
    objected = repeated.appeal(world.hospital, found.id, TESTER, reason="当天在另一院区就诊")
    assert objected.appealed_at is not None
    appeals = "SELECT count(*) FROM desk_task WHERE code = 'restriction_appeal' AND closed_at IS NULL"
    assert world.database.value(appeals) == 1

    upheld = repeated.decide(world.hospital, found.id, "upheld", DESK, reason="无证明")
    assert (upheld.state, upheld.decision, upheld.decided_by) == ("active", "upheld", "tester")
    assert world.database.value(appeals) == 0
    with pytest.raises(Refused) as refused:
        repeated.appeal(world.hospital, found.id, TESTER, reason="再次")
    assert refused.value.code == "already_decided"

    repeated.decide(world.hospital, found.id, "lifted", DESK, reason="补交证明")
    booking.settle_due(world.hospital)
    assert world.item(key).reason == "booked"
    with pytest.raises(Refused) as refused:
        repeated.decide(world.hospital, found.id, "upheld", DESK, reason="-")
    assert refused.value.code == "restriction_over"


def test_an_unknown_restriction_is_not_found(world: World) -> None:
    for act in (
        lambda: repeated.appeal(world.hospital, 99, TESTER, reason="-"),
        lambda: repeated.decide(world.hospital, 99, "lifted", TESTER, reason="-"),
    ):
        with pytest.raises(NotFound):
            act()
