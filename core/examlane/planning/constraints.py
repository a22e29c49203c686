"""What a visit's time must respect: the patient's other exams, walking, intervals, preparation, fasting mornings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    Preparation,
    Relation,
)
from examlane.orders import intervals
from examlane.settings import Settings
from examlane.storage.fields import epoch
from examlane.visit import Placement, Visit, VisitOption

DAY = timedelta(days=1)
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
    waivers: intervals.Waivers = field(default_factory=dict)
    """Rules that were confirmed away with a reason, by order item."""

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
        apart = [window for _, window in self._intervals(visit, whole)]
        return [*around, *apart, *(self._afternoons(visit) if visit.fasting else ())]

    def against(self, visit: Visit, option: VisitOption, starts_at: datetime) -> list[IntervalRule]:
        """The rules that keep a visit from a start at an option."""
        found = self._intervals(visit, longest(option))
        return list({rule.rule: rule for rule, (after, before) in found if after < starts_at < before}.values())

    def with_exams(self, exams: Sequence[Examination], occupied: Sequence[Occupied]) -> Constraints:
        """The same after more visits were placed."""
        return replace(self, exams=(*self.exams, *exams), occupied=(*self.occupied, *occupied))

    def exam_items(self, visit: Visit) -> list[ExamItem]:
        return [self.items[key].item for key in visit.items]

    def _around(self, stretch: Occupied, option: VisitOption, length: timedelta) -> Window:
        walk = timedelta(minutes=self.walking.get((stretch.zone, option.zone), 0))
        return stretch.starts_at - walk - length, stretch.ends_at + walk

    def waived(self, visit: str) -> frozenset[str]:
        """The rules confirmed away for any item of a visit, by the visit's key."""
        return frozenset().union(*(self.waivers.get(key, frozenset()) for key in visit.split("+")))

    def sets_aside(self, rule: IntervalRule, *exams: Examination) -> bool:
        """Whether a rule was confirmed away for one of some exams; visits being planned go by their keys."""
        return any(rule.rule in self.waived(exam.appointment) for exam in exams)

    def _intervals(self, visit: Visit, length: timedelta) -> Iterator[tuple[IntervalRule, Window]]:
        rules = intervals.enforced(self.rules, self.waived(visit.key))
        items = self.exam_items(visit)
        span = self.calendar.midnight(self.days[0]) - DAY, self.calendar.midnight(self.days[-1]) + 2 * DAY
        for exam in self.exams:
            for distance in intervals.distances(rules, items, [exam.item]):
                for window in intervals.windows(distance, exam, length, self.calendar, span):
                    yield distance.rule, window
        for rule in rules:
            if rule.relation is Relation.COUNT and any(map(rule.first.matches, items)):
                for window in intervals.count_windows(rule, self.exams):
                    yield rule, window

    def _afternoons(self, visit: Visit) -> list[Window]:
        # Nobody fasts from the evening into the afternoon: exams that need eight hours start in the morning.
        noon = timedelta(minutes=FASTING_ENDS_MINUTE)
        return [(self.calendar.midnight(day) + noon, self.calendar.midnight(day) + timedelta(days=1)) for day in self.days]


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
    released = [Audience(name, epoch(now + before)) for name, before in settings.reserve_release.items() if name != own]
    return (*first, *released)


def lead(preparations: Sequence[Preparation], fasting_now: bool) -> timedelta:
    """How long the patient needs from being told; fasting that has begun needs no more time."""
    return max((step.lead for step in preparations if not (fasting_now and step.fasting_hours)), default=timedelta())
