"""Sedated endoscopy through a small hospital: assessment, payment, expiry, cut-off, the day of the exam."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from examlane import EncounterClass, reporting
from examlane.appointments import changes, choosing, status
from examlane.errors import Conflict, Refused
from examlane.planning import gates
from examlane.testing import MORNING, TESTER

INPATIENT = EncounterClass.INPATIENT
DAY = timedelta(days=1)


@pytest.fixture
def hospital(database_url: str, opened: Any) -> Any:
    return opened(database_url)


@pytest.fixture
def lenient(opened: Any, sqlite_url: str) -> Any:
    """The same, where no recheck is asked for on the day."""
    return opened(sqlite_url, settings={"recheck_before_start": False})


def test_an_outpatient_may_not_pay_before_the_assessment_and_the_payment_books_at_once_after_it(hospital: Any) -> None:
    number = hospital.order()
    (before,) = status.of_order(hospital.world.hospital, number)
    assert (before.payable, before.reason) == (False, "awaiting_gate")
    hospital.assess()
    (after,) = status.of_order(hospital.world.hospital, number)
    assert (after.payable, after.reason) == (True, "awaiting_payment")
    hospital.world.pay(number)
    booked = hospital.item(number)
    assert booked.appointment_state == "booked"
    assert booked.starts_at >= MORNING + timedelta(hours=6)
    assert booked.starts_at.date() == date(2026, 11, 23)


def test_a_payment_before_the_assessment_is_kept_and_the_pass_books_at_once(hospital: Any) -> None:
    number = hospital.order()
    hospital.world.pay(number)
    assert hospital.item(number).reason == "awaiting_gate"
    hospital.assess()
    assert hospital.item(number).appointment_state == "booked"


def test_room_endoscopist_anaesthetist_and_bed_are_taken_together(hospital: Any) -> None:
    booked = hospital.item(hospital.booked())
    roles = hospital.world.database.rows("SELECT DISTINCT role FROM claim WHERE appointment_id = ?", booked.appointment_id)
    assert {role for (role,) in roles} == {"room", "endoscopist", "anaesthetist", "recovery"}


def test_two_sedated_exams_of_one_encounter_share_one_visit(hospital: Any) -> None:
    first = hospital.booked("GASTRO", "COLON")
    second = hospital.item(first.replace("/1", "/2"))
    assert second.appointment == hospital.item(first).appointment
    assert second.starts_at >= MORNING + DAY  # the bowel is prepared first


def test_the_conditions_of_a_pass_are_part_of_the_appointments_preparation(hospital: Any) -> None:
    number = hospital.order()
    hospital.assess("passed_with_conditions", data={"conditions": ["备血"]})
    hospital.world.pay(number)
    (item,) = status.of_order(hospital.world.hospital, number)
    assert item.appointment is not None
    assert "麻醉评估要求：备血" in [step["text"]["zh"] for step in item.appointment.preparation]
    assert "endoscopy.conditions" in [finding["code"] for finding in item.findings]


# Inpatients


def test_an_inpatients_order_is_refused_before_the_assessment_and_sent_again_under_its_number(hospital: Any) -> None:
    number = hospital.order(encounter_class=INPATIENT)
    (refused,) = status.of_order(hospital.world.hospital, number)
    assert refused.state == "rejected"
    assert "尚未做麻醉评估" in refused.message.zh
    hospital.assess()
    assert hospital.item(number).state == "rejected"  # nobody has submitted it yet
    assert hospital.order(encounter_class=INPATIENT, number=number) == number
    assert hospital.item(number).appointment_state == "booked"


def test_a_refused_order_stays_refused_when_it_is_sent_again_without_an_assessment(hospital: Any) -> None:
    number = hospital.order(encounter_class=INPATIENT)
    hospital.order(encounter_class=INPATIENT, number=number)
    assert hospital.item(number).state == "rejected"


def test_an_inpatients_booked_visit_becomes_tentative_too_and_is_restored_or_given_back(hospital: Any) -> None:
    world = hospital.world
    number = hospital.order("COLON", encounter_class=INPATIENT)
    hospital.assess()
    assert hospital.order("COLON", encounter_class=INPATIENT, number=number) == number
    booked = hospital.item(number)
    assert booked.appointment_state == "booked"
    hospital.assess("withdrawn")
    assert hospital.item(number).appointment_state == "tentative"
    hospital.assess()
    assert (hospital.item(number).appointment_state, hospital.item(number).state) == ("booked", "accepted")
    hospital.assess("failed")
    world.clock.advance(booked.starts_at - DAY - world.clock.now())
    assert changes.expire_tentative(world.hospital, TESTER) == 1
    assert (hospital.item(number).state, hospital.tasks()) == ("rejected", ["gate_stayed_closed"])
    hospital.assess()
    assert hospital.order("COLON", encounter_class=INPATIENT, number=number) == number
    assert hospital.item(number).appointment_state == "booked"


def test_beside_an_exam_that_was_accepted_a_refused_one_needs_no_second_order(hospital: Any) -> None:
    number = hospital.order("GASTRO", "PLAIN", encounter_class=INPATIENT)
    assert (hospital.item(f"{number}/1").state, hospital.item(f"{number}/2").reason) == ("rejected", "booked")
    hospital.assess()
    assert hospital.item(f"{number}/1").reason == "booked"


# A gate that closes again


@pytest.mark.parametrize("outcome", ["withdrawn", "failed", "expired", "deferred", "nonsense"])
def test_a_booked_visit_becomes_tentative_and_a_new_pass_restores_it(hospital: Any, outcome: str) -> None:
    key = hospital.booked("COLON")
    before = hospital.item(key)
    hospital.assess(outcome)
    assert hospital.item(key).appointment_state == "tentative"
    hospital.assess()
    after = hospital.item(key)
    assert (after.appointment_state, after.appointment, after.starts_at) == ("booked", before.appointment, before.starts_at)


def test_an_assessment_that_runs_out_before_the_exam_makes_the_visit_tentative(hospital: Any) -> None:
    key = hospital.booked("COLON")
    starts_at = hospital.item(key).starts_at
    hospital.assess(valid_until=starts_at - timedelta(seconds=1))
    assert hospital.item(key).appointment_state == "tentative"
    hospital.assess(valid_until=starts_at)
    assert hospital.item(key).appointment_state == "booked"


def test_a_tentative_visit_gives_its_seats_back_at_the_cut_off_and_the_item_waits_at_the_gate_again(
    hospital: Any,
) -> None:
    world = hospital.world
    key = hospital.booked("COLON")
    starts_at = hospital.item(key).starts_at
    hospital.assess("withdrawn")
    cutoff = starts_at - world.hospital.settings.tentative_cutoff
    world.clock.advance(cutoff - world.clock.now() - timedelta(seconds=1))
    assert changes.expire_tentative(world.hospital, TESTER) == 0
    world.clock.advance(timedelta(seconds=1))
    assert changes.expire_tentative(world.hospital, TESTER) == 1
    assert changes.expire_tentative(world.hospital, TESTER) == 0

    left = hospital.item(key)
    assert (left.appointment, left.state, left.reason) == (None, "accepted", "awaiting_gate")
    assert world.database.value("SELECT sum(taken) FROM slot") == 0
    assert hospital.tasks() == ["gate_stayed_closed"]
    assert hospital.events("appointment.expired")[-1]["reason"] == "gate stayed closed"
    assert hospital.events("order_item.changed")[-1]["reason"] == "awaiting_gate"
    assert world.database.value("SELECT count(*) FROM audit WHERE action = 'appointment.expired'") == 1
    world.later(minutes=1)
    hospital.assess("failed")
    assert hospital.tasks() == ["gate_stayed_closed"]  # it is still so

    hospital.assess()
    assert hospital.item(key).appointment_state == "booked"
    assert hospital.tasks() == []


# Moving and choosing by hand


def test_a_visit_is_not_moved_beyond_its_assessments_validity(hospital: Any) -> None:
    world = hospital.world
    number = hospital.order()
    hospital.assess(valid_until=MORNING + 2 * DAY)
    world.pay(number)
    appointment = hospital.item(number).appointment
    times = choosing.times(world.hospital, appointment=appointment, days=10, limit=1000)
    assert times
    assert max(time.starts_at for time in times) <= MORNING + 2 * DAY
    with pytest.raises(Refused) as refused:
        choosing.reschedule(world.hospital, appointment, "room", MORNING + 3 * DAY, TESTER)
    assert refused.value.code == "time_not_possible"


def test_a_tentative_visit_is_not_moved_and_nobody_books_by_hand_past_a_closed_gate(hospital: Any) -> None:
    world = hospital.world
    key = hospital.booked("COLON")
    hospital.assess("withdrawn")
    for attempt in (
        lambda: choosing.reschedule(world.hospital, hospital.item(key).appointment, "room", MORNING + 4 * DAY, TESTER),
        lambda: choosing.book(world.hospital, [f"{hospital.order(patient='P2')}/1"], "room", MORNING + 4 * DAY, TESTER),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code == "awaiting_gate"


def test_a_cancelled_exam_is_not_booked_again_by_hand_past_a_closed_gate(hospital: Any) -> None:
    world = hospital.world
    key = hospital.booked("COLON")
    changes.cancel(world.hospital, hospital.item(key).appointment, TESTER, reason="patient")
    hospital.assess("withdrawn")
    with pytest.raises(Refused) as refused:
        choosing.book(world.hospital, [key], "room", MORNING + 4 * DAY, TESTER)
    assert refused.value.text.zh == "麻醉评估结论已撤回"


def test_a_hold_whose_gate_has_closed_meanwhile_is_not_booked(hospital: Any) -> None:
    world = hospital.world
    key = hospital.booked("COLON")
    changes.cancel(world.hospital, hospital.item(key).appointment, TESTER, reason="patient")
    time = choosing.times(world.hospital, items=[key])[0]
    held = choosing.book(world.hospital, [key], time.group, time.starts_at, TESTER, hold=True)
    hospital.assess("withdrawn")
    with pytest.raises(Conflict) as refused:
        changes.confirm(world.hospital, held.number, TESTER)
    assert refused.value.code == "awaiting_gate"
    world.clock.advance(timedelta(minutes=6))
    changes.expire_holds(world.hospital, TESTER)


def test_a_withdrawal_in_the_very_moment_of_a_confirmation_still_stops_it(
    hospital: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = hospital.world
    key = hospital.booked("COLON")
    changes.cancel(world.hospital, hospital.item(key).appointment, TESTER, reason="patient")
    time = choosing.times(world.hospital, items=[key])[0]
    held = choosing.book(world.hospital, [key], time.group, time.starts_at, TESTER, hold=True)
    look, withdrawn = gates.must_be_open, []

    def looked(*asked: Any) -> int:
        version = look(*asked)
        if not withdrawn:
            withdrawn.append(True)
            hospital.assess("withdrawn")
        return version

    monkeypatch.setattr(gates, "must_be_open", looked)
    with pytest.raises(Conflict) as refused:
        changes.confirm(world.hospital, held.number, TESTER)
    assert refused.value.code == "awaiting_gate"
    world.clock.advance(timedelta(minutes=6))
    changes.expire_holds(world.hospital, TESTER)


# The day of the exam


def arrive(hospital: Any, key: str) -> str:
    """Let the morning of the exam come; returns the appointment's number."""
    booked = hospital.item(key)
    hospital.world.clock.advance(booked.starts_at - timedelta(minutes=20) - hospital.world.clock.now())
    return str(booked.appointment)


