"""The read-only calendar that `allocate` sees: slot rows as bitmaps, read day by day when first asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta

from examlane.capacity.calendar import Calendar
from examlane.capacity.catalogue import Catalogue
from examlane.capacity.slots import Audience, SlotRow, first_open, open_on, seats_by_hour
from examlane.storage.database import Database
from examlane.storage.fields import epoch, instant
from examlane.visit import TICK_MINUTES, Need, Placement, Segment, Visit, VisitOption

TICK = TICK_MINUTES * 60
Window = tuple[datetime, datetime]
Forbidden = Callable[[Visit, VisitOption, int], Sequence[Window]]
"""The stretches in which a visit must not start; of a visit with free gaps: in which that segment must not."""
Foreseen = Callable[[list[SlotRow], Sequence[int], date], list[SlotRow]]
"""Makes of the open slots of some resources on a day what they would be, once something has happened."""
LOOKUPS = 200
"""How often one search may step over a forbidden stretch before it falls back to whole days."""


class SlotCalendar:
    """Availability for one patient: audiences, `forbidden` starts and the visit's own limits are applied.

    `freed` maps slots to seats that this plan would give back, so that they count as free; `foreseen` says how the
    slots would look.
    """

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        calendar: Calendar,
        audiences: Sequence[Audience],
        days: Sequence[date],
        not_before: datetime,
        forbidden: Forbidden = lambda visit, option, position: (),
        freed: Mapping[int, int] | None = None,
        foreseen: Foreseen | None = None,
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._calendar = calendar
        self._audiences = audiences
        self._days = days
        self._not_before = not_before
        self._forbidden = forbidden
        self._freed = dict(freed or {})
        self._foreseen = foreseen
        self._as_stored = not self._freed and foreseen is None
        self._maps: dict[tuple[str, date], list[ResourceDay]] = {}
        self._found: list[tuple[Visit, Placement]] = []

    def days(self) -> Sequence[date]:
        return self._days

    def instant(self, day: date, tick: int) -> datetime:
        return self._calendar.midnight(day) + timedelta(minutes=tick * TICK_MINUTES)

    def allows(self, visit: Visit, option: VisitOption, placement: Placement) -> bool:
        """Whether a visit can be held there. What `earliest` itself found for the same visit is not looked up again."""
        if (replace(visit, options=(option,)), placement) in self._found:
            return True
        day = self._calendar.day_of(placement.starts_at)
        ticks = [self._calendar.tick(day, start) for start in placement.segments or (placement.starts_at,)]
        if [self.instant(day, tick) for tick in ticks] != list(placement.segments or (placement.starts_at,)):
            return False
        if placement.segments:
            return self._fit(visit, option, day, ticks)
        return bool(self.starts(visit, option, day) >> ticks[0] & 1)

    def settled(self, visit: Visit, option: VisitOption, placement: Placement) -> Placement:
        """The placement with a start for each segment of a visit with free gaps: the earliest that fit, if any do."""
        if not visit.gaps or placement.segments:
            return placement
        day = self._calendar.day_of(placement.starts_at)
        ticks = self._follow(option, self._segment_maps(visit, option, day), self._calendar.tick(day, placement.starts_at))
        return replace(placement, segments=tuple(self.instant(day, tick) for tick in ticks))

    def starts(self, visit: Visit, option: VisitOption, day: date) -> int:
        if visit.gaps:
            maps = self._segment_maps(visit, option, day)
            return sum(1 << tick for tick in ticks_of(maps[0]) if self._follow(option, maps, tick))
        first, *others = option.segments
        possible = self._segment(first, day)
        for segment in others:
            if not possible:
                return 0
            later = self._segment(segment, day)
            offsets = range(_ticks(segment.after_min), segment.after_max // TICK_MINUTES + 1)
            possible &= _any(later >> offset for offset in offsets)
        return self._within_limits(visit, option, day, possible) if possible else 0

    def segment_starts(self, visit: Visit, option: VisitOption, position: int, day: date) -> int:
        possible = self._segment(option.segments[position], day)
        if not position:
            return self._within_limits(visit, option, day, possible)
        for since, until in self._forbidden(visit, option, position):
            possible &= ~self._between(day, since, until)
        return possible

    def load(self, group: str, day: date) -> Sequence[int]:
        midnight = epoch(self._calendar.midnight(day))
        rows = seats_by_hour(self._database, self._catalogue.resources(group), day, midnight)
        loads = {hour: 100 * taken // seats for hour, taken, seats in rows}
        return [loads.get(hour, 0) for hour in range(max(loads, default=-1) + 1)]

    def ends_at(self, visit: Visit, placement: Placement) -> datetime:
        option = next(option for option in visit.options if option.group == placement.group)
        if visit.gaps and placement.segments:
            pairs = zip(placement.segments, option.segments, strict=True)
            return max(start + timedelta(minutes=self._length(segment)) for start, segment in pairs)
        return placement.starts_at + timedelta(minutes=self.minutes(option))

    def minutes(self, option: VisitOption) -> int:
        """How long a visit lasts at most at this option, in whole slices."""
        return max(segment.after_max + self._length(segment) for segment in option.segments)

    def earliest(self, visit: Visit, not_before: datetime) -> Placement | None:
        found = [placement for option in visit.options if (placement := self._earliest(visit, option, not_before))]
        return min(found, key=lambda placement: placement.starts_at, default=None)

    def _earliest(self, visit: Visit, option: VisitOption, not_before: datetime) -> Placement | None:
        lower = max(filter(None, (not_before, self._not_before, visit.earliest)))
        if self._is_single_slot(option) and self._as_stored and visit.starts_until is None:
            return self._first_single_slot(visit, option, lower)
        resources = self._catalogue.resources(option.segments[0].needs[0].group)
        opens: int | None = 0
        for day in self._days:
            midnight = self._calendar.midnight(day)
            if midnight + timedelta(days=2) <= lower:
                continue
            if self._as_stored and opens is not None and opens < epoch(midnight):
                opens = self._first(resources, max(lower, midnight))
            if opens is None:
                return None
            if opens >= epoch(midnight + timedelta(days=2)):
                continue
            bits = self.starts(visit, option, day) >> (tick := self._calendar.tick(day, lower)) << tick
            if bits:
                return Placement(visit.key, option.group, self.instant(day, (bits & -bits).bit_length() - 1))
        return None

    def _first_single_slot(self, visit: Visit, option: VisitOption, lower: datetime) -> Placement | None:
        resources = self._catalogue.resources(option.group)
        windows = self._forbidden(visit, option, 0)
        after, end = epoch(lower), epoch(self._calendar.midnight(self._days[-1]) + timedelta(days=1))
        for _ in range(LOOKUPS):
            start = self._first(resources, instant(after))
            if start is None or start >= end or (visit.latest and start > epoch(visit.latest)):
                return None
            blocking = [epoch(until) for since, until in windows if epoch(since) < start < epoch(until)]
            if not blocking:
                placement = Placement(visit.key, option.group, instant(start))
                self._found.append((replace(visit, options=(option,)), placement))
                return placement
            after = max(blocking)
        return None

    def _first(self, resources: Sequence[int], not_before: datetime) -> int | None:
        seconds = epoch(not_before)
        return first_open(self._database, resources, self._audiences, seconds)

    def _is_single_slot(self, option: VisitOption) -> bool:
        segment = option.segments[0]
        single = len(option.segments) == 1 and len(segment.needs) == 1 and segment.needs[0].seats == 1
        return single and self._length(segment) == self._slice(segment.needs[0].group)

    def _segment_maps(self, visit: Visit, option: VisitOption, day: date) -> list[int]:
        return [self.segment_starts(visit, option, position, day) for position in range(len(option.segments))]

    def _follow(self, option: VisitOption, maps: Sequence[int], tick: int) -> tuple[int, ...]:
        """The earliest ticks of all segments, one after the other, for a visit that starts at a tick; or none."""
        found: list[int] = []
        ready = tick
        for segment, bits in zip(option.segments, maps, strict=True):
            ready = max(ready, tick + _ticks(segment.after_min))
            bits >>= ready
            at = ready + (bits & -bits).bit_length() - 1
            if not bits or at > tick + segment.after_max // TICK_MINUTES:
                return ()
            found.append(at)
            ready = at + _ticks(self._length(segment))
        return tuple(found)

    def _fit(self, visit: Visit, option: VisitOption, day: date, ticks: Sequence[int]) -> bool:
        """Whether segments that start at these ticks are free, keep their lags and, with free gaps, do not overlap."""
        free = 0
        for position, (tick, segment) in enumerate(zip(ticks, option.segments, strict=True)):
            lag = (tick - ticks[0]) * TICK_MINUTES
            possible = self.segment_starts(visit, option, position, day) >> tick & 1
            if not possible or not segment.after_min <= lag <= segment.after_max or (visit.gaps and tick < free):
                return False
            free = tick + _ticks(self._length(segment))
        return True

    def _segment(self, segment: Segment, day: date) -> int:
        possible = -1
        for need in segment.needs:
            ticks = _round_up(segment.minutes, self._slice(need.group)) // TICK_MINUTES
            possible &= _any(resource.runs(ticks, need.seats) for resource in self._map(need, day))
        return possible

    def _length(self, segment: Segment) -> int:
        return max(_round_up(segment.minutes, self._slice(need.group)) for need in segment.needs)

    def _slice(self, group: str) -> int:
        return self._catalogue.groups[group].slice_minutes

    def _map(self, need: Need, day: date) -> list[ResourceDay]:
        key = need.group, day
        if key not in self._maps:
            resources = self._catalogue.resources(need.group)
            slots = open_on(self._database, resources, day, self._audiences, self._freed)
            slots = self._foreseen(slots, resources, day) if self._foreseen else slots
            self._maps[key] = resource_days(slots, epoch(self._calendar.midnight(day)))
        return self._maps[key]

    def _within_limits(self, visit: Visit, option: VisitOption, day: date, bits: int) -> int:
        lower = max(filter(None, (self._not_before, visit.earliest)))
        first = self._calendar.tick(day, lower)
        bits = bits >> first << first
        if visit.latest is not None:
            last = int((visit.latest - self._calendar.midnight(day)).total_seconds() // TICK)
            bits &= (1 << (last + 1)) - 1 if last >= 0 else 0
        if visit.starts_until is not None:
            bits &= (1 << (self._last_tick(day, visit.starts_until) + 1)) - 1
        for since, until in self._forbidden(visit, option, 0):
            bits &= ~self._between(day, since, until)
        return bits

    def _last_tick(self, day: date, until: time) -> int:
        """The last bit of a day's map at or before a local time of day."""
        last = datetime.combine(day, until, self._calendar.zone) - self._calendar.midnight(day)
        return last // timedelta(minutes=TICK_MINUTES)

    def _between(self, day: date, since: datetime, until: datetime) -> int:
        """The ticks strictly inside a stretch of time."""
        midnight = self._calendar.midnight(day)
        low = int((since - midnight).total_seconds() // TICK) + 1
        high = -int(-(until - midnight).total_seconds() // TICK)
        low = max(low, 0)
        return ((1 << (high - low)) - 1) << low if high > low else 0


class ResourceDay:
    """One resource's open slots of a day: for each number of seats, which ticks are free and where slots begin."""

    def __init__(self) -> None:
        self._slots: list[tuple[int, int, int]] = []

    def add(self, first: int, ticks: int, free: int) -> None:
        self._slots.append((first, ticks, free))

    def runs(self, ticks: int, seats: int) -> int:
        """The slot starts from which `ticks` consecutive ticks are free."""
        covered = begins = 0
        for first, length, free in self._slots:
            if free >= seats:
                covered |= ((1 << length) - 1) << first
                begins |= 1 << first
        return begins & consecutive(covered, ticks)


def consecutive(covered: int, ticks: int) -> int:
    """Bits from which `ticks` bits in a row are set, by doubling."""
    done = 1
    while done < ticks:
        step = min(done, ticks - done)
        covered &= covered >> step
        done += step
    return covered


def ticks_of(bits: int) -> Iterator[int]:
    """The ticks of a bitmap, ascending."""
    while bits:
        yield (bits & -bits).bit_length() - 1
        bits &= bits - 1


def resource_days(slots: Sequence[SlotRow], midnight: int) -> list[ResourceDay]:
    days: dict[int, ResourceDay] = defaultdict(ResourceDay)
    for slot in slots:
        first = (slot.start_at - midnight) // TICK
        if first >= 0:
            days[slot.resource].add(first, (slot.end_at - slot.start_at) // TICK, slot.free)
    return list(days.values())


def _any(maps: object) -> int:
    union = 0
    for bits in maps:  # type: ignore[attr-defined]
        union |= bits
    return union


def _ticks(minutes: int) -> int:
    return -(-minutes // TICK_MINUTES)


def _round_up(minutes: int, size: int) -> int:
    return -(-minutes // size) * size
