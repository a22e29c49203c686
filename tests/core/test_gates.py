"""Gates: closed before payment, opened by evidence, and what becomes of a booked visit when one closes again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from examlane import EvidenceView, GateAnswer, GateClosed, GateOpen, OrderView, Text, hookimpl, reporting
from examlane.appointments import changes, choosing
from examlane.errors import Conflict, Refused
from examlane.insight import invariants
from examlane.testing import DATA, TESTER, World, small_hospital


class Assessment:
    """Opens for whoever's newest assessment has passed, as long as it is valid."""

    @hookimpl
    def pre_booking_gate(self, order: OrderView, evidence: Sequence[EvidenceView]) -> list[GateAnswer]:
        newest = next((fact for fact in reversed(evidence) if fact.kind == "assessment"), None)
        ready = any(fact.kind == "consent" for fact in evidence)
        return [self._gate(item.key, newest, ready) for item in order.items]

    def _gate(self, key: str, newest: EvidenceView | None, ready: bool) -> GateAnswer:
        if newest is not None and newest.outcome == "passed":
            consent = None if ready else Text("请先签署知情同意书", "the consent is signed first")
            return GateOpen("assessment", key, newest.valid_until, consent)
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
    assert open_tasks(world) == ["gate_stayed_closed"]
    world.evidence("P1", "assessment", "withdrawn")
    assert open_tasks(world) == ["gate_stayed_closed"]
    world.evidence("P1", "assessment", "passed")
    assert world.item(booked).reason == "booked"
    assert open_tasks(world) == []


def test_a_closed_gate_stops_check_in_and_everything_after_it(world: World, booked: str) -> None:
    number = world.item(booked).appointment
    world.evidence("P1", "assessment", "withdrawn")
    with pytest.raises(Conflict) as refused:
        changes.check_in(world.hospital, number, TESTER)
    assert (refused.value.code, refused.value.text.en) == ("awaiting_gate", "not assessed")
    world.evidence("P1", "assessment", "passed")
    changes.check_in(world.hospital, number, TESTER)
    world.evidence("P1", "assessment", "withdrawn")
    with pytest.raises(Conflict):
        changes.call(world.hospital, number, TESTER)
    with pytest.raises(Conflict):
        changes.execution(world.hospital, number, "started", TESTER)


def test_what_an_open_gate_still_wants_hinders_the_call_and_not_the_booking(world: World, booked: str) -> None:
    number = world.item(booked).appointment
    changes.check_in(world.hospital, number, TESTER)
    with pytest.raises(Conflict) as refused:
        changes.call(world.hospital, number, TESTER)
    assert (refused.value.code, refused.value.text.en) == ("not_ready", "the consent is signed first")
    world.evidence("P1", "consent", "signed")
    assert changes.call(world.hospital, number, TESTER).state == "called"


def test_a_visit_without_gates_is_called_as_before(world: World) -> None:
    order = world.order("CT-HEAD")
    world.pay(order)
    number = world.item(f"{order}/1").appointment
    changes.check_in(world.hospital, number, TESTER)
    assert changes.execution(world.hospital, number, "started", TESTER).state == "in_progress"


def test_nobody_chooses_a_time_past_a_closed_gate_not_even_after_a_cancellation(world: World, booked: str) -> None:
    changes.cancel(world.hospital, world.item(booked).appointment, TESTER, reason="patient")
    world.evidence("P1", "assessment", "withdrawn")
    with pytest.raises(Refused) as refused:
        choosing.times(world.hospital, items=[booked])
    assert refused.value.code == "awaiting_gate"


def test_an_item_that_costs_nothing_is_booked_unpaid(database_url: str) -> None:
    free = [{**item, "attributes": '{"zero_fee": true}'} if item["code"] == "CT-HEAD" else item for item in DATA["items"]]
    world = small_hospital(database_url, data={"items": free})
    order = world.order("CT-HEAD", "US-HEART")
    assert (world.item(f"{order}/1").reason, world.item(f"{order}/2").reason) == ("booked", "awaiting_payment")
    world.hospital.close()


def open_tasks(world: World) -> list[str]:
    return [code for (code,) in world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL")]


def test_an_expired_hold_is_left_to_whoever_chose_it(world: World, booked: str) -> None:
    changes.cancel(world.hospital, world.item(booked).appointment, TESTER, reason="patient")
    choice = choosing.times(world.hospital, items=[booked])[0]
    choosing.book(world.hospital, [booked], choice.group, choice.starts_at, TESTER, hold=True)
    world.clock.advance(timedelta(minutes=6))
    assert changes.expire_holds(world.hospital, TESTER) == 1
    world.pay(booked.split("/")[0])

    assert world.item(booked).reason == "cancelled"
    assert world.database.value("SELECT sum(taken) FROM slot") == 0
