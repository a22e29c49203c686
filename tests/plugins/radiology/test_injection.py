"""Agent, dose, flow and cannula: filled in at ordering, and corrected where the doctor wrote something else."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from examlane import FindingKind, PatientView, Sex
from examlane.testing import rule_book
from examlane_radiology import agents, hooks, injection

BOOK = rule_book("radiology", "examlane_radiology")
PROTOCOLS = [rule for rule in BOOK.named("protocol.") if "per_kg" in rule.parameters]
AGENTS = [agent for agent in BOOK.named("agent.") if "concentration" in agent.parameters]


def test_a_harmless_contrast_order_is_filled_and_nothing_else_is_said(clinic: Any) -> None:
    assert clinic.fills() == {
        "agent": "iohexol-350", "volume_ml": 100.0, "iodine_g": 35.0, "flow_ml_s": 3.0, "cannula": "20G",
    }  # fmt: skip
    assert clinic.codes() == set()


def test_every_answer_names_the_rule_its_version_and_its_source(clinic: Any) -> None:
    found = clinic.ask(egfr=20, metformin=True, contrast_reaction="severe", note="平扫", contrast_agent="钆特酸葡胺")
    assert len(found) > 8
    for finding in found:
        assert finding.rule.startswith("radiology.")
        assert finding.rule_version
        assert finding.source


def test_a_plain_exam_gets_no_contrast(clinic: Any) -> None:
    assert clinic.ask(clinic.plain_ct) == []


def test_the_table_holds_every_agent_with_its_class_concentration_and_osmolality() -> None:
    classes = {agents.code(agent): agent["class"] for agent in BOOK.named("agent.") if agent["contrast"] == "iodine"}
    assert len(classes) == 13
    assert [code for code, name in classes.items() if name == "iso"] == ["iodixanol-320"]
    assert [code for code, name in classes.items() if name == "high"] == ["diatrizoate-306"]
    assert BOOK["agent.iodixanol-320"]["osmolality"] == 290
    assert BOOK["agent.iopamidol-370"]["osmolality"] == 796


def test_gadolinium_goes_by_millimoles_of_a_group_two_agent(clinic: Any) -> None:
    filled = clinic.fills(clinic.enhanced_mr)
    assert (filled["agent"], filled["volume_ml"]) == ("gadoterate", 14.0)
    assert BOOK["agent.gadoterate"]["group"] == "II"
    groups = {agents.code(agent): agent["group"] for agent in BOOK.named("agent.") if agent["contrast"] == "gadolinium"}
    assert [code for code, group in groups.items() if group == "I"] == [
        "gadodiamide", "gadopentetate", "gadoversetamide",
    ]  # fmt: skip
    assert groups["gadoxetate"] == "III"


def test_the_group_of_gadoxetate_is_the_hospitals_choice(clinic: Any) -> None:
    rules = clinic.book(gadoxetate_group="acr_2024")
    assert rules["agent.gadoxetate"]["group"] == "II"
    assert rules["agent.gadoxetate"].version != BOOK["agent.gadoxetate"].version


def test_a_stronger_gadolinium_agent_is_given_in_half_the_volume(clinic: Any) -> None:
    filled = clinic.fills(clinic.enhanced_mr, contrast_agent="加乐显")
    assert (filled["agent"], filled["volume_ml"]) == ("gadobutrol", 7.0)


def test_a_liver_specific_agent_has_a_dose_of_its_own(clinic: Any) -> None:
    item = clinic.exam("肝脏MRI增强", "MR", contrast="gadolinium", contrast_protocol="liver_specific_mr")
    assert clinic.fills(item)["volume_ml"] == 7.0


def test_a_heavy_patient_gets_the_cap_and_the_doctor_is_told(clinic: Any) -> None:
    assert clinic.fills(weight_kg=84)["volume_ml"] == 120.0
    assert clinic.codes(weight_kg=84) == set()
    assert clinic.fills(weight_kg=85)["volume_ml"] == 120.0
    assert clinic.codes(weight_kg=85) == {"dose_capped"}


def test_an_infant_is_given_tenths_of_a_step_and_not_nothing(clinic: Any) -> None:
    infant = PatientView(9, Sex.MALE, date(2026, 8, 1))
    assert clinic.fills(patient=infant, weight_kg=4)["volume_ml"] == 5.7


@pytest.mark.parametrize("weight", [None, "70", 0, 0.29, -3, 401, True, float("nan"), float("inf")])
def test_an_unknown_or_impossible_weight_blocks_and_fills_no_volume(clinic: Any, weight: Any) -> None:
    assert clinic.kind("weight_unknown", weight_kg=weight) is FindingKind.BLOCK
    assert "volume_ml" not in clinic.fills(weight_kg=weight)


def test_a_contrast_exam_without_protocol_is_left_to_the_doctor_who_confirms(clinic: Any) -> None:
    item = clinic.exam("静脉尿路造影", "DX", contrast="iodine")
    assert clinic.codes(item) == {"protocol_unknown"}
    assert clinic.fills(item) == {}


def test_microbubbles_have_a_fixed_dose_and_need_no_weight(clinic: Any) -> None:
    assert clinic.fills(clinic.bubbles, without=("weight_kg",)) == {"agent": "sulphur-hexafluoride", "volume_ml": 2.4}
    assert clinic.codes(clinic.bubbles, without=("weight_kg",)) == set()
    heart = clinic.exam("心脏超声造影", "US", "heart", contrast="microbubble", contrast_protocol="microbubble_heart")
    assert clinic.fills(heart)["volume_ml"] == 2.0


@pytest.mark.parametrize(
    ("birth", "asked"),
    [(date(2008, 11, 24), True), (date(2008, 11, 23), False), (date(2018, 1, 1), True), (None, True)],
)
def test_a_child_or_a_patient_of_unknown_age_gets_no_adult_flow(clinic: Any, birth: date | None, asked: bool) -> None:
    patient = PatientView(9, Sex.MALE, birth)
    assert ("flow_ml_s" not in clinic.fills(clinic.enhanced_mr, patient=patient)) is asked
    assert ("child_rate" in clinic.codes(clinic.enhanced_mr, patient=patient)) is asked


@pytest.mark.parametrize(("flow", "gauge"), [(2.9, "22G"), (3.0, "20G"), (4.9, "20G"), (5.0, "18G"), (7.0, "18G")])
def test_twenty_gauge_carries_three_and_eighteen_five_millilitres_a_second(flow: float, gauge: str) -> None:
    assert injection.cannula(flow, BOOK) == gauge


@pytest.mark.parametrize(("rate", "asked"), [(64, False), (65, True), (None, True)])
def test_the_heart_rate_of_a_coronary_cta_is_minded(clinic: Any, rate: float | None, asked: bool) -> None:
    said = clinic.codes(clinic.coronary_cta, heart_rate=rate)
    assert bool(said & {"heart_rate", "heart_rate_unknown"}) is asked
    assert "heart_rate" not in clinic.codes(heart_rate=120)


# What the doctor wrote


@pytest.mark.parametrize("written", ["碘海醇350", "iohexol-350", "欧乃派克 350mgI/ml", "Omnipaque 350 100ml", "碘海醇"])
def test_a_written_agent_that_suits_is_kept(clinic: Any, written: str) -> None:
    assert clinic.fills(contrast_agent=written)["agent"] == "iohexol-350"
    assert clinic.codes(contrast_agent=written) == set()


def test_another_suitable_agent_is_kept_and_dosed_by_its_own_concentration(clinic: Any) -> None:
    filled = clinic.fills(contrast_agent="碘克沙醇320")
    assert (filled["agent"], filled["volume_ml"]) == ("iodixanol-320", 109.0)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("钆特酸葡胺", "agent_wrong_class"),
        ("声诺维", "agent_wrong_class"),
        ("硫酸钡", "agent_wrong_class"),
        ("碘美普尔400", "agent_wrong_concentration"),
        ("碘克沙醇270", "agent_unrecognised"),
        ("造影剂", "agent_unrecognised"),
    ],
)
def test_a_wrong_agent_is_corrected_and_must_be_confirmed(clinic: Any, written: str, code: str) -> None:
    assert clinic.kind(code, contrast_agent=written) is FindingKind.CONFIRM
    assert clinic.fills(contrast_agent=written)["agent"] == "iohexol-350"


def test_iodine_for_an_mr_is_corrected(clinic: Any) -> None:
    assert clinic.codes(clinic.enhanced_mr, contrast_agent="碘海醇350") == {"agent_wrong_class"}
    assert clinic.fills(clinic.enhanced_mr, contrast_agent="碘海醇350")["agent"] == "gadoterate"


def test_coronary_cta_wants_350_to_370(clinic: Any) -> None:
    assert "agent_wrong_concentration" in clinic.codes(clinic.coronary_cta, contrast_agent="碘普罗胺300")
    assert clinic.codes(clinic.coronary_cta, contrast_agent="碘普罗胺370") == set()


def test_a_high_osmolar_agent_must_be_confirmed(clinic: Any) -> None:
    assert clinic.codes(contrast_agent="泛影葡胺306") == {"high_osmolar"}


def test_an_agent_written_for_a_plain_exam_must_be_confirmed(clinic: Any) -> None:
    assert clinic.codes(clinic.plain_ct, contrast_agent="碘海醇350") == {"agent_on_plain_exam"}


@pytest.mark.parametrize(("volume", "wrong"), [(119.9, False), (120, False), (120.1, True), (300, True)])
def test_a_written_volume_above_600_milligrams_a_kilogram_or_the_cap_is_corrected(
    clinic: Any, volume: float, wrong: bool
) -> None:
    assert ("volume_too_high" in clinic.codes(contrast_volume_ml=volume)) is wrong
    assert clinic.fills(contrast_volume_ml=volume)["volume_ml"] == (100.0 if wrong else volume)


def test_a_volume_within_the_cap_may_be_too_much_for_a_light_patient(clinic: Any) -> None:
    assert "volume_too_high" in clinic.codes(weight_kg=40, contrast_volume_ml=69)
    assert clinic.codes(weight_kg=40, contrast_volume_ml=68) == set()


def test_a_volume_written_for_a_wrong_agent_is_worked_out_anew(clinic: Any) -> None:
    assert clinic.fills(contrast_agent="钆特酸葡胺", contrast_volume_ml=15)["volume_ml"] == 100.0


@pytest.mark.parametrize(("flow", "wrong"), [(3.4, False), (3.5, False), (3.6, True)])
def test_a_written_flow_above_the_protocols_most_is_corrected(clinic: Any, flow: float, wrong: bool) -> None:
    assert ("flow_too_high" in clinic.codes(contrast_flow_ml_s=flow)) is wrong
    assert clinic.fills(contrast_flow_ml_s=flow)["flow_ml_s"] == (3.0 if wrong else flow)


@pytest.mark.parametrize(("has", "wrong"), [("24G", True), ("22G", True), ("20G", False), ("18G", False), (None, False)])
def test_a_cannula_that_does_not_carry_the_flow_must_be_changed(clinic: Any, has: str | None, wrong: bool) -> None:
    assert ("cannula_too_thin" in clinic.codes(cannula=has)) is wrong


# The department's own agents


def test_a_department_fills_in_its_own_agent(clinic: Any) -> None:
    own = {"agents": {"abdomen_ct": "iodixanol-320"}}
    assert clinic.fills(settings=own)["agent"] == "iodixanol-320"
    assert clinic.fills(settings={"agents": {"abdomen_ct": "iomeprol-400"}})["agent"] == "iohexol-350"


def test_what_is_not_in_stock_is_replaced_and_the_doctor_told(clinic: Any) -> None:
    stock = {"stock": ["ioversol-320", "diatrizoate-306"]}
    assert clinic.fills(settings=stock)["agent"] == "ioversol-320"
    assert clinic.codes(settings=stock, contrast_agent="碘海醇350") == {"agent_not_in_stock"}


def test_an_empty_shelf_is_confirmed_and_nothing_filled_in(clinic: Any) -> None:
    assert clinic.codes(settings={"stock": ["gadoterate"]}) == {"no_suitable_agent"}
    assert clinic.fills(settings={"stock": ["gadoterate"]}) == {}


def test_a_misspelt_setting_is_refused() -> None:
    assert hooks.SettingsSchema().validate({"stocks": []})
    assert hooks.SettingsSchema().load({}) == {"stock": [], "agents": {}}


# For every weight


WEIGHTS = st.floats(0.3, 400)


@settings(max_examples=200)
@given(st.sampled_from(PROTOCOLS), st.sampled_from(AGENTS), WEIGHTS, WEIGHTS)
@example(BOOK["protocol.liver_specific_mr"], BOOK["agent.gadobutrol"], 0.375, 0.375)
def test_no_dose_exceeds_cap_or_kilogram_maximum_and_none_falls_with_weight(
    protocol: Any, agent: Any, one: float, other: float
) -> None:
    if agent["contrast"] != BOOK["agent." + protocol["agent"]]["contrast"]:
        return
    light, heavy = (injection.dose_of(protocol, agent, weight) for weight in sorted((one, other)))
    assert light.volume is not None
    assert heavy.volume is not None
    assert 0 < light.volume <= light.most + 1e-9
    assert light.volume <= heavy.volume
    assert light.most <= heavy.most
    cap = protocol["cap_mmol"] / agent["concentration"] if "cap_mmol" in protocol.parameters else protocol["cap_ml"]
    per_kg = agent.parameters.get("most_per_kg", protocol["most_per_kg"])
    assert light.most <= cap + 1e-9
    assert light.most <= per_kg * min(one, other) / agent["concentration"] + 1e-3


@settings(max_examples=100)
@given(st.sampled_from(["碘海醇350", "iodixanol-320", "钆布醇", "x", None]), st.floats(0.05, 500), WEIGHTS)
def test_whatever_is_written_no_volume_above_the_most_is_filled_in(
    clinic: Any, agent: str | None, volume: float, weight: float
) -> None:
    filled = clinic.fills(contrast_agent=agent, contrast_volume_ml=volume, weight_kg=weight)
    concentration = BOOK["agent." + filled["agent"]]["concentration"]
    assert filled["volume_ml"] <= min(120, 600 * weight / concentration) + 1e-3
