"""A doctor changes an order: the rules are asked anew, and every item is answered kept, moved or to be decided."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane import Fact, Finding, FindingKind, Text, hookimpl
from examlane.appointments import changes
from examlane.corrections import order_changes
from examlane.corrections.order_changes import OrderChange
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.insight import invariants
from examlane.orders.intake import OrderLine
from examlane.records.receipts import request_key
from examlane.testing import TESTER, World, require, small_hospital
from tests.day.test_reissued_orders import claims, theirs


class Pregnancy:
    """CT: blocks a pregnant patient."""

    @hookimpl
    def validate_order(self, order: Any) -> list[Finding]:
        words = Text("妊娠禁忌", "not while pregnant")
        pregnant = order.known("pregnant") is True
        return [Finding(FindingKind.BLOCK, "ct.pregnant", words, item.key) for item in order.items if pregnant]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"pregnancy": Pregnancy()}, planning_window=timedelta())
    require(world, "CT", "pregnancy")
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


@pytest.fixture
def order(world: World) -> str:
    number = world.order("CT-HEAD", "US-THYROID")
    world.pay(number)
    return number


def change(world: World, order: str, key: Any = None, **more: Any) -> dict[str, str]:
    found = order_changes.change(world.hospital, OrderChange(order, **more), TESTER, key)
    return {each.item.key.rpartition("/")[2]: each.outcome for each in found}


def test_a_fact_that_changes_nothing_keeps_every_visit_as_it_is(world: World, order: str) -> None:
    before = claims(world)

    assert change(world, order, context={"weight_kg": Fact(61)}, note="左侧") == {"1": "kept", "2": "kept"}
    assert claims(world) == before
    assert world.item(f"{order}/1").version == 1


def test_a_fact_that_forbids_an_exam_makes_its_visit_tentative_and_asks_for_a_decision(world: World, order: str) -> None:
    assert change(world, order, context={"pregnant": Fact(True)}) == {"1": "needs_decision", "2": "kept"}
    assert world.item(f"{order}/1").appointment_state == "tentative"
    assert change(world, order, context={"pregnant": Fact(False)}) == {"1": "kept", "2": "kept"}
    assert world.item(f"{order}/1").appointment_state == "booked"


def test_an_exam_is_added_and_another_one_removed(world: World, order: str) -> None:
    lines = (OrderLine(2, "US-THYROID"), OrderLine(3, "US-HEART"))
    outcome = change(world, order, lines=lines)

    assert outcome == {"1": "removed", "2": "kept", "3": "kept"}
    assert world.item(f"{order}/3").reason == "awaiting_payment"
    assert world.item(f"{order}/1").appointment is None
    world.pay(order)
    assert world.item(f"{order}/3").appointment_state == "booked"
    assert world.item(f"{order}/1").state == "cancelled"


def test_every_mistake_is_named_and_nothing_is_written(world: World, order: str) -> None:
    later = world.clock.now() + timedelta(days=1)
    lines = (OrderLine(1, "US-HEART"), OrderLine(4, "NONE"), OrderLine(4, "US-HEART"))
    with pytest.raises(InvalidInput) as raised:
        change(world, order, context={"weight_kg": Fact(61, later)}, lines=lines)
    assert [pointer for pointer, _ in raised.value.problems] == [
        "/context/weight_kg/observed_at", "/items/1/item", "/items/2/line", "/items/0/item",
    ]  # fmt: skip
    with pytest.raises(NotFound):
        change(world, "NONE", note="x")
    assert world.database.value("SELECT version FROM exam_order WHERE number = ?", order) == 1


def test_a_stale_version_and_a_started_exam_are_refused(world: World, order: str) -> None:
    change(world, order, note="x")
    with pytest.raises(Conflict, match="reload"):
        change(world, order, version=1, note="y")
    changes.execution(world.hospital, world.item(f"{order}/1").appointment, "started", TESTER)
    with pytest.raises(Conflict, match="begun"):
        change(world, order, lines=(OrderLine(2, "US-THYROID"),))


def test_a_repeated_change_and_the_neighbour(world: World, order: str) -> None:
    other = world.order("US-THYROID", patient="P2")
    world.pay(other)
    before = theirs(world, other)
    key = request_key("his", "c1", "order.change", {})
    change(world, order, key, note="x")
    with pytest.raises(Conflict):
        change(world, order, key, note="x")

    assert world.database.value("SELECT version FROM exam_order WHERE number = ?", order) == 2
    assert theirs(world, other) == before
