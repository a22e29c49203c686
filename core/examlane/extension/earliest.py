"""Core's own `allocate`, a plugin like any other and the last one asked: the earliest reachable start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from examlane.hookspecs import hookimpl
from examlane.reasons import REASONS
from examlane.visit import Availability, BookingRequest, Infeasible, Placement, Proposal, Visit


@hookimpl
def allocate(request: BookingRequest, availability: Availability) -> Sequence[Proposal] | Infeasible | None:
    """Each visit at its earliest: on the patient's campus, unless another one is some days earlier."""
    placements = []
    code = "earliest"
    for visit in request.visits:
        placement, code = _best(visit, request, availability)
        if placement is None:
            return Infeasible("no_time", REASONS["no_time"])
        placements.append(placement)
    return [Proposal(tuple(placements), REASONS[code], code, proven=len(placements) == 1)]


def _best(visit: Visit, request: BookingRequest, availability: Availability) -> tuple[Placement | None, str]:
    home = tuple(option for option in visit.options if option.campus == request.encounter.campus)
    away = tuple(option for option in visit.options if option not in home)
    here = availability.earliest(replace(visit, options=home), request.not_before) if home else None
    there = availability.earliest(replace(visit, options=away), request.not_before) if away else None
    if here is None or there is None:
        return here or there, "earliest" if not home else "same_campus" if here else "other_campus"
    much_earlier = timedelta(days=request.settings.get("other_campus_days", 3))
    if here.starts_at - there.starts_at >= much_earlier:
        return there, "other_campus"
    return here, "same_campus"
