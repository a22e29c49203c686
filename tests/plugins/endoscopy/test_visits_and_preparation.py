"""How endoscopies are held, and what the patient does before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from examlane import (
    EncounterClass,
    EncounterView,
    EvidenceView,
    ExamItem,
    Fact,
    GroupView,
    Need,
    OrderItemView,
    OrderView,
    Preparation,
    Priority,
    ServiceView,
    Text,
    Visit,
)
from examlane.extension import answers
from examlane.extension.plugins import Plugins
from examlane.testing import rule_book
from examlane_endoscopy import hooks

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
RULES = rule_book("endoscopy", "examlane_endoscopy")
ROLES = ("room", "endoscopist", "anaesthetist", "recovery")


def group(role: str, campus: str = "N", zone: str = "N-3", name: str = "", slices: int = 10) -> GroupView:
    return GroupView(name or f"{role}-{campus}", role, role, "ES", campus, zone, slices)


NORTH = [group(role) for role in ROLES]
SOUTH = [group(role, "S", "S-3") for role in ROLES]


def item(line: int, rooms: tuple[str, ...] = ("room-N",), minutes: int = 15, **attributes: Any) -> OrderItemView:
    exam = ExamItem(f"ES{line}", Text("胃镜", "gastroscopy"), "ES", "stomach", "ES", attributes)
    services = tuple(ServiceView(exam.code, room, room[-1], f"{room[-1]}-3", minutes, 10) for room in rooms)
    return OrderItemView(f"O1/{line}", exam, services)


def visits(*items: OrderItemView, groups: list[GroupView] | None = None, **facts: Any) -> list[Visit]:
    encounter = EncounterView("V1", EncounterClass.OUTPATIENT)
    context = {name: Fact(value) for name, value in facts.items()}
    order = OrderView("O1", encounter, "CLINIC", Priority.ROUTINE, NOW, items, context)
    places = NORTH if groups is None else groups
    found = hooks.requirements([order], places, RULES)
    checked = answers.requirements(found, [one.key for one in items], {place.code: place for place in places})
    assert checked is not None
    return list(checked)


def test_a_sedated_exam_needs_room_endoscopist_and_anaesthetist_then_a_bed() -> None:
    (visit,) = visits(item(1, sedation=True, minutes=20))
    (option,) = visit.options
    first, second = option.segments
    assert first.needs == tuple(Need(role, f"{role}-N") for role in ROLES[:3])
    assert (first.minutes, first.after_min) == (20, 0)
    assert second.needs == (Need("recovery", "recovery-N"),)
    assert (second.name, second.minutes, second.after_min, second.after_max) == ("recovery", 30, 20, 20)


def test_recovery_may_begin_until_the_rooms_last_slot_is_over() -> None:
    (visit,) = visits(item(1, sedation=True, minutes=15))
    recovery = visit.options[0].segments[1]
    assert (recovery.after_min, recovery.after_max) == (15, 20)


def test_an_unsedated_exam_needs_room_and_endoscopist_only() -> None:
    (visit,) = visits(item(1), groups=NORTH[:2])
    (segment,) = visit.options[0].segments
    assert [need.role for need in segment.needs] == ["room", "endoscopist"]
    assert visit.latest is None


def test_gastroscopy_and_colonoscopy_under_sedation_are_one_visit_with_the_summed_time() -> None:
    (visit,) = visits(item(1, sedation=True, minutes=20), item(2, sedation=True, minutes=30))
    assert visit.key == "O1/1+O1/2"
    exam, recovery = visit.options[0].segments
    assert (exam.minutes, recovery.after_min) == (50, 50)


def test_a_merged_visit_is_held_only_where_every_item_is_offered() -> None:
    both = item(1, ("room-N", "room-S"), sedation=True)
    (visit,) = visits(both, item(2, ("room-S",), sedation=True), groups=NORTH + SOUTH)
    assert [option.group for option in visit.options] == ["room-S"]


def test_an_unsedated_exam_stays_a_visit_of_its_own() -> None:
    found = visits(item(1, sedation=True), item(2), item(3))
    assert [visit.items for visit in found] == [("O1/1",), ("O1/2",), ("O1/3",)]


def test_every_campus_is_an_option_and_all_its_roles_are_on_it() -> None:
    (visit,) = visits(item(1, ("room-N", "room-S"), sedation=True), groups=NORTH + SOUTH)
    assert [option.campus for option in visit.options] == ["N", "S"]
    for option in visit.options:
        assert all(need.group.endswith(option.campus) for segment in option.segments for need in segment.needs)


@pytest.mark.parametrize("missing", ROLES)
def test_a_campus_without_one_of_the_roles_is_no_option(missing: str) -> None:
    (visit,) = visits(item(1, sedation=True), groups=[place for place in NORTH if place.role != missing])
    assert visit.options == ()


def test_a_role_on_another_campus_does_not_help() -> None:
    elsewhere = [place for place in NORTH if place.role != "anaesthetist"] + [SOUTH[2]]
    (visit,) = visits(item(1, sedation=True), groups=elsewhere)
    assert visit.options == ()


def test_the_role_nearest_to_the_room_is_taken() -> None:
    far = group("recovery", zone="N-1", name="a-recovery-far")
    (visit,) = visits(item(1, sedation=True), groups=[far, *NORTH])
    assert visit.options[0].segments[1].needs[0].group == "recovery-N"


def test_an_assessment_wants_its_room_only() -> None:
    clinic = group("clinic")
    (visit,) = visits(item(1, ("clinic-N",), minutes=10, opens="anaesthesia_assessment"), groups=[clinic])
    (segment,) = visit.options[0].segments
    assert segment.needs == (Need("clinic", "clinic-N"),)
    assert not visit.fasting


def told(*evidence: EvidenceView, items: tuple[OrderItemView, ...], **facts: Any) -> list[Preparation]:
    context = {name: Fact(value) for name, value in facts.items()}
    return list(answers.preparation(hooks.preparation(items, context, evidence, RULES)))


def prepare(*items: OrderItemView, **facts: Any) -> dict[str, tuple[int, timedelta]]:
    steps = told(items=items, **{"anticoagulant": "none", **facts})
    return {step.code.removeprefix("endoscopy."): (step.fasting_hours, step.lead) for step in steps}


def test_sedation_is_prepared_with_fasting_liquids_and_escort() -> None:
    found = prepare(item(1, sedation=True))
    assert set(found) == {"fasting", "clear_liquids", "escort_leaflet"}
    assert found["fasting"] == (6, timedelta(hours=6))


def test_a_longer_fast_of_the_item_counts_and_asks_for_a_morning() -> None:
    fasting = item(1, sedation=True, fasting_hours=8)
    assert prepare(fasting)["fasting"] == (8, timedelta(hours=8))
    assert visits(fasting)[0].fasting
    assert not visits(item(1, sedation=True, fasting_hours=6))[0].fasting


def test_delayed_emptying_fasts_for_eight_hours_and_only_when_it_is_known() -> None:
    assert prepare(item(1, sedation=True), delayed_emptying=True)["fasting"] == (8, timedelta(hours=8))
    assert visits(item(1, sedation=True), delayed_emptying=True)[0].fasting
    for unknown in (None, False, "yes"):
        assert prepare(item(1, sedation=True), delayed_emptying=unknown)["fasting"] == (6, timedelta(hours=6))
    assert "fasting" not in prepare(item(1), delayed_emptying=True)


def test_the_words_say_how_many_hours_without_food_and_water() -> None:
    words = {step.code: step.text.zh for step in told(items=(item(1, sedation=True),))}
    assert words["endoscopy.fasting"] == "检查前禁食至少 6 小时，油炸、油腻食物和肉类至少 8 小时"
    assert words["endoscopy.clear_liquids"] == "检查前 2 小时起不再饮水"


def test_bowel_preparation_is_told_a_day_ahead_with_litres_and_the_last_portions_hours() -> None:
    assert prepare(item(1, bowel_preparation=True))["bowel_leaflet"] == (0, timedelta(days=1))
    (step,) = told(items=(item(1, bowel_preparation=True),), anticoagulant="none")
    assert "3 升" in step.text.zh
    assert "检查前 4–6 小时" in step.text.zh


@pytest.mark.parametrize(("drug", "said"), [("none", False), ("aspirin", False), ("doac", True), (None, True)])
def test_whoever_may_take_a_drug_that_rests_is_told_to_ask_the_doctor(drug: str | None, said: bool) -> None:
    found = prepare(item(1, anticoagulant_risk="low"), anticoagulant=drug)
    assert ("antithrombotic_leaflet" in found) is said


def assessment(*conditions: str, days_ago: int = 1, scope: str = "") -> EvidenceView:
    outcome = "passed_with_conditions" if conditions else "passed"
    data = {"conditions": list(conditions)}
    return EvidenceView("anaesthesia_assessment", outcome, NOW - timedelta(days=days_ago), scope=scope, data=data)


def conditions(*evidence: EvidenceView, **attributes: Any) -> list[str]:
    steps = told(*evidence, items=(item(1, **attributes),))
    return [step.text.zh for step in steps if step.code.startswith("endoscopy.condition")]


def test_the_conditions_of_a_conditional_pass_are_steps_of_the_preparation() -> None:
    found = conditions(assessment("备血", "术后留观 2 小时"), sedation=True)
    assert found == ["麻醉评估要求：备血", "麻醉评估要求：术后留观 2 小时"]


def test_the_conditions_of_an_older_assessment_or_of_another_order_are_gone() -> None:
    assert conditions(assessment("备血", days_ago=2), assessment(), sedation=True) == []
    assert conditions(assessment("备血", scope="O2"), sedation=True) == []
    assert conditions(assessment("备血", scope="O1"), sedation=True) == ["麻醉评估要求：备血"]
    assert conditions(assessment("备血")) == []


def test_the_plugin_is_accepted_with_its_hooks() -> None:
    plugins = Plugins()
    plugins.register("endoscopy", hooks)
    assert plugins.broken == {}
    hooked = {"validate_order", "pre_booking_gate", "requirements", "interval_rules", "preparation", "allocate"}
    assert set(plugins.loaded["endoscopy"].hooks) == hooked
    assert plugins.loaded["endoscopy"].title == "无痛内镜规则 · Endoscopy rules"
