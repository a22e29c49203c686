"""Payments before the order, in pieces, twice; refunds that shrink a visit, and those that come too late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane import EncounterClass, Sex, reporting
from examlane.appointments import changes, status
from examlane.corrections import refunds, withdrawing
from examlane.corrections.refunds import RefundData
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.insight import invariants
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.orders.release import PaymentData
from examlane.records.receipts import request_key
from examlane.testing import TESTER, World, small_hospital
from tests.day.test_reissued_orders import MORE, Merging, claims, place, theirs


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    from examlane.testing import require

    world = small_hospital(database_url, {"merging": Merging()}, MORE, planning_window=timedelta())
    require(world, "US", "merging")
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def order(world: World, number: str, *items: str, prices: tuple[str, ...] = (), patient: str = "P1") -> None:
    data = OrderData(
        number=number,
        patient=PatientData((Identifier("card", patient),), "患者", Sex.FEMALE),
        encounter=EncounterData(f"V-{patient}", EncounterClass.OUTPATIENT, campus="N"),
        ordering_department="CLINIC",
        ordered_at=world.clock.now(),
        lines=tuple(OrderLine(line, item, price=prices[line - 1] if prices else "") for line, item in enumerate(items, 1)),
    )
    reporting.submit_order(world.hospital, data, TESTER)


def pay(world: World, number: str, *lines: int, amount: str = "") -> Any:
    payment = PaymentData(number, world.clock.now(), lines, amount)
    return reporting.report_payment(world.hospital, payment, TESTER)


def refund(world: World, number: str, kind: str = "requested", *lines: int, key: Any = None) -> Any:
    return refunds.report(world.hospital, RefundData(number, kind, world.clock.now(), lines), TESTER, key)


def tasks(world: World) -> list[str]:
    return [code for (code,) in world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL ORDER BY id")]


def payments(world: World, number: str) -> list[str]:
    rows = world.database.rows("SELECT payment FROM order_item WHERE key LIKE ? ORDER BY id", f"{number}/%")
    return [payment for (payment,) in rows]


def test_a_payment_before_its_order_counts_for_the_lines_it_named(world: World) -> None:
    pay(world, "A1", 2)
    order(world, "A1", "US-THYROID", "CT-HEAD")

    assert payments(world, "A1") == ["unpaid", "paid"]
    assert world.item("A1/2").appointment_state == "booked"
    assert world.item("A1/1").reason == "awaiting_payment"


def test_an_exam_paid_in_pieces_is_booked_with_the_last_one(world: World) -> None:
    order(world, "A1", "US-THYROID", prices=("100.00",))
    pay(world, "A1", amount="60")
    assert (payments(world, "A1"), world.item("A1/1").reason) == (["part_paid"], "part_paid")
    pay(world, "A1", amount="40.00")

    assert world.item("A1/1").appointment_state == "booked"


def test_one_amount_for_two_exams_covers_them_in_order(world: World) -> None:
    order(world, "A1", "US-THYROID", "CT-HEAD", prices=("100", "300"))
    pay(world, "A1", amount="250")

    assert payments(world, "A1") == ["paid", "part_paid"]
    pay(world, "A1", 2, amount="150")
    assert payments(world, "A1") == ["paid", "paid"]


def test_a_second_payment_is_kept_and_the_cashier_told_to_refund_one(world: World) -> None:
    order(world, "A1", "US-THYROID")
    pay(world, "A1")
    before = claims(world)
    assert pay(world, "A1").state == "booked"

    assert tasks(world) == ["paid_twice"]
    assert claims(world) == before
    assert world.database.value("SELECT count(*) FROM payment") == 2


def test_a_paid_exam_behind_a_closed_gate_is_booked_when_it_opens(world: World) -> None:
    order(world, "A1", "US-GATED")
    answer = pay(world, "A1")
    assert answer.items[0].reason == "awaiting_gate"
    world.evidence("P1", "consent", "given")

    assert world.item("A1/1").appointment_state == "booked"


def test_a_partial_refund_shrinks_a_merged_visit_and_keeps_its_start_and_number(world: World) -> None:
    order(world, "A1", "US-THYROID", "US-HEART")
    pay(world, "A1")
    number = world.item("A1/1").appointment
    before, seats = place(world, number), claims(world)
    refund(world, "A1", "requested", 1)
    after = place(world, number)

    assert after[:2] == before[:2]
    assert after[2] < before[2]
    assert len(claims(world)) < len(seats)
    assert status.appointment(world.hospital, number).items[-1] == "A1/2"
    assert world.item("A1/1").reason == "refund_requested"


def test_a_refund_of_everything_cancels_the_visit_and_a_withdrawn_one_books_again(world: World) -> None:
    order(world, "A1", "US-THYROID")
    pay(world, "A1")
    number = world.item("A1/1").appointment
    refund(world, "A1")
    assert status.appointment(world.hospital, number).state == "cancelled"
    assert claims(world) == []
    refund(world, "A1", "withdrawn")

    assert payments(world, "A1") == ["paid"]
    assert world.item("A1/1").appointment_state == "booked"


def test_a_refunded_exam_can_be_paid_again(world: World) -> None:
    order(world, "A1", "US-THYROID", prices=("100",))
    pay(world, "A1", amount="100")
    refund(world, "A1", "refunded")
    assert world.item("A1/1").reason == "refunded"
    pay(world, "A1", amount="100")

    assert world.item("A1/1").appointment_state == "booked"


def test_each_item_says_whether_it_may_be_refunded(world: World) -> None:
    order(world, "A1", "US-THYROID", "CT-HEAD", "US-GATED")
    pay(world, "A1", 1, 2)
    changes.execution(world.hospital, world.item("A1/2").appointment, "started", TESTER)

    answers = {each.key: each.code for each in refunds.refundable(world.hospital, "A1")}
    assert answers == {"A1/1": "refundable", "A1/2": "exam_started", "A1/3": "not_paid"}
    refund(world, "A1", "refunded", 1)
    assert refunds.refundable(world.hospital, "A1")[0].code == "refunded"


def test_a_refund_after_the_start_is_stored_and_leaves_the_exam_as_it_is(world: World) -> None:
    order(world, "A1", "US-THYROID")
    pay(world, "A1")
    number = world.item("A1/1").appointment
    changes.execution(world.hospital, number, "started", TESTER)
    refund(world, "A1")

    assert status.appointment(world.hospital, number).state == "in_progress"
    assert tasks(world) == ["refund_after_start"]
    assert world.database.value("SELECT count(*) FROM payment WHERE kind = 'requested'") == 1


def test_refunding_an_order_that_was_sent_back_does_not_free_its_place(world: World) -> None:
    order(world, "A1", "US-THYROID")
    pay(world, "A1")
    withdrawing.send_back(world.hospital, "A1", (), TESTER, reason="资料不全")
    seats = claims(world)
    refund(world, "A1")
    refund(world, "A1", "refunded")

    assert claims(world) == seats
    assert world.database.value("SELECT state FROM appointment") == "held"


def test_unknown_orders_and_lines_are_named_and_nothing_is_stored(world: World) -> None:
    order(world, "A1", "US-THYROID")
    with pytest.raises(NotFound):
        refund(world, "NONE")
    with pytest.raises(InvalidInput, match="/lines/0"):
        refund(world, "A1", "requested", 7)

    assert world.database.value("SELECT count(*) FROM payment") == 0


def test_a_repeated_refund_and_the_neighbour(world: World) -> None:
    order(world, "A1", "US-THYROID")
    order(world, "B1", "US-THYROID", patient="P2")
    pay(world, "A1")
    pay(world, "B1")
    before = theirs(world, "B1")
    key = request_key("his", "r1", "refund.report", {})
    refund(world, "A1", key=key)
    with pytest.raises(Conflict):
        refund(world, "A1", key=key)

    assert world.database.value("SELECT count(*) FROM payment WHERE kind = 'requested'") == 1
    assert theirs(world, "B1") == before
