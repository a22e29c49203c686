"""Planning the visits of a request on one day or two: compared with trying everything, checked by rules written twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane.domain import (
    EncounterClass,
    EncounterView,
    ExamItem,
    IntervalRule,
    OrderItemView,
    PatientView,
    Relation,
    Selector,
    Sex,
    Text,
)
from examlane.planning.exact.problem import Mode
from examlane.planning.itinerary import Itinerary, ItineraryRules, each_alone, plan, plan_two_days
from examlane.visit import BookingRequest, Need, Placement, Segment, Visit, VisitOption

MONDAY = date(2026, 11, 23)
TUESDAY = MONDAY + timedelta(days=1)
WEDNESDAY = MONDAY + timedelta(days=2)
WORDS = Text("规则", "a rule")
Maps = dict[tuple[str, str, date], int]


class Wall:
    """A hospital's free starts, written down by hand: (visit, group, day) → bitmap, for all segments the same."""

    def __init__(
        self,
        maps: Maps,
        days: Sequence[date] = (MONDAY, TUESDAY, WEDNESDAY),
        loads: dict[str, Sequence[int]] | None = None,
    ) -> None:
        self.maps = maps
        self._days = days
        self._loads = loads or {}

    def days(self) -> Sequence[date]:
        return self._days

    def instant(self, day: date, tick: int) -> datetime:
        return datetime.combine(day, time(), UTC) + timedelta(minutes=5 * tick)

    def starts(self, visit: Visit, option: VisitOption, day: date) -> int:
        return self.maps.get((visit.key, option.group, day), 0)

    def segment_starts(self, visit: Visit, option: VisitOption, position: int, day: date) -> int:
        return self.starts(visit, option, day)

    def load(self, group: str, day: date) -> Sequence[int]:
        return self._loads.get(group, ())

    def ends_at(self, visit: Visit, placement: Placement) -> datetime:
        option = next(option for option in visit.options if option.group == placement.group)
        last = placement.segments[-1] if placement.segments else placement.starts_at
        return last + timedelta(minutes=option.segments[-1].minutes)

    def earliest(self, visit: Visit, not_before: datetime) -> Placement | None:
        for day in self._days:
            for option in visit.options:
                if bits := self.starts(visit, option, day):
                    return Placement(visit.key, option.group, self.instant(day, (bits & -bits).bit_length() - 1))
        return None


def visit(key: str, *places: tuple[str, str, int]) -> Visit:
    options = tuple(
        VisitOption(group, "N", zone, (Segment("exam", minutes, (Need("device", group),)),))
        for group, zone, minutes in places
    )
    return Visit(key, "US", (key,), options)


def glucose(*groups: str) -> Visit:
    """Three draws of 5 minutes at 0, 55-65 and 115-125 minutes in one place of zone A; between them he is free."""
    options = []
    for group in groups:
        lags = ((0, 0), (55, 65), (115, 125))
        draws = tuple(Segment("draw", 5, (Need("nurse", group),), least, most) for least, most in lags)
        options.append(VisitOption(group, "N", "A", draws))
    return Visit("glucose", "LAB", ("glucose",), tuple(options), gaps=True)


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
            places.append((group, draw(st.sampled_from("ABC")), draw(st.sampled_from([5, 10, 15, 25]))))
            maps[key, group, MONDAY] = ticks(*draw(st.sets(st.integers(0, 17), max_size=4)))
        visits.append(visit(key, *places))
    pairs = st.tuples(st.sampled_from(visits), st.sampled_from(visits))
    before = [(a.key, b.key) for a, b in draw(st.lists(pairs, max_size=2)) if a.key < b.key]
    far = {zone: draw(st.sampled_from([0, 5, 10])) for zone in "ABC"}
    walking = {(a, b): far[a] + far[b] for a, b in itertools.permutations("ABC", 2)}
    return request(*visits, walking=walking), Wall(maps), before


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from(["stay", "finish"]))
def test_no_other_plan_of_the_day_is_better_than_the_one_found(
    problem: tuple[BookingRequest, Wall, list[tuple[str, str]]], mode: Mode
) -> None:
    asked, wall, before = problem
    rules = ItineraryRules(before=before)
    found = plan(asked, wall, mode=mode, max_days=1, rules=rules, tolerance=0, deadline=never)
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
    rules = ItineraryRules(before=before)
    found = plan(asked, Wall(maps), mode="finish", max_days=1, rules=rules, deadline=never)
    if found is not None:
        assert keeps_the_rules(asked, Wall(maps), MONDAY, before, found.placements)


