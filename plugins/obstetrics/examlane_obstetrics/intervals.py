"""The order that the core keeps between exams that are booked or moved one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examlane import IntervalRule, Relation, Rule, RuleBook, Selector


def intervals(rules: RuleBook) -> list[IntervalRule]:
    return [_interval(rule) for rule in rules.named("order.")]


def _interval(rule: Rule) -> IntervalRule:
    data: Mapping[str, Any] = rule.table["data"]
    return IntervalRule(
        rule=rule.id,
        version=rule.version,
        first=Selector(**data["first"]),
        second=Selector(**data["second"]),
        relation=Relation(data["relation"]),
        text=rule.text(),
        source=rule.source,
    )
