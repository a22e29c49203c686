"""One day for all exams of a visit: shortest stay, in the order of the stages, and not much later than each exam alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from examlane import (
    Availability,
    BookingRequest,
    Itinerary,
    Proposal,
    RuleBook,
    Text,
    Visit,
    each_alone,
    plan_itinerary,
    plan_two_days,
)
from examlane_obstetrics import stages

Plan = Callable[..., Itinerary | None]
MOST = 12
"""What one search takes; the draws of a glucose test count singly."""


def proposals(
    request: BookingRequest,
    availability: Availability,
    settings: Mapping[str, Any],
    rules: RuleBook,
    deadline: Callable[[], bool],
) -> Sequence[Proposal] | None:
    """All visits on one day, else on two; None when there is nothing to gather, too much, or it would come too late.

    Of two days the last is as early as possible. The patient's own campus goes before every other, one day before two.
    """
    separately = each_alone(request, availability) if 1 < _size(request) <= MOST else None
    if separately is None:
        return None
    last = max(separately.days)
    ways: list[Plan] = [plan_itinerary, *([plan_two_days] if settings["allow_two_days"] else [])]
    for way in ways:
        for place in _places(request, settings):
            found = way(
                place, availability, mode="stay", max_days=_days(request, availability, settings, last),
                rules=stages.itinerary_rules(place, settings["gap_minutes"], rules), deadline=deadline,
                tolerance=settings["tolerance_minutes"], longest=settings["span_minutes"],
            )  # fmt: skip
            if found is not None:
                return [_proposal(found, last)]
    return None


def _size(request: BookingRequest) -> int:
    """How much a search has to place; one visit alone is 1, whatever its segments."""
    if len(request.visits) < 2:
        return len(request.visits)
    return sum(len(visit.options[0].segments) if visit.gaps and visit.options else 1 for visit in request.visits)


def _days(request: BookingRequest, availability: Availability, settings: Mapping[str, Any], separately: date) -> int:
    """How many days may be tried: all for patients from out of town, else few after the separate bookings."""
    if request.patient.out_of_town and settings["out_of_town_always"]:
        return len(availability.days())
    limit = separately + timedelta(days=settings["max_later_days"])
    return sum(day <= limit for day in availability.days())


def _places(request: BookingRequest, settings: Mapping[str, Any]) -> Iterator[BookingRequest]:
    """The request on the patient's campus, where a visit has options there, then anywhere."""
    home = tuple(_at(visit, request.encounter.campus) for visit in request.visits)
    yield replace(request, visits=home)
    if settings["allow_other_campus"] and home != request.visits:
        yield request


def _at(visit: Visit, campus: str) -> Visit:
    options = tuple(option for option in visit.options if option.campus == campus)
    return replace(visit, options=options) if options else visit


def _proposal(plan: Itinerary, separately: date) -> Proposal:
    """A plan with its reason, which shows both dates: with and without planning together."""
    minutes = [round(stay / timedelta(minutes=1)) for stay in plan.stays]
    if len(plan.days) == 1:
        count, day = len(plan.placements), plan.days[0]
        reason = Text(
            f"同日（{day}）完成 {count} 项检查，在院约 {minutes[0]} 分钟；分开预约则最后一项在 {separately}",
            f"all {count} exams on one day ({day}), about {minutes[0]} minutes in the hospital; "
            f"separately the last would be on {separately}",
        )
        return Proposal(plan.placements, reason, "obstetrics.same_day", plan.proven)
    stays = list(zip(plan.days, minutes, strict=True))
    zh = "，".join(f"{day}（在院约 {stay} 分钟）" for day, stay in stays)
    en = " and ".join(f"{day} (about {stay} minutes)" for day, stay in stays)
    reason = Text(
        f"没有一天能完成全部检查，分两天：{zh}；分开预约则最后一项在 {separately}",
        f"no one day has room for all exams; on two days: {en}; separately the last would be on {separately}",
    )
    return Proposal(plan.placements, reason, "obstetrics.two_days", plan.proven)