def blood_then_scan(mode: Mode) -> Itinerary | None:
    asked = request(visit("blood", ("LAB", "A", 10)), visit("scan", ("US", "A", 15)))
    wall = Wall({("blood", "LAB", MONDAY): ticks(0, 6, 12), ("scan", "US", MONDAY): ticks(9, 14)})
    rules = ItineraryRules(before=[("blood", "scan")])
    return plan(asked, wall, mode=mode, max_days=3, rules=rules, deadline=never)


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
    rules = ItineraryRules(before=[("a", "b"), ("b", "a")])
    assert plan(asked, wall, mode="stay", max_days=1, rules=rules, deadline=never) is None


def test_a_pair_about_a_visit_that_is_not_planned_does_not_count() -> None:
    asked = request(visit("a", ("LAB", "A", 5)))
    wall = Wall({("a", "LAB", MONDAY): ticks(3)})
    rules = ItineraryRules(before=[("x", "a")], rests=[("x", "a", 60)], within=[("x", "a")])
    assert begins(plan(asked, wall, mode="stay", max_days=1, rules=rules, deadline=never)) == {"a": "00:15"}


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
    found = cut_off_after(2)
    assert found is not None
    assert not found.proven
    assert len(found.placements) == 3


def test_a_plan_within_the_tolerance_avoids_the_busy_hour() -> None:
    wall = Wall({("a", "LAB", MONDAY): ticks(10, 12, 25)}, loads={"LAB": [90, 40, 10]})
    asked = request(visit("a", ("LAB", "A", 5)))
    assert begins(plan(asked, wall, mode="finish", max_days=1, deadline=never)) == {"a": "01:00"}
    assert begins(plan(asked, wall, mode="finish", max_days=1, tolerance=0, deadline=never)) == {"a": "00:50"}
    assert begins(plan(asked, wall, mode="finish", max_days=1, tolerance=75, deadline=never)) == {"a": "02:05"}


def test_among_equal_plans_the_patient_walks_least() -> None:
    asked = request(visit("a", ("A1", "A", 5)), visit("b", ("B1", "B", 5)), visit("c", ("A2", "A", 5)))
    wall = Wall({(key, group, MONDAY): 0b111 for key, group in (("a", "A1"), ("b", "B1"), ("c", "A2"))})
    found = plan(asked, wall, mode="stay", max_days=1, deadline=never)
    assert found is not None
    assert [one.visit for one in found.placements] in (["a", "c", "b"], ["b", "a", "c"], ["c", "a", "b"], ["b", "c", "a"])


@settings(max_examples=20, deadline=None)
@given(problems())
def test_the_same_question_has_the_same_answer(problem: tuple[BookingRequest, Wall, list[tuple[str, str]]]) -> None:
    asked, wall, before = problem
    rules = ItineraryRules(before=before)
    first, second = (plan(asked, wall, mode="stay", max_days=1, rules=rules, deadline=never) for _ in range(2))
    assert first == second


