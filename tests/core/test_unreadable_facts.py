"""A question of yes or no is open while its answer is neither."""

from __future__ import annotations

from typing import Any

import pytest

from examlane.rulebase.conditions import holds


@pytest.mark.parametrize("value", ["yes", "true", "", 1, 0, 45.0, None])
@pytest.mark.parametrize("when", [{"pregnant": True}, {"pregnant": False}, {"pregnant": {"not": True}}])
def test_what_is_neither_true_nor_false_answers_no_question_of_yes_or_no(when: dict[str, Any], value: Any) -> None:
    assert holds(when, {"pregnant": value}) is None


def test_true_and_false_answer_it() -> None:
    assert holds({"pregnant": True}, {"pregnant": True}) is True
    assert holds({"pregnant": True}, {"pregnant": False}) is False
    assert holds({"reaction": ["none", False]}, {"reaction": "mild"}) is False
