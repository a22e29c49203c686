"""One day for all exams of a visit: shortest stay, in the order of the stages, and not much later than each exam alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from examlane import (
    Availability,
    BookingRequest,
    Itinerary,
    ItineraryRules,
    Proposal,
    RuleBook,
    Text,
    Visit,
    plan_itinerary,
)
from examlane_obstetrics import stages

Deadline = Callable[[], bool]


@dataclass(frozen=True)
class Search:
    """What a department asks for: its settings and rules, the calendar, how many days may be tried, until when."""

    availability: Availability
    settings: Mapping[str, Any]
    rules: RuleBook
    deadline: Deadline
    days: int
    separately: date
    """The day of the last exam, were each booked on its own."""


def proposals(
    request: BookingRequest,
    availability: Availability,
    settings: Mapping[str, Any],
    rules: RuleBook,
    deadline: Deadline,
) -> Sequence[Proposal] | None:
    """All visits on one day, else on two; None when there is nothing to gather or it would come too late."""
    separately = _separately(request, availability) if len(request.visits) > 1 else None
    if separately is None:
        return None
    days = _acceptable_days(request, availability, settings, separately)
    search = Search(availability, settings, rules, deadline, days, separately)
    places = list(_places(request, settings))
    for place in places:
        if (found := _one_day(place, search)) is not None:
            return [found]
    if settings["allow_two_days"]:
        for place in places:
            if (found := _two_days(place, search)) is not None:
                return [found]
    return None


def _separately(request: BookingRequest, availability: Availability) -> date | None:
    """The day of the last exam, were each booked on its own; None when one of them cannot be booked at all."""
    last = None
    for visit in request.visits:
        placement = availability.earliest(visit, request.not_before)
        if placement is None:
            return None
        last = placement.starts_at if last is None else max(last, placement.starts_at)
    return None if last is None else _day(last, availability)


def _acceptable_days(
    request: BookingRequest, availability: Availability, settings: Mapping[str, Any], separately: date
) -> int:
    """How many days may be tried: all for patients from out of town, else few after the separate bookings."""
    days = availability.days()
    if request.patient.out_of_town and settings["out_of_town_always"]:
        return len(days)
    limit = separately + timedelta(days=settings["max_later_days"])
    return sum(day <= limit for day in days)


def _places(request: BookingRequest, settings: Mapping[str, Any]) -> Iterator[BookingRequest]:
    """The request on the patient's campus, where a visit has options there, then anywhere."""
    yield replace(request, visits=tuple(_at(visit, request.encounter.campus) for visit in request.visits))
    if settings["allow_other_campus"]:
        yield request


def _at(visit: Visit, campus: str) -> Visit:
    options = tuple(option for option in visit.options if option.campus == campus)
    return replace(visit, options=options) if options else visit


def _day(instant: datetime, availability: Availability) -> date:
    return max(day for day in availability.days() if availability.instant(day, 0) <= instant)


def _plan(request: BookingRequest, search: Search) -> Itinerary | None:
    order = stages.order({visit.key: stages.stage(visit, request, search.rules) for visit in request.visits})
    plan = plan_itinerary(
        request, search.availability, mode="stay", max_days=search.days, rules=ItineraryRules(before=order), deadline=search.deadline
    )
    return plan if plan is not None and _minutes(plan) <= search.settings["span_minutes"] else None


def _one_day(request: BookingRequest, search: Search) -> Proposal | None:
    plan = _plan(request, search)
    if plan is None:
        return None
    day, count, minutes = _day(plan.starts_at, search.availability), len(request.visits), _minutes(plan)
    reason = Text(
        f"同日（{day}）完成 {count} 项检查，在院约 {minutes} 分钟；分开预约则最后一项在 {search.separately}",
        f"all {count} exams on one day ({day}), about {minutes} minutes in the hospital; "
        f"separately the last would be on {search.separately}",
    )
    return Proposal(plan.placements, reason, "obstetrics.same_day", plan.proven)


def _two_days(request: BookingRequest, search: Search) -> Proposal | None:
    """The fasting visits on the first possible day, the others together on a later one."""
    fasting = tuple(visit for visit in request.visits if visit.fasting)
    others = tuple(visit for visit in request.visits if not visit.fasting)
    if not fasting or not others:
        return None
    first = _plan(replace(request, visits=fasting), search)
    if first is None:
        return None
    day = _day(first.starts_at, search.availability)
    second = _plan(replace(request, visits=_after(day, others, search.availability)), search)
    return None if second is None else _split((first, second), search)


def _split(plans: Sequence[Itinerary], search: Search) -> Proposal:
    zh, en = [], []
    for plan in plans:
        day, count, minutes = _day(plan.starts_at, search.availability), len(plan.placements), _minutes(plan)
        zh.append(f"{day} {count} 项（在院约 {minutes} 分钟）")
        en.append(f"{count} on {day} (about {minutes} minutes)")
    reason = Text(
        f"没有一天能完成全部检查，分两天：{'，'.join(zh)}；分开预约则最后一项在 {search.separately}",
        f"no single day has room for all exams: {', '.join(en)}; separately the last would be on {search.separately}",
    )
    return Proposal(tuple(one for plan in plans for one in plan.placements), reason, "obstetrics.two_days")


def _after(day: date, visits: Sequence[Visit], availability: Availability) -> tuple[Visit, ...]:
    midnight = availability.instant(day + timedelta(days=1), 0)
    return tuple(replace(visit, earliest=max(visit.earliest or midnight, midnight)) for visit in visits)


def _minutes(plan: Itinerary) -> int:
    return round((plan.ends_at - plan.starts_at) / timedelta(minutes=1))
