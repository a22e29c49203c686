"""Planning several visits on one day: compared with trying everything, and checked by rules written twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from examlane.domain import (
    BookingRequest,
    EncounterClass,
    EncounterView,
    Need,
    PatientView,
    Placement,
    Segment,
    Sex,
    Visit,
    VisitOption,
)
from examlane.planning.itinerary import Itinerary, Mode, plan, plan_day

MONDAY = date(2026, 11, 23)
TUESDAY = MONDAY + timedelta(days=1)
WEDNESDAY = MONDAY + timedelta(days=2)
Maps = dict[tuple[str, str, date], int]


class Wall:
    """A hospital's free starts, written down by hand: (visit, group, day) → bitmap."""

    def __init__(self, maps: Maps, days: Sequence[date] = (MONDAY, TUESDAY, WEDNESDAY)) -> None:
        self.maps = maps
        self._days = days

    def days(self) -> Sequence[date]:
        return self._days

    def instant(self, day: date, tick: int) -> datetime:
        return datetime.combine(day, time(), UTC) + timedelta(minutes=5 * tick)

    def starts(self, visit: Visit, option: VisitOption, day: date) -> int:
        return self.maps.get((visit.key, option.group, day), 0)

    def ends_at(self, visit: Visit, placement: Placement) -> datetime:
        option = next(option for option in visit.options if option.group == placement.group)
        return placement.starts_at + timedelta(minutes=option.segments[0].minutes)

    def earliest(self, visit: Visit, not_before: datetime) -> Placement | None:
        raise NotImplementedError


def visit(key: str, *places: tuple[str, str, int]) -> Visit:
    options = tuple(
        VisitOption(group, "N", zone, (Segment("exam", minutes, (Need("device", group),)),))
        for group, zone, minutes in places
    )
    return Visit(key, "US", (key,), options)


def request(*visits: Visit, walking: dict[tuple[str, str], int] | None = None) -> BookingRequest:
    return BookingRequest(
        patient=PatientView(1, Sex.FEMALE, date(1990, 1, 1)),
        encounter=EncounterView("E1", EncounterClass.OUTPATIENT),
        ordering_department="OB",
        visits=visits,
        fixed=(),
        not_before=datetime.combine(MONDAY, time(), UTC),
        horizon=WEDNESDAY,
        items={},
        walking=walking or {},
    )


def ticks(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


def never() -> bool:
    return False


def begins(found: Itinerary | None) -> dict[str, str]:
    assert found is not None
    return {placement.visit: placement.starts_at.strftime("%H:%M") for placement in found.placements}


def keeps_the_rules(
    asked: BookingRequest, wall: Wall, day: date, before: Sequence[tuple[str, str]], placed: Sequence[Placement]
) -> bool:
    """Every visit once, at a free start, nobody in two places, time to walk, and the order kept."""
    by_key = {one.key: one for one in asked.visits}
    if sorted(one.visit for one in placed) != sorted(by_key):
        return False
    rows = []
    for one in placed:
        option = {option.group: option for option in by_key[one.visit].options}[one.group]
        tick, rest = divmod(one.starts_at - wall.instant(day, 0), timedelta(minutes=5))
        if rest or f"{wall.maps.get((one.visit, one.group, day), 0):b}"[::-1][tick : tick + 1] != "1":
            return False
        rows.append((one.starts_at, wall.ends_at(by_key[one.visit], one), option.zone, one.visit))
    rows.sort()
    for (_, end, here, _), (start, _, there, _) in itertools.pairwise(rows):
        if end + timedelta(minutes=asked.walking.get((here, there), 0) if here != there else 0) > start:
            return False
    ends = {row[3]: row[1] for row in rows}
    start_of = {row[3]: row[0] for row in rows}
    return all(ends[first] <= start_of[second] for first, second in before)


def best_by_trying_everything(
    asked: BookingRequest, wall: Wall, day: date, before: Sequence[tuple[str, str]], mode: Mode
) -> tuple[timedelta, timedelta] | None:
    ways = [
        [
            Placement(one.key, option.group, wall.instant(day, tick))
            for option in one.options
            for tick in range(20)
            if wall.maps.get((one.key, option.group, day), 0) >> tick & 1
        ]
        for one in asked.visits
    ]
    costs = [
        cost(asked, wall, placed, mode)
        for placed in itertools.product(*ways)
        if keeps_the_rules(asked, wall, day, before, placed)
    ]
    return min(costs, default=None)


def cost(asked: BookingRequest, wall: Wall, placed: Sequence[Placement], mode: Mode) -> tuple[timedelta, timedelta]:
    by_key = {one.key: one for one in asked.visits}
    finish = max(wall.ends_at(by_key[one.visit], one) for one in placed)
    stay = finish - min(one.starts_at for one in placed)
    since = finish - wall.instant(MONDAY, 0)
    return (stay, since) if mode == "stay" else (since, stay)


@st.composite
def problems(draw: st.DrawFn) -> tuple[BookingRequest, Wall, list[tuple[str, str]]]:
    """One to four visits with one or two options, up to four free starts each, three zones."""
    maps: Maps = {}
    visits = []
    for number in range(draw(st.integers(1, 4))):
        key = f"V{number}"
        places = []
        for option in range(draw(st.integers(1, 2))):
            group = f"{key}-{option}"
            places.append((group, draw(st.sampled_from("ABC")), draw(st.sampled_from([5, 7, 10, 15, 25]))))
            maps[key, group, MONDAY] = ticks(*draw(st.sets(st.integers(0, 17), max_size=4)))
        visits.append(visit(key, *places))
    pairs = st.tuples(st.sampled_from(visits), st.sampled_from(visits))
    before = [(a.key, b.key) for a, b in draw(st.lists(pairs, max_size=2)) if a.key < b.key]
    walking = {
        (a, b): minutes
        for a, b in itertools.combinations("ABC", 2)
        for minutes in [draw(st.sampled_from([0, 3, 5, 10]))]
    }
    walking |= {(b, a): minutes for (a, b), minutes in walking.items()}
    return request(*visits, walking=walking), Wall(maps), before


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from(["stay", "finish"]))
def test_no_other_plan_of_the_day_is_better_than_the_one_found(
    problem: tuple[BookingRequest, Wall, list[tuple[str, str]]], mode: Mode
) -> None:
    asked, wall, before = problem
    found = plan_day(asked, wall, MONDAY, mode=mode, before=before, deadline=never)
    expected = best_by_trying_everything(asked, wall, MONDAY, before, mode)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.proven
        assert keeps_the_rules(asked, wall, MONDAY, before, found.placements)
        assert cost(asked, wall, found.placements, mode) == expected
        assert found.ends_at - found.starts_at == (expected[0] if mode == "stay" else expected[1])


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_eight_visits_are_planned_within_the_rules(data: st.DataObject) -> None:
    maps: Maps = {}
    visits = []
    for number in range(8):
        group = f"G{number}"
        visits.append(visit(f"V{number}", (group, data.draw(st.sampled_from("ABC")), 10)))
        maps[f"V{number}", group, MONDAY] = data.draw(st.integers(1, 2**40 - 1))
    walking = {(a, b): 5 for a in "ABC" for b in "ABC" if a != b}
    asked, before = request(*visits, walking=walking), [("V7", "V0"), ("V3", "V5")]
    found = plan_day(asked, Wall(maps), MONDAY, mode="finish", before=before, deadline=never)
    if found is not None:
        assert keeps_the_rules(asked, Wall(maps), MONDAY, before, found.placements)


