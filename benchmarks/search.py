"""How long finding the earliest time takes: from 100,000 to 1,000,000 slots, at several shares of taken ones.

Exams of one slice must cost the same whatever the horizon and the fill; exams of 2, 3 and 6 slices look at whole
days. `front` fills the calendar from its beginning, `scattered` takes slots at random, which leaves few long gaps.

    python benchmarks/search.py [--quick] [--json] [--engine sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from statistics import median, quantiles
from typing import Any

from engines import database_url

from examlane import Need, Segment, Visit, VisitOption
from examlane.capacity.availability import SlotCalendar
from examlane.capacity.calendar import days_from
from examlane.capacity.slots import Audience
from examlane.hospital import Hospital
from examlane.storage.fields import epoch
from examlane.testing import MORNING, small_hospital

GROUPS = 60
ROOMS = 5
SLICE = 10
A_DAY = 72
INSERT = f"""INSERT INTO slot (resource_id, audience, day, start_at, end_at, capacity, extra, taken, closed, is_open)
WITH RECURSIVE slice (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM slice WHERE n < {A_DAY - 1}),
placed AS (SELECT r.id AS resource, ? AS day, ? + n * {SLICE * 60} AS starts, ? + (n + 1) * {SLICE * 60} AS ends,
CASE WHEN {{condition}} THEN 1 ELSE 0 END AS full_up
FROM slice CROSS JOIN resource r WHERE r.code LIKE 'ROOM-%' AND n + ? < ?)
SELECT resource, 'general', day, starts, ends, 1, 0, full_up, 0, 1 - full_up FROM placed"""
FRONT = "n + ? < ?"
SCATTERED = "(r.id * 131 + n + ?) * (r.id * 131 + n) % 10007 * 7919 % 1000 < ?"
FLAT = 2.0
"""The largest median of one-slice searches over the smallest, beyond which they do not count as flat."""


@dataclass(frozen=True)
class Case:
    slots: int
    pattern: str
    fill: float


@dataclass(frozen=True)
class Timing:
    """Searches of one length in one calendar, in microseconds; `found` is the share that had a time."""

    slots: int
    pattern: str
    fill: float
    slices: int
    p50: float
    p99: float
    found: float


def main() -> None:
    options = _options()
    found = {}
    for engine in options.engine or ("sqlite", "postgresql"):
        with database_url(engine) as url:
            found[engine] = list(_measure(url, options.quick))
        if not options.json:
            _print(engine, found[engine])
    if options.json:
        print(json.dumps({engine: [asdict(row) for row in rows] for engine, rows in found.items()}, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer calendars and searches")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--engine", action="append", choices=("sqlite", "postgresql"), help="default: both")
    return parser.parse_args()


def _cases(quick: bool) -> list[Case]:
    sizes = (100_000, 1_000_000) if quick else (100_000, 300_000, 1_000_000)
    fills = (0.0, 0.99) if quick else (0.0, 0.5, 0.9, 0.99)
    front = [Case(size, "front", fill) for size in sizes for fill in fills]
    return [*front, *(Case(sizes[0], "scattered", fill) for fill in (0.5, 0.9))]


def _measure(url: str, quick: bool) -> Iterator[Timing]:
    world = small_hospital(url, {}, _data(), days=0)
    for case in _cases(quick):
        _fill(world.hospital, case)
        for slices in (1, 2, 3, 6):
            yield _timing(world.hospital, case, slices, _searches(slices, quick))
    world.hospital.close()


def _searches(slices: int, quick: bool) -> int:
    return (100 if quick else 1000) if slices == 1 else (20 if quick else 50)


def _fill(hospital: Hospital, case: Case) -> None:
    """Replace all slots by those of a case: one bulk insert a day."""
    database, calendar = hospital.database, hospital.calendar
    database.rows("DELETE FROM slot" if database.is_sqlite else "TRUNCATE slot CASCADE")
    a_resource = case.slots // (GROUPS * ROOMS)
    condition, bound = (FRONT, case.fill * a_resource) if case.pattern == "front" else (SCATTERED, case.fill * 1000)
    statement = INSERT.format(condition=condition)
    for number, day in enumerate(days_from(calendar.day_of(MORNING), _days(case))):
        first = epoch(calendar.instant(day, 7 * 60))
        given = (number * A_DAY, int(bound), number * A_DAY, a_resource)
        database.write(partial(database.rows, statement, day.isoformat(), first, first, *given))
    database.rows("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE slot")


def _days(case: Case) -> int:
    return -(-case.slots // (GROUPS * ROOMS) // A_DAY)


def _timing(hospital: Hospital, case: Case, slices: int, searches: int) -> Timing:
    days = days_from(hospital.calendar.day_of(MORNING), _days(case))
    catalogue = hospital.catalogues.current()
    lower = MORNING - timedelta(hours=1)
    chance = random.Random(2)
    times, found = [], 0
    for number in range(searches + 5):
        visit = _visit(f"GROUP-{chance.randrange(GROUPS)}", slices)
        # A new calendar each time: a booking starts without a day in memory.
        calendar = SlotCalendar(hospital.database, catalogue, catalogue.calendar, [Audience("general")], days, lower)
        started = time.perf_counter()
        placement = calendar.earliest(visit, lower)
        if number >= 5:
            times.append((time.perf_counter() - started) * 1e6)
            found += placement is not None
    p99 = quantiles(times, n=100)[98]
    return Timing(case.slots, case.pattern, case.fill, slices, round(median(times)), round(p99), found / searches)


def _visit(group: str, slices: int) -> Visit:
    segment = Segment("exam", slices * SLICE, (Need("room", group),))
    return Visit("A/1", "US", ("A/1",), (VisitOption(group, "N", "N-1", (segment,)),))


def _print(engine: str, rows: Sequence[Timing]) -> None:
    print(f"\n{engine}: the earliest start of an exam, microseconds")
    print(f"{'slots':>9} {'filled':>15} {'slices':>7} {'p50':>9} {'p99':>9} {'found':>6}")
    for row in rows:
        print(
            f"{row.slots:9} {row.pattern:>9} {row.fill:4.0%} {row.slices:8} {row.p50:9.0f} {row.p99:9.0f} {row.found:6.0%}"
        )
    single = [row.p50 for row in rows if row.slices == 1]
    ratio = max(single) / min(single)
    print(f"one slice, slowest median to fastest: {ratio:.2f} ({'flat' if ratio <= FLAT else 'NOT flat'})")


def _data() -> dict[str, list[dict[str, Any]]]:
    return {
        "groups": [
            {
                "code": f"GROUP-{group}", "name": "超声室", "department": "US", "campus": "N", "zone": "N-1",
                "slice_minutes": SLICE,
            }
            for group in range(GROUPS)
        ],
        "resources": [
            {"code": f"ROOM-{group}-{room}", "name": f"{room}检查室", "group": f"GROUP-{group}"}
            for group in range(GROUPS)
            for room in range(ROOMS)
        ],
        "services": [],
        "rosters": [],
        "walking": [],
    }  # fmt: skip


if __name__ == "__main__":
    main()
