"""What holds between the visits of a day, as the rules have it: stages, pauses, and what may lie between two draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from examlane import BookingRequest, ExamItem, ItineraryRules, Rule, RuleBook, Visit

FLAGS = ("ogtt", "full_bladder", "empty_bladder", "sedation", "after_meal")


def itinerary_rules(request: BookingRequest, gap_minutes: int, rules: RuleBook) -> ItineraryRules:
    """The rules of a day for the visits of a request, with at least so many minutes between two of them."""
    stages = {visit.key: stage(visit, request, rules) for visit in request.visits}
    within = list(_within(request, stages, rules))
    order = [pair for pair in _order(stages, rules) if pair[::-1] not in within]
    return ItineraryRules(order, list(_rests(stages, gap_minutes, rules)), within, rules["between"]["walk"])


def stage(visit: Visit, request: BookingRequest, rules: RuleBook) -> str:
    """The stage of a visit. Raises `LookupError` when the rules leave it none or several."""
    facts = _facts(visit, [request.items[key].item for key in visit.items])
    found = [_name(rule) for rule in rules.named("stage.") if rule.decide(facts) == rule.action]
    if len(found) != 1:
        raise LookupError(f"{visit.key} belongs to {len(found)} stages")
    return found[0]


def _facts(visit: Visit, items: list[ExamItem]) -> dict[str, Any]:
    flags = {name: any(bool(item.attributes.get(name)) for item in items) for name in FLAGS}
    endoscopy = any(item.modality == "ES" for item in items)
    return {**flags, "fasting": visit.fasting, "endoscopy": endoscopy}


def _name(rule: Rule) -> str:
    return rule.id.rpartition(".")[2]


def _order(stages: Mapping[str, str], rules: RuleBook) -> Iterator[tuple[str, str]]:
    """Pairs of visits of which the first must end before the second begins."""
    order = {_name(rule): rule["order"] for rule in rules.named("stage.")}
    for first, early in stages.items():
        yield from ((first, second) for second, late in stages.items() if order[early] < order[late])


def _rests(stages: Mapping[str, str], gap_minutes: int, rules: RuleBook) -> Iterator[tuple[str, str, int]]:
    """The least minutes between any visit and a later one."""
    pauses = [(rule.table["data"], rule["minutes"]) for rule in rules.named("pause.")]
    for first, early in stages.items():
        for second, late in stages.items():
            asked = [minutes for data, minutes in pauses if early in data["first"] and late in data["second"]]
            minutes = max((gap_minutes, *asked))
            if first != second and minutes:
                yield first, second, minutes


def _within(request: BookingRequest, stages: Mapping[str, str], rules: RuleBook) -> Iterator[tuple[str, str]]:
    """Pairs of visits of which the first may lie between two draws of the second."""
    for outer in request.visits:
        for inner in request.visits if outer.gaps else ():
            if inner is not outer and _may_lie_within(inner, outer, request, stages[inner.key], rules["between"]):
                yield inner.key, outer.key


def _may_lie_within(inner: Visit, outer: Visit, request: BookingRequest, stage_of_inner: str, rule: Rule) -> bool:
    """Whether the exams are of a kind that fits; a walk that nobody knows is none of so many minutes."""
    items = [request.items[key].item for key in inner.items]
    exertion = any(bool(item.attributes.get("treadmill")) for item in items)
    walks = {_walk(request, here.zone, there.zone) for here in outer.options for there in inner.options}
    nearest = min((walk for walk in walks if walk is not None), default=None)
    if nearest is None or None in walks:
        return False
    facts = {"stage": stage_of_inner, "exertion": exertion, "walk": nearest}
    return all(rule.decide({**facts, "modality": item.modality}) == rule.action for item in items)


def _walk(request: BookingRequest, zone: str, other: str) -> int | None:
    return 0 if zone == other else request.walking.get((zone, other))
