"""The 75 g glucose tolerance test: draws counted from the first sip, fasting, the morning, and what makes it needless."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from examlane import (
    EncounterClass,
    EncounterView,
    ExamItem,
    Fact,
    Finding,
    FindingKind,
    GroupView,
    OrderItemView,
    OrderView,
    Preparation,
    Priority,
    ServiceView,
    Text,
    Visit,
)
from examlane.testing import rule_book
from examlane_obstetrics import hooks

NOW = datetime(2026, 11, 23, 9, tzinfo=ZoneInfo("Asia/Shanghai"))
RULES = rule_book("obstetrics", "examlane_obstetrics")
SETTINGS = {**hooks.SettingsSchema().load({}), "time_zone": "Asia/Shanghai"}
TEST = {"ogtt": True, "prenatal": "ogtt"}
DESK = GroupView("DESK", "采血台", "chair", "OB", "N", "N2", 5)


def order(attributes: dict[str, Any], days: int = 170, **facts: Any) -> OrderView:
    service = ServiceView("X", "DESK", "N", "N2", 20, 5)
    item = OrderItemView("1/1", ExamItem("X", Text("检查", "exam"), "LAB", "", "OB", attributes), (service,))
    known = {"last_menstrual_period": (NOW.date() - timedelta(days=days)).isoformat(), **facts}
    context = {name: value if isinstance(value, Fact) else Fact(value) for name, value in known.items()}
    encounter = EncounterView("E1", EncounterClass.OUTPATIENT)
    return OrderView("1", encounter, "OB", Priority.ROUTINE, NOW, (item,), context)


def the_visit() -> Visit:
    visits = hooks.requirements([order(TEST)], [DESK], NOW, SETTINGS, RULES)
    assert visits is not None
    return visits[0]


def findings(**facts: Any) -> list[Finding]:
    known = {"diabetes": False, **facts}
    return list(hooks.validate_order(order(TEST, **known), NOW, SETTINGS, RULES))


def glucose(value: float, days_ago: int = 0) -> Fact:
    return Fact(value, NOW - timedelta(days=days_ago), "LIS")


def prepared(attributes: dict[str, Any]) -> list[Preparation]:
    return list(hooks.preparation(order(attributes).items, RULES))


def test_the_test_is_one_fasting_visit_with_three_draws_at_one_place() -> None:
    found = the_visit()
    segments = found.options[0].segments
    assert [segment.name for segment in segments] == ["fasting draw", "one-hour draw", "two-hour draw"]
    assert {(need.role, need.group) for segment in segments for need in segment.needs} == {("chair", "DESK")}
    assert found.fasting


@pytest.mark.parametrize("first_sip", [0, 5])
def test_the_later_draws_are_60_and_120_minutes_within_5_after_the_first_sip_whenever_she_sips(first_sip: int) -> None:
    _, *later = the_visit().options[0].segments
    for segment, minutes in zip(later, (60, 120), strict=True):
        for lag in (segment.after_min, segment.after_max):
            assert abs(lag - first_sip - minutes) <= 5


def test_the_test_begins_at_nine_in_the_morning_at_the_latest() -> None:
    assert the_visit().starts_until == time(9)


def test_the_test_is_prepared_by_diet_fasting_drinking_and_sitting_still() -> None:
    diet, fasting, drink, draws = prepared(TEST)
    assert diet.lead == timedelta(days=3)
    assert "150 克" in diet.text.zh
    assert (fasting.lead, fasting.fasting_hours) == (timedelta(hours=8), 8)
    assert "不超过 14 小时" in fasting.text.zh
    assert "5 分钟内喝完 300 毫升" in drink.text.zh
    assert "静坐" in draws.text.zh


def test_before_an_exam_after_a_meal_one_eats() -> None:
    (meal,) = prepared({"after_meal": True})
    assert (meal.code, meal.lead) == ("obstetrics.meal", timedelta())
    assert prepared({}) == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (5.2, "obstetrics.glucose.diagnosed"),
        (5.1, "obstetrics.glucose.diagnosed"),
        (5.0, None),
        (4.4, None),
        (4.3, "obstetrics.glucose.unlikely"),
    ],
)
def test_a_fasting_glucose_of_24_to_28_weeks_may_make_the_test_needless(value: float, code: str | None) -> None:
    found = findings(fasting_glucose_mmol_l=glucose(value))
    assert [(finding.kind, finding.code) for finding in found] == ([(FindingKind.HINT, code)] if code else [])


@pytest.mark.parametrize(("days_ago", "counts"), [(2, True), (3, False)])
def test_a_fasting_glucose_from_before_24_weeks_says_nothing(days_ago: int, counts: bool) -> None:
    assert bool(findings(fasting_glucose_mmol_l=glucose(5.5, days_ago))) is counts


def test_a_fasting_glucose_without_its_date_says_nothing() -> None:
    assert findings(fasting_glucose_mmol_l=5.5) == []


def test_whoever_has_diabetes_is_tested_only_when_the_doctor_confirms() -> None:
    (finding,) = findings(diabetes=True)
    assert (finding.kind, finding.code) == (FindingKind.CONFIRM, "obstetrics.glucose.diabetes")
    assert findings(diabetes=False) == []


@pytest.mark.parametrize("said", [None, "maybe", 1])
def test_an_unknown_diabetes_is_asked_for_before_the_glucose(said: Any) -> None:
    (finding,) = findings(diabetes=said)
    assert (finding.kind, finding.code) == (FindingKind.HINT, "obstetrics.glucose.diabetes_unknown")


def test_other_exams_do_not_ask_for_glucose() -> None:
    asked = order({}, diabetes=True, fasting_glucose_mmol_l=glucose(5.5))
    assert hooks.validate_order(asked, NOW, SETTINGS, RULES) == []
