"""How endoscopies are held, what the patient does before, and the whole road in a small hospital."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
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
    Priority,
    ServiceView,
    Text,
    Visit,
)
from examlane.extension import answers
from examlane.extension.plugins import Plugins
from examlane.testing import MORNING, World, require, small_hospital
from examlane_endoscopy import hooks

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
PASSED = EvidenceView("anaesthesia_assessment", "passed", NOW, data={"asa": 1})
ROLES = ("room", "endoscopist", "anaesthetist", "recovery")


def group(role: str, campus: str = "N", zone: str = "N-3", name: str = "", slices: int = 10) -> GroupView:
    return GroupView(name or f"{role}-{campus}", role, role, "ES", campus, zone, slices)


NORTH = [group(role) for role in ROLES]
SOUTH = [group(role, "S", "S-3") for role in ROLES]


def item(line: int, rooms: tuple[str, ...] = ("room-N",), minutes: int = 15, **attributes: Any) -> OrderItemView:
    exam = ExamItem(f"ES{line}", Text("胃镜", "gastroscopy"), "ES", "stomach", "ES", attributes)
    services = tuple(ServiceView(exam.code, room, room[-1], f"{room[-1]}-3", minutes, 10) for room in rooms)
    return OrderItemView(f"O1/{line}", exam, services)


def visits(
    *items: OrderItemView, groups: list[GroupView] | None = None, evidence: tuple[EvidenceView, ...] = (PASSED,)
) -> list[Visit]:
    encounter = EncounterView("V1", EncounterClass.OUTPATIENT)
    order = OrderView("O1", encounter, "CLINIC", Priority.ROUTINE, NOW, items)
    places = NORTH if groups is None else groups
    found = hooks.requirements([order], places, evidence, NOW, {})
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


def test_the_visit_starts_within_the_assessments_validity() -> None:
    soon = EvidenceView("anaesthesia_assessment", "passed", NOW, NOW + timedelta(days=3), data={"asa": 1})
    (visit,) = visits(item(1, sedation=True), evidence=(soon,))
    assert visit.latest == NOW + timedelta(days=3)


def test_without_an_open_gate_there_is_no_option() -> None:
    (visit,) = visits(item(1, sedation=True), evidence=())
    assert visit.options == ()


def prepare(*items: OrderItemView) -> dict[str, tuple[int, timedelta]]:
    steps = answers.preparation(hooks.preparation(items, {}))
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


def test_bowel_preparation_is_told_a_day_ahead() -> None:
    assert prepare(item(1, bowel_preparation=True))["bowel_leaflet"] == (0, timedelta(days=1))


def test_the_plugin_is_accepted_with_its_four_hooks() -> None:
    plugins = Plugins()
    plugins.register("endoscopy", hooks)
    assert plugins.broken == {}
    hooked = {"validate_order", "pre_booking_gate", "requirements", "preparation"}
    assert set(plugins.loaded["endoscopy"].hooks) == hooked
    assert plugins.loaded["endoscopy"].title == "无痛内镜规则 · Endoscopy rules"


# A small hospital


SEDATED = json.dumps({"sedation": True, "fasting_hours": 6})
DATA: dict[str, list[dict[str, Any]]] = {
    "departments": [
        {"code": "ES", "name": "内镜中心", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "CLINIC", "name": "门诊", "campus": "N", "ordering": 1},
    ],
    "items": [{"code": "GASTRO", "name": "无痛胃镜", "modality": "ES", "department": "ES", "attributes": SEDATED}],
    "groups": [
        {"code": role, "name": role, "role": role, "department": "ES", "campus": "N", "zone": "N-3", "slice_minutes": 10}
        for role in ROLES
    ],
    "resources": [{"code": f"{role}-1", "name": role, "group": role} for role in ROLES],
    "services": [{"item": "GASTRO", "group": "room", "minutes": 20}],
    "rosters": [
        {"resource": f"group:{role}", "weekdays": "1-5", "starts": "08:00", "ends": "17:00"} for role in ROLES
    ],
    "walking": [],
}


@pytest.fixture
def world(sqlite_url: str) -> World:
    hospital = small_hospital(sqlite_url, {"endoscopy": hooks}, DATA)
    require(hospital, "ES", "endoscopy")
    return hospital


def test_a_paid_order_waits_for_the_assessment_and_is_then_booked_with_all_its_resources(world: World) -> None:
    number = world.order("GASTRO", context={"escort": Fact(True)})
    world.pay(number)
    assert world.item(f"{number}/1").reason == "awaiting_gate"
    world.evidence("P1", "anaesthesia_assessment", "passed", data={"asa": 2, "assessor_grade": "attending"})
    booked = world.item(f"{number}/1")
    assert booked.appointment_state == "booked"
    assert booked.starts_at.date() == date(2026, 11, 23)
    assert booked.starts_at >= MORNING + timedelta(hours=6)
    roles = world.database.rows("SELECT DISTINCT role FROM claim WHERE appointment_id = ?", booked.appointment_id)
    assert {role for (role,) in roles} == set(ROLES)


def test_the_one_anaesthetist_is_never_booked_twice_at_a_time(world: World) -> None:
    starts = []
    for patient in ("P1", "P2"):
        number = world.order("GASTRO", patient=patient)
        world.evidence(patient, "anaesthesia_assessment", "passed", data={"asa": 1})
        world.pay(number)
        starts.append(world.item(f"{number}/1").starts_at)
    assert abs(starts[1] - starts[0]) >= timedelta(minutes=20)
