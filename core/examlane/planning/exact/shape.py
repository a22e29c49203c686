"""What is the same on all days of a problem: numbered zones, who may follow whom, and bounds made of lengths alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from examlane.planning.exact.problem import Chain, Problem

NEVER = 1 << 30


class Lag(NamedTuple):
    """When a later exam of a chain may start, counted from the chain's first."""

    number: int
    first: int
    ticks: int
    least: int
    most: int

    def after(self, ends: Sequence[int], anchors: Sequence[tuple[int, int] | None]) -> int:
        """The first tick it may have: from the chain's start, or from the earliest that this can be."""
        anchor = anchors[self.number]
        return self.least + (ends[self.first] - self.ticks if anchor is None else anchor[0])

    def until(self, anchors: Sequence[tuple[int, int] | None]) -> int:
        anchor = anchors[self.number]
        return NEVER if anchor is None else self.most + anchor[0]


Waiting = tuple[int, int, list[int], Lag | None]
"""An exam that is still to come, its ticks, the exams right before it that are, and its lag."""


class Shape:
    """A problem, made ready for the search of any day."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.size = len(problem.exams)
        self.all = (1 << self.size) - 1
        zones = sorted({pool.zone for exam in problem.exams for pool in exam.pools})
        self.zone = {zone: number for number, zone in enumerate(zones)}
        self.outside = len(zones)
        """The zone of a patient who has not come yet: everything is near."""
        travel = problem.travel
        self.travel = [
            [0 if here == there else travel.get((here, there), 0) for there in zones] for here in zones
        ]  # fmt: skip
        self.travel.append([0] * len(zones))
        self.chain: dict[int, tuple[int, Chain]] = {
            exam: (number, chain) for number, chain in enumerate(problem.chains) for exam in chain.exams
        }
        self.firsts = {chain.exams[0] for chain in problem.chains}
        self.rests = _rests(problem)
        self._needed = _needed(problem)
        self._inside = [
            sum(1 << exam for exam in {exam for _, exam, _ in chain.inside} | set(chain.exams)) for chain in problem.chains
        ]
        self._places = [sorted({(self.zone[pool.zone], pool.ticks) for pool in exam.pools}) for exam in problem.exams]
        self._shortest = [min((pool.ticks for pool in exam.pools), default=0) for exam in problem.exams]
        self._open: dict[int, list[int]] = {}
        self._tails: list[dict[int, int]] = [{} for _ in range(self.outside + 1)]
        self._todo: dict[int, list[Waiting]] = {}
        self._reach: dict[int, list[int]] = {}
        self._changes: dict[tuple[int, int], int] = {}

    def open(self, done: int) -> list[int]:
        """Which exams may come next."""
        found = self._open.get(done)
        if found is None:
            allowed = ~done
            for chain, inside in zip(self.problem.chains, self._inside, strict=True):
                if done >> chain.exams[0] & 1 and not done >> chain.exams[-1] & 1:
                    allowed &= inside
            found = self._open[done] = [
                exam for exam in range(self.size) if allowed >> exam & 1 and not self._needed[exam] & ~done
            ]
        return found

    def reach(self, zone: int) -> list[int]:
        """The least walking from a zone to each exam."""
        if zone not in self._reach:
            row = self.travel[zone]
            self._reach[zone] = [min((row[place] for place, _ in places), default=0) for places in self._places]
        return self._reach[zone]

    def tail(self, done: int, zone: int) -> int:
        """The least ticks of exams and walking for all others, were every seat free."""
        known = self._tails[zone]
        found = known.get(done)
        if found is None:
            row = self.travel[zone]
            found = 0 if done == self.all else NEVER
            for exam in self.open(done):
                after = done | 1 << exam
                for place, ticks in self._places[exam]:
                    ticks += row[place]
                    if ticks < found:
                        ticks += self.tail(after, place)
                        if ticks < found:
                            found = ticks
            known[done] = found
        return found

    def remaining(self, done: int) -> list[Waiting]:
        """The other exams in an order that keeps `before`."""
        found = self._todo.get(done)
        if found is None:
            left = [exam for exam in range(self.size) if not done >> exam & 1]
            left.sort(key=lambda exam: (self._needed[exam].bit_count(), exam))
            found = self._todo[done] = [self._waiting(exam, done) for exam in left]
        return found

    def _waiting(self, exam: int, done: int) -> Waiting:
        earlier = [other for other in range(self.size) if self._needed[exam] >> other & 1 and not done >> other & 1]
        direct = [other for other in earlier if not any(self._needed[later] >> other & 1 for later in earlier)]
        return exam, self._shortest[exam], direct, self._lag(exam)

    def _lag(self, exam: int) -> Lag | None:
        if exam not in self.chain or exam in self.firsts:
            return None
        number, chain = self.chain[exam]
        pools = self.problem.exams[exam].pools
        least, most = min(pool.least for pool in pools), max(pool.most for pool in pools)
        return Lag(number, chain.exams[0], self._shortest[chain.exams[0]], least, most)

    def changes(self, done: int, zone: int) -> int:
        """No completion changes its zone less often: each exam with a single zone must be gone to."""
        key = done, zone
        if key not in self._changes:
            left = [{place for place, _ in places} for exam, places in enumerate(self._places) if not done >> exam & 1]
            single = {min(places) for places in left if len(places) == 1}
            self._changes[key] = len(single - {zone}) - (zone == self.outside and bool(single))
        return self._changes[key]


def _needed(problem: Problem) -> list[int]:
    """For each exam the bits of all that must come before it."""
    masks = [0] * len(problem.exams)
    for first, second in [*problem.before, *(pair for chain in problem.chains for pair in pairwise(chain.exams))]:
        masks[second] |= 1 << first
    for middle in range(len(masks)):
        for exam, mask in enumerate(masks):
            if mask >> middle & 1:
                masks[exam] |= masks[middle]
    return masks


def _rests(problem: Problem) -> dict[int, list[tuple[int, int]]]:
    """For each exam the others that must wait after it, and how long."""
    found: dict[int, list[tuple[int, int]]] = {}
    for rest in problem.rests:
        found.setdefault(rest.first, []).append((rest.second, rest.ticks))
    return found