def blood_then_scan(mode: Mode) -> Itinerary | None:
    asked = request(visit("blood", ("LAB", "A", 10)), visit("scan", ("US", "A", 15)))
    wall = Wall({("blood", "LAB", MONDAY): ticks(0, 6, 12), ("scan", "US", MONDAY): ticks(9, 14)})
    return plan(asked, wall, mode=mode, max_days=3, before=[("blood", "scan")], deadline=never)


def test_the_shortest_stay_comes_later_rather_than_waiting_in_the_hospital() -> None:
    assert begins(blood_then_scan("stay")) == {"blood": "01:00", "scan": "01:10"}


def test_the_earliest_finish_takes_the_shortest_stay_that_ends_then() -> None:
    assert begins(blood_then_scan("finish")) == {"blood": "00:30", "scan": "00:45"}


def test_walking_between_buildings_takes_its_time() -> None:
    asked = request(visit("a", ("LAB", "A", 10)), visit("b", ("US", "B", 10)), walking={("A", "B"): 12, ("B", "A"): 12})
    wall = Wall({("a", "LAB", MONDAY): ticks(0), ("b", "US", MONDAY): ticks(2, 4, 5)})
    assert begins(plan(asked, wall, mode="stay", max_days=1, deadline=never))["b"] == "00:25"


def test_a_full_first_day_moves_the_whole_plan_to_the_next() -> None:
    asked = request(visit("a", ("LAB", "A", 10)), visit("b", ("US", "A", 10)))
    wall = Wall(
        {
            ("a", "LAB", MONDAY): ticks(0), ("b", "US", MONDAY): ticks(1),
            ("a", "LAB", TUESDAY): ticks(3), ("b", "US", TUESDAY): ticks(1),
        }
    )  # fmt: skip
    found = plan(asked, wall, mode="stay", max_days=3, deadline=never)
    assert found is not None
    assert found.starts_at.date() == TUESDAY
    assert plan(asked, wall, mode="stay", max_days=1, deadline=never) is None


def test_contradicting_orders_have_no_plan() -> None:
    asked = request(visit("a", ("LAB", "A", 5)), visit("b", ("US", "A", 5)))
    wall = Wall({("a", "LAB", MONDAY): ticks(0, 9), ("b", "US", MONDAY): ticks(5)})
    assert plan(asked, wall, mode="stay", max_days=1, before=[("a", "b"), ("b", "a")], deadline=never) is None


def test_a_pair_about_a_visit_that_is_not_planned_does_not_count() -> None:
    asked = request(visit("a", ("LAB", "A", 5)))
    wall = Wall({("a", "LAB", MONDAY): ticks(3)})
    assert begins(plan(asked, wall, mode="stay", max_days=1, before=[("x", "a")], deadline=never)) == {"a": "00:15"}


def test_nothing_to_plan_is_no_plan() -> None:
    assert plan(request(), Wall({}), mode="stay", max_days=3, deadline=never) is None


def cut_off_after(steps: int) -> Itinerary | None:
    visits = [visit(f"V{number}", (f"G{number}", "A", 10)) for number in range(3)]
    wall = Wall({(one.key, one.options[0].group, MONDAY): 0b101001001001001 for one in visits})
    answers = itertools.chain(itertools.repeat(False, steps), itertools.repeat(True))
    return plan(request(*visits), wall, mode="stay", max_days=1, deadline=lambda: next(answers))


def test_a_deadline_before_the_first_plan_leaves_none() -> None:
    assert cut_off_after(0) is None


def test_a_plan_cut_off_by_the_deadline_does_not_claim_to_be_the_best() -> None:
    found = cut_off_after(3)
    assert found is not None
    assert not found.proven
    assert len(found.placements) == 3
