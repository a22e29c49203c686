"""Made-up itineraries to plan: 49 kinds of exams on about 300 resources of three campuses, from a seed.

Every number is an assumption of the benchmark: durations, hours, rules and how full the calendars are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from examlane.planning.exact.problem import HOUR, Chain, Day, Exam, Goal, Mode, Pool, Problem, Rest

DAYS = 28
FILLS = (0.50, 0.70, 0.80, 0.90, 0.95, 0.98)
CAMPUSES = "NSE"
OGTT = "ogtt"
FASTING_UNTIL = 11 * HOUR
PACKAGES: dict[str, dict[str, tuple[int, str]]] = {
    "obstetrics": {
        OGTT: (1, "fasting"), "nst": (4, "inside"), "ob-us": (3, "inside full"), "ecg-ob": (2, "inside"),
        "anomaly": (6, ""), "fetal-heart": (6, ""), "urine": (1, "inside"), "coagulation": (1, "fasting"),
    },
    "check-up": {
        "blood": (1, "fasting"), "breath-test": (6, "fasting"), "us-abdomen": (2, "fasting"), "bladder-us": (2, "full"),
        "ecg": (2, ""), "chest": (1, ""), "eye": (2, ""), "bone-density": (2, ""),
    },
    "oncology": {
        "tumour-markers": (1, "fasting"), "ct-contrast": (4, "contrast"), "mr-contrast": (6, "contrast"),
        "us-liver": (3, "fasting"), "us-neck": (3, ""), "mammography": (2, ""), "lung-function": (4, ""),
        "echo-onc": (4, ""),
    },
    "cardiology": {
        "troponin": (1, ""), "ecg-cardio": (2, ""), "echo": (4, ""), "stress-test": (6, "stress"), "holter": (2, ""),
        "carotid-us": (4, ""), "cta": (4, "contrast"), "abi": (3, ""),
    },
    "digestive": {
        "hp-breath": (6, "fasting"), "us-upper": (2, "fasting"), "gastroscopy": (3, "fasting last"),
        "liver-blood": (1, "fasting"), "ct-abdomen": (4, "contrast"), "elastography": (2, "fasting"), "stool": (1, ""),
    },
    "neurology": {
        "mr-head": (5, ""), "eeg": (8, ""), "tcd": (4, ""), "emg": (9, ""), "neck-us": (4, ""), "ct-head": (2, ""),
        "blood-neuro": (1, "fasting"),
    },
    "kidney": {"us-kidney": (3, "full"), "mr-kidney": (6, "contrast"), "renal-blood": (1, "fasting")},
}  # fmt: skip
KINDS = {kind: facts for package in PACKAGES.values() for kind, facts in package.items()}
OTHERS = sorted(KINDS)


@dataclass(frozen=True)
class Place:
    """One pool of the hospital: resources of a kind on a floor, and the ticks between their slots."""

    kind: str
    zone: str
    resources: int
    opens: int
    closes: int


@dataclass(frozen=True)
class Instance:
    """One patient's problem with every day that may hold it, and what is wanted."""

    number: int
    exams: int
    problem: Problem
    places: tuple[tuple[int, ...], ...]
    goal: Goal
    seed: int
    fill: float

    @cached_property
    def days(self) -> list[Day]:
        return [self._day(day) for day in range(DAYS)]

    def _day(self, number: int) -> Day:
        made = [[calendar(self.seed, self.fill, place, number) for place in places] for places in self.places]
        starts = tuple(tuple(starts for starts, _ in maps) for maps in made)
        return Day(starts, lambda exam, pool: made[exam][pool][1])


@cache
def hospital(seed: int) -> tuple[Place, ...]:
    """About 300 resources: each kind on one to three campuses, on one floor or two."""
    chance = random.Random(seed)
    places = []
    for kind, (ticks, _) in KINDS.items():
        campuses = chance.sample(CAMPUSES, chance.choice((1, 2, 3, 3)))
        for campus in campuses:
            for floor in chance.sample(range(9), chance.choice((1, 1, 2))):
                closes = 12 * HOUR if ticks == 1 else chance.choice((17, 17, 19)) * HOUR
                opens = chance.choice((90, 96))
                places.append(Place(kind, f"{campus}{floor // 3}{floor % 3}", chance.choice((1, 2, 2, 3)), opens, closes))
    return tuple(places)


