"""What the patient does before a radiology exam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from examlane import ExamItem, OrderItemView, Preparation, Rule
from examlane_radiology.rulebase import RULES


def preparations(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> list[Preparation]:
    """The steps for some items of one visit, each once; the longest fast counts."""
    exams = [view.item for view in items]
    hours = max((int(exam.attributes.get("fasting_hours", 0)) for exam in exams), default=0)
    steps = [
        Preparation(found.id, found.text())
        for found in RULES.named("preparation.", settings)
        if any(_asks_for(found, exam) for exam in exams)
    ]
    if hours:
        fasting = RULES.rule("fasting", settings)
        steps.insert(0, Preparation(fasting.id, fasting.text(hours=hours), timedelta(hours=hours), hours))
    return steps


def _asks_for(found: Rule, exam: ExamItem) -> bool:
    attribute = found.table["attribute"]
    return exam.attributes.get(attribute) in found.table["values"]
