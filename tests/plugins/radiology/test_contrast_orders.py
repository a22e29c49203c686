"""What radiology says of contrast orders: dose, kidneys, metformin, reactions, thyroid, pregnancy and notes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examlane import (
    EncounterClass,
    EncounterView,
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
from examlane_radiology import dose, hooks, renal
from examlane_radiology.rulebase import RULES

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
MAN_OF_40 = PatientView(1, Sex.MALE, date(1986, 1, 1))
MAN_OF_61 = PatientView(2, Sex.MALE, date(1965, 1, 1))
WOMAN_OF_30 = PatientView(3, Sex.FEMALE, date(1996, 1, 1))
HARMLESS = {
    "weight_kg": 70,
    "contrast_reaction": "none",
    "metformin": False,
    "hyperthyroidism": False,
    "pregnant": False,
    "egfr": 95,
}


def exam(modality: str = "CT", **attributes: Any) -> ExamItem:
    return ExamItem("X", Text("检查", "exam"), modality, "abdomen", "RAD", attributes)


ENHANCED_CT = exam(contrast="iodine", contrast_protocol="abdomen_ct", ionising=True)
ENHANCED_MR = exam("MR", contrast="gadolinium", contrast_protocol="mr")
PLAIN_CT = exam(ionising=True)
PLAIN_MR = exam("MR")


def ask(
    *items: ExamItem,
    patient: PatientView = MAN_OF_40,
    encounter: EncounterClass = EncounterClass.OUTPATIENT,
    priority: Priority = Priority.ROUTINE,
    note: str = "",
    measured: datetime | None = NOW - timedelta(days=1),
    settings: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    **facts: Any,
) -> list[Finding]:
    """The findings of the hook for an order of a harmless patient, changed by some facts."""
    context = {name: Fact(value, measured) for name, value in {**HARMLESS, **facts}.items() if name not in without}
    views = tuple(OrderItemView(f"O1/{line}", item) for line, item in enumerate(items or (ENHANCED_CT,), 1))
    order = OrderView("O1", EncounterView("V1", encounter), "CLINIC", priority, NOW, views, context, note)
    found = hooks.validate_order(order, patient, NOW, settings or {})
    return list(answers.findings(found, [view.key for view in views]))


def codes(found: list[Finding]) -> set[str]:
    """The codes that are said, fills left out."""
    return {finding.code.removeprefix("radiology.") for finding in found if finding.kind is not FindingKind.FILL}


def kind(found: list[Finding], code: str) -> FindingKind | None:
    return next((finding.kind for finding in found if finding.code == f"radiology.{code}"), None)


def fills(found: list[Finding]) -> dict[str, Any]:
    return {finding.field: finding.value for finding in found if finding.kind is FindingKind.FILL}


# Dose


def test_a_harmless_contrast_order_is_filled_with_agent_dose_flow_and_cannula() -> None:
    found = ask()
    assert fills(found) == {"agent": "iohexol-350", "volume_ml": 100.0, "flow_ml_s": 3.0, "cannula": "20G"}
    assert codes(found) == set()


def test_every_fill_names_the_rule_its_version_and_its_source() -> None:
    for finding in ask():
        assert finding.rule.startswith("radiology.")
        assert finding.rule_version
        assert finding.source


def test_a_plain_exam_gets_no_contrast() -> None:
    assert ask(PLAIN_CT) == []


def test_gadolinium_goes_by_millimoles_of_a_group_two_agent() -> None:
    filled = fills(ask(ENHANCED_MR))
    assert filled["agent"] == "gadoterate"
    assert filled["volume_ml"] == 14.0


def test_a_heavy_patient_gets_no_more_than_the_cap() -> None:
    assert fills(ask(weight_kg=200))["volume_ml"] == 120.0


@pytest.mark.parametrize("weight", [None, "70", 0, -3, 4000, True, float("nan")])
def test_an_unknown_or_impossible_weight_blocks_and_fills_no_volume(weight: Any) -> None:
    found = ask(weight_kg=weight)
    assert kind(found, "weight_unknown") is FindingKind.BLOCK
    assert "volume_ml" not in fills(found)


def test_a_contrast_exam_without_protocol_is_left_to_the_doctor_who_confirms() -> None:
    found = ask(exam(contrast="iodine"))
    assert kind(found, "protocol_unknown") is FindingKind.CONFIRM
    assert fills(found) == {}


def test_microbubbles_have_a_fixed_dose_and_need_no_weight() -> None:
    found = ask(exam("US", contrast="microbubble"), without=("weight_kg",))
    assert fills(found) == {"agent": "sulphur-hexafluoride", "volume_ml": 2.4}
    assert codes(found) == set()


@pytest.mark.parametrize("birth", [date(2018, 1, 1), None])
def test_a_child_or_a_patient_of_unknown_age_gets_no_adult_flow(birth: date | None) -> None:
    found = ask(ENHANCED_MR, patient=PatientView(9, Sex.MALE, birth), weight_kg=25)
    assert "flow_ml_s" not in fills(found)
    assert kind(found, "child_rate") is FindingKind.CONFIRM


PROTOCOLS = [name.removeprefix("protocol.") for name in RULES.tables if name.startswith("protocol.")]
WEIGHTS = st.floats(0.3, 400)


@given(st.sampled_from(PROTOCOLS), WEIGHTS, WEIGHTS)
def test_the_dose_never_exceeds_the_cap_and_never_falls_with_weight(name: str, one: float, other: float) -> None:
    injection = RULES.rule(f"protocol.{name}", {})
    agent = RULES.rule(f"agent.{injection['agent']}", {})
    light, heavy = sorted((one, other))
    less, more = dose.volume_ml(injection, agent, light), dose.volume_ml(injection, agent, heavy)
    assert less is not None
    assert more is not None
    assert 0 <= less <= more <= injection.parameters.get("cap_ml", injection.parameters.get("fixed_ml"))
    if dose.needs_weight(injection):
        assert less <= injection["per_kg"] * light / agent["concentration"] + 1e-6


# Kidneys


@pytest.mark.parametrize(
    ("creatinine", "age", "sex", "expected"),
    [(88.4, 50, Sex.MALE, 91.8), (88.4, 50, Sex.FEMALE, 68.7), (53.04, 30, Sex.FEMALE, 123.9), (265.2, 70, Sex.MALE, 21.7)],
)  # fmt: skip
def test_ckd_epi_gives_what_the_equation_gives_by_hand(creatinine: float, age: int, sex: Sex, expected: float) -> None:
    assert renal.ckd_epi(creatinine, age, sex, {}) == pytest.approx(expected, abs=0.6)


@given(st.floats(20, 1500), st.floats(20, 1500), st.integers(18, 100), st.sampled_from([Sex.MALE, Sex.FEMALE]))
def test_egfr_never_rises_with_creatinine(one: float, other: float, age: int, sex: Sex) -> None:
    low, high = sorted((one, other))
    assert renal.ckd_epi(high, age, sex, {}) <= renal.ckd_epi(low, age, sex, {})


def test_a_patient_over_sixty_with_unknown_kidneys_is_blocked() -> None:
    assert kind(ask(patient=MAN_OF_61, without=("egfr",)), "egfr_unknown") is FindingKind.BLOCK


def test_a_patient_of_sixty_or_less_without_history_needs_no_egfr() -> None:
    man_of_sixty = PatientView(9, Sex.MALE, date(1966, 1, 1))
    assert "egfr_unknown" not in codes(ask(patient=man_of_sixty, without=("egfr",)))


@pytest.mark.parametrize("reason", ["renal_history", "diabetes", "hypertension", "metformin"])
def test_each_reason_for_an_egfr_blocks_while_it_is_unknown(reason: str) -> None:
    assert "egfr_unknown" in codes(ask(without=("egfr",), **{reason: True}))


def test_an_unknown_age_is_a_reason_for_an_egfr() -> None:
    ageless = PatientView(9, Sex.MALE, None)
    assert "egfr_unknown" in codes(ask(patient=ageless, without=("egfr",)))


def test_creatinine_is_enough() -> None:
    assert "egfr_unknown" not in codes(ask(patient=MAN_OF_61, without=("egfr",), creatinine_umol_l=80))


def test_creatinine_of_a_patient_of_unknown_sex_is_not_enough() -> None:
    person = PatientView(9, Sex.UNKNOWN, date(1950, 1, 1))
    assert "egfr_unknown" in codes(ask(patient=person, without=("egfr",), creatinine_umol_l=80))


def test_an_emergency_confirms_instead_of_waiting_for_the_laboratory() -> None:
    found = ask(patient=MAN_OF_61, without=("egfr",), encounter=EncounterClass.EMERGENCY)
    assert kind(found, "egfr_unknown") is FindingKind.CONFIRM


@pytest.mark.parametrize(
    ("days", "encounter", "expired"),
    [
        (90, EncounterClass.OUTPATIENT, False),
        (91, EncounterClass.OUTPATIENT, True),
        (7, EncounterClass.INPATIENT, False),
        (8, EncounterClass.INPATIENT, True),
    ],
)
def test_an_egfr_holds_ninety_days_and_seven_on_the_ward(days: int, encounter: EncounterClass, expired: bool) -> None:
    found = ask(patient=MAN_OF_61, measured=NOW - timedelta(days=days), encounter=encounter)
    assert ("egfr_expired" in codes(found)) is expired


def test_an_egfr_without_a_date_is_not_relied_on() -> None:
    assert kind(ask(patient=MAN_OF_61, measured=None), "egfr_expired") is FindingKind.BLOCK


@pytest.mark.parametrize(("egfr", "code"), [(29.9, "kidney_risk"), (30, "kidney_caution"), (45, None)])
def test_low_egfr_asks_for_approval_and_a_middling_one_for_care(egfr: float, code: str | None) -> None:
    assert codes(ask(egfr=egfr)) == ({code} if code else set())


def test_acute_kidney_injury_asks_for_approval_whatever_the_egfr() -> None:
    assert kind(ask(acute_kidney_injury=True), "kidney_risk") is FindingKind.APPROVE


def test_group_two_gadolinium_asks_for_no_kidney_function() -> None:
    assert codes(ask(ENHANCED_MR, patient=MAN_OF_61, without=("egfr",), renal_history=True)) == set()


def test_a_metformin_patient_with_low_egfr_must_be_confirmed() -> None:
    assert kind(ask(egfr=25, metformin=True), "metformin") is FindingKind.CONFIRM


def test_a_metformin_patient_with_good_kidneys_is_not_disturbed() -> None:
    assert codes(ask(metformin=True)) == set()


def test_unknown_metformin_is_said() -> None:
    assert kind(ask(without=("metformin",)), "metformin_unknown") is FindingKind.HINT


# Reactions, thyroid, pregnancy


def test_a_severe_reaction_wants_approval_and_thirteen_hours_of_premedication() -> None:
    found = ask(contrast_reaction="severe")
    assert kind(found, "reaction_severe") is FindingKind.APPROVE
    assert [finding.until for finding in found if finding.until] == [NOW + timedelta(hours=13)]


def test_a_moderate_reaction_is_confirmed_and_premedicated() -> None:
    found = ask(contrast_reaction="moderate")
    assert kind(found, "reaction_moderate") is FindingKind.CONFIRM
    assert kind(found, "premedication") is FindingKind.DELAY_UNTIL


def test_a_mild_reaction_is_confirmed_without_delay() -> None:
    assert codes(ask(contrast_reaction="mild")) == {"reaction_mild"}


def test_an_emergency_uses_the_accelerated_premedication() -> None:
    found = ask(contrast_reaction="severe", priority=Priority.STAT)
    assert [finding.until for finding in found if finding.until] == [NOW + timedelta(hours=5)]


@pytest.mark.parametrize("value", [None, "yes", True])
def test_an_unknown_or_unreadable_reaction_history_must_be_confirmed(value: Any) -> None:
    assert kind(ask(contrast_reaction=value), "reaction_unknown") is FindingKind.CONFIRM


def test_untreated_hyperthyroidism_blocks_iodine_but_not_gadolinium() -> None:
    assert kind(ask(hyperthyroidism=True), "hyperthyroidism") is FindingKind.BLOCK
    assert codes(ask(ENHANCED_MR, hyperthyroidism=True)) == set()


@pytest.mark.parametrize("item", [PLAIN_CT, ENHANCED_CT])
def test_a_pregnant_patient_needs_approval_for_radiation(item: ExamItem) -> None:
    assert kind(ask(item, patient=WOMAN_OF_30, pregnant=True), "pregnant_ionising") is FindingKind.APPROVE


def test_a_pregnant_patient_needs_approval_for_gadolinium_but_not_for_plain_mr() -> None:
    assert codes(ask(ENHANCED_MR, patient=WOMAN_OF_30, pregnant=True)) == {"pregnant_gadolinium"}
    assert codes(ask(PLAIN_MR, patient=WOMAN_OF_30, pregnant=True)) == set()


@pytest.mark.parametrize(
    ("patient", "asked"),
    [
        (WOMAN_OF_30, True),
        (PatientView(9, Sex.FEMALE, date(2014, 11, 23)), True),
        (PatientView(9, Sex.FEMALE, date(2014, 11, 24)), False),
        (PatientView(9, Sex.FEMALE, date(1970, 11, 24)), True),
        (PatientView(9, Sex.FEMALE, date(1970, 11, 23)), False),
        (PatientView(9, Sex.UNKNOWN, None), True),
        (MAN_OF_40, False),
    ],
)
def test_women_from_12_to_55_are_asked_about_pregnancy(patient: PatientView, asked: bool) -> None:
    assert ("pregnancy_unknown" in codes(ask(PLAIN_CT, patient=patient, without=("pregnant",)))) is asked


def test_ct_counts_as_ionising_even_where_the_catalogue_forgot_to_say_so() -> None:
    assert "pregnant_ionising" in codes(ask(exam(), patient=WOMAN_OF_30, pregnant=True))


# Note against order


@pytest.mark.parametrize("note", ["请做增强", "Enhanced please", "平扫+增强"])
def test_a_note_asking_for_contrast_on_a_plain_item_must_be_confirmed(note: str) -> None:
    assert kind(ask(PLAIN_CT, note=note), "note_contradicts_order") is FindingKind.CONFIRM


@pytest.mark.parametrize("note", ["平扫即可", "不增强", "unenhanced", "", "右下腹痛"])
def test_a_note_that_agrees_with_a_plain_item_is_left_alone(note: str) -> None:
    assert ask(PLAIN_CT, note=note) == []


def test_a_note_asking_for_a_plain_scan_on_an_enhanced_item_must_be_confirmed() -> None:
    assert "note_contradicts_order" in codes(ask(note="只做平扫"))


def test_a_note_may_speak_of_the_orders_other_item() -> None:
    assert "note_contradicts_order" not in codes(ask(PLAIN_CT, ENHANCED_CT, note="胸部平扫，腹部增强"))


def test_a_note_on_an_xray_is_not_read() -> None:
    assert ask(exam("DX"), note="增强") == []


# The rule base


@pytest.mark.parametrize("name", RULES.tables)
def test_every_rule_has_its_id_version_and_source_and_every_number_its_unit(name: str) -> None:
    table = RULES.tables[name]
    assert table["id"].startswith("radiology.")
    assert table["version"]
    assert table["source"]
    assert ("zh" in table) == ("en" in table)
    unitless = ("factor", "alpha_", "beta", "age_base", "female_factor")
    for parameter, value in table.get("parameters", {}).items():
        numeric = isinstance(value, int | float) and not parameter.startswith(unitless)
        assert not numeric or isinstance(table["unit"], str) or parameter in table["unit"]


def test_ids_are_unique() -> None:
    ids = [found.id for found in RULES.named("", {})]
    assert len(ids) == len(set(ids))


def test_a_hospital_sets_its_own_number_and_the_version_shows_it() -> None:
    settings = {"radiology.egfr_expired": {"stable_days": 30}}
    found = ask(patient=MAN_OF_61, measured=NOW - timedelta(days=31), settings=settings)
    assert [finding.rule_version for finding in found if finding.code == "radiology.egfr_expired"] == ["2026.1+hospital"]


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="stable_dayz"):
        ask(patient=MAN_OF_61, settings={"radiology.egfr_expired": {"stable_dayz": 30}})
