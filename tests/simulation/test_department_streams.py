"""The streams of sedation orders and of an ECG day: seeded, in the shares of the sources, with consistent times."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import EncounterClass
from simulation import assessments, no_shows
from simulation.assessments import Fate
from simulation.intake import ecg_order, evidence, sedation_order
from simulation.materials import materials

SEEDS = st.integers(0, 10_000)


def test_both_streams_are_the_same_for_the_same_seed() -> None:
    assert assessments.stream(3, 100) == assessments.stream(3, 100) != assessments.stream(4, 100)
    assert no_shows.day(3) == no_shows.day(3) != no_shows.day(4)


@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_a_third_of_sedation_orders_has_no_assessment_to_stand_on(seed: int) -> None:
    orders = assessments.stream(seed)
    fates = Counter(each.fate for each in orders)
    assert fates[Fate.NEVER] / len(orders) == pytest.approx(0.24, abs=0.005)
    assert fates[Fate.FAILED] / (len(orders) - fates[Fate.NEVER]) == pytest.approx(0.12, abs=0.005)
    assert sum(each.held_before is None for each in orders) / len(orders) == pytest.approx(0.335, abs=0.015)


@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_assessments_follow_the_order_and_class_five_never_passes(seed: int) -> None:
    for order in assessments.stream(seed, 200):
        times = [each.assessed_at for each in order.assessments]
        assert times == sorted(times)
        assert all(at >= order.ordered_at and 8 <= at.hour < 17 for at in times)
        for each in order.assessments:
            assert (each.valid_until is not None) == each.outcome.startswith("passed")
            assert each.asa < 5 or each.outcome in ("failed", "deferred")
            if each.asa == 4 and each.outcome.startswith("passed"):
                assert order.encounter_class is EncounterClass.INPATIENT


def test_an_exam_after_the_assessment_has_expired_may_not_be_held() -> None:
    order = next(each for each in assessments.stream() if each.fate is Fate.PASSED)
    assert order.held_before is not None
    assert order.may_be_held(order.held_before)
    assert not order.may_be_held(order.held_before + timedelta(minutes=1))
    assert not order.may_be_held(order.assessments[-1].assessed_at - timedelta(minutes=1))


def test_the_ecg_day_has_its_late_patients_and_kiosk_share() -> None:
    day = no_shows.day()
    late = [each for each in day if each.late]
    assert (len(day), len(late)) == (720, 108)
    assert sum(each.kiosk_works for each in late) == round(108 * 0.92)
    grace = timedelta(minutes=no_shows.SLOT_MINUTES + no_shows.GRACE_MINUTES)
    for each in day:
        if each.arrives_at is not None:
            assert (each.arrives_at - each.wanted_at > grace) == each.late


def test_every_item_is_in_the_demonstration_catalogue() -> None:
    with (Path(__file__).parents[2] / "api/examlane_api/demo/data/items.csv").open(encoding="utf-8") as rows:
        catalogue = {row["code"] for row in csv.DictReader(rows)}
    assert {each.item for each in materials().exams.values()} <= catalogue
    assert {*assessments.ITEMS, no_shows.ITEM} <= catalogue


def test_both_streams_can_be_handed_to_the_hospital() -> None:
    order = next(each for each in assessments.stream() if len(each.assessments) == 2)
    assert sedation_order(order, "CLINIC").lines[0].item == order.item
    assert next(evidence(order, "anaesthesia")).outcome == "deferred"
    assert ecg_order(no_shows.day()[0], "CLINIC").patient.birth_date is not None
