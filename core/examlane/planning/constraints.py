"""What a visit's time must respect: the patient's other exams, walking, intervals, preparation, fasting mornings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from examlane.capacity.availability import Window
from examlane.capacity.calendar import Calendar
from examlane.capacity.slots import Audience
from examlane.domain import (
    EncounterClass,
    Examination,
    ExamItem,
    IntervalRule,
    OrderItemView,
    Placement,
    Preparation,
    Text,
    Visit,
    VisitOption,
)
from examlane.orders import intervals
from examlane.settings import Settings
from examlane.storage.fields import epoch

FASTING_HOURS = 8
FASTING_ENDS_MINUTE = 12 * 60
OWN_AUDIENCE = {
    EncounterClass.OUTPATIENT: "general",
    EncounterClass.INPATIENT: "inpatient",
    EncounterClass.EMERGENCY: "emergency",
    EncounterClass.CHECKUP: "checkup",
}


@dataclass(frozen=True, slots=True)
class Occupied:
    """A stretch of time in which the patient is examined, and the zone he is in then."""

    starts_at: datetime
    ends_at: datetime
    zone: str


@dataclass(frozen=True)
class Constraints:
    """Everything that keeps one patient's new visits from some starts."""

    calendar: Calendar
    days: Sequence[date]
    items: Mapping[str, OrderItemView]
    rules: Sequence[IntervalRule]
    exams: Sequence[Examination]
    occupied: Sequence[Occupied]
    walking: Mapping[tuple[str, str], int]

    def forbidden(self, visit: Visit, option: VisitOption, position: int = 0) -> Sequence[Window]:
        """The open stretches in which a visit must not start at an option.

        A visit with free gaps keeps only its segments clear of the patient's other exams: then the stretches in which
        the segment at a position must not start.
        """
        whole = longest(option)
        length = timedelta(minutes=option.segments[position].minutes) if visit.gaps else whole
        around = [self._around(stretch, option, length) for stretch in self.occupied]
        if position:
            return around
        return [*around, *self._intervals(visit, whole), *(self._afternoons(visit) if visit.fasting else ())]

    def with_exams(self, exams: Sequence[Examination], occupied: Sequence[Occupied]) -> Constraints:
        """The same after more visits were placed."""
        return Constraints(
            self.calendar, self.days, self.items, self.rules, (*self.exams, *exams), (*self.occupied, *occupied),
            self.walking,
        )  # fmt: skip

    def exam_items(self, visit: Visit) -> list[ExamItem]:
        return [self.items[key].item for key in visit.items]

    def _around(self, stretch: Occupied, option: VisitOption, length: timedelta) -> Window:
        walk = timedelta(minutes=self.walking.get((stretch.zone, option.zone), 0))
        return stretch.starts_at - walk - length, stretch.ends_at + walk

    def _intervals(self, visit: Visit, length: timedelta) -> list[Window]:
        windows = []
        for exam in self.exams:
            for distance in intervals.distances(self.rules, self.exam_items(visit), [exam.item]):
                windows.append(intervals.window(distance, exam, length, self.calendar))
        return windows

    def _afternoons(self, visit: Visit) -> list[Window]:
        # Nobody fasts from the evening into the afternoon: exams that need eight hours start in the morning.
        noon = timedelta(minutes=FASTING_ENDS_MINUTE)
        return [
            (self.calendar.midnight(day) + noon, self.calendar.midnight(day) + timedelta(days=1)) for day in self.days
        ]


def option_of(visit: Visit, placement: Placement) -> VisitOption:
    """The option a placement is at."""
    return next(option for option in visit.options if option.group == placement.group)


def occupied(visit: Visit, placement: Placement) -> list[Occupied]:
    """When and where a placed visit keeps the patient: in its segments, or throughout where its gaps are not free."""
    option = option_of(visit, placement)
    if not visit.gaps or not placement.segments:
        return [Occupied(placement.starts_at, placement.starts_at + longest(option), option.zone)]
    return [
        Occupied(start, start + timedelta(minutes=segment.minutes), option.zone)
        for start, segment in zip(placement.segments, option.segments, strict=True)
    ]


def longest(option: VisitOption) -> timedelta:
    """How long a visit lasts at most at an option."""
    return timedelta(minutes=max(segment.after_max + segment.minutes for segment in option.segments))


def audiences(encounter: EncounterClass, settings: Settings, now: datetime) -> tuple[Audience, ...]:
    """The seats a class of patients may use: its own first, then general, then reserved ones shortly before."""
    own = OWN_AUDIENCE[encounter]
    first = [Audience(own)] if own == "general" else [Audience(own), Audience("general")]
    released = [
        Audience(name, epoch(now + before)) for name, before in settings.reserve_release.items() if name != own
    ]
    return (*first, *released)


def core_preparation(items: Sequence[OrderItemView]) -> list[Preparation]:
    """The core's own words for fasting, used where a department says nothing."""
    hours = max((int(item.item.attributes.get("fasting_hours", 0)) for item in items), default=0)
    if not hours:
        return []
    text = Text(f"检查前禁食 {hours} 小时", f"do not eat for {hours} hours before the exam")
    return [Preparation("core.fasting", text, timedelta(hours=hours), hours)]


def lead(preparations: Sequence[Preparation], fasting_now: bool) -> timedelta:
    """How long the patient needs from being told; fasting that has begun needs no more time."""
    return max(
        (step.lead for step in preparations if not (fasting_now and step.fasting_hours)), default=timedelta()
    )
