"""Kidneys: who needs an eGFR, how long it holds, when iodine or gadolinium endangers them, and metformin."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import EncounterClass, FindingKind, PatientView, Priority, Sex
from examlane.testing import rule_book
from examlane_radiology import kidneys

BOOK = rule_book("radiology", "examlane_radiology")
NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
WARD, EMERGENCY = EncounterClass.INPATIENT, EncounterClass.EMERGENCY


@pytest.mark.parametrize(
    ("creatinine", "age", "sex", "expected"),
    [(88.4, 50, Sex.MALE, 91.8), (88.4, 50, Sex.FEMALE, 68.7), (53.04, 30, Sex.FEMALE, 123.9), (265.2, 70, Sex.MALE, 21.7)],
)  # fmt: skip
def test_ckd_epi_gives_what_the_equation_gives_by_hand(creatinine: float, age: int, sex: Sex, expected: float) -> None:
    assert kidneys.ckd_epi(creatinine, age, sex, BOOK) == pytest.approx(expected, abs=0.6)


@settings(max_examples=100)
@given(st.floats(5, 5000), st.floats(5, 5000), st.integers(18, 110), st.sampled_from([Sex.MALE, Sex.FEMALE]))
def test_egfr_never_rises_with_creatinine(one: float, other: float, age: int, sex: Sex) -> None:
    low, high = sorted((one, other))
    assert kidneys.ckd_epi(high, age, sex, BOOK) <= kidneys.ckd_epi(low, age, sex, BOOK)


@pytest.mark.parametrize(
    ("birth", "kind"),
    [(date(1965, 11, 23), FindingKind.BLOCK), (date(1965, 11, 24), None), (date(1986, 1, 1), None)],
)
def test_over_sixty_iodine_wants_an_egfr(clinic: Any, birth: date, kind: FindingKind | None) -> None:
    patient = PatientView(9, Sex.MALE, birth)
    assert clinic.kind("egfr_unknown", patient=patient, without=("egfr",)) is kind
    assert clinic.kind("egfr_unknown", clinic.enhanced_mr, patient=patient, without=("egfr",)) is None


@pytest.mark.parametrize("reason", ["renal_history", "diabetes", "hypertension", "metformin", "dialysis"])
def test_each_reason_for_an_egfr_blocks_while_it_is_unknown(clinic: Any, reason: str) -> None:
    assert clinic.kind("egfr_unknown", without=("egfr",), **{reason: True}) is FindingKind.BLOCK


@pytest.mark.parametrize("unknown", ["renal_history", "diabetes", "hypertension"])
def test_without_an_egfr_an_unknown_history_must_be_confirmed(clinic: Any, unknown: str) -> None:
    assert clinic.codes(without=("egfr", unknown)) == {"kidney_history"}
    assert clinic.codes(without=(unknown,)) == set()


def test_an_unknown_age_is_asked_about_while_there_is_no_egfr(clinic: Any) -> None:
    ageless = PatientView(9, Sex.MALE, None)
    assert "kidney_history" in clinic.codes(patient=ageless, without=("egfr",))


@pytest.mark.parametrize(("name", "value"), [("creatinine_umol_l", 80), ("creatinine_mg_dl", 0.9)])
def test_creatinine_in_either_unit_is_enough(clinic: Any, name: str, value: float) -> None:
    assert clinic.codes(patient=clinic.man_of_61, without=("egfr",), **{name: value}) == set()


@pytest.mark.parametrize(("name", "value"), [("creatinine_umol_l", 442), ("creatinine_mg_dl", 5)])
def test_a_bad_creatinine_in_either_unit_asks_for_approval(clinic: Any, name: str, value: float) -> None:
    assert clinic.kind("kidney_risk", without=("egfr",), **{name: value}) is FindingKind.APPROVE


@pytest.mark.parametrize("patient", [PatientView(9, Sex.UNKNOWN, date(1950, 1, 1)), PatientView(9, Sex.MALE, None)])
def test_creatinine_without_sex_or_age_is_not_enough(clinic: Any, patient: PatientView) -> None:
    said = clinic.codes(patient=patient, without=("egfr",), creatinine_umol_l=80, diabetes=True)
    assert "egfr_unknown" in said


@pytest.mark.parametrize("more", [{"encounter": EMERGENCY}, {"priority": Priority.URGENT}, {"priority": Priority.STAT}])
def test_an_urgent_order_does_not_wait_for_the_laboratory_but_gives_a_reason(clinic: Any, more: Any) -> None:
    found = clinic.ask(patient=clinic.man_of_61, without=("egfr",), **more)
    (asked,) = [finding for finding in found if finding.code == "radiology.egfr_unknown"]
    assert asked.kind is FindingKind.CONFIRM
    assert asked.needs_reason


@pytest.mark.parametrize(
    ("days", "encounter", "expired"),
    [
        (90, EncounterClass.OUTPATIENT, False),
        (91, EncounterClass.OUTPATIENT, True),
        (7, WARD, False),
        (8, WARD, True),
        (8, EncounterClass.CHECKUP, False),
    ],
)
def test_an_egfr_holds_ninety_days_and_seven_on_the_ward(
    clinic: Any, days: int, encounter: EncounterClass, expired: bool
) -> None:
    more = {"patient": clinic.man_of_61, "measured": NOW - timedelta(days=days), "encounter": encounter}
    assert (clinic.kind("egfr_expired", **more) is FindingKind.BLOCK) is expired


def test_acute_kidney_injury_makes_an_egfr_old_after_seven_days(clinic: Any) -> None:
    assert "egfr_expired" in clinic.codes(acute_kidney_injury=True, measured=NOW - timedelta(days=8))


def test_a_hospital_may_want_a_creatinine_of_the_last_seven_days_from_everybody(clinic: Any) -> None:
    rules = clinic.book(egfr_validity="cn_2013")
    for days, expired in ((7, False), (8, True)):
        said = clinic.codes(patient=clinic.man_of_61, measured=NOW - timedelta(days=days), rules=rules)
        assert ("egfr_expired" in said) is expired


@pytest.mark.parametrize("measured", [None, NOW + timedelta(days=2)])
def test_an_egfr_without_a_date_or_from_the_future_is_not_relied_on(clinic: Any, measured: datetime | None) -> None:
    assert clinic.kind("egfr_expired", patient=clinic.man_of_61, measured=measured) is FindingKind.BLOCK


@pytest.mark.parametrize(
    ("egfr", "codes"),
    [
        (29.9, {"kidney_risk", "hydration"}),
        (30, {"kidney_caution"}),
        (44.9, {"kidney_caution"}),
        (45, set()),
    ],
)
def test_low_egfr_asks_for_approval_and_a_middling_one_for_care(clinic: Any, egfr: float, codes: set[str]) -> None:
    assert clinic.codes(egfr=egfr) == codes


@pytest.mark.parametrize(
    ("egfr", "codes"),
    [(30, {"kidney_risk_first_pass", "hydration"}), (44.9, {"kidney_risk_first_pass", "hydration"}), (45, set())],
)
def test_into_an_artery_and_in_intensive_care_the_threshold_is_45(clinic: Any, egfr: float, codes: set[str]) -> None:
    arterial = clinic.exam("血管造影", "XA", contrast="iodine", contrast_protocol="aorta_cta", route="intra_arterial")
    assert clinic.codes(arterial, egfr=egfr) == codes
    assert clinic.codes(egfr=egfr, icu=True) == codes
    assert clinic.codes(egfr=egfr, needs=frozenset({"icu"})) == codes


def test_into_an_artery_an_egfr_is_always_wanted(clinic: Any) -> None:
    assert clinic.codes(icu=True, without=("egfr",)) == {"egfr_first_pass"}


def test_acute_kidney_injury_or_dialysis_asks_for_approval_whatever_the_egfr(clinic: Any) -> None:
    assert clinic.kind("kidney_risk", acute_kidney_injury=True) is FindingKind.APPROVE
    assert clinic.kind("kidney_risk", dialysis=True) is FindingKind.APPROVE


def test_on_the_ward_unrecorded_kidney_injury_is_said(clinic: Any) -> None:
    assert clinic.codes(encounter=WARD, without=("acute_kidney_injury",)) == {"kidney_injury_unknown"}
    assert clinic.codes(without=("acute_kidney_injury",)) == set()


def test_the_newer_of_egfr_and_creatinine_counts(clinic: Any) -> None:
    context = clinic.context({"egfr": 90, "creatinine_umol_l": 400})
    older = {**context, "egfr": type(context["egfr"])(90, NOW - timedelta(days=60))}
    known = {"egfr": 90.0, "creatinine_umol_l": 400.0, "creatinine_mg_dl": None}
    found = kidneys.newest(clinic.man, older, known, BOOK)
    assert found is not None
    assert found.value < 20


# Metformin


def test_a_metformin_patient_with_low_egfr_must_be_confirmed(clinic: Any) -> None:
    assert clinic.kind("metformin", egfr=29, metformin=True) is FindingKind.CONFIRM
    assert clinic.codes(egfr=45, metformin=True) == set()
    assert "metformin" not in clinic.codes(egfr=30, metformin=True)


def test_a_metformin_patient_with_acute_kidney_injury_must_be_confirmed(clinic: Any) -> None:
    assert clinic.kind("metformin", acute_kidney_injury=True, metformin=True) is FindingKind.CONFIRM


def test_an_arterial_study_pauses_metformin_unless_the_catalogue_says_it_sends_no_emboli(clinic: Any) -> None:
    arterial = {"contrast": "iodine", "contrast_protocol": "aorta_cta", "route": "intra_arterial"}
    assert "metformin" in clinic.codes(clinic.exam(**arterial), metformin=True)
    assert "metformin" not in clinic.codes(clinic.exam(**arterial, renal_emboli_risk=False), metformin=True)


def test_unknown_metformin_is_asked_where_it_matters(clinic: Any) -> None:
    assert clinic.kind("metformin_unknown", egfr=20, without=("metformin",)) is FindingKind.CONFIRM
    assert clinic.codes(without=("metformin",)) == set()


def test_gadolinium_pauses_no_metformin(clinic: Any) -> None:
    assert clinic.codes(clinic.enhanced_mr, egfr=20, metformin=True) == set()


def test_a_hospital_that_stops_metformin_48_hours_before_delays_the_exam(clinic: Any) -> None:
    rules = clinic.book(metformin="cn_48h")
    (found,) = [one for one in clinic.ask(metformin=True, rules=rules) if one.code == "radiology.metformin"]
    assert found.kind is FindingKind.DELAY_UNTIL
    assert found.until == NOW + timedelta(hours=48)
    assert found.rule_version == "2026.1-cn48h"
    assert clinic.kind("metformin_unknown", without=("metformin",), rules=rules) is FindingKind.CONFIRM
    assert clinic.codes(rules=rules) == set()


def test_metformin_that_was_stopped_earlier_counts_from_then(clinic: Any) -> None:
    stopped = (NOW - timedelta(hours=30)).isoformat()
    rules = clinic.book(metformin="cn_48h")
    assert clinic.until(metformin=True, metformin_stopped_at=stopped, rules=rules) == [timedelta(hours=18)]


def test_an_urgent_exam_does_not_wait_for_metformin_but_gives_a_reason(clinic: Any) -> None:
    rules = clinic.book(metformin="cn_48h")
    found = clinic.ask(metformin=True, encounter=EMERGENCY, rules=rules)
    (asked,) = [one for one in found if one.code == "radiology.metformin_urgent"]
    assert (asked.kind, asked.until, asked.needs_reason) == (FindingKind.CONFIRM, None, True)


# Gadolinium


def test_group_two_gadolinium_asks_for_no_kidney_function(clinic: Any) -> None:
    said = clinic.codes(clinic.enhanced_mr, patient=clinic.man_of_61, without=("egfr",), renal_history=True)
    assert said == set()
    assert clinic.codes(clinic.enhanced_mr, egfr=10, dialysis=True) == set()


@pytest.mark.parametrize(("egfr", "asked"), [(29.9, True), (30, False)])
@pytest.mark.parametrize("agent", ["马根维显", "欧乃影"])
def test_group_one_is_avoided_below_thirty(clinic: Any, agent: str, egfr: float, asked: bool) -> None:
    kind = clinic.kind("gadolinium_risk", clinic.enhanced_mr, contrast_agent=agent, egfr=egfr)
    assert (kind is FindingKind.APPROVE) is asked


@pytest.mark.parametrize("injury", ["dialysis", "acute_kidney_injury"])
def test_group_one_is_avoided_in_acute_injury_and_on_dialysis(clinic: Any, injury: str) -> None:
    said = clinic.kind("gadolinium_risk", clinic.enhanced_mr, contrast_agent="马根维显", **{injury: True})
    assert said is FindingKind.APPROVE


def test_group_one_needs_a_current_kidney_function(clinic: Any) -> None:
    code = "gadolinium_risk_unknown"
    blocked = clinic.kind(code, clinic.enhanced_mr, contrast_agent="马根维显", without=("egfr",))
    old = clinic.kind(code, clinic.enhanced_mr, contrast_agent="马根维显", measured=NOW - timedelta(days=91))
    assert blocked is FindingKind.BLOCK
    assert old is FindingKind.BLOCK


def test_the_liver_specific_agent_is_of_group_three_until_the_hospital_follows_2024(clinic: Any) -> None:
    item = clinic.exam("肝脏MRI增强", "MR", contrast="gadolinium", contrast_protocol="liver_specific_mr")
    assert clinic.kind("gadolinium_risk", item, egfr=25) is FindingKind.APPROVE
    assert clinic.codes(item, egfr=25, rules=clinic.book(gadoxetate_group="acr_2024")) == set()


@pytest.mark.parametrize(("egfr", "asked"), [(60, True), (60.1, False)])
def test_a_hospital_may_want_normal_kidneys_for_any_mr_contrast(clinic: Any, egfr: float, asked: bool) -> None:
    rules = clinic.book(gadolinium_kidneys="cn_normal")
    said = clinic.kind("gadolinium_normal_kidneys", clinic.enhanced_mr, egfr=egfr, rules=rules)
    assert (said is FindingKind.APPROVE) is asked
    unknown = clinic.kind("gadolinium_normal_kidneys_unknown", clinic.enhanced_mr, without=("egfr",), rules=rules)
    assert unknown is FindingKind.BLOCK


def test_hydration_is_the_hospitals_choice(clinic: Any) -> None:
    for profile, words in (("esur_10", "3–4"), ("cn_2013", "24")):
        found = clinic.ask(egfr=20, rules=clinic.book(hydration=profile))
        (hint,) = [one for one in found if one.code == "radiology.hydration"]
        assert words in hint.text.en
