"""How exams of one patient relate: rules as data, looked up in both directions, across departments and in history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from examlane.capacity.calendar import Calendar
from examlane.domain import Examination, ExamItem, IntervalRule, Relation, Severity

MOMENT = timedelta(seconds=1)
DAY = timedelta(days=1)
Window = tuple[datetime, datetime]
PAIRED = (Relation.EXCLUDE, Relation.BEFORE, Relation.LAG, Relation.SAME_DAY)
"""Relations that say when two exams may be held."""
TOGETHER = (Relation.LAG, Relation.SAME_DAY)
"""Relations that draw two exams together: an exam that is over and done with draws nothing any more."""
Waivers = Mapping[str, frozenset[str]]
"""The rules that somebody has confirmed with a reason, by the key of the visit or item it was done for."""


@dataclass(frozen=True, slots=True)
class Distance:
    """What one rule asks of a new exam and another: the new one is `first` or second in the rule's words."""

    rule: IntervalRule
    new_is_first: bool


def enforced(rules: Iterable[IntervalRule], waived: frozenset[str] = frozenset()) -> list[IntervalRule]:
    """The rules that times must keep: not the hints, and not those that were confirmed away."""
    return [rule for rule in rules if rule.severity is not Severity.HINT and rule.rule not in waived]


def waivable(rule: IntervalRule, urgent: bool) -> bool:
    """Whether a confirmation with a reason sets a rule aside."""
    return rule.severity is Severity.CONFIRM or (urgent and rule.urgent_override)


def distances(rules: Iterable[IntervalRule], new: Iterable[ExamItem], others: Iterable[ExamItem]) -> list[Distance]:
    """The paired rules that apply between any of the new items and any of the others, in either direction."""
    known = list(others)
    fresh = list(new)
    found = []
    for rule in rules:
        if rule.relation not in PAIRED:
            continue
        if _matches(rule.first, known) and _matches(rule.second, fresh):
            found.append(Distance(rule, new_is_first=False))
        if _matches(rule.first, fresh) and _matches(rule.second, known):
            found.append(Distance(rule, new_is_first=True))
    return found


def windows(distance: Distance, other: Examination, length: timedelta, calendar: Calendar, span: Window) -> list[Window]:
    """The starts within a span that a distance forbids a new visit of some length, as open stretches."""
    rule = distance.rule
    if rule.relation in TOGETHER:
        return _around(_allowed(distance, other, length, calendar), span) if _draws(rule, other, span) else []
    if rule.relation is Relation.BEFORE:
        return [_order_window(distance, other, length, calendar)]
    earlier, later = (rule.before, rule.after) if not distance.new_is_first else (rule.after, rule.before)
    return [(other.starts_at - earlier - length, other.ends_at + later)]


def count_windows(rule: IntervalRule, exams: Sequence[Examination]) -> list[Window]:
    """The starts that a count forbids one more exam beside those there are, as open stretches."""
    starts = sorted(exam.starts_at for exam in exams if rule.first.matches(exam.item))
    groups = zip(starts, starts[rule.limit - 1 :], strict=False)
    return [(last - rule.within, first + rule.within) for first, last in groups if last - first < rule.within]


def respected(rule: IntervalRule, first: Examination, second: Examination, calendar: Calendar) -> bool:
    """Whether two exams keep a paired rule, `first` and `second` in the rule's words."""
    if rule.relation is Relation.SAME_DAY:
        return calendar.day_of(first.starts_at) == calendar.day_of(second.starts_at)
    if rule.relation is Relation.LAG:
        return rule.after <= second.starts_at - first.ends_at <= rule.within
    if rule.relation is Relation.BEFORE:
        same_day = calendar.day_of(first.starts_at) == calendar.day_of(second.starts_at)
        return not same_day or first.ends_at <= second.starts_at
    if second.starts_at >= first.ends_at:
        return second.starts_at - first.ends_at >= rule.after
    return first.starts_at - second.ends_at >= rule.before


def broken(
    rules: Sequence[IntervalRule], exams: Sequence[Examination], calendar: Calendar
) -> list[tuple[IntervalRule, Examination, Examination]]:
    """Every paired rule that some pair of exams does not keep; hints are not looked at."""
    return [
        (rule, *pair) for rule in enforced(rules) for pair in _pairs(rule, exams) if not respected(rule, *pair, calendar)
    ]


def crowded(
    rules: Sequence[IntervalRule], exams: Sequence[Examination], new: Collection[str]
) -> list[tuple[IntervalRule, Examination, Examination]]:
    """Every count that some exams exceed and one of the new visits has a part in, with the first and the last exam."""
    return [
        (rule, group[0], group[-1])
        for rule in enforced(rules)
        if rule.relation is Relation.COUNT
        for group in _crowds(rule, exams)
        if any(exam.appointment in new for exam in group)
    ]


def merged(rules: Iterable[IntervalRule], one: ExamItem, other: ExamItem) -> bool:
    """Whether a rule wants two exams held in one visit."""
    return any(
        rule.relation is Relation.MERGE
        and ((rule.first.matches(one) and rule.second.matches(other))
             or (rule.first.matches(other) and rule.second.matches(one)))
        for rule in rules
    )  # fmt: skip


def _pairs(rule: IntervalRule, exams: Sequence[Examination]) -> Iterator[tuple[Examination, Examination]]:
    if rule.relation not in PAIRED:
        return
    for first in (exam for exam in exams if rule.first.matches(exam.item)):
        for second in (exam for exam in exams if rule.second.matches(exam.item)):
            mirrored = rule.first == rule.second and second.starts_at < first.starts_at
            if first is not second and not mirrored:
                yield first, second


def _crowds(rule: IntervalRule, exams: Sequence[Examination]) -> Iterator[Sequence[Examination]]:
    """Stretches of the exams in which there is one more than a count allows."""
    alike = sorted((exam for exam in exams if rule.first.matches(exam.item)), key=lambda exam: exam.starts_at)
    for index in range(len(alike) - rule.limit):
        group = alike[index : index + rule.limit + 1]
        if group[-1].starts_at - group[0].starts_at < rule.within:
            yield group


def _order_window(distance: Distance, other: Examination, length: timedelta, calendar: Calendar) -> Window:
    midnight = calendar.midnight(calendar.day_of(other.starts_at))
    if distance.new_is_first:
        return other.starts_at - length, midnight + DAY
    return midnight - MOMENT, other.ends_at


def _allowed(distance: Distance, other: Examination, length: timedelta, calendar: Calendar) -> Window:
    """The first and the last start that a rule which draws together allows."""
    rule = distance.rule
    if rule.relation is Relation.SAME_DAY:
        midnight = calendar.midnight(calendar.day_of(other.starts_at))
        return midnight, midnight + DAY - MOMENT
    if distance.new_is_first:
        return other.starts_at - rule.within - length, other.starts_at - rule.after - length
    return other.ends_at + rule.after, other.ends_at + rule.within


def _around(allowed: Window, span: Window) -> list[Window]:
    stretches = ((span[0], allowed[0]), (allowed[1], span[1]))
    return [(since, until) for since, until in stretches if since < until]


def _draws(rule: IntervalRule, other: Examination, span: Window) -> bool:
    return other.ends_at + max(rule.within, DAY) >= span[0]


def _matches(selector: object, items: Sequence[ExamItem]) -> bool:
    return any(selector.matches(item) for item in items)  # type: ignore[attr-defined]
