"""Contrast orders on their whole road through a small hospital with the radiology plugin switched on."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest

from examlane import Fact, Sex
from examlane.orders.patients import Identifier, PatientData, register
from examlane.testing import MORNING, World, require, small_hospital
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
def world(sqlite_url: str) -> World:
    hospital = small_hospital(sqlite_url, {"radiology": hooks}, DATA)
    require(hospital, "CT", "radiology")
    known = PatientData((Identifier("card", "P1"),), "患者P1", Sex.FEMALE, date(1986, 1, 1))
    hospital.database.write(lambda: register(hospital.database, known))
    return hospital


def order(world: World, *items: str, **facts: Any) -> str:
    context = {name: Fact(value, MORNING - timedelta(days=1)) for name, value in {**HARMLESS, **facts}.items()}
    number = world.order(*items, context=context)
    world.pay(number)
    return number


def test_a_clean_contrast_order_is_filled_and_booked(world: World) -> None:
    number = order(world, "CT-A")
    assert world.item(f"{number}/1").appointment_state == "booked"
    stored = world.database.value("SELECT fills FROM order_item WHERE key = ?", f"{number}/1")
    assert json.loads(stored) == {"agent": "iohexol-350", "volume_ml": 77.0, "flow_ml_s": 3.0, "cannula": "20G"}


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


def test_two_iodine_exams_are_booked_at_least_four_hours_apart(world: World) -> None:
    number = order(world, "CT-A", "CT-B")
    first, second = sorted(world.item(f"{number}/{line}").starts_at for line in (1, 2))
    assert second - first >= timedelta(hours=4, minutes=20)
