"""No-shows of an ordinary day: each department's grace, sources that fall silent, paper check-ins, and withdrawals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from examlane import NoShow, NoShowAction, NoShowDecision, Text, hookimpl
from examlane.appointments import changes, choosing, status
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import attendance, noshow
from examlane.capacity import policy
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.insight import invariants
from examlane.records.receipts import request_key
from examlane.replanning import closing, suspensions
from examlane.replanning.closing import Asked
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import TESTER, World, small_hospital
from examlane.wards import encounters
from examlane.wards.encounters import EncounterReport


class House:
    """Decides about a no-show as the test says."""

    action = NoShowAction.MANUAL

    @hookimpl
    def on_no_show(self, no_show: NoShow) -> NoShowDecision:
        return NoShowDecision(self.action, Text("请到登记台", "please see the desk"), "house.said")


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def world(database_url: str, house: House) -> Iterator[World]:
    world = small_hospital(database_url, {"house": house})
    world.switch("US", "house")
    world.database.write(
        lambda: world.database.insert(Peer, code="QUEUE", address="http://queue", created_at=epoch(world.clock.now()) - 60)
    )
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def setting(world: World, department: str, **values: Any) -> None:
    policy.set_policy(world.database, department, values, TESTER, epoch(world.clock.now()))


def booked(world: World, *items: str, patient: str = "P1") -> AppointmentStatus:
    order = world.order(*(items or ("US-THYROID",)), patient=patient)
    world.pay(order)
    return now(world, world.item(f"{order}/1").appointment)


def now(world: World, number: str) -> AppointmentStatus:
    return status.appointment(world.hospital, number)


def after(world: World, visit: AppointmentStatus, **delta: float) -> datetime:
    """The clock at so much time after a visit's end."""
    world.clock.set(visit.ends_at + timedelta(**delta))
    return world.clock.now()


def missed(world: World, **more: Any) -> AppointmentStatus:
    """A visit that was marked as a no-show by the sweep."""
    visit = booked(world, **more)
    after(world, visit, minutes=20)
    assert noshow.sweep(world.hospital) == 1
    return now(world, visit.number)


