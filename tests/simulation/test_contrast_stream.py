"""The stream of contrast orders: the same for the same seed, in the shares of the sources, and true to them."""

from __future__ import annotations

import ast
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import EncounterClass, Sex
from simulation import people
from simulation.contrast_orders import ContrastOrder, right_volume, stream
from simulation.intake import contrast_order, other_exams
from simulation.materials import materials

ROOT = Path(__file__).parents[2]
SEEDS = st.integers(0, 10_000)


def test_the_same_seed_gives_the_same_orders_and_another_seed_gives_others() -> None:
    assert stream(seed=7, orders=400) == stream(seed=7, orders=400)
    assert stream(seed=7, orders=400) != stream(seed=8, orders=400)


@given(SEEDS)
@settings(max_examples=3, deadline=None)
def test_seventeen_and_a_half_percent_are_wrong_and_twelve_percent_fail(seed: int) -> None:
    orders = stream(seed)
    wrong = [each for each in orders if each.truth.error]
    assert 0.17 <= len(wrong) / len(orders) <= 0.18
    assert 0.115 <= sum(each.truth.booking_fails for each in orders) / len(orders) <= 0.125
    assert all(each.truth.error for each in orders if each.truth.booking_fails)


def test_every_class_has_its_share_and_every_group_occurs() -> None:
    orders = stream(seed=3)
    counted = Counter(each.truth.error for each in orders)
    for each in materials().classes:
        assert counted[each.id] == pytest.approx(each.share * len(orders), abs=0.5)
    assert {each.truth.group for each in orders} == {"", "agent_dose", "kidney", "patient_risk", "interval", "note"}


def test_every_class_and_near_miss_names_its_source_and_what_is_expected() -> None:
    for each in materials().classes:
        assert "domain.md §" in each.source or "alloc.md §" in each.source, each.id
        assert each.expected, each.id
        assert each.zh, each.id
        assert each.wrong, each.id
    assert all("domain.md §" in each.make["source"] for each in materials().near_misses)


def test_every_expected_or_tolerated_topic_has_words() -> None:
    table = materials()
    cases = [*table.near_misses, *table.harmless, *(case for each in table.classes for case in each.cases)]
    answers = [*(e for each in table.classes for e in each.expected), *(e for case in cases for e in case.expected)]
    used = {topic for each in answers for topic in each.topics if each.answers != {"fill"}}
    assert used | {topic for case in cases for topic in case.tolerated} <= set(table.topics)
    assert {kind for each in answers for kind in each.answers} <= {
        "block", "confirm", "approve", "delay_until", "fill", "hint", "later",
    }  # fmt: skip


def test_a_fifth_is_set_aside_of_every_kind() -> None:
    table = materials()
    cases = [case for each in table.classes for case in each.cases]
    wrong = [case for each in table.classes if each.group == "note" for case in each.cases]
    for kind in (cases, wrong, table.harmless, table.near_misses):
        assert sum(case.held_out for case in kind) >= len(kind) / 5
    assert len(wrong) >= 60
    assert len(table.harmless) >= 60
    assert all(any(case.held_out for case in each.cases) for each in table.classes)
    assert (ROOT / "simulation/held_out.toml").read_text("utf-8").startswith("# SET ASIDE")


def test_what_is_set_aside_is_drawn_only_when_asked_for() -> None:
    assert not any(each.truth.held_out for each in stream(seed=1))
    examined = stream(seed=1, held_out=True)
    assert all(each.truth.held_out for each in examined if each.truth.case != "ordinary")


def test_every_open_case_occurs_in_a_stream_of_two_thousand() -> None:
    drawn = {(each.truth.error, each.truth.case) for each in stream(seed=5)}
    for error in materials().classes:
        open_cases = {case.id for case in error.cases if not case.held_out}
        found = {case for kind, case in drawn if kind == error.id}
        assert len(found) >= min(len(open_cases), round(error.share * 2000)) - 1, error.id


def test_about_a_tenth_of_the_facts_are_missing() -> None:
    orders = [each for each in stream(seed=2) if each.truth.case == "ordinary"]
    known = sum(name in each.facts for each in orders for name in each.person.conditions)
    assert known / sum(len(each.person.conditions) for each in orders) == pytest.approx(1 - people.MISSING, abs=0.015)


