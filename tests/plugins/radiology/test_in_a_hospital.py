"""Contrast orders on their whole road through a small hospital with the radiology plugin switched on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from examlane import EncounterClass, Fact, Priority, Sex
from examlane.appointments import booking
from examlane.extension import rules
from examlane.orders import intake
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData, register
from examlane.rulebase import files
from examlane.testing import MORNING, TESTER, World, require, small_hospital
from examlane_radiology import hooks

HARMLESS = {
    "weight_kg": 60,
    "contrast_reaction": "none",
    "metformin": False,
    "hyperthyroidism": False,
    "pregnant": False,
    "egfr": 90,
}
CONTRAST = {"contrast": "iodine", "contrast_protocol": "chest_ct", "ionising": True}
DATA: dict[str, list[dict[str, Any]]] = {
    "items": [
        {"code": code, "name": "胸部增强CT", "modality": "CT", "department": "CT", "attributes": json.dumps(CONTRAST)}
        for code in ("CT-A", "CT-B")
    ],
    "services": [{"item": code, "group": "CT-N", "minutes": 20} for code in ("CT-A", "CT-B")],
}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    hospital = small_hospital(database_url, {"radiology": hooks}, DATA)
    require(hospital, "CT", "radiology", {"agents": {"chest_ct": "iodixanol-320"}})
    known = PatientData((Identifier("card", "P1"),), "患者P1", Sex.FEMALE, date(1986, 1, 1))
    hospital.database.write(lambda: register(hospital.database, known))
    yield hospital
    hospital.hospital.close()


def order(
    world: World, *items: str, number: str = "", confirmed: tuple[str, ...] = (), reason: str = "", **facts: Any
) -> str:
    """Order and pay; an emergency (`emergency=True`) may confirm findings with a reason."""
    urgent = facts.pop("emergency", False)
    context = {name: Fact(value, MORNING - timedelta(days=1)) for name, value in {**HARMLESS, **facts}.items()}
    number = number or f"O{next(world.numbers)}"
    data = OrderData(
        number=number,
        patient=PatientData((Identifier("card", "P1"),), "患者P1", Sex.FEMALE),
        encounter=EncounterData("V1", EncounterClass.EMERGENCY if urgent else EncounterClass.OUTPATIENT, campus="N"),
        ordering_department="CLINIC",
        ordered_at=world.clock.now(),
        lines=tuple(OrderLine(line, item, confirmed, reason) for line, item in enumerate(items, 1)),
        priority=Priority.STAT if urgent else Priority.ROUTINE,
        context=context,
        verified=True,
    )
    catalogue = world.hospital.catalogues.current()
    patient = intake.record(world.database, catalogue, world.hospital.settings, data, TESTER, world.clock.now())
    booking.settle(world.hospital, patient, TESTER)
    world.pay(number)
    return number


def findings(world: World, key: str) -> dict[str, dict[str, Any]]:
    stored = json.loads(world.database.value("SELECT findings FROM order_item WHERE key = ?", key))
    return {finding["code"]: finding for finding in stored}


def choose(world: World, choice: str, profile: str) -> None:
    shipped = files.read("radiology", "examlane_radiology")
    rules.choose(world.database, "radiology", shipped, choice, profile, TESTER, world.clock.now())


def test_a_clean_contrast_order_is_filled_with_the_departments_agent_and_booked(world: World) -> None:
    number = order(world, "CT-A")
    assert world.item(f"{number}/1").appointment_state == "booked"
    stored = world.database.value("SELECT fills FROM order_item WHERE key = ?", f"{number}/1")
    assert json.loads(stored) == {
        "agent": "iodixanol-320", "volume_ml": 84.0, "iodine_g": 26.88, "flow_ml_s": 3.0, "cannula": "20G",
    }  # fmt: skip


def test_an_order_without_weight_is_rejected_and_never_booked(world: World) -> None:
    number = order(world, "CT-A", weight_kg=None)
    assert world.item(f"{number}/1").state == "rejected"
    assert world.item(f"{number}/1").appointment is None


def test_an_order_with_damaged_kidneys_waits_for_approval_and_is_booked_when_it_comes(world: World) -> None:
    number = order(world, "CT-A", egfr=20)
    assert world.item(f"{number}/1").state == "needs_approval"
    approval = {"scope": f"{number}/1", "data": {"code": "radiology.kidney_risk"}}
    world.evidence("P1", "approval", "passed", **approval)
    assert world.item(f"{number}/1").appointment_state == "booked"


def test_premedication_puts_the_appointment_off_by_thirteen_hours(world: World) -> None:
    harmless = order(world, "CT-A")
    number = order(world, "CT-B", contrast_reaction="moderate", confirmed=("radiology.reaction_moderate",))
    assert world.item(f"{harmless}/1").starts_at.date() == MORNING.date()
    start = world.item(f"{number}/1").starts_at
    assert start >= MORNING + timedelta(hours=13)
    assert start.date() == date(2026, 11, 24)


def test_an_emergency_overrides_a_block_only_with_a_reason(world: World) -> None:
    code = "radiology.hyperthyroidism"
    assert world.item(f"{order(world, 'CT-A', hyperthyroidism=True)}/1").state == "rejected"
    asked = order(world, "CT-A", hyperthyroidism=True, emergency=True, confirmed=(code,))
    assert world.item(f"{asked}/1").state == "needs_confirmation"
    again = order(
        world, "CT-A", number=asked, hyperthyroidism=True, emergency=True, confirmed=(code,), reason="主动脉夹层待排"
    )
    assert world.item(f"{again}/1").appointment_state == "booked"
    finding = findings(world, f"{again}/1")[code]
    assert finding["needs_reason"]
    assert finding["rule"] == code
    assert finding["source"]


def test_two_iodine_exams_are_booked_at_least_four_hours_apart(world: World) -> None:
    number = order(world, "CT-A", "CT-B")
    first, second = sorted(world.item(f"{number}/{line}").starts_at for line in (1, 2))
    assert timedelta(hours=4, minutes=20) <= second - first < timedelta(days=2)


def test_a_hospital_that_chooses_seven_days_gets_seven_days(world: World) -> None:
    choose(world, "iodine_interval", "cn_7d")
    number = order(world, "CT-A", "CT-B")
    first, second = sorted(world.item(f"{number}/{line}").starts_at for line in (1, 2))
    assert second - first >= timedelta(days=7, minutes=20)


def test_the_chosen_profile_for_metformin_delays_and_stands_in_the_decision(world: World) -> None:
    usual = order(world, "CT-A", metformin=True)
    assert "radiology.metformin" not in findings(world, f"{usual}/1")
    choose(world, "metformin", "cn_48h")
    number = order(world, "CT-B", metformin=True)
    found = findings(world, f"{number}/1")["radiology.metformin"]
    assert (found["rule_version"], found["source"][:2]) == ("2026.1-cn48h", "CN")
    assert world.item(f"{number}/1").starts_at >= MORNING + timedelta(hours=48)
