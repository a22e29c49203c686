"""How plugins do, as any process can see it: stages, problems, hooks that rest, and what shadows differ in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from examlane import Finding, FindingKind, Stage, Text, hookimpl
from examlane.extension import health
from examlane.extension.health import Health, Place
from examlane.testing import World, require, small_hospital
from examlane.worker import turn


class Moody:
    """Fails while it is told to."""

    def __init__(self) -> None:
        self.fails = False

    @hookimpl
    def validate_order(self, order: Any) -> list[Finding]:
        if self.fails:
            raise RuntimeError("patient Wang, egfr 29")
        return []


class Strict:
    @hookimpl
    def validate_order(self, order: Any) -> list[Finding]:
        return [Finding(FindingKind.BLOCK, "strict.no", Text("不行", "no"), item.key) for item in order.items]


@pytest.fixture
def moody() -> Moody:
    return Moody()


@pytest.fixture
def world(database_url: str, moody: Moody) -> Iterator[World]:
    found = small_hospital(database_url, {"moody": moody, "strict": Strict(), "odd": object()})
    yield found
    found.hospital.close()


def reported(world: World) -> dict[str, Health]:
    """As another process sees it: from the database alone."""
    return {one.name: one for one in health.report(world.database, world.hospital.plugins, world.hospital.clock)}


def place(world: World, plugin: str) -> Place:
    return reported(world)[plugin].places[0]


def test_every_plugin_is_there_with_its_stages_and_a_broken_one_with_its_reason(world: World) -> None:
    require(world, "US", "moody")
    world.switch("CT", "strict", Stage.PILOT, pilot_percent=30)
    world.switch("CT", "gone")
    found = reported(world)

    assert set(found) == {"moody", "strict", "odd", "gone"}
    assert (found["odd"].broken, found["gone"].broken) == ("implements no hook", "not installed")
    assert (place(world, "moody").stage, place(world, "moody").required) == ("on", True)
    assert (place(world, "strict").department, place(world, "strict").pilot_percent) == ("CT", 30)


def test_a_hook_that_rests_is_seen_from_outside_until_it_answers_again(world: World, moody: Moody) -> None:
    world.switch("US", "moody")
    moody.fails = True
    for patient in range(3):
        world.order("US-THYROID", patient=f"P{patient}")
    (rest,) = place(world, "moody").rests
    assert (rest.hook, rest.failure) == ("validate_order", "RuntimeError")

    moody.fails = False
    breaker = world.hospital.dispatcher.breaker("US", "moody", "validate_order")
    breaker._open_until = 0.0
    world.order("US-THYROID", patient="P9")
    assert place(world, "moody").rests == ()


def test_nothing_of_what_a_failure_says_is_kept_because_it_may_name_a_patient(world: World, moody: Moody) -> None:
    world.switch("US", "moody")
    moody.fails = True
    for patient in range(3):
        world.order("US-THYROID", patient=f"P{patient}")

    (detail,) = world.database.row("SELECT detail FROM audit WHERE action = 'plugin.rests'")
    assert json.loads(detail) == {"department": "US", "hook": "validate_order", "failure": "RuntimeError"}


def test_a_rest_is_noted_once_however_often_the_trial_call_fails(world: World, moody: Moody) -> None:
    world.switch("US", "moody")
    moody.fails = True
    for patient in range(5):
        world.order("US-THYROID", patient=f"P{patient}")
        breaker = world.hospital.dispatcher.breaker("US", "moody", "validate_order")
        breaker._open_until = None if breaker._open_until is None else 0.0

    assert world.database.value("SELECT count(*) FROM audit WHERE action = 'plugin.rests'") == 1


def test_two_failures_are_no_rest(world: World, moody: Moody) -> None:
    world.switch("US", "moody")
    moody.fails = True
    for patient in range(2):
        world.order("US-THYROID", patient=f"P{patient}")

    assert place(world, "moody").rests == ()


def test_a_shadow_is_counted_with_what_it_would_have_decided_otherwise(world: World) -> None:
    world.switch("US", "moody", Stage.SHADOW)
    world.switch("US", "strict", Stage.SHADOW)
    for patient in range(3):
        world.order("US-THYROID", patient=f"P{patient}")
    assert place(world, "strict").shadow == health.Comparison(3, 0, 0)

    turn(world.hospital, lambda *event: True)  # type: ignore[arg-type,return-value]
    assert place(world, "strict").shadow == health.Comparison(3, 3, 3)
    assert place(world, "moody").shadow == health.Comparison(3, 3, 0)
