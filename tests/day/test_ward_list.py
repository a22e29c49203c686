"""The ward's list of a day, and what the ward answers: ready, transport ordered, not coming."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from examlane import Preparation, Text, hookimpl
from examlane.appointments import changes, choosing, status
from examlane.appointments.status import AppointmentStatus
from examlane.domain import EncounterClass
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.insight import invariants
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import TESTER, World, small_hospital
from examlane.wards import encounters, ward_list
from examlane.wards.encounters import EncounterReport

WARD = "内科一病区"


class Fasting:
    @hookimpl
    def preparation(self) -> list[Preparation]:
        return [Preparation("fasting", Text("空腹", "no food"), timedelta(hours=1), 6)]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"fasting": Fasting()})
    world.switch("CT", "fasting")
    world.database.write(
        lambda: world.database.insert(Peer, code="RIS", address="http://ris", created_at=epoch(world.clock.now()) - 60)
    )
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def ordered(world: World, *items: str, patient: str = "P1", bed: str = "12") -> AppointmentStatus:
    order = world.order(
        *(items or ("US-THYROID",)), patient=patient, encounter=f"IP-{patient}", encounter_class=EncounterClass.INPATIENT
    )
    report = EncounterReport(
        f"IP-{patient}", "admission", world.clock.now(), ward=WARD, bed=bed, needs=("wheelchair", "oxygen")
    )
    encounters.report(world.hospital, report, TESTER)
    return now(world, world.item(f"{order}/1").appointment)


def now(world: World, number: str) -> AppointmentStatus:
    return status.appointment(world.hospital, number)


def day(visit: AppointmentStatus) -> date:
    return visit.starts_at.date()


def said(world: World, visit: AppointmentStatus, answer: str, **more: Any) -> AppointmentStatus:
    return ward_list.answer(world.hospital, visit.number, answer, TESTER, **more)


def tasks(world: World) -> list[str]:
    return [code for (code,) in world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL ORDER BY id")]


def test_the_list_says_whom_to_bring_where_and_prepared_how(world: World) -> None:
    head, thyroid = ordered(world, "CT-HEAD", bed="12"), ordered(world, patient="P2", bed="03")
    world.order("US-HEART", patient="P3")
    found = ward_list.exams(world.hospital, WARD, day(thyroid))

    assert [(one.bed, one.name) for one in found] == [("03", "患*2"), ("12", "患*1")]
    (exam,) = found[1].exams
    assert (exam.appointment, exam.fasting_hours, exam.state) == (head.number, 6, "booked")
    assert exam.items[0][1].zh == "头颅CT"
    assert exam.place.zh == "CT机房"
    assert found[1].needs == ("oxygen", "wheelchair")
    assert exam.answered is None


def test_names_are_for_those_who_may_see_them(world: World) -> None:
    visit = ordered(world)
    assert ward_list.exams(world.hospital, WARD, day(visit), names=True)[0].name == "患者P1"


def test_another_ward_another_day_and_the_discharged_are_not_on_it(world: World) -> None:
    visit = ordered(world)
    assert ward_list.exams(world.hospital, "外科", day(visit)) == []
    assert ward_list.exams(world.hospital, WARD, day(visit) + timedelta(days=1)) == []
    encounters.report(world.hospital, EncounterReport("IP-P1", "discharge", world.clock.now()), TESTER)
    assert ward_list.exams(world.hospital, WARD, day(visit)) == []


@pytest.mark.parametrize("answer", ["ready", "transport_ordered"])
def test_the_department_hears_what_the_ward_says(world: World, answer: str) -> None:
    visit = ordered(world)
    assert said(world, visit, answer).version == visit.version
    ((exam,),) = [one.exams for one in ward_list.exams(world.hospital, WARD, day(visit))]
    assert exam.answered is not None
    assert (exam.answered.answer, exam.answered.by) == (answer, "tester")
    payload = json.loads(world.database.value("SELECT payload FROM event WHERE kind = 'ward.answered'"))
    assert payload == {"appointment": visit.number, "department": "US", "answer": answer, "reason": ""}


def test_the_newest_answer_counts_and_a_moved_visit_is_asked_again(world: World) -> None:
    visit = ordered(world)
    said(world, visit, "transport_ordered")
    said(world, visit, "ready")
    answered = ward_list.exams(world.hospital, WARD, day(visit))[0].exams[0].answered
    assert answered is not None
    assert answered.answer == "ready"
    times = choosing.times(world.hospital, appointment=visit.number)
    moved = choosing.reschedule(world.hospital, visit.number, times[-1].group, times[-1].starts_at, TESTER)
    assert ward_list.exams(world.hospital, WARD, day(moved))[0].exams[0].answered is None


def test_who_is_not_coming_gets_a_later_time_under_his_number(world: World) -> None:
    visit, other = ordered(world), ordered(world, patient="P2")
    moved = said(world, visit, "not_coming", reason="not_prepared")
    assert (moved.number, moved.state) == (visit.number, "booked")
    assert moved.starts_at > visit.starts_at
    assert world.database.value("SELECT release FROM order_item WHERE id = 1") == "verified"
    assert now(world, other.number) == other
    assert tasks(world) == []


def test_the_ward_says_from_when_on_he_can_come(world: World) -> None:
    visit = ordered(world)
    later = world.clock.now() + timedelta(days=2)
    moved = said(world, visit, "not_coming", reason="condition", not_before=later)
    assert moved.starts_at > later


def test_without_another_time_the_visit_is_cancelled_and_the_department_has_a_task(world: World) -> None:
    visit = ordered(world)
    cancelled = said(world, visit, "not_coming", reason="refused", move=False)
    assert cancelled.state == "cancelled"
    assert tasks(world) == ["ward_not_coming"]
    assert world.database.value("SELECT sum(taken) FROM slot") == 0

    times = choosing.times(world.hospital, items=list(visit.items))
    choosing.book(world.hospital, visit.items, times[0].group, times[0].starts_at, TESTER)
    assert tasks(world) == []


def test_where_nothing_is_free_later_the_desk_finds_another_time(world: World) -> None:
    visit = ordered(world)
    world.database.rows("UPDATE slot SET closed = 1, is_open = 0 WHERE start_at > ? RETURNING id", epoch(visit.starts_at))
    assert said(world, visit, "not_coming", reason="elsewhere").state == "cancelled"
    assert tasks(world) == ["ward_not_coming"]


def test_bad_answers_change_nothing(world: World) -> None:
    visit = ordered(world)
    for answer, more in (
        ("maybe", {}), ("not_coming", {}), ("not_coming", {"reason": "bored"}), ("not_coming", {"reason": "other"}),
        ("ready", {"reason": "condition"}),
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            said(world, visit, answer, **more)
    with pytest.raises(NotFound):
        ward_list.answer(world.hospital, "NONE", "ready", TESTER)
    changes.check_in(world.hospital, visit.number, TESTER)
    with pytest.raises(Conflict):
        said(world, visit, "ready")
    assert world.database.value("SELECT count(*) FROM ward_answer") == 0
