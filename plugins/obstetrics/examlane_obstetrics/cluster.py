"""One day for all exams of a visit: shortest stay, fasting first, and not much later than each exam alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from examlane import (
    Availability,
    BookingRequest,
    Itinerary,
    ItineraryRules,
    Placement,
    Proposal,
    Text,
    Visit,
    plan_itinerary,
)
from examlane_obstetrics.parameters import number

FASTING, ENDOSCOPY, ANY_TIME, AFTER_MEAL = range(4)


def proposals(
    request: BookingRequest, availability: Availability, deadline: Callable[[], bool]
) -> Sequence[Proposal] | None:
    """All visits on one day, else on two; None when there is nothing to gather or it would come too late."""
    if len(request.visits) < 2:
        return None
    home = at_home(request)
    days = acceptable_days(home, availability) or acceptable_days(request, availability)
    if not days:
        return None
    return (
        _one_day(home, availability, days, deadline)
        or _one_day(request, availability, days, deadline)
        or _two_days(home, availability, days, deadline)
        or _two_days(request, availability, days, deadline)
    )


def at_home(request: BookingRequest) -> BookingRequest:
    """The request with only the options on the patient's campus, for each visit that has any there."""
    return replace(request, visits=tuple(_at(visit, request.encounter.campus) for visit in request.visits))


def _at(visit: Visit, campus: str) -> Visit:
    options = tuple(option for option in visit.options if option.campus == campus)
    return replace(visit, options=options) if options else visit


def acceptable_days(request: BookingRequest, availability: Availability) -> int:
    """How many days may be searched: all for patients from out of town, else few after the separate bookings."""
    separate = [availability.earliest(visit, request.not_before) for visit in request.visits]
    if None in separate:
        return 0
    days = availability.days()
    if request.patient.out_of_town:
        return len(days)
    last = max(_day(placement.starts_at, availability) for placement in separate if placement)
    limit = last + timedelta(days=number("max_later_days", request.settings))
    return sum(day <= limit for day in days)


def _day(instant: datetime, availability: Availability) -> date:
    return max(day for day in availability.days() if availability.instant(day, 0) <= instant)


def _one_day(
    request: BookingRequest, availability: Availability, days: int, deadline: Callable[[], bool]
) -> list[Proposal] | None:
    plan = _shortest_stay(request, availability, days, deadline)
    if plan is None:
        return None
    minutes = _minutes(plan.ends_at - plan.starts_at)
    count = len(request.visits)
    reason = Text(
        f"同日完成 {count} 项检查，在院约 {minutes} 分钟",
        f"all {count} exams on one day, about {minutes} minutes in the hospital",
    )
    return [Proposal(plan.placements, reason, "obstetrics.same_day", plan.proven)]


def _two_days(
    request: BookingRequest, availability: Availability, days: int, deadline: Callable[[], bool]
) -> list[Proposal] | None:
    """The fasting visits on the first possible day, the others together on a later one."""
    fasting = tuple(visit for visit in request.visits if visit.fasting)
    others = tuple(visit for visit in request.visits if not visit.fasting)
    if not fasting or not others:
        return None
    first = replace(request, visits=fasting)
    morning = _shortest_stay(first, availability, days, deadline)
    if morning is None:
        return None
    second = replace(request, visits=_after(_day(morning.starts_at, availability), others, availability))
    rest = _shortest_stay(second, availability, days, deadline)
    if rest is None:
        return None
    minutes = [_minutes(plan.ends_at - plan.starts_at) for plan in (morning, rest)]
    return [_split(morning.placements, rest.placements, minutes)]


def _shortest_stay(
    request: BookingRequest, availability: Availability, days: int, deadline: Callable[[], bool]
) -> Itinerary | None:
    rules = ItineraryRules(before=order_of(request))
    return plan_itinerary(request, availability, mode="stay", max_days=days, rules=rules, deadline=deadline)


def _split(first: tuple[Placement, ...], second: tuple[Placement, ...], minutes: Sequence[int]) -> Proposal:
    reason = Text(
        f"没有一天能完成全部检查，分两天：空腹项目 {len(first)} 项（在院约 {minutes[0]} 分钟），"
        f"其余 {len(second)} 项（约 {minutes[1]} 分钟）",
        f"no single day has room for all exams: {len(first)} fasting ones on one day (about {minutes[0]} minutes), "
        f"the other {len(second)} on a later one (about {minutes[1]} minutes)",
    )
    return Proposal((*first, *second), reason, "obstetrics.two_days")


def _after(day: date, visits: Sequence[Visit], availability: Availability) -> tuple[Visit, ...]:
    midnight = availability.instant(day + timedelta(days=1), 0)
    return tuple(replace(visit, earliest=max(visit.earliest or midnight, midnight)) for visit in visits)


def order_of(request: BookingRequest) -> list[tuple[str, str]]:
    """Pairs of visits of which the first must end first: fasting, endoscopy, the others, those after a meal."""
    stages = [(stage(visit, request), visit.key) for visit in request.visits]
    return [(first, second) for early, first in stages for late, second in stages if early < late]


def stage(visit: Visit, request: BookingRequest) -> int:
    items = [request.items[key].item for key in visit.items]
    if any(item.modality == "ES" for item in items):
        return ENDOSCOPY
    if visit.fasting:
        return FASTING
    return AFTER_MEAL if any(item.attributes.get("after_meal") for item in items) else ANY_TIME


def _minutes(length: timedelta) -> int:
    return round(length / timedelta(minutes=1))
