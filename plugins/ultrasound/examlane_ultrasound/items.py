"""What the catalogue says of an ultrasound item, in the words of the department."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from examlane import OrderItemView, RuleBook


def says(item: OrderItemView, name: str) -> Any:
    """An attribute of the catalogue, or nothing."""
    return item.item.attributes.get(name)


def fasting_hours(item: OrderItemView, rules: RuleBook) -> int:
    """How long the patient fasts: as the item says, or the department's usual hours; 0 where he need not."""
    hours = says(item, "fasting_hours") or 0
    return int(rules["fasting"]["hours"]) if hours is True else int(hours)


def is_fasting(item: OrderItemView) -> bool:
    return bool(says(item, "fasting_hours"))


def drinks(item: OrderItemView) -> bool:
    """Needs a full bladder and may be reached by drinking: one that fasts as well holds the night's urine."""
    return bool(says(item, "full_bladder")) and not is_fasting(item)


def has_contrast(item: OrderItemView) -> bool:
    return bool(says(item, "contrast"))


def may_join(item: OrderItemView) -> bool:
    """Whether an item may share a visit: never what needs a credential, a contrast agent or a puncture."""
    return bool(says(item, "merge")) and not (says(item, "credential") or has_contrast(item) or says(item, "puncture"))


def in_order(items: Iterable[OrderItemView]) -> list[OrderItemView]:
    """Fasting parts first, then plain ones, full bladder, empty bladder, and what follows a meal."""
    return sorted(items, key=_place)


def _place(item: OrderItemView) -> int:
    after_the_others = (("after_meal", 4), ("empty_bladder", 3), ("full_bladder", 2))
    if is_fasting(item):
        return 0
    return next((place for name, place in after_the_others if says(item, name)), 1)


def named(items: Iterable[OrderItemView], between: str) -> Mapping[str, str]:
    """The items' names in both languages."""
    found = list(items)
    return {"zh": between.join(item.item.name.zh for item in found), "en": between.join(item.item.name.en for item in found)}
