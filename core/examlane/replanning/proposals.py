"""Where a visit goes whose place falls away: same place and day, another place that day, the earliest after; or the desk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from examlane.appointments import choosing, status
from examlane.appointments.choosing import Moving
from examlane.capacity.availability import Foreseen
from examlane.domain import EncounterClass, Text
from examlane.errors import Conflict
from examlane.hospital import Hospital
from examlane.orders import snapshot
from examlane.orders.snapshot import Visit as BookedVisit
from examlane.planning.planner import Plan, PlannedVisit, Planner
from examlane.reasons import text
from examlane.visit import Placement, VisitOption

SAME_PLACE, OTHER_PLACE, NEXT, TOGETHER = "same_place", "other_place", "next_possible", "together"
WHY = {
    SAME_PLACE: Text("同日同处最近的空位", "the nearest free time the same day at the same place"),
    OTHER_PLACE: Text("同日另一检查点最近的空位", "the nearest free time the same day at another place"),
    NEXT: Text("其后最早可约时间", "the earliest possible time after that"),
    TOGETHER: Text("与同行程检查一并重新安排", "planned again together with the exams it belongs to"),
}
MOVED = "moved_by_suspension"
NO_TIME, NOT_TOGETHER = "no_time", "not_together"


@dataclass(frozen=True)
class Proposed:
    """A new place for one visit, and how it was found: same_place, other_place, next_possible."""

    moving: Moving
    option: VisitOption
    placement: Placement
    how: str


def propose(hospital: Hospital, number: str, foreseen: Foreseen | None = None) -> Proposed:
    """The place for a visit by itself. Raises `Refused` with the reason why a person must find one."""
    moving = choosing.moving(hospital, number, foreseen)
    found = next((one for one in (_same_day(moving), _later(hospital, moving)) if one is not None), None)
    if found is None or _too_late(hospital, moving, found.placement):
        raise Conflict(NO_TIME, text(NO_TIME))
    return found


def _same_day(moving: Moving) -> Proposed | None:
    old, day = moving.appointment, _old_day(moving)
    if day is None:
        return None
    for options in _tiers(moving):
        found = [
            (start < old.starts_at, abs(start - old.starts_at), place, start)
            for place, option in enumerate(options)
            for start in moving.starts(option, day)
            if start >= min(old.starts_at, moving.prepared_from)
        ]
        if found:
            _, _, place, start = min(found)
            how = SAME_PLACE if options[place].group == old.group else OTHER_PLACE
            return Proposed(moving, options[place], moving.placed(options[place], start), how)
    return None


def _old_day(moving: Moving) -> date | None:
    """The day of the old time; none when it is over."""
    first = moving.days[0] if moving.days else None
    return first if first == moving.day_of(moving.appointment.starts_at) else None


def _tiers(moving: Moving) -> list[list[VisitOption]]:
    """The options in the order they are asked: the same place, the same campus, the others."""
    old = moving.appointment
    same = [option for option in moving.options if option.group == old.group]
    near = [option for option in moving.options if option.group != old.group and option.campus == old.campus]
    return [same, near, [option for option in moving.options if option not in same and option not in near]]


def _later(hospital: Hospital, moving: Moving) -> Proposed | None:
    """The earliest after the old day; another campus only when it is some days earlier."""
    same, near, far = _tiers(moving)
    here, there = _earliest(moving, [*same, *near]), _earliest(moving, far)
    if here is None or there is None:
        return here or there
    much_earlier = timedelta(days=hospital.settings.other_campus_days)
    return there if here.placement.starts_at - there.placement.starts_at >= much_earlier else here


def _earliest(moving: Moving, options: Sequence[VisitOption]) -> Proposed | None:
    days = moving.days[1:] if _old_day(moving) else moving.days
    for day in days:
        found = [
            (start, place)
            for place, option in enumerate(options)
            for start in [one for one in moving.starts(option, day) if one >= moving.prepared_from][:1]
        ]
        if found:
            start, place = min(found)
            return Proposed(moving, options[place], moving.placed(options[place], start), NEXT)
    return None


def _too_late(hospital: Hospital, moving: Moving, placement: Placement) -> bool:
    """An emergency does not wait for the next free seat: a person finds it a place."""
    since = max(hospital.clock.now(), moving.appointment.starts_at)
    soon = since + hospital.settings.emergency_within
    return moving.encounter_class is EncounterClass.EMERGENCY and placement.starts_at > soon


@dataclass(frozen=True)
class Together:
    """Visits that must stay together with a plan for all of them."""

    plan: Plan
    old: tuple[BookedVisit, ...]

    def moved(self) -> Iterator[tuple[PlannedVisit, BookedVisit]]:
        """Those that get another time or place."""
        for visit in self.plan.visits:
            for old in visit.replaces:
                if (visit.starts_at, visit.option.group) != (old.starts_at, old.group):
                    yield visit, old


def together(
    hospital: Hospital, appointments: Collection[int], number: str, suspension: str, foreseen: Foreseen | None = None
) -> Together:
    """A plan for visits that must stay together, not before the day of their first one. Raises `Refused`, `StalePlan`."""
    now = hospital.clock.now()
    patient = status.appointment(hospital, number).patient
    state = snapshot.read(hospital.database, hospital.catalogues, patient, now)
    old = tuple(visit for visit in state.visits if visit.id in appointments)
    day_of = hospital.calendar.day_of
    planner = Planner(hospital, state, now, since=min(day_of(visit.starts_at) for visit in old))
    planner.allocator.foreseen = foreseen
    plan = planner.plan_again(appointments)
    one_day = len({day_of(visit.starts_at) for visit in old}) == 1
    apart = one_day and len({day_of(visit.starts_at) for visit in plan.visits}) != 1
    if not plan.visits or apart:
        raise Conflict(NOT_TOGETHER, text(NOT_TOGETHER))
    plan.reason = reason(suspension)
    plan.visits = [_explained(visit, suspension) for visit in plan.visits]
    return Together(plan, old)


def _explained(visit: PlannedVisit, suspension: str) -> PlannedVisit:
    before = min((old.starts_at for old in visit.replaces), default=visit.starts_at)
    return replace(visit, explanation={**visit.explanation, **explanation(TOGETHER, suspension, before)})


def explanation(how: str, suspension: str, before: datetime) -> dict[str, Any]:
    """Why a visit has this time, as its appointment says."""
    moved, why = text(MOVED), WHY[how]
    return {
        "code": MOVED, "how": how, "suspension": suspension, "before": before.isoformat(),
        "why": {"zh": f"{moved.zh}：{why.zh}", "en": f"{moved.en}: {why.en}"},
    }  # fmt: skip


def reason(suspension: str) -> str:
    """What the versions of moved and suspended visits say."""
    return f"suspension {suspension}"
