"""A trace tells what was decided about an order and what every plugin says now, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from examlane import (
    EvidenceView,
    Finding,
    FindingKind,
    GateAnswer,
    GateClosed,
    GateOpen,
    Infeasible,
    Preparation,
    Text,
    hookimpl,
)
from examlane.errors import NotFound
from examlane.insight.trace import Trace, in_short, trace
from examlane.storage.tables import TABLES
from examlane.testing import World, small_hospital

WORDS = Text("词", "words")


class Talkative:
    """Answers at several hooks; its preparation can be told to fail."""

    fails = False

    @hookimpl
    def validate_order(self, order: Any) -> list[Finding]:
        return [
            Finding(FindingKind.HINT, "talk.hint", WORDS, item.key, rule="talk.rule", rule_version="2026.1")
            for item in order.items
        ]

    @hookimpl
    def pre_booking_gate(self, order: Any, evidence: Sequence[EvidenceView]) -> list[GateAnswer]:
        signed = any(fact.kind == "consent" for fact in evidence)
        return [
            GateOpen("consent", item.key) if signed else GateClosed("consent", item.key, "talk.no", WORDS, WORDS, "nurse")
            for item in order.items
        ]

    @hookimpl
    def preparation(self, items: Any) -> list[Preparation]:
        if self.fails:
            raise RuntimeError("lost")
        return [Preparation("talk.drink", WORDS, timedelta(hours=1))]


@pytest.fixture
def talk() -> Talkative:
    return Talkative()


@pytest.fixture
def world(database_url: str, talk: Talkative) -> Iterator[World]:
    found = small_hospital(database_url, {"talk": talk})
    found.switch("US", "talk")
    yield found
    found.hospital.close()


def booked(world: World) -> str:
    number = world.order("US-THYROID")
    world.evidence("P1", "consent", "signed")
    world.pay(number)
    return number


def said(found: Trace) -> list[tuple[str, str, str]]:
    return [(one.hook, one.plugin, one.answer or one.failure) for one in found.said]


def test_the_hooks_are_told_in_the_order_they_fire_with_a_short_answer(world: World) -> None:
    assert said(trace(world.hospital, booked(world))) == [
        ("validate_order", "talk", "O1/1 hint talk.hint"),
        ("pre_booking_gate", "talk", "O1/1 consent open"),
        ("preparation", "talk", "talk.drink 1 h before"),
        ("allocate", "core", "same_campus: O1/1 2026-11-23 09:00 US-N"),
    ]


def test_what_was_decided_is_told_with_plugins_rules_gates_and_the_rollout(world: World) -> None:
    found = trace(world.hospital, booked(world))
    (gate,), (version,) = found.gates, found.versions

    assert (found.items[0].reason, found.items[0].findings[0]["code"]) == ("booked", "talk.hint")
    assert (gate.item, gate.kind, gate.state, gate.plugin) == ("O1/1", "consent", "open", "talk")
    assert (version.version, version.state, version.actor) == (1, "booked", "tester")
    assert version.evidence["rules"] == ["talk.rule 2026.1"]
    assert version.evidence["rollout"] > 0


def test_an_order_that_waits_is_told_with_what_it_waits_for(world: World) -> None:
    found = trace(world.hospital, world.order("US-THYROID"))

    assert ("pre_booking_gate", "talk", "O1/1 consent closed: talk.no") in said(found)
    assert [(one.item, one.reason, one.starts_at) for one in found.outcome] == [("O1/1", "awaiting_gate", None)]
    assert found.versions == ()


def test_a_failure_is_told_and_rests_nobody(world: World, talk: Talkative) -> None:
    number = booked(world)
    talk.fails = True
    for _ in range(4):
        assert ("preparation", "talk", "RuntimeError: lost") in said(trace(world.hospital, number))

    assert not world.hospital.dispatcher.breaker("US", "talk", "preparation").is_open
    assert world.database.value("SELECT count(*) FROM audit WHERE action = 'plugin.rests'") == 0


def test_looking_changes_nothing(world: World) -> None:
    number = booked(world)
    names = [table._meta.table_name for table in TABLES]

    def contents() -> list[Any]:
        return [sorted(map(repr, world.database.rows(f"SELECT * FROM {name}"))) for name in names]

    before = contents()
    trace(world.hospital, number)
    assert contents() == before


def test_an_unknown_order_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="order X is not known"):
        trace(world.hospital, "X")


def test_answers_in_short() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    until = datetime(2026, 11, 26, 16, tzinfo=UTC)

    assert in_short(None, zone) == "declines"
    assert in_short((), zone) == "nothing"
    assert in_short(Infeasible("talk.full", WORDS), zone) == "impossible: talk.full"
    delayed = Finding(FindingKind.DELAY_UNTIL, "talk.early", WORDS, "O1/1", until=until)
    assert in_short((delayed,), zone) == "O1/1 delay_until talk.early until 2026-11-27 00:00"
    filled = Finding(FindingKind.FILL, "talk.dose", WORDS, "O1/1", field="dose", value=80)
    assert in_short((filled, GateOpen("consent", "O1/1", until)), zone) == (
        "O1/1 fill talk.dose dose = 80; O1/1 consent open until 2026-11-27 00:00"
    )
