"""Checks a plan against the problem by the rules as they are written down, sharing nothing with the search."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from examlane.planning.exact.problem import HOUR, Day, Plan, Problem, Score


def faults(problem: Problem, day: Day, plan: Plan) -> list[str]:
    """Everything that is wrong with a plan, in words; empty when it keeps every rule and costs what it says."""
    if sorted(step.exam for step in plan.steps) != list(range(len(problem.exams))):
        return ["not every exam exactly once"]
    found = [*_starts(problem, day, plan), *_path(problem, plan), *_rests(problem, plan), *_chains(problem, plan)]
    if cost(problem, day, plan) != plan.score:
        found.append("the score is not what the plan costs")
    return found


def _starts(problem: Problem, day: Day, plan: Plan) -> Iterator[str]:
    for exam, pool, tick in plan.steps:
        if tick < 0 or f"{day.starts[exam][pool]:b}"[::-1][tick : tick + 1] != "1":
            yield f"exam {exam} cannot start at {tick}"
        if not problem.exams[exam].opens <= tick <= problem.exams[exam].closes:
            yield f"exam {exam} starts outside its window"


def _path(problem: Problem, plan: Plan) -> Iterator[str]:
    for one, two in pairwise(plan.steps):
        here, there = problem.exams[one.exam].pools[one.pool], problem.exams[two.exam].pools[two.pool]
        if two.tick < one.tick + here.ticks + problem.walk(here.zone, there.zone):
            yield f"no time to get from exam {one.exam} to exam {two.exam}"
    spans = _spans(problem, plan)
    for first, second in problem.before:
        if spans[first][1] > spans[second][0]:
            yield f"exam {first} must end before exam {second}"


def _rests(problem: Problem, plan: Plan) -> Iterator[str]:
    spans = _spans(problem, plan)
    for rest in problem.rests:
        first, second = spans[rest.first], spans[rest.second]
        if second[0] >= first[1] and second[0] - first[1] < rest.ticks:
            yield f"exam {rest.second} too soon after exam {rest.first}"


def _chains(problem: Problem, plan: Plan) -> Iterator[str]:
    at = {step.exam: step for step in plan.steps}
    spans = _spans(problem, plan)
    for chain in problem.chains:
        begins, ends = spans[chain.exams[0]][0], spans[chain.exams[-1]][0]
        pools = [problem.exams[exam].pools[at[exam].pool] for exam in chain.exams]
        for exam, pool in zip(chain.exams[1:], pools[1:], strict=True):
            if not begins + pool.least <= spans[exam][0] <= begins + pool.most:
                yield f"exam {exam} is out of its chain's lags"
        if len({pool.option for pool in pools}) > 1 or any(
            spans[one][1] > spans[two][0] for one, two in pairwise(chain.exams)
        ):
            yield f"the chain of exam {chain.exams[0]} is torn"
        for step in plan.steps:
            between = begins <= step.tick <= ends and step.exam not in chain.exams
            if between and (pools[0].option, step.exam, step.pool) not in chain.inside:
                yield f"exam {step.exam} must not lie inside the chain of exam {chain.exams[0]}"


def cost(problem: Problem, day: Day, plan: Plan) -> Score:
    """What the steps of a plan cost."""
    spans = _spans(problem, plan)
    begins, ends = min(start for start, _ in spans.values()), max(end for _, end in spans.values())
    zones = [problem.exams[step.exam].pools[step.pool].zone for step in plan.steps]
    loads = 0
    for exam, pool, tick in plan.steps:
        hours = dict(enumerate(day.load(exam, pool)))
        loads += hours.get(tick // HOUR, 0)
    return Score(ends, ends - begins, loads, sum(here != there for here, there in pairwise(zones)))


def _spans(problem: Problem, plan: Plan) -> dict[int, tuple[int, int]]:
    return {step.exam: (step.tick, step.tick + problem.exams[step.exam].pools[step.pool].ticks) for step in plan.steps}
