"""Where an appointment of another system stands on our rosters: its group, and the slots that its time covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from examlane.appointments.places import BoundSegment, Place
from examlane.capacity import slots
from examlane.capacity.catalogue import Catalogue
from examlane.capacity.slots import SlotRow
from examlane.errors import NotFound
from examlane.storage.database import Database
from examlane.storage.fields import epoch
from examlane.visit import Need, Segment, VisitOption

RESOURCE = """SELECT r.id, g.code FROM resource r JOIN resource_group g ON g.id = r.group_id
WHERE r.code = ? AND r.is_active = 1"""
ASSUMED_MINUTES = 10
"""How long an exam is taken to last that no service of ours tells of."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A place for a told time, or none; `problem` says why it takes no seats, `full` that extra seats are needed."""

    place: Place | None
    problem: str = ""
    full: bool = False


def minutes(catalogue: Catalogue, codes: Sequence[str]) -> int:
    """How long exams take, as our services say."""
    return sum(_minutes(catalogue, code) for code in codes) or ASSUMED_MINUTES


def _minutes(catalogue: Catalogue, code: str) -> int:
    try:
        services = catalogue.services(code)
    except NotFound:
        return ASSUMED_MINUTES
    return max((service.view.minutes for service in services), default=ASSUMED_MINUTES)


def stand(
    database: Database, catalogue: Catalogue, department: str, codes: Sequence[str], resource: str, group: str,
    starts_at: datetime, ends_at: datetime,
) -> Stand:  # fmt: skip
    """The place of a told appointment: on the named resource, else on any of the named group."""
    here = database.row(RESOURCE, resource) if resource else None
    known = here[1] if here else group if group in catalogue.groups else ""
    where = known or _usual_group(catalogue, department, codes)
    if not where:
        return Stand(None, "no_place")
    if not known or (resource and here is None):
        return Stand(_place(catalogue, where, starts_at, ends_at, ()), "unknown_resource")
    resources = [here[0]] if here else catalogue.resources(where)
    run = _covering(database, catalogue, where, resources, starts_at, ends_at)
    if not run:
        return Stand(_place(catalogue, where, starts_at, ends_at, ()), "outside_roster")
    return Stand(_place(catalogue, where, starts_at, ends_at, run), full=any(row.free < 1 for row in run))


def _usual_group(catalogue: Catalogue, department: str, codes: Sequence[str]) -> str:
    """Where the exams are usually held, so that the appointment stands on some list of the day."""
    for code in codes:
        for service in catalogue.services(code):
            return service.view.group
    return next((group.code for group in catalogue.groups_of(department)), "")


def _place(catalogue: Catalogue, group: str, starts_at: datetime, ends_at: datetime, run: Sequence[SlotRow]) -> Place:
    view = catalogue.groups[group]
    need = Need(view.role, group)
    segment = Segment("exam", int((ends_at - starts_at) / timedelta(minutes=1)), (need,))
    claims = ((need, tuple(run)),) if run else ()
    bound = BoundSegment(segment, epoch(starts_at), epoch(ends_at), claims)
    return Place(VisitOption(group, view.campus, view.zone, (segment,)), (bound,))


def _covering(
    database: Database, catalogue: Catalogue, group: str, resources: Sequence[int], starts_at: datetime, ends_at: datetime
) -> Sequence[SlotRow]:
    """The slots of one resource that cover a stretch without a gap, of the resource where fewest are full; or none."""
    start, end = epoch(starts_at), epoch(ends_at)
    before = catalogue.groups[group].slice_minutes * 60 - 1  # a told time need not lie on our grid
    by_resource: dict[int, dict[int, SlotRow]] = {resource: {} for resource in resources}
    for row in slots.rostered_between(database, resources, start - before, end):
        steps = by_resource[row.resource]
        if row.start_at not in steps or steps[row.start_at].free < 1 <= row.free:
            steps[row.start_at] = row
    runs = [run for steps in by_resource.values() if (run := _run(list(steps.values()), start, end))]
    return min(runs, key=lambda run: sum(row.free < 1 for row in run), default=())


def _run(rows: Sequence[SlotRow], start: int, end: int) -> Sequence[SlotRow]:
    whole = bool(rows) and rows[0].start_at <= start and rows[-1].end_at >= end
    joined = all(one.end_at == other.start_at for one, other in pairwise(rows))
    return rows if whole and joined else ()
