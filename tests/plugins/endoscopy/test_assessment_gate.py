"""The anaesthesia assessment as a gate of sedated endoscopy: what opens it, until when, and what keeps it closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import (
    EncounterClass,
    EncounterView,
    EvidenceView,
    ExamItem,
    Fact,
    GateClosed,
    GateOpen,
    OrderItemView,
    OrderView,
    Priority,
    Text,
)
from examlane.extension import answers
from examlane.rulebase.rules import RuleBook
from examlane.testing import rule_book
from examlane_endoscopy import assessment, hooks

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
RULES = rule_book("endoscopy", "examlane_endoscopy")
SEDATED = {"sedation": True}
NO_RECHECK = {"recheck_before_start": False}
OUTPATIENT, INPATIENT, EMERGENCY = EncounterClass.OUTPATIENT, EncounterClass.INPATIENT, EncounterClass.EMERGENCY
FINAL_OUTCOMES = ("deferred", "failed", "expired", "withdrawn")


def order(*attributes: dict[str, Any], encounter: EncounterClass = OUTPATIENT, **facts: Any) -> OrderView:
    items = tuple(
        OrderItemView(f"O1/{line}", ExamItem(f"ES{line}", Text("胃镜", "gastroscopy"), "ES", "stomach", "ES", own))
        for line, own in enumerate(attributes or (SEDATED,), 1)
    )
    context = {name: Fact(value) for name, value in facts.items()}
    return OrderView("O1", EncounterView("V1", encounter), "CLINIC", Priority.ROUTINE, NOW, items, context)


def assessed(
    outcome: str = "passed",
    days_ago: float = 1,
    valid_until: datetime | None = None,
    scope: str = "",
    **data: Any,
) -> EvidenceView:
    known = {"asa": 2, "assessor_role": "anaesthetist", "assessor_grade": "resident", **data}
    if outcome == "passed_with_conditions":
        known.setdefault("conditions", ["备血"])
    observed_at = NOW - timedelta(days=days_ago)
    return EvidenceView("anaesthesia_assessment", outcome, observed_at, valid_until, scope, data=known)


def gate(
    *evidence: EvidenceView, asked: OrderView | None = None, rules: RuleBook = RULES, **settings: Any
) -> GateOpen | GateClosed:
    given_settings = settings or NO_RECHECK
    found = hooks.pre_booking_gate(asked or order(), evidence, NOW, given_settings, rules)
    (answer,) = answers.gates(found, ["O1/1"])
    assert answer.kind == "anaesthesia_assessment"
    return answer


def closed(*evidence: EvidenceView, asked: OrderView | None = None) -> GateClosed:
    answer = gate(*evidence, asked=asked)
    assert isinstance(answer, GateClosed), "the gate is open"
    assert not answer.payable
    assert answer.owner
    return answer


def why_closed(*evidence: EvidenceView, asked: OrderView | None = None) -> str:
    return closed(*evidence, asked=asked).code.removeprefix("endoscopy.")


@pytest.mark.parametrize("encounter", EncounterClass)
def test_without_an_assessment_the_gate_is_closed_and_unpayable_even_in_an_emergency(encounter: EncounterClass) -> None:
    assert why_closed(asked=order(encounter=encounter)) == "assessment_missing"


@pytest.mark.parametrize("outcome", ["passed", "passed_with_conditions"])
def test_a_passed_assessment_opens_the_gate_for_fourteen_days(outcome: str) -> None:
    answer = gate(assessed(outcome, days_ago=1))
    assert answer == GateOpen("anaesthesia_assessment", "O1/1", NOW + timedelta(days=13))


def test_the_assessors_own_date_counts_before_the_default() -> None:
    soon = NOW + timedelta(days=2)
    assert gate(assessed(valid_until=soon)) == GateOpen("anaesthesia_assessment", "O1/1", soon)


def test_a_gate_closes_at_the_very_instant_the_assessment_runs_out() -> None:
    assert why_closed(assessed(valid_until=NOW)) == "assessment_expired"
    assert why_closed(assessed(days_ago=14)) == "assessment_expired"
    assert isinstance(gate(assessed(valid_until=NOW + timedelta(seconds=1))), GateOpen)


@pytest.mark.parametrize("outcome", FINAL_OUTCOMES)
def test_every_other_outcome_closes_with_its_own_code_and_next_step(outcome: str) -> None:
    answer = closed(assessed(outcome))
    assert answer.code == f"endoscopy.assessment_{outcome}"
    assert answer.next_action.zh != closed().next_action.zh


def test_a_deferral_names_the_tests_it_wants_and_from_when_on_the_patient_may_come_again() -> None:
    answer = closed(assessed("deferred", needed_tests=["心电图", "血常规"], deferred_until="2026-12-01"))
    assert answer.next_action.zh == "完成评估医生要求的检查后复评；需补做：心电图、血常规；2026-12-01 起可复评"
    assert answer.next_action.en.endswith("; wanted: 心电图, 血常规; from 2026-12-01 on")


@pytest.mark.parametrize("data", [{}, {"needed_tests": 3, "deferred_until": None}, {"needed_tests": ["ECG", 5]}])
def test_a_deferral_without_readable_details_still_says_what_to_do(data: dict[str, Any]) -> None:
    assert closed(assessed("deferred", **data)).next_action.zh == "完成评估医生要求的检查后复评"


@pytest.mark.parametrize("outcome", ["", "PASSED", "ok", "unrecognised", "missing"])
def test_an_outcome_nobody_knows_is_not_a_pass(outcome: str) -> None:
    assert why_closed(assessed(outcome)) == "assessment_unrecognised"


@pytest.mark.parametrize("conditions", [None, [], "", " ; ", 7, ["备血", 7]])
def test_a_conditional_pass_whose_conditions_nobody_can_read_is_not_a_pass(conditions: Any) -> None:
    assert why_closed(assessed("passed_with_conditions", conditions=conditions)) == "conditions_missing"


def test_conditions_come_as_a_list_or_as_one_text_with_semicolons() -> None:
    told = assessed("passed_with_conditions", conditions="备血；术前停用二甲双胍; 术后留观 2 h")
    assert assessment.conditions(told) == ("备血", "术前停用二甲双胍", "术后留观 2 h")
    assert assessment.conditions(assessed("passed", conditions=["备血"])) == ()


def test_the_newest_assessment_decides_and_of_two_at_once_the_one_reported_last() -> None:
    assert isinstance(gate(assessed("failed", days_ago=3), assessed("passed", days_ago=1)), GateOpen)
    assert why_closed(assessed("passed", days_ago=3), assessed("failed", days_ago=1)) == "assessment_failed"
    assert why_closed(assessed("passed"), assessed("withdrawn")) == "assessment_withdrawn"


def test_an_assessment_for_another_order_does_not_count() -> None:
    assert why_closed(assessed(scope="O2/1")) == "assessment_missing"
    assert isinstance(gate(assessed(scope="O1/1")), GateOpen)
    assert isinstance(gate(assessed(scope="O1")), GateOpen)


def test_other_evidence_opens_nothing() -> None:
    assert why_closed(EvidenceView("approval", "passed", NOW, data={"asa": 1})) == "assessment_missing"


# Who may clear whom


@pytest.mark.parametrize("asa", [None, 0, 6, "2", True, 2.0])
def test_a_pass_without_a_readable_asa_class_stays_closed(asa: Any) -> None:
    assert why_closed(assessed(asa=asa)) == "asa_unknown"


@pytest.mark.parametrize("asa", [1, 2])
def test_asa_one_and_two_are_cleared_by_any_anaesthetist(asa: int) -> None:
    assert isinstance(gate(assessed(asa=asa)), GateOpen)


@pytest.mark.parametrize("grade", ["resident", "", None, "nurse", "Attending"])
def test_asa_three_cleared_below_attending_grade_stays_closed(grade: Any) -> None:
    assert why_closed(assessed(asa=3, assessor_grade=grade)) == "asa_senior"


@pytest.mark.parametrize("grade", ["attending", "associate_chief", "chief"])
def test_asa_three_cleared_by_attending_or_above_is_open(grade: str) -> None:
    assert isinstance(gate(assessed(asa=3, assessor_grade=grade)), GateOpen)


def test_asa_four_is_for_inpatients_only_and_never_cleared_by_a_resident() -> None:
    four = assessed(asa=4, assessor_grade="chief")
    assert why_closed(four) == "asa_inpatient_only"
    assert why_closed(four, asked=order(encounter=EMERGENCY)) == "asa_inpatient_only"
    assert isinstance(gate(four, asked=order(encounter=INPATIENT)), GateOpen)
    assert why_closed(assessed(asa=4), asked=order(encounter=INPATIENT)) == "asa_senior"


@pytest.mark.parametrize("encounter", EncounterClass)
def test_asa_five_is_never_open(encounter: EncounterClass) -> None:
    five = assessed(asa=5, assessor_grade="chief")
    assert why_closed(five, asked=order(encounter=encounter)) == "asa_never"


@pytest.mark.parametrize("role", ["nurse", "endoscopist", "", None, 3])
def test_deep_sedation_cleared_by_nobody_known_as_an_anaesthetist_stays_closed(role: Any) -> None:
    assert why_closed(assessed(assessor_role=role)) == "assessor_role"
    assert why_closed(assessed(assessor_role=role), asked=order({"sedation": "deep"})) == "assessor_role"


def test_moderate_sedation_may_be_cleared_by_another_role() -> None:
    assert isinstance(gate(assessed(assessor_role="nurse"), asked=order({"sedation": "moderate"})), GateOpen)


RISKS: tuple[dict[str, Any], ...] = (
    {"sleep_apnoea": True}, {"copd": "severe"}, {"months_since_infarction": 5}, {"child_pugh": "C"}, {"bmi": 30},
    {"weight_kg": 90, "height_cm": 170},
)  # fmt: skip
NO_RISKS: tuple[dict[str, Any], ...] = (
    {}, {"sleep_apnoea": False}, {"copd": "moderate"}, {"months_since_infarction": 6}, {"child_pugh": "B"}, {"bmi": 29.9},
    {"infarction": False, "months_since_infarction": 1}, {"weight_kg": 80, "height_cm": 170},
)  # fmt: skip


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_a_high_risk_patient_is_cleared_by_attending_grade_wherever_the_risk_is_known(risk: dict[str, Any]) -> None:
    assert why_closed(assessed(), asked=order(**risk)) == "high_risk_senior"
    assert why_closed(assessed(**risk)) == "high_risk_senior"
    assert isinstance(gate(assessed(assessor_grade="attending"), asked=order(**risk)), GateOpen)


@pytest.mark.parametrize("risk", NO_RISKS, ids=str)
def test_without_a_known_high_risk_a_resident_clears_asa_two(risk: dict[str, Any]) -> None:
    assert isinstance(gate(assessed(), asked=order(**risk)), GateOpen)


# The day of the exam


def recheck(outcome: str = "passed", hours_ago: float = 0, scope: str = "") -> EvidenceView:
    return EvidenceView("day_of_exam_recheck", outcome, NOW - timedelta(hours=hours_ago), scope=scope)


def test_an_open_gate_wants_a_recheck_on_the_day_where_the_department_asks_for_it() -> None:
    answer = gate(assessed(), recheck_before_start=True)
    assert isinstance(answer, GateOpen)
    assert answer.before_start is not None
    passed = gate(assessed(), recheck(), recheck_before_start=True)
    assert passed == GateOpen("anaesthesia_assessment", "O1/1", NOW + timedelta(days=13))


@pytest.mark.parametrize(("outcome", "hours_ago"), [("failed", 0), ("", 0), ("passed", 9.1), ("passed", 24)])
def test_a_recheck_of_another_day_or_one_that_is_not_passed_does_not_count(outcome: str, hours_ago: float) -> None:
    # 09:00 in Shanghai: midnight was nine hours ago.
    answer = gate(assessed(), recheck(outcome, hours_ago), recheck_before_start=True)
    assert isinstance(answer, GateOpen)
    assert answer.before_start is not None


def test_a_recheck_opens_no_gate() -> None:
    assert why_closed(recheck()) == "assessment_missing"


def test_the_recheck_is_asked_for_unless_a_department_switches_it_off() -> None:
    assert hooks.SettingsSchema().load({}) == {"recheck_before_start": True}


def test_unsedated_items_have_no_gate() -> None:
    found = hooks.pre_booking_gate(order({}, SEDATED), [], NOW, {}, RULES)
    assert [answer.item for answer in found] == ["O1/2"]


@pytest.mark.parametrize("name", assessment.OBSTACLES)
def test_a_rule_that_is_missing_opens_nothing(name: str) -> None:
    fewer = RuleBook({key: rule for key, rule in RULES.rules.items() if key != name})
    with pytest.raises(KeyError):
        gate(assessed("passed"), rules=fewer)


# Over all times and data


OFFSETS = st.floats(-60, 60)
ANYTHING = st.none() | st.booleans() | st.integers(-1, 7) | st.floats(allow_nan=False) | st.text(max_size=4)
ASSESSMENTS = st.builds(
    lambda outcome, days, until, data: assessed(
        outcome, days, None if until is None else NOW + timedelta(days=until), **data
    ),
    st.sampled_from(["passed", "passed_with_conditions", *FINAL_OUTCOMES]),
    st.floats(0, 60),
    st.none() | OFFSETS,
    st.fixed_dictionaries({
        "asa": st.integers(1, 5) | ANYTHING,
        "assessor_grade": st.sampled_from(["resident", "attending", "chief"]) | ANYTHING,
        "assessor_role": st.sampled_from(["anaesthetist", "nurse"]) | ANYTHING,
    }),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(ASSESSMENTS, max_size=4), st.sampled_from(EncounterClass))
def test_a_gate_is_never_open_past_its_assessments_validity_nor_on_unknown_data(
    evidence: list[EvidenceView], encounter: EncounterClass
) -> None:
    answer = gate(*evidence, asked=order(encounter=encounter))
    if isinstance(answer, GateOpen):
        newest = max(fact.observed_at for fact in evidence)
        deciding = [fact for fact in evidence if fact.observed_at == newest][-1]
        assert answer.until == assessment.valid_until(deciding, RULES)
        assert answer.until is not None
        assert answer.until > NOW
        assert deciding.outcome.startswith("passed")
        assert deciding.data["asa"] in (1, 2, 3, 4)
        assert deciding.data["assessor_role"] == "anaesthetist"
        assert deciding.data["asa"] < 3 or deciding.data["assessor_grade"] in ("attending", "chief")


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(["asa", "assessor_role", "conditions", "bmi", "copd"]), ANYTHING))
def test_a_pass_is_open_only_with_its_class_and_its_assessor(data: dict[str, Any]) -> None:
    told = EvidenceView("anaesthesia_assessment", "passed", NOW, data=data)
    if isinstance(gate(told), GateOpen):
        assert data["asa"] in (1, 2)
        assert data["assessor_role"] == "anaesthetist"
