"""What endoscopy says of an order: assessment, drugs, risks, escort, pregnancy, bowel preparation."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
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
    Finding,
    FindingKind,
    OrderItemView,
    OrderView,
    PatientView,
    Priority,
    Sex,
    Text,
)
from examlane.extension import answers
from examlane.rulebase.rules import RuleBook
from examlane.testing import rule_book
from examlane_endoscopy import hooks

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = rule_book("endoscopy", "examlane_endoscopy")
ESGE_2016 = rule_book("endoscopy", "examlane_endoscopy", p2y12_hold="esge_2016")
NO_ESCORT_BLOCKS = rule_book("endoscopy", "examlane_endoscopy", no_escort="block")
MAN = PatientView(1, Sex.MALE, date(1990, 1, 1))
OUTPATIENT, INPATIENT = EncounterClass.OUTPATIENT, EncounterClass.INPATIENT
SEDATED = {"sedation": True, "anticoagulant_risk": "low"}
LOW, HIGH = {"anticoagulant_risk": "low"}, {"anticoagulant_risk": "high"}
HEALTHY: dict[str, Any] = {
    "anticoagulant": "none", "escort": True, "sleep_apnoea": False, "copd": "none", "infarction": False,
    "child_pugh": "none", "bmi": 22, "full_stomach": False, "gastrointestinal_obstruction": False,
}  # fmt: skip
PASSED = {"asa": 2, "assessor_role": "anaesthetist", "assessor_grade": "attending"}


def order(
    attributes: dict[str, Any], encounter: EncounterClass = OUTPATIENT, priority: Priority = Priority.ROUTINE, **facts: Any
) -> OrderView:
    known = {name: value if isinstance(value, Fact) else Fact(value) for name, value in {**HEALTHY, **facts}.items()}
    context = {name: fact for name, fact in known.items() if fact.value is not None}
    item = OrderItemView("O1/1", ExamItem("ES1", Text("胃镜", "gastroscopy"), "ES", "stomach", "ES", attributes))
    return OrderView("O1", EncounterView("V1", encounter), "CLINIC", priority, NOW, (item,), context)


def assessed(outcome: str = "passed", **data: Any) -> EvidenceView:
    return EvidenceView("anaesthesia_assessment", outcome, NOW - DAY, data={**PASSED, **data})


def ask(
    asked: OrderView, *evidence: EvidenceView, patient: PatientView = MAN, rules: RuleBook = RULES
) -> dict[str, Finding]:
    found = hooks.validate_order(asked, patient, evidence, NOW, rules)
    checked = answers.findings(found, [item.key for item in asked.items])
    return {finding.code.removeprefix("endoscopy."): finding for finding in checked}


def kind(found: dict[str, Finding], code: str) -> FindingKind | None:
    return found[code].kind if code in found else None


# The assessment


def test_an_inpatient_order_is_blocked_until_the_assessment_is_passed() -> None:
    asked = order(SEDATED, INPATIENT)
    blocked = ask(asked)["assessment_required"]
    assert blocked.kind is FindingKind.BLOCK
    assert "尚未做麻醉评估" in blocked.text.zh
    assert "assessment_required" in ask(asked, assessed("deferred"))
    assert ask(asked, assessed()) == {}


def test_an_outpatient_order_may_be_submitted_before_the_assessment() -> None:
    assert ask(order(SEDATED)) == {}


def test_an_unsedated_order_of_a_ward_waits_for_nothing() -> None:
    assert ask(order(LOW, INPATIENT)) == {}


def test_the_conditions_of_a_conditional_pass_are_said() -> None:
    found = ask(order(SEDATED), assessed("passed_with_conditions", conditions=["备血", "术后留观"]))
    assert found["conditions"].kind is FindingKind.HINT
    assert "备血；术后留观" in found["conditions"].text.zh
    assert "conditions" not in ask(order(SEDATED), assessed(conditions=["备血"]))


@pytest.mark.parametrize(("age", "expected"), [(39, set()), (40, {"ecg"}), (59, {"ecg"}), (60, {"ecg", "blood"})])
def test_what_the_assessment_wants_depends_on_age(age: int, expected: set[str]) -> None:
    patient = PatientView(1, Sex.MALE, date(2026 - age, 1, 1))
    assert {code.removeprefix("assessment_") for code in ask(order(SEDATED), patient=patient)} == expected
    assert ask(order(SEDATED), assessed(), patient=patient) == {}


def test_an_unknown_age_asks_for_all_tests_and_a_high_bleeding_risk_for_blood_tests() -> None:
    assert {"assessment_ecg_unknown", "assessment_blood_unknown"} <= set(
        ask(order(SEDATED), patient=PatientView(1, Sex.MALE, None))
    )
    assert "assessment_blood" in ask(order({**SEDATED, **HIGH}))


def test_unknown_risks_are_asked_for_until_the_assessment_is_passed() -> None:
    for name in ("sleep_apnoea", "copd", "infarction", "child_pugh", "bmi", "full_stomach"):
        assert kind(ask(order(SEDATED, **{name: None})), "risk_unknown") is FindingKind.HINT
        assert "risk_unknown" not in ask(order(SEDATED, **{name: None}), assessed())


def test_a_high_risk_is_said() -> None:
    assert kind(ask(order(SEDATED, sleep_apnoea=True)), "high_risk") is FindingKind.HINT
    assert kind(ask(order(SEDATED, bmi=30)), "high_risk") is FindingKind.HINT
    assert "high_risk" not in ask(order(SEDATED, bmi=29.9))


# Escort, obstruction, pregnancy


def test_an_outpatient_without_an_escort_must_be_confirmed_and_an_unknown_one_is_said() -> None:
    assert kind(ask(order(SEDATED, escort=False)), "escort") is FindingKind.CONFIRM
    assert kind(ask(order(SEDATED, escort=None)), "escort_unknown") is FindingKind.HINT
    assert "escort" not in ask(order(SEDATED, INPATIENT, escort=False), assessed())
    assert ask(order(LOW, escort=False)) == {}


def test_a_hospital_may_refuse_whoever_has_no_escort() -> None:
    assert kind(ask(order(SEDATED, escort=False), rules=NO_ESCORT_BLOCKS), "escort") is FindingKind.BLOCK
    assert kind(ask(order(SEDATED, escort=None), rules=NO_ESCORT_BLOCKS), "escort_unknown") is FindingKind.CONFIRM


@pytest.mark.parametrize("name", ["full_stomach", "gastrointestinal_obstruction"])
def test_a_full_stomach_or_an_obstruction_blocks_sedation_and_is_approved_in_urgency_only(name: str) -> None:
    assert kind(ask(order(SEDATED, **{name: True})), "obstruction") is FindingKind.BLOCK
    urgent = ask(order(SEDATED, priority=Priority.URGENT, **{name: True}))
    assert kind(urgent, "obstruction") is FindingKind.APPROVE
    assert "obstruction" not in ask(order(LOW, **{name: True}))


def test_an_obstruction_blocks_laxatives_and_an_unknown_one_is_said() -> None:
    colonoscopy = {**LOW, "bowel_preparation": True}
    assert kind(ask(order(colonoscopy, gastrointestinal_obstruction=True)), "bowel_obstruction") is FindingKind.BLOCK
    unknown = ask(order(colonoscopy, gastrointestinal_obstruction=None))
    assert kind(unknown, "bowel_obstruction_unknown") is FindingKind.HINT


@pytest.mark.parametrize(
    ("sex", "age", "pregnant", "expected"),
    [
        (Sex.FEMALE, 30, True, "pregnant"), (Sex.FEMALE, 30, False, None), (Sex.FEMALE, 30, None, "pregnancy_unknown"),
        (Sex.UNKNOWN, 30, None, "pregnancy_unknown"), (Sex.MALE, 30, None, None), (Sex.FEMALE, 11, None, None),
        (Sex.FEMALE, 12, None, "pregnancy_unknown"), (Sex.FEMALE, 55, None, "pregnancy_unknown"),
        (Sex.FEMALE, 56, None, None),
    ],
)  # fmt: skip
def test_pregnancy_is_approved_and_the_unknown_confirmed(
    sex: Sex, age: int, pregnant: bool | None, expected: str | None
) -> None:
    patient = PatientView(1, sex, date(2026 - age, 1, 1))
    found = ask(order(SEDATED, pregnant=pregnant), assessed(), patient=patient)
    assert set(found) == ({expected} if expected else set())
    kinds = {"pregnant": FindingKind.APPROVE, "pregnancy_unknown": FindingKind.CONFIRM}
    assert [finding.kind for finding in found.values()] == ([kinds[expected]] if expected else [])


def test_bowel_preparation_takes_a_day() -> None:
    found = ask(order({**LOW, "bowel_preparation": True}))
    assert found["bowel_preparation"].until == NOW + DAY


def test_an_assessment_visit_is_asked_nothing() -> None:
    visit = {"opens": "anaesthesia_assessment", "zero_fee": True}
    assert ask(order(visit, escort=None, anticoagulant=None)) == {}


# Antithrombotic drugs

SETTLED = {"thrombotic_risk": "low"}


@pytest.mark.parametrize(
    ("drug", "rule", "days"),
    [("p2y12", "p2y12", 7), ("clopidogrel", "p2y12", 7), ("warfarin", "warfarin", 5), ("doac", "doac", 3),
     ("rivaroxaban", "doac", 3)],
)  # fmt: skip
def test_a_high_risk_procedure_waits_for_the_drug_to_rest(drug: str, rule: str, days: int) -> None:
    found = ask(order(HIGH, anticoagulant=drug, **SETTLED))
    assert found[f"antithrombotic.{rule}"].until == NOW + days * DAY


def test_a_hospital_that_follows_esge_2016_waits_five_days_for_a_p2y12_inhibitor() -> None:
    found = ask(order(HIGH, anticoagulant="p2y12", **SETTLED), rules=ESGE_2016)
    assert found["antithrombotic.p2y12"].until == NOW + 5 * DAY
    assert found["antithrombotic.p2y12"].rule_version == "2026.1-esge2016"


@pytest.mark.parametrize("told", ["2026-11-20T08:00:00+08:00", datetime(2026, 11, 20, 0, 0, tzinfo=UTC)])
def test_the_rest_counts_from_the_last_dose_where_it_is_known(told: Any) -> None:
    found = ask(order(HIGH, anticoagulant="doac", anticoagulant_last_dose_at=told, **SETTLED))
    assert found["antithrombotic.doac"].until == datetime(2026, 11, 23, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("told", [None, "yesterday", "2026-11-20", "2026-11-20T08:00:00", 5, ""])
def test_a_last_dose_that_cannot_be_read_counts_as_now(told: Any) -> None:
    found = ask(order(HIGH, anticoagulant="doac", anticoagulant_last_dose_at=told, **SETTLED))
    assert found["antithrombotic.doac"].until == NOW + 3 * DAY


def test_of_two_drugs_that_rest_nobody_knows_whose_last_dose_is_meant() -> None:
    last = {"anticoagulant_last_dose_at": "2026-11-22T08:00:00+08:00", **SETTLED}
    both = ask(order(HIGH, anticoagulant=["p2y12", "doac"], **last))
    assert both["antithrombotic.p2y12"].until == NOW + 7 * DAY
    assert both["antithrombotic.doac"].until == NOW + 3 * DAY
    assert ask(order(HIGH, anticoagulant="clopidogrel, Rivaroxaban", **last)) == both
    dual = ask(order(HIGH, anticoagulant=["aspirin", "p2y12"], **last))
    assert dual["antithrombotic.p2y12"].until == datetime(2026, 11, 29, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("drug", ["none", "aspirin"])
def test_aspirin_is_kept_even_for_a_high_risk_procedure(drug: str) -> None:
    assert ask(order(HIGH, anticoagulant=drug)) == {}


@pytest.mark.parametrize("drug", ["aspirin", "p2y12", "warfarin", "doac"])
def test_a_low_risk_procedure_waits_for_no_drug(drug: str) -> None:
    assert {finding.kind for finding in ask(order(LOW, anticoagulant=drug)).values()} <= {FindingKind.HINT}


def test_a_low_risk_procedure_leaves_out_the_morning_dose_of_a_direct_anticoagulant() -> None:
    assert set(ask(order(LOW, anticoagulant="doac"))) == {"antithrombotic.doac_morning"}


@pytest.mark.parametrize("drug", ["p2y12", "warfarin", "doac"])
def test_a_high_thrombotic_risk_needs_cardiology_and_an_unknown_one_is_confirmed(drug: str) -> None:
    code = "antithrombotic.thrombosis"
    assert kind(ask(order(HIGH, anticoagulant=drug, thrombotic_risk="high")), code) is FindingKind.APPROVE
    unknown = ask(order(HIGH, anticoagulant=drug, thrombotic_risk="middling"))
    assert kind(unknown, f"{code}_unknown") is FindingKind.CONFIRM
    assert kind(ask(order(HIGH, anticoagulant=drug, thrombotic_risk="low")), code) is None


@pytest.mark.parametrize("drug", [None, "heparin", "", [], ["aspirin", "heparin"], "aspirin;heparin", 5])
def test_an_unknown_drug_must_be_confirmed_before_a_high_risk_procedure(drug: Any) -> None:
    assert kind(ask(order(HIGH, anticoagulant=drug)), "antithrombotic.unknown") is FindingKind.CONFIRM
    assert kind(ask(order(LOW, anticoagulant=drug)), "antithrombotic.unknown_low") is FindingKind.HINT


def test_a_risk_class_nobody_knows_counts_as_high_and_so_does_none_with_sedation() -> None:
    for attributes in ({"anticoagulant_risk": "medium"}, {"sedation": True}):
        assert "antithrombotic.unknown" in ask(order(attributes, anticoagulant=None))
    assert ask(order({}, anticoagulant=None)) == {}


def inr(value: float, days: float) -> Fact:
    return Fact(value, NOW - days * DAY, "LIS")


def warfarin(risk: dict[str, Any], value: Any = None, stopped: int = 0) -> set[str]:
    last = (NOW - stopped * DAY).isoformat() if stopped else None
    facts = {"anticoagulant": "warfarin", "inr": value, "anticoagulant_last_dose_at": last, **SETTLED}
    return {code.removeprefix("antithrombotic.") for code in ask(order(risk, **facts))}


def test_an_inr_of_the_day_before_below_one_and_a_half_is_enough_after_warfarin() -> None:
    assert warfarin(HIGH, inr(1.49, 1), stopped=6) == {"warfarin"}
    assert warfarin(HIGH, inr(1.5, 1), stopped=6) == {"warfarin", "inr_check", "inr_high"}
    assert warfarin(HIGH, inr(1.2, 1.1), stopped=6) == {"warfarin", "inr_check"}


def test_a_high_inr_while_the_drug_has_not_rested_yet_needs_nobodys_approval() -> None:
    assert warfarin(HIGH, inr(2.4, 0), stopped=4) == {"warfarin", "inr_check"}
    assert warfarin(HIGH, inr(2.4, 0), stopped=5) == {"warfarin", "inr_check", "inr_high"}


def test_an_inr_without_a_date_or_from_the_future_is_no_inr() -> None:
    assert warfarin(HIGH, Fact(1.2), stopped=6) == {"warfarin", "inr_check_unknown"}
    assert warfarin(HIGH, inr(1.2, -1), stopped=6) == {"warfarin", "inr_check_unknown"}


@pytest.mark.parametrize(("days", "said"), [(6, set()), (7, set()), (7.1, {"inr_week"})])
def test_warfarin_goes_on_before_a_low_risk_procedure_with_an_inr_of_that_week(days: float, said: set[str]) -> None:
    assert warfarin(LOW, inr(2.4, days)) == said


ANY_FACT = st.none() | st.booleans() | st.integers(-5, 50) | st.text(max_size=5) | st.sampled_from(["low", "high", "C"])
NAMES = (*HEALTHY, "pregnant", "thrombotic_risk", "inr", "anticoagulant_last_dose_at", "months_since_infarction")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), ANY_FACT), st.sampled_from(["low", "high", None]))
def test_whatever_is_recorded_the_rules_answer_and_no_drug_rests_shorter_than_its_days(
    facts: dict[str, Any], risk: str | None
) -> None:
    found = ask(order({"sedation": True, "anticoagulant_risk": risk, "bowel_preparation": True}, **facts))
    assert found["bowel_preparation"].until == NOW + DAY
    drug = found.get("antithrombotic.warfarin")
    assert drug is None or (drug.until is not None and drug.until >= NOW + 5 * DAY)


@settings(max_examples=60, deadline=None)
@given(st.datetimes(datetime(2026, 10, 1), datetime(2026, 12, 31)), st.sampled_from(["p2y12", "warfarin", "doac"]))
def test_no_drug_rests_shorter_than_its_days_from_the_last_dose(last: datetime, drug: str) -> None:
    told = last.replace(tzinfo=UTC)
    found = ask(order(HIGH, anticoagulant=drug, anticoagulant_last_dose_at=told.isoformat(), **SETTLED))
    assert found[f"antithrombotic.{drug}"].until == told + {"p2y12": 7, "warfarin": 5, "doac": 3}[drug] * DAY
