"""Distances between contrast exams by kidney function, and what the patient does before."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from examlane import ExamItem, Fact, IntervalRule, OrderItemView, PatientView, Relation, Sex, Text
from examlane.extension import answers
from examlane.extension.plugins import Plugins
from examlane_radiology import hooks, intervals

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
YOUNG = PatientView(1, Sex.MALE, date(1986, 1, 1))
OLD = PatientView(2, Sex.MALE, date(1950, 1, 1))


def exam(modality: str = "CT", body_part: str = "head", **attributes: Any) -> ExamItem:
    return ExamItem("X", Text("检查", "exam"), modality, body_part, "RAD", attributes)


IODINE = exam(contrast="iodine")
GADOLINIUM = exam("MR", contrast="gadolinium")


def rules(patient: PatientView = YOUNG, **facts: Any) -> list[IntervalRule]:
    context = {name: Fact(value, NOW) for name, value in facts.items()}
    return intervals.interval_rules(patient, context, TODAY, {})


def hours(found: list[IntervalRule], first: ExamItem, second: ExamItem) -> tuple[float, float]:
    """How far the second must be after the first, and before it."""
    one = next(rule for rule in found if rule.first.matches(first) and rule.second.matches(second))
    assert one.relation is Relation.EXCLUDE
    return one.after / timedelta(hours=1), one.before / timedelta(hours=1)


@pytest.mark.parametrize(("egfr", "same", "mixed"), [(61, 4, 4), (60, 16, 4), (30, 16, 4), (29, 60, 168)])
def test_worse_kidneys_keep_contrast_exams_further_apart(egfr: float, same: int, mixed: int) -> None:
    found = rules(egfr=egfr)
    assert hours(found, IODINE, IODINE) == (same, same)
    assert hours(found, GADOLINIUM, GADOLINIUM) == (same, same)
    assert hours(found, IODINE, GADOLINIUM) == (mixed, mixed)


def test_unknown_kidneys_count_as_the_worst_for_whoever_needs_an_egfr() -> None:
    assert hours(rules(OLD), IODINE, IODINE) == (60, 60)
    assert hours(rules(diabetes=True), IODINE, IODINE) == (60, 60)


def test_unknown_kidneys_of_a_young_healthy_patient_count_as_good() -> None:
    assert hours(rules(YOUNG), IODINE, IODINE) == (4, 4)


def test_acute_kidney_injury_counts_as_the_worst() -> None:
    assert hours(rules(egfr=90, acute_kidney_injury=True), IODINE, IODINE) == (60, 60)


def test_the_newer_of_egfr_and_creatinine_decides() -> None:
    context = {"egfr": Fact(90, NOW - timedelta(days=60)), "creatinine_umol_l": Fact(400, NOW)}
    found = intervals.interval_rules(YOUNG, context, TODAY, {})
    assert hours(found, IODINE, IODINE) == (60, 60)


def test_a_thyroid_isotope_exam_waits_six_weeks_after_iodine_but_may_come_first() -> None:
    assert hours(rules(), IODINE, exam("NM", thyroid_isotope=True)) == (42 * 24, 0)


def test_abdominal_ct_waits_a_week_after_barium_but_may_come_first() -> None:
    assert hours(rules(), exam("RF", barium=True), exam("CT", "abdomen")) == (7 * 24, 0)


def test_barium_does_not_delay_a_head_ct() -> None:
    barium = exam("RF", barium=True)
    assert not any(rule.first.matches(barium) and rule.second.matches(exam("CT", "head")) for rule in rules())


def test_the_hook_answers_with_well_formed_rules() -> None:
    found = answers.interval_rules(hooks.interval_rules(YOUNG, {}, datetime(2026, 11, 23, tzinfo=UTC), {}))
    assert {rule.rule for rule in found} >= {"radiology.iodine_iodine", "radiology.iodine_gadolinium"}
    assert all(rule.source and rule.version for rule in found)


def prepare(*items: ExamItem) -> dict[str, int]:
    views = [OrderItemView(f"O1/{line}", item) for line, item in enumerate(items, 1)]
    steps = answers.preparation(hooks.preparation(views, {}))
    return {step.code.removeprefix("radiology."): step.fasting_hours for step in steps}


def test_an_enhanced_ct_is_prepared_with_fasting_consent_companion_and_observation() -> None:
    item = exam(contrast="iodine", fasting_hours=4)
    assert prepare(item) == {"fasting": 4, "consent": 0, "companion": 0, "observation": 0}


def test_an_enhanced_mr_needs_no_companion_but_a_metal_check() -> None:
    assert prepare(exam("MR", contrast="gadolinium", metal_check=True)) == {"consent": 0, "observation": 0, "metal": 0}


def test_a_plain_exam_needs_nothing() -> None:
    assert prepare(exam()) == {}


def test_the_longest_fast_of_a_visit_counts_and_moves_its_earliest_time() -> None:
    views = [OrderItemView("O1/1", exam(fasting_hours=4)), OrderItemView("O1/2", exam(fasting_hours=6))]
    (step,) = hooks.preparation(views, {})
    assert step.fasting_hours == 6
    assert step.lead == timedelta(hours=6)


def test_the_plugin_is_accepted_with_its_three_hooks() -> None:
    plugins = Plugins()
    plugins.register("radiology", hooks)
    assert plugins.broken == {}
    assert set(plugins.loaded["radiology"].hooks) == {"validate_order", "interval_rules", "preparation"}
    assert plugins.loaded["radiology"].title == "对比剂规则 · Contrast rules"
