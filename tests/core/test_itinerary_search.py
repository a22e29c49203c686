"""The exact search of one day: every level of its objective against trying everything, and against OR-Tools."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from examlane.planning.exact.problem import Chain, Day, Exam, Goal, Plan, Pool, Problem, Rest, Score, Step
from examlane.planning.exact.search import DaySearch
from examlane.planning.exact.shape import Shape
from examlane.planning.exact.verifier import cost, faults

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
WAYS = 4000
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


@st.composite
def problems(draw: st.DrawFn) -> tuple[Problem, Day]:
    """Two to four exams with windows, order, rests and, often, a chain with gaps; loads over three hours."""
    size = draw(st.integers(2, 4))
    chained = draw(st.permutations(range(size)))[: draw(st.sampled_from([0, 2, 2, 3]))]
    options = draw(st.integers(1, 2))
    exams, starts, loads = [], [], []
    for number in range(size):
        position = chained.index(number) if number in chained else 0
        pools, maps = [], []
        for option in range(options if number in chained else draw(st.integers(1, 2))):
            least = draw(st.integers(2 * position, 3 * position))
            most = least + draw(st.integers(0, 3)) if position else 0
            pools.append(Pool(draw(st.sampled_from("ABC")), draw(st.integers(1, 3)), option, least, most))
            maps.append(sum(1 << tick for tick in draw(st.sets(st.integers(0, 25), max_size=5))))
        exams.append(Exam(tuple(pools), draw(st.sampled_from([0, 0, 3])), draw(st.sampled_from([99, 99, 20]))))
        starts.append(maps)
        loads.append([draw(st.lists(st.integers(0, 3), max_size=3)) for _ in pools])
    pairs = st.lists(st.permutations(range(size)).map(lambda order: (order[0], order[1])), max_size=2)
    far = {zone: draw(st.integers(0, 2)) for zone in "ABC"}
    problem = Problem(
        tuple(exams),
        {(one, two): far[one] + far[two] for one, two in itertools.permutations("ABC", 2)},
        tuple(draw(pairs)),
        tuple(Rest(one, two, draw(st.integers(1, 5))) for one, two in draw(pairs)),
        (Chain(tuple(chained), frozenset(inside(draw, chained, exams, options))),) if len(chained) > 1 else (),
    )
    day = Day(starts, lambda exam, pool: loads[exam][pool])
    count = 1
    for way in ways(problem, day):
        count *= len(way)
    assume(count <= WAYS)
    return problem, day


def inside(draw: st.DrawFn, chained: list[int], exams: list[Exam], options: int) -> Iterator[tuple[int, int, int]]:
    for option in range(options):
        for number, exam in enumerate(exams):
            for pool in range(len(exam.pools)):
                if number not in chained and draw(st.booleans()):
                    yield option, number, pool


goals = st.builds(Goal, st.sampled_from(["stay", "finish"]), st.sampled_from([0, 1, 3]))


@settings(max_examples=250, deadline=None)
@given(problems(), goals)
def test_no_plan_of_the_day_is_better_in_any_level_of_the_objective(asked: tuple[Problem, Day], goal: Goal) -> None:
    problem, day = asked
    found = search(problem, day, goal)
    assert (goal.rank(found.score) if found else None) == best_rank(problem, day, goal)
    if found is not None:
        assert found.proven
        assert faults(problem, day, found) == []


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
