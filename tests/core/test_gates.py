"""Gates: closed before payment, opened by evidence, and what becomes of a booked visit when one closes again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from examlane import EvidenceView, GateAnswer, GateClosed, GateOpen, OrderView, Text, hookimpl
from examlane.appointments import changes, reporting
from examlane.insight import invariants
from examlane.testing import TESTER, World, small_hospital


class Assessment:
    """Opens for whoever's newest assessment has passed, as long as it is valid."""

    @hookimpl
    def pre_booking_gate(self, order: OrderView, evidence: Sequence[EvidenceView]) -> list[GateAnswer]:
        newest = next((fact for fact in reversed(evidence) if fact.kind == "assessment"), None)
        return [self._gate(item.key, newest) for item in order.items]

    def _gate(self, key: str, newest: EvidenceView | None) -> GateAnswer:
        if newest is not None and newest.outcome == "passed":
            return GateOpen("assessment", key, newest.valid_until)
        words = Text("未通过评估", "not assessed")
        return GateClosed("assessment", key, "assessed.missing", words, Text("预约评估", "have it assessed"), "assessor")


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"assessment": Assessment()})
    world.switch("US", "assessment")
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


@pytest.fixture
def booked(world: World) -> str:
    order = world.order("US-THYROID")
    world.evidence("P1", "assessment", "passed")
    world.pay(order)
    assert world.item(f"{order}/1").appointment_state == "booked"
    return f"{order}/1"


def test_a_closed_gate_may_not_be_paid_but_a_payment_is_kept_and_books_once_it_opens(world: World) -> None:
    order = world.order("US-THYROID", "CT-HEAD")
    world.pay(order)
    closed, other = world.item(f"{order}/1"), world.item(f"{order}/2")
    assert (closed.reason, other.reason) == ("awaiting_gate", "booked")
    assert reporting.payment_answer(world.hospital, order).state == "desk"
    world.evidence("P1", "assessment", "passed")

    assert world.item(f"{order}/1").reason == "booked"


def test_a_visit_starts_before_its_gate_runs_out(world: World) -> None:
    order = world.order("US-THYROID")
    world.evidence("P1", "assessment", "passed", valid_until=world.clock.now() + timedelta(minutes=10))
    world.pay(order)

    assert world.item(f"{order}/1").reason == "no_time"


def test_a_gate_that_closes_again_makes_the_visit_tentative_and_keeps_its_seat(world: World, booked: str) -> None:
    world.evidence("P1", "assessment", "withdrawn")
    assert world.item(booked).appointment_state == "tentative"
    assert world.database.value("SELECT sum(taken) FROM slot") == 1
    world.evidence("P1", "assessment", "passed")

    assert world.item(booked).appointment_state == "booked"


def test_a_tentative_visit_loses_its_seat_at_the_cut_off(world: World, booked: str) -> None:
    world.evidence("P1", "assessment", "withdrawn")
    assert changes.expire_tentative(world.hospital, TESTER) == 1

    assert (world.item(booked).appointment, world.item(booked).reason) == (None, "awaiting_gate")
    world.evidence("P1", "assessment", "passed")
    assert world.item(booked).reason == "booked"


def test_an_expired_hold_is_left_to_whoever_chose_it(world: World, booked: str) -> None:
    changes.cancel(world.hospital, world.item(booked).appointment, TESTER, reason="patient")
    choice = changes.times(world.hospital, items=[booked])[0]
    changes.book(world.hospital, [booked], choice.group, choice.starts_at, TESTER, hold=True)
    world.clock.advance(timedelta(minutes=6))
    assert changes.expire_holds(world.hospital, TESTER) == 1
    world.pay(booked.split("/")[0])

    assert world.item(booked).reason == "cancelled"
    assert world.database.value("SELECT sum(taken) FROM slot") == 0