def test_a_rest_holds_only_in_its_direction() -> None:
    asked = request(visit("drink", ("D", "A", 5)), visit("scan", ("US", "A", 5)))
    wall = Wall({("drink", "D", MONDAY): ticks(2), ("scan", "US", MONDAY): ticks(0, 3, 11, 12)})
    rules = ItineraryRules(before=[("drink", "scan")], rests=[("drink", "scan", 45)])
    assert begins(plan(asked, wall, mode="finish", max_days=1, rules=rules, deadline=never))["scan"] == "01:00"
    only_after = ItineraryRules(rests=[("drink", "scan", 45)])
    assert begins(plan(asked, wall, mode="finish", max_days=1, rules=only_after, deadline=never))["scan"] == "00:00"


# Free gaps


def glucose_and_strip(within_walk: int, strip_zone: str = "B", *, allowed: bool = True) -> dict[str, str]:
    asked = request(glucose("LAB"), visit("strip", ("NST", strip_zone, 20)), walking={("A", "B"): 5, ("B", "A"): 5})
    wall = Wall({("glucose", "LAB", MONDAY): ticks(*range(40)), ("strip", "NST", MONDAY): ticks(*range(60))})
    rules = ItineraryRules(within=[("strip", "glucose")] if allowed else [], within_walk=within_walk)
    found = plan(asked, wall, mode="stay", max_days=1, rules=rules, deadline=never)
    assert found is not None
    assert found.starts_at + found.stays[0] == found.ends_at
    times = begins(found)
    draws = next(one.segments for one in found.placements if one.visit == "glucose")
    return {**times, "draws": " ".join(draw.strftime("%H:%M") for draw in draws)}


def test_a_permitted_exam_next_door_lies_between_the_draws() -> None:
    times = glucose_and_strip(within_walk=5)
    first, second, third = times["draws"].split()
    assert first < times["strip"] < third
    assert second != times["strip"]


def test_an_exam_that_is_not_permitted_or_too_far_stays_out_of_the_gaps() -> None:
    for times in (glucose_and_strip(within_walk=4), glucose_and_strip(within_walk=5, allowed=False)):
        first, _, third = times["draws"].split()
        assert not first <= times["strip"] <= third


def test_all_draws_are_at_one_place() -> None:
    wall = Wall({("glucose", "LAB1", MONDAY): ticks(0, 12), ("glucose", "LAB2", MONDAY): ticks(2, 13, 25)})
    found = plan(request(glucose("LAB1", "LAB2")), wall, mode="finish", max_days=1, deadline=never)
    assert found is not None
    assert found.placements[0].group == "LAB2"
    assert [f"{draw:%H:%M}" for draw in found.placements[0].segments] == ["00:10", "01:05", "02:05"]


def test_more_exams_than_can_be_searched_are_refused() -> None:
    visits = [visit(f"V{number}", (f"G{number}", "A", 5)) for number in range(13)]
    wall = Wall({(one.key, one.options[0].group, MONDAY): 1 for one in visits})
    with pytest.raises(ValueError, match="at most 12"):
        plan(request(*visits), wall, mode="stay", max_days=1, deadline=never)


# The request's intervals


def with_intervals(*rules: IntervalRule, visits: Sequence[Visit] = ()) -> BookingRequest:
    """A request whose items are named like their visits."""
    asked = request(*(visits or (visit("blood", ("LAB", "A", 10)), visit("scan", ("US", "A", 10)))))
    items = {one.key: OrderItemView(one.key, ExamItem(one.key, WORDS, "", "", one.department)) for one in asked.visits}
    return replace(asked, items=items, intervals=rules)


def interval(relation: Relation, **distances: timedelta) -> IntervalRule:
    return IntervalRule("x", "1", Selector("blood"), Selector("scan"), relation, WORDS, **distances)


ALL_MORNING = {("blood", "LAB", day): ticks(*range(30)) for day in (MONDAY, TUESDAY, WEDNESDAY)} | {
    ("scan", "US", day): ticks(*range(30)) for day in (MONDAY, TUESDAY, WEDNESDAY)
}


