"""A re-issued order takes over the place that was kept for it: the same time where it still fits, else from that day on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from examlane.orders.snapshot import HeldPlace
from examlane.orders.snapshot import Visit as BookedVisit
from examlane.planning.allocation import Found
from examlane.planning.judging import Verdict
from examlane.planning.planner import Plan, PlannedVisit, Planner
from examlane.reasons import text
from examlane.visit import Placement, Proposal

TAKEN_OVER = "taken_over"
Pair = tuple[Verdict, HeldPlace]


def take_over(planner: Planner, plan: Plan, fresh: Sequence[Verdict]) -> list[Verdict]:
    """Plan the items for which a place is kept; returns the others."""
    booked = {visit.id: visit for visit in planner.snapshot.visits}
    matched = [pair for pair in _matched(planner.snapshot.held, fresh) if pair[1].appointment in booked]
    by_visit: dict[int, list[Pair]] = defaultdict(list)
    for pair in matched:
        by_visit[pair[1].appointment].append(pair)
    for appointment, pairs in by_visit.items():
        _take(planner, plan, booked[appointment], pairs)
    done = {verdict.item.id for verdict, _ in matched}
    return [verdict for verdict in fresh if verdict.item.id not in done]


def _matched(held: Sequence[HeldPlace], fresh: Sequence[Verdict]) -> list[Pair]:
    """Each item with the place of the one it replaces: the same exam first, then the same line."""
    left = list(held)
    pairs: list[Pair] = []
    for alike in (_same_exam, _same_line):
        for verdict in fresh:
            if any(verdict is one for one, _ in pairs):
                continue
            place = next((one for one in left if one.order == verdict.item.replaces and alike(verdict, one)), None)
            if place is not None:
                left.remove(place)
                pairs.append((verdict, place))
    return pairs


def _same_exam(verdict: Verdict, place: HeldPlace) -> bool:
    return verdict.item.view.item.code == place.code


def _same_line(verdict: Verdict, place: HeldPlace) -> bool:
    return verdict.item.key.rpartition("/")[2] == str(place.line)


def _take(planner: Planner, plan: Plan, old: BookedVisit, pairs: Sequence[Pair]) -> None:
    staying = [verdict for verdict in plan.verdicts if verdict.item.appointment == old.id]
    verdicts = [verdict for verdict, _ in pairs]
    kept = _in_place(planner, plan, old, [*verdicts, *staying], prepared=all(_same_exam(*pair) for pair in pairs))
    found = [kept] if kept else _from_that_day(planner, plan, old, verdicts, alone=not staying)
    plan.visits += found
    placed = {item.id for visit in found for item in visit.items}
    plan.taken_over.update({v.item.id: place.order_item for v, place in pairs if v.item.id in placed})
    plan.unplaced.update({v.item.id: "no_time" for v in verdicts if v.item.id not in placed | plan.unplaced.keys()})


def _in_place(
    planner: Planner, plan: Plan, old: BookedVisit, verdicts: Sequence[Verdict], *, prepared: bool
) -> PlannedVisit | None:
    """All items of the visit at its very time and place, or None. Who was told of it needs no notice."""
    settings = replace(planner.hospital.settings, notice=timedelta())
    at_once = Planner(replace(planner.hospital, settings=settings), planner.snapshot, planner.now)
    items = {verdict.item.key: verdict.item for verdict in verdicts}
    made = at_once.requirements(verdicts[0].item.department, [verdict.item for verdict in verdicts]) or []
    if len(made) != 1 or any(verdict.item.department != verdicts[0].item.department for verdict in verdicts):
        return None
    preparation = at_once.preparation(list(items.values()))
    visit = at_once.limited(made[0], () if prepared else preparation, verdicts)
    option = next((option for option in visit.options if option.group == old.group), None)
    if option is None:
        return None
    constraints = at_once.constraints(plan, at_once.rules(plan, verdicts), items, exclude={old.id})
    encounter = verdicts[0].item.order.encounter.encounter_class
    calendar = at_once.allocator.availability(encounter, constraints, at_once.allocator.seats_of([old]))
    placement = calendar.settled(visit, option, Placement(visit.key, old.group, old.starts_at))
    if not calendar.allows(visit, option, placement):
        return None
    proposal = Proposal((placement,), text(TAKEN_OVER), TAKEN_OVER)
    planned = at_once.planned(Found(visit, placement, proposal, False), items, preparation, [old])
    return replace(planned, replaces=(old,))


def _from_that_day(
    planner: Planner, plan: Plan, old: BookedVisit, verdicts: Sequence[Verdict], *, alone: bool
) -> list[PlannedVisit]:
    """Times from the day of the kept place on; a visit that nobody else needs is moved there, its seats count as free."""
    later = Planner(planner.hospital, planner.snapshot, planner.now, since=planner.calendar.day_of(old.starts_at))
    found = later.solve(plan, verdicts, [old] if alone else []) or []
    return [replace(visit, replaces=(old,)) if alone and not place else visit for place, visit in enumerate(found)]
