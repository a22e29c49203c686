"""The exact search of itineraries against OR-Tools CP-SAT: the same answers, and how long each takes.

Made-up patients with 2 to 8 exams (a glucose test counts as one, with three draws) on 28 days of calendars that are 50
to 98 per cent full. Both look at one day after the other; both answers are compared in all levels of the objective,
and checked by a verifier that shares no code with either. Times are CPU time of one thread, reading calendars excluded.

    python benchmarks/itinerary.py [--quick] [--instances N] [--seed N] [--tolerance MINUTES] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from statistics import median, quantiles

from instances import DAYS, FILLS, Instance, hospital, instances

from examlane.planning.exact.problem import Day, Goal, Plan, Problem
from examlane.planning.exact.search import DaySearch
from examlane.planning.exact.shape import Shape
from examlane.planning.exact.verifier import faults

INSTANCES, QUICK = 1050, 63
MIX = range(2, 7)
LEAST_RATIO, LEAST_RATIO_OF_A_SIZE, MOST_MILLISECONDS = 10.0, 6.0, 50.0
"""The goals, for up to six exams: median ratio over all, median ratio of each size, own p99."""
MISSING = "OR-Tools is not installed, so nothing is compared: pip install 'examlane[solver]'"
Found = tuple[int, Plan] | None


@dataclass(frozen=True)
class Run:
    """One instance solved twice, in CPU milliseconds; `wrong` says what is, empty when nothing."""

    exams: int
    own: float
    cpsat: float | None
    day: int | None
    wrong: str

    @property
    def ratio(self) -> float:
        return (self.cpsat or 0.0) / self.own


@dataclass(frozen=True)
class Row:
    """All instances of a size."""

    exams: str
    count: int
    own_p50: float
    own_p99: float
    cpsat_p50: float | None
    cpsat_p99: float | None
    ratio: float | None


def main() -> None:
    options = _options()
    compare = _cpsat() if find_spec("ortools") else None
    count = QUICK if options.quick else options.instances
    runs = []
    for instance in instances(count, options.seed, options.tolerance // 5):
        runs.append(_run(instance, compare))
        if not options.json and sys.stderr.isatty():
            print(f"\r{len(runs)} of {count}", end="", file=sys.stderr)
    sizes = sorted({run.exams for run in runs})
    rows = [_row(str(size), [run for run in runs if run.exams == size]) for size in sizes]
    mix = _row("2 to 6", [run for run in runs if run.exams in MIX])
    wrong = [run.wrong for run in runs if run.wrong]
    if options.json:
        told = {"rows": [asdict(row) for row in [*rows, mix]], "wrong": wrong, "compared": compare is not None}
        print(json.dumps(told, indent=2))
    else:
        _print(options.seed, rows, mix, runs, compare is not None)
    sys.exit(bool(wrong))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} instances")
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tolerance", type=int, default=15, help="minutes that load may cost, 15 as in a hospital")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _cpsat() -> Callable[[Problem, Day, Goal], Plan | None]:
    import cpsat

    return cpsat.plan


def _run(instance: Instance, compare: Callable[[Problem, Day, Goal], Plan | None] | None) -> Run:
    days = instance.days  # read before the clock runs
    own, milliseconds = _timed(lambda: _own(instance))
    wrong = _faults(instance, own)
    if compare is None:
        return Run(instance.exams, milliseconds, None, own and own[0], wrong)
    found, other = _timed(lambda: _first(days, lambda day: compare(instance.problem, day, instance.goal)))
    wrong = wrong or _faults(instance, found) or _difference(instance, own, found)
    return Run(instance.exams, milliseconds, other, own and own[0], wrong)


def _timed(work: Callable[[], Found]) -> tuple[Found, float]:
    begins = time.process_time()
    found = work()
    return found, (time.process_time() - begins) * 1000


def _own(instance: Instance) -> Found:
    shape = Shape(instance.problem)
    return _first(instance.days, lambda day: DaySearch(shape, day, lambda: False).plan(instance.goal))


def _first(days: Sequence[Day], plan: Callable[[Day], Plan | None]) -> Found:
    for number, day in enumerate(days):
        if (found := plan(day)) is not None:
            return number, found
    return None


def _faults(instance: Instance, found: Found) -> str:
    if found is None:
        return ""
    broken = faults(instance.problem, instance.days[found[0]], found[1])
    return f"instance {instance.number}: {'; '.join(broken)}" if broken else ""


def _difference(instance: Instance, own: Found, other: Found) -> str:
    pair = [each and (each[0], instance.goal.rank(each[1].score)) for each in (own, other)]
    return "" if pair[0] == pair[1] else f"instance {instance.number}: {pair[0]} here, {pair[1]} by CP-SAT"


def _row(exams: str, runs: Sequence[Run]) -> Row:
    own = [run.own for run in runs]
    others = [run.cpsat for run in runs if run.cpsat is not None]
    ratio = median(run.ratio for run in runs) if others else None
    other = (median(others), _p99(others)) if others else (None, None)
    return Row(exams, len(runs), median(own), _p99(own), *other, ratio)


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]


def _print(seed: int, rows: Sequence[Row], mix: Row, runs: Sequence[Run], is_compared: bool) -> None:
    resources = sum(place.resources for place in hospital(seed))
    print(f"\r{len(runs)} itineraries on {resources} resources and {DAYS} days, {FILLS[0]:.0%} to {FILLS[-1]:.0%} full")
    print(f"{'exams':>7}{'count':>7}{'own p50':>9}{'p99 ms':>9}{'CP-SAT p50':>12}{'p99 ms':>9}{'ratio':>8}")
    for row in [*rows, mix]:
        other = f"{row.cpsat_p50:12.1f}{row.cpsat_p99:9.1f}{row.ratio:8.1f}" if row.ratio is not None else ""
        print(f"{row.exams:>7}{row.count:>7}{row.own_p50:9.2f}{row.own_p99:9.2f}{other}")
    later = [run.day for run in runs if run.day is not None]
    print(f"without any day: {len(runs) - len(later)}; not on the first day: {sum(day > 0 for day in later)}")
    for run in runs:
        if run.wrong:
            print(f"WRONG {run.wrong}")
    if not is_compared:
        print(MISSING)
        return
    print(f"differences and broken rules: {sum(bool(run.wrong) for run in runs)}")
    small = [row for row in rows if int(row.exams) in MIX]
    ratio, least = mix.ratio or 0.0, min(row.ratio or 0.0 for row in small)
    slowest = max(row.own_p99 for row in small)
    print(f"{_met(ratio >= LEAST_RATIO)}: ratio over 2 to 6 exams {ratio:.1f}, at least {LEAST_RATIO:.0f}")
    print(f"{_met(least >= LEAST_RATIO_OF_A_SIZE)}: least of their ratios {least:.1f}, at least {LEAST_RATIO_OF_A_SIZE:.0f}")
    print(f"{_met(slowest < MOST_MILLISECONDS)}: own p99 up to 6 exams {slowest:.1f} ms, below {MOST_MILLISECONDS:.0f}")


def _met(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


if __name__ == "__main__":
    main()
