"""An order that was voided or replaced before it came is stored when it comes, and never booked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from examlane import reporting
from examlane.corrections import withdrawing
from examlane.domain import EncounterClass, Sex
from examlane.errors import ExamlaneError, NotFound
from examlane.insight import invariants
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.orders.release import PaymentData
from examlane.records.receipts import request_key
from examlane.testing import TESTER, World, small_hospital
from examlane.worker import turn


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url)
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def order(world: World, number: str, patient: str = "P1", **more: Any) -> OrderData:
    return OrderData(
        number=number,
        patient=PatientData((Identifier("card", patient),), "患者", Sex.FEMALE),
        encounter=EncounterData(f"V-{patient}", EncounterClass.OUTPATIENT),
        ordering_department="CLINIC",
        ordered_at=world.clock.now(),
        lines=(OrderLine(1, "US-THYROID"), OrderLine(2, "CT-HEAD")),
        **more,
    )


def states(world: World, number: str) -> list[tuple[str, str]]:
    return world.database.rows(
        "SELECT oi.state, oi.reason FROM order_item oi JOIN exam_order o ON o.id = oi.order_id WHERE o.number = ?", number
    )


def test_an_order_that_was_voided_before_it_came_is_void(world: World) -> None:
    assert withdrawing.void(world.hospital, "N1", (), TESTER, reason="开错") == []
    items = reporting.submit_order(world.hospital, order(world, "N1"), TESTER)
    assert [(each.state, each.reason, each.appointment) for each in items] == [("withdrawn", "voided", None)] * 2
    reporting.report_payment(world.hospital, PaymentData("N1", world.clock.now()), TESTER)
    turn(world.hospital, lambda message: None)
    assert world.database.value("SELECT count(*) FROM appointment") == 0
    assert {code for (code,) in world.database.rows("SELECT code FROM desk_task")} == {"paid_in_vain"}


def test_a_payment_that_came_before_a_voided_order_books_nothing(world: World) -> None:
    world.pay("N1")
    withdrawing.void(world.hospital, "N1", (), TESTER, reason="开错")
    reporting.submit_order(world.hospital, order(world, "N1"), TESTER)
    assert states(world, "N1") == [("withdrawn", "voided")] * 2
    assert world.database.value("SELECT count(*) FROM appointment") == 0


def test_an_order_whose_replacement_came_first_is_void(world: World) -> None:
    reporting.submit_order(world.hospital, order(world, "N2", replaces="N1"), TESTER)
    reporting.submit_order(world.hospital, order(world, "N1"), TESTER)
    assert states(world, "N1") == [("withdrawn", "voided")] * 2
    assert [state for state, _ in states(world, "N2")] == ["accepted", "accepted"]


def test_voiding_what_has_not_come_is_done_once(world: World) -> None:
    key = request_key("his", "k1", "order.void", {})
    withdrawing.void(world.hospital, "N1", (), TESTER, key, reason="开错")
    with pytest.raises(ExamlaneError):
        withdrawing.void(world.hospital, "N1", (), TESTER, key, reason="开错")
    assert world.database.value("SELECT count(*) FROM voided_order") == 1
    assert world.database.rows("SELECT action, actor FROM audit WHERE subject_key = 'N1'") == [
        ("order.voided_early", TESTER.name)
    ]


def test_lines_of_an_order_that_has_not_come_are_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        withdrawing.void(world.hospital, "N1", (1,), TESTER, reason="开错")
    assert world.database.value("SELECT count(*) FROM voided_order") == 0


def test_an_order_and_its_voiding_at_the_same_moment_end_void(world: World) -> None:
    for number in (f"R{n}" for n in range(8)):
        world.pay(number)
        together(
            world,
            lambda number=number: withdrawing.void(world.hospital, number, (), TESTER, reason="开错", reissue=False),
            lambda number=number: reporting.submit_order(world.hospital, order(world, number, f"P{number}"), TESTER),
        )
        assert states(world, number) == [("withdrawn", "voided")] * 2
    assert world.database.value("SELECT count(*) FROM claim WHERE released_at IS NULL") == 0


def together(world: World, *work: Callable[[], object]) -> None:
    barrier, failed = threading.Barrier(len(work)), []

    def run(do: Callable[[], object]) -> None:
        barrier.wait()
        try:
            do()
        except ExamlaneError as error:
            failed.append(error)
        finally:
            world.database.close()

    threads = [threading.Thread(target=run, args=(do,)) for do in work]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
