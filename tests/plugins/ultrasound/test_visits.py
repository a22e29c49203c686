"""Ultrasound: what becomes one visit, in which order and sittings, and who examines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examlane import Segment, Visit
from examlane_ultrasound import sittings

ABDOMEN = {"merge": True, "fasting_hours": 8}
PART = {"merge": True}
BLADDER = {"merge": True, "full_bladder": True}
VOIDED = {"merge": True, "empty_bladder": True}
CONTRACTION = {"merge": True, "fasting_hours": 8, "after_meal": True}
MEAL = {"merge": True, "after_meal": True}
NUCHAL = {"credential": "prenatal", "merge": True}
CONTRAST = {"contrast": "microbubble", "fasting_hours": 8, "merge": True}


def minutes(visit: Visit) -> dict[str, int]:
    return {option.group: option.segments[0].minutes for option in visit.options}


def held(visit: Visit) -> list[tuple[str, int, int, int]]:
    parts: tuple[Segment, ...] = visit.options[0].segments
    return [(part.name, part.minutes, part.after_min, part.after_max) for part in parts]


def test_body_parts_of_two_orders_of_one_encounter_become_one_visit_with_the_summed_time(us: Any) -> None:
    first = us.order(us.item("1/1", ABDOMEN, A=10, B=12), us.item("1/2", PART, A=8))
    second = us.order(us.item("2/1", PART, A=10, B=10), number="2")
    (visit,) = us.visits(first, second)
    assert visit.items == ("1/1", "1/2", "2/1")
    assert visit.key == "1/1+1/2+2/1"
    assert minutes(visit) == {"A": 28}


def test_the_changeover_is_counted_once_in_a_visit(us: Any) -> None:
    items = [us.item(f"1/{line}", PART, A=10) for line in (1, 2, 3)]
    assert minutes(us.visits(us.order(*items), changeover_minutes=2)[0]) == {"A": 26}
    assert minutes(us.visits(us.order(items[0]), changeover_minutes=2)[0]) == {"A": 10}
    assert minutes(us.visits(us.order(*items), changeover_minutes=30)[0]) == {"A": 10}


def test_one_fasting_body_part_makes_the_whole_visit_fasting(us: Any) -> None:
    (visit,) = us.visits(us.order(us.item("1/1", PART, A=8), us.item("1/2", ABDOMEN, A=10)))
    assert visit.fasting
    assert not us.visits(us.order(us.item("1/1", PART, A=8)))[0].fasting


@pytest.mark.parametrize(("hours", "morning"), [(7, False), (8, True), (True, True)])
def test_only_a_fast_of_eight_hours_keeps_a_visit_in_the_morning(us: Any, hours: int, morning: bool) -> None:
    assert us.visits(us.order(us.item("1/1", {"fasting_hours": hours}, A=10)))[0].fasting is morning


def test_fasting_parts_come_first_then_plain_full_and_empty_bladder_and_the_meal_last(us: Any) -> None:
    kinds = [MEAL, VOIDED, BLADDER, PART, ABDOMEN]
    (visit,) = us.visits(us.order(*(us.item(f"1/{n}", kind, A=10) for n, kind in enumerate(kinds, 1))))
    assert visit.items == ("1/5", "1/4", "1/3", "1/2", "1/1")


def test_body_parts_of_two_encounters_stay_apart(us: Any) -> None:
    other = us.order(us.item("2/1", PART, A=8), number="2", encounter="E2")
    found = us.visits(us.order(us.item("1/1", PART, A=8)), other)
    assert [visit.items for visit in found] == [("1/1",), ("2/1",)]


def test_without_a_group_that_offers_all_the_fewest_visits_are_made(us: Any) -> None:
    items = us.item("1/1", PART, A=8), us.item("1/2", PART, A=8, B=8), us.item("1/3", PART, B=8, C=8)
    found = us.visits(us.order(*items))
    assert sorted(visit.items for visit in found) == [("1/1", "1/2"), ("1/3",)]
    assert [set(minutes(visit)) for visit in found] == [{"A"}, {"B", "C"}]


@pytest.mark.parametrize(("limit", "lengths"), [(49, [25, 25, 25]), (50, [50, 25]), (74, [50, 25]), (75, [75])])
def test_beyond_the_longest_visit_a_further_one_is_made(us: Any, limit: int, lengths: list[int]) -> None:
    items = [us.item(f"1/{line}", PART, A=25) for line in range(1, 4)]
    found = us.visits(us.order(*items), max_visit_minutes=limit)
    assert [minutes(visit)["A"] for visit in found] == lengths


def test_an_exam_longer_than_the_longest_visit_still_gets_its_own(us: Any) -> None:
    assert minutes(us.visits(us.order(us.item("1/1", PART, A=90)))[0]) == {"A": 90}


def test_an_exam_that_may_not_be_merged_stays_alone(us: Any) -> None:
    found = us.visits(us.order(us.item("1/1", PART, A=8), us.item("1/2", {}, A=20), us.item("1/3", PART, A=8)))
    assert sorted(visit.items for visit in found) == [("1/1", "1/3"), ("1/2",)]


def test_an_exam_that_nobody_offers_keeps_a_visit_without_options(us: Any) -> None:
    assert [visit.options for visit in us.visits(us.order(us.item("1/1", PART)))] == [()]


def test_after_a_fast_the_bladder_fills_from_the_end_of_the_fasting_part(us: Any) -> None:
    (visit,) = us.visits(us.order(us.item("1/1", BLADDER, A=10), us.item("1/2", ABDOMEN, A=12), us.item("1/3", VOIDED, A=5)))
    assert held(visit) == [("exam", 12, 0, 0), ("full_bladder", 15, 75, 105)]


def test_a_department_may_have_the_nights_urine_held_and_examine_in_one_sitting(us: Any) -> None:
    asked = us.order(us.item("1/1", BLADDER, A=10), us.item("1/2", ABDOMEN, A=12))
    assert held(us.visits(asked, bladder_after_fasting="held")[0]) == [("exam", 22, 0, 0)]


def test_a_full_bladder_without_a_fast_is_one_sitting(us: Any) -> None:
    (visit,) = us.visits(us.order(us.item("1/1", BLADDER, A=10), us.item("1/2", PART, A=12)))
    assert held(visit) == [("exam", 22, 0, 0)]


def test_a_part_that_fasts_with_a_full_bladder_asks_for_no_pause(us: Any) -> None:
    both = us.item("1/1", {"merge": True, "fasting_hours": 8, "full_bladder": True}, A=10)
    assert held(us.visits(us.order(both, us.item("1/2", VOIDED, A=5)))[0]) == [("exam", 15, 0, 0)]


def test_gallbladder_contraction_is_seen_again_the_same_day_after_the_meal(us: Any) -> None:
    (visit,) = us.visits(us.order(us.item("1/1", CONTRACTION, A=10), us.item("1/2", ABDOMEN, A=12)))
    assert held(visit) == [("exam", 22, 0, 0), ("after_meal", 10, 70, 100)]


def test_a_meal_never_comes_before_the_bladder_is_seen(us: Any) -> None:
    (visit,) = us.visits(us.order(us.item("1/1", CONTRACTION, A=10), us.item("1/2", BLADDER, A=10)))
    assert held(visit) == [("exam", 10, 0, 0), ("full_bladder", 10, 70, 100), ("after_meal", 10, 110, 140)]


def test_an_exam_after_a_meal_without_a_fast_is_one_sitting(us: Any) -> None:
    assert held(us.visits(us.order(us.item("1/1", MEAL, A=10)))[0]) == [("exam", 10, 0, 0)]


def test_a_contrast_exam_takes_double_time_stays_alone_and_has_a_chair_for_observation(us: Any) -> None:
    groups = (*us.groups, us.group("CHAIRS", "chair"))
    found = us.visits(us.order(us.item("1/1", CONTRAST, A=15), us.item("1/2", ABDOMEN, A=10)), groups=groups)
    (contrast,) = [visit for visit in found if visit.items == ("1/1",)]
    assert held(contrast) == [("exam", 30, 0, 0), ("observation", 30, 30, 40)]
    assert [(need.role, need.group) for need in contrast.options[0].segments[1].needs] == [("chair", "CHAIRS")]
    assert len(found) == 2


def test_without_chairs_on_the_campus_the_observation_is_only_told(us: Any) -> None:
    groups = (*us.groups, us.group("CHAIRS", "chair", "S", "S1"))
    (visit,) = us.visits(us.order(us.item("1/1", CONTRAST, A=15)), groups=groups, contrast_time_factor=1)
    assert held(visit) == [("exam", 15, 0, 0)]


@pytest.mark.parametrize("attributes", [NUCHAL, CONTRAST, {"puncture": True, "merge": True}])
def test_what_needs_a_credential_contrast_or_a_puncture_never_shares_a_visit(us: Any, attributes: dict[str, Any]) -> None:
    groups = (*us.groups, us.group("S-N", "sonographer"))
    asked = us.order(us.item("1/1", PART, A=8), us.item("1/2", attributes, A=20), us.item("1/3", attributes, A=20))
    assert [len(visit.items) for visit in us.visits(asked, groups=groups)] == [1, 1, 1]


def test_prenatal_screening_needs_a_credentialled_sonographer_of_the_campus(us: Any) -> None:
    groups = (*us.groups, us.group("S-N", "sonographer"), us.group("S-S", "sonographer", "S", "S1"))
    (visit,) = us.visits(us.order(us.item("1/1", NUCHAL, A=20, C=20)), groups=groups)
    needs = {option.group: [(need.role, need.group) for need in option.segments[0].needs] for option in visit.options}
    assert needs == {"A": [("room", "A"), ("sonographer", "S-N")], "C": [("room", "C"), ("sonographer", "S-S")]}


def test_a_campus_without_a_credentialled_sonographer_is_no_option(us: Any) -> None:
    groups = (*us.groups, us.group("S-S", "sonographer", "S", "S1"))
    (visit,) = us.visits(us.order(us.item("1/1", NUCHAL, A=20, C=20)), groups=groups)
    assert [option.group for option in visit.options] == ["C"]
    (nobody,) = us.visits(us.order(us.item("1/1", NUCHAL, A=20, C=20)))
    assert nobody.options == ()


def test_a_credential_may_be_held_by_some_groups_only(us: Any) -> None:
    groups = (*us.groups, us.group("S-1", "sonographer"), us.group("S-2", "sonographer"))
    asked = us.order(us.item("1/1", {"credential": "fetal_heart"}, A=40))
    (visit,) = us.visits(asked, groups=groups, sonographer_groups={"fetal_heart": ["S-2"]})
    assert [need.group for need in visit.options[0].segments[0].needs] == ["A", "S-2"]
    (none,) = us.visits(asked, groups=groups, sonographer_groups={"fetal_heart": ["GONE"]})
    assert none.options == ()


KINDS = st.sampled_from([ABDOMEN, PART, BLADDER, VOIDED, CONTRACTION, MEAL, NUCHAL, CONTRAST, {}])
OFFERS = st.dictionaries(st.sampled_from("ABC"), st.integers(5, 70), max_size=3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(st.tuples(KINDS, OFFERS), min_size=1, max_size=9),
    limit=st.integers(10, 120), changeover=st.integers(0, 10), bladder=st.sampled_from(["drink", "held"]),
)  # fmt: skip
def test_every_item_is_in_one_visit_none_is_too_long_and_fasting_parts_come_first(
    us: Any, asked: list[tuple[dict[str, Any], dict[str, int]]], limit: int, changeover: int, bladder: str
) -> None:
    chosen = {"max_visit_minutes": limit, "changeover_minutes": changeover, "bladder_after_fasting": bladder}
    items = {f"1/{n}": us.item(f"1/{n}", kind, **offers) for n, (kind, offers) in enumerate(asked, 1)}
    groups = (*us.groups, us.group("S-N", "sonographer"), us.group("CHAIRS", "chair"))
    found = us.visits(us.order(*items.values()), groups=groups, **chosen)

    assert sorted(key for visit in found for key in visit.items) == sorted(items)
    for visit in found:
        bundle = [items[key] for key in visit.items]
        fasting = [bool(one.item.attributes.get("fasting_hours")) for one in bundle]
        assert fasting == sorted(fasting, reverse=True)
        for option in visit.options:
            total = sum(part.minutes for part in option.segments if part.name != "observation")
            assert len(bundle) == 1 or total <= limit
            ends = 0
            for part in option.segments:
                assert part.after_min >= ends
                ends = part.after_max + part.minutes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=8), changeover=st.integers(0, 30))
def test_the_changeover_never_makes_a_sitting_shorter_than_its_longest_part(
    us: Any, lengths: list[int], changeover: int
) -> None:
    items = [us.item(f"1/{n}", PART, A=length) for n, length in enumerate(lengths)]
    found = sittings.minutes_at(items, "A", {"changeover_minutes": changeover, "contrast_time_factor": 2})
    assert found is not None
    assert max(lengths) <= found <= sum(lengths)
