"""What ultrasound wants: which items make one visit, in which order exams go, and how patients prepare."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from examlane import (
    GroupView,
    IntervalRule,
    Need,
    OrderItemView,
    OrderView,
    Preparation,
    Relation,
    Segment,
    Selector,
    ServiceView,
    Text,
    Visit,
    VisitOption,
)

PRENATAL = "prenatal"
SONOGRAPHER = "sonographer"


@cache
def rule_data() -> Mapping[str, Any]:
    return tomllib.loads(files("examlane_ultrasound").joinpath("rules.toml").read_text("utf-8"))


def number(name: str, settings: Mapping[str, Any]) -> int:
    """A number of the rule data, unless the department has set its own."""
    return int(settings.get(name, rule_data()[name]["value"]))


def is_fasting(item: OrderItemView) -> bool:
    return bool(item.item.attributes.get("fasting_hours"))


def is_prenatal(item: OrderItemView) -> bool:
    return item.item.attributes.get("credential") == PRENATAL


def visits(orders: Sequence[OrderView], groups: Sequence[GroupView], settings: Mapping[str, Any]) -> list[Visit]:
    """The items of each encounter as few visits: mergeable ones together, each other one by itself."""
    limit = number("max_visit_minutes", settings)
    found = []
    for items in _by_encounter(orders):
        mergeable = [item for item in items if item.item.attributes.get("merge") and not is_prenatal(item)]
        alone = [[item] for item in items if item not in mergeable]
        found += [_visit(bundle, groups, limit) for bundle in [*bundles(mergeable, limit), *alone]]
    return found


def _by_encounter(orders: Iterable[OrderView]) -> list[list[OrderItemView]]:
    grouped: dict[str, list[OrderItemView]] = {}
    for order in orders:
        grouped.setdefault(order.encounter.number, []).extend(order.items)
    return list(grouped.values())


def bundles(items: Sequence[OrderItemView], limit: int) -> list[list[OrderItemView]]:
    """Split items greedily: each time as many as one group can examine in one visit, fasting ones first."""
    left = sorted(items, key=lambda item: not is_fasting(item))
    found = []
    while left:
        groups = dict.fromkeys(service.group for item in left for service in item.services)
        bundle = max((_fitting(left, group, limit) for group in groups), key=len, default=left[:1])
        found.append(bundle)
        left = [item for item in left if item not in bundle]
    return found


def _fitting(items: Sequence[OrderItemView], group: str, limit: int) -> list[OrderItemView]:
    bundle: list[OrderItemView] = []
    total = 0
    for item in items:
        service = _service(item, group)
        if service and (not bundle or total + service.minutes <= limit):
            bundle.append(item)
            total += service.minutes
    return bundle


def _service(item: OrderItemView, group: str) -> ServiceView | None:
    return next((service for service in item.services if service.group == group), None)


def _visit(bundle: Sequence[OrderItemView], groups: Sequence[GroupView], limit: int) -> Visit:
    keys = tuple(item.key for item in bundle)
    department = bundle[0].item.department
    fasting = any(is_fasting(item) for item in bundle)
    return Visit("+".join(keys), department, keys, tuple(_options(bundle, groups, limit)), fasting=fasting)


def _options(bundle: Sequence[OrderItemView], groups: Sequence[GroupView], limit: int) -> Iterable[VisitOption]:
    """The groups that offer every item of the bundle within the limit."""
    for place in bundle[0].services:
        services = [_service(item, place.group) for item in bundle]
        offered = [service for service in services if service]
        minutes = sum(service.minutes for service in offered)
        if len(offered) == len(bundle) and (minutes <= limit or len(bundle) == 1):
            needs = (Need(_role(place.group, groups), place.group), *_sonographer(bundle, place, groups))
            yield VisitOption(place.group, place.campus, place.zone, (Segment("exam", minutes, needs),))


def _role(group: str, groups: Sequence[GroupView]) -> str:
    return next((known.role for known in groups if known.code == group), "device")


def _sonographer(bundle: Sequence[OrderItemView], place: ServiceView, groups: Sequence[GroupView]) -> tuple[Need, ...]:
    """A credentialled sonographer of the campus for prenatal screening, the nearest group first."""
    if not any(is_prenatal(item) for item in bundle):
        return ()
    there = [group for group in groups if group.role == SONOGRAPHER and group.campus == place.campus]
    nearest = sorted(there, key=lambda group: (group.zone != place.zone, group.code))
    return tuple(Need(SONOGRAPHER, group.code) for group in nearest[:1] if group.code != place.group)


@cache
def interval_rules() -> tuple[IntervalRule, ...]:
    """The order between ultrasound and other exams of one day."""
    data = rule_data()
    return tuple(
        IntervalRule(
            rule=row["rule"],
            version=data["version"],
            first=Selector(**row["first"]),
            second=Selector(**row["second"]),
            relation=Relation.BEFORE,
            text=Text(row["zh"], row["en"]),
            source=row["source"],
        )
        for row in data["interval"]
    )


def preparations(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> list[Preparation]:
    fasting = any(is_fasting(item) for item in items)
    bladder = any(item.item.attributes.get("full_bladder") for item in items)
    steps = [_fasting(number("fasting_hours", settings))] if fasting else []
    if bladder:
        steps.append(_held_bladder() if fasting else _full_bladder(number("bladder_hours", settings)))
    return steps


def _fasting(hours: int) -> Preparation:
    text = Text(
        f"检查前至少 {hours} 小时禁食禁水，前一晚清淡饮食",
        f"neither eat nor drink, water included, for at least {hours} hours before the exam; a light supper before",
    )
    return Preparation("ultrasound.fasting", text, timedelta(hours=hours), hours)


def _full_bladder(hours: int) -> Preparation:
    water = rule_data()["bladder_water"]["value"]
    text = Text(
        f"检查前 {hours} 小时饮水 {water} 毫升并憋尿，检查结束后再排尿",
        f"drink {water} ml of water {hours} h before the exam and do not empty the bladder until it is over",
    )
    return Preparation("ultrasound.full_bladder", text, timedelta(hours=hours))


def _held_bladder() -> Preparation:
    # Drinking would break the fast of the other body parts, so the bladder fills overnight.
    text = Text(
        "需同时憋尿：晨起后不排尿；空腹项目完成后，如膀胱充盈不足再按医生提示饮水",
        "come with a full bladder as well: do not empty it after getting up; drink only when told to, "
        "after the fasting part",
    )
    return Preparation("ultrasound.held_bladder", text)