def test_a_closed_gate_stops_check_in_with_its_reason(hospital: Any) -> None:
    key = hospital.booked()
    hospital.assess("withdrawn")
    number = arrive(hospital, key)
    with pytest.raises(Conflict) as refused:
        changes.check_in(hospital.world.hospital, number, TESTER)
    assert (refused.value.code, refused.value.text.zh) == ("awaiting_gate", "麻醉评估结论已撤回")
    hospital.assess()
    assert changes.check_in(hospital.world.hospital, number, TESTER).state == "checked_in"


def test_who_arrives_after_the_assessment_ran_out_is_not_checked_in(hospital: Any) -> None:
    number = hospital.order()
    hospital.assess(valid_until=MORNING + timedelta(hours=6, minutes=30))
    hospital.world.pay(number)
    booked = hospital.item(number)
    hospital.world.clock.advance(timedelta(hours=6, minutes=30))
    with pytest.raises(Conflict) as refused:
        changes.check_in(hospital.world.hospital, booked.appointment, TESTER)
    assert refused.value.text.zh == "麻醉评估已过有效期"


def test_a_sedated_patient_is_neither_called_nor_examined_before_the_recheck_of_the_day(hospital: Any) -> None:
    key = hospital.booked("COLON")
    hospital.recheck()  # on the day before it says nothing about the day of the exam
    number = arrive(hospital, key)
    changes.check_in(hospital.world.hospital, number, TESTER)
    for attempt in (
        lambda: changes.call(hospital.world.hospital, number, TESTER),
        lambda: changes.execution(hospital.world.hospital, number, "started", TESTER),
    ):
        with pytest.raises(Conflict) as refused:
            attempt()
        assert refused.value.code == "not_ready"
    hospital.recheck("failed")
    with pytest.raises(Conflict):
        changes.call(hospital.world.hospital, number, TESTER)
    hospital.recheck()
    assert changes.call(hospital.world.hospital, number, TESTER).state == "called"
    assert changes.execution(hospital.world.hospital, number, "started", TESTER).state == "in_progress"


