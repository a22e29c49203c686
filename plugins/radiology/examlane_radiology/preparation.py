"""What the patient does before and after a radiology exam."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from examlane import ExamItem, OrderItemView, PatientView, Preparation, Rule, RuleBook
from examlane_radiology.case import exam_facts

PREFIX = "preparation."


def preparations(items: Sequence[OrderItemView], patient: PatientView, now: datetime, rules: RuleBook) -> list[Preparation]:
    """The steps for some items of one visit, each once; the longest fast counts."""
    exams = [view.item for view in items]
    asked = [{**exam_facts(exam), "age": patient.age_on(now.date())} for exam in exams]
    steps = [_step(rule) for rule in rules.named(PREFIX) if any(rule.decide(found) != "nothing" for found in asked)]
    return [*_fasting(exams, rules), *steps]


def _step(rule: Rule) -> Preparation:
    return Preparation(rule.id, rule.text(), timedelta(hours=rule.parameters.get("lead_hours", 0)))


def _fasting(exams: Sequence[ExamItem], rules: RuleBook) -> list[Preparation]:
    """The longest fast of the catalogue; contrast's own is left out where the hospital has chosen so."""
    fasting = rules["fasting"]
    skipped = fasting.table["data"]["skip"]
    wanted = [exam for exam in exams if exam.attributes.get("fasting_for") not in skipped]
    hours = max((_hours(exam) for exam in wanted), default=0)
    if not hours:
        return []
    dry = rules["fasting_no_water"] if any(exam.attributes.get("no_water") is True for exam in wanted) else fasting
    return [Preparation(dry.id, dry.text(hours=hours), timedelta(hours=hours), hours)]


def _hours(exam: ExamItem) -> int:
    return int(exam.attributes.get("fasting_hours", 0))
