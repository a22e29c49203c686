"""How endoscopies are held: room, endoscopist and, with sedation, anaesthetist together, then a recovery bed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from examlane import (
    TICK_MINUTES,
    GroupView,
    Need,
    OrderItemView,
    OrderView,
    RuleBook,
    Segment,
    Visit,
    VisitOption,
)
from examlane_endoscopy.facts import Context, is_assessment, is_sedated
from examlane_endoscopy.preparation import fasting_hours

STAFF = ("endoscopist",)
SEDATION_STAFF = ("endoscopist", "anaesthetist")
RECOVERY = "recovery"


def visits(orders: Sequence[OrderView], groups: Sequence[GroupView], rules: RuleBook) -> list[Visit]:
    """One visit for all sedated items of an encounter, one for each other item."""
    found = []
    for same in _by_encounter(orders):
        items = [item for order in same for item in order.items]
        context: Context = {name: fact for order in same for name, fact in order.context.items()}
        sedated = [item for item in items if is_sedated(item)]
        together = [sedated] if sedated else []
        for own in [*together, *([item] for item in items if not is_sedated(item))]:
            found.append(_visit(own, context, groups, rules))
    return found


def _by_encounter(orders: Sequence[OrderView]) -> Iterator[list[OrderView]]:
    def number(order: OrderView) -> str:
        return order.encounter.number

    for _, same in groupby(sorted(orders, key=number), number):
        yield list(same)


def _visit(items: Sequence[OrderItemView], context: Context, groups: Sequence[GroupView], rules: RuleBook) -> Visit:
    keys = tuple(item.key for item in items)
    options: Iterable[VisitOption] = _options(items, groups, rules)
    fasting = fasting_hours(items, context, rules) >= rules["fasting"]["morning_from_hours"]
    return Visit("+".join(keys), items[0].item.department, keys, tuple(options), fasting=fasting)


def _options(items: Sequence[OrderItemView], groups: Sequence[GroupView], rules: RuleBook) -> Iterator[VisitOption]:
    """Every room group that offers all items and has every other role on its campus."""
    for room in groups:
        minutes = [service.minutes for item in items for service in item.services if service.group == room.code]
        if len(minutes) != len(items):
            continue
        segments = _segments(items[0], room, sum(minutes), groups, rules)
        if segments:
            yield VisitOption(room.code, room.campus, room.zone, segments)


def _segments(
    item: OrderItemView, room: GroupView, minutes: int, groups: Sequence[GroupView], rules: RuleBook
) -> tuple[Segment, ...]:
    """The exam and, after sedation, recovery; nothing if the campus lacks a role. An assessment wants its room only."""
    if is_assessment(item):
        return (Segment("assessment", minutes, (Need(room.role, room.code),)),)
    sedated = is_sedated(item)
    staff = [_nearest(role, room, groups) for role in (SEDATION_STAFF if sedated else STAFF)]
    bed = _nearest(RECOVERY, room, groups)
    present = [group for group in staff if group]
    if len(present) != len(staff) or (sedated and bed is None):
        return ()
    needs = (Need(room.role, room.code), *(Need(group.role, group.code) for group in present))
    exam = Segment("exam", minutes, needs)
    if not sedated or bed is None:
        return (exam,)
    # The patient leaves when the exam is over, at the latest when the room's own last slot is.
    soonest, last = _up_to(TICK_MINUTES, minutes), _up_to(room.slice_minutes, minutes)
    rest = Segment(RECOVERY, rules[RECOVERY]["minutes"], (Need(RECOVERY, bed.code),), soonest, max(soonest, last))
    return exam, rest


def _up_to(step: int, minutes: int) -> int:
    return -(-minutes // step) * step


def _nearest(role: str, room: GroupView, groups: Sequence[GroupView]) -> GroupView | None:
    """The group of a role on the room's campus, in its zone if there is one."""
    there = [group for group in groups if group.role == role and group.campus == room.campus]
    return min(there, key=lambda group: (group.zone != room.zone, group.code), default=None)