def test_an_order_that_a_department_wants_is_kept_without_being_asked_for() -> None:
    asked = with_intervals(interval(Relation.BEFORE))
    found = plan(asked, Wall(ALL_MORNING), mode="stay", max_days=1, deadline=never)
    assert begins(found) == {"blood": "00:00", "scan": "00:10"}
    turned = replace(asked, visits=asked.visits[::-1])
    assert begins(plan(turned, Wall(ALL_MORNING), mode="stay", max_days=1, deadline=never))["blood"] == "00:00"


def test_a_distance_that_a_department_wants_is_kept_in_both_directions() -> None:
    apart = interval(Relation.EXCLUDE, after=timedelta(minutes=60), before=timedelta(minutes=31))
    found = plan(with_intervals(apart), Wall(ALL_MORNING), mode="stay", max_days=1, deadline=never)
    assert begins(found) == {"scan": "00:00", "blood": "00:45"}


def test_exams_that_must_be_days_apart_are_put_on_two_days() -> None:
    asked = with_intervals(interval(Relation.EXCLUDE, after=timedelta(hours=36), before=timedelta(hours=90)))
    wall = Wall(ALL_MORNING)
    assert plan(asked, wall, mode="stay", max_days=3, deadline=never) is None
    found = plan_two_days(asked, wall, mode="stay", max_days=3, deadline=never)
    assert found is not None
    assert [one.visit for one in found.placements] == ["blood", "scan"]
    assert found.days == (MONDAY, WEDNESDAY)
    assert found.placements[1].starts_at - found.placements[0].starts_at >= timedelta(hours=36)


