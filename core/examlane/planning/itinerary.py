"""Exact search for one patient's visits on one day: shortest stay or earliest finish, with walking and order.

Days are tried in ascending order. On a day the search goes through the orders of the visits by branch and bound: the
first visit at every possible start, each later one at its earliest, which is exact because leaving earlier never hurts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

from examlane.domain import TICK_MINUTES, Availability, BookingRequest, Placement, Visit, VisitOption

Mode = Literal["stay", "finish"]
Cost = tuple[int, int]
NEVER: Cost = (1 << 30, 1 << 30)


@dataclass(frozen=True, slots=True)
class Itinerary:
    """Visits planned together on one day. `proven` says that no better plan of that day exists."""

    placements: tuple[Placement, ...]
    starts_at: datetime
    ends_at: datetime
    proven: bool


class Choice(NamedTuple):
    """One way to hold a visit on a day: where, how many minutes, and the bitmap of its starts."""

    option: VisitOption
    minutes: int
    starts: int


class Path(NamedTuple):
    """Some visits placed one after the other: which (as bits), and where and when (in minutes) the patient is then."""

    done: int
    zone: str
    starts: int
    ends: int
    chosen: tuple[tuple[int, str, int], ...]


def plan(
    request: BookingRequest,
    availability: Availability,
    *,
    mode: Mode,
    max_days: int,
    before: Sequence[tuple[str, str]] = (),
    deadline: Callable[[], bool],
) -> Itinerary | None:
    """All visits of a request on the first of `max_days` days that can hold them; None if there is none in time.

    `before` holds pairs of visit keys: the first must end before the second starts. `deadline` turns true when the
    time is up; the best plan found until then is returned unproven.
    """
    for day in availability.days()[:max_days]:
        found = plan_day(request, availability, day, mode=mode, before=before, deadline=deadline)
        if found is not None or deadline():
            return found
    return None


def plan_day(
    request: BookingRequest,
    availability: Availability,
    day: date,
    *,
    mode: Mode,
    before: Sequence[tuple[str, str]] = (),
    deadline: Callable[[], bool],
) -> Itinerary | None:
    """All visits of a request on this day, or None."""
    choices = []
    for visit in request.visits:
        possible = _choices(visit, availability, day)
        if not possible:
            return None
        choices.append(possible)
    search = DaySearch(choices, _predecessors(request.visits, before), request.walking, mode, deadline)
    return _itinerary(request, availability, day, search) if choices else None


def _choices(visit: Visit, availability: Availability, day: date) -> list[Choice]:
    found = []
    midnight = availability.instant(day, 0)
    for option in visit.options:
        if starts := availability.starts(visit, option, day):
            length = availability.ends_at(visit, Placement(visit.key, option.group, midnight)) - midnight
            found.append(Choice(option, -(-length // timedelta(minutes=1)), starts))
    return found


def _predecessors(visits: Sequence[Visit], before: Sequence[tuple[str, str]]) -> list[int]:
    """For each visit the bits of those that must end before it; pairs about other visits do not count."""
    index = {visit.key: number for number, visit in enumerate(visits)}
    masks = [0] * len(visits)
    for first, second in before:
        if first in index and second in index:
            masks[index[second]] |= 1 << index[first]
    return masks


def _itinerary(request: BookingRequest, availability: Availability, day: date, search: DaySearch) -> Itinerary | None:
    best = search.run()
    if best is None:
        return None
    visits = request.visits
    placed = tuple(
        Placement(visits[number].key, group, availability.instant(day, tick)) for number, group, tick in best.chosen
    )
    ends_at = max(availability.ends_at(visits[chosen[0]], one) for chosen, one in zip(best.chosen, placed, strict=True))
    return Itinerary(placed, placed[0].starts_at, ends_at, search.proven)


class DaySearch:
    """Branch and bound over the orders of a day's visits."""

    def __init__(
        self,
        choices: Sequence[Sequence[Choice]],
        predecessors: Sequence[int],
        walking: Mapping[tuple[str, str], int],
        mode: Mode,
        deadline: Callable[[], bool],
    ) -> None:
        self._choices = choices
        self._predecessors = predecessors
        self._walking = walking
        self._mode = mode
        self._deadline = deadline
        self._all = (1 << len(choices)) - 1
        self._unions = [_union(choice.starts for choice in options) for options in choices]
        self._shortest = [min(choice.minutes for choice in options) for options in choices]
        self._places = [sorted({(c.option.zone, c.minutes) for c in options}) for options in choices]
        self._tails: dict[tuple[int, str], int] = {}
        self._seen: dict[tuple[int, str], list[tuple[int, int]]] = {}
        self._best: Path | None = None
        self._cost = NEVER
        self.proven = True

    def run(self) -> Path | None:
        """The best path over all visits, or None. After the deadline: the best found until then."""
        for bound, path in sorted((self._bound(path), path) for path in self._firsts()):
            if bound >= self._cost:
                break
            self._go_on(bound, path)
        return self._best

    def _firsts(self) -> Iterator[Path]:
        """Every visit that may come first, at each of its starts."""
        known = set()
        for number in self._open(0):
            for option, minutes, starts in self._choices[number]:
                for tick in _ticks(starts):
                    start = tick * TICK_MINUTES
                    if (number, option.zone, minutes, tick) not in known:
                        known.add((number, option.zone, minutes, tick))
                        chosen = ((number, option.group, tick),)
                        yield Path(1 << number, option.zone, start, start + minutes, chosen)

    def _go_on(self, bound: Cost, path: Path) -> None:
        if path.done == self._all:
            self._best, self._cost = path, bound
            return
        if not self.proven or self._deadline():
            self.proven = False
            return
        for following, longer in sorted((self._bound(longer), longer) for longer in self._longer(path)):
            if following >= self._cost:
                return
            if not self._is_dominated(longer):
                self._go_on(following, longer)

    def _longer(self, path: Path) -> Iterator[Path]:
        """The path with one more visit, at the earliest start each of its options has."""
        for number in self._open(path.done):
            for option, minutes, starts in self._choices[number]:
                reached = -(-(path.ends + self._walk(path.zone, option.zone)) // TICK_MINUTES)
                if left := starts >> reached:
                    tick = reached + (left & -left).bit_length() - 1
                    chosen = (*path.chosen, (number, option.group, tick))
                    ends = tick * TICK_MINUTES + minutes
                    yield Path(path.done | 1 << number, option.zone, path.starts, ends, chosen)

    def _open(self, done: int) -> Iterator[int]:
        for number, needed in enumerate(self._predecessors):
            if not done >> number & 1 and needed & ~done == 0:
                yield number

    def _walk(self, zone: str, other: str) -> int:
        return 0 if zone == other else self._walking.get((zone, other), 0)

    def _is_dominated(self, path: Path) -> bool:
        """Whether a path seen before did the same visits, is at the same place no later, and began no earlier."""
        seen = self._seen.setdefault((path.done, path.zone), [])
        if any(ends <= path.ends and starts >= path.starts for ends, starts in seen):
            return True
        seen.append((path.ends, path.starts))
        return False

    def _bound(self, path: Path) -> Cost:
        """No completion of the path costs less."""
        finish = path.ends + self._tail(path.done, path.zone)
        reached = -(-path.ends // TICK_MINUTES)
        for number, union in enumerate(self._unions):
            if not path.done >> number & 1:
                left = union >> reached
                if not left:
                    return NEVER
                tick = reached + (left & -left).bit_length() - 1
                finish = max(finish, tick * TICK_MINUTES + self._shortest[number])
        stay = finish - path.starts
        return (stay, finish) if self._mode == "stay" else (finish, stay)

    def _tail(self, done: int, zone: str) -> int:
        """The least minutes of exams and walking for all other visits, were every seat free."""
        key = done, zone
        if key not in self._tails:
            self._tails[key] = min(
                (
                    self._walk(zone, place) + minutes + self._tail(done | 1 << number, place)
                    for number in self._open(done)
                    for place, minutes in self._places[number]
                ),
                default=0,
            )
        return self._tails[key]


def _union(maps: Iterator[int]) -> int:
    united = 0
    for bits in maps:
        united |= bits
    return united


def _ticks(bits: int) -> Iterator[int]:
    while bits:
        yield (bits & -bits).bit_length() - 1
        bits &= bits - 1
