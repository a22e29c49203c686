"""What the core does where no plugin decides: visits, their preparation, and time in whole slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from examlane.domain import BookingMode, GroupView, IntervalRule, OrderItemView, Preparation, ServiceView, Text
from examlane.orders import intervals
from examlane.orders.snapshot import OpenItem
from examlane.visit import Need, Segment, Visit, VisitOption

FASTING_HOURS = 8
"""From so many hours of fasting on an exam wants a morning."""


def visits(items: Sequence[OpenItem], rules: Sequence[IntervalRule]) -> list[Visit]:
    """One visit an item, but together what the hospital wants held in one and a group offers whole."""
    return [_visit(bundle) for bundle in _bundles(items, rules)]


def preparation(items: Sequence[OrderItemView]) -> list[Preparation]:
    """The core's own words for fasting, used where a department says nothing."""
    hours = max((int(item.item.attributes.get("fasting_hours", 0)) for item in items), default=0)
    if not hours:
        return []
    text = Text(f"检查前禁食 {hours} 小时", f"do not eat for {hours} hours before the exam")
    return [Preparation("core.fasting", text, timedelta(hours=hours), hours)]


def whole_slots(visit: Visit, groups: Mapping[str, GroupView]) -> Visit:
    """Five minutes of a quarter-hour slot keep the patient for the quarter: he may be called at any moment of it."""

    def held(segment: Segment) -> Segment:
        sizes = [groups[need.group].slice_minutes for need in segment.needs]
        return replace(segment, minutes=max(-(-segment.minutes // size) * size for size in sizes))

    options = (replace(option, segments=tuple(map(held, option.segments))) for option in visit.options)
    return replace(visit, options=tuple(options))


def _bundles(items: Sequence[OpenItem], rules: Sequence[IntervalRule]) -> list[list[OpenItem]]:
    bundles: list[list[OpenItem]] = []
    for item in items:
        for bundle in bundles:
            alike = all(intervals.merged(rules, item.view.item, other.view.item) for other in bundle)
            if alike and item.encounter_id == bundle[0].encounter_id and _offers([*bundle, item]):
                bundle.append(item)
                break
        else:
            bundles.append([item])
    return bundles


def _offers(bundle: Sequence[OpenItem]) -> list[list[ServiceView]]:
    """The services of every group that offers all items of a bundle automatically."""
    first, *others = (
        {service.group: service for service in item.view.services if service.mode is BookingMode.AUTOMATIC}
        for item in bundle
    )
    return [
        [service, *(services[group] for services in others)]
        for group, service in first.items()
        if all(group in services for services in others)
    ]


def _visit(bundle: Sequence[OpenItem]) -> Visit:
    options = tuple(
        VisitOption(
            services[0].group,
            services[0].campus,
            services[0].zone,
            (Segment("exam", sum(service.minutes for service in services), (Need("room", services[0].group),)),),
        )
        for services in _offers(bundle)
    )
    keys = tuple(item.key for item in bundle)
    fasting = any(item.view.item.attributes.get("fasting_hours", 0) >= FASTING_HOURS for item in bundle)
    return Visit("+".join(keys), bundle[0].department, keys, options, fasting=fasting)
