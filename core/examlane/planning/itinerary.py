"""Several visits of one patient on one day, or on two: a booking request as problems of the exact search, and back.

A visit is one exam of the problem; one whose gaps are free is an exam a segment, so that others may lie between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import permutations, product
from typing import NamedTuple

from examlane.domain import (
    TICK_MINUTES,
    Availability,
    BookingRequest,
    Placement,
    Relation,
    Selector,
    Visit,
    VisitOption,
)
from examlane.planning.exact.problem import Chain, Day, Exam, Goal, Mode, Plan, Pool, Problem, Rest
from examlane.planning.exact.search import DaySearch
from examlane.planning.exact.shape import Shape
from examlane.planning.exact.verifier import faults

TOLERANCE_MINUTES = 15
DAY_MINUTES = 1440
Deadline = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class ItineraryRules:
    """What holds between visits beside the request's own intervals, by their keys; unknown keys do not count.

    `before`: on one day the first ends before the second starts. `rests`: where the second comes after the first, so
    many minutes lie between. `within`: the first may lie in a gap of the second, whose gaps must be free, where it is
    at most `within_walk` minutes away. Everything else stays out of gaps.
    """

    before: Sequence[tuple[str, str]] = ()
    rests: Sequence[tuple[str, str, int]] = ()
    within: Sequence[tuple[str, str]] = ()
    within_walk: int = 0


@dataclass(frozen=True, slots=True)
class Itinerary:
    """Visits planned together, in the order of time, with the time in the hospital on each of its days.

    `proven` says that no better plan of these days exists.
    """

    placements: tuple[Placement, ...]
    starts_at: datetime
    ends_at: datetime
    proven: bool
    days: tuple[date, ...] = ()
    stays: tuple[timedelta, ...] = ()


def plan(
    request: BookingRequest,
    availability: Availability,
    *,
    mode: Mode,
    max_days: int,
    deadline: Deadline,
    rules: ItineraryRules = ItineraryRules(),
    tolerance: int = TOLERANCE_MINUTES,
    longest: int = DAY_MINUTES,
) -> Itinerary | None:
    """All visits of a request on the first of `max_days` days that can hold them; None if there is none in time.

    `mode` "stay" wants the shortest time in the hospital, then the earliest finish; "finish" the other way round. Plans
    that are at most `tolerance` minutes worse in both are as good: of them the one in the least taken hours, then with
    the fewest changes of zone. A day whose best plan lasts longer than `longest` minutes holds none. When `deadline`
    turns true, the best plan found until then is returned unproven.
    Exact where walking is a metric. Raises `ValueError` for more than 12 visits, free-gap segments counted singly.
    """
    planner = _Planner(request, availability, mode, rules, tolerance, longest, deadline)
    every = tuple(range(len(request.visits)))
    for day in availability.days()[:max_days] if every else ():
        if deadline():
            return None
        if (found := planner.on(day, every)) is not None:
            return found
    return None


def plan_two_days(
    request: BookingRequest,
    availability: Availability,
    *,
    mode: Mode,
    max_days: int,
    deadline: Deadline,
    rules: ItineraryRules = ItineraryRules(),
    tolerance: int = TOLERANCE_MINUTES,
    longest: int = DAY_MINUTES,
) -> Itinerary | None:
    """All visits of a request on two of `max_days` days; None if there are no such two, or not in time.

    The last day is the earliest possible; then the first day holds as many visits as possible, then it is the earliest.
    Each day is planned as `plan` does; two days whose plans lie too close for a rest are passed over. Whether all would
    fit on one day is not asked.
    """
    planner = _Planner(request, availability, mode, rules, tolerance, longest, deadline)
    for sooner, later in planner.splits(availability.days()[:max_days]):
        one, two = planner.on(*sooner), planner.on(*later)
        if one is not None and two is not None and planner.is_rested(one, two):
            return _joined(one, two)
    return None


def each_alone(request: BookingRequest, availability: Availability) -> Itinerary | None:
    """Every visit at its earliest, as if it were the only one: what planning together is compared with."""
    found = [(visit, availability.earliest(visit, request.not_before)) for visit in request.visits]
    spans = [(one, availability.ends_at(visit, one)) for visit, one in found if one is not None]
    if not spans or len(spans) < len(found):
        return None
    spans.sort(key=lambda span: span[0].starts_at)
    by_day: dict[date, list[tuple[datetime, datetime]]] = {}
    for one, end in spans:
        by_day.setdefault(_day(one.starts_at, availability), []).append((one.starts_at, end))
    stays = tuple(max(end for _, end in day) - day[0][0] for day in by_day.values())
    ends_at = max(end for _, end in spans)
    return Itinerary(tuple(one for one, _ in spans), spans[0][0].starts_at, ends_at, True, tuple(by_day), stays)


def _day(instant: datetime, availability: Availability) -> date:
    return max(day for day in availability.days() if availability.instant(day, 0) <= instant)


def _joined(one: Itinerary, two: Itinerary) -> Itinerary:
    return Itinerary(
        one.placements + two.placements, one.starts_at, two.ends_at, one.proven and two.proven,
        one.days + two.days, one.stays + two.stays,
    )  # fmt: skip


class _Part(NamedTuple):
    """An exam of a problem: a visit, or one segment of a visit with free gaps."""

    visit: Visit
    segment: int | None


@dataclass
class _Asked:
    """Some visits of the request as a problem."""

    parts: list[_Part]
    shape: Shape


def _with_intervals(request: BookingRequest, rules: ItineraryRules) -> ItineraryRules:
    """The rules and what the request's intervals ask of its visits; one that is kept apart lies in nobody's gap."""
    before, rests, apart = list(rules.before), list(rules.rests), set()
    for rule in request.intervals:
        for one, two in permutations(request.visits, 2):
            if not (_concerns(rule.first, one, request) and _concerns(rule.second, two, request)):
                continue
            if rule.relation is Relation.BEFORE:
                before.append((one.key, two.key))
            else:
                rests += [(one.key, two.key, _minutes(rule.after)), (two.key, one.key, _minutes(rule.before))]
                apart |= {(one.key, two.key), (two.key, one.key)}
    return replace(rules, before=before, rests=rests, within=[pair for pair in rules.within if pair not in apart])


def _concerns(selector: Selector, visit: Visit, request: BookingRequest) -> bool:
    return any(selector.matches(request.items[key].item) for key in visit.items if key in request.items)


@dataclass
class _Planner:
    """Plans any of a request's visits (by their numbers) on any day."""

    request: BookingRequest
    availability: Availability
    mode: Mode
    rules: ItineraryRules
    tolerance: int
    longest: int
    deadline: Deadline
    _asked: dict[tuple[int, ...], _Asked] = field(default_factory=dict)
    _maps: dict[tuple[str, int | None, date], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rules = _with_intervals(self.request, self.rules)

    def on(self, day: date, numbers: tuple[int, ...]) -> Itinerary | None:
        """The best plan of some visits on a day, verified."""
        asked, maps = self._problem(numbers), self._day(day, numbers)
        if maps is None:
            return None
        found = self._best(asked.shape, maps)
        if found is None:
            return None
        if wrong := faults(asked.shape.problem, maps, found):
            raise RuntimeError(f"the search broke a rule: {'; '.join(wrong)}")
        return self._itinerary(asked, day, found)

    def _best(self, shape: Shape, maps: Day) -> Plan | None:
        """The best plan that is not too long; a tolerance must not make it so."""
        for tolerance in dict.fromkeys((self.tolerance, 0)):
            found = DaySearch(shape, maps, self.deadline).plan(Goal(self.mode, _ticks(tolerance)))
            if found is None or found.score.stay * TICK_MINUTES <= self.longest:
                return found
        return None

    def splits(self, days: Sequence[date]) -> Iterator[tuple[tuple[date, tuple[int, ...]], tuple[date, tuple[int, ...]]]]:
        """Two days with the visits on each, best first; ends when the time is up."""
        every = range(len(self.request.visits))
        subsets = [
            (tuple(n for n in every if bits >> n & 1), tuple(n for n in every if not bits >> n & 1))
            for bits in range(1, (1 << len(every)) - 1)
        ]
        possible = _Possible(self)
        for position, last in enumerate(days):
            for size in range(len(every) - 1, 0, -1):
                shares = [pair for pair in subsets if len(pair[0]) == size and possible.on(last, pair[1])]
                for first, (sooner, later) in product(days[:position], shares):
                    if self.deadline():
                        return
                    if possible.on(first, sooner):
                        yield (first, sooner), (last, later)

    def is_rested(self, one: Itinerary, two: Itinerary) -> bool:
        """Whether the plan of a later day keeps the rests after that of a sooner one."""
        visits = {visit.key: visit for visit in self.request.visits}
        ends = {each.visit: self.availability.ends_at(visits[each.visit], each) for each in one.placements}
        starts = {each.visit: each.starts_at for each in two.placements}
        return not any(
            first in ends and second in starts and starts[second] - ends[first] < timedelta(minutes=minutes)
            for first, second, minutes in self.rules.rests
        )

    def is_possible(self, day: date, numbers: tuple[int, ...]) -> bool:
        """Whether a day can hold some visits; after the deadline nothing is."""
        if self.deadline():
            return False
        maps = self._day(day, numbers)
        return maps is not None and DaySearch(self._problem(numbers).shape, maps, self.deadline).is_possible()

    def _day(self, day: date, numbers: Sequence[int]) -> Day | None:
        """The day's bitmaps; None when a visit has no start at all."""
        maps = []
        for part in self._parts(numbers):
            starts = self._starts(part, day)
            if not any(starts):
                return None
            maps.append(starts)
        groups = [[option.group for option in part.visit.options] for part in self._parts(numbers)]
        return Day(maps, lambda exam, pool: self.availability.load(groups[exam][pool], day))

    def _starts(self, part: _Part, day: date) -> list[int]:
        visit, segment = part
        key = visit.key, segment, day
        if key not in self._maps:
            read = self.availability
            self._maps[key] = [
                read.starts(visit, option, day) if segment is None else read.segment_starts(visit, option, segment, day)
                for option in visit.options
            ]
        return self._maps[key]

    def _parts(self, numbers: Sequence[int]) -> list[_Part]:
        return [part for number in numbers for part in _parts(self.request.visits[number])]

    def _problem(self, numbers: tuple[int, ...]) -> _Asked:
        if numbers not in self._asked:
            parts = self._parts(numbers)
            self._asked[numbers] = _Asked(parts, Shape(self._stated(parts)))
        return self._asked[numbers]

    def _stated(self, parts: Sequence[_Part]) -> Problem:
        own: dict[str, list[int]] = {}
        for number, part in enumerate(parts):
            own.setdefault(part.visit.key, []).append(number)
        before = tuple((own[one][-1], own[two][0]) for one, two in self.rules.before if one in own and two in own)
        rests = tuple(
            Rest(own[one][-1], own[two][0], _ticks(minutes))
            for one, two, minutes in self.rules.rests
            if one in own and two in own
        )
        chains = tuple(
            Chain(tuple(numbers), frozenset(self._inside(parts[numbers[0]].visit, parts)))
            for numbers in own.values()
            if len(numbers) > 1
        )
        travel = {zones: _ticks(minutes) for zones, minutes in self.request.walking.items()}
        return Problem(tuple(self._exam(part) for part in parts), travel, before, rests, chains)

    def _exam(self, part: _Part) -> Exam:
        return Exam(tuple(self._pool(part, number, option) for number, option in enumerate(part.visit.options)))

    def _pool(self, part: _Part, number: int, option: VisitOption) -> Pool:
        if part.segment is not None:
            segment = option.segments[part.segment]
            least, most = _ticks(segment.after_min), segment.after_max // TICK_MINUTES
            return Pool(option.zone, _ticks(segment.minutes), number, least, most)
        midnight = self.availability.instant(self.availability.days()[0], 0)
        length = self.availability.ends_at(part.visit, Placement(part.visit.key, option.group, midnight)) - midnight
        return Pool(option.zone, -(-length // timedelta(minutes=TICK_MINUTES)), number)

    def _inside(self, outer: Visit, parts: Sequence[_Part]) -> Iterator[tuple[int, int, int]]:
        """What may lie in a visit's gaps: (its option, exam, that exam's option)."""
        allowed = {one for one, two in self.rules.within if two == outer.key}
        for position, place in enumerate(outer.options):
            for exam, part in enumerate(parts):
                for number, option in enumerate(part.visit.options):
                    near = _walk(self.request.walking, place.zone, option.zone) <= self.rules.within_walk
                    if part.visit.key in allowed and near:
                        yield position, exam, number

    def _itinerary(self, asked: _Asked, day: date, found: Plan) -> Itinerary:
        at: dict[str, list[tuple[VisitOption, datetime]]] = {}
        for step in found.steps:
            visit = asked.parts[step.exam].visit
            at.setdefault(visit.key, []).append((visit.options[step.pool], self.availability.instant(day, step.tick)))
        placements = tuple(_placement(key, starts) for key, starts in at.items())
        visits = {part.visit.key: part.visit for part in asked.parts}
        starts_at = placements[0].starts_at
        ends_at = max(self.availability.ends_at(visits[one.visit], one) for one in placements)
        return Itinerary(placements, starts_at, ends_at, found.proven, (day,), (ends_at - starts_at,))


class _Possible:
    """Which visits fit on which days, remembered: what holds too little room for some has none for more."""

    def __init__(self, planner: _Planner) -> None:
        self._planner = planner
        self._known: dict[tuple[date, tuple[int, ...]], bool] = {}
        self._impossible: dict[date, list[set[int]]] = {}

    def on(self, day: date, numbers: tuple[int, ...]) -> bool:
        key = day, numbers
        if key not in self._known:
            impossible = self._impossible.setdefault(day, [])
            hopeless = any(fewer.issubset(numbers) for fewer in impossible)
            self._known[key] = not hopeless and self._planner.is_possible(day, numbers)
            if not self._known[key]:
                impossible.append(set(numbers))
        return self._known[key]


def _parts(visit: Visit) -> list[_Part]:
    count = min(len(option.segments) for option in visit.options) if visit.gaps and visit.options else 1
    return [_Part(visit, position) for position in range(count)] if count > 1 else [_Part(visit, None)]


def _placement(key: str, starts: Sequence[tuple[VisitOption, datetime]]) -> Placement:
    option, first = starts[0]
    segments = tuple(start for _, start in starts) if len(starts) > 1 else ()
    return Placement(key, option.group, first, segments)


def _walk(walking: Mapping[tuple[str, str], int], zone: str, other: str) -> int:
    return 0 if zone == other else walking.get((zone, other), 0)


def _minutes(length: timedelta) -> int:
    return -(-length // timedelta(minutes=1))


def _ticks(minutes: int) -> int:
    return -(-minutes // TICK_MINUTES)
