"""What the exact search is asked, and what it answers: exams, pools, lags and days in 5-minute ticks, nothing else.

An exam here is one thing the patient does without a break. The segments of a visit whose gaps are free are several
exams, held together by a `Chain`. Walking counts between one exam and the next; order, rests and chains hold on a day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Mode = Literal["stay", "finish"]
LIMIT = 12
"""How many exams one problem may hold: the search is exponential in them."""
HOUR = 12
"""Ticks of an hour."""


class Pool(NamedTuple):
    """Equal resources at one place: the ticks an exam takes there.

    Exams of a chain are held at pools of one `option`; each starts `least` to `most` ticks after the chain's first.
    """

    zone: str
    ticks: int
    option: int = 0
    least: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True)
class Exam:
    """Where an exam can be held. It starts between the ticks `opens` and `closes`, both included."""

    pools: tuple[Pool, ...]
    opens: int = 0
    closes: int = 1023


class Rest(NamedTuple):
    """Where `second` comes after `first`, it starts at least `ticks` after that ends."""

    first: int
    second: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Exams held in this order at one option, the later ones within their pools' lags after the first one's start.

    Between the first and the last of them the patient does nothing else, except at what `inside` names: (option of
    the chain, exam, number of that exam's pool).
    """

    exams: tuple[int, ...]
    inside: frozenset[tuple[int, int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Problem:
    """The exams of one patient. `before`: the first ends before the second starts.

    `travel` are the ticks between zones, as a metric: no way round is shorter. Zones without a pair are next door.
    """

    exams: tuple[Exam, ...]
    travel: Mapping[tuple[str, str], int]
    before: tuple[tuple[int, int], ...] = ()
    rests: tuple[Rest, ...] = ()
    chains: tuple[Chain, ...] = ()

    def __post_init__(self) -> None:
        if len(self.exams) > LIMIT:
            raise ValueError(f"at most {LIMIT} exams can be planned together, not {len(self.exams)}")

    def walk(self, zone: str, other: str) -> int:
        return 0 if zone == other else self.travel.get((zone, other), 0)


@dataclass(frozen=True, slots=True)
class Day:
    """One day: a bitmap of starts an exam and pool, and each pool's load, a number an hour of the day."""

    starts: Sequence[Sequence[int]]
    load: Callable[[int, int], Sequence[int]]


class Step(NamedTuple):
    """An exam at one of its pools, from a tick on."""

    exam: int
    pool: int
    tick: int


class Score(NamedTuple):
    """What a plan costs: the tick it ends at, ticks from first start to last end, summed load, changes of zone."""

    finish: int
    stay: int
    load: int
    moves: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of time. `proven`: no plan of that day is better."""

    steps: tuple[Step, ...]
    score: Score
    proven: bool


@dataclass(frozen=True, slots=True)
class Goal:
    """What is best. `stay` wants the shortest stay, then the earliest finish; `finish` the other way round.

    Let (p, q) be the smallest pair of the wanted and the second value of a day. Every plan with at most p + tolerance
    and q + tolerance is acceptable. The best of them has the smallest (load, moves, wanted value, second value).
    """

    mode: Mode
    tolerance: int = 3

    def pair(self, finish: int, stay: int) -> tuple[int, int]:
        """The wanted value, then the second."""
        return (stay, finish) if self.mode == "stay" else (finish, stay)

    def rank(self, score: Score) -> tuple[int, int, int, int]:
        """Among acceptable plans the smallest is the best."""
        return (score.load, score.moves, *self.pair(score.finish, score.stay))
