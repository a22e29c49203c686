"""The exact search of one day: every level of its objective against trying everything, and against OR-Tools."""

from __future__ import annotations

import importlib.util
import itertools
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane.planning.exact.problem import Chain, Day, Exam, Goal, Mode, Plan, Pool, Problem, Rest, Score, Step
from examlane.planning.exact.search import DaySearch
from examlane.planning.exact.shape import Shape
from examlane.planning.exact.verifier import cost, faults

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
WAYS = 1500
"""How many combinations of starts trying everything may cost."""


def search(problem: Problem, day: Day, goal: Goal) -> Plan | None:
    return DaySearch(Shape(problem), day, lambda: False).plan(goal)


def every_plan(problem: Problem, day: Day) -> Iterator[Plan]:
    """All plans of a day that keep the rules."""
    for chosen in itertools.product(*ways(problem, day)):
        steps = tuple(sorted(chosen, key=lambda step: step.tick))
        unpriced = Plan(steps, Score(0, 0, 0, 0), True)
        plan = replace(unpriced, score=cost(problem, day, unpriced))
        if not faults(problem, day, plan):
            yield plan


def ways(problem: Problem, day: Day) -> list[list[Step]]:
    return [
        [Step(number, pool, tick) for pool, bits in enumerate(day.starts[number]) for tick in range(40) if bits >> tick & 1]
        for number in range(len(problem.exams))
    ]


def best_rank(problem: Problem, day: Day, goal: Goal) -> tuple[int, ...] | None:
    """The best rank by the definition of `Goal`, from all plans."""
    scores = [plan.score for plan in every_plan(problem, day)]
    if not scores:
        return None
    wanted, second = min(goal.pair(score.finish, score.stay) for score in scores)
    limits = wanted + goal.tolerance, second + goal.tolerance
    return min(
        goal.rank(score)
        for score in scores
        if all(value <= limit for value, limit in zip(goal.pair(score.finish, score.stay), limits, strict=True))
    )


def made_up(chance: random.Random) -> tuple[Problem, Day]:
    """Two to four exams with windows, order, rests and, often, a chain with gaps; loads over three hours."""
    size = chance.randint(2, 4)
    chained = chance.sample(range(size), min(size, chance.choice((0, 2, 2, 3))))
    options = chance.randint(1, 2)
    exams, starts, loads = [], [], []
    for number in range(size):
        place = chained.index(number) if number in chained else 0
        pools = [a_pool(chance, option, place) for option in range(options if number in chained else chance.randint(1, 2))]
        exams.append(Exam(tuple(pools), chance.choice((0, 0, 3)), chance.choice((99, 99, 20))))
        starts.append([sum(1 << tick for tick in chance.sample(range(26), chance.randint(1, 6))) for _ in pools])
        loads.append([[chance.randint(0, 3) for _ in range(3)] for _ in pools])
    far = {zone: chance.randint(0, 2) for zone in "ABC"}
    problem = Problem(
        tuple(exams),
        {(one, two): far[one] + far[two] for one, two in itertools.permutations("ABC", 2)},
        tuple(pairs(chance, size, chance.choice((0, 0, 1, 2)))),
        tuple(Rest(one, two, chance.randint(1, 6)) for one, two in pairs(chance, size, chance.choice((0, 1, 2)))),
        (Chain(tuple(chained), permitted(chance, chained, exams, options)),) if len(chained) > 1 else (),
    )
    return problem, Day(starts, lambda exam, pool: loads[exam][pool])


def a_pool(chance: random.Random, option: int, place: int) -> Pool:
    least = chance.randint(2 * place, 4 * place)
    return Pool(chance.choice("ABC"), chance.randint(1, 3), option, least, least + chance.randint(0, 4) if place else 0)


def pairs(chance: random.Random, size: int, count: int) -> list[tuple[int, int]]:
    return [tuple(chance.sample(range(size), 2)) for _ in range(count)]


def permitted(chance: random.Random, chained: list[int], exams: list[Exam], options: int) -> frozenset[tuple[int, int, int]]:
    return frozenset(
        (option, number, pool)
        for option in range(options)
        for number, exam in enumerate(exams)
        for pool in range(len(exam.pools))
        if number not in chained and chance.random() < 0.6
    )


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from(["stay", "finish"]), st.sampled_from([0, 1, 3]))
def test_no_plan_of_the_day_is_better_in_any_level_of_the_objective(seed: int, mode: Mode, tolerance: int) -> None:
    problem, day = made_up(random.Random(seed))
    if math.prod(map(len, ways(problem, day))) > WAYS:
        return
    goal = Goal(mode, tolerance)
    found = search(problem, day, goal)
    assert (goal.rank(found.score) if found else None) == best_rank(problem, day, goal)
    if found is not None:
        assert found.proven
        assert faults(problem, day, found) == []


def test_the_order_that_ends_earlier_loses_where_a_rest_follows_its_last_exam() -> None:
    problem = Problem(tuple(Exam((Pool("A", 1),)) for _ in range(3)), {}, rests=(Rest(1, 2, 5),))
    day = Day([[0b101], [0b11], [1 << 6 | 1 << 9]], lambda exam, pool: [])
    found = search(problem, day, Goal("finish"))
    assert found is not None
    assert found.steps == (Step(1, 0, 0), Step(0, 0, 2), Step(2, 0, 6))


