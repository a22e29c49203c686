"""What patients are told: the order of the parts, fasting, bladder, meal, and what the kind of exam asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from examlane import OrderItemView, Preparation, Rule, RuleBook, Text
from examlane_ultrasound.items import drinks, fasting_hours, has_contrast, in_order, is_fasting, named, says
from examlane_ultrasound.sittings import Sittings, sittings


def preparations(items: Sequence[OrderItemView], settings: Mapping[str, Any], rules: RuleBook) -> list[Preparation]:
    parts = sittings(items, settings)
    return [
        *_order(items, rules),
        *_fasting(items, rules),
        *_bladder(items, parts, rules),
        *_meal(items, parts, rules),
        *_kinds(items, rules),
    ]


def _order(items: Sequence[OrderItemView], rules: RuleBook) -> Iterator[Preparation]:
    if len(items) > 1:
        yield _about(rules["order"], in_order(items), " → ")


def _fasting(items: Sequence[OrderItemView], rules: RuleBook) -> Iterator[Preparation]:
    hours = max(fasting_hours(item, rules) for item in items)
    if hours:
        rule = rules["fasting"]
        yield Preparation(rule.id, rule.text(hours=hours), timedelta(hours=hours), hours)


def _bladder(items: Sequence[OrderItemView], parts: Sittings, rules: RuleBook) -> Iterator[Preparation]:
    rule = rules["full_bladder"]
    if any(drinks(item) for item in parts.after_drinking):
        after = rules["bladder_after_fasting"]
        yield Preparation(after.id, after.text(**rule.parameters))
    elif any(says(item, "full_bladder") for item in items):
        if any(is_fasting(item) for item in items):
            yield Preparation(rules["held_bladder"].id, rules["held_bladder"].text())
        else:
            yield Preparation(rule.id, rule.text(), timedelta(minutes=rule["minutes"]))
    if empty := [item for item in in_order(items) if says(item, "empty_bladder")]:
        yield _about(rules["empty_bladder"], empty)


def _meal(items: Sequence[OrderItemView], parts: Sittings, rules: RuleBook) -> Iterator[Preparation]:
    meal = rules["after_meal"]
    if parts.after_meal:
        yield _about(meal, parts.after_meal)
    elif before := [item for item in items if says(item, "after_meal")]:
        lead = timedelta(minutes=meal["minutes"])
        yield _about(rules["meal_before"], before, minutes=meal["minutes"], lead=lead)


def _kinds(items: Sequence[OrderItemView], rules: RuleBook) -> Iterator[Preparation]:
    """What a contrast agent, a way into the body or a puncture asks for."""
    asked = {
        "transvaginal": any(says(item, "route") == "vaginal" for item in items),
        "transrectal": any(says(item, "route") == "rectal" for item in items),
        "puncture.preparation": any(says(item, "puncture") for item in items),
        "contrast.observation": any(has_contrast(item) for item in items),
    }
    for rule in (rules[name] for name, wanted in asked.items() if wanted):
        yield Preparation(rule.id, rule.text(), timedelta(hours=rule.parameters.get("hours", 0)))


def _about(
    rule: Rule, items: Iterable[OrderItemView], between: str = ", ", lead: timedelta = timedelta(), **words: Any
) -> Preparation:
    """A rule's words with the names of some items, each language with its own."""
    parts = named(items, between)
    text = Text(rule.text(parts=parts["zh"], **words).zh, rule.text(parts=parts["en"], **words).en)
    return Preparation(rule.id, text, lead)