def test_an_assessment_withdrawn_after_check_in_stops_the_call_and_that_an_exam_is_over_is_stored(hospital: Any) -> None:
    key = hospital.booked()
    number = arrive(hospital, key)
    changes.check_in(hospital.world.hospital, number, TESTER)
    hospital.recheck()
    hospital.assess("withdrawn")
    with pytest.raises(Conflict) as refused:
        changes.call(hospital.world.hospital, number, TESTER)
    assert refused.value.code == "awaiting_gate"
    assert changes.execution(hospital.world.hospital, number, "finished", TESTER).state == "fulfilled"


def test_a_department_may_do_without_the_recheck(lenient: Any) -> None:
    key = lenient.booked()
    number = arrive(lenient, key)
    changes.check_in(lenient.world.hospital, number, TESTER)
    assert changes.execution(lenient.world.hospital, number, "started", TESTER).state == "in_progress"


def test_an_unsedated_exam_is_asked_for_nothing_on_the_day(hospital: Any) -> None:
    number = hospital.order("PLAIN")
    hospital.world.pay(number)
    key = arrive(hospital, f"{number}/1")
    changes.check_in(hospital.world.hospital, key, TESTER)
    assert changes.call(hospital.world.hospital, key, TESTER).state == "called"


# Capacity


def starts(hospital: Any, patients: int) -> list[Any]:
    return [hospital.item(hospital.booked(patient=f"P{number}")).starts_at for number in range(1, patients + 1)]


