"""试算: a dry run says which orders of the last weeks a changed rule or profile would have decided differently."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from examlane import Fact, Stage, hookimpl
from examlane.errors import NotFound
from examlane.extension import rules
from examlane.insight import trials
from examlane.insight.trials import Change, Trial
from examlane.rulebase import files
from examlane.testing import DATA, World, small_hospital

CONSENT = [{**item, "attributes": '{"consent": true}'} if item["code"] == "US-HEART" else item for item in DATA["items"]]


@pytest.fixture
def world(database_url: str, kidney: ModuleType) -> Iterator[World]:
    world = small_hospital(database_url, {"kidney": kidney}, {"items": CONSENT})
    world.switch("US", "kidney")
    yield world
    world.hospital.close()


def order(world: World, egfr: float | None, *items: str, patient: str = "", **more: Any) -> str:
    known = {"metformin": Fact(more.pop("metformin", False))} | ({} if egfr is None else {"egfr": Fact(egfr)})
    return world.order(*(items or ("US-THYROID",)), patient=patient or f"P{egfr}", context=known, **more)


def tried(world: World, rule: str = "kidney.severe", days: int = 30, limit: int = 2000, **changes: Any) -> Trial:
    """A dry run of another border for severe disease."""
    plugin = world.hospital.plugins.loaded["kidney"]
    changed = {"version": "2", "valid_from": "2027-01-01", "parameters": {"below": 45}, **changes}
    table = rules.draft(world.database, "kidney", plugin.rules, rule, changed)
    change = Change("kidney", [files.version("kidney", table)])
    return trials.run(world.hospital, change, days=days, limit=limit)


def contents(world: World) -> list[Any]:
    tables = ("audit", "order_item", "gate", "shadow_decision", "rule_version", "desk_task", "booking_due", "setting")
    return [sorted(world.database.rows(f"SELECT * FROM {table}")) for table in tables]


def test_only_the_orders_between_the_old_and_the_new_border_are_decided_differently(world: World) -> None:
    numbers = {egfr: order(world, egfr) for egfr in (20, 29, 30, 40, 44.9, 45, 80, None)}
    trial = tried(world)

    assert (trial.orders, trial.replayed, trial.items, trial.different) == (8, 8, 8, 3)
    assert {one.order for one in trial.shown} == {numbers[egfr] for egfr in (30, 40, 44.9)}
    first = next(one for one in trial.shown if one.order == numbers[40])
    assert (first.name.zh, first.before.state, first.after.state) == ("甲状腺彩超", "accepted", "rejected")
    assert [one.text.en for one in first.after.said if one.kind == "block"] == ["eGFR 40 is below 45: no exam"]
    assert trial.left_out == {}


def test_a_dry_run_changes_nothing_and_names_no_patient(world: World) -> None:
    order(world, 40, patient="P77")
    before = contents(world)
    trial = tried(world)

    assert contents(world) == before
    assert trial.different == 1
    assert "患者" not in str(trial.shown)
    assert "P77" not in str(trial.shown)


def test_other_words_or_another_version_alone_decide_nothing_differently(world: World) -> None:
    order(world, 20)

    assert tried(world, parameters={}, zh="不行", en="no", source="another").different == 0


def test_another_profile_is_tried_without_being_chosen(world: World) -> None:
    order(world, 50, patient="P1", metformin=True)
    order(world, 50, patient="P2", metformin=False)
    trial = trials.run(world.hospital, Change("kidney", profiles={"metformin": "cn_48h"}))

    assert (trial.items, trial.different) == (2, 1)
    assert trial.shown[0].after.state == "needs_confirmation"
    assert order_state(world, order(world, 50, patient="P3", metformin=True)) == "accepted"
    with pytest.raises(NotFound):
        trials.run(world.hospital, Change("kidney", profiles={"metformin": "mine"}))
    with pytest.raises(NotFound):
        trials.run(world.hospital, Change("heart"))


def order_state(world: World, number: str) -> str:
    found: str = world.item(f"{number}/1").state
    return found


def test_gates_and_preparation_are_tried_with_what_was_known_then(world: World) -> None:
    world.order("CT-HEAD", patient="P1")
    world.evidence("P1", "consent", "signed", observed_at=world.clock.now() - timedelta(days=20))
    world.clock.advance(timedelta(minutes=1))
    signed = order(world, 80, "US-HEART", "US-THYROID", patient="P1")
    late = order(world, 80, "US-HEART", patient="P2")
    world.clock.advance(timedelta(days=1))
    for patient in ("P1", "P2"):
        world.evidence(patient, "consent", "signed")
    trial = tried(world, "kidney.consent", parameters={"days": 10})

    assert [(one.order, one.item, one.before.state, one.after.state) for one in trial.shown] == [
        (signed, f"{signed}/1", "accepted", "awaiting_gate")
    ]
    assert late not in {one.order for one in trial.shown}
    assert tried(world, "kidney.water", parameters={"minutes": 90}).different == 3


def test_what_the_doctor_had_confirmed_stays_confirmed(world: World) -> None:
    number = order(world, 50, metformin=True)
    confirmed = json.dumps({"kidney.metformin": ""})
    world.database.write(lambda: world.database.rows("UPDATE order_item SET confirmed = ? RETURNING id", confirmed))
    trial = trials.run(world.hospital, Change("kidney", profiles={"metformin": "cn_48h"}))

    assert [(one.order, one.after.state) for one in trial.shown] == [(number, "accepted")]


@pytest.mark.parametrize(("stage", "items"), [(Stage.ON, 1), (Stage.PILOT, 1), (Stage.SHADOW, 1), (Stage.OFF, 0)])
def test_departments_where_the_plugin_counts_or_watches_are_tried(world: World, stage: Stage, items: int) -> None:
    order(world, 40, "US-THYROID", "CT-HEAD")
    world.switch("US", "kidney", stage)

    assert tried(world).items == items


def test_a_period_and_a_limit_bound_it_and_the_newest_come_first(world: World) -> None:
    numbers = []
    for egfr in (40, 41, 42):
        numbers.append(order(world, egfr))
        world.clock.advance(timedelta(days=1))
    seen: list[tuple[int, int]] = []
    limited = tried(world, limit=2)
    version = files.version("kidney", {**world.hospital.plugins.loaded["kidney"].rules.versions[0].content})
    trials.run(world.hospital, Change("kidney", [version]), progress=lambda done, of: seen.append((done, of)))

    assert (limited.orders, limited.replayed) == (3, 2)
    assert [one.order for one in limited.shown] == numbers[:0:-1]
    assert tried(world, days=2).orders == 2
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_what_cannot_be_replayed_is_counted_and_said(world: World) -> None:
    order(world, 40, patient="P1")
    order(world, 41, "US-HEART", patient="P2")
    broken = order(world, 42, patient="P3")
    change = world.database.write
    change(lambda: world.database.rows("UPDATE exam_item SET is_active = 0 WHERE code = 'US-HEART' RETURNING id"))
    change(lambda: world.database.rows("UPDATE exam_order SET context = '{' WHERE number = ? RETURNING id", broken))
    change(lambda: world.database.rows("UPDATE setting SET value = value + 1 WHERE name = 'catalogue' RETURNING id"))
    trial = tried(world)

    assert (trial.replayed, trial.items, trial.different) == (3, 1, 1)
    assert trial.left_out == {trials.GONE: 1, trials.UNREADABLE: 1}


def test_rules_that_make_the_plugin_fail_would_have_closed_and_close_nothing_now(world: World) -> None:
    for number in range(5):
        order(world, 80, patient=f"P{number}")
    trial = tried(world, "kidney.water", parameters={"minutes": "an hour"}, unit=None)

    assert {(one.before.state, one.after.state) for one in trial.shown} == {("accepted", "unverified")}
    assert trial.different == 5
    assert order_state(world, order(world, 80, patient="P9")) == "accepted"


def test_a_plugin_that_never_answers_is_said_so_and_a_trial_opens_no_live_breaker(database_url: str) -> None:
    def fail(order: Any) -> list[Any]:
        raise KeyError("weight_kg")

    world = small_hospital(database_url, {"other": SimpleNamespace(validate_order=hookimpl(fail))})
    for number in range(4):
        world.order("US-THYROID", patient=f"P{number}")
    world.switch("US", "other")
    trial = trials.run(world.hospital, Change("other"))

    assert (trial.items, trial.left_out) == (0, {trials.BOTH_FAIL: 4})
    assert not world.hospital.dispatcher.breaker("US", "other", "validate_order").is_open
    world.hospital.close()
