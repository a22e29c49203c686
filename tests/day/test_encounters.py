"""Admission, transfer, discharge and death: seats kept, moved, given up or brought back, whatever order they come in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane import reporting
from examlane.appointments import booking, changes, choosing, status
from examlane.corrections import withdrawing
from examlane.domain import EncounterClass, Sex
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.insight import invariants
from examlane.orders.patients import Identifier, PatientData
from examlane.records.receipts import request_key
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import TESTER, World, small_hospital
from examlane.wards import encounters
from examlane.wards.encounters import EncounterReport, EncounterStatus

WARD, OTHER_WARD = "内科一病区", "外科二病区"


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url)
    world.database.write(
        lambda: world.database.insert(Peer, code="HIS", address="http://his", created_at=epoch(world.clock.now()) - 60)
    )
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def tell(world: World, event: str, encounter: str = "V-P1", hours: float = 0, **more: Any) -> EncounterStatus:
    """Report an event that happened so many hours ago."""
    at = more.pop("at", world.clock.now() - timedelta(hours=hours))
    return encounters.report(world.hospital, EncounterReport(encounter, event, at, **more), TESTER)


def paid(world: World, *items: str, patient: str = "P1", **more: Any) -> str:
    order = world.order(*(items or ("US-THYROID",)), patient=patient, **more)
    world.pay(order)
    return f"{order}/1"


def on_ward(world: World, *items: str, days: int = 2, **more: Any) -> str:
    """An inpatient's verified exam, some days ahead."""
    more = {"encounter_class": EncounterClass.INPATIENT, "verified": True, **more}
    order = world.order(*(items or ("US-THYROID",)), **more)
    key = f"{order}/1"
    number = str(world.item(key).appointment)
    times = [time for time in choosing.times(world.hospital, appointment=number, days=14, limit=200)
             if time.starts_at > world.clock.now() + timedelta(days=days)]  # fmt: skip
    choosing.reschedule(world.hospital, number, times[0].group, times[0].starts_at, TESTER)
    return key


def told(world: World, kind: str) -> list[dict[str, Any]]:
    return [json.loads(row[0]) for row in world.database.rows("SELECT payload FROM event WHERE kind = ? ORDER BY id", kind)]


def rows_of(world: World, patient: str) -> list[Any]:
    """Everything of a patient that another patient's event must not change."""
    key = world.database.value("SELECT patient_id FROM patient_identifier WHERE value = ?", patient)
    return [
        world.database.rows(f"SELECT * FROM {table} WHERE {column} = ? ORDER BY id", key)
        for table, column in (("patient", "id"), ("appointment", "patient_id"), ("order_item", "patient_id"))
    ]


# Admission


def test_an_admission_keeps_seats_changes_the_class_and_tells_the_ward(world: World) -> None:
    booked, unpaid = paid(world), f"{world.order('US-HEART')}/1"
    before, other = world.item(booked), paid(world, patient="P2")
    untouched = rows_of(world, "P2")
    found = tell(world, "admission", ward=WARD, bed="12")

    assert (found.standing.encounter_class, found.standing.ward, found.standing.bed) == ("inpatient", WARD, "12")
    assert found.appointments == (before.appointment,)
    assert world.item(booked).starts_at == before.starts_at
    assert world.item(booked).version == before.version
    assert world.item(unpaid).reason == "awaiting_release"
    ((added),) = told(world, "ward.exam_added")
    assert (added["ward"], added["appointment"]) == (WARD, before.appointment)
    assert world.item(other).appointment
    assert rows_of(world, "P2") == untouched


def test_what_the_ward_verifies_after_an_admission_is_booked(world: World) -> None:
    order = world.order("US-HEART")
    tell(world, "admission", ward=WARD)
    reporting.verify_order(world.hospital, order, TESTER)
    assert world.item(f"{order}/1").reason == "booked"


def test_an_admission_with_its_own_number_takes_the_named_orders_over(world: World) -> None:
    first, second = paid(world), paid(world, "CT-HEAD")
    found = tell(world, "admission", "IP-1", patient=person("P1"), orders=(first.split("/")[0],), ward=WARD)

    assert found.appointments == (world.item(first).appointment,)
    assert encounters.read(world.hospital, "V-P1").appointments == (world.item(second).appointment,)
    assert encounters.read(world.hospital, "V-P1").standing.encounter_class == "outpatient"
    back = encounters.withdraw(world.hospital, "IP-1", "admission", TESTER, reason="误操作")
    assert back.appointments == ()
    assert len(encounters.read(world.hospital, "V-P1").appointments) == 2


