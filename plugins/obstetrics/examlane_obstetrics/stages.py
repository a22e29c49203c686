"""The order of a day as the rules have it: which visit belongs to which stage, and what must end before what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examlane import BookingRequest, ExamItem, Rule, RuleBook, Visit

FLAGS = ("ogtt", "full_bladder", "empty_bladder", "sedation", "after_meal")


def stage(visit: Visit, request: BookingRequest, rules: RuleBook) -> Rule:
    """The stage of a visit. Raises `LookupError` when the rules leave it none or several."""
    facts = _facts(visit, [request.items[key].item for key in visit.items])
    found = [rule for rule in rules.named("stage.") if rule.decide(facts) == rule.action]
    if len(found) != 1:
        raise LookupError(f"{visit.key} belongs to {len(found)} stages")
    return found[0]


def order(stages: Mapping[str, Rule]) -> list[tuple[str, str]]:
    """Pairs of visits of which the first must end before the second begins."""
    return [
        (first, second)
        for first, early in stages.items()
        for second, late in stages.items()
        if early["order"] < late["order"]
    ]


def _facts(visit: Visit, items: list[ExamItem]) -> dict[str, Any]:
    flags = {name: any(bool(item.attributes.get(name)) for item in items) for name in FLAGS}
    endoscopy = any(item.modality == "ES" for item in items)
    return {**flags, "fasting": visit.fasting, "endoscopy": endoscopy}
