"""The exact search of one day: A* over what is done, where the patient is and when, with dominance.

Three passes. The earliest finish: every exam at its earliest, which is exact because leaving earlier never hurts; only
the first exam of a chain is tried at all its starts. Then the shortest stay, over all starts of the exam that comes
first. Then, within the tolerance, the least load and the fewest changes of zone, where an exam may also wait for an
hour with less load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count, pairwise
from operator import le
from typing import Any, NamedTuple

from examlane.planning.exact.problem import HOUR, Day, Goal, Plan, Score, Step
from examlane.planning.exact.shape import NEVER, Shape
from examlane.planning.exact.starts import OpenDay, Place, possible, ticks_of

EVERY = 64
"""After how many labels the search looks at the clock."""
GRACE = 500
"""How many labels a search that is cut off may still look at to complete a plan."""


class Label(NamedTuple):
    """Some exams held one after the other: which (as bits), where and when the patient is then, and what it cost.

    `floors` are the ticks before which a rest keeps each exam, `anchors` each open chain's (first start, option).
    """

    done: int
    zone: int
    time: int
    start: int
    load: int
    moves: int
    floors: tuple[int, ...]
    anchors: tuple[tuple[int, int] | None, ...]
    before: Any = None
    step: Any = None

    def steps(self) -> tuple[Step, ...]:
        found, label = [], self
        while label.step is not None:
            found.append(Step(*label.step))
            label = label.before
        return tuple(reversed(found))


class Aim(NamedTuple):
    """What a pass looks for: the smallest rank below `known` of (finish, stay, load, moves), and within which limits.

    No plan ends before `earliest`. `all_starts`: whatever comes first is tried at all its starts. `priced`: load and
    changes of zone count.
    """

    rank: Callable[[int, int, int, int], tuple[int, ...]]
    known: tuple[int, ...] = (NEVER,)
    earliest: int = 0
    last: int = NEVER - 1
    longest: int = NEVER - 1
    all_starts: bool = False
    priced: bool = False


class DaySearch:
    """The search of one day. `proven` turns false when the deadline cut it off."""

    def __init__(self, shape: Shape, day: Day, deadline: Callable[[], bool]) -> None:
        self.proven = True
        self._shape = shape
        self._deadline = deadline
        self._day = OpenDay(day, possible(shape, day))
        self._bounds: dict[tuple[Any, ...], int] = {}
        self._ends = [0] * shape.size

    def plan(self, goal: Goal) -> Plan | None:
        """The best plan of the day, or None. After the deadline: the best found until then, if any."""
        first = self._earliest()
        if first is None:
            return None
        best = self._shortest(goal, first) if self.proven else first
        if self.proven:
            best = self._calmest(goal, best, first.time)
        return Plan(best.steps(), self._score(best), self.proven)

    def is_possible(self) -> bool:
        """Whether the day can hold all exams. After the deadline: whether that was seen until then."""
        return self._earliest() is not None

    def _earliest(self) -> Label | None:
        """A plan with the earliest finish."""
        root = self._root(0)
        if not all(self._day.unions) or self._bound(0, root.zone, 0, root.floors, root.anchors) >= NEVER:
            return None
        return self._search(Aim(lambda finish, stay, load, moves: (finish,)))

    def _shortest(self, goal: Goal, first: Label) -> Label:
        """The smallest (wanted, second) pair of the goal, given a plan with the earliest finish."""
        aim = Aim(
            lambda finish, stay, load, moves: goal.pair(finish, stay),
            known=goal.pair(first.time, first.time - first.start),
            earliest=first.time,
            last=first.time if goal.mode == "finish" else NEVER - 1,
            all_starts=True,
        )
        return self._search(aim) or first

    def _calmest(self, goal: Goal, best: Label, earliest: int) -> Label:
        """The least load, then the fewest changes of zone, among all plans within the tolerance."""
        known = self._score(best)
        last, longest = known.finish + goal.tolerance, known.stay + goal.tolerance
        # No such plan has a start outside these ticks: fewer starts, better bounds.
        self._day = self._day.narrowed(max(earliest - longest, 0), last)
        self._bounds.clear()
        aim = Aim(
            lambda finish, stay, load, moves: (load, moves, *goal.pair(finish, stay)),
            goal.rank(known), earliest, last, longest, all_starts=True, priced=True,
        )  # fmt: skip
        return self._search(aim) or best

    # The search itself

    def _root(self, start: int) -> Label:
        floors = (0,) * self._shape.size if self._shape.rests else ()
        return Label(0, self._shape.outside, start, start, 0, 0, floors, (None,) * len(self._shape.problem.chains))

    def _roots(self, aim: Aim) -> Iterator[int]:
        """The ticks at which a plan may begin."""
        if not aim.all_starts:
            return iter((0,))
        united = 0
        for exam in self._shape.open(0):
            united |= self._day.unions[exam]
        return ticks_of(united)

    def _search(self, aim: Aim) -> Label | None:
        """The best label with all exams done whose rank is below the known one, or None."""
        order = count()
        heap: list[Any] = []
        seen: dict[tuple[Any, ...], list[tuple[int, ...]]] = {}
        shortest = self._shape.tail(0, self._shape.outside)
        for tick in self._roots(aim):
            finish = max(tick + shortest, aim.earliest)
            rank = aim.rank(finish, finish - tick, 0, 0)
            if rank < aim.known and finish <= aim.last and finish - tick <= aim.longest:
                heap.append((rank, 0, next(order), self._root(tick)))
        heapify(heap)
        while heap:
            number: int
            label: Label
            _, _, number, label = heappop(heap)
            if label.done == self._shape.all:
                return label
            if number % EVERY == 0 and self._deadline():
                self.proven = False
                return None if aim.all_starts else self._dive([label, *(entry[3] for entry in heap)])
            for rank, child in self._children(label, aim):
                if not _is_dominated(child, aim, seen):
                    heappush(heap, (rank, -child.done.bit_count(), next(order), child))
        return None

    def _dive(self, labels: list[Label]) -> Label | None:
        """Any completion that is found in a few more steps, the longest labels first."""
        stack = sorted(labels, key=lambda label: label.done.bit_count())
        aim = Aim(lambda finish, stay, load, moves: (finish,))
        for _ in range(GRACE):
            if not stack or stack[-1].done == self._shape.all:
                break
            children = sorted(self._children(stack.pop(), aim), key=lambda pair: pair[0], reverse=True)
            stack += [child for _, child in children]
        return stack[-1] if stack and stack[-1].done == self._shape.all else None

    def _children(self, label: Label, aim: Aim) -> Iterator[tuple[tuple[int, ...], Label]]:
        """The label with one more exam, at each start that matters and may still be the best, with its rank."""
        shape = self._shape
        for exam, place, tick in self._next(label, aim):
            end, done, start = tick + place.ticks, label.done | 1 << exam, label.start if label.done else tick
            least = end + shape.tail(done, place.zone)
            if least > aim.last or least - start > aim.longest:
                continue
            floors = self._floors(label.floors, exam, end) if label.floors else ()
            anchors = self._anchors(label.anchors, exam, place, tick) if label.anchors else ()
            finish = max(self._bound(done, place.zone, end, floors, anchors), aim.earliest)
            if finish > aim.last or finish - start > aim.longest:
                continue
            load, moves, most_load, most_moves = 0, 0, 0, 0
            if aim.priced:
                load = label.load + self._day.load(exam, place.number, tick // HOUR)
                moves = label.moves + (label.zone != place.zone and label.done != 0)
                most_load = load + self._day.least_load(done, end)
                most_moves = moves + shape.changes(done, place.zone)
            rank = aim.rank(finish, finish - start, most_load, most_moves)
            if rank < aim.known:
                step = exam, place.number, tick
                yield rank, Label(done, place.zone, end, start, load, moves, floors, anchors, label, step)

    def _next(self, label: Label, aim: Aim) -> Iterator[tuple[int, Place, int]]:
        """Every exam that may come next, at each place and start that matters."""
        shape = self._shape
        row, time, floors, is_held = shape.travel[label.zone], label.time, label.floors, any(label.anchors)
        for exam in shape.open(label.done):
            floor = floors[exam] if floors else 0
            for place in self._day.places[exam]:
                ready, last = time + row[place.zone], NEVER
                if floor > ready:
                    ready = floor
                if is_held:
                    ready, last = self._held(label, exam, place, ready)
                bits = place.starts >> ready
                if not bits:
                    continue
                if not label.done and aim.all_starts:
                    if bits & 1:
                        yield exam, place, ready
                elif exam in shape.firsts:
                    for tick in ticks_of(bits):
                        yield exam, place, ready + tick
                else:
                    tick = ready + (bits & -bits).bit_length() - 1
                    if tick <= last:
                        yield exam, place, tick
                        if aim.priced:
                            for later in self._day.calmer(exam, place, tick, last):
                                yield exam, place, later

    def _held(self, label: Label, exam: int, place: Place, ready: int) -> tuple[int, int]:
        """The first and the last tick that open chains leave to an exam at a place."""
        last = NEVER
        for chain, anchor in zip(self._shape.problem.chains, label.anchors, strict=True):
            if anchor is None:
                continue
            start, option = anchor
            if exam in chain.exams:
                if place.option != option:
                    return NEVER, -1
                ready, last = max(ready, start + place.least), start + place.most
            elif (option, exam, place.number) not in chain.inside:
                return NEVER, -1
        return ready, last

    def _anchors(self, anchors: tuple[Any, ...], exam: int, place: Place, tick: int) -> tuple[Any, ...]:
        """The open chains after an exam: it may open one or close one."""
        if exam not in self._shape.chain:
            return anchors
        number, chain = self._shape.chain[exam]
        if exam == chain.exams[-1]:
            return (*anchors[:number], None, *anchors[number + 1 :])
        if exam == chain.exams[0]:
            return (*anchors[:number], (tick, place.option), *anchors[number + 1 :])
        return anchors

    def _floors(self, floors: tuple[int, ...], exam: int, end: int) -> tuple[int, ...]:
        """Rests after this exam; what is reached anyway needs none."""
        rests = self._shape.rests.get(exam)
        if rests is None and not any(floors):
            return floors
        raised = [0 if floor <= end else floor for floor in floors]
        raised[exam] = 0
        for other, ticks in rests or ():
            raised[other] = max(raised[other], end + ticks)
        return tuple(raised)

    # Bounds

    def _bound(self, done: int, zone: int, time: int, floors: tuple[int, ...], anchors: tuple[Any, ...]) -> int:
        """No completion ends earlier; NEVER when an exam has no start left."""
        key = done, zone, time, floors, anchors
        found = self._bounds.get(key)
        if found is None:
            found = self._bounds[key] = self._earliest_end(done, zone, time, floors, anchors)
        return found

    def _earliest_end(self, done: int, zone: int, time: int, floors: tuple[int, ...], anchors: tuple[Any, ...]) -> int:
        shape, ends, unions = self._shape, self._ends, self._day.unions
        row = shape.reach(zone)
        worst = time + shape.tail(done, zone)
        ready = []
        for exam, ticks, earlier, lag in shape.remaining(done):
            at = time + row[exam]
            if floors and floors[exam] > at:
                at = floors[exam]
            for other in earlier:
                if ends[other] > at:
                    at = ends[other]
            if lag is not None:
                at = max(at, lag.after(ends, anchors))
            bits = unions[exam] >> at
            if not bits:
                return NEVER
            at += (bits & -bits).bit_length() - 1
            if lag is not None and at > lag.until(anchors):
                return NEVER
            ends[exam] = at + ticks
            ready.append((at, ticks))
        ready.sort()
        for at, ticks in ready:
            time = (at if at > time else time) + ticks
        return time if time > worst else worst

    def _score(self, label: Label) -> Score:
        steps = label.steps()
        zones = [self._shape.problem.exams[step.exam].pools[step.pool].zone for step in steps]
        load = sum(self._day.load(step.exam, step.pool, step.tick // HOUR) for step in steps)
        return Score(label.time, label.time - label.start, load, sum(here != there for here, there in pairwise(zones)))


def _is_dominated(label: Label, aim: Aim, seen: dict[Any, list[tuple[int, ...]]]) -> bool:
    """Whether a label seen before did the same at the same place and is no worse in anything."""
    vector: tuple[int, ...] = (label.time, *label.floors)
    if aim.priced:
        vector = (label.time, -label.start, label.load, label.moves, *label.floors)
    elif aim.all_starts:
        vector = (label.time, -label.start, *label.floors)
    known = seen.setdefault((label.done, label.zone, label.anchors), [])
    for one in known:
        if all(map(le, one, vector)):
            return True
    known.append(vector)
    return False