def person(card: str) -> PatientData:
    return PatientData((Identifier("card", card),), f"患者{card}", Sex.FEMALE)


def test_an_admission_of_somebody_unknown_registers_him(world: World) -> None:
    found = tell(world, "admission", "IP-9", patient=person("P9"), ward=WARD)
    assert (found.standing.encounter_class, found.standing.state) == ("inpatient", "open")


def test_an_order_sent_after_the_admission_does_not_make_him_an_outpatient_again(world: World) -> None:
    paid(world)
    tell(world, "admission", ward=WARD)
    key = f"{world.order('US-HEART')}/1"
    assert world.item(key).reason == "booked"  # verified, as the message says
    assert encounters.read(world.hospital, "V-P1").standing.encounter_class == "inpatient"


def test_a_withdrawn_admission_makes_an_outpatient_who_must_pay(world: World) -> None:
    first = paid(world)
    tell(world, "admission", ward=WARD)
    order = world.order("US-HEART", verified=True)
    second = f"{order}/1"
    assert world.item(second).appointment_state == "booked"
    encounters.withdraw(world.hospital, "V-P1", "admission", TESTER, reason="误操作")

    assert world.item(first).appointment_state == "booked"
    assert world.item(second).appointment_state == "tentative"
    world.pay(order)
    assert world.item(second).appointment_state == "booked"


# Transfer


def test_a_transfer_tells_both_wards_and_updates_what_bringing_him_takes(world: World) -> None:
    paid(world)
    tell(world, "admission", hours=2, ward=WARD, bed="12")
    found = tell(world, "transfer", hours=1, ward=OTHER_WARD, bed="3", needs=("isolation", "oxygen"))

    assert (found.standing.ward, found.standing.bed, found.standing.needs) == (OTHER_WARD, "3", ("isolation", "oxygen"))
    assert [each["ward"] for each in told(world, "ward.exam_removed")] == [WARD]
    assert [each["ward"] for each in told(world, "ward.exam_added")] == [WARD, OTHER_WARD]


def test_a_transfer_to_another_campus_asks_the_desk_until_he_is_back(world: World) -> None:
    paid(world)
    tell(world, "admission", hours=3, ward=WARD)
    tell(world, "transfer", hours=2, ward=OTHER_WARD, campus="S")
    tasks = "SELECT count(*) FROM desk_task WHERE code = 'recheck_place' AND closed_at IS NULL"
    assert world.database.value(tasks) == 1
    tell(world, "transfer", hours=1, ward=WARD, campus="N")
    assert world.database.value(tasks) == 0


def test_reports_that_come_late_take_their_place_by_their_instant(world: World) -> None:
    paid(world)
    tell(world, "admission", hours=5, ward=WARD)
    tell(world, "transfer", hours=1, ward=OTHER_WARD)
    found = tell(world, "transfer", hours=3, ward="重症监护")
    assert found.standing.ward == OTHER_WARD
    assert [fact.ward for fact in found.events] == [WARD, "重症监护", OTHER_WARD]


def test_the_same_event_reported_twice_is_one(world: World) -> None:
    paid(world)
    at = world.clock.now()
    tell(world, "admission", at=at, ward=WARD)
    assert len(tell(world, "admission", at=at, ward=WARD).events) == 1
    assert len(told(world, "ward.exam_added")) == 1


def test_a_bed_alone_changes_the_ward_list_only(world: World) -> None:
    paid(world)
    tell(world, "admission", hours=2, ward=WARD, bed="1")
    tell(world, "transfer", hours=1, bed="2")
    assert len(told(world, "ward.exam_changed")) == 1
    assert told(world, "ward.exam_removed") == []


# Discharge


def test_a_discharge_cancels_what_is_still_to_come_and_nothing_is_booked_again(world: World) -> None:
    booked, waiting = on_ward(world), f"{world.order('CT-HEAD', verified=False)}/1"
    outside = paid(world, "US-HEART", encounter="V-o")
    found = tell(world, "discharge")

    assert (found.standing.state, found.appointments) == ("discharged", ())
    assert (world.item(booked).appointment, world.item(booked).reason) == (None, "discharged")
    assert world.item(waiting).reason == "discharged"
    assert world.item(outside).reason == "booked"
    booking.settle_due(world.hospital)
    assert world.item(booked).reason == "discharged"


def test_a_visit_before_the_discharge_is_left_alone(world: World) -> None:
    key = f"{world.order('US-THYROID', encounter_class=EncounterClass.INPATIENT)}/1"
    visit = status.appointment(world.hospital, world.item(key).appointment)
    world.clock.set(visit.ends_at + timedelta(minutes=1))
    tell(world, "discharge")
    assert world.item(key).appointment_state == "booked"
    changes.execution(world.hospital, visit.number, "finished", TESTER)


