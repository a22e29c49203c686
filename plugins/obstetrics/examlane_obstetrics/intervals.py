"""What the core keeps between exams that are booked or moved one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from examlane import IntervalRule, Relation, Rule, RuleBook, Selector


def intervals(rules: RuleBook) -> list[IntervalRule]:
    """The rules about the order of exams; without a distance, exams that exclude each other only do not overlap."""
    return [interval for rule in rules.named("order.") for interval in _intervals(rule)]


def _intervals(rule: Rule) -> Iterator[IntervalRule]:
    data: Mapping[str, Any] = rule.table["data"]
    for second in _selectors(data["second"]):
        yield IntervalRule(
            rule=rule.id,
            version=rule.version,
            first=Selector(**data["first"]),
            second=second,
            relation=Relation(data["relation"]),
            text=rule.text(),
            source=rule.source,
        )


def _selectors(table: Mapping[str, Any]) -> Iterator[Selector]:
    """One selector for each modality that a rule lists."""
    listed = table.get("modality", "")
    for modality in listed if isinstance(listed, tuple) else (listed,):
        yield Selector(**{**table, "modality": modality})
