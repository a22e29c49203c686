"""重新开单后无法预约: an order that is sent back or voided keeps its place for the one that replaces it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane import GateClosed, GateOpen, Need, Segment, Text, Visit, VisitOption, hookimpl, reporting
from examlane.appointments import changes, choosing, status
from examlane.corrections import withdrawing
from examlane.domain import EncounterClass, Sex
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.insight import invariants
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.records.receipts import request_key
from examlane.testing import DATA, TESTER, World, require, small_hospital
from examlane.worker import turn

WORDS = Text("需知情同意", "consent is missing")


class Merging:
    """Ultrasound: all parts of a patient in one visit with the summed time; an exam with `sedation` waits for consent."""

    @hookimpl
    def requirements(self, orders: Any, groups: Any) -> list[Visit] | None:
        items = [item for order in orders for item in order.items]
        minutes = sum(item.services[0].minutes for item in items)
        options = tuple(
            VisitOption(group.code, group.campus, group.zone, (Segment("exam", minutes, (Need("room", group.code),)),))
            for group in groups
            if group.code == items[0].services[0].group
        )
        keys = tuple(item.key for item in items)
        return [Visit("+".join(keys), "US", keys, options)] if items else None

    @hookimpl
    def pre_booking_gate(self, order: Any, evidence: Any) -> list[Any]:
        signed = any(each.kind == "consent" for each in evidence)
        return [
            GateOpen("consent", item.key)
            if signed
            else GateClosed("consent", item.key, "no_consent", WORDS, WORDS, "doctor")
            for item in order.items
            if item.item.attributes.get("sedation")
        ]


MORE: dict[str, list[dict[str, Any]]] = {
    "items": [
        *DATA["items"],
        {"code": "US-LONG", "name": "复杂超声", "modality": "US", "department": "US"},
        {"code": "US-GATED", "name": "镇静超声", "modality": "US", "department": "US", "attributes": '{"sedation": true}'},
    ],
    "services": [
        *DATA["services"],
        {"item": "US-LONG", "group": "US-N", "minutes": 40},
        {"item": "US-GATED", "group": "US-N", "minutes": 10},
    ],
}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"merging": Merging()}, MORE, planning_window=timedelta())
    require(world, "US", "merging")
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def booked(world: World, *items: str, patient: str = "P1") -> str:
    order = world.order(*(items or ("US-THYROID",)), patient=patient)
    world.pay(order)
    return order


def reissue(world: World, old: str, *items: str, number: str = "N1", patient: str = "P1", **more: Any) -> Any:
    """The doctor's new order over the same road as the hospital's message."""
    data = OrderData(
        number=number,
        patient=PatientData((Identifier("card", patient),), "患者", Sex.FEMALE),
        encounter=EncounterData(f"V-{patient}", EncounterClass.OUTPATIENT, campus="N"),
        ordering_department="CLINIC",
        ordered_at=world.clock.now(),
        lines=tuple(OrderLine(line, item) for line, item in enumerate(items or ("US-THYROID",), 1)),
        replaces=old,
        **more,
    )
    return reporting.submit_order(world.hospital, data, TESTER)


def place(world: World, number: str) -> tuple[Any, ...]:
    found = status.appointment(world.hospital, number)
    return found.number, found.starts_at, found.ends_at, found.group


def claims(world: World) -> list[Any]:
    return world.database.rows("SELECT slot_id, seats FROM claim WHERE released_at IS NULL ORDER BY id")


def test_a_place_is_kept_when_an_order_is_sent_back_and_passes_over_when_the_new_one_is_paid(world: World) -> None:
    old = booked(world)
    number = world.item(f"{old}/1").appointment
    before, seats = place(world, number), claims(world)
    withdrawing.send_back(world.hospital, old, (), TESTER, reason="增强方式不符")
    held = status.appointment(world.hospital, number)
    assert (held.state, claims(world)) == ("held", seats)
    assert world.item(f"{old}/1").state == "withdrawn"

    reissue(world, old)
    assert world.item("N1/1").reason == "awaiting_payment"
    assert claims(world) == seats
    world.pay("N1")

    assert world.item("N1/1").appointment == number
    assert (place(world, number), claims(world)) == (before, seats)
    now = status.appointment(world.hospital, number)
    assert (now.state, now.version, now.items, now.hold_expires_at) == ("booked", 3, ("N1/1",), None)
    assert world.item(f"{old}/1").state == "replaced"
    assert now.explanation["code"] == "taken_over"


def test_a_new_order_that_arrives_before_the_old_one_was_voided_voids_it(world: World) -> None:
    old = booked(world)
    number = world.item(f"{old}/1").appointment
    reissue(world, old)
    world.pay("N1")

    assert world.item("N1/1").appointment == number
    assert world.item(f"{old}/1").state == "replaced"


def test_paying_the_old_order_books_nothing_and_is_a_task_for_the_desk(world: World) -> None:
    old = booked(world)
    withdrawing.void(world.hospital, old, (), TESTER, reason="开错", reissue=True)
    reissue(world, old)
    payment = reporting.PaymentData(old, world.clock.now())
    reporting.report_payment(world.hospital, payment, TESTER)

    assert world.item("N1/1").reason == "awaiting_payment"
    assert world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL") == [("paid_in_vain",)]


def test_what_was_paid_may_be_carried_over(world: World) -> None:
    old = booked(world)
    number = world.item(f"{old}/1").appointment
    reissue(world, old, carry_payment=True)

    assert world.item("N1/1").appointment == number
    assert world.database.rows("SELECT payment FROM order_item ORDER BY id") == [("carried",), ("paid",)]


def test_a_gate_of_the_new_order_keeps_the_place_waiting_until_it_opens(world: World) -> None:
    old = booked(world)
    number = world.item(f"{old}/1").appointment
    withdrawing.void(world.hospital, old, (), TESTER, reason="改为镇静", reissue=True)
    reissue(world, old, "US-GATED")
    world.pay("N1")
    assert world.item("N1/1").reason == "awaiting_gate"
    assert status.appointment(world.hospital, number).state == "held"
    world.evidence("P1", "consent", "given")

    assert world.item("N1/1").appointment == number


def test_a_longer_exam_gets_a_time_from_the_same_day_on_under_the_same_number(world: World) -> None:
    old = booked(world)
    number = world.item(f"{old}/1").appointment
    for patient in ("P2", "P3", "P4", "P5"):
        booked(world, patient=patient)
    before = place(world, number)
    withdrawing.void(world.hospital, old, (), TESTER, reason="改项目", reissue=True)
    reissue(world, old, "US-LONG")
    world.pay("N1")
    after = place(world, world.item("N1/1").appointment)

    assert after[0] == number
    assert after[1].date() >= before[1].date()
    assert after[2] - after[1] >= timedelta(minutes=40)


def test_without_a_new_order_the_place_is_given_back_and_the_desk_told(world: World) -> None:
    old = booked(world)
    withdrawing.void(world.hospital, old, (), TESTER, reason="开错")
    assert len(claims(world)) == 1
    world.clock.advance(timedelta(minutes=16))
    turn(world.hospital, lambda message: None)

    assert claims(world) == []
    assert [row[0] for row in world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL")] == ["not_reissued"]


def test_an_order_that_is_not_to_come_again_frees_its_place_at_once(world: World) -> None:
    old = booked(world)
    number = world.item(f"{old}/1").appointment
    withdrawing.void(world.hospital, old, (), TESTER, reason="不再需要", reissue=False)

    assert (claims(world), status.appointment(world.hospital, number).state) == ([], "cancelled")


def test_sent_back_on_a_friday_a_place_is_kept_until_monday_night(world: World) -> None:
    world.clock.advance(timedelta(days=4))
    old = booked(world)
    later = choosing.times(world.hospital, appointment=world.item(f"{old}/1").appointment, days=14, limit=400)[-1]
    number = world.item(f"{old}/1").appointment
    choosing.reschedule(world.hospital, number, later.group, later.starts_at, TESTER)
    withdrawing.send_back(world.hospital, old, (), TESTER, reason="资料不全")
    until = status.appointment(world.hospital, number).hold_expires_at

    assert until is not None
    assert f"{until.astimezone(world.hospital.settings.zone):%a %H:%M}" == "Tue 00:00"


def test_a_merged_visit_stays_booked_for_its_other_exam_and_the_new_one_joins_it(world: World) -> None:
    order = booked(world, "US-THYROID", "US-HEART")
    number, seats = world.item(f"{order}/1").appointment, claims(world)
    withdrawing.send_back(world.hospital, order, (1,), TESTER, reason="部位不符")
    assert status.appointment(world.hospital, number).state == "booked"
    assert claims(world) == seats
    reissue(world, order)
    world.pay("N1")

    assert world.item("N1/1").appointment == world.item(f"{order}/2").appointment == number
    assert claims(world) == seats


def test_a_merged_visit_shrinks_when_nobody_orders_the_withdrawn_part_again(world: World) -> None:
    order = booked(world, "US-THYROID", "US-HEART")
    number = world.item(f"{order}/1").appointment
    before, seats = place(world, number), claims(world)
    withdrawing.void(world.hospital, order, (1,), TESTER, reason="开错")
    world.clock.advance(timedelta(minutes=16))
    turn(world.hospital, lambda message: None)
    after = place(world, number)

    assert after[:2] == before[:2]
    assert after[2] < before[2]
    assert len(claims(world)) < len(seats)


def test_a_patient_who_is_here_already_gets_his_place_back_with_the_new_order(world: World) -> None:
    old = booked(world)
    number = world.item(f"{old}/1").appointment
    world.clock.set(status.appointment(world.hospital, number).starts_at - timedelta(minutes=5))
    changes.check_in(world.hospital, number, TESTER)
    withdrawing.send_back(world.hospital, old, (), TESTER, reason="增强方式不符")
    reissue(world, old, carry_payment=True)

    assert (world.item("N1/1").appointment, world.item("N1/1").appointment_state) == (number, "booked")


def test_a_kept_place_cannot_be_confirmed_as_if_it_were_chosen(world: World) -> None:
    old = booked(world)
    withdrawing.send_back(world.hospital, old, (), TESTER, reason="资料不全")
    with pytest.raises(Conflict, match="new one"):
        changes.confirm(world.hospital, world.database.value("SELECT number FROM appointment"), TESTER)


def test_what_is_started_unknown_closed_or_anothers_is_refused_and_nothing_changes(world: World) -> None:
    old, other = booked(world), booked(world, patient="P2")
    with pytest.raises(NotFound):
        withdrawing.send_back(world.hospital, "NONE", (), TESTER, reason="x")
    with pytest.raises(InvalidInput, match="/lines/1"):
        withdrawing.send_back(world.hospital, old, (1, 9), TESTER, reason="x")
    with pytest.raises(Refused, match="same patient"):
        reissue(world, other)
    with pytest.raises(Refused, match="same patient"):
        reissue(world, "N1")
    changes.execution(world.hospital, world.item(f"{old}/1").appointment, "started", TESTER)
    with pytest.raises(Conflict, match="begun"):
        withdrawing.void(world.hospital, old, (), TESTER, reason="x")
    withdrawing.void(world.hospital, other, (), TESTER, reason="x", reissue=True)
    with pytest.raises(Conflict, match="closed"):
        withdrawing.void(world.hospital, other, (), TESTER, reason="x")
    reissue(world, other, patient="P2")
    with pytest.raises(Conflict, match="another order"):
        reissue(world, other, patient="P2", number="N2")

    assert world.item(f"{old}/1").appointment_state == "in_progress"
    assert world.database.value("SELECT count(*) FROM exam_order WHERE number = 'N2'") == 0


def test_the_same_request_again_changes_nothing_and_another_patient_is_not_touched(world: World) -> None:
    old, other = booked(world), booked(world, patient="P2")
    before = theirs(world, other)
    key = request_key("his", "k1", "order.void", {"order": old})
    withdrawing.void(world.hospital, old, (), TESTER, key, reason="开错", reissue=True)
    events = world.database.value("SELECT count(*) FROM audit")
    with pytest.raises(Conflict):
        withdrawing.void(world.hospital, old, (), TESTER, key, reason="开错", reissue=True)

    assert world.database.value("SELECT count(*) FROM audit") == events
    assert theirs(world, other) == before


def theirs(world: World, order: str) -> list[Any]:
    """Everything of one order's patient."""
    return world.database.rows(
        "SELECT p.version, oi.state, oi.payment, oi.reason, a.version, a.state, a.start_at FROM order_item oi "
        "JOIN patient p ON p.id = oi.patient_id LEFT JOIN appointment a ON a.patient_id = p.id WHERE oi.key = ?",
        f"{order}/1",
    )
