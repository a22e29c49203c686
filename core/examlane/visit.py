"""The value types of planning that cross the hook border: how an exam can be held, and when: visits, places, proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from types import MappingProxyType
from typing import Any, Protocol

from examlane.domain import EncounterView, Examination, IntervalRule, OrderItemView, PatientView, Text

TICK_MINUTES = 5
"""The grid of `Availability`: bit t of a day's map is the instant midnight + t × 5 minutes."""


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Need:
    """A role a segment needs filled, by one resource of a group; `seats` of a head-count resource."""

    role: str
    group: str
    seats: int = 1


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of a visit. It starts `after_min` to `after_max` minutes after the visit's start."""

    name: str
    minutes: int
    needs: tuple[Need, ...]
    after_min: int = 0
    after_max: int = 0


@dataclass(frozen=True, slots=True)
class VisitOption:
    """One way to hold a visit: at this main group, with these segments."""

    group: str
    campus: str
    zone: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Visit:
    """One coming of the patient for 1..n order items, and every way it can be held.

    `gaps`: between the segments the patient is free, and other visits may lie there (the draws of a glucose test).
    Each option then has the same number of segments, held one after the other in the order listed.
    `starts_until` is the last local time of day at which it may start on any day.
    """

    key: str
    department: str
    items: tuple[str, ...]
    options: tuple[VisitOption, ...]
    earliest: datetime | None = None
    latest: datetime | None = None
    fasting: bool = False
    gaps: bool = False
    starts_until: time | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """When a visit starts and at which main group; never a single resource.

    `segments` fixes the start of each segment, the first one's being `starts_at`; empty: the first that fit.
    """

    visit: str
    group: str
    starts_at: datetime
    segments: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """One ranked answer to a booking request. `proven` says that no better one exists."""

    placements: tuple[Placement, ...]
    reason: Text
    code: str = "earliest"
    proven: bool = False


@dataclass(frozen=True, slots=True)
class Infeasible:
    """Mine and impossible: nobody else is asked."""

    code: str
    reason: Text


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """All bookable visits of one patient and encounter, planned together.

    `fixed` are the patient's other exams, `walking` the minutes between zones, `intervals` the rules between exams that
    the core keeps. `waiting` are visits that a closed gate still keeps from being booked, as they would be held: to look
    ahead for, not to be placed. `items` has theirs too.
    """

    patient: PatientView
    encounter: EncounterView
    ordering_department: str
    visits: tuple[Visit, ...]
    fixed: tuple[Examination, ...]
    not_before: datetime
    horizon: date
    items: Mapping[str, OrderItemView]
    walking: Mapping[tuple[str, str], int] = field(default_factory=_nothing)
    settings: Mapping[str, Any] = field(default_factory=_nothing)
    intervals: tuple[IntervalRule, ...] = ()
    waiting: tuple[Visit, ...] = ()


class Availability(Protocol):
    """The read-only calendar handed to `allocate`: audiences, reserves, intervals and the patient's own exams applied."""

    def earliest(self, visit: Visit, not_before: datetime) -> Placement | None:
        """The earliest possible placement of a visit at or after an instant, within the horizon."""

    def starts(self, visit: Visit, option: VisitOption, day: date) -> int:
        """Bit t set: the visit can start at midnight of the campus day + t × 5 minutes."""

    def segment_starts(self, visit: Visit, option: VisitOption, position: int, day: date) -> int:
        """The same for one segment of a visit with free gaps, by itself: the lags between segments are not applied."""

    def load(self, group: str, day: date) -> Sequence[int]:
        """How much of a group's seats is taken, in per cent, for each hour of the day; empty where nobody knows."""

    def ends_at(self, visit: Visit, placement: Placement) -> datetime:
        """When the visit held so would end."""

    def days(self) -> Sequence[date]:
        """The business dates within the horizon, ascending."""

    def instant(self, day: date, tick: int) -> datetime:
        """The aware instant of a bit of a day's map."""
