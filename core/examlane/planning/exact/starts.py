"""The starts and loads of one day, as the search reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from examlane.planning.exact.problem import HOUR, Day
from examlane.planning.exact.shape import Shape


class Place(NamedTuple):
    """A pool on a day: its zone's number, the ticks it takes, and the starts it has."""

    zone: int
    ticks: int
    starts: int
    number: int
    option: int
    least: int
    most: int


class OpenDay:
    """For each exam its places and the union of their starts; loads are read when first asked for."""

    def __init__(self, day: Day, places: Sequence[Sequence[Place]]) -> None:
        self.places = places
        self.unions = [_union(each) for each in places]
        self._day = day
        self._loads: dict[tuple[int, int], Sequence[int]] = {}
        self._least: dict[tuple[int, int], int] = {}

    def narrowed(self, opens: int, last: int) -> OpenDay:
        """The same without the starts of exams that begin before a tick or end after another."""
        cut = [
            [place._replace(starts=place.starts & between(opens, last - place.ticks)) for place in each]
            for each in self.places
        ]
        return OpenDay(self._day, [[place for place in each if place.starts] for each in cut])

    def load(self, exam: int, pool: int, hour: int) -> int:
        """How much of a pool's hour is taken; zero where nobody knows."""
        loads = self._loads.get((exam, pool))
        if loads is None:
            loads = self._loads[exam, pool] = self._day.load(exam, pool)
        return loads[hour] if hour < len(loads) else 0

    def calmer(self, exam: int, place: Place, tick: int, last: int) -> Iterator[int]:
        """The first start of each later hour that has less load than all hours from a tick's to it."""
        hour = tick // HOUR
        least = self.load(exam, place.number, hour)
        while least > 0 and (bits := place.starts >> (hour + 1) * HOUR):
            tick = (hour + 1) * HOUR + (bits & -bits).bit_length() - 1
            if tick > last:
                return
            hour = tick // HOUR
            if (load := self.load(exam, place.number, hour)) < least:
                least = load
                yield tick

    def least_load(self, done: int, time: int) -> int:
        """What all exams that are not done add at least, from a tick on."""
        key = done, time // HOUR
        found = self._least.get(key)
        if found is None:
            left = (exam for exam in range(len(self.places)) if not done >> exam & 1)
            found = self._least[key] = sum(self._least_of(exam, key[1]) for exam in left)
        return found

    def _least_of(self, exam: int, hour: int) -> int:
        key = -1 - exam, hour
        if key not in self._least:
            self._least[key] = min(
                (
                    self.load(exam, place.number, each)
                    for place in self.places[exam]
                    for each in range(hour, place.starts.bit_length() // HOUR + 1)
                    if place.starts >> each * HOUR & (1 << HOUR) - 1
                ),
                default=0,
            )
        return self._least[key]


def possible(shape: Shape, day: Day) -> list[list[Place]]:
    """For each exam the pools that have a start within its window."""
    return [
        [
            Place(shape.zone[pool.zone], pool.ticks, starts, number, pool.option, pool.least, pool.most)
            for number, (pool, every) in enumerate(zip(exam.pools, maps, strict=True))
            if (starts := every & between(exam.opens, exam.closes))
        ]
        for exam, maps in zip(shape.problem.exams, day.starts, strict=True)
    ]


def between(first: int, last: int) -> int:
    """The bits from one tick to another, both included."""
    return (1 << last + 1) - (1 << first) if last >= first else 0


def ticks_of(bits: int) -> Iterator[int]:
    """The ticks of a bitmap, ascending."""
    while bits:
        yield (bits & -bits).bit_length() - 1
        bits &= bits - 1


def _union(places: Sequence[Place]) -> int:
    united = 0
    for place in places:
        united |= place.starts
    return united