@cache
def calendar(seed: int, fill: float, place: int, day: int) -> tuple[int, tuple[int, ...]]:
    """A pool's starts on a day, and how much of each hour is taken, in per cent."""
    where = hospital(seed)[place]
    ticks = KINDS[where.kind][0]
    chance = random.Random(f"{seed} {fill} {place} {day}")
    taken = min(1.0, max(0.0, chance.gauss(fill - day * 0.004, 0.08)))
    starts, seats, used = 0, [0] * 24, [0] * 24
    for _ in range(where.resources):
        for tick in range(where.opens, where.closes - ticks + 1, ticks):
            hour = tick // HOUR
            if hour == 12:
                continue
            seats[hour] += 1
            if chance.random() < taken * (1.06 if 10 <= hour < 16 else 0.94):
                used[hour] += 1
            else:
                starts |= 1 << tick
    return starts, tuple(100 * used[hour] // seats[hour] if seats[hour] else 0 for hour in range(24))


def walking(here: str, there: str) -> int:
    """Ticks: another floor 1, another building 2, another campus 12."""
    if here == there:
        return 0
    return 12 if here[0] != there[0] else 2 if here[1] != there[1] else 1


def instances(count: int, seed: int, tolerance: int = 3) -> Iterator[Instance]:
    """Instances of 2 to 8 exams, as many of each, over all fills and both modes."""
    return (_instance(number, seed, tolerance) for number in range(count))


def _instance(number: int, seed: int, tolerance: int) -> Instance:
    chance = random.Random(f"{seed} instance {number}")
    size = 2 + number % 7
    mode: Mode = "stay" if number // 7 % 2 else "finish"
    kinds = _kinds(chance, size)
    home = chance.choice(CAMPUSES) if chance.random() < 0.5 else ""
    exams: list[Exam] = []
    names: list[str] = []
    places: list[tuple[int, ...]] = []
    for kind in kinds:
        own = [index for index, place in enumerate(hospital(seed)) if place.kind == kind]
        near = [index for index in own if hospital(seed)[index].zone.startswith(home)] or own
        for lags in _lags(kind):
            pools = [Pool(hospital(seed)[place].zone, KINDS[kind][0], option, *lags) for option, place in enumerate(near)]
            exams.append(Exam(tuple(pools), closes=FASTING_UNTIL if lags == (0, 0) and "fasting" in KINDS[kind][1] else 300))
            names.append(kind)
            places.append(tuple(near))
    problem = _ruled(names, exams)
    return Instance(number, size, problem, tuple(places), Goal(mode, tolerance), seed, FILLS[number % len(FILLS)])


def _kinds(chance: random.Random, size: int) -> list[str]:
    package = PACKAGES[chance.choice(sorted(PACKAGES))]
    kinds = chance.sample(sorted(package), min(size, len(package)))
    if package is PACKAGES["obstetrics"] and OGTT not in kinds and chance.random() < 0.6:
        kinds[0] = OGTT
    others = [kind for kind in OTHERS if kind not in kinds and kind != OGTT]
    return kinds + chance.sample(others, size - len(kinds))


def _lags(kind: str) -> list[tuple[int, int]]:
    return [(0, 0), (11, 13), (23, 25)] if kind == OGTT else [(0, 0)]


def _ruled(names: list[str], exams: list[Exam]) -> Problem:
    marks = [KINDS[name][1] for name in names]
    draws = tuple(index for index, name in enumerate(names) if name == OGTT)
    before, rests = [], []
    for one, first in enumerate(marks):
        for two, second in enumerate(marks):
            if one != two and "fasting" in first:
                to_draw = two in draws or one in draws
                if ("fasting" not in second and not (one in draws and "inside" in second)) or (
                    "last" in second and not to_draw
                ):
                    before.append((one, two))
                if "full" in second and not to_draw:
                    rests.append(Rest(one, two, 9))
            if one != two and "contrast" in first and "contrast" in second:
                rests.append(Rest(one, two, HOUR))
            if "stress" in first and one != two:
                rests.append(Rest(one, two, 6))
    return Problem(
        tuple(exams),
        {(one.zone, two.zone): walking(one.zone, two.zone) for exam in exams for one in exam.pools
         for other in exams for two in other.pools},
        tuple(before), tuple(rests), (_chain(draws, marks, exams),) if draws else (),
    )  # fmt: skip


def _chain(draws: tuple[int, ...], marks: list[str], exams: list[Exam]) -> Chain:
    """Short exams that let the patient sit may lie between the draws, at most a tick's walk away."""
    inside = frozenset(
        (option, exam, pool)
        for option, lab in enumerate(exams[draws[0]].pools)
        for exam, mark in enumerate(marks)
        if "inside" in mark
        for pool, place in enumerate(exams[exam].pools)
        if walking(lab.zone, place.zone) <= 1
    )
    return Chain(draws, inside)