def test_an_exam_that_must_keep_a_distance_lies_in_nobodys_gap() -> None:
    test, strip = replace(glucose("LAB"), key="blood", items=("blood",)), visit("scan", ("NST", "A", 20))
    wall = Wall({("blood", "LAB", MONDAY): ticks(*range(40)), ("scan", "NST", MONDAY): ticks(*range(60))})
    rules = ItineraryRules(within=[("scan", "blood")])
    free = with_intervals(visits=[test, strip])
    apart = with_intervals(interval(Relation.EXCLUDE), visits=[test, strip])
    stays = []
    for asked in (free, apart):
        found = plan(asked, wall, mode="stay", max_days=1, rules=rules, deadline=never)
        assert found is not None
        stays.append(found.stays[0] // timedelta(minutes=1))
    assert stays == [120, 140]


# Two days


def test_two_days_end_as_early_as_possible_with_most_on_the_first() -> None:
    asked = request(*(visit(key, (key.upper(), "A", 10)) for key in "abc"))
    wall = Wall(
        {
            ("a", "A", MONDAY): ticks(0), ("b", "B", MONDAY): ticks(2), ("c", "C", MONDAY): ticks(1),
            ("a", "A", WEDNESDAY): ticks(0), ("b", "B", WEDNESDAY): ticks(2), ("c", "C", TUESDAY): ticks(7),
        }
    )  # fmt: skip
    found = plan_two_days(asked, wall, mode="stay", max_days=3, deadline=never)
    assert begins(found) == {"a": "00:00", "b": "00:10", "c": "00:35"}
    assert found is not None
    assert (found.days, found.proven) == ((MONDAY, TUESDAY), True)
    assert found.stays == (timedelta(minutes=20), timedelta(minutes=10))
    assert plan_two_days(asked, wall, mode="stay", max_days=1, deadline=never) is None


def can_be_on(asked: BookingRequest, wall: Wall, day: date, keys: frozenset[str]) -> bool:
    some = request(*(one for one in asked.visits if one.key in keys), walking=dict(asked.walking))
    return best_by_trying_everything(some, wall, day, [], "stay") is not None


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_other_two_days_are_better(data: st.DataObject) -> None:
    days = (MONDAY, TUESDAY, WEDNESDAY)
    visits = [visit(key, (key, data.draw(st.sampled_from("AB")), 10)) for key in "PQR"]
    maps = {(key, key, day): ticks(*data.draw(st.sets(st.integers(0, 8), max_size=2))) for key in "PQR" for day in days}
    asked, wall = request(*visits, walking={("A", "B"): 5, ("B", "A"): 5}), Wall(maps)
    expected = [
        (last, -len(sooner), first)
        for first, last in itertools.combinations(days, 2)
        for size in (1, 2)
        for sooner in map(frozenset, itertools.combinations("PQR", size))
        if can_be_on(asked, wall, first, sooner) and can_be_on(asked, wall, last, frozenset("PQR") - sooner)
    ]
    found = plan_two_days(asked, wall, mode="stay", max_days=3, deadline=never)
    assert (found is None) == (not expected)
    if found is not None:
        first, last = found.days
        on_first = [one for one in found.placements if one.starts_at.date() == first]
        assert (last, -len(on_first), first) == min(expected)
        assert found.proven


def test_two_days_that_are_not_found_in_time_are_none() -> None:
    asked = request(visit("a", ("LAB", "A", 10)), visit("b", ("US", "A", 10)))
    wall = Wall({("a", "LAB", MONDAY): ticks(0), ("b", "US", TUESDAY): ticks(1)})
    assert plan_two_days(asked, wall, mode="stay", max_days=3, deadline=lambda: True) is None


def test_each_alone_ends_when_the_last_exam_by_itself_would() -> None:
    asked = request(visit("a", ("LAB", "A", 10)), visit("b", ("US", "A", 10)))
    wall = Wall({("a", "LAB", MONDAY): ticks(0, 4), ("b", "US", MONDAY): ticks(0), ("b", "US", TUESDAY): ticks(3)})
    alone = each_alone(asked, wall)
    assert alone is not None
    assert (alone.days, f"{alone.ends_at:%a %H:%M}") == ((MONDAY,), "Mon 00:10")
    assert each_alone(request(visit("x", ("X", "A", 5))), wall) is None


def test_a_day_whose_shortest_plan_is_too_long_is_passed_over() -> None:
    asked = request(visit("a", ("LAB", "A", 10)), visit("b", ("US", "A", 10)))
    starts = {MONDAY: (0, 9), TUESDAY: (0, 8)}
    wall = Wall({(key, group, day): ticks(starts[day][n]) for n, (key, group) in enumerate((("a", "LAB"), ("b", "US")))
                 for day in starts})  # fmt: skip
    for longest, expected in ((55, MONDAY), (54, TUESDAY), (50, TUESDAY), (49, None)):
        found = plan(asked, wall, mode="stay", max_days=3, deadline=never, longest=longest)
        assert (found.days[0] if found else None) == expected


def test_a_tolerance_does_not_make_a_plan_too_long() -> None:
    asked = request(visit("a", ("LAB", "A", 10)), visit("b", ("US", "A", 10)))
    busy = Wall({("a", "LAB", MONDAY): ticks(0), ("b", "US", MONDAY): ticks(11, 13)}, loads={"US": (90, 0)})
    relaxed = plan(asked, busy, mode="stay", max_days=1, deadline=never, tolerance=15)
    strict = plan(asked, busy, mode="stay", max_days=1, deadline=never, tolerance=15, longest=65)
    assert relaxed is not None
    assert strict is not None
    assert (relaxed.stays[0], strict.stays[0]) == (timedelta(minutes=75), timedelta(minutes=65))


def test_two_days_that_are_too_long_give_way_to_others() -> None:
    asked = request(*(visit(key, (key, "A", 10)) for key in "abc"))
    wall = Wall({("a", "a", MONDAY): ticks(0), ("b", "b", MONDAY): ticks(20), ("b", "b", TUESDAY): ticks(4),
                 ("c", "c", TUESDAY): ticks(0), ("c", "c", WEDNESDAY): ticks(0)})  # fmt: skip
    found = plan_two_days(asked, wall, mode="stay", max_days=3, deadline=never, longest=60)
    assert found is not None
    assert begins(found) == {"a": "00:00", "b": "00:20", "c": "00:00"}
