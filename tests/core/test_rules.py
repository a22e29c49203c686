"""The life of a rule version: loaded, proposed, signed by several, chosen, in effect everywhere, never changed in place."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from types import ModuleType
from typing import Any

import pytest

from examlane import Fact
from examlane.errors import Conflict, NotFound, Refused
from examlane.extension import rules
from examlane.extension.rules import ACTIVE, PROPOSED
from examlane.records.audit import Actor
from examlane.rulebase.files import RuleSet
from examlane.storage.database import Database
from examlane.storage.fields import dump
from examlane.testing import World, small_hospital

AUTHOR, PHARMACIST, RADIOLOGIST = (Actor(name, "page") for name in ("author", "pharmacist", "radiologist"))
TOMORROW = "2026-11-24"
APPROVE_ELSEWHERE = """
import sys
from datetime import UTC, datetime
from examlane.extension import rules
from examlane.records.audit import Actor
from examlane.storage.database import Database
from examlane.storage.fields import dump
rules.approve(Database(sys.argv[1]), "kidney.severe", "2", "radiology", Actor("radiologist", "page"), datetime.now(UTC))
"""


@pytest.fixture
def world(database_url: str, kidney: ModuleType) -> Iterator[World]:
    world = small_hospital(database_url, {"kidney": kidney})
    world.switch("US", "kidney")
    yield world
    world.hospital.close()


def shipped(world: World) -> RuleSet:
    return world.hospital.plugins.loaded["kidney"].rules


def load(world: World) -> list[str]:
    return rules.load(world.database, "kidney", shipped(world), AUTHOR, world.clock.now())


def propose(world: World, reason: str = "new guideline", rule: str = "kidney.severe", **changes: Any) -> None:
    """Propose another border for severe disease, by default version 2 with 45 from tomorrow."""
    changed = {"version": "2", "valid_from": TOMORROW, "parameters": {"below": 45}, **changes}
    table = rules.draft(world.database, "kidney", shipped(world), rule, changed)
    today = world.hospital.calendar.day_of(world.clock.now())
    rules.propose(world.database, "kidney", shipped(world), table, reason, AUTHOR, world.clock.now(), today)


def approve(world: World, role: str, actor: Actor, version: str = "2") -> str:
    return rules.approve(world.database, "kidney.severe", version, role, actor, world.clock.now())


def sign(world: World, version: str = "2") -> None:
    approve(world, "pharmacy", PHARMACIST, version)
    assert approve(world, "radiology", RADIOLOGIST, version) == ACTIVE


def border(world: World) -> float:
    """The border that counts in this process."""
    version = world.database.value("SELECT value FROM setting WHERE name = 'rollout'") or 0
    found: float = world.hospital.rollouts.at(version, world.clock.now()).rules("kidney")["severe"]["below"]
    return found


def ordered(world: World, egfr: float, **more: Any) -> str:
    """What becomes of an order with this kidney function."""
    number = world.order("US-THYROID", context={"egfr": Fact(egfr), "metformin": Fact(False)}, **more)
    return f"{number}/1"


# Loading


def test_the_shipped_rules_count_before_and_after_they_are_loaded(world: World) -> None:
    assert border(world) == 30
    assert len(load(world)) == len(shipped(world).versions) == 6
    assert border(world) == 30
    assert {one.state for one in rules.listed(world.database)} == {ACTIVE}
    assert load(world) == []


def test_what_a_later_release_brings_is_proposed_and_counts_when_it_is_signed(world: World) -> None:
    load(world)
    plugin = world.hospital.plugins.loaded["kidney"]
    severe = next(one for one in plugin.rules.versions if one.rule == "kidney.severe")
    later = replace(severe, version="2026.2", content={**severe.content, "parameters": {"below": 15}})
    release = replace(plugin.rules, versions=(*plugin.rules.versions, later))

    assert rules.load(world.database, "kidney", release, AUTHOR, world.clock.now()) == ["kidney.severe 2026.2"]
    assert border(world) == 30
    assert rules.found(world.database, "kidney.severe", "2026.2").missing == ("pharmacy", "radiology")
    sign(world, "2026.2")
    assert border(world) == 15


# Proposing


def test_a_proposal_counts_for_nothing_until_every_role_has_signed_and_the_day_has_come(world: World) -> None:
    load(world)
    propose(world)
    assert approve(world, "pharmacy", PHARMACIST) == PROPOSED
    assert border(world) == 30
    assert approve(world, "radiology", RADIOLOGIST) == ACTIVE
    assert border(world) == 30
    world.clock.advance(timedelta(hours=15, minutes=59))
    assert border(world) == 30
    world.clock.advance(timedelta(minutes=1))
    assert border(world) == 45


def test_a_version_that_ends_gives_way_to_the_one_before_it(world: World) -> None:
    load(world)
    propose(world, valid_to="2026-11-30")
    sign(world)
    world.clock.advance(timedelta(days=7))
    assert border(world) == 45
    world.clock.advance(timedelta(days=1))
    assert border(world) == 30


def test_a_proposal_before_the_first_load_brings_all_the_other_rules_with_it(world: World) -> None:
    propose(world)
    sign(world)
    world.clock.advance(timedelta(days=1))

    assert border(world) == 45
    assert len(rules.listed(world.database, plugin="kidney", state=ACTIVE)) == 7
    assert world.item(ordered(world, 50)).state == "accepted"


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"valid_from": "2026-11-23"}, "not_in_future", "/rule/valid_from"),
        ({"reason": " "}, "reason_missing", "/reason"),
        ({"reason": "x" * 201}, "reason_missing", "/reason"),
        ({"version": "2026.1"}, "version_exists", "/rule/version"),
        ({"source": None}, "rule_malformed", "/rule"),
        ({"case": []}, "rule_malformed", "/rule"),
        ({"unit": {"below": ""}}, "rule_malformed", "/rule"),
        ({"parameters": "many"}, "rule_malformed", "/rule"),
        ({"when": [1]}, "rule_malformed", "/rule"),
        ({"unknown": "kidney.gone"}, "rule_malformed", "/rule"),
        ({"profile": {"metformin": "mine"}}, "rule_malformed", "/rule"),
        ({"profile": {"aspirin": "acr_2021"}}, "rule_malformed", "/rule"),
    ],
)
def test_what_is_no_proposal_is_refused_and_nothing_is_kept(
    world: World, changes: dict[str, Any], code: str, pointer: str
) -> None:
    load(world)
    before = rules.listed(world.database)
    with pytest.raises(Refused) as caught:
        propose(world, **changes)

    assert (caught.value.code, caught.value.pointer) == (code, pointer)
    assert rules.listed(world.database) == before


def test_a_draft_of_what_there_is_not_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        propose(world, rule="kidney.mild")
    with pytest.raises(NotFound):
        rules.draft(world.database, "kidney", shipped(world), "kidney.severe", {}, based_on="1999")


# Signing


def test_nobody_signs_his_own_proposal_two_roles_or_a_role_that_is_not_asked(world: World) -> None:
    propose(world)
    approve(world, "pharmacy", PHARMACIST)
    refused = [("radiology", AUTHOR, "four_eyes"), ("radiology", PHARMACIST, "four_eyes"),
               ("nursing", RADIOLOGIST, "role_unknown"), ("pharmacy", RADIOLOGIST, "already_signed")]  # fmt: skip
    for role, actor, code in refused:
        with pytest.raises(Refused) as caught:
            approve(world, role, actor)
        assert caught.value.code == code
    assert rules.found(world.database, "kidney.severe", "2").missing == ("radiology",)
    assert approve(world, "radiology", RADIOLOGIST) == ACTIVE
    with pytest.raises(Conflict):
        approve(world, "radiology", Actor("late", "page"))
    with pytest.raises(NotFound):
        approve(world, "radiology", RADIOLOGIST, "3")


def test_of_two_who_sign_at_once_neither_signature_is_lost(world: World) -> None:
    propose(world)
    databases = [Database(world.database.url) for _ in range(2)]
    together = threading.Barrier(2)

    def run(database: Database, role: str) -> None:
        together.wait(10)
        rules.approve(database, "kidney.severe", "2", role, Actor(f"{role} doctor", "page"), world.clock.now())
        database.close()

    threads = [threading.Thread(target=run, args=pair) for pair in zip(databases, ("pharmacy", "radiology"), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    signed = rules.found(world.database, "kidney.severe", "2")
    assert (signed.state, {one.role for one in signed.approvals}) == (ACTIVE, {"pharmacy", "radiology"})


def test_a_signature_waits_for_one_that_is_just_being_written(postgresql_url: str, kidney: ModuleType) -> None:
    world = small_hospital(postgresql_url, {"kidney": kidney})
    propose(world)
    elsewhere, watching = Database(postgresql_url), Database(postgresql_url)
    signed = dump([{"role": "pharmacy", "by": "pharmacist", "at": 1}])

    def radiology() -> None:
        rules.approve(elsewhere, "kidney.severe", "2", "radiology", RADIOLOGIST, world.clock.now())
        elsewhere.close()

    late = threading.Thread(target=radiology)

    def pharmacy() -> None:
        world.database.rows("UPDATE rule_version SET approvals = ? WHERE version = '2' RETURNING id", signed)
        late.start()
        while not watching.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            continue

    world.database.write(pharmacy)
    late.join(20)
    watching.close()

    found = rules.found(world.database, "kidney.severe", "2")
    assert (found.state, {one.role for one in found.approvals}) == (ACTIVE, {"pharmacy", "radiology"})
    world.hospital.close()


def test_a_signature_in_another_process_counts_here_at_once(world: World) -> None:
    propose(world)
    approve(world, "pharmacy", PHARMACIST)
    world.clock.advance(timedelta(days=1))
    assert border(world) == 30
    subprocess.run([sys.executable, "-c", APPROVE_ELSEWHERE, world.database.url], check=True, timeout=60)

    assert border(world) == 45


# Never in place


def test_what_a_version_says_is_never_changed_by_what_comes_after_it(world: World) -> None:
    load(world)
    columns = "rule, version, valid_from, valid_to, profile, content, created_by, created_at, reason"
    read = f"SELECT {columns} FROM rule_version ORDER BY id"
    before = world.database.rows(read)
    propose(world)
    sign(world)
    load(world)

    assert world.database.rows(read)[: len(before)] == before


def test_a_decision_keeps_the_version_it_was_made_under(world: World) -> None:
    load(world)
    rejected = ordered(world, 20, patient="P1")
    booked = ordered(world, 40, patient="P2")
    world.evidence("P2", "consent", "signed")
    world.pay(booked.partition("/")[0])
    number = world.item(booked).appointment
    kept = "SELECT evidence FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id WHERE a.number = ?"
    before = world.database.rows(kept, number)
    propose(world)
    sign(world)
    world.later(days=1)

    findings = json.loads(world.database.value("SELECT findings FROM order_item WHERE key = ?", rejected))
    assert [one["rule_version"] for one in findings] == ["2026.1"]
    assert world.item(booked).appointment_state == "booked"
    assert world.database.rows(kept, number) == before
    again = ordered(world, 40, patient="P3")
    findings = json.loads(world.database.value("SELECT findings FROM order_item WHERE key = ?", again))
    assert [(one["code"], one["rule_version"]) for one in findings] == [("kidney.severe", "2")]


def test_every_step_is_audited_with_who(world: World) -> None:
    load(world)
    propose(world)
    sign(world)
    rules.choose(world.database, "kidney", shipped(world), "metformin", "cn_48h", AUTHOR, world.clock.now())

    rows = world.database.rows("SELECT action, actor FROM audit WHERE action LIKE 'rules.%' ORDER BY id")
    assert rows == [("rules.load", "author"), ("rules.propose", "author"), ("rules.approve", "pharmacist"),
                    ("rules.approve", "radiologist"), ("rules.choose", "author")]  # fmt: skip


# Choices


def test_a_chosen_profile_counts_at_once_and_says_who_chose_it(world: World) -> None:
    takes = {"egfr": Fact(50), "metformin": Fact(True)}
    assert world.item(f"{world.order('US-THYROID', patient='P1', context=takes)}/1").state == "accepted"
    (choice,) = rules.choices(world.database, "kidney", shipped(world))
    assert (choice.profile, choice.by) == ("acr_2021", "")
    for _ in range(2):
        rules.choose(world.database, "kidney", shipped(world), "metformin", "cn_48h", AUTHOR, world.clock.now())

    (choice,) = rules.choices(world.database, "kidney", shipped(world))
    assert (choice.profile, choice.by) == ("cn_48h", "author")
    assert world.item(f"{world.order('US-THYROID', patient='P2', context=takes)}/1").state == "needs_confirmation"


def test_a_profile_or_choice_that_there_is_not_cannot_be_chosen(world: World) -> None:
    for choice, profile in (("metformin", "mine"), ("aspirin", "acr_2021")):
        with pytest.raises(NotFound):
            rules.choose(world.database, "kidney", shipped(world), choice, profile, AUTHOR, world.clock.now())


def test_versions_are_listed_page_by_page_and_by_state(world: World) -> None:
    load(world)
    propose(world)
    first = rules.listed(world.database, limit=4)
    rest = rules.listed(world.database, after=first[-1].id)

    assert [one.id for one in first + rest] == [one.id for one in rules.listed(world.database)]
    assert [one.version.version for one in rules.listed(world.database, state=PROPOSED)] == ["2"]
    assert {one.version.rule for one in rules.listed(world.database, rule="kidney.severe")} == {"kidney.severe"}
    assert date.fromisoformat(TOMORROW) == rules.listed(world.database, state=PROPOSED)[0].version.valid_from
