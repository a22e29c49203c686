"""Ultrasound in a hospital: visits of several sittings on real slots, chairs, sonographers, and the desk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane import Fact
from examlane.appointments import status
from examlane.arrival import noshow
from examlane.insight import invariants
from examlane.storage.fields import dump
from examlane.testing import TESTER, World, require, small_hospital
from examlane_ultrasound import hooks

ITEMS: dict[str, tuple[dict[str, Any], str, int]] = {
    "ABDOMEN": ({"merge": True, "fasting_hours": 8}, "ROOM", 10),
    "BLADDER": ({"merge": True, "full_bladder": True}, "ROOM", 10),
    "THYROID": ({"merge": True}, "ROOM", 10),
    "CONTRAST": ({"contrast": "microbubble"}, "ROOM", 15),
    "NT": ({"credential": "prenatal"}, "PRENATAL", 20),
}
GROUPS = {"ROOM": "room", "PRENATAL": "room", "SONOGRAPHER": "sonographer", "CHAIRS": "chair"}
DATA: dict[str, list[dict[str, Any]]] = {
    "departments": [
        {"code": "US", "name": "超声科", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "CLINIC", "name": "门诊", "campus": "N", "ordering": 1},
    ],
    "items": [{"code": code, "name": code, "modality": "US", "department": "US", "attributes": dump(attributes)}
              for code, (attributes, _, _) in ITEMS.items()],
    "groups": [{"code": code, "name": code, "department": "US", "campus": "N", "zone": "N-1", "role": role,
                "slice_minutes": 10} for code, role in GROUPS.items()],
    "resources": [{"code": f"{code}-1", "name": "1", "group": code} for code in GROUPS],
    "services": [{"item": code, "group": group, "minutes": minutes, "extra_minutes": '{"wheelchair": 10}'}
                 for code, (_, group, minutes) in ITEMS.items()],
    "rosters": [{"resource": f"{code}-1", "weekdays": "1-5", "starts": "08:00", "ends": "17:00",
                 "capacity": 4 if code == "CHAIRS" else 1} for code in GROUPS],
    "walking": [],
}  # fmt: skip
FREE = ("microbubble_allergy", "right_to_left_shunt", "severe_pulmonary_hypertension", "ards")


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"ultrasound": hooks}, DATA)
    require(world, "US", "ultrasound")
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def booked(world: World, *items: str, needs: tuple[str, ...] = (), **more: Any) -> Any:
    order = world.order(*items, settle=not needs, **more)
    if needs:
        world.database.rows("UPDATE encounter SET needs = ? RETURNING id", dump(list(needs)))
    world.pay(order)
    return world.item(f"{order}/1")


def stretches(world: World) -> list[tuple[str, str, str]]:
    """The segments of all appointments, in the hospital's time."""
    calendar = world.hospital.calendar
    rows = world.database.rows("SELECT name, start_at, end_at FROM appointment_segment ORDER BY start_at")
    midnight = calendar.midnight(calendar.day_of(world.clock.now())).timestamp()
    return [(name, *(str(timedelta(seconds=at - midnight)) for at in (start, end))) for name, start, end in rows]


def test_the_bladder_is_examined_an_hour_after_the_fasting_part_and_others_use_the_room_meanwhile(world: World) -> None:
    world.clock.advance(timedelta(hours=16))  # midnight: the fast still fits
    one = booked(world, "BLADDER", "ABDOMEN", "THYROID")
    other = booked(world, "THYROID", patient="P2")
    assert one.starts_at.isoformat().endswith("T08:00:00+08:00")
    assert stretches(world) == [
        ("exam", "8:00:00", "8:20:00"), ("exam", "8:20:00", "8:30:00"), ("full_bladder", "9:20:00", "9:30:00")
    ]  # fmt: skip
    assert other.starts_at == one.starts_at + timedelta(minutes=20)


def test_the_patient_reads_the_order_of_the_parts(world: World) -> None:
    one = booked(world, "BLADDER", "ABDOMEN", "THYROID")
    told = status.appointment(world.hospital, one.appointment).preparation
    assert [step["code"] for step in told] == [
        "ultrasound.order", "ultrasound.fasting", "ultrasound.bladder_after_fasting"
    ]  # fmt: skip
    assert told[0]["text"]["zh"].endswith("ABDOMEN → THYROID → BLADDER")


def test_a_contrast_exam_waits_for_the_doctor_then_takes_double_time_and_a_chair(world: World) -> None:
    order = world.order("CONTRAST")
    assert world.item(f"{order}/1").state == "needs_confirmation"
    findings = json.loads(world.database.value("SELECT findings FROM order_item"))
    assert {finding["code"] for finding in findings} == {"ultrasound.contrast.unknown", "ultrasound.consent"}

    free = {name: Fact(False, world.clock.now(), "EMR") for name in FREE}
    again = world.order("CONTRAST", patient="P2", context=free)
    world.evidence("P2", "consent", "signed")
    world.pay(again)
    assert [(name, end > start) for name, start, end in stretches(world)] == [("exam", True), ("observation", True)]
    roles = world.database.rows("SELECT role, count(*) FROM claim GROUP BY role ORDER BY role")
    assert roles == [("chair", 3), ("room", 3)]


def test_a_wheelchair_gets_its_extra_minutes_in_every_part(world: World) -> None:
    one = status.appointment(world.hospital, booked(world, "THYROID", needs=("wheelchair",)).appointment)
    assert one.ends_at - one.starts_at == timedelta(minutes=20)


def test_prenatal_screening_takes_room_and_sonographer(world: World) -> None:
    booked(world, "NT")
    roles = world.database.rows("SELECT role, count(*) FROM claim GROUP BY role ORDER BY role")
    assert roles == [("room", 2), ("sonographer", 2)]


def test_who_comes_late_is_sent_to_the_desk_and_keeps_his_order(world: World) -> None:
    one = booked(world, "THYROID")
    world.later(hours=3)
    here = noshow.arrive(world.hospital, one.appointment, TESTER)
    assert (here.state, here.no_show["code"]) == ("no_show", "ultrasound.desk_decides")
    assert world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL") == [("late_arrival",)]