def test_a_discharge_by_mistake_gives_the_same_place_back(world: World) -> None:
    key = on_ward(world)
    before = status.appointment(world.hospital, world.item(key).appointment)
    waiting = f"{world.order('CT-HEAD', verified=False, encounter_class=EncounterClass.INPATIENT)}/1"
    tell(world, "discharge")
    found = encounters.withdraw(world.hospital, "V-P1", "discharge", TESTER, reason="误操作")

    after = status.appointment(world.hospital, before.number)
    assert (after.state, after.starts_at, after.group) == ("booked", before.starts_at, before.group)
    assert found.standing.state == "open"
    assert world.item(waiting).reason == "awaiting_release"


def test_whose_place_was_given_away_meanwhile_is_planned_again(world: World) -> None:
    key = on_ward(world)
    before = status.appointment(world.hospital, world.item(key).appointment)
    tell(world, "discharge")
    world.database.rows("UPDATE slot SET closed = 1, is_open = 0 WHERE start_at = ? RETURNING id", epoch(before.starts_at))
    encounters.withdraw(world.hospital, "V-P1", "discharge", TESTER, reason="误操作")

    assert status.appointment(world.hospital, before.number).state == "cancelled"
    assert world.item(key).appointment_state == "booked"
    assert world.item(key).appointment != before.number


def test_what_was_cancelled_before_the_discharge_stays_cancelled(world: World) -> None:
    key = on_ward(world)
    changes.cancel(world.hospital, world.item(key).appointment, TESTER, reason="患者要求")
    tell(world, "discharge")
    encounters.withdraw(world.hospital, "V-P1", "discharge", TESTER, reason="误操作")
    assert (world.item(key).appointment, world.item(key).reason) == (None, "cancelled")


@pytest.mark.parametrize("event", ["discharge", "death"])
def test_a_withdrawn_order_gives_its_place_back_and_still_says_why_it_was_withdrawn(world: World, event: str) -> None:
    key = paid(world)
    withdrawing.send_back(world.hospital, key.partition("/")[0], (), TESTER, reason="资料不全")
    number = world.item(key).appointment
    assert status.appointment(world.hospital, number).state == "held"

    tell(world, event)
    encounters.withdraw(world.hospital, "V-P1", event, TESTER, reason="误操作")

    assert status.appointment(world.hospital, number).state == "cancelled"
    assert (world.item(key).state, world.item(key).reason) == ("withdrawn", "sent_back")


def test_a_converted_discharge_keeps_the_seat_until_it_is_paid(world: World) -> None:
    key = on_ward(world, days=3)
    start = world.item(key).starts_at
    found = tell(world, "discharge", convert=True)

    assert (found.standing.encounter_class, found.standing.state) == ("outpatient", "converted")
    assert (world.item(key).appointment_state, world.item(key).starts_at) == ("tentative", start)
    asked = [each for each in told(world, "order_item.changed") if each["reason"] == "awaiting_payment"]
    assert asked == [{"order_item": key, "state": "accepted", "reason": "awaiting_payment", "payable": True}]
    booking.settle(world.hospital, 1)
    assert world.item(key).appointment_state == "tentative"
    world.pay(key.split("/")[0])
    assert (world.item(key).appointment_state, world.item(key).starts_at) == ("booked", start)


def test_what_is_not_paid_until_the_cut_off_loses_its_seat(world: World) -> None:
    key = on_ward(world, days=3)
    start = world.item(key).starts_at
    tell(world, "discharge", convert=True)
    world.clock.set(start - timedelta(hours=25))
    assert changes.expire_tentative(world.hospital, TESTER) == 0
    world.clock.set(start - timedelta(hours=24))
    assert changes.expire_tentative(world.hospital, TESTER) == 1
    booking.settle(world.hospital, 1)
    assert (world.item(key).appointment, world.item(key).reason) == (None, "awaiting_payment")


def test_an_exam_within_the_cut_off_still_leaves_time_to_pay(world: World) -> None:
    key = f"{world.order('US-THYROID', encounter_class=EncounterClass.INPATIENT)}/1"
    tell(world, "discharge", convert=True)
    assert changes.expire_tentative(world.hospital, TESTER) == 0
    world.pay(key.split("/")[0])
    assert world.item(key).appointment_state == "booked"


def test_a_converted_discharge_by_mistake_needs_no_payment_again(world: World) -> None:
    key = on_ward(world, days=3)
    tell(world, "discharge", convert=True)
    encounters.withdraw(world.hospital, "V-P1", "discharge", TESTER, reason="误操作")
    assert world.item(key).appointment_state == "booked"
    assert world.database.value("SELECT release FROM order_item") == "verified"