# The verifier

ZONES = {("A", "B"): 2, ("B", "A"): 2}
SOUND = Problem(
    (
        Exam((Pool("A", 1, 0), Pool("B", 1, 1))),
        Exam((Pool("A", 1, 0, 5, 7), Pool("B", 1, 1, 5, 7))),
        Exam((Pool("A", 2), Pool("B", 2)), opens=1, closes=20),
        Exam((Pool("B", 1),)),
    ),
    ZONES, before=((2, 3),), rests=(Rest(2, 3, 4),), chains=(Chain((0, 1), frozenset({(0, 2, 0)})),),
)  # fmt: skip
FREE = Day([[0xFFFFF] * 2, [0xFFFFF] * 2, [0xFFFFF] * 2, [0xFFFFF & ~(1 << 12)]], lambda exam, pool: [10, 20])
STEPS = (Step(0, 0, 0), Step(2, 0, 2), Step(1, 0, 5), Step(3, 0, 8))


def told(*steps: Step, score: Score | None = None) -> str:
    unpriced = Plan(steps, Score(0, 0, 0, 0), True)
    priced = replace(unpriced, score=score or cost(SOUND, FREE, unpriced))
    return "; ".join(faults(SOUND, FREE, priced))


def test_a_sound_plan_has_no_fault() -> None:
    assert told(*STEPS) == ""


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((Step(0, 0, 0), Step(2, 0, 2), Step(1, 0, 5), Step(3, 0, 12)), "exam 3 cannot start at 12"),
        ((Step(2, 0, 0), Step(0, 0, 2), Step(1, 0, 7), Step(3, 0, 10)), "exam 2 starts outside its window"),
        ((Step(0, 0, 0), Step(2, 0, 2), Step(1, 0, 5), Step(3, 0, 7)), "no time to get from exam 1 to exam 3"),
        ((Step(0, 0, 0), Step(2, 0, 4), Step(1, 0, 5), Step(3, 0, 10)), "no time to get from exam 2 to exam 1"),
        ((Step(3, 0, 0), Step(0, 0, 3), Step(2, 0, 5), Step(1, 0, 8)), "exam 2 must end before exam 3"),
        ((Step(2, 0, 1), Step(3, 0, 5), Step(0, 0, 8), Step(1, 0, 13)), "exam 3 too soon after exam 2"),
        ((Step(0, 0, 0), Step(2, 0, 2), Step(1, 0, 8), Step(3, 0, 11)), "exam 1 is out of its chain's lags"),
        ((Step(0, 0, 0), Step(1, 1, 5), Step(2, 1, 6), Step(3, 0, 13)), "the chain of exam 0 is torn"),
        ((Step(0, 0, 0), Step(2, 1, 3), Step(1, 0, 7), Step(3, 0, 10)), "exam 2 must not lie inside the chain of exam 0"),
        ((Step(0, 0, 0), Step(2, 0, 2), Step(1, 0, 5)), "not every exam exactly once"),
        ((Step(0, 0, 0), Step(2, 0, 2), Step(1, 0, 5), Step(1, 0, 6)), "not every exam exactly once"),
    ],
)
def test_the_verifier_names_each_broken_rule(steps: tuple[Step, ...], words: str) -> None:
    assert words in told(*steps)


def test_the_verifier_recomputes_the_cost() -> None:
    assert told(*STEPS, score=Score(9, 9, 40, 0)) == "the score is not what the plan costs"


# The deadline


def test_a_search_that_is_cut_off_answers_a_plan_that_keeps_the_rules_but_is_not_proven() -> None:
    problem = Problem(tuple(Exam((Pool("A", 1), Pool("B", 2))) for _ in range(9)), ZONES)
    day = Day([[0b1011011101111, 0b110111011110111011] for _ in range(9)], lambda exam, pool: [exam, 3 - pool])
    cut = DaySearch(Shape(problem), day, lambda: True).plan(Goal("stay"))
    assert cut is not None
    assert not cut.proven
    assert faults(problem, day, cut) == []


# OR-Tools


def benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(importlib.util.find_spec("ortools") is None, reason="needs OR-Tools: pip install 'examlane[solver]'")
def test_cp_sat_finds_the_same_days_and_costs_for_a_sample_of_the_benchmark() -> None:
    cpsat, made = benchmark("cpsat"), benchmark("instances")
    for instance in made.instances(42, seed=7):
        shape = Shape(instance.problem)
        for day in instance.days:
            own = DaySearch(shape, day, lambda: False).plan(instance.goal)
            other = cpsat.plan(instance.problem, day, instance.goal)
            ranks = [instance.goal.rank(plan.score) if plan else None for plan in (own, other)]
            assert ranks[0] == ranks[1], instance.number
            if own is not None:
                assert faults(instance.problem, day, own) == faults(instance.problem, day, other) == []
                break
