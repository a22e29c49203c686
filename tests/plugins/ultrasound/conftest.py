"""Short ways to name ultrasound items, orders and places."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from examlane import (
    EncounterClass,
    EncounterView,
    ExamItem,
    Fact,
    Finding,
    GroupView,
    OrderItemView,
    OrderView,
    PatientView,
    Preparation,
    Priority,
    ServiceView,
    Sex,
    Text,
    Visit,
)
from examlane.testing import rule_book
from examlane_ultrasound import hooks
from examlane_ultrasound.hooks import SettingsSchema

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
CAMPUSES = {"A": "N", "B": "N", "C": "S"}


def group(code: str, role: str = "room", campus: str = "N", zone: str = "N1") -> GroupView:
    return GroupView(code, code, role, "US", campus, zone, 5)


GROUPS = (group("A"), group("B"), group("C", campus="S", zone="S1"))


def item(key: str, attributes: dict[str, Any], **minutes: int) -> OrderItemView:
    services = tuple(
        ServiceView(key, code, CAMPUSES[code], f"{CAMPUSES[code]}1", length, 5) for code, length in minutes.items()
    )
    return OrderItemView(key, ExamItem(key, Text(f"部位{key}", f"part {key}"), "US", "", "US", attributes), services)


def order(*items: OrderItemView, number: str = "1", encounter: str = "E1", **facts: Any) -> OrderView:
    visit = EncounterView(encounter, EncounterClass.OUTPATIENT)
    context = {name: Fact(value) for name, value in facts.items()}
    return OrderView(number, visit, "IM", Priority.ROUTINE, NOW, items, context)


def settings(chosen: dict[str, Any]) -> dict[str, Any]:
    return {"time_zone": "Asia/Shanghai", **SettingsSchema().load(chosen)}


def visits(*orders: OrderView, groups: tuple[GroupView, ...] = GROUPS, **chosen: Any) -> list[Visit]:
    return list(hooks.requirements(orders, groups, settings(chosen), rule_book("ultrasound", "examlane_ultrasound")))


def told(*items: OrderItemView, **chosen: Any) -> dict[str, Preparation]:
    steps = hooks.preparation(items, settings(chosen), rule_book("ultrasound", "examlane_ultrasound"))
    return {step.code.removeprefix("ultrasound."): step for step in steps}


def findings(
    attributes: dict[str, Any], sex: Sex = Sex.FEMALE, evidence: tuple[Any, ...] = (), profile: str = "older_leaflet",
    **facts: Any,
) -> dict[str, Finding]:  # fmt: skip
    rules = rule_book("ultrasound", "examlane_ultrasound", microbubbles=profile)
    asked = order(item("1/1", attributes, A=10), **facts)
    found = hooks.validate_order(asked, PatientView(1, sex, None), evidence, NOW, rules)
    return {finding.code.removeprefix("ultrasound."): finding for finding in found}


@pytest.fixture
def us() -> SimpleNamespace:
    """Everything above by its name."""
    names: dict[str, Callable[..., Any]] = {
        "group": group, "item": item, "order": order, "visits": visits, "told": told, "findings": findings
    }  # fmt: skip
    return SimpleNamespace(groups=GROUPS, now=NOW, settings=settings, **names)