@given(SEEDS)
@settings(max_examples=4, deadline=None)
def test_a_right_order_breaks_no_rule_of_the_sources(seed: int) -> None:
    for order in stream(seed, orders=600):
        if not order.truth.error:
            _is_right(order)


def _is_right(order: ContrastOrder) -> None:
    """Domain.md §2.2-2.4 and §3.2, spelt out once more, apart from how orders are made."""
    who, exam = order.person, order.exam
    if exam.contrast == "iodine":
        assert who.egfr >= 30
        assert not who.conditions["acute_kidney_injury"]
        assert not who.conditions["hyperthyroidism"]
        assert who.sample_days is not None or not who.needs_egfr()
        limit = 90 if order.encounter_class is EncounterClass.OUTPATIENT else 7
        assert who.sample_days is None or not who.needs_egfr() or who.sample_days <= limit
    if exam.contrast:
        assert who.conditions["contrast_reaction"] in ("none", "mild")
        assert not who.conditions.get("pregnant")
    if "ionising" in exam.tags:
        assert not who.conditions.get("pregnant")
    _entry_is_right(order)


def _entry_is_right(order: ContrastOrder) -> None:
    if order.entry is None:
        return
    agent = materials().agents[order.entry.agent]
    assert agent.contrast == order.exam.contrast
    assert agent.key != order.person.conditions.get("contrast_reaction_agent")
    assert order.entry.strength is None or order.entry.strength in agent.strengths
    low, high = right_volume(order.exam, agent, order.person.weight_kg) or (0, 0)
    assert low - 0.5 <= order.entry.volume_ml <= high + 0.5


def test_an_expired_sample_is_older_than_its_limit() -> None:
    old = [each for each in stream(seed=4) if each.truth.error == "egfr_too_old"]
    assert old
    for order in old:
        limit = 7 if order.encounter_class is EncounterClass.INPATIENT else 90
        at = min(each.observed_at for name, each in order.facts.items() if name in ("egfr", "creatinine_umol_l"))
        assert at is not None
        assert order.ordered_at - at > timedelta(days=limit)


def test_a_wrong_dose_lies_far_from_every_right_one() -> None:
    for order in (each for each in stream(seed=6) if each.truth.error in ("dose_too_high", "dose_too_low")):
        assert order.entry is not None
        low, high = right_volume(order.exam, materials().agents[order.entry.agent], order.person.weight_kg) or (0, 0)
        assert order.entry.volume_ml > 1.7 * high or order.entry.volume_ml < 0.5 * low
        assert "weight_kg" in order.facts


@given(st.floats(5, 125), st.integers(18, 95), st.sampled_from([Sex.FEMALE, Sex.MALE]))
def test_the_creatinine_gives_back_the_egfr_by_ckd_epi_2021(egfr: float, age: int, sex: Sex) -> None:
    mg_dl = people.creatinine_umol_l(egfr, age, sex) / 88.4
    kappa, alpha, factor = (0.7, -0.241, 1.012) if sex is Sex.FEMALE else (0.9, -0.302, 1.0)
    again = 142 * min(mg_dl / kappa, 1) ** alpha * max(mg_dl / kappa, 1) ** -1.2 * 0.9938**age * factor
    assert again == pytest.approx(egfr)


def test_an_order_with_its_other_exams_can_be_handed_to_the_hospital() -> None:
    order = next(each for each in stream(seed=1) if each.earlier and each.entry and each.entry.where == "order")
    data = contrast_order(order, "CLINIC")
    assert order.entry is not None
    assert data.context["contrast_agent"].value == order.entry.agent
    assert data.patient.birth_date is not None
    assert order.person.age == (order.ordered_at.date() - data.patient.birth_date).days // 365.2425
    (earlier, when), *_ = other_exams(order, "CLINIC")
    assert earlier.patient == data.patient
    assert earlier.ordered_at < when.starts_at


def test_the_stream_knows_no_department() -> None:
    for path in (ROOT / "simulation").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if path.name == "playing.py":
                names = [name for name in names if not name.startswith("examlane_api.demo")]
            assert not any(name.startswith("examlane_") for name in names), path.name