def test_a_discharged_patient_may_be_booked_by_hand(world: World) -> None:
    key = on_ward(world)
    tell(world, "discharge")
    times = choosing.times(world.hospital, items=[key])
    assert choosing.book(world.hospital, [key], times[0].group, times[0].starts_at, TESTER).state == "booked"


# Death


def test_a_death_ends_everything_without_a_word_to_the_patient(world: World) -> None:
    ward, clinic = on_ward(world), paid(world, "CT-HEAD", encounter="V-clinic")
    waiting = f"{world.order('US-HEART', encounter='V-clinic', patient='P1')}/1"
    other = paid(world, patient="P2")
    untouched = rows_of(world, "P2")
    numbers = [world.item(key).appointment for key in (clinic, ward)]
    heard = len(told(world, "appointment.cancelled"))
    found = tell(world, "death")

    assert found.standing.died
    assert [world.item(key).reason for key in (ward, clinic, waiting)] == ["deceased"] * 3
    cancelled = told(world, "appointment.cancelled")[heard:]
    assert sorted(each["appointment"] for each in cancelled) == sorted(numbers)
    assert all(each["silent"] for each in cancelled)
    ((own),) = told(world, "encounter.death")
    assert own["silent"] is True
    assert world.database.value("SELECT count(*) FROM desk_task WHERE closed_at IS NULL") == 0
    assert rows_of(world, "P2") == untouched
    assert world.item(other).reason == "booked"


def test_nothing_is_booked_for_who_has_died_whatever_still_arrives(world: World) -> None:
    key = f"{world.order('US-THYROID')}/1"
    tell(world, "death")
    world.pay(key.split("/")[0])
    late = f"{world.order('US-HEART')}/1"
    assert [world.item(each).reason for each in (key, late)] == ["deceased", "deceased"]
    with pytest.raises(Refused):
        choosing.times(world.hospital, items=[key])
    assert world.database.value("SELECT count(*) FROM desk_task WHERE closed_at IS NULL") == 0


def test_a_death_reported_by_mistake_gives_everything_back(world: World) -> None:
    key, given_up = on_ward(world), paid(world, "CT-HEAD", encounter="V-clinic")
    changes.cancel(world.hospital, world.item(given_up).appointment, TESTER, reason="患者要求")
    waiting = f"{world.order('US-HEART', encounter='V-clinic')}/1"
    before = world.item(key)
    tell(world, "death")
    found = encounters.withdraw(world.hospital, "V-P1", "death", TESTER, reason="录入错误")

    assert not found.standing.died
    assert (world.item(key).appointment, world.item(key).starts_at) == (before.appointment, before.starts_at)
    assert world.item(waiting).reason == "awaiting_payment"
    assert world.item(given_up).reason == "cancelled"


def test_who_is_called_when_he_dies_is_no_longer_waited_for(world: World) -> None:
    key = paid(world)
    number = world.item(key).appointment
    changes.check_in(world.hospital, number, TESTER)
    changes.call(world.hospital, number, TESTER)
    tell(world, "death")
    assert status.appointment(world.hospital, number).state == "cancelled"


# Bad input


def test_bad_reports_change_nothing(world: World) -> None:
    paid(world), paid(world, patient="P2")
    before = rows_of(world, "P1")
    with pytest.raises(NotFound):
        tell(world, "admission", "NONE")
    with pytest.raises(InvalidInput) as wrong:
        tell(world, "transfer", at=world.clock.now() + timedelta(hours=1), campus="X", orders=("O1",))
    assert [pointer for pointer, _ in wrong.value.problems] == ["/at", "/campus", "/orders"]
    with pytest.raises(InvalidInput):
        tell(world, "admission", orders=("O2",))
    with pytest.raises(Conflict):
        tell(world, "admission", patient=person("P2"))
    with pytest.raises(NotFound):
        encounters.withdraw(world.hospital, "V-P1", "death", TESTER, reason="-")
    with pytest.raises(NotFound):
        encounters.withdraw(world.hospital, "NONE", "death", TESTER, reason="-")
    assert rows_of(world, "P1") == before
    assert world.database.value("SELECT count(*) FROM encounter_event") == 0


def test_the_key_of_a_report_is_kept(world: World) -> None:
    paid(world)
    key = request_key("his", "a", "encounter.report", {})
    encounters.report(world.hospital, EncounterReport("V-P1", "admission", world.clock.now()), TESTER, key)
    assert world.database.rows("SELECT subject, subject_key FROM receipt") == [("encounter", "V-P1")]
