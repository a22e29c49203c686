"""What the patient does before an endoscopy, in the order he does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from examlane import EvidenceView, OrderItemView, Preparation, RuleBook
from examlane_endoscopy import antithrombotics, assessment, facts
from examlane_endoscopy.facts import Context, is_sedated


def steps(
    items: Sequence[OrderItemView], context: Context, evidence: Sequence[EvidenceView], rules: RuleBook
) -> list[Preparation]:
    """The steps before a visit for some items, each once."""
    hours = fasting_hours(items, context, rules)
    found = [*_conditions(items, evidence, rules), *_drugs(items, context, rules)]
    if any(item.item.attributes.get("bowel_preparation") for item in items):
        bowel = rules["bowel_leaflet"]
        found.append(Preparation(bowel.id, bowel.text(), timedelta(days=bowel["days"])))
    if hours:
        fasting = rules["fasting"]
        found.append(Preparation(fasting.id, fasting.text(hours=hours), timedelta(hours=hours), hours))
        found.append(_step("clear_liquids", rules))
    if any(map(is_sedated, items)):
        found.append(_step("escort_leaflet", rules))
    return found


def fasting_hours(items: Sequence[OrderItemView], context: Context, rules: RuleBook) -> int:
    """The longest fast of some items; sedation asks for its own even where the catalogue says nothing."""
    fasting = rules["fasting"]
    own = [int(item.item.attributes.get("fasting_hours", 0)) for item in items]
    if any(map(is_sedated, items)):
        own.append(fasting["solids_hours"])
    longest = max(own, default=0)
    delayed = facts.values_of(context).get("delayed_emptying") is True
    return max(longest, fasting["delayed_emptying_hours"]) if longest and delayed else longest


def _conditions(items: Sequence[OrderItemView], evidence: Sequence[EvidenceView], rules: RuleBook) -> Iterator[Preparation]:
    """What the assessor asked for; each condition is a step of its own."""
    if not any(map(is_sedated, items)):
        return
    scopes = {"", *(item.key for item in items), *(item.key.rpartition("/")[0] for item in items)}
    own = [fact for fact in evidence if fact.kind == facts.KIND and fact.scope in scopes]
    newest = max(reversed(own), key=_observed_at, default=None)
    rule = rules["condition"]
    for number, condition in enumerate(assessment.conditions(newest), 1):
        yield Preparation(f"{rule.id}_{number}", rule.text(condition=condition))


def _drugs(items: Sequence[OrderItemView], context: Context, rules: RuleBook) -> Iterator[Preparation]:
    asked = any(facts.bleeding_risk(item) for item in items)
    if asked and antithrombotics.rests(facts.values_of(context).get(antithrombotics.DRUG), rules):
        yield _step("antithrombotic_leaflet", rules)


def _observed_at(fact: EvidenceView) -> datetime:
    return fact.observed_at


def _step(name: str, rules: RuleBook) -> Preparation:
    found = rules[name]
    return Preparation(found.id, found.text())
