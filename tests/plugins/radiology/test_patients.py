"""What the patient brings: earlier reactions, pregnancy, thyroid, implants, and contraindications of microbubbles."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from examlane import EncounterClass, FindingKind, PatientView, Priority, Sex

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
EMERGENCY = EncounterClass.EMERGENCY


# Earlier reactions


def test_a_severe_reaction_wants_approval_and_thirteen_hours_of_premedication(clinic: Any) -> None:
    assert clinic.kind("reaction_severe", contrast_reaction="severe") is FindingKind.APPROVE
    assert clinic.until(contrast_reaction="severe") == [13 * HOUR]


def test_methylprednisolone_takes_twelve_hours(clinic: Any) -> None:
    rules = clinic.book(premedication="methylprednisolone_12h")
    assert clinic.until(contrast_reaction="severe", rules=rules) == [12 * HOUR]
    (found,) = [one for one in clinic.ask(contrast_reaction="severe", rules=rules) if one.until]
    assert found.rule_version == "2026.1-methyl"


def test_a_moderate_reaction_is_confirmed_and_premedicated(clinic: Any) -> None:
    assert clinic.codes(contrast_reaction="moderate") == {"reaction_moderate", "premedication"}
    assert clinic.kind("reaction_moderate", contrast_reaction="moderate") is FindingKind.CONFIRM


def test_a_mild_reaction_is_confirmed_without_delay(clinic: Any) -> None:
    assert clinic.codes(contrast_reaction="mild") == {"reaction_mild"}


def test_the_culprit_is_avoided_and_a_mild_reaction_to_it_only_said(clinic: Any) -> None:
    facts = {"contrast_reaction": "mild", "contrast_reaction_agent": "碘海醇"}
    assert clinic.fills(**facts)["agent"] == "iopamidol-300"
    assert clinic.codes(**facts) == {"reaction_switched"}


def test_a_written_culprit_is_replaced_and_must_be_confirmed(clinic: Any) -> None:
    facts = {"contrast_reaction": "moderate", "contrast_reaction_agent": "欧乃派克", "contrast_agent": "碘海醇350"}
    assert clinic.kind("agent_is_culprit", **facts) is FindingKind.CONFIRM
    assert clinic.fills(**facts)["agent"] == "iopamidol-300"


def test_a_reaction_to_gadolinium_is_no_reason_to_premedicate_for_iodine(clinic: Any) -> None:
    facts = {"contrast_reaction": "severe", "contrast_reaction_agent": "钆双胺"}
    assert clinic.codes(**facts) == {"reaction_other_class"}
    assert clinic.kind("reaction_severe", clinic.enhanced_mr, **facts) is FindingKind.APPROVE


def test_premedication_that_has_begun_counts_and_one_of_yesterday_does_not(clinic: Any) -> None:
    facts = {"contrast_reaction": "severe"}
    begun = {"premedication_started_at": (NOW - 10 * HOUR).isoformat()}
    assert clinic.until(**facts, **begun) == [3 * HOUR]
    long_ago = {"premedication_started_at": (NOW - 25 * HOUR).isoformat()}
    assert clinic.until(**facts, **long_ago) == [13 * HOUR]


@pytest.mark.parametrize("more", [{"priority": Priority.STAT}, {"priority": Priority.URGENT}, {"encounter": EMERGENCY}])
def test_an_urgent_exam_uses_the_accelerated_premedication(clinic: Any, more: Any) -> None:
    assert clinic.until(contrast_reaction="severe", **more) == [5 * HOUR]
    (severe,) = [one for one in clinic.ask(contrast_reaction="severe", **more) if one.code.endswith("reaction_severe")]
    assert (severe.kind, severe.needs_reason) == (FindingKind.CONFIRM, True)


def test_an_urgent_exam_that_cannot_wait_gives_a_reason(clinic: Any) -> None:
    code = "radiology.premedication_accelerated"
    more = {"contrast_reaction": "severe", "priority": Priority.STAT}
    assert clinic.until(**more, confirmed={code: "主动脉夹层"}) == []
    assert "premedication_waived" in clinic.codes(**more, confirmed={code: "主动脉夹层"})
    assert clinic.until(**more, confirmed={code: ""}) == [5 * HOUR]
    assert clinic.until(contrast_reaction="severe", confirmed={code: "着急"}) == [13 * HOUR]


@pytest.mark.parametrize("grade", ["mild", "moderate", "severe", None])
def test_a_breakthrough_reaction_wants_approval(clinic: Any, grade: str | None) -> None:
    found = clinic.ask(contrast_reaction=grade, contrast_reaction_breakthrough=True)
    assert any(one.code.startswith("radiology.reaction_breakthrough") for one in found if one.kind is FindingKind.APPROVE)


@pytest.mark.parametrize("value", [None, "yes", True, "Severe"])
def test_an_unknown_or_unreadable_reaction_history_must_be_confirmed(clinic: Any, value: Any) -> None:
    assert clinic.codes(contrast_reaction=value) == {"reaction_unknown"}
    assert clinic.codes(clinic.plain_ct, contrast_reaction=value) == set()


@pytest.mark.parametrize("allergy", ["shellfish_allergy", "topical_iodine_allergy"])
def test_shellfish_and_topical_iodine_are_no_reason(clinic: Any, allergy: str) -> None:
    assert clinic.codes(**{allergy: True}) == {"allergy_no_reason"}
    assert clinic.kind("allergy_no_reason", **{allergy: True}) is FindingKind.HINT


@pytest.mark.parametrize("allergy", ["asthma", "atopy", "drug_allergy"])
def test_asthma_and_other_allergies_are_only_said(clinic: Any, allergy: str) -> None:
    assert clinic.codes(**{allergy: True}) == {"allergy_unrelated"}
    assert clinic.kind("allergy_unrelated", **{allergy: True}) is FindingKind.HINT


def test_chemistry_that_is_ordered_too_comes_before_contrast(clinic: Any) -> None:
    assert clinic.codes(chemistry_ordered=True) == {"chemistry_after_contrast"}


# Pregnancy


def test_a_pregnant_patient_needs_approval_for_radiation(clinic: Any) -> None:
    assert clinic.kind("pregnant_ionising", clinic.plain_ct, patient=clinic.woman, pregnant=True) is FindingKind.APPROVE


def test_iodine_in_pregnancy_reminds_of_the_newborns_thyroid(clinic: Any) -> None:
    assert clinic.codes(patient=clinic.woman, pregnant=True) == {"pregnant_ionising", "pregnant_iodine"}


def test_gadolinium_in_pregnancy_needs_approval_and_group_two(clinic: Any) -> None:
    more = {"patient": clinic.woman, "pregnant": True, "gestational_age_days": 150}
    assert clinic.codes(clinic.enhanced_mr, **more) == {"pregnant_gadolinium"}
    said = clinic.codes(clinic.enhanced_mr, contrast_agent="马根维显", **more)
    assert said == {"pregnant_gadolinium", "pregnant_gadolinium_group"}


@pytest.mark.parametrize(("days", "asked"), [(None, True), (1, True), (97, True), (98, False), (280, False)])
def test_mr_in_the_first_three_months_is_settled_with_the_desk(clinic: Any, days: int | None, asked: bool) -> None:
    said = clinic.codes(clinic.plain_mr, patient=clinic.woman, pregnant=True, gestational_age_days=days)
    assert said == ({"mr_first_trimester"} if asked else set())


@pytest.mark.parametrize(
    ("patient", "asked"),
    [
        (PatientView(9, Sex.FEMALE, date(1996, 1, 1)), True),
        (PatientView(9, Sex.FEMALE, date(2014, 11, 23)), True),
        (PatientView(9, Sex.FEMALE, date(2014, 11, 24)), False),
        (PatientView(9, Sex.FEMALE, date(1970, 11, 24)), True),
        (PatientView(9, Sex.FEMALE, date(1970, 11, 23)), False),
        (PatientView(9, Sex.UNKNOWN, None), True),
        (PatientView(9, Sex.FEMALE, None), True),
        (PatientView(9, Sex.MALE, date(1996, 1, 1)), False),
    ],
)
def test_women_from_12_to_55_are_asked_about_pregnancy(clinic: Any, patient: PatientView, asked: bool) -> None:
    for item in (clinic.plain_ct, clinic.plain_mr):
        assert ("pregnancy_unknown" in clinic.codes(item, patient=patient, without=("pregnant",))) is asked


def test_ct_counts_as_ionising_even_where_the_catalogue_forgot_to_say_so(clinic: Any) -> None:
    assert "pregnant_ionising" in clinic.codes(clinic.exam(), patient=clinic.woman, pregnant=True)
    bone_density = clinic.exam("超声", "US", ionising=False)
    assert clinic.codes(bone_density, patient=clinic.woman, pregnant=True) == set()


def test_breast_feeding_goes_on(clinic: Any) -> None:
    assert clinic.codes(patient=clinic.woman, lactating=True) == {"lactation"}
    assert clinic.codes(clinic.plain_ct, patient=clinic.woman, lactating=True) == set()


# Thyroid


def test_untreated_hyperthyroidism_blocks_iodine_but_not_gadolinium(clinic: Any) -> None:
    assert clinic.kind("hyperthyroidism", hyperthyroidism=True) is FindingKind.BLOCK
    assert clinic.codes(clinic.enhanced_mr, hyperthyroidism=True) == set()


def test_in_an_emergency_hyperthyroidism_is_confirmed_with_a_reason(clinic: Any) -> None:
    found = clinic.ask(hyperthyroidism=True, priority=Priority.STAT)
    (asked,) = [one for one in found if one.code == "radiology.hyperthyroidism"]
    assert (asked.kind, asked.needs_reason) == (FindingKind.CONFIRM, True)


def test_unknown_hyperthyroidism_must_be_confirmed(clinic: Any) -> None:
    assert clinic.kind("hyperthyroidism_unknown", without=("hyperthyroidism",)) is FindingKind.CONFIRM


def test_planned_radioiodine_is_confirmed_before_iodine(clinic: Any) -> None:
    assert clinic.kind("radioiodine_planned", radioiodine_planned=True) is FindingKind.CONFIRM


@pytest.mark.parametrize(("profile", "days"), [("snm_6w", 42), ("rcp_8w", 56)])
def test_a_thyroid_isotope_waits_for_iodine_given_elsewhere(clinic: Any, profile: str, days: int) -> None:
    item, rules = clinic.exam("甲状腺显像", "NM", "thyroid", thyroid_isotope=True), clinic.book(thyroid_weeks=profile)
    recent = (NOW - timedelta(days=days - 1)).isoformat()
    past = (NOW - timedelta(days=days)).isoformat()
    assert clinic.until(item, last_iodine_contrast_at=recent, rules=rules) == [timedelta(days=1)]
    assert clinic.codes(item, last_iodine_contrast_at=past, rules=rules) == set()
    assert clinic.kind("iodine_before_isotope_unknown", item) is FindingKind.HINT


# MR safety


@pytest.mark.parametrize("implant", ["pacemaker", "aneurysm_clip", "metal_implant"])
def test_an_implant_is_decided_by_the_mr_desk(clinic: Any, implant: str) -> None:
    assert clinic.kind(implant, clinic.plain_mr, **{implant: True}) is FindingKind.APPROVE
    assert clinic.codes(clinic.plain_ct, **{implant: True}) == set()


def test_an_implant_that_nobody_named_is_decided_by_the_desk_too(clinic: Any) -> None:
    assert clinic.codes(clinic.plain_mr, implants=True) == {"implant_unnamed"}
    assert clinic.codes(clinic.plain_mr, implants=True, pacemaker=True) == {"pacemaker"}


def test_without_the_safety_questionnaire_an_mr_must_be_confirmed(clinic: Any) -> None:
    assert clinic.kind("implants_unknown", clinic.plain_mr, without=("implants",)) is FindingKind.CONFIRM
    assert clinic.codes(clinic.plain_ct, without=("implants",)) == set()


@pytest.mark.parametrize("state", ["claustrophobia", "high_fever"])
def test_claustrophobia_and_fever_are_settled_with_the_desk(clinic: Any, state: str) -> None:
    assert clinic.kind(state, clinic.plain_mr, **{state: True}) is FindingKind.CONFIRM


# Microbubbles, barium


BUBBLES = ["right_to_left_shunt", "severe_pulmonary_hypertension", "ards", "microbubble_hypersensitivity"]


@pytest.mark.parametrize("reason", BUBBLES)
def test_microbubbles_are_contraindicated_by_each_reason(clinic: Any, reason: str) -> None:
    assert clinic.kind("microbubble_contraindicated", clinic.bubbles, **{reason: True}) is FindingKind.BLOCK
    unknown = clinic.kind("microbubble_contraindicated_unknown", clinic.bubbles, without=(reason,))
    assert unknown is FindingKind.CONFIRM
    assert clinic.codes(**{reason: True}) == set()


def test_barium_waits_three_days_without_iron_calcium_and_bismuth(clinic: Any) -> None:
    barium = clinic.exam("上消化道造影", "DX", "stomach", barium=True)
    assert clinic.until(barium, opaque_drugs=True) == [timedelta(days=3)]
    stopped = (NOW - timedelta(days=2)).isoformat()
    assert clinic.until(barium, opaque_drugs=True, opaque_drugs_stopped_at=stopped) == [timedelta(days=1)]
    assert clinic.codes(barium) == set()
    assert clinic.kind("opaque_drugs_unknown", barium, without=("opaque_drugs",)) is FindingKind.HINT
