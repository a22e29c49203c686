"""The same problem for OR-Tools CP-SAT, formulated on its own: the oracle and the yardstick of the exact search.

A day is two models: the smallest pair of wanted and second value, then load and changes of zone within the tolerance.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from ortools.sat.python import cp_model

from examlane.planning.exact.problem import HOUR, Day, Goal, Plan, Problem, Score, Step

BIG = 1 << 12


def plan(problem: Problem, day: Day, goal: Goal) -> Plan | None:
    """The best plan of a day, proven, or None."""
    first = Model(problem, day)
    found = first.solve(first.pair(goal)) if first.is_possible else None
    if found is None:
        return None
    wanted, second = goal.pair(found.score.finish, found.score.stay)
    model = Model(problem, day)
    one, two = goal.pair(model.finish, model.stay)
    model.model.add(one <= wanted + goal.tolerance)
    model.model.add(two <= second + goal.tolerance)
    model.add_route()
    return model.solve((model.load * (len(problem.exams) + 1) + model.moves) * BIG * BIG + model.pair(goal))


class Model:
    """Starts with one literal a pool and hour, the order of each pair, and the patient's route."""

    def __init__(self, problem: Problem, day: Day) -> None:
        self.model = cp_model.CpModel()
        self.problem = problem
        self.day = day
        self.starts: list[Any] = []
        self.at: list[list[Any]] = []
        self.lengths: list[Any] = []
        self.load: Any = 0
        self.moves: Any = 0
        self.is_possible = True
        for exam in range(len(problem.exams)):
            self._add_exam(exam)
        if self.is_possible:
            self._add_order()
            self._add_chains()
            self._add_span()

    def pair(self, goal: Goal) -> Any:
        wanted, second = goal.pair(self.finish, self.stay)
        return wanted * BIG + second

    def _add_exam(self, exam: int) -> None:
        model, facts = self.model, self.problem.exams[exam]
        literals, at, length, everywhere = [], [], 0, set()
        for number, pool in enumerate(facts.pools):
            here = []
            loads = self.day.load(exam, number)
            for hour, ticks in _by_hour(self.day.starts[exam][number], facts.opens, facts.closes).items():
                literal = model.new_bool_var("")
                here.append((literal, ticks))
                literals.append(literal)
                everywhere |= set(ticks)
                self.load += literal * (loads[hour] if hour < len(loads) else 0)
            held = model.new_bool_var("")
            model.add(sum(literal for literal, _ in here) == held)
            at.append((held, here))
            length += held * pool.ticks
        if not literals:
            self.is_possible = False
            return
        start = model.new_int_var_from_domain(cp_model.Domain.from_values(sorted(everywhere)), "")
        model.add_exactly_one(literals)
        for _, here in at:
            for literal, ticks in here:
                domain = cp_model.Domain.from_values(ticks)
                model.add_linear_expression_in_domain(start, domain).only_enforce_if(literal)
        self.starts.append(start)
        self.at.append([held for held, _ in at])
        self.lengths.append(length)

    def _add_order(self) -> None:
        """Walking between any two exams is enough where walking is a metric."""
        model = self.model
        self.earlier = {}
        for one, two in combinations(range(len(self.starts)), 2):
            literal = model.new_bool_var("")
            self.earlier[one, two], self.earlier[two, one] = literal, ~literal
        for (one, two), literal in self.earlier.items():
            model.add(self.starts[two] >= self.starts[one] + self.lengths[one]).only_enforce_if(literal)
            for here, first in enumerate(self.problem.exams[one].pools):
                for there, second in enumerate(self.problem.exams[two].pools):
                    if walk := self.problem.walk(first.zone, second.zone):
                        both = [literal, self.at[one][here], self.at[two][there]]
                        model.add(self.starts[two] >= self.starts[one] + first.ticks + walk).only_enforce_if(both)
        for one, two in self.problem.before:
            model.add(self.earlier[one, two] == 1)
        for rest in self.problem.rests:
            gap = self.starts[rest.first] + self.lengths[rest.first] + rest.ticks
            model.add(self.starts[rest.second] >= gap).only_enforce_if(self.earlier[rest.first, rest.second])

    def _add_chains(self) -> None:
        model = self.model
        for chain in self.problem.chains:
            first, last = chain.exams[0], chain.exams[-1]
            for one, two in combinations(chain.exams, 2):
                model.add(self.earlier[one, two] == 1)
            for exam in chain.exams[1:]:
                for number, pool in enumerate(self.problem.exams[exam].pools):
                    here = self.at[exam][number]
                    model.add(self.starts[exam] >= self.starts[first] + pool.least).only_enforce_if(here)
                    model.add(self.starts[exam] <= self.starts[first] + pool.most).only_enforce_if(here)
                    for other, pool_of_first in enumerate(self.problem.exams[first].pools):
                        if pool.option != pool_of_first.option:
                            model.add_bool_or(~here, ~self.at[first][other])
            for exam in range(len(self.starts)):
                if exam in chain.exams:
                    continue
                outside = [self.earlier[exam, first], self.earlier[last, exam]]
                for option, pool_of_first in enumerate(self.problem.exams[first].pools):
                    for number in range(len(self.at[exam])):
                        if (pool_of_first.option, exam, number) not in chain.inside:
                            model.add_bool_or(*outside, ~self.at[first][option], ~self.at[exam][number])

    def _add_span(self) -> None:
        horizon = max(max(pool.bit_length() for pool in maps) for maps in self.day.starts) + 100
        self.finish = self.model.new_int_var(0, horizon, "")
        begin = self.model.new_int_var(0, horizon, "")
        for start, length in zip(self.starts, self.lengths, strict=True):
            self.model.add(self.finish >= start + length)
            self.model.add(begin <= start)
        self.stay = self.finish - begin

    def add_route(self) -> None:
        """Who follows whom directly, so that changes of zone can be counted."""
        model, size = self.model, len(self.starts)
        if size == 1:
            return
        arcs = []
        for exam in range(size):
            arcs += [(0, exam + 1, model.new_bool_var("")), (exam + 1, 0, model.new_bool_var(""))]
        for one, two in self.earlier:
            arc = model.new_bool_var("")
            arcs.append((one + 1, two + 1, arc))
            model.add_implication(arc, self.earlier[one, two])
            move = model.new_bool_var("")
            self.moves += move
            for here, first in enumerate(self.problem.exams[one].pools):
                for there, second in enumerate(self.problem.exams[two].pools):
                    if first.zone != second.zone:
                        model.add_bool_or(~arc, ~self.at[one][here], ~self.at[two][there], move)
        model.add_circuit(arcs)

    def solve(self, objective: Any) -> Plan | None:
        self.model.minimize(objective)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.max_presolve_iterations = 1
        solver.parameters.cp_model_probing_level = 0
        if solver.solve(self.model) != cp_model.OPTIMAL:
            return None
        steps = [
            Step(exam, next(number for number, held in enumerate(at) if solver.boolean_value(held)), solver.value(start))
            for exam, (start, at) in enumerate(zip(self.starts, self.at, strict=True))
        ]
        steps.sort(key=lambda step: step.tick)
        finish, stay = solver.value(self.finish), solver.value(self.stay)
        load, moves = (int(solver.value(each)) if not isinstance(each, int) else each for each in (self.load, self.moves))
        return Plan(tuple(steps), Score(finish, stay, load, moves), True)


def _by_hour(starts: int, opens: int, closes: int) -> dict[int, list[int]]:
    hours: dict[int, list[int]] = {}
    for tick in range(starts.bit_length()):
        if starts >> tick & 1 and opens <= tick <= closes:
            hours.setdefault(tick // HOUR, []).append(tick)
    return hours
