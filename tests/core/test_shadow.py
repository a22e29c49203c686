"""对照运行: a plugin in shadow is asked after the fact on the stored input, and has no effect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from examlane import (
    Fact,
    Finding,
    FindingKind,
    GateClosed,
    GateOpen,
    IntervalRule,
    Need,
    OrderView,
    Relation,
    Segment,
    Selector,
    Stage,
    Text,
    Visit,
    VisitOption,
    hookimpl,
)
from examlane.extension import shadow
from examlane.testing import World, small_hospital

NO = Text("不行", "no")
SEEN = datetime(2026, 11, 20, 1, tzinfo=UTC)


def block(order: Any) -> list[Finding]:
    return [Finding(FindingKind.BLOCK, "rules.no", NO, item.key) for item in order.items]


def shut(order: Any) -> list[GateClosed]:
    return [GateClosed("assessed", item.key, "rules.shut", NO, NO, "nurse") for item in order.items]


def longer(orders: Any, groups: Any) -> list[Visit]:
    """The same visits as the core's, twice as long."""
    return [
        Visit(item.key, "US", (item.key,), tuple(
            VisitOption(s.group, s.campus, s.zone, (Segment("exam", s.minutes * 2, (Need("room", s.group),)),))
            for s in item.services
        ))
        for order in orders for item in order.items
    ]  # fmt: skip


def same(orders: Any) -> list[Visit]:
    """What the core makes of items by itself."""
    return [
        Visit(item.key, "US", (item.key,), tuple(
            VisitOption(s.group, s.campus, s.zone, (Segment("exam", s.minutes, (Need("room", s.group),)),))
            for s in item.services
        ))
        for order in orders for item in order.items
    ]  # fmt: skip


AGREE: Mapping[str, Any] = {
    "validate_order": lambda order: [],
    "pre_booking_gate": lambda order: [],
    "requirements": same,
}
DISAGREE: Mapping[str, Any] = {
    "validate_order": block,
    "pre_booking_gate": shut,
    "requirements": longer,
}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, hook_seconds=0.05)
    yield world
    world.hospital.close()


def watch(world: World, stage: Stage = Stage.SHADOW, name: str = "watcher", **hooks: Callable[..., Any]) -> None:
    module = SimpleNamespace(name=name, **{hook: hookimpl(function) for hook, function in hooks.items()})
    world.hospital.plugins.register(name, module)
    assert name in world.hospital.plugins.loaded, world.hospital.plugins.broken
    world.switch("US", name, stage)


def book(world: World, **more: Any) -> str:
    order = world.order("US-THYROID", settle=False, **more)
    world.pay(order)
    return f"{order}/1"


def ask(world: World) -> int:
    version = world.database.value("SELECT value FROM setting WHERE name = 'rollout'")
    chains = world.hospital.rollouts.at(version, world.clock.now())
    return shadow.ask_pending(world.database, world.hospital.dispatcher, chains, lambda request: None, 1)  # type: ignore[arg-type,return-value]


def decisions(world: World) -> dict[str, tuple[Any, Any]]:
    rows = world.database.rows("SELECT hook, differs, shadow FROM shadow_decision ORDER BY id")
    return {hook: (differs, json.loads(said) if said else None) for hook, differs, said in rows}


def test_a_plugin_in_shadow_is_not_asked_before_the_decision_and_does_not_change_it(world: World) -> None:
    asked: list[str] = []

    def validate_order(order: Any) -> list[Finding]:
        asked.append(order.number)
        return block(order)

    watch(world, validate_order=validate_order, pre_booking_gate=shut)

    assert world.item(book(world)).reason == "booked"
    assert asked == []
    assert ask(world) == 2
    assert len(asked) == 1
    assert ask(world) == 0


def test_a_plugin_that_agrees_is_recorded_as_no_difference(world: World) -> None:
    watch(world, **AGREE)
    book(world)
    ask(world)

    assert {hook: differs for hook, (differs, _) in decisions(world).items()} == dict.fromkeys(AGREE, 0)


def test_a_plugin_that_disagrees_is_recorded_with_what_it_said(world: World) -> None:
    watch(world, **DISAGREE)
    key = book(world)
    ask(world)

    found = decisions(world)
    assert {hook: differs for hook, (differs, _) in found.items()} == dict.fromkeys(DISAGREE, 1)
    assert found["validate_order"][1][0][0]["code"] == "rules.no"
    assert found["pre_booking_gate"][1][0][0]["owner"] == "nurse"
    assert found["requirements"][1][0][0]["options"][0]["segments"][0]["minutes"] == 20
    assert world.item(key).reason == "booked"


