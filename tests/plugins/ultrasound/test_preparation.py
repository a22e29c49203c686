"""Ultrasound: what patients are told, and what becomes of those who do not come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from marshmallow import ValidationError

from examlane import NoShowAction
from examlane_ultrasound import hooks

ABDOMEN = {"merge": True, "fasting_hours": 8}
PART = {"merge": True}
BLADDER = {"merge": True, "full_bladder": True}


def test_the_parts_of_a_visit_are_told_in_the_order_they_are_examined_in(us: Any) -> None:
    step = us.told(us.item("1/1", BLADDER), us.item("1/2", PART), us.item("1/3", ABDOMEN))["order"]
    assert step.text.zh.endswith("部位1/3 → 部位1/2 → 部位1/1")
    assert step.text.en.endswith("part 1/3 → part 1/2 → part 1/1")


def test_a_single_part_needs_no_order(us: Any) -> None:
    assert us.told(us.item("1/1", PART)) == {}


def test_a_fasting_patient_is_told_eight_hours_including_water(us: Any) -> None:
    step = us.told(us.item("1/1", ABDOMEN))["fasting"]
    assert (step.lead, step.fasting_hours) == (timedelta(hours=8), 8)
    assert "8 小时禁食禁水" in step.text.zh


def test_an_item_may_ask_for_other_hours_and_the_longest_of_a_visit_counts(us: Any) -> None:
    step = us.told(us.item("1/1", {"fasting_hours": 4}), us.item("1/2", {"fasting_hours": 6}))["fasting"]
    assert (step.lead, step.fasting_hours) == (timedelta(hours=6), 6)


def test_a_full_bladder_is_told_with_amount_and_time(us: Any) -> None:
    step = us.told(us.item("1/1", BLADDER))["full_bladder"]
    assert step.lead == timedelta(hours=1)
    assert "检查前 60 分钟饮水 500–800 毫升" in step.text.zh


def test_a_fasting_patient_drinks_only_after_the_fasting_part(us: Any) -> None:
    told = us.told(us.item("1/1", ABDOMEN), us.item("1/2", BLADDER))
    assert set(told) == {"order", "fasting", "bladder_after_fasting"}
    assert "空腹部分检查结束后再饮水 500–800 毫升" in told["bladder_after_fasting"].text.zh
    assert told["bladder_after_fasting"].lead == timedelta()


def test_where_the_nights_urine_is_held_nobody_is_told_to_drink_before(us: Any) -> None:
    told = us.told(us.item("1/1", ABDOMEN), us.item("1/2", BLADDER), bladder_after_fasting="held")
    assert set(told) == {"order", "fasting", "held_bladder"}
    assert "晨起后不排尿" in told["held_bladder"].text.zh


def test_a_part_that_fasts_and_needs_a_full_bladder_holds_the_nights_urine(us: Any) -> None:
    assert set(us.told(us.item("1/1", {"fasting_hours": 8, "full_bladder": True}))) == {"fasting", "held_bladder"}


def test_parts_with_an_empty_bladder_are_named(us: Any) -> None:
    told = us.told(us.item("1/1", BLADDER), us.item("1/2", {"merge": True, "empty_bladder": True}))
    assert told["empty_bladder"].text.en == "empty your bladder before: part 1/2"


def test_the_meal_is_told_after_the_fast_or_before_the_exam(us: Any) -> None:
    after = us.told(us.item("1/1", {"fasting_hours": 8, "after_meal": True}))["after_meal"]
    assert "空腹部分结束后进食脂肪餐" in after.text.zh
    before = us.told(us.item("1/1", {"after_meal": True}))["meal_before"]
    assert before.lead == timedelta(minutes=45)
    assert "约 45 分钟进食脂肪餐" in before.text.zh


@pytest.mark.parametrize(
    ("attributes", "code", "words"),
    [
        ({"contrast": "microbubble"}, "contrast.observation", "留观 30 分钟"),
        ({"route": "vaginal"}, "transvaginal", "排空膀胱"),
        ({"route": "rectal"}, "transrectal", "检查前 2 小时排空大便"),
        ({"puncture": True}, "puncture.preparation", "切勿自行停药"),
    ],
)
def test_contrast_ways_into_the_body_and_punctures_are_prepared(
    us: Any, attributes: dict[str, Any], code: str, words: str
) -> None:
    assert words in us.told(us.item("1/1", attributes))[code].text.zh


def test_a_no_show_goes_to_the_desk() -> None:
    assert hooks.on_no_show().action is NoShowAction.MANUAL


@pytest.mark.parametrize(
    "wrong",
    [{"max_visit_minutes": 0}, {"changeover_minutes": -1}, {"contrast_time_factor": 0}, {"bladder_after_fasting": "?"},
     {"sonographer_groups": []}, {"max_minutes": 30}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(us: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        us.settings(wrong)
