"""ECG: re-booking at the kiosk, care before a treadmill test, and what patients are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
    NoShow,
    NoShowAction,
    NoShowDecision,
    OrderItemView,
    OrderView,
    PatientView,
    Priority,
    Sex,
    Text,
)
from examlane_ecg import hooks

SHANGHAI = ZoneInfo("Asia/Shanghai")
NINE = datetime(2026, 11, 23, 9, tzinfo=SHANGHAI)


def item(**attributes: Any) -> OrderItemView:
    return OrderItemView("1/1", ExamItem("ECG", Text("心电图", "ECG"), "ECG", "heart", "ECG", attributes))


def missed(
    earlier: int = 0, noticed_at: datetime = NINE, starts_at: datetime = NINE, **settings: Any
) -> NoShowDecision:
    encounter = EncounterView("E1", EncounterClass.OUTPATIENT)
    patient = PatientView(1, Sex.MALE, None)
    return hooks.on_no_show(NoShow("A1", patient, encounter, (item(),), starts_at, noticed_at, earlier), settings)


def findings(needs: frozenset[str] = frozenset(), treadmill: bool = True, **facts: Any) -> dict[str, Finding]:
    encounter = EncounterView("E1", EncounterClass.OUTPATIENT, needs=needs)
    context = {name: Fact(value) for name, value in facts.items()}
    order = OrderView("1", encounter, "IM", Priority.ROUTINE, NINE, (item(treadmill=treadmill),), context)
    return {finding.code: finding for finding in hooks.validate_order(order, {})}


def test_who_misses_an_ecg_takes_a_new_place_at_the_kiosk_until_the_end_of_that_day() -> None:
    decision = missed()
    assert decision.action is NoShowAction.SELF_REBOOK
    assert decision.rebook_until == datetime(2026, 11, 23, 23, 59, 59, tzinfo=SHANGHAI)
    assert decision.limit == 2
    assert "无需到窗口" in decision.text.zh


def test_a_start_given_in_utc_ends_with_the_day_of_the_named_time_zone() -> None:
    decision = missed(starts_at=NINE.astimezone(UTC), time_zone="Asia/Shanghai")
    assert decision.rebook_until == datetime(2026, 11, 23, 15, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(("earlier", "action"), [(1, "self_rebook"), (2, "manual"), (3, "manual")])
def test_after_two_misses_a_day_the_desk_decides(earlier: int, action: str) -> None:
    assert missed(earlier).action == action


def test_a_department_may_set_another_limit() -> None:
    assert missed(1, rebook_limit=1).action is NoShowAction.MANUAL


def test_a_miss_noticed_after_the_day_goes_to_the_desk() -> None:
    assert missed(noticed_at=NINE + timedelta(days=1)).action is NoShowAction.MANUAL


def test_a_resting_ecg_is_never_questioned() -> None:
    assert findings(treadmill=False, hypertension=True, pregnant=True) == {}


def test_the_exclusions_of_a_treadmill_test_must_be_confirmed_even_when_nothing_is_known() -> None:
    found = findings()
    assert {code: finding.kind for code, finding in found.items()} == {"ecg.treadmill_exclusions": FindingKind.CONFIRM}
    assert "2 天内急性心肌梗死" in found["ecg.treadmill_exclusions"].text.zh


@pytest.mark.parametrize("need", ["wheelchair", "stretcher"])
def test_a_patient_who_may_not_walk_must_be_confirmed_for_the_treadmill(need: str) -> None:
    assert findings(frozenset({need}))["ecg.cannot_walk"].kind is FindingKind.CONFIRM


def test_a_pregnant_patient_must_be_confirmed_for_the_treadmill() -> None:
    assert findings(pregnant=True)["ecg.pregnant"].kind is FindingKind.CONFIRM


def test_hypertension_hints_at_the_resting_limits() -> None:
    finding = findings(hypertension=True)["ecg.blood_pressure"]
    assert finding.kind is FindingKind.HINT
    assert "200/110 mmHg" in finding.text.en


def test_asthma_hints_at_the_inhaler_and_its_absence_does_not() -> None:
    assert findings(asthma=True)["ecg.asthma"].kind is FindingKind.HINT
    assert "ecg.asthma" not in findings(asthma=False)


def test_a_holter_patient_bathes_before_and_brings_the_recorder_back_after_a_day() -> None:
    (step,) = hooks.preparation([item(holter=True)], {})
    assert "24 小时" in step.text.zh
    assert "归还" in step.text.zh
    assert "5–10 minutes" in step.text.en


def test_a_treadmill_patient_neither_eats_nor_smokes_for_three_hours() -> None:
    (step,) = hooks.preparation([item(treadmill=True)], {})
    assert (step.lead, step.fasting_hours) == (timedelta(hours=3), 3)


def test_a_resting_ecg_needs_no_preparation() -> None:
    assert hooks.preparation([item()], {}) == []
