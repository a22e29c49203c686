"""Ultrasound: what becomes one visit, what goes first, and what patients are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from examlane import (
    EncounterClass,
    EncounterView,
    ExamItem,
    GroupView,
    NoShowAction,
    OrderItemView,
    OrderView,
    Priority,
    Relation,
    ServiceView,
    Text,
    Visit,
)
from examlane_ultrasound import hooks

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
ABDOMEN = {"merge": True, "fasting_hours": 8}
PART = {"merge": True}
BLADDER = {"merge": True, "full_bladder": True}
NUCHAL = {"credential": "prenatal", "merge": True}


def group(code: str, role: str = "room", campus: str = "N", zone: str = "N1") -> GroupView:
    return GroupView(code, code, role, "US", campus, zone, 5)


GROUPS = (group("A"), group("B"), group("C", campus="S", zone="S1"))


def item(key: str, attributes: dict[str, Any], modality: str = "US", part: str = "", **minutes: int) -> OrderItemView:
    campuses = {"A": "N", "B": "N", "C": "S"}
    services = tuple(
        ServiceView(key, code, campuses[code], f"{campuses[code]}1", length, 5) for code, length in minutes.items()
    )
    return OrderItemView(key, ExamItem(key, Text(key, key), modality, part, "US", attributes), services)


def order(*items: OrderItemView, number: str = "1", encounter: str = "E1") -> OrderView:
    visit = EncounterView(encounter, EncounterClass.OUTPATIENT)
    return OrderView(number, visit, "IM", Priority.ROUTINE, NOW, items)


def visits(*orders: OrderView, groups: tuple[GroupView, ...] = GROUPS, **settings: Any) -> list[Visit]:
    return list(hooks.requirements(orders, groups, settings))


def minutes(visit: Visit) -> dict[str, int]:
    return {option.group: option.segments[0].minutes for option in visit.options}


def test_body_parts_of_two_orders_of_one_encounter_become_one_visit_with_the_summed_time() -> None:
    first = order(item("1/1", ABDOMEN, A=10, B=12), item("1/2", PART, A=8))
    second = order(item("2/1", PART, A=10, B=10), number="2")
    (visit,) = visits(first, second)
    assert visit.items == ("1/1", "1/2", "2/1")
    assert visit.key == "1/1+1/2+2/1"
    assert minutes(visit) == {"A": 28}


def test_one_fasting_body_part_makes_the_whole_visit_fasting() -> None:
    (visit,) = visits(order(item("1/1", PART, A=8), item("1/2", ABDOMEN, A=10)))
    assert visit.fasting
    assert not visits(order(item("1/1", PART, A=8)))[0].fasting


def test_body_parts_of_two_encounters_stay_apart() -> None:
    found = visits(order(item("1/1", PART, A=8)), order(item("2/1", PART, A=8), number="2", encounter="E2"))
    assert [visit.items for visit in found] == [("1/1",), ("2/1",)]


def test_without_a_group_that_offers_all_the_fewest_visits_are_made() -> None:
    found = visits(order(item("1/1", PART, A=8), item("1/2", PART, A=8, B=8), item("1/3", PART, B=8, C=8)))
    assert sorted(visit.items for visit in found) == [("1/1", "1/2"), ("1/3",)]
    assert [set(minutes(visit)) for visit in found] == [{"A"}, {"B", "C"}]


def test_beyond_the_longest_visit_a_further_one_is_made() -> None:
    items = [item(f"1/{line}", PART, A=25) for line in range(1, 4)]
    assert [minutes(visit) for visit in visits(order(*items))] == [{"A": 50}, {"A": 25}]
    assert len(visits(order(*items), max_visit_minutes=80)) == 1


def test_an_exam_longer_than_the_longest_visit_still_gets_its_own() -> None:
    assert minutes(visits(order(item("1/1", PART, A=90)))[0]) == {"A": 90}


def test_an_exam_that_may_not_be_merged_stays_alone() -> None:
    found = visits(order(item("1/1", PART, A=8), item("1/2", {}, A=20), item("1/3", PART, A=8)))
    assert sorted(visit.items for visit in found) == [("1/1", "1/3"), ("1/2",)]


def test_an_exam_that_nobody_offers_keeps_a_visit_without_options() -> None:
    assert [visit.options for visit in visits(order(item("1/1", PART)))] == [()]


def test_prenatal_screening_is_never_merged_and_needs_a_credentialled_sonographer_of_the_campus() -> None:
    groups = (*GROUPS, group("S-N", "sonographer"), group("S-S", "sonographer", "S", "S1"))
    found = visits(order(item("1/1", NUCHAL, A=20, C=20), item("1/2", PART, A=8)), groups=groups)
    (nuchal,) = [visit for visit in found if visit.items == ("1/1",)]
    needs = {option.group: [(need.role, need.group) for need in option.segments[0].needs] for option in nuchal.options}
    assert needs == {"A": [("room", "A"), ("sonographer", "S-N")], "C": [("room", "C"), ("sonographer", "S-S")]}


def test_without_a_sonographer_on_the_campus_prenatal_screening_needs_only_its_room() -> None:
    elsewhere = (*GROUPS, group("S-S", "sonographer", "S", "S1"))
    (visit,) = visits(order(item("1/1", NUCHAL, A=20)), groups=elsewhere)
    assert [need.group for need in visit.options[0].segments[0].needs] == ["A"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("US", "abdomen", {}), ("ES", "stomach", {})),
        (("US", "abdomen", {}), ("ES", "colon", {})),
        (("US", "kidney", {}), ("DX", "stomach", {"barium": True})),
        (("US", "thyroid", {}), ("NM", "thyroid", {"thyroid_isotope": True})),
    ],
)
def test_ultrasound_goes_first_where_the_other_exam_would_spoil_it(first: Any, second: Any) -> None:
    one, other = (ExamItem("x", Text("x", "x"), row[0], row[1], "d", row[2]) for row in (first, second))
    rules = [rule for rule in hooks.interval_rules() if rule.first.matches(one) and rule.second.matches(other)]
    assert [rule.relation for rule in rules] == [Relation.BEFORE]
    assert rules[0].source


def test_heart_ultrasound_may_follow_a_gastroscopy() -> None:
    heart = ExamItem("x", Text("x", "x"), "US", "heart", "US")
    gastroscopy = ExamItem("y", Text("y", "y"), "ES", "stomach", "ES")
    assert not [r for r in hooks.interval_rules() if r.first.matches(heart) and r.second.matches(gastroscopy)]


def test_a_fasting_patient_is_told_eight_hours_including_water() -> None:
    (step,) = hooks.preparation([item("1/1", ABDOMEN, A=10)], {})
    assert (step.lead, step.fasting_hours) == (timedelta(hours=8), 8)
    assert "8 小时禁食禁水" in step.text.zh


def test_a_full_bladder_takes_an_hour_of_drinking() -> None:
    (step,) = hooks.preparation([item("1/1", BLADDER, A=10)], {})
    assert step.lead == timedelta(hours=1)
    assert "憋尿" in step.text.zh


def test_a_fasting_patient_with_a_bladder_exam_is_not_told_to_drink_before() -> None:
    codes = [step.code for step in hooks.preparation([item("1/1", ABDOMEN, A=9), item("1/2", BLADDER, A=9)], {})]
    assert codes == ["ultrasound.fasting", "ultrasound.held_bladder"]


def test_an_exam_without_preparation_has_none() -> None:
    assert hooks.preparation([item("1/1", PART, A=10)], {}) == []


def test_a_no_show_goes_to_the_desk() -> None:
    assert hooks.on_no_show().action is NoShowAction.MANUAL