def test_the_one_anaesthetist_is_never_booked_twice_at_a_time(hospital: Any) -> None:
    first, second = starts(hospital, 2)
    assert second - first >= timedelta(minutes=20)


def test_one_bed_lets_an_exam_begin_only_when_it_is_free_again_and_two_beds_do_not_hinder(
    opened: Any, sqlite_url: str
) -> None:
    narrow = starts(opened(sqlite_url), 3)
    wide = starts(opened(f"{sqlite_url}2", beds=2), 3)
    assert [later - earlier for earlier, later in pairwise(narrow)] == [timedelta(minutes=30)] * 2
    assert [later - earlier for earlier, later in pairwise(wide)] == [timedelta(minutes=20)] * 2


def test_an_emergency_is_not_sedated_without_an_assessment_either(hospital: Any) -> None:
    number = hospital.order(encounter_class=EncounterClass.EMERGENCY)
    assert hospital.item(number).reason == "awaiting_gate"
    assert hospital.world.database.value("SELECT count(*) FROM appointment") == 0


def test_the_messages_answer_says_what_is_missing(hospital: Any) -> None:
    number = hospital.order()
    hospital.world.pay(number)
    answer = reporting.payment_answer(hospital.world.hospital, number)
    assert answer.state == "desk"
    assert "尚未做麻醉评估" in answer.items[0].message.zh
