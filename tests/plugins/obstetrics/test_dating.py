"""How old a pregnancy is: assisted reproduction, the settled due date, the last period, and when ultrasound overrules it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import EncounterClass, EncounterView, Fact, OrderView, Priority
from examlane.testing import rule_book
from examlane_obstetrics.dating import first_day

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 23, 9, tzinfo=SHANGHAI)
TODAY = NOW.date()
RULES = rule_book("obstetrics", "examlane_obstetrics")
REDATED = [(62, 5), (63, 7), (97, 7), (111, 7), (112, 10), (153, 10), (154, 14), (195, 14), (196, 21), (270, 21)]


def dated(now: datetime = NOW, **facts: Any) -> date | None:
    context = {name: value if isinstance(value, Fact) else Fact(value) for name, value in facts.items()}
    encounter = EncounterView("E1", EncounterClass.OUTPATIENT)
    return first_day(OrderView("1", encounter, "OB", Priority.ROUTINE, NOW, (), context), now, SHANGHAI, RULES)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def scan(age: int, days_ago: int = 0) -> Fact:
    """An ultrasound some days ago that found an age."""
    return Fact(age, NOW - timedelta(days=days_ago), "ultrasound")


def test_the_last_period_dates_a_pregnancy_while_nothing_better_is_known() -> None:
    assert dated(last_menstrual_period=ago(100).isoformat()) == ago(100)


def test_an_ultrasound_alone_dates_a_pregnancy_from_the_day_it_was_made() -> None:
    assert dated(gestational_age_days=scan(84, days_ago=30)) == ago(114)


@pytest.mark.parametrize(("by_period", "differs"), REDATED)
def test_an_ultrasound_overrules_the_last_period_only_when_it_differs_by_more_than_the_days_of_its_weeks(
    by_period: int, differs: int
) -> None:
    period = ago(by_period).isoformat()
    for sign in (1, -1):
        near, far = scan(by_period + sign * differs), scan(by_period + sign * (differs + 1))
        assert dated(last_menstrual_period=period, gestational_age_days=near) == ago(by_period)
        assert dated(last_menstrual_period=period, gestational_age_days=far) == ago(by_period + sign * (differs + 1))


def test_the_weeks_of_the_scan_decide_and_not_those_of_today() -> None:
    early = scan(56, days_ago=100)
    assert dated(last_menstrual_period=ago(162).isoformat(), gestational_age_days=early) == ago(156)


@pytest.mark.parametrize(("embryo", "age"), [(3, 17), (5, 19), (6, 20)])
def test_after_a_transfer_the_embryo_s_age_dates_the_pregnancy_whatever_else_is_known(embryo: int, age: int) -> None:
    others = {"last_menstrual_period": ago(120).isoformat(), "gestational_age_days": scan(125)}
    assert dated(embryo_transfer_date=ago(80).isoformat(), embryo_age_days=embryo, **others) == ago(80 + age)


def test_a_five_day_embryo_is_due_261_days_after_its_transfer() -> None:
    day0 = dated(embryo_transfer_date="2026-09-01", embryo_age_days=5)
    assert day0 is not None
    assert day0 + timedelta(days=280) == date(2026, 9, 1) + timedelta(days=261)


@pytest.mark.parametrize("embryo", [None, 0, 8, "5"])
def test_a_transfer_without_a_credible_age_of_the_embryo_is_no_dating_and_its_period_is_none_either(
    embryo: Any,
) -> None:
    facts = {"embryo_transfer_date": ago(80).isoformat(), "last_menstrual_period": ago(99).isoformat()}
    assert dated(**facts, embryo_age_days=embryo) is None
    assert dated(**facts, embryo_age_days=embryo, gestational_age_days=scan(99)) == ago(99)


def test_the_due_date_that_the_obstetrician_settled_counts_before_period_and_ultrasound() -> None:
    others = {"last_menstrual_period": ago(120).isoformat(), "gestational_age_days": scan(140)}
    assert dated(estimated_due_date=(TODAY + timedelta(days=150)).isoformat(), **others) == ago(130)


def test_an_age_without_its_date_is_no_dating() -> None:
    assert dated(gestational_age_days=170) is None


@pytest.mark.parametrize("day", [None, "", "last spring", "2025-01-01", "2027-01-01"])
def test_an_unknown_or_incredible_last_period_is_no_dating(day: str | None) -> None:
    assert dated(**({} if day is None else {"last_menstrual_period": day})) is None


@pytest.mark.parametrize(("days", "credible"), [(-1, False), (0, True), (301, True), (302, False)])
def test_a_pregnancy_lasts_from_0_to_301_days(days: int, credible: bool) -> None:
    assert dated(last_menstrual_period=ago(days).isoformat()) == (ago(days) if credible else None)


def test_an_incredible_date_leaves_the_word_to_the_next_source() -> None:
    assert dated(estimated_due_date="2025-01-01", last_menstrual_period=ago(70).isoformat()) == ago(70)


def test_days_are_counted_on_the_hospital_s_own_calendar() -> None:
    just_after_midnight = datetime(2026, 11, 22, 16, 1, tzinfo=UTC)
    assert dated(just_after_midnight, last_menstrual_period="2026-11-23") == TODAY
    assert dated(just_after_midnight - timedelta(minutes=2), last_menstrual_period="2026-11-23") is None
    assert dated(gestational_age_days=Fact(70, just_after_midnight)) == ago(70)


@settings(max_examples=200, deadline=None)
@given(by_period=st.integers(0, 301), found=st.integers(0, 301))
def test_day_0_is_always_that_of_the_period_or_that_of_the_scan(by_period: int, found: int) -> None:
    day0 = dated(last_menstrual_period=ago(by_period).isoformat(), gestational_age_days=scan(found))
    assert day0 in (ago(by_period), ago(found))
    if abs(by_period - found) <= 5:
        assert day0 == ago(by_period)
    if abs(by_period - found) > 21:
        assert day0 == ago(found)
