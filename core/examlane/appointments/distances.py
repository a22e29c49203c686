"""The distances that were owed between visits when they were booked, kept so that they stay checkable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from examlane.domain import ExamItem, IntervalRule, Relation, Severity
from examlane.hospital import Hospital
from examlane.orders.intervals import DAY, PAIRED, TOGETHER
from examlane.orders.snapshot import OpenItem
from examlane.planning.planner import Plan
from examlane.storage.ledger import AppointmentInterval


def store(hospital: Hospital, plan: Plan, placed: Sequence[tuple[int, Sequence[OpenItem]]]) -> None:
    """Keep every distance that was owed, so that it stays checkable after the rules change."""
    if not plan.rules or not placed:
        return
    fresh = [_Owed(appointment, item.view.item, item) for appointment, items in placed for item in items]
    booked = {appointment for appointment, _ in placed}
    others = [
        _Owed(visit.id, plan.snapshot.catalogue.item(code), ends_at=visit.ends_at)
        for visit in plan.snapshot.visits
        if visit.id not in booked
        for code in visit.codes
    ]
    now = hospital.clock.now()
    pairs = {
        (first.appointment, second.appointment, rule.rule, rule.version): (rule, first.reason(rule) or second.reason(rule))
        for rule in plan.rules
        if rule.severity is not Severity.HINT and rule.relation in PAIRED
        for first in fresh + others
        if rule.first.matches(first.exam)
        for second in fresh + others
        if first.appointment != second.appointment and not booked.isdisjoint((first.appointment, second.appointment))
        if rule.second.matches(second.exam) and first.counts(rule, now) and second.counts(rule, now)
    }
    for (first_id, second_id, name, version), (rule, reason) in pairs.items():
        longest = rule.within if rule.relation is Relation.LAG else rule.before
        hospital.database.insert(
            AppointmentInterval, first=first_id, second=second_id, rule=name, rule_version=version,
            relation=rule.relation.value, after_seconds=int(rule.after / timedelta(seconds=1)),
            before_seconds=int(longest / timedelta(seconds=1)), overridden_by=reason[:64],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Owed:
    """An exam of an appointment that a distance may be owed to; `item` when it is booked just now."""

    appointment: int
    exam: ExamItem
    item: OpenItem | None = None
    ends_at: datetime | None = None

    def reason(self, rule: IntervalRule) -> str:
        return self.item.waives(rule) if self.item else ""

    def counts(self, rule: IntervalRule, now: datetime) -> bool:
        return self.ends_at is None or rule.relation not in TOGETHER or self.ends_at >= now - max(rule.within, DAY)
