"""ECG: what forbids an exercise test, what must be confirmed, and what the patient is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examlane import (
    EncounterClass,
    EncounterView,
    ExamItem,
    Fact,
    Finding,
    OrderItemView,
    OrderView,
    PatientView,
    Preparation,
    Priority,
    Sex,
    Text,
)
from examlane.testing import rule_book
from examlane_ecg.hooks import SettingsSchema, preparation, validate_order

NINE = datetime(2026, 11, 23, 9, tzinfo=ZoneInfo("Asia/Shanghai"))
RULES = rule_book("ecg", "examlane_ecg")
SETTINGS = {"time_zone": "Asia/Shanghai", **SettingsSchema().load({})}
HEALTHY: dict[str, Any] = {
    "myocardial_infarction": False, "unstable_angina": False, "arrhythmia": False, "aortic_stenosis": False,
    "heart_failure": False, "pulmonary_embolism": False, "myocarditis": False, "aortic_dissection": False,
    "systolic_mmhg": 130, "diastolic_mmhg": 80, "can_walk": True, "pregnant": False, "asthma": False,
}  # fmt: skip
FORBIDDING = [
    "unstable_angina", "arrhythmia", "aortic_stenosis", "heart_failure", "pulmonary_embolism", "myocarditis",
    "aortic_dissection",
]  # fmt: skip
ASKED = [*FORBIDDING, "myocardial_infarction", "systolic_mmhg", "diastolic_mmhg", "can_walk"]


def item(**attributes: Any) -> OrderItemView:
    return OrderItemView("1/1", ExamItem("ECG", Text("心电图", "ECG"), "ECG", "heart", "ECG", attributes))


def context(facts: dict[str, Any]) -> dict[str, Fact]:
    return {name: Fact(value) for name, value in facts.items()}


def findings(
    facts: dict[str, Any] | None = None, needs: str = "", sex: Sex = Sex.FEMALE, **attributes: Any
) -> dict[str, Finding]:
    encounter = EncounterView("E1", EncounterClass.OUTPATIENT, needs=frozenset(filter(None, [needs])))
    asked = item(**(attributes or {"treadmill": True}))
    order = OrderView("1", encounter, "IM", Priority.ROUTINE, NINE, (asked,), context(facts or {}))
    found = validate_order(order, PatientView(1, sex, None), NINE, SETTINGS, RULES)
    return {finding.code: finding for finding in found}


def kinds(facts: dict[str, Any] | None = None, **more: Any) -> dict[str, str]:
    return {code: finding.kind.value for code, finding in findings(facts, **more).items()}


def told(facts: dict[str, Any], **attributes: Any) -> dict[str, Preparation]:
    return {step.code: step for step in preparation([item(**attributes)], context(facts), SETTINGS, RULES)}


def test_a_resting_ecg_is_never_questioned() -> None:
    assert findings({"unstable_angina": True, "pregnant": True}, holter=False) == {}


def test_a_patient_with_nothing_against_it_is_not_questioned() -> None:
    assert findings(HEALTHY) == {}


def test_where_nothing_is_known_the_exclusions_are_confirmed_once() -> None:
    found = findings(sex=Sex.MALE)
    assert {code: finding.kind.value for code, finding in found.items()} == {"ecg.treadmill_exclusions": "confirm"}
    assert "2 天内急性心肌梗死" in found["ecg.treadmill_exclusions"].text.zh
    assert "200/110 mmHg" in found["ecg.treadmill_exclusions"].text.en


@pytest.mark.parametrize("missing", ASKED)
def test_each_fact_that_is_missing_asks_for_the_confirmation(missing: str) -> None:
    known = {name: value for name, value in HEALTHY.items() if name != missing}
    assert kinds(known) == {"ecg.treadmill_exclusions": "confirm"}


@pytest.mark.parametrize("fact", FORBIDDING)
def test_what_forbids_the_test_blocks_it(fact: str) -> None:
    assert kinds(HEALTHY | {fact: True}) == {f"ecg.{fact}": "block"}


@pytest.mark.parametrize(("day", "kind"), [("2026-11-22", "block"), ("2026-11-21", "block"), ("2026-11-20", None)])
def test_an_infarction_within_two_days_blocks_the_test(day: str, kind: str | None) -> None:
    found = findings(HEALTHY | {"myocardial_infarction": True, "infarction_date": day})
    assert [finding.kind.value for finding in found.values()] == ([kind] if kind else [])


@pytest.mark.parametrize("day", [None, "2026-11-24", "yesterday"])
def test_an_infarction_of_an_unknown_day_must_be_confirmed(day: str | None) -> None:
    facts = HEALTHY | {"myocardial_infarction": True, "infarction_date": day}
    assert kinds(facts) == {"ecg.treadmill_exclusions": "confirm"}


@pytest.mark.parametrize(
    ("systolic", "diastolic", "asked"), [(200, 110, False), (201, 80, True), (150, 111, True), (199, 109, False)]
)
def test_a_pressure_above_the_resting_limits_must_be_confirmed(systolic: int, diastolic: int, asked: bool) -> None:
    found = kinds(HEALTHY | {"systolic_mmhg": systolic, "diastolic_mmhg": diastolic})
    assert found == ({"ecg.blood_pressure": "confirm"} if asked else {})


def test_who_cannot_walk_has_no_treadmill_test() -> None:
    assert kinds(HEALTHY | {"can_walk": False}) == {"ecg.cannot_walk": "block"}


@pytest.mark.parametrize("need", ["wheelchair", "stretcher"])
def test_a_wheelchair_asks_whether_he_can_walk_unless_that_is_known(need: str) -> None:
    unknown = {name: value for name, value in HEALTHY.items() if name != "can_walk"}
    assert kinds(unknown, needs=need)["ecg.walking_aid"] == "confirm"
    assert kinds(HEALTHY, needs=need) == {}


def test_pregnancy_must_be_confirmed_is_asked_where_unknown_and_no_question_to_men() -> None:
    unknown = {name: value for name, value in HEALTHY.items() if name != "pregnant"}
    assert kinds(HEALTHY | {"pregnant": True}) == {"ecg.pregnant": "confirm"}
    assert kinds(unknown) == {"ecg.pregnant_unknown": "hint"}
    assert kinds(unknown, sex=Sex.MALE) == {}


@given(st.dictionaries(st.sampled_from(ASKED), st.sampled_from([True, False, None, 90, "?"]), max_size=3))
def test_a_patient_who_is_not_questioned_has_every_fact_in_readable_form(changed: dict[str, Any]) -> None:
    facts = HEALTHY | changed
    if not kinds(facts, sex=Sex.MALE):
        assert all(type(facts[name]) is bool for name in ASKED if "mmhg" not in name)
        assert all(type(facts[name]) is int for name in ASKED if "mmhg" in name)


def test_a_treadmill_patient_neither_eats_nor_smokes_for_three_hours() -> None:
    step = told({"asthma": False}, treadmill=True)["ecg.tell.treadmill"]
    assert (step.lead, step.fasting_hours) == (timedelta(hours=3), 3)
    assert "运动鞋" in step.text.zh


@pytest.mark.parametrize(
    ("facts", "words"), [({"asthma": True}, "请随身携带哮喘吸入剂"), ({}, "如有哮喘，请随身携带吸入剂")]
)
def test_who_has_asthma_or_may_have_it_brings_the_inhaler(facts: dict[str, Any], words: str) -> None:
    assert told(facts, treadmill=True)["ecg.tell.inhaler"].text.zh == words


def test_who_has_no_asthma_is_not_told_of_an_inhaler() -> None:
    assert set(told({"asthma": False}, treadmill=True)) == {"ecg.tell.treadmill"}


def test_a_resting_ecg_needs_no_preparation() -> None:
    assert told({}) == {}


def test_every_rule_names_its_source() -> None:
    assert all(rule.source for rule in RULES.rules.values())
