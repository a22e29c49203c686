"""What becomes one visit: as many parts as one group can examine in the time a visit may take, and who examines them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from examlane import GroupView, Need, OrderItemView, OrderView, RuleBook, Segment, ServiceView, Visit, VisitOption
from examlane_ultrasound.items import fasting_hours, has_contrast, in_order, may_join, says
from examlane_ultrasound.sittings import segments, service_at, total_minutes

SONOGRAPHER, CHAIR = "sonographer", "chair"
Settings = Mapping[str, Any]


def visits(orders: Sequence[OrderView], groups: Sequence[GroupView], settings: Settings, rules: RuleBook) -> list[Visit]:
    """The items of each encounter as few visits: those that may join together, each other one by itself."""
    found = []
    for items in _by_encounter(orders):
        alone = [[item] for item in items if not may_join(item)]
        together = bundles([item for item in items if may_join(item)], settings)
        found += [_visit(bundle, groups, settings, rules) for bundle in [*together, *alone]]
    return found


def _by_encounter(orders: Iterable[OrderView]) -> list[list[OrderItemView]]:
    grouped: dict[str, list[OrderItemView]] = {}
    for order in orders:
        grouped.setdefault(order.encounter.number, []).extend(order.items)
    return list(grouped.values())


def bundles(items: Sequence[OrderItemView], settings: Settings) -> list[list[OrderItemView]]:
    """Split items greedily: each time as many as one group can examine in one visit, fasting ones first."""
    left = in_order(items)
    found = []
    while left:
        groups = dict.fromkeys(service.group for item in left for service in item.services)
        bundle = max((_fitting(left, group, settings) for group in groups), key=len, default=left[:1])
        found.append(bundle)
        left = [item for item in left if item not in bundle]
    return found


def _fitting(items: Sequence[OrderItemView], group: str, settings: Settings) -> list[OrderItemView]:
    bundle: list[OrderItemView] = []
    for item in items:
        if service_at(item, group) and (not bundle or _fits([*bundle, item], group, settings)):
            bundle.append(item)
    return bundle


def _fits(bundle: Sequence[OrderItemView], group: str, settings: Settings) -> bool:
    """Whether a group examines all of it in the time of one visit; a single exam may take longer."""
    minutes = total_minutes(bundle, group, settings)
    return minutes is not None and (len(bundle) == 1 or minutes <= settings["max_visit_minutes"])


def _visit(bundle: Sequence[OrderItemView], groups: Sequence[GroupView], settings: Settings, rules: RuleBook) -> Visit:
    keys = tuple(item.key for item in bundle)
    hours = max(fasting_hours(item, rules) for item in bundle)
    options = tuple(_options(bundle, groups, settings, rules))
    fasting = hours >= rules["fasting"]["hours"]
    return Visit("+".join(keys), bundle[0].item.department, keys, options, fasting=fasting)


def _options(
    bundle: Sequence[OrderItemView], groups: Sequence[GroupView], settings: Settings, rules: RuleBook
) -> Iterable[VisitOption]:
    """The groups that offer every item, where somebody may examine it."""
    for place in bundle[0].services:
        staff = _sonographer(bundle[0], place, groups, settings)
        if staff is not None and _fits(bundle, place.group, settings):
            needs = (Need(_role(place.group, groups), place.group), *staff)
            held = segments(bundle, place, needs, settings, rules)
            held += _observation(bundle, place, held[-1], groups, rules)
            yield VisitOption(place.group, place.campus, place.zone, tuple(held))


def _role(group: str, groups: Sequence[GroupView]) -> str:
    return next((known.role for known in groups if known.code == group), "device")


def _sonographer(
    item: OrderItemView, place: ServiceView, groups: Sequence[GroupView], settings: Settings
) -> tuple[Need, ...] | None:
    """Nobody where no credential is asked; the nearest credentialled group of the campus; None where there is none."""
    credential = says(item, "credential")
    if not credential:
        return ()
    allowed = settings["sonographer_groups"].get(credential)
    here = [group for group in _there(SONOGRAPHER, place, groups) if allowed is None or group.code in allowed]
    return (Need(SONOGRAPHER, here[0].code),) if here else None


def _observation(
    bundle: Sequence[OrderItemView], place: ServiceView, exam: Segment, groups: Sequence[GroupView], rules: RuleBook
) -> list[Segment]:
    """A chair after a contrast agent, where the campus has chairs of ours; else it is only told."""
    chairs = _there(CHAIR, place, groups)
    if not chairs or not any(has_contrast(item) for item in bundle):
        return []
    rule = rules["contrast.observation"]
    starts = exam.after_max + -(-exam.minutes // place.slice_minutes) * place.slice_minutes
    needs = (Need(CHAIR, chairs[0].code),)
    return [Segment("observation", rule["minutes"], needs, starts, starts + rule["slack"])]


def _there(role: str, place: ServiceView, groups: Sequence[GroupView]) -> list[GroupView]:
    """Other groups of a role on the campus of a place, the nearest first."""
    found = [group for group in groups if (group.role, group.campus) == (role, place.campus) and group.code != place.group]
    return sorted(found, key=lambda group: (group.zone != place.zone, group.code))
