"""The door on a bad day: races, mistakes, patients who come when they should not, reports in any order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from examlane.appointments import changes, choosing, desk, status
from examlane.arrival import bedside, calling, executing, noshow, queue, walkin
from examlane.arrival.executing import ExecutionReport
from examlane.arrival.walkin import EmergencyData
from examlane.domain import NoShowAction, NoShowDecision, Text
from examlane.errors import Conflict, Refused
from examlane.insight import invariants
from examlane.orders.patients import Identifier
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import request_key
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import TESTER, World, require, small_hospital
from tests.day.test_arrival import (
    DESK,
    PATIENT,
    WITH_TICKETS,
    booked,
    fill_today,
    here,
    inpatient,
    line,
    set_policy,
    state,
    tasks,
)
from tests.day.test_reissued_orders import Merging

CARD = Identifier("card", "P1")
TRAUMA = EmergencyData("CLINIC", ("CT-HEAD",), "车祸", campus="N")


class Killed(BaseException):
    """The process died here."""


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"merging": Merging()}, WITH_TICKETS, planning_window=timedelta())
    require(world, "US", "merging")
    yield world
    assert [each.id for each in invariants.check(world.database, clock=world.clock)] == []
    world.hospital.close()


def dies(*_: Any, **__: Any) -> Any:
    raise Killed


def unbooked(world: World, *items: str) -> str:
    """Paid, and its appointment cancelled."""
    order = world.order(*(items or ("US-THYROID",)))
    world.pay(order)
    if number := world.item(f"{order}/1").appointment:
        changes.cancel(world.hospital, number, TESTER, reason="x")
    return order


def ticket(world: World) -> str:
    order = world.order("US-TICKET")
    world.pay(order)
    return f"{order}/1"


def two_exams(world: World) -> tuple[str, str, str]:
    """A visit of two exams whose time has come."""
    number = booked(world, "US-THYROID", "US-HEART")
    first, second = status.appointment(world.hospital, number).items
    world.clock.set(status.appointment(world.hospital, number).starts_at)
    return number, first, second


def called_in_vain(world: World, number: str) -> None:
    calling.call(world.hospital, number, TESTER)
    calling.absent(world.hospital, number, TESTER)


# The queue


def test_of_one_period_who_checked_in_first_is_called_first(world: World) -> None:
    one, two = booked(world, patient="P1"), booked(world, patient="P2")
    world.clock.set(status.appointment(world.hospital, one).period_starts_at - timedelta(minutes=10))
    changes.check_in(world.hospital, two, TESTER)
    world.clock.advance(timedelta(minutes=1))
    changes.check_in(world.hospital, one, TESTER)

    assert line(world) == [two, one]


def test_an_early_elderly_patient_does_not_overtake_those_of_the_running_period(world: World) -> None:
    old = booked(world, patient="P1")
    world.database.write(lambda: world.database.rows("UPDATE patient SET birth_date = '1940-01-01' RETURNING id"))
    times = choosing.times(world.hospital, appointment=old, limit=20)
    later = [time for time in times if time.starts_at.hour == 2 and time.group == "US-N"]
    choosing.reschedule(world.hospital, old, "US-N", later[0].starts_at, TESTER)
    young = booked(world, patient="P2")
    world.clock.set(status.appointment(world.hospital, young).starts_at)
    for number in (old, young):
        changes.check_in(world.hospital, number, TESTER)

    assert line(world) == [young, old]


def test_undoing_a_call_in_vain_gives_the_old_place_back(world: World) -> None:
    first, *_ = here(world, "P1", "P2", "P3", "P4", "P5")
    before = line(world)
    called_in_vain(world, first)
    once = line(world)
    called_in_vain(world, first)
    calling.undo(world.hospital, first, DESK, reason="叫错")
    assert line(world) == once
    calling.call(world.hospital, first, TESTER)
    calling.undo(world.hospital, first, DESK, reason="叫错")
    assert line(world) == once
    calling.absent(world.hospital, first, TESTER)
    assert tasks(world) == ["absent_repeatedly"]
    calling.undo(world.hospital, first, DESK, reason="叫错")

    assert (line(world), tasks(world)) == (once, [])
    assert once != before


def test_whoever_moves_to_another_day_starts_there_without_the_absences_of_this_one(world: World) -> None:
    (number,) = here(world, "P1")
    called_in_vain(world, number)
    calling.ready(world.hospital, number, DESK)
    calling.undo(world.hospital, number, DESK, reason="改天再来")
    times = choosing.times(world.hospital, appointment=number, limit=200)
    other = next(time for time in times if time.starts_at.day != world.clock.now().day)
    choosing.reschedule(world.hospital, number, other.group, other.starts_at, TESTER)
    row = world.database.row("SELECT absences, queue_places, queue_at FROM appointment WHERE number = ?", number)

    assert row == (0, "[]", None)


def test_a_room_that_looked_before_another_called_in_vain_calls_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = here(world, "P1", "P2")
    look, looked = queue.entries, []

    def entries(hospital: Any, group: str) -> Any:
        found = look(hospital, group)
        if not looked:
            looked.append(group)
            called_in_vain(world, one)
        return found

    monkeypatch.setattr(calling.queue, "entries", entries)

    assert calling.call_next(world.hospital, "US-N", TESTER).number == two


def test_no_exam_begins_while_its_patient_is_deferred(world: World) -> None:
    (number,) = here(world, "P1")
    ready_at = world.clock.now() + timedelta(hours=1)
    calling.defer(world.hospital, number, TESTER, reason="glucose_too_high", ready_at=ready_at)
    with pytest.raises(Conflict, match="not ready"):
        executing.report(world.hospital, number, ExecutionReport("started"), TESTER)
    world.clock.set(ready_at)

    assert executing.report(world.hospital, number, ExecutionReport("started"), TESTER).state == "in_progress"


def test_a_deferral_closes_no_task_that_it_does_not_answer(world: World) -> None:
    (number,) = here(world, "P1")
    item = world.database.value("SELECT order_item_id FROM appointment_item WHERE active = 1")
    now, hour = world.clock.now(), timedelta(hours=1)
    world.database.write(lambda: desk.open_task(world.database, "paid_twice", "US", None, item, now, hour))
    calling.defer(world.hospital, number, TESTER, reason="unwell")

    assert tasks(world) == ["paid_twice"]


def test_the_time_until_the_next_call_counts_from_when_an_exam_began_not_from_its_booked_time(world: World) -> None:
    database = world.database
    database.write(lambda: database.rows("UPDATE slot SET closed = 1, is_open = 0 WHERE taken = 0 AND resource_id IN "
                                         "(SELECT id FROM resource WHERE code = 'US-N-2') RETURNING id"))  # fmt: skip
    early = booked(world, patient="P1")
    times = choosing.times(world.hospital, appointment=early, limit=30)
    noon = next(time for time in times if time.starts_at.hour == 3 and time.group == "US-N")
    choosing.reschedule(world.hospital, early, "US-N", noon.starts_at, TESTER)
    next_one = booked(world, patient="P2")
    world.clock.set(status.appointment(world.hospital, next_one).starts_at)
    for number in (early, next_one):
        changes.check_in(world.hospital, number, TESTER)
    changes.execution(world.hospital, early, "started", TESTER)
    place = queue.place_of(world.hospital, next_one)

    assert place is not None
    assert queue.minutes_until(place, world.clock.now()) <= 10


def test_queue_systems_hear_the_number_and_the_place_of_whoever_is_here(world: World) -> None:
    database = world.database
    database.write(lambda: database.insert(Peer, code="QUEUE", created_at=epoch(world.clock.now())))
    world.clock.advance(timedelta(minutes=1))
    item = ticket(world)
    (visit,) = walkin.come(world.hospital, CARD, [item], PATIENT).appointments
    calling.call_next(world.hospital, "US-N", TESTER)
    told = dict(database.rows("SELECT kind, payload FROM event WHERE subject_key = ?", visit.number))

    assert set(told) == {"appointment.checked_in", "appointment.called"}
    assert all('"group":"US-N","mode":"walk_in","queue_number":1' in payload for payload in told.values())


# At the door


def test_a_kiosk_may_not_check_in_early_by_naming_a_time(world: World) -> None:
    number = booked(world)
    set_policy(world, check_in_opens_minutes=10)
    with pytest.raises(Conflict, match="opens at"):
        noshow.arrive(world.hospital, number, PATIENT, at=world.clock.now())


def test_exams_that_belong_into_one_visit_are_taken_in_as_one(world: World) -> None:
    order = unbooked(world, "US-THYROID", "US-HEART")
    came = walkin.come(world.hospital, CARD, [f"{order}/1", f"{order}/2"], PATIENT)

    assert [len(visit.items) for visit in came.appointments] == [2]


def test_an_exam_that_the_patient_gave_up_is_done_today_only_when_it_is_named(world: World) -> None:
    given_up, item = unbooked(world), ticket(world)
    came = walkin.come(world.hospital, CARD, (), PATIENT)

    assert [visit.items for visit in came.appointments] == [(item,)]
    assert walkin.come(world.hospital, CARD, [f"{given_up}/1"], PATIENT).appointments[0].state == "checked_in"


def test_what_is_booked_on_a_later_day_is_done_today_when_that_is_asked(world: World) -> None:
    number = booked(world)
    times = choosing.times(world.hospital, appointment=number, limit=200)
    other = next(time for time in times if time.starts_at.date() != world.clock.now().date() and time.group == "US-N")
    choosing.reschedule(world.hospital, number, other.group, other.starts_at, TESTER)
    with pytest.raises(Conflict, match="the appointment is on 2026-11-2"):
        walkin.come(world.hospital, CARD, (), PATIENT)
    (visit,) = walkin.come(world.hospital, CARD, (), PATIENT, move=True).appointments

    assert (visit.number, visit.state, visit.starts_at.date()) == (number, "checked_in", world.clock.now().date())


def test_who_missed_his_time_today_and_comes_after_all_is_taken_in(world: World) -> None:
    number = booked(world)
    world.clock.set(status.appointment(world.hospital, number).ends_at + timedelta(minutes=16))
    noshow.mark(world.hospital, number, TESTER)
    came = walkin.come(world.hospital, CARD, (), DESK)

    assert [visit.number for visit in came.appointments] == [number]


def test_who_was_called_in_vain_and_shows_up_at_the_door_stands_where_he_was_sent(world: World) -> None:
    first, *_ = here(world, "P1", "P2", "P3", "P4", "P5")
    called_in_vain(world, first)
    before = line(world)

    assert walkin.come(world.hospital, CARD, (), PATIENT).appointments[0].state == "checked_in"
    assert line(world) == before


def test_two_kiosks_that_give_the_same_patient_a_number_give_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item = ticket(world)
    ask, asked = walkin.gates.must_be_open, []

    def slower(*args: Any) -> int:
        if not asked:
            asked.append(item)
            walkin.come(world.hospital, CARD, (), PATIENT)
        return ask(*args)

    monkeypatch.setattr(walkin.gates, "must_be_open", slower)
    with pytest.raises(Conflict, match="booked"):
        walkin.come(world.hospital, CARD, [item], PATIENT)


def test_an_added_seat_keeps_clear_of_the_patients_other_exams(world: World) -> None:
    other = world.order("CT-HEAD")
    world.pay(other)
    world.clock.set(world.item(f"{other}/1").starts_at - timedelta(minutes=5))
    order = unbooked(world)
    fill_today(world)
    (visit,) = walkin.come(world.hospital, CARD, [f"{order}/1"], DESK, add_on=True, reason="外地患者").appointments
    until = world.hospital.database.value("SELECT end_at FROM appointment WHERE department = 'CT'")

    assert visit.starts_at.timestamp() >= until + 600, "ten minutes' walk after the other exam"
    assert "外地患者" in str(world.database.value("SELECT detail FROM audit WHERE action = 'slot.extra'"))


# Emergencies


def test_an_emergency_gets_a_number_where_the_exam_has_no_slots(world: World) -> None:
    _, came = walkin.emergency(world.hospital, EmergencyData("CLINIC", ("US-TICKET",), "外伤"), DESK)

    assert [visit.state for visit in came.appointments] == ["checked_in"]


def test_an_emergency_is_checked_in_whoever_reports_it_and_before_check_in_opens(world: World) -> None:
    world.clock.advance(timedelta(minutes=-90))
    _, came = walkin.emergency(world.hospital, TRAUMA, TESTER)

    assert [visit.state for visit in came.appointments] == ["checked_in"]


def test_an_emergency_without_an_order_is_released_whatever_other_emergencies_need(world: World) -> None:
    release = {**world.hospital.settings.release, "emergency": "paid"}
    strict = replace(world.hospital, settings=replace(world.hospital.settings, release=release))
    _, came = walkin.emergency(strict, TRAUMA, DESK)

    assert [visit.state for visit in came.appointments] == ["checked_in"]


def test_an_emergency_gets_a_seat_however_many_were_added_today(world: World) -> None:
    fill_today(world)
    set_policy(world, add_ons_a_day=0)
    exam = EmergencyData("CLINIC", ("US-THYROID",), "外伤", campus="N", number="T-7", ward="急诊")
    order, came = walkin.emergency(world.hospital, exam, TESTER)

    assert [visit.state for visit in came.appointments] == ["checked_in"]
    assert world.database.value("SELECT value FROM patient_identifier WHERE kind = 'temporary'") == "T-7"
    assert world.database.value("SELECT ward FROM encounter WHERE number = ?", order) == "急诊"


# Being examined


def test_what_was_given_back_is_not_finished_by_a_report_on_the_whole_visit(world: World) -> None:
    number, first, second = two_exams(world)
    executing.report(world.hospital, number, ExecutionReport("started"), TESTER)
    executing.report(world.hospital, number, ExecutionReport("not_done", (second,), reason_code="has_eaten"), TESTER)
    assert world.item(second).appointment_state == "booked"
    executing.report(world.hospital, number, ExecutionReport("finished"), TESTER)

    assert (world.item(first).state, world.item(second).state) == ("fulfilled", "accepted")
    assert state(world, number) == "fulfilled"


@pytest.mark.parametrize("by_items", [True, False])
def test_what_was_finished_stays_so_when_the_rest_of_the_visit_was_not_done(world: World, by_items: bool) -> None:
    number, first, second = two_exams(world)
    executing.report(world.hospital, number, ExecutionReport("finished", (first,)), TESTER)
    rest = (second,) if by_items else ()
    executing.report(world.hospital, number, ExecutionReport("not_done", rest, reason_code="unwell"), TESTER)

    assert (state(world, number), world.item(first).state) == ("fulfilled", "fulfilled")
    assert world.item(second).appointment_state == "booked"


def test_a_report_that_is_told_twice_changes_nothing(world: World) -> None:
    number, first, second = two_exams(world)
    executing.report(world.hospital, number, ExecutionReport("finished", (first,)), TESTER)
    assert executing.report(world.hospital, number, ExecutionReport("finished", (first,)), TESTER).state == "in_progress"
    done = executing.report(world.hospital, number, ExecutionReport("finished", (first, second)), TESTER)
    assert done.state == "fulfilled"

    assert executing.report(world.hospital, number, ExecutionReport("finished"), TESTER) == done
    with pytest.raises(Conflict):
        executing.report(world.hospital, number, ExecutionReport("not_done", reason_code="unwell"), TESTER)


def test_an_exam_of_a_visit_that_has_not_begun_is_given_back_without_beginning_it(world: World) -> None:
    number, _, second = two_exams(world)
    changes.check_in(world.hospital, number, TESTER)
    executing.report(world.hospital, number, ExecutionReport("not_done", (second,), reason_code="has_eaten"), TESTER)

    assert state(world, number) == "checked_in"
    assert calling.undo(world.hospital, number, DESK, reason="x").state == "booked"
    told = world.database.row("SELECT action, actor FROM audit WHERE subject_key = ? AND action LIKE 'order_item.%'", second)
    assert told == ("order_item.not_done", TESTER.name)


def test_exams_of_a_missed_visit_whose_seats_were_given_back_are_finished_one_by_one(world: World) -> None:
    number, first, second = two_exams(world)
    world.clock.set(status.appointment(world.hospital, number).ends_at + timedelta(hours=1))
    current = status.appointment(world.hospital, number)
    gone = NoShowDecision(NoShowAction.RELEASE, Text("已释放", "given back"), "x")
    world.database.write(lambda: noshow._write(world.hospital, current, gone, "", TESTER, None))
    executing.report(world.hospital, number, ExecutionReport("finished", (second,)), TESTER)
    executing.report(world.hospital, number, ExecutionReport("finished", (first,)), TESTER)

    assert (state(world, number), world.item(first).state, world.item(second).state) == ("fulfilled",) * 3


def test_who_was_not_done_is_planned_again_even_if_the_process_dies_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = booked(world)
    (item,) = status.appointment(world.hospital, number).items
    monkeypatch.setattr(executing.booking, "settle", dies)
    with pytest.raises(Killed):
        executing.report(world.hospital, number, ExecutionReport("not_done", reason_code="unwell"), TESTER)
    monkeypatch.undo()
    world.later(minutes=1)

    assert world.item(item).appointment_state == "booked"


# At the bedside


def test_a_bedside_exam_whose_gate_has_closed_is_not_started_but_one_that_is_over_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = inpatient(world)

    def closed(*_: Any) -> int:
        raise Conflict("awaiting_gate", Text("未同意", "consent was withdrawn"))

    monkeypatch.setattr(bedside.gates, "must_be_open", closed)
    with pytest.raises(Conflict, match="withdrawn"):
        bedside.report(world.hospital, item, ExecutionReport("started"), TESTER)

    assert bedside.report(world.hospital, item, ExecutionReport("finished"), TESTER).state == "fulfilled"


def test_a_bedside_report_that_died_between_is_finished_when_it_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, key = inpatient(world), request_key("ris", "b", "bedside", {})
    monkeypatch.setattr(bedside.executing, "report", dies)
    with pytest.raises(Killed):
        bedside.report(world.hospital, item, ExecutionReport("finished"), TESTER, key)
    monkeypatch.undo()
    assert receipts.find(world.database, key) is None

    assert bedside.report(world.hospital, item, ExecutionReport("finished"), TESTER, key).state == "fulfilled"


def test_only_the_desk_adds_a_seat(world: World) -> None:
    order = unbooked(world)
    with pytest.raises(Refused, match="only the desk"):
        walkin.come(world.hospital, CARD, [f"{order}/1"], Actor("mini", "rest"), add_on=True)
