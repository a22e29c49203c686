"""Distances and order between exams of one patient: rules as data, looked up in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from examlane.capacity.calendar import Calendar
from examlane.domain import Examination, ExamItem, IntervalRule, Relation, Severity

MOMENT = timedelta(seconds=1)
ALWAYS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Distance:
    """What one rule asks of a new exam and another: the new one is `first` or second in the rule's words."""

    rule: IntervalRule
    new_is_first: bool


def distances(
    rules: Iterable[IntervalRule], new: Iterable[ExamItem], others: Iterable[ExamItem]
) -> list[Distance]:
    """The enforced rules that apply between any of the new items and any of the others, in either direction."""
    known = list(others)
    fresh = list(new)
    found = []
    for rule in rules:
        if rule.severity is Severity.HINT:
            continue
        if _matches(rule.first, known) and _matches(rule.second, fresh):
            found.append(Distance(rule, new_is_first=False))
        if _matches(rule.first, fresh) and _matches(rule.second, known):
            found.append(Distance(rule, new_is_first=True))
    return found


def window(
    distance: Distance, other: Examination, length: timedelta, calendar: Calendar
) -> tuple[datetime, datetime]:
    """The starts that a distance forbids a new visit of some length, as an open stretch around the other exam."""
    rule = distance.rule
    if rule.relation is Relation.BEFORE:
        return _order_window(distance, other, length, calendar)
    earlier, later = (rule.before, rule.after) if not distance.new_is_first else (rule.after, rule.before)
    return other.starts_at - earlier - length, other.ends_at + later


def _order_window(
    distance: Distance, other: Examination, length: timedelta, calendar: Calendar
) -> tuple[datetime, datetime]:
    midnight = calendar.midnight(calendar.day_of(other.starts_at))
    if distance.new_is_first:
        return other.starts_at - length, midnight + ALWAYS
    return midnight - MOMENT, other.ends_at


def respected(rule: IntervalRule, first: Examination, second: Examination, calendar: Calendar) -> bool:
    """Whether two exams keep a rule, `first` and `second` in the rule's words."""
    if rule.relation is Relation.BEFORE:
        same_day = calendar.day_of(first.starts_at) == calendar.day_of(second.starts_at)
        return not same_day or first.ends_at <= second.starts_at
    if second.starts_at >= first.ends_at:
        return second.starts_at - first.ends_at >= rule.after
    return first.starts_at - second.ends_at >= rule.before


def broken(
    rules: Sequence[IntervalRule], exams: Sequence[Examination], calendar: Calendar
) -> list[tuple[IntervalRule, Examination, Examination]]:
    """Every enforced rule that some pair of exams does not keep."""
    return [
        (rule, first, second)
        for rule in rules
        if rule.severity is not Severity.HINT
        for first in exams
        if rule.first.matches(first.item)
        for second in exams
        if first is not second and rule.second.matches(second.item)
        if not (rule.first == rule.second and second.starts_at < first.starts_at)
        if not respected(rule, first, second, calendar)
    ]


def _matches(selector: object, items: Sequence[ExamItem]) -> bool:
    return any(selector.matches(item) for item in items)  # type: ignore[attr-defined]
