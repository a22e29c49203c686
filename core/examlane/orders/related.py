"""What is said of an order because of the patient's other exams: repeated orders, and distances that move the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from examlane.domain import Examination, ExamItem, Finding, FindingKind, IntervalRule, Relation, Severity
from examlane.orders.intervals import PAIRED, TOGETHER

DAY = timedelta(days=1)
KINDS = {
    Severity.BLOCK: FindingKind.BLOCK,
    Severity.CONFIRM: FindingKind.CONFIRM,
    Severity.HINT: FindingKind.HINT,
}


@dataclass(frozen=True, slots=True)
class Ordered:
    """An exam that is ordered and not yet booked."""

    key: str
    item: ExamItem


def findings(
    rules: Sequence[IntervalRule],
    new: Ordered,
    ordered: Sequence[Ordered],
    exams: Sequence[Examination],
    now: datetime,
    *,
    urgent: bool = False,
) -> list[Finding]:
    """What the interval rules say of a newly ordered exam beside the earlier orders and the exams, booked or done.

    A repeated order is answered as strictly as its rule says; what only moves the time is a hint, so that the doctor
    knows before signing. Each rule speaks once.
    """
    return [
        _finding(rule, new.key, urgent)
        for rule in rules
        if any(_concerns(rule, new.item, other.item) for other in ordered)
        or any(_concerns(rule, new.item, exam.item) and _is_near(rule, new.item, exam, now) for exam in exams)
    ]


def _concerns(rule: IntervalRule, new: ExamItem, other: ExamItem) -> bool:
    if rule.relation is Relation.REPLACE:
        same = not rule.same_item or new.code == other.code
        return same and rule.first.matches(other) and rule.second.matches(new)
    return rule.relation in (*PAIRED, Relation.MERGE) and any(_ways(rule, new, other))


def _ways(rule: IntervalRule, new: ExamItem, other: ExamItem) -> Iterator[bool]:
    yield rule.first.matches(other) and rule.second.matches(new)
    yield rule.first.matches(new) and rule.second.matches(other)


def _is_near(rule: IntervalRule, new: ExamItem, exam: Examination, now: datetime) -> bool:
    """Whether an exam, booked or done, is still near enough for the rule to matter."""
    if rule.relation in (*TOGETHER, Relation.BEFORE, Relation.MERGE):
        return exam.starts_at >= now - DAY
    if rule.relation is Relation.REPLACE:
        return exam.ends_at + rule.within > now
    comes_second = rule.first.matches(exam.item) and rule.second.matches(new)
    reach = rule.after if comes_second else rule.before
    return exam.ends_at + max(reach, timedelta()) > now


def _finding(rule: IntervalRule, item: str, urgent: bool) -> Finding:
    repeats = rule.relation is Relation.REPLACE
    overridden = repeats and urgent and rule.urgent_override and rule.severity is Severity.BLOCK
    kind = KINDS[Severity.CONFIRM if overridden else rule.severity] if repeats else FindingKind.HINT
    return Finding(
        kind, rule.rule, rule.text, item, rule=rule.rule, rule_version=rule.version, source=rule.source,
        needs_reason=repeats and kind is FindingKind.CONFIRM,
    )  # fmt: skip
