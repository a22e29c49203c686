"""How endoscopies are held: room, endoscopist and, with sedation, anaesthetist together, then a recovery bed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from examlane import (
    TICK_MINUTES,
    EvidenceView,
    GateOpen,
    GroupView,
    Need,
    OrderItemView,
    OrderView,
    Segment,
    Visit,
    VisitOption,
)
from examlane_endoscopy.assessment import gate, is_sedated
from examlane_endoscopy.rulebase import RULES
from examlane_endoscopy.rules import fasting_hours

STAFF = ("endoscopist",)
SEDATION_STAFF = ("endoscopist", "anaesthetist")
RECOVERY = "recovery"


def visits(
    orders: Sequence[OrderView],
    groups: Sequence[GroupView],
    evidence: Sequence[EvidenceView],
    now: datetime,
    settings: Mapping[str, Any],
) -> list[Visit]:
    """One visit for all sedated items of an encounter, one for each other item."""
    gates = {
        item.key: gate(order, item, evidence, now, settings)
        for order in orders
        for item in order.items
        if is_sedated(item)
    }
    found = []
    for items in _by_encounter(orders):
        sedated = [item for item in items if is_sedated(item)]
        if sedated:
            answers = [gates[item.key] for item in sedated]
            opened = [answer.until for answer in answers if isinstance(answer, GateOpen) and answer.until]
            # A closed gate holds no time, whoever asks.
            options = _options(sedated, groups, settings) if len(opened) == len(sedated) else ()
            found.append(_visit(sedated, options, min(opened, default=None), settings))
        found += [
            _visit([item], _options([item], groups, settings), None, settings)
            for item in items
            if not is_sedated(item)
        ]
    return found


def _by_encounter(orders: Sequence[OrderView]) -> Iterator[list[OrderItemView]]:
    def number(order: OrderView) -> str:
        return order.encounter.number

    for _, same in groupby(sorted(orders, key=number), number):
        yield [item for order in same for item in order.items]


def _visit(
    items: Sequence[OrderItemView], options: Iterable[VisitOption], latest: datetime | None, settings: Mapping[str, Any]
) -> Visit:
    keys = tuple(item.key for item in items)
    mornings = RULES.rule("fasting", settings)["morning_from_hours"]
    return Visit(
        key="+".join(keys),
        department=items[0].item.department,
        items=keys,
        options=tuple(options),
        latest=latest,
        fasting=fasting_hours(items, settings) >= mornings,
    )


def _options(
    items: Sequence[OrderItemView], groups: Sequence[GroupView], settings: Mapping[str, Any]
) -> Iterator[VisitOption]:
    """Every room group that offers all items and has every other role on its campus."""
    for room in groups:
        minutes = [service.minutes for item in items for service in item.services if service.group == room.code]
        if len(minutes) != len(items):
            continue
        segments = _segments(is_sedated(items[0]), room, sum(minutes), groups, settings)
        if segments:
            yield VisitOption(room.code, room.campus, room.zone, segments)


def _segments(
    sedated: bool, room: GroupView, minutes: int, groups: Sequence[GroupView], settings: Mapping[str, Any]
) -> tuple[Segment, ...]:
    """The exam and, after sedation, recovery; nothing if the campus lacks a role."""
    staff = [_nearest(role, room, groups) for role in (SEDATION_STAFF if sedated else STAFF)]
    bed = _nearest(RECOVERY, room, groups)
    present = [group for group in staff if group]
    if len(present) != len(staff) or (sedated and bed is None):
        return ()
    needs = (Need(room.role, room.code), *(Need(group.role, group.code) for group in present))
    exam = Segment("exam", minutes, needs)
    if not sedated or bed is None:
        return (exam,)
    rest = RULES.rule(RECOVERY, settings)["minutes"]
    # The patient leaves when the exam is over, at the latest when the room's own last slot is.
    soonest, last = _up_to(TICK_MINUTES, minutes), _up_to(room.slice_minutes, minutes)
    return exam, Segment(RECOVERY, rest, (Need(RECOVERY, bed.code),), soonest, max(soonest, last))


def _up_to(step: int, minutes: int) -> int:
    return -(-minutes // step) * step


def _nearest(role: str, room: GroupView, groups: Sequence[GroupView]) -> GroupView | None:
    """The group of a role on the room's campus, in its zone if there is one."""
    there = [group for group in groups if group.role == role and group.campus == room.campus]
    return min(there, key=lambda group: (group.zone != room.zone, group.code), default=None)
