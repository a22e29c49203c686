"""Where a visit is held: its segments bound to the slots of resources that are free."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from examlane.capacity import slots
from examlane.capacity.catalogue import Catalogue
from examlane.capacity.slots import Audience, SlotRow
from examlane.errors import SlotTaken
from examlane.storage.database import Database
from examlane.storage.fields import epoch
from examlane.visit import TICK_MINUTES, Need, Segment, VisitOption


@dataclass(frozen=True, slots=True)
class BoundSegment:
    """A segment with its time and the slots that hold it, one list a need."""

    segment: Segment
    start_at: int
    end_at: int
    claims: tuple[tuple[Need, tuple[SlotRow, ...]], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when a visit is held, bound to resources."""

    option: VisitOption
    segments: tuple[BoundSegment, ...]

    @property
    def start_at(self) -> int:
        return self.segments[0].start_at

    @property
    def end_at(self) -> int:
        return max(segment.end_at for segment in self.segments)

    def seats(self) -> list[tuple[int, int]]:
        return [(slot.id, need.seats) for segment in self.segments for need, rows in segment.claims for slot in rows]


def bind(
    database: Database,
    catalogue: Catalogue,
    option: VisitOption,
    starts_at: datetime,
    audiences: Sequence[Audience] | None,
    segments: Sequence[datetime] = (),
) -> Place:
    """Choose resources for every segment, a random one among the equally free; raises `SlotTaken`.

    Each segment starts where `segments` says, or else at the first instant within its lags that fits.
    Without `audiences` full and reserved slots are chosen too: for an emergency that gets an extra seat.
    """
    bound = []
    for position, segment in enumerate(option.segments):
        lags = range(segment.after_min, segment.after_max + 1, TICK_MINUTES)
        starts = [epoch(segments[position])] if segments else [epoch(starts_at) + lag * 60 for lag in lags]
        bound.append(_bind_segment(database, catalogue, segment, starts, audiences))
    return Place(option, tuple(bound))


def _bind_segment(
    database: Database,
    catalogue: Catalogue,
    segment: Segment,
    starts: Sequence[int],
    audiences: Sequence[Audience] | None,
) -> BoundSegment:
    for begins in starts:
        claims = [(need, _free(database, catalogue, need, segment.minutes, begins, audiences)) for need in segment.needs]
        if all(rows for _, rows in claims):
            end = max(rows[-1].end_at for _, rows in claims)
            return BoundSegment(segment, begins, end, tuple(claims))
    raise SlotTaken("no resource is free any more")


def _free(
    database: Database,
    catalogue: Catalogue,
    need: Need,
    minutes: int,
    start: int,
    audiences: Sequence[Audience] | None,
) -> tuple[SlotRow, ...]:
    size = catalogue.groups[need.group].slice_minutes
    end = start + -(-minutes // size) * size * 60
    resources = catalogue.resources(need.group)
    if audiences is None:
        rows = slots.rostered_between(database, resources, start, end)
    else:
        rows = slots.open_between(database, resources, start, end, audiences)
    by_resource: dict[int, dict[int, SlotRow]] = {}
    for row in rows:
        if row.free >= need.seats or audiences is None:
            steps = by_resource.setdefault(row.resource, {})
            steps.setdefault(row.start_at, row)
    whole = [run for steps in by_resource.values() if (run := _run(steps, start, end))]
    return random.choice(whole) if whole else ()


def _run(steps: Mapping[int, SlotRow], start: int, end: int) -> tuple[SlotRow, ...]:
    """The slots that cover a stretch without a gap, or none."""
    run = []
    at = start
    while at < end:
        if at not in steps:
            return ()
        run.append(steps[at])
        at = steps[at].end_at
    return tuple(run)
