"""Distances between contrast exams by kidney function, and what the patient does before and after."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from examlane import ExamItem, Fact, IntervalRule, OrderItemView, PatientView, Relation, RuleBook, Sex
from examlane.extension import answers
from examlane.extension.plugins import Plugins
from examlane.testing import rule_book
from examlane_radiology import hooks

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
YOUNG = PatientView(1, Sex.MALE, date(1986, 1, 1))
OLD = PatientView(2, Sex.MALE, date(1950, 1, 1))
HEALTHY = {"renal_history": False, "diabetes": False, "hypertension": False, "metformin": False}
BOOK = rule_book("radiology", "examlane_radiology")


def rules(
    patient: PatientView = YOUNG, book: RuleBook = BOOK, measured: datetime | None = NOW, **facts: Any
) -> list[IntervalRule]:
    context = {name: Fact(value, measured) for name, value in facts.items()}
    return list(answers.interval_rules(hooks.interval_rules(patient, context, NOW, book)))


def hours(found: list[IntervalRule], one: str, other: str) -> tuple[float, float]:
    """How far the second must be after the first, and before it."""
    wanted = {"first": {"contrast": one}, "second": {"contrast": other}}
    (rule,) = [
        rule for rule in found
        if (rule.first.attributes, rule.second.attributes) == (wanted["first"], wanted["second"])
    ]  # fmt: skip
    assert rule.relation is Relation.EXCLUDE
    return rule.after / timedelta(hours=1), rule.before / timedelta(hours=1)


@pytest.mark.parametrize(("egfr", "same", "mixed"), [(61, 4, 4), (60, 16, 4), (30, 16, 4), (29, 60, 168)])
def test_worse_kidneys_keep_contrast_exams_further_apart(egfr: float, same: int, mixed: int) -> None:
    found = rules(egfr=egfr)
    assert hours(found, "iodine", "iodine") == (same, same)
    assert hours(found, "gadolinium", "gadolinium") == (same, same)
    assert hours(found, "iodine", "gadolinium") == (mixed, mixed)


@pytest.mark.parametrize(
    ("choice", "contrast", "expected"),
    [
        ({"iodine_interval": "esur_optimal"}, "iodine", (12, 48, 168)),
        ({"iodine_interval": "cn_7d"}, "iodine", (168, 168, 168)),
        ({"gadolinium_interval": "esur_optimal"}, "gadolinium", (12, 48, 168)),
        ({"gadolinium_interval": "acr_24h"}, "gadolinium", (24, 24, 60)),
    ],
)
def test_the_hospital_chooses_between_sources(choice: dict[str, str], contrast: str, expected: tuple[int, ...]) -> None:
    book = rule_book("radiology", "examlane_radiology", **choice)
    for egfr, wanted in zip((61, 45, 29), expected, strict=True):
        found = rules(book=book, egfr=egfr)
        assert hours(found, contrast, contrast) == (wanted, wanted)
    (rule,) = [rule for rule in found if rule.rule == f"radiology.interval.{contrast}_{contrast}"]
    assert rule.version != "2026.1"
    assert rule.source


@pytest.mark.parametrize(("source", "days"), [("snm_6w", 42), ("rcp_8w", 56)])
def test_a_thyroid_isotope_exam_waits_for_weeks_after_iodine_as_the_hospital_chose_and_may_come_first(
    source: str, days: int
) -> None:
    found = rules(book=rule_book("radiology", "examlane_radiology", thyroid_weeks=source))
    (rule,) = [rule for rule in found if rule.rule == "radiology.thyroid_isotope_after_iodine"]
    assert (rule.first.attributes, rule.second.attributes) == ({"contrast": "iodine"}, {"thyroid_isotope": True})
    assert (rule.after, rule.before) == (timedelta(days=days), timedelta())


def test_unknown_kidneys_count_as_the_worst_unless_nothing_speaks_for_it() -> None:
    assert hours(rules(OLD, **HEALTHY), "iodine", "iodine") == (60, 60)
    assert hours(rules(**{**HEALTHY, "diabetes": True}), "iodine", "iodine") == (60, 60)
    assert hours(rules(), "iodine", "iodine") == (60, 60)
    assert hours(rules(**HEALTHY), "iodine", "iodine") == (4, 4)


def test_an_old_or_undated_egfr_counts_as_none() -> None:
    for measured in (NOW - timedelta(days=91), None):
        assert hours(rules(measured=measured, egfr=95, **HEALTHY), "iodine", "iodine") == (60, 60)
    assert hours(rules(measured=NOW - timedelta(days=90), egfr=95), "iodine", "iodine") == (4, 4)


@pytest.mark.parametrize("injury", ["acute_kidney_injury", "dialysis"])
def test_acute_injury_and_dialysis_count_as_the_worst(injury: str) -> None:
    assert hours(rules(egfr=90, **{injury: True}), "gadolinium", "gadolinium") == (60, 60)


def test_the_newer_of_egfr_and_creatinine_decides() -> None:
    context = {"egfr": Fact(90, NOW - timedelta(days=60)), "creatinine_umol_l": Fact(400, NOW)}
    found = list(hooks.interval_rules(YOUNG, context, NOW, BOOK))
    assert hours(found, "iodine", "iodine") == (60, 60)


def test_ct_of_the_abdomen_comes_before_its_mr(clinic: Any) -> None:
    assert clinic.codes(clinic.enhanced_ct, clinic.enhanced_mr) == {"ct_before_mr"}
    assert clinic.codes(clinic.plain_ct, clinic.enhanced_mr) == set()


# What the patient does


def prepare(*items: ExamItem, patient: PatientView = YOUNG, book: RuleBook = BOOK) -> dict[str, float]:
    """The steps by name, with the hours they take."""
    views = [OrderItemView(f"O1/{line}", item) for line, item in enumerate(items, 1)]
    steps = answers.preparation(hooks.preparation(views, patient, NOW, book))
    assert len({step.code for step in steps}) == len(steps)
    return {
        step.code.removeprefix("radiology.").removeprefix("preparation."): step.lead / timedelta(hours=1) for step in steps
    }


CONTRAST = {"consent", "needle", "observation", "chemistry"}


def test_an_enhanced_ct_is_prepared_with_consent_companion_needle_and_observation(clinic: Any) -> None:
    item = clinic.exam(contrast="iodine", fasting_hours=6)
    assert prepare(item) == {"fasting": 6, **dict.fromkeys(CONTRAST, 0), "companion": 0}


def test_an_enhanced_mr_needs_no_companion_but_the_questionnaire(clinic: Any) -> None:
    assert set(prepare(clinic.enhanced_mr)) == {*CONTRAST, "metal"}


def test_microbubbles_need_consent_and_observation(clinic: Any) -> None:
    assert set(prepare(clinic.bubbles)) == {"consent", "observation"}


def test_a_plain_exam_needs_nothing(clinic: Any) -> None:
    assert prepare(clinic.exam()) == {}


@pytest.mark.parametrize(
    ("birth", "step"),
    [(date(2008, 11, 24), "consent_guardian"), (date(2008, 11, 23), "consent"), (None, "consent")],
)
def test_a_guardian_signs_for_a_minor(clinic: Any, birth: date | None, step: str) -> None:
    steps = set(prepare(clinic.enhanced_ct, patient=PatientView(9, Sex.MALE, birth)))
    assert steps & {"consent", "consent_guardian"} == {step}


def test_fasting_for_contrast_alone_is_the_hospitals_choice(clinic: Any) -> None:
    head = clinic.exam(part="head", contrast="iodine", fasting_hours=4, fasting_for="contrast")
    abdomen = clinic.exam(contrast="iodine", fasting_hours=6)
    esur = rule_book("radiology", "examlane_radiology", fasting="esur")
    assert prepare(head)["fasting"] == 4
    assert "fasting" not in prepare(head, book=esur)
    assert prepare(head, abdomen, book=esur)["fasting"] == 6


def test_mrcp_is_done_without_food_and_water(clinic: Any) -> None:
    mrcp = clinic.exam("MRCP", "MR", fasting_hours=8, no_water=True)
    assert prepare(mrcp) == {"fasting_no_water": 8, "metal": 0}


def test_the_longest_fast_of_a_visit_counts(clinic: Any) -> None:
    assert prepare(clinic.exam(fasting_hours=4), clinic.exam(fasting_hours=6)) == {"fasting": 6}


@pytest.mark.parametrize(
    ("attribute", "step", "lead"),
    [
        ("oral_mannitol", "mannitol", 2),
        ("bowel_preparation", "bowel", 24),
        ("full_bladder", "bladder", 1),
        ("barium", "opaque_drugs", 0),
        ("thyroid_uptake", "thyroid_uptake", 336),
    ],
)
def test_the_catalogue_asks_for_each_step(clinic: Any, attribute: str, step: str, lead: int) -> None:
    assert prepare(clinic.exam(**{attribute: True})) == {step: lead}


def test_coronary_cta_is_done_without_coffee_and_a_tracer_with_rest(clinic: Any) -> None:
    assert "caffeine" in prepare(clinic.coronary_cta)
    assert set(prepare(clinic.exam("PET", "PT", tracer="fdg"))) == {"fdg"}


def test_the_plugin_is_accepted_with_its_three_hooks() -> None:
    plugins = Plugins()
    plugins.register("radiology", hooks)
    assert plugins.broken == {}
    assert set(plugins.loaded["radiology"].hooks) == {"validate_order", "interval_rules", "preparation"}
    assert plugins.loaded["radiology"].title == "对比剂规则 · Contrast rules"
