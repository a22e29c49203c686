"""The anaesthesia assessment as a gate of sedated endoscopy, and the findings about an order."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examlane import (
    EncounterClass,
    EncounterView,
    EvidenceView,
    ExamItem,
    Fact,
    Finding,
    FindingKind,
    GateClosed,
    GateOpen,
    OrderItemView,
    OrderView,
    PatientView,
    Priority,
    Sex,
    Text,
)
from examlane.extension import answers
from examlane_endoscopy import assessment, hooks
from examlane_endoscopy.rulebase import RULES

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
PATIENT = PatientView(1, Sex.MALE, date(1980, 1, 1))
SEDATED = {"sedation": True}
OUTPATIENT, INPATIENT, EMERGENCY = EncounterClass.OUTPATIENT, EncounterClass.INPATIENT, EncounterClass.EMERGENCY
FINAL_OUTCOMES = ("deferred", "failed", "expired", "withdrawn")


def order(
    *attributes: dict[str, Any], encounter: EncounterClass = OUTPATIENT, **facts: Any
) -> OrderView:
    items = tuple(
        OrderItemView(f"O1/{line}", ExamItem(f"ES{line}", Text("胃镜", "gastroscopy"), "ES", "stomach", "ES", own))
        for line, own in enumerate(attributes or (SEDATED,), 1)
    )
    context = {name: Fact(value) for name, value in facts.items()}
    return OrderView("O1", EncounterView("V1", encounter), "CLINIC", Priority.ROUTINE, NOW, items, context)


def assessed(
    outcome: str = "passed",
    days_ago: float = 1,
    asa: Any = 2,
    grade: str = "resident",
    valid_until: datetime | None = None,
    scope: str = "",
) -> EvidenceView:
    data = {"asa": asa, "assessor_grade": grade}
    observed_at = NOW - timedelta(days=days_ago)
    return EvidenceView("anaesthesia_assessment", outcome, observed_at, valid_until, scope, data=data)


def gate(*evidence: EvidenceView, encounter: EncounterClass = OUTPATIENT) -> GateOpen | GateClosed:
    found = hooks.pre_booking_gate(order(encounter=encounter), evidence, NOW, {})
    (answer,) = answers.gates(found, ["O1/1"])
    assert answer.kind == "anaesthesia_assessment"
    return answer


def why_closed(*evidence: EvidenceView, encounter: EncounterClass = OUTPATIENT) -> str:
    answer = gate(*evidence, encounter=encounter)
    assert isinstance(answer, GateClosed), "the gate is open"
    assert not answer.payable
    assert answer.owner
    assert answer.next_action.zh
    return answer.code.removeprefix("endoscopy.")


@pytest.mark.parametrize("encounter", EncounterClass)
def test_without_an_assessment_the_gate_is_closed_and_unpayable_even_in_an_emergency(encounter: EncounterClass) -> None:
    assert why_closed(encounter=encounter) == "assessment_missing"


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
    assert isinstance(gate(assessed(days_ago=13.9)), GateOpen)


@pytest.mark.parametrize("outcome", FINAL_OUTCOMES)
def test_every_other_outcome_closes_with_its_own_code_and_next_step(outcome: str) -> None:
    assert why_closed(assessed(outcome)) == f"assessment_{outcome}"


@pytest.mark.parametrize("outcome", ["", "PASSED", "ok", "unrecognised", "missing"])
def test_an_outcome_nobody_knows_is_not_a_pass(outcome: str) -> None:
    assert why_closed(assessed(outcome)) == "assessment_unrecognised"


def test_the_newest_assessment_decides_in_whatever_order_they_come() -> None:
    passed, failed = assessed("passed", days_ago=3), assessed("failed", days_ago=1)
    assert why_closed(passed, failed) == "assessment_failed"
    assert why_closed(failed, passed) == "assessment_failed"
    assert isinstance(gate(failed, assessed("passed", days_ago=0)), GateOpen)


def test_of_two_assessments_of_one_instant_the_later_reported_decides() -> None:
    assert why_closed(assessed("passed"), assessed("withdrawn")) == "assessment_withdrawn"


def test_an_assessment_for_another_order_does_not_count() -> None:
    assert why_closed(assessed(scope="O2/1")) == "assessment_missing"
    assert isinstance(gate(assessed(scope="O1/1")), GateOpen)
    assert isinstance(gate(assessed(scope="O1")), GateOpen)


def test_other_evidence_opens_nothing() -> None:
    assert why_closed(EvidenceView("approval", "passed", NOW, data={"asa": 1})) == "assessment_missing"


@pytest.mark.parametrize("asa", [None, 0, 6, "2", True, 2.0])
def test_a_pass_without_a_readable_asa_class_stays_closed(asa: Any) -> None:
    assert why_closed(assessed(asa=asa)) == "asa_unknown"


@pytest.mark.parametrize("grade", ["resident", "", "nurse"])
def test_asa_three_cleared_below_attending_grade_stays_closed(grade: str) -> None:
    assert why_closed(assessed(asa=3, grade=grade)) == "asa_senior"


@pytest.mark.parametrize("grade", ["attending", "associate_chief", "chief"])
def test_asa_three_cleared_by_attending_or_above_is_open(grade: str) -> None:
    assert isinstance(gate(assessed(asa=3, grade=grade)), GateOpen)


def test_asa_four_is_for_inpatients_only_and_never_cleared_by_a_resident() -> None:
    four = assessed(asa=4, grade="chief")
    assert why_closed(four) == "asa_inpatient_only"
    assert why_closed(four, encounter=EMERGENCY) == "asa_inpatient_only"
    assert isinstance(gate(four, encounter=INPATIENT), GateOpen)
    assert why_closed(assessed(asa=4), encounter=INPATIENT) == "asa_senior"


@pytest.mark.parametrize("encounter", EncounterClass)
def test_asa_five_is_never_open(encounter: EncounterClass) -> None:
    assert why_closed(assessed(asa=5, grade="chief"), encounter=encounter) == "asa_never"


def test_unsedated_items_have_no_gate() -> None:
    found = hooks.pre_booking_gate(order({}, SEDATED), [], NOW, {})
    assert [answer.item for answer in found] == ["O1/2"]


OFFSETS = st.floats(-60, 60)
ASSESSMENTS = st.builds(
    lambda outcome, days, asa, grade, until: assessed(
        outcome, days, asa, grade, None if until is None else NOW + timedelta(days=until)
    ),
    st.sampled_from(["passed", "passed_with_conditions", *FINAL_OUTCOMES]),
    st.floats(0, 60),
    st.integers(1, 5),
    st.sampled_from(["resident", "attending", "chief"]),
    st.none() | OFFSETS,
)


@given(st.lists(ASSESSMENTS, max_size=4), st.sampled_from(EncounterClass))
def test_a_gate_is_never_open_past_its_assessments_validity(
    evidence: list[EvidenceView], encounter: EncounterClass
) -> None:
    answer = gate(*evidence, encounter=encounter)
    if isinstance(answer, GateOpen):
        newest = max(fact.observed_at for fact in evidence)
        deciding = [fact for fact in evidence if fact.observed_at == newest]
        assert answer.until in [assessment.valid_until(fact, {}) for fact in deciding]
        assert answer.until is not None
        assert answer.until > NOW
        assert all(fact.outcome.startswith("passed") and fact.data["asa"] <= 4 for fact in deciding[-1:])


# Findings


def ask(asked: OrderView, *evidence: EvidenceView) -> dict[str, Finding]:
    found = hooks.validate_order(asked, evidence, NOW, {})
    checked = answers.findings(found, [item.key for item in asked.items])
    return {finding.code.removeprefix("endoscopy."): finding for finding in checked}


def test_an_inpatient_order_is_blocked_until_the_assessment_is_passed() -> None:
    asked = order(encounter=INPATIENT, escort=True)
    assert ask(asked)["assessment_required"].kind is FindingKind.BLOCK
    assert "assessment_required" in ask(asked, assessed("deferred"))
    assert ask(asked, assessed()) == {}


def test_an_outpatient_order_may_be_submitted_before_the_assessment() -> None:
    assert ask(order(escort=True)) == {}


@pytest.mark.parametrize("facts", [{}, {"escort": False}])
def test_a_missing_or_unknown_escort_is_said(facts: dict[str, Any]) -> None:
    assert ask(order(**facts))["escort"].kind is FindingKind.HINT


@pytest.mark.parametrize(("drug", "days"), [("p2y12", 7), ("warfarin", 5), ("doac", 3)])
def test_a_high_risk_procedure_waits_for_the_drug_to_rest(drug: str, days: int) -> None:
    found = ask(order({"anticoagulant_risk": "high"}, anticoagulant=drug))
    assert found["anticoagulant_hold"].until == NOW + timedelta(days=days)


@pytest.mark.parametrize("drug", ["none", "aspirin"])
def test_aspirin_is_kept_even_for_a_high_risk_procedure(drug: str) -> None:
    assert ask(order({"anticoagulant_risk": "high"}, anticoagulant=drug)) == {}


@pytest.mark.parametrize("drug", ["aspirin", "p2y12", "warfarin", "doac"])
def test_a_low_risk_procedure_waits_for_no_drug(drug: str) -> None:
    assert "anticoagulant_hold" not in ask(order({"anticoagulant_risk": "low"}, anticoagulant=drug))


@pytest.mark.parametrize("drug", [None, "heparin"])
def test_an_unknown_drug_must_be_confirmed_before_a_high_risk_procedure(drug: str | None) -> None:
    high = ask(order({"anticoagulant_risk": "high"}, anticoagulant=drug))
    assert high["anticoagulant_unknown"].kind is FindingKind.CONFIRM
    low = ask(order({"anticoagulant_risk": "low"}, anticoagulant=drug))
    assert low["anticoagulant_unknown_low"].kind is FindingKind.HINT


def test_bowel_preparation_takes_a_day() -> None:
    found = ask(order({"bowel_preparation": True}))
    assert found["bowel_preparation"].until == NOW + timedelta(days=1)


@pytest.mark.parametrize("name", RULES.tables)
def test_every_rule_has_its_id_version_and_source_and_every_number_its_unit(name: str) -> None:
    table = RULES.tables[name]
    assert table["id"] == f"endoscopy.{name}"
    assert table["version"]
    assert table["source"]
    assert ("owner" in table) == ("next" in table)
    for parameter, value in table.get("parameters", {}).items():
        assert not isinstance(value, int | float | dict) or parameter in table["unit"]
