"""Obstetrics' own exams: gestational windows, the glucose test with three draws, preparation."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
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
    GateClosed,
    GateOpen,
    GroupView,
    OrderItemView,
    OrderView,
    Priority,
    ServiceView,
    Text,
    Visit,
)
from examlane_obstetrics import hooks

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 23, 9, tzinfo=SHANGHAI)
TODAY = NOW.date()
GLUCOSE = {"ogtt": True, "gestation_from_days": 168, "gestation_to_days": 196}
CHAIRS = GroupView("CHAIRS", "抽血椅", "chair", "OB", "N", "N2", 5)


def order(attributes: dict[str, Any], **facts: Any) -> OrderView:
    service = ServiceView("X", "CHAIRS", "N", "N2", 20, 5)
    item = OrderItemView("1/1", ExamItem("X", Text("检查", "exam"), "LAB", "", "OB", attributes), (service,))
    context = {name: value if isinstance(value, Fact) else Fact(value) for name, value in facts.items()}
    encounter = EncounterView("E1", EncounterClass.OUTPATIENT)
    return OrderView("1", encounter, "OB", Priority.ROUTINE, NOW, (item,), context)


def period(days_ago: int) -> str:
    return (TODAY - timedelta(days=days_ago)).isoformat()


def findings(attributes: dict[str, Any], now: datetime = NOW, **facts: Any) -> list[Finding]:
    return list(hooks.validate_order(order(attributes, **facts), now, {}))


def visit(attributes: dict[str, Any], **facts: Any) -> Visit:
    visits = hooks.requirements([order(attributes, **facts)], [CHAIRS], NOW, {})
    assert visits is not None
    return visits[0]


def test_the_glucose_test_is_one_visit_with_draws_at_zero_one_and_two_hours_in_one_place() -> None:
    found = visit(GLUCOSE, last_menstrual_period=period(170))
    segments = found.options[0].segments
    assert [(s.after_min, s.after_max, s.minutes) for s in segments] == [(0, 0, 10), (55, 65, 10), (115, 125, 10)]
    assert {(need.role, need.group) for s in segments for need in s.needs} == {("chair", "CHAIRS")}
    assert found.fasting


def test_another_exam_of_the_clinic_is_one_segment_of_its_own_length() -> None:
    found = visit({})
    assert [segment.minutes for segment in found.options[0].segments] == [20]
    assert (found.earliest, found.latest, found.fasting) == (None, None, False)


def test_a_visit_lies_within_its_gestational_window_from_the_first_to_the_last_second() -> None:
    found = visit(GLUCOSE, last_menstrual_period="2026-06-10")
    assert found.earliest == datetime(2026, 11, 25, tzinfo=SHANGHAI)
    assert found.latest == datetime(2026, 12, 23, 23, 59, 59, tzinfo=SHANGHAI)


def test_dating_by_ultrasound_overrules_the_last_period() -> None:
    dated = Fact(84, datetime(2026, 9, 1, 2, tzinfo=UTC), "ultrasound")
    found = visit(GLUCOSE, gestational_age_days=dated, last_menstrual_period="2026-05-01")
    assert found.earliest == datetime(2026, 9, 1, tzinfo=SHANGHAI) + timedelta(days=84)


def test_an_age_without_its_date_is_no_dating() -> None:
    (finding,) = findings(GLUCOSE, gestational_age_days=170)
    assert finding.code == "obstetrics.gestation_unknown"


@pytest.mark.parametrize("days", [168, 180, 196])
def test_an_order_within_the_window_is_accepted(days: int) -> None:
    assert findings(GLUCOSE, last_menstrual_period=period(days)) == []


def test_an_order_before_the_window_is_delayed_until_it_begins() -> None:
    (finding,) = findings(GLUCOSE, last_menstrual_period=period(167))
    assert finding.kind is FindingKind.DELAY_UNTIL
    assert finding.until == datetime(2026, 11, 24, tzinfo=SHANGHAI)
    assert "23+6" in finding.text.zh


def test_an_order_after_the_window_is_blocked() -> None:
    (finding,) = findings(GLUCOSE, last_menstrual_period=period(197))
    assert (finding.kind, finding.code) == (FindingKind.BLOCK, "obstetrics.outside_window")


def test_the_last_day_of_the_window_ends_at_local_midnight() -> None:
    last_evening = datetime(2026, 11, 23, 15, 59, tzinfo=UTC)
    facts = {"last_menstrual_period": period(196)}
    assert findings(GLUCOSE, last_evening, **facts) == []
    assert findings(GLUCOSE, last_evening + timedelta(minutes=1), **facts)


@pytest.mark.parametrize("day", [None, "", "last spring", "2025-01-01", "2027-01-01"])
def test_an_unknown_or_incredible_last_period_is_blocked_for_exams_with_a_window(day: str | None) -> None:
    facts = {} if day is None else {"last_menstrual_period": day}
    (finding,) = findings(GLUCOSE, **facts)
    assert (finding.kind, finding.code) == (FindingKind.BLOCK, "obstetrics.gestation_unknown")


def test_an_exam_without_a_window_needs_no_last_period() -> None:
    assert findings({}) == []


def test_a_window_may_be_open_at_one_end() -> None:
    found = visit({"gestation_from_days": 238}, last_menstrual_period=period(100))
    assert found.earliest is not None
    assert found.latest is None


def gate(**facts: Any) -> Any:
    (answer,) = hooks.pre_booking_gate(order(GLUCOSE, **facts), NOW, {})
    return answer


def test_the_gate_of_the_window_is_open_until_its_last_second_even_before_it_begins() -> None:
    closes = datetime(2026, 12, 23, 23, 59, 59, tzinfo=SHANGHAI)
    assert gate(last_menstrual_period="2026-06-10") == GateOpen("gestational_window", "1/1", closes)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, "obstetrics.gestation_unknown"),
        ({"last_menstrual_period": period(197)}, "obstetrics.outside_window"),
    ],
)
def test_an_exam_without_dates_or_past_its_window_can_be_neither_paid_nor_booked(
    facts: dict[str, str], code: str
) -> None:
    answer = gate(**facts)
    assert isinstance(answer, GateClosed)
    assert (answer.code, answer.payable) == (code, False)


def test_a_department_that_only_keeps_windows_makes_its_own_visits() -> None:
    assert hooks.requirements([order(GLUCOSE)], [CHAIRS], NOW, {"windows_only": True}) is None
    assert hooks.pre_booking_gate(order({}), NOW, {"windows_only": True}) == []


def test_the_glucose_test_is_prepared_by_diet_fasting_and_sitting_still() -> None:
    diet, fasting, draws = hooks.preparation(order(GLUCOSE).items, {})
    assert diet.lead == timedelta(days=3)
    assert "150 克" in diet.text.zh
    assert (fasting.lead, fasting.fasting_hours) == (timedelta(hours=8), 8)
    assert "静坐" in draws.text.zh
    assert hooks.preparation(order({}).items, {}) == []


def test_a_local_last_period_given_as_a_date_counts_days_on_the_campus() -> None:
    just_after_midnight = datetime(2026, 11, 22, 16, 1, tzinfo=UTC)
    assert findings(GLUCOSE, just_after_midnight, last_menstrual_period=date(2026, 6, 8).isoformat()) == []
