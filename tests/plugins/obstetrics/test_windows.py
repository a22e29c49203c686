"""Exams tied to a stage of pregnancy: their windows, what is said of an order, and the gate that runs out."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import (
    EncounterClass,
    EncounterView,
    ExamItem,
    Fact,
    Finding,
    FindingKind,
    GateAnswer,
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
from examlane.testing import rule_book
from examlane_obstetrics import hooks

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 23, 9, tzinfo=SHANGHAI)
TODAY = NOW.date()
RULES = rule_book("obstetrics", "examlane_obstetrics")
SETTINGS = {**hooks.SettingsSchema().load({}), "time_zone": "Asia/Shanghai"}
GROUP = GroupView("ROOM", "检查室", "room", "OB", "N", "N2", 10)
WINDOWS = {
    "first_visit": (42, 97),
    "nt": (77, 97),
    "first_trimester_serum": (77, 97),
    "second_trimester_serum": (105, 146),
    "nipt": (84, 160),
    "amniocentesis": (112, 160),
    "anomaly": (140, 174),
    "cervical_length": (140, 174),
    "fetal_echo": (154, 195),
    "ogtt": (168, 202),
    "growth": (196, 230),
    "doppler": (224, 293),
    "nst": (238, 293),
    "late": (259, 293),
}
USUAL_RISK = {"fetuses": 1, "high_risk_pregnancy": False}
LATE = "obstetrics.gestation.late"
RISK_UNKNOWN = "obstetrics.gestation.risk_unknown"


def order(attributes: dict[str, Any], confirmed: dict[str, str] | None = None, **facts: Any) -> OrderView:
    service = ServiceView("X", "ROOM", "N", "N2", 20, 10)
    exam = ExamItem("X", Text("检查", "exam"), "US", "", "OB", attributes)
    item = OrderItemView("1/1", exam, (service,), confirmed=confirmed or {})
    context = {name: value if isinstance(value, Fact) else Fact(value) for name, value in facts.items()}
    encounter = EncounterView("E1", EncounterClass.OUTPATIENT)
    return OrderView("1", encounter, "OB", Priority.ROUTINE, NOW, (item,), context)


def period(days_ago: int) -> str:
    return (TODAY - timedelta(days=days_ago)).isoformat()


def findings(kind: str, days: int, now: datetime = NOW, **more: Any) -> list[Finding]:
    known = {**USUAL_RISK, "last_menstrual_period": period(days), **more}
    return list(hooks.validate_order(order({"prenatal": kind}, **known), now, SETTINGS, RULES))


def said(kind: str, days: int, **more: Any) -> list[str]:
    return [finding.kind.value for finding in findings(kind, days, **more)]


def visit(attributes: dict[str, Any], **more: Any) -> Visit:
    visits = hooks.requirements([order(attributes, **more)], [GROUP], NOW, SETTINGS, RULES)
    assert visits is not None
    return visits[0]


def gate(attributes: dict[str, Any], now: datetime = NOW, **more: Any) -> GateAnswer:
    (answer,) = hooks.pre_booking_gate(order(attributes, **more), now, SETTINGS, RULES)
    return answer


def test_the_rules_have_these_windows_and_no_others() -> None:
    found = {rule.id.rpartition(".")[2]: (rule["from_days"], rule["to_days"]) for rule in RULES.named("window.")}
    assert found == WINDOWS


@pytest.mark.parametrize("kind", WINDOWS)
def test_every_kind_of_exam_is_accepted_from_the_first_to_the_last_day_of_its_window_and_on_no_other(
    kind: str,
) -> None:
    first, last = WINDOWS[kind]
    assert said(kind, first - 1) == ["delay_until"]
    assert said(kind, first) == said(kind, last) == []
    assert said(kind, last + 1) == ["confirm" if kind == "ogtt" else "block"]


def test_an_order_before_the_window_is_delayed_until_the_midnight_it_begins() -> None:
    (finding,) = findings("growth", 195)
    assert (finding.kind, finding.code) == (FindingKind.DELAY_UNTIL, "obstetrics.gestation.too_early")
    assert finding.until == datetime(2026, 11, 24, tzinfo=SHANGHAI)
    assert "27+6" in finding.text.zh
    assert "2026-11-24" in finding.text.en


def test_an_order_after_the_window_is_blocked_and_says_how_old_the_pregnancy_is() -> None:
    (finding,) = findings("nt", 98)
    assert (finding.kind, finding.code) == (FindingKind.BLOCK, "obstetrics.gestation.over")
    assert "14+0" in finding.text.zh


def test_the_last_day_of_a_window_ends_at_local_midnight() -> None:
    last_evening = datetime(2026, 11, 23, 15, 59, 59, tzinfo=UTC)
    assert findings("nt", 97, last_evening) == []
    assert findings("nt", 97, last_evening + timedelta(seconds=1)) != []


def test_unknown_dates_block_every_exam_with_a_window_and_no_other() -> None:
    (finding,) = hooks.validate_order(order({"prenatal": "nt"}), NOW, SETTINGS, RULES)
    assert (finding.kind, finding.code) == (FindingKind.BLOCK, "obstetrics.gestation.unknown")
    assert hooks.validate_order(order({}), NOW, SETTINGS, RULES) == []


def test_a_kind_that_the_rules_do_not_have_is_blocked() -> None:
    assert [finding.code for finding in findings("nuchal", 80)] == ["obstetrics.gestation.kind_unknown"]


def test_the_catalogue_item_s_own_window_counts_before_that_of_its_kind() -> None:
    own = {"prenatal": "nt", "gestation_from_days": 80, "gestation_to_days": 90}
    found = visit(own, last_menstrual_period="2026-09-14")
    assert found.earliest == datetime(2026, 12, 3, tzinfo=SHANGHAI)
    assert found.latest == datetime(2026, 12, 13, 23, 59, 59, tzinfo=SHANGHAI)


def test_an_own_window_may_be_open_at_one_end() -> None:
    found = visit({"gestation_from_days": 238}, last_menstrual_period=period(100))
    assert found.earliest is not None
    assert found.latest is None
    assert [finding.kind.value for finding in _own(100)] == ["delay_until"]
    assert _own(290) == []


def _own(days: int) -> list[Finding]:
    attributes = {"gestation_from_days": 238}
    return list(hooks.validate_order(order(attributes, last_menstrual_period=period(days)), NOW, SETTINGS, RULES))


def test_an_exam_of_no_stage_is_one_segment_of_its_own_length_without_limits() -> None:
    found = visit({})
    assert [segment.minutes for segment in found.options[0].segments] == [20]
    assert (found.earliest, found.latest, found.fasting, found.starts_until) == (None, None, False, None)
    assert hooks.pre_booking_gate(order({}), NOW, SETTINGS, RULES) == []


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(sorted(WINDOWS)), days=st.integers(0, 301), second=st.integers(0, 86_399))
def test_a_visit_lies_within_its_window_to_the_second_whatever_the_time_of_day(kind: str, days: int, second: int) -> None:
    now = datetime.combine(TODAY, time(), SHANGHAI) + timedelta(seconds=second)
    known = order({"prenatal": kind}, **USUAL_RISK, last_menstrual_period=period(days))
    (found,) = hooks.requirements([known], [GROUP], now, SETTINGS, RULES) or ()
    assert found.earliest is not None
    assert found.latest is not None
    day0 = TODAY - timedelta(days=days)
    first, last = WINDOWS[kind]
    assert found.earliest == datetime.combine(day0 + timedelta(days=first), time(), SHANGHAI)
    assert found.latest + timedelta(seconds=1) == datetime.combine(day0 + timedelta(days=last + 1), time(), SHANGHAI)
    (answer,) = hooks.pre_booking_gate(known, now, SETTINGS, RULES)
    assert isinstance(answer, GateOpen) == (now <= found.latest)


# The gate


def test_the_gate_is_open_until_the_last_second_of_the_window_even_before_it_begins() -> None:
    closes = datetime(2026, 12, 29, 23, 59, 59, tzinfo=SHANGHAI)
    assert gate({"prenatal": "ogtt"}, last_menstrual_period="2026-06-10") == GateOpen("gestational_window", "1/1", closes)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, "obstetrics.gestation.unknown"),
        ({"last_menstrual_period": period(98)}, "obstetrics.gestation.over"),
    ],
)
def test_an_exam_without_dates_or_past_its_window_can_be_neither_paid_nor_booked(facts: dict[str, str], code: str) -> None:
    answer = gate({"prenatal": "nt"}, **facts)
    assert isinstance(answer, GateClosed)
    assert (answer.code, answer.payable, answer.owner) == (code, False, "obstetrician")
    assert "核对孕周" in answer.next_action.zh


def test_a_department_that_only_keeps_windows_makes_its_own_visits() -> None:
    only = {**SETTINGS, "windows_only": True}
    asked = order({"prenatal": "nt"}, last_menstrual_period=period(80))
    assert hooks.requirements([asked], [GROUP], NOW, only, RULES) is None
    assert len(hooks.pre_booking_gate(asked, NOW, only, RULES)) == 1


# Later than usual, and higher risk


def test_a_glucose_test_after_28_weeks_waits_for_the_doctor_s_confirmation_and_then_has_no_last_day() -> None:
    asked = {"attributes": {"prenatal": "ogtt"}, "last_menstrual_period": period(203)}
    assert [finding.code for finding in findings("ogtt", 203)] == [LATE]
    assert isinstance(gate(**asked), GateClosed)
    assert gate(**asked, confirmed={LATE: ""}) == GateOpen("gestational_window", "1/1", None)
    assert visit(**asked, confirmed={LATE: ""}).latest is None


def test_a_confirmation_does_not_open_a_window_that_is_blocked() -> None:
    late = {"prenatal": "nt"}
    assert isinstance(gate(late, confirmed={LATE: "", "obstetrics.gestation.over": ""}), GateClosed)
    assert visit(late, confirmed={LATE: ""}, last_menstrual_period=period(98)).latest is not None


@pytest.mark.parametrize("risk", [{"fetuses": 2}, {"high_risk_pregnancy": True}])
def test_with_twins_or_high_risk_monitoring_begins_at_32_weeks_and_is_weekly(risk: dict[str, Any]) -> None:
    assert said("nst", 223, **risk) == ["delay_until", "hint"]
    (hint,) = findings("nst", 224, **risk)
    assert (hint.kind, hint.code) == (FindingKind.HINT, "obstetrics.gestation.weekly")
    assert "7" in hint.text.zh


def test_without_risk_monitoring_begins_at_34_weeks_or_where_the_hospital_has_chosen_so_at_36() -> None:
    assert said("nst", 237) == ["delay_until"]
    assert said("nst", 238) == []
    from_36 = rule_book("obstetrics", "examlane_obstetrics", nst="from_36")
    early, ready = (
        hooks.validate_order(
            order({"prenatal": "nst"}, **USUAL_RISK, last_menstrual_period=period(days)), NOW, SETTINGS, from_36
        )
        for days in (251, 252)
    )
    assert [finding.kind for finding in early] == [FindingKind.DELAY_UNTIL]
    assert ready == []


@pytest.mark.parametrize("risk", [{}, {"fetuses": 1}, {"high_risk_pregnancy": False}])
def test_an_unknown_risk_is_confirmed_before_monitoring_is_held_early(risk: dict[str, Any]) -> None:
    early = {"attributes": {"prenatal": "nst"}, "last_menstrual_period": period(230), **risk}
    answer = gate(**early)
    assert isinstance(answer, GateClosed)
    assert answer.code == RISK_UNKNOWN
    confirmed = {RISK_UNKNOWN: ""}
    assert isinstance(gate(**early, confirmed=confirmed), GateOpen)
    first = datetime.combine(TODAY - timedelta(days=230 - 224), time(), SHANGHAI)
    assert visit(**early, confirmed=confirmed).earliest == first


def test_an_unknown_risk_is_asked_for_and_nothing_else_from_32_weeks_on() -> None:
    unknown = {"fetuses": Fact(None)}
    assert said("nst", 224, **unknown) == ["confirm"]
    assert said("nst", 223, **unknown) == ["delay_until", "confirm"]


def test_the_risk_does_not_matter_where_the_catalogue_item_has_its_own_window() -> None:
    own = {"prenatal": "nst", "gestation_from_days": 224}
    asked = order(own, last_menstrual_period=period(230))
    assert hooks.validate_order(asked, NOW, SETTINGS, RULES) == []


def test_an_unknown_risk_does_not_matter_once_monitoring_is_usual() -> None:
    asked = order({"prenatal": "nst"}, last_menstrual_period=period(238))
    assert hooks.validate_order(asked, NOW, SETTINGS, RULES) == []


# Settings


@pytest.mark.parametrize("wrong", [{"max_later_days": -1}, {"max_later_days": "soon"}, {"latest": 9}])
def test_a_department_s_settings_are_checked(wrong: dict[str, Any]) -> None:
    assert set(hooks.SettingsSchema().validate(wrong)) == set(wrong)