def tasks(world: World) -> list[str]:
    return [code for (code,) in world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL ORDER BY id")]


def told(world: World, kind: str) -> list[dict[str, Any]]:
    return [json.loads(row[0]) for row in world.database.rows("SELECT payload FROM event WHERE kind = ? ORDER BY id", kind)]


# Grace


def test_each_department_waits_as_long_as_it_has_set(world: World) -> None:
    setting(world, "US", grace_minutes=40)
    ultrasound, head = booked(world), booked(world, "CT-HEAD", patient="P2")
    after(world, max(ultrasound, head, key=lambda visit: visit.ends_at), minutes=20)

    assert noshow.sweep(world.hospital) == 1
    assert (now(world, ultrasound.number).state, now(world, head.number).state) == ("booked", "no_show")
    world.clock.advance(timedelta(minutes=30))
    assert noshow.sweep(world.hospital) == 1


def test_a_latecomer_is_late_by_his_departments_grace(world: World) -> None:
    setting(world, "US", grace_minutes=0)
    visit = booked(world)
    after(world, visit, seconds=1)
    assert noshow.arrive(world.hospital, visit.number, TESTER).state == "no_show"


def test_a_longer_grace_lets_him_in(world: World) -> None:
    setting(world, "US", grace_minutes=60)
    visit = booked(world)
    after(world, visit, minutes=59)
    assert noshow.arrive(world.hospital, visit.number, TESTER).state == "checked_in"


# A source that falls silent


def four_due(world: World) -> list[AppointmentStatus]:
    return [booked(world, patient=f"S{n}") for n in range(4)]


def at(world: World, hour: int, minute: int = 0) -> None:
    world.clock.set(world.clock.now().astimezone(world.hospital.settings.zone).replace(hour=hour, minute=minute))


def test_nobody_is_marked_while_a_department_hears_of_nobody(world: World) -> None:
    setting(world, "US", grace_minutes=60)
    visits = four_due(world)
    at(world, 10)

    assert noshow.sweep(world.hospital) == 0
    assert {now(world, visit.number).state for visit in visits} == {"booked"}
    assert tasks(world) == ["check_in_paused"]
    ((told_of),) = told(world, "department.check_in_paused")
    assert (told_of["department"], told_of["kind"]) == ("US", "silent")
    assert attendance.source(world.hospital, "US").state == "silent"
    assert attendance.source(world.hospital, "CT").state == "online"


def test_the_notice_says_since_when_and_comes_once(world: World) -> None:
    setting(world, "US", grace_minutes=60)
    four_due(world)
    at(world, 10)
    for _ in range(3):
        noshow.sweep(world.hospital)
        world.clock.advance(timedelta(minutes=1))

    assert tasks(world) == ["check_in_paused"]
    assert "08:00" in world.database.value("SELECT reason FROM desk_task WHERE code = 'check_in_paused'")
    assert len(told(world, "department.check_in_paused")) == 1


def test_closed_hours_are_no_silence(world: World) -> None:
    """From the evening to a quarter of an hour after opening the department says nothing, as it should."""
    setting(world, "US", grace_minutes=0)
    four_due(world)
    at(world, 8, 50)
    noshow.sweep(world.hospital)
    assert attendance.source(world.hospital, "US").state == "online"


def test_a_lone_no_show_is_no_silence(world: World) -> None:
    visit = booked(world)
    after(world, visit, hours=2)
    assert noshow.sweep(world.hospital) == 1


def test_zero_minutes_never_count_as_silent(world: World) -> None:
    setting(world, "US", check_in_silent_minutes=0)
    four_due(world)
    at(world, 11)
    assert noshow.sweep(world.hospital) == 4


def test_a_department_that_reports_is_not_silent(world: World) -> None:
    setting(world, "US", grace_minutes=60)
    visits = four_due(world)
    at(world, 9, 30)
    noshow.arrive(world.hospital, visits[0].number, TESTER)
    at(world, 10)
    assert noshow.sweep(world.hospital) > 0


def test_once_it_is_heard_again_paper_is_entered_first_and_then_no_shows_are_noticed(world: World) -> None:
    setting(world, "US", grace_minutes=60)
    visits = four_due(world)
    late = [booked(world, "US-HEART", patient=f"L{n}") for n in range(2)]
    at(world, 10)
    noshow.sweep(world.hospital)
    world.clock.advance(timedelta(minutes=1))
    changes.check_in(world.hospital, late[0].number, TESTER)
    changes.call(world.hospital, late[0].number, TESTER)
    world.clock.advance(timedelta(minutes=1))

    assert noshow.sweep(world.hospital) == 0
    assert tasks(world) == ["paper_check_ins"]
    assert len(told(world, "department.check_in_resumed")) == 1
    came = visits[0].starts_at
    assert noshow.arrive(world.hospital, visits[0].number, TESTER, at=came).state == "checked_in"
    world.clock.advance(timedelta(minutes=30))
    assert noshow.sweep(world.hospital) > 0
    assert "paper_check_ins" not in tasks(world)
    assert now(world, visits[1].number).state == "no_show"


def test_paper_entered_meanwhile_does_not_count_as_the_source_being_back(world: World) -> None:
    setting(world, "US", grace_minutes=60)
    visits = four_due(world)
    at(world, 10)
    noshow.sweep(world.hospital)
    noshow.arrive(world.hospital, visits[0].number, TESTER, at=visits[0].starts_at)
    world.clock.advance(timedelta(minutes=1))
    noshow.sweep(world.hospital)
    assert attendance.source(world.hospital, "US").state == "silent"


# A source that is declared offline


def test_a_declared_outage_pauses_one_department_until_it_is_over(world: World) -> None:
    setting(world, "US", paper_check_in_minutes=10)
    ultrasound, head = booked(world), booked(world, "CT-HEAD", patient="P2")
    found = attendance.declare(world.hospital, "US", "offline", TESTER, reason="网络中断")
    assert (found.state, found.reason) == ("offline", "网络中断")
    after(world, max(ultrasound, head, key=lambda visit: visit.ends_at), minutes=30)
    assert noshow.sweep(world.hospital) == 1
    assert now(world, ultrasound.number).state == "booked"

    assert attendance.declare(world.hospital, "US", "online", TESTER).state == "paper"
    assert noshow.sweep(world.hospital) == 0
    world.clock.advance(timedelta(minutes=10))
    assert noshow.sweep(world.hospital) == 1
    assert attendance.source(world.hospital, "US").state == "online"
    actions = [row[0] for row in world.database.rows("SELECT action FROM audit WHERE subject = 'department' ORDER BY id")]
    assert actions[-2:] == ["department.check_in_paused", "department.check_in_resumed"]


def test_without_paper_time_the_sweep_goes_on_at_once(world: World) -> None:
    setting(world, "US", paper_check_in_minutes=0)
    visit = booked(world)
    attendance.declare(world.hospital, "US", "offline", TESTER)
    after(world, visit, minutes=30)
    attendance.declare(world.hospital, "US", "online", TESTER)
    assert noshow.sweep(world.hospital) == 1
    assert tasks(world) == ["no_show"]


def test_an_outage_declared_twice_has_the_earlier_start_and_one_notice(world: World) -> None:
    world.clock.advance(timedelta(hours=2))
    early = world.clock.now() - timedelta(hours=1)
    attendance.declare(world.hospital, "US", "offline", TESTER, reason="one")
    found = attendance.declare(world.hospital, "US", "offline", TESTER, since=early, reason="two")
    assert (found.since, found.reason) == (early, "two")
    assert tasks(world) == ["check_in_paused"]
    assert world.database.value("SELECT count(*) FROM check_in_pause") == 1


def test_bad_declarations_change_nothing(world: World) -> None:
    with pytest.raises(NotFound):
        attendance.declare(world.hospital, "NONE", "offline", TESTER)
    with pytest.raises(InvalidInput):
        attendance.declare(world.hospital, "US", "offline", TESTER, since=world.clock.now() + timedelta(hours=1))
    with pytest.raises(Conflict, match="not offline"):
        attendance.declare(world.hospital, "US", "online", TESTER)
    assert world.database.value("SELECT count(*) FROM check_in_pause") == 0


def test_the_desk_keeps_its_task_when_other_exams_of_the_patient_are_planned(world: World) -> None:
    visit = missed(world)
    booked(world, "CT-HEAD")
    assert tasks(world) == ["no_show"]
    assert world.item(visit.items[0]).reason == "no_show"


# Paper check-ins


def test_a_paper_check_in_that_was_in_time_withdraws_the_no_show(world: World) -> None:
    visit = missed(world)
    assert tasks(world) == ["no_show"]
    here = noshow.arrive(world.hospital, visit.number, TESTER, at=visit.starts_at - timedelta(minutes=5))

    assert (here.state, here.starts_at, here.no_show) == ("checked_in", visit.starts_at, {})
    assert tasks(world) == []
    assert world.database.value("SELECT count(*) FROM missed_visit WHERE withdrawn_at IS NULL") == 0
    evidence = json.loads(world.database.value("SELECT evidence FROM appointment_version ORDER BY id DESC LIMIT 1"))
    assert datetime.fromisoformat(evidence["happened_at"]) == visit.starts_at - timedelta(minutes=5)


def test_a_paper_check_in_that_was_late_stays_a_no_show(world: World) -> None:
    visit = missed(world)
    assert noshow.arrive(world.hospital, visit.number, TESTER, at=visit.ends_at + timedelta(minutes=15)).state == "no_show"


def test_who_had_come_is_checked_in_even_where_his_seat_was_given_away(world: World, house: House) -> None:
    house.action = NoShowAction.RELEASE
    visit = missed(world)
    assert world.database.value("SELECT count(*) FROM claim WHERE released_at IS NULL") == 0
    assert noshow.arrive(world.hospital, visit.number, TESTER, at=visit.starts_at).state == "checked_in"
    assert world.database.value("SELECT active FROM appointment_item") == 1


def test_exams_are_reported_later_with_their_real_times(world: World) -> None:
    visit = missed(world)
    for state, minutes in (("started", 0), ("finished", 8)):
        happened = visit.starts_at + timedelta(minutes=minutes)
        changes.execution(world.hospital, visit.number, state, TESTER, at=happened)
        evidence = json.loads(world.database.value("SELECT evidence FROM appointment_version ORDER BY id DESC LIMIT 1"))
        assert datetime.fromisoformat(evidence["happened_at"]) == happened
    assert now(world, visit.number).state == "fulfilled"


# Withdrawals


def test_a_no_show_marked_too_early_has_its_time_back(world: World) -> None:
    visit, other = booked(world), booked(world, patient="P2")
    noshow.mark(world.hospital, visit.number, TESTER)
    before = world.database.rows("SELECT * FROM appointment WHERE id = ?", other.id)
    (item,) = noshow.withdraw(world.hospital, visit.number, TESTER, reason="叫错人")

    assert item.appointment is not None
    assert (item.appointment.number, item.appointment.state) == (visit.number, "booked")
    assert item.appointment.starts_at == visit.starts_at
    assert world.item(item.key).reason == "booked"
    assert tasks(world) == []
    assert world.database.rows("SELECT * FROM appointment WHERE id = ?", other.id) == before


def test_whose_time_is_over_is_booked_anew_without_paying(world: World) -> None:
    visit = missed(world)
    (item,) = noshow.withdraw(world.hospital, visit.number, TESTER, reason="系统误判")

    assert now(world, visit.number).state == "cancelled"
    assert item.appointment is not None
    assert item.appointment.number != visit.number
    assert (item.appointment.state, item.payment) == ("booked", "paid")
    assert item.appointment.starts_at > world.clock.now()
    assert tasks(world) == []
    assert world.database.value("SELECT count(*) FROM missed_visit WHERE withdrawn_at IS NULL") == 0


def test_who_is_here_is_checked_in(world: World) -> None:
    visit = missed(world)
    (item,) = noshow.withdraw(world.hospital, visit.number, TESTER, reason="一直在候检区", here=True)
    assert item.appointment is not None
    assert (item.appointment.number, item.appointment.state) == (visit.number, "checked_in")


def test_what_is_no_no_show_cannot_be_withdrawn(world: World) -> None:
    visit = booked(world)
    with pytest.raises(Refused) as refused:
        noshow.withdraw(world.hospital, visit.number, TESTER, reason="-")
    assert refused.value.code == "no_no_show"
    with pytest.raises(NotFound):
        noshow.withdraw(world.hospital, "NONE", TESTER, reason="-")
    assert now(world, visit.number).version == visit.version


def test_who_has_died_meanwhile_gets_no_time_back_and_is_not_checked_in(world: World) -> None:
    visit = booked(world)
    noshow.mark(world.hospital, visit.number, TESTER)
    encounters.report(world.hospital, EncounterReport("V-P1", "death", world.clock.now()), TESTER)

    with pytest.raises(Conflict, match="no longer arranged"):
        noshow.withdraw(world.hospital, visit.number, TESTER, reason="误判", here=True)
    noshow.withdraw(world.hospital, visit.number, TESTER, reason="误判")

    assert now(world, visit.number).state == "cancelled"


def test_whose_device_was_closed_meanwhile_gets_another_time(world: World) -> None:
    visit = booked(world)
    noshow.mark(world.hospital, visit.number, TESTER)
    held = world.database.value(
        "SELECT r.code FROM claim c JOIN resource r ON r.id = c.resource_id JOIN appointment a ON a.id = c.appointment_id "
        "WHERE a.number = ? AND c.released_at IS NULL",
        visit.number,
    )
    asked = Asked("device_down", "检修", held, since=world.clock.now(), until=visit.ends_at + timedelta(hours=1))
    suspensions.apply(world.hospital, closing.plan(world.hospital, asked), TESTER)

    (item,) = noshow.withdraw(world.hospital, visit.number, TESTER, reason="误判")

    assert now(world, visit.number).state == "cancelled"
    assert item.appointment is not None
    assert (item.appointment.state, item.appointment.number != visit.number) == ("booked", True)


def test_a_withdrawal_does_not_touch_what_was_booked_anew_by_hand(world: World, house: House) -> None:

    house.action = NoShowAction.RELEASE
    visit = missed(world)
    (key,) = visit.items
    times = choosing.times(world.hospital, items=[key])
    again = choosing.book(world.hospital, [key], times[-1].group, times[-1].starts_at, TESTER)
    noshow.withdraw(world.hospital, visit.number, TESTER, reason="误判")

    assert (now(world, visit.number).state, now(world, again.number).state) == ("cancelled", "booked")
    assert world.item(key).reason == "booked"
    with pytest.raises(Refused):
        noshow.withdraw(world.hospital, visit.number, TESTER, reason="误判", here=True)


def test_the_key_of_a_withdrawal_is_kept(world: World) -> None:
    visit = missed(world)
    key = request_key("desk", "w1", "withdraw", {})
    noshow.withdraw(world.hospital, visit.number, TESTER, key, reason="误判")
    assert world.database.rows("SELECT subject, subject_key FROM receipt") == [("visit", visit.number)]