def test_a_plugin_is_compared_with_what_the_live_one_said(world: World) -> None:
    open_gate = lambda order: [GateOpen("assessed", item.key) for item in order.items]  # noqa: E731
    watch(world, Stage.ON, "live", validate_order=block)
    watch(world, Stage.SHADOW, "twin", validate_order=block)
    watch(world, Stage.SHADOW, "other", validate_order=lambda order: [], pre_booking_gate=open_gate)
    assert world.item(book(world)).reason == "rejected"
    ask(world)

    rows = world.database.rows("SELECT plugin, differs FROM shadow_decision WHERE hook = 'validate_order'")
    assert dict(rows) == {"twin": 0, "other": 1}


def test_a_plugin_that_declines_leaves_the_decision_as_it_was(world: World) -> None:
    watch(world, requirements=lambda orders: None)
    book(world)
    ask(world)

    assert decisions(world)["requirements"] == (0, [None])


def test_the_stored_question_is_the_one_that_was_put(world: World) -> None:
    live: list[tuple[Any, ...]] = []
    later: list[tuple[Any, ...]] = []

    def keeping(kept: list[tuple[Any, ...]]) -> Callable[..., list[Finding]]:
        def validate_order(order: OrderView, patient: Any, evidence: Sequence[Any], now: datetime) -> list[Finding]:
            kept.append((order, patient, tuple(evidence), now))
            return []

        return validate_order

    watch(world, Stage.ON, "live", validate_order=keeping(live))
    watch(world, Stage.SHADOW, "watcher", validate_order=keeping(later))
    context = {"egfr": Fact(58.5, SEEN, "LIS"), "pregnant": Fact(False), "contrast_reaction": Fact("mild")}
    world.order("CT-HEAD", patient="P1", settle=False)
    world.evidence("P1", "consent", "passed", valid_until=SEEN + timedelta(days=30), data={"score": [1, 2.5, None]})
    book(world, patient="P1", context=context, note="增强")
    world.later(hours=1)
    ask(world)

    assert later[-1] == live[-1]
    order, patient, evidence, now = later[-1]
    assert order.known("egfr") == 58.5
    assert order.context["egfr"].observed_at == SEEN
    assert order.items[0].confirmed == {}
    assert evidence[0].data["score"] == [1, 2.5, None]
    assert (patient.id, now) == (1, live[-1][3])


def test_the_intervals_of_a_stored_request_are_read_back(world: World) -> None:
    ultrasound = Selector(modality="US", attributes={"contrast": False})
    rule = IntervalRule("house.apart", "1", ultrasound, ultrasound, Relation.EXCLUDE, NO, after=timedelta(hours=36))
    asked: list[Any] = []
    watch(world, Stage.ON, "house", interval_rules=lambda patient: [rule])
    watch(world, allocate=lambda request, availability: asked.append(request))
    book(world)
    ask(world)
    assert [request.intervals for request in asked] == [(rule,)]


def test_an_answer_that_would_be_refused_live_is_recorded_as_a_failure(world: World) -> None:
    watch(world, validate_order=lambda order: "yes", pre_booking_gate=lambda order: [object()] * 9,
          requirements=lambda orders: [])  # fmt: skip
    book(world)
    ask(world)

    found = decisions(world)
    assert set(found) == set(AGREE)
    assert all(differs == 1 and list(said) == ["failure"] for differs, said in found.values())


def test_failures_in_shadow_close_nothing_for_a_department_where_the_plugin_is_live(world: World) -> None:
    def validate_order(order: Any) -> list[Any]:
        if order.items[0].item.department == "US":
            raise KeyError("weight_kg")
        return []

    watch(world, validate_order=validate_order)
    world.switch("CT", "watcher")
    for number in range(4):
        book(world, patient=f"P{number}")
    ask(world)
    order = world.order("CT-HEAD", settle=False)
    world.pay(order)

    assert world.item(f"{order}/1").reason == "booked"


def test_a_question_that_can_no_longer_be_read_does_not_hold_up_the_others(world: World) -> None:
    watch(world, validate_order=block)
    book(world, patient="P1")
    world.database.write(lambda: world.database.rows("UPDATE shadow_decision SET question = '{}' RETURNING id"))
    book(world, patient="P2")

    assert ask(world) == 2
    said = [json.loads(text) for (text,) in world.database.rows("SELECT shadow FROM shadow_decision ORDER BY id")]
    assert "cannot be read" in said[0]["failure"]
    assert said[1][0][0]["code"] == "rules.no"


def test_a_question_to_a_plugin_that_left_the_shadow_is_dropped_without_a_verdict(world: World) -> None:
    watch(world, validate_order=block)
    book(world)
    world.switch("US", "watcher", Stage.OFF)

    assert ask(world) == 1
    assert decisions(world)["validate_order"] == (None, {"failure": "no longer in shadow"})
