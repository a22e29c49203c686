"""The condition language of rules: three-valued logic, borders, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane.rulebase import conditions
from examlane.rulebase.conditions import ORDERED, holds

NAMES = ("a", "b", "c")
numbers = st.integers(-3, 3) | st.floats(-3, 3)
values = st.booleans() | st.sampled_from(["x", "y"]) | numbers
comparison = st.dictionaries(st.sampled_from([*ORDERED]), numbers, min_size=1, max_size=2)
test = values | st.lists(values, min_size=1, max_size=3) | comparison | values.map(lambda value: {"not": value})
flat = st.dictionaries(st.sampled_from(NAMES), test, min_size=1, max_size=3)
whens = st.recursive(
    flat,
    lambda inner: st.builds(
        lambda plain, group, tables: {**plain, group: tables},
        flat, st.sampled_from(["any", "none"]), st.lists(inner, min_size=1, max_size=2),
    ),
    max_leaves=4,
)  # fmt: skip
facts = st.dictionaries(st.sampled_from(NAMES), values | st.none(), max_size=3)
kindly = settings(max_examples=60)


@kindly
@given(whens, facts)
def test_what_none_of_the_tables_says_is_the_opposite_of_any(when: Any, known: Any) -> None:
    truth = holds({"any": [when]}, known)

    assert truth == holds(when, known)
    assert holds({"none": [when]}, known) is (None if truth is None else not truth)
    assert holds({"none": [{"none": [when]}]}, known) == truth


@kindly
@given(whens, whens, facts)
def test_all_and_any_follow_three_valued_logic(one: Any, other: Any, known: Any) -> None:
    truths = (holds(one, known), holds(other, known))
    both = holds({"any": [{"any": [one], "none": [{"none": [other]}]}]}, known)
    either = holds({"any": [one, other]}, known)

    assert both is (False if False in truths else None if None in truths else True)
    assert either is (True if True in truths else None if None in truths else False)
    assert either == holds({"any": [other, one]}, known)


@kindly
@given(whens, facts, facts)
def test_a_new_fact_never_turns_a_decision_that_stood_without_it(when: Any, known: Any, more: Any) -> None:
    before = holds(when, known)
    learnt = {**more, **{name: value for name, value in known.items() if value is not None}}

    assert before is None or holds(when, learnt) is before


@kindly
@given(whens)
def test_nothing_known_never_makes_a_condition_true_or_false(when: Any) -> None:
    assert holds(when, {}) is None


@kindly
@given(st.sampled_from([*ORDERED]), numbers, values | st.none() | st.sampled_from([float("nan"), float("inf"), b"1"]))
def test_only_a_finite_number_is_compared_with_a_number(word: str, border: float, value: Any) -> None:
    truth = holds({"a": {word: border}}, {"a": value})
    plain = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9

    assert truth is (ORDERED[word](value, border) if plain else None)


@pytest.mark.parametrize(
    ("word", "below", "at", "above"),
    [("below", True, False, False), ("at_most", True, True, False),
     ("above", False, False, True), ("at_least", False, True, True)],
)  # fmt: skip
def test_each_comparison_at_its_border(word: str, below: bool, at: bool, above: bool) -> None:
    assert [holds({"egfr": {word: 30}}, {"egfr": value}) for value in (29.999, 30, 30.001)] == [below, at, above]


@pytest.mark.parametrize(
    ("wanted", "value", "truth"),
    [
        (True, True, True), (True, False, False), (True, 1, None), (True, "yes", None), (True, None, None),
        (1, True, None), (1, 1.0, True), ("iodine", "gadolinium", False), ("iodine", True, None),
        (["mild", "severe"], "severe", True), (["mild", "severe"], False, None), (["mild", False], False, True),
        ({"not": "none"}, "none", False), ({"not": "none"}, "mild", True), ({"not": "none"}, None, None),
        ({"not": "none"}, False, None), ({"known": True}, None, False), ({"known": False}, None, True),
        ({"known": True}, False, True), ("x", datetime(2026, 1, 1, tzinfo=UTC), None),
    ],
)  # fmt: skip
def test_a_fact_of_another_kind_is_unknown_and_never_fine(wanted: Any, value: Any, truth: bool | None) -> None:
    assert holds({"fact": wanted}, {"fact": value}) is truth


@pytest.mark.parametrize(
    "when",
    [
        {}, {"a": {}}, {"a": []}, {"a": {"bellow": 3}}, {"a": {"below": "3"}}, {"a": {"below": True}},
        {"a": {"below": float("nan")}}, {"a": {"known": 1}}, {"a": {"not": []}}, {"a": {"not": {"below": 3}}},
        {"a": None}, {"a": [["x"]]}, {"any": []}, {"any": {"a": 1}}, {"none": ["a"]}, {"any": [{}]},
        {"any": [{"none": [{"a": {"over": 1}}]}]},
    ],
)  # fmt: skip
def test_a_condition_that_could_only_ever_say_one_thing_is_refused(when: Any) -> None:
    with pytest.raises(ValueError):
        conditions.check(when)


@kindly
@given(whens)
def test_what_the_language_has_is_accepted(when: Any) -> None:
    conditions.check(when)


def test_parameters_are_filled_in_everywhere_and_a_missing_one_is_refused() -> None:
    when = {"a": {"below": "$x"}, "any": [{"b": ["$y", "z"]}]}

    assert conditions.filled(when, {"x": 3, "y": "w"}) == {"a": {"below": 3}, "any": ({"b": ("w", "z")},)}
    with pytest.raises(ValueError, match="no parameter y"):
        conditions.filled(when, {"x": 3})


def test_borders_and_facts_are_found_inside_groups() -> None:
    when = {"a": {"below": 3, "at_least": 1}, "any": [{"b": True}, {"none": [{"c": {"above": 9}}]}]}

    assert list(conditions.borders(when)) == [("a", "below", 3), ("a", "at_least", 1), ("c", "above", 9)]
    assert list(conditions.facts_of(when)) == ["a", "b", "c"]
