"""What the core keeps between exams that are booked or moved one by one."""

from __future__ import annotations

from examlane import IntervalRule, RuleBook, interval_of


def intervals(rules: RuleBook) -> list[IntervalRule]:
    """The rules about the order of exams; without a distance, exams that exclude each other only do not overlap."""
    return [interval_of(rule) for rule in rules.named("order.")]
