"""How a visit is held: in one sitting, or with a second and third one after drinking and after a meal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from examlane import TICK_MINUTES, Need, OrderItemView, RuleBook, Segment, ServiceView
from examlane_ultrasound.items import drinks, has_contrast, in_order, is_fasting, says

DRINK = "drink"


@dataclass
class Sittings:
    """A visit's items by sitting, each in the order they are examined in. What is seen before and after a meal is in two."""

    first: list[OrderItemView] = field(default_factory=list)
    after_drinking: list[OrderItemView] = field(default_factory=list)
    after_meal: list[OrderItemView] = field(default_factory=list)

    def __iter__(self) -> Any:
        return (sitting for sitting in (self.first, self.after_drinking, self.after_meal) if sitting)


def sittings(items: Iterable[OrderItemView], settings: Mapping[str, Any]) -> Sittings:
    """Only a fast parts a visit: food and water may not come before its parts are done."""
    ordered = in_order(items)
    found = Sittings()
    fast = any(is_fasting(item) for item in ordered)
    parted = fast and settings["bladder_after_fasting"] == DRINK and any(drinks(item) for item in ordered)
    for item in ordered:
        late_meal = fast and says(item, "after_meal") and not is_fasting(item)
        if not late_meal:
            after_drinking = parted and (drinks(item) or says(item, "empty_bladder")) and not is_fasting(item)
            (found.after_drinking if after_drinking else found.first).append(item)
        if fast and says(item, "after_meal"):
            found.after_meal.append(item)
    return found


def minutes_at(items: Sequence[OrderItemView], group: str, settings: Mapping[str, Any]) -> int | None:
    """How long one sitting lasts at a group, the changeover between patients counted once; None if it lacks an item."""
    services = [service_at(item, group) for item in items]
    lengths = [
        service.minutes * (int(settings["contrast_time_factor"]) if has_contrast(item) else 1)
        for item, service in zip(items, services, strict=True)
        if service is not None
    ]
    if len(lengths) < len(items):
        return None
    saved = int(settings["changeover_minutes"]) * (len(lengths) - 1)
    return max(sum(lengths) - saved, *lengths)


def service_at(item: OrderItemView, group: str) -> ServiceView | None:
    return next((service for service in item.services if service.group == group), None)


def total_minutes(items: Sequence[OrderItemView], group: str, settings: Mapping[str, Any]) -> int | None:
    """The time of all sittings at a group, without the pauses; None if it lacks an item."""
    lengths = [minutes_at(sitting, group, settings) for sitting in sittings(items, settings)]
    return None if None in lengths else sum(filter(None, lengths))


def segments(
    items: Sequence[OrderItemView], place: ServiceView, needs: tuple[Need, ...], settings: Mapping[str, Any],
    rules: RuleBook,
) -> list[Segment]:  # fmt: skip
    """The sittings with their pauses: the bladder fills after the fasting part, the gallbladder empties after the meal."""
    parts = sittings(items, settings)
    size = max(place.slice_minutes, TICK_MINUTES)
    ends = _whole(minutes_at(parts.first, place.group, settings) or 0, size)
    found = [Segment("exam", minutes_at(parts.first, place.group, settings) or 0, needs)]
    for name, rule, sitting in (
        ("full_bladder", rules["full_bladder"], parts.after_drinking),
        ("after_meal", rules["after_meal"], parts.after_meal),
    ):
        if sitting:
            before = max(ends + rule["minutes"], _latest_end(found, size))
            length = minutes_at(sitting, place.group, settings) or 0
            starts = _whole(before, size)
            found.append(Segment(name, length, needs, starts, starts + max(rule["slack"], size)))
    return found


def _latest_end(found: Sequence[Segment], size: int) -> int:
    return max(segment.after_max + _whole(segment.minutes, size) for segment in found)


def _whole(minutes: int, size: int) -> int:
    """Minutes as the slots that hold them."""
    return -(-minutes // size) * size
