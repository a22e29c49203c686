"""What is known of a patient changes: the newest fact counts, and every open item is asked anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from examlane import Fact, Sex
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.insight import invariants
from examlane.orders import patients, snapshot
from examlane.orders.patients import Identifier
from examlane.patients import updates
from examlane.patients.updates import PatientUpdate
from examlane.records.receipts import request_key
from examlane.testing import DATA, MORNING, TESTER, World, require, small_hospital
from tests.day.test_order_changes import Pregnancy
from tests.day.test_reissued_orders import claims, theirs

LIMITS: dict[str, list[dict[str, Any]]] = {
    "services": [
        {"item": "US-THYROID", "group": "US-N", "minutes": 10, "min_age": 14},
        {"item": "US-HEART", "group": "US-N", "minutes": 20, "sex": "female"},
        {"item": "CT-HEAD", "group": "CT-N", "minutes": 10, "max_weight_kg": 150},
    ]
}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"pregnancy": Pregnancy()}, {**DATA, **LIMITS}, planning_window=timedelta())
    require(world, "CT", "pregnancy")
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def booked(world: World, *items: str, patient: str = "P1", **more: Any) -> str:
    order = world.order(*items, patient=patient, **more)
    world.pay(order)
    return order


def update(world: World, patient: str = "P1", key: Any = None, **more: Any) -> dict[str, str]:
    found = updates.update(world.hospital, PatientUpdate(Identifier("card", patient), **more), TESTER, key)
    return {each.item.item: each.outcome for each in found}


def state(world: World, order: str, line: int = 1) -> str:
    return str(world.item(f"{order}/{line}").appointment_state)


def known(world: World, order: str, name: str) -> Any:
    patient = patients.get(world.database, Identifier("card", "P1"))
    found = snapshot.read(world.database, world.hospital.catalogues, patient, world.clock.now())
    return next(item.order for item in found.items if item.order.number == order).known(name)


def tasks(world: World) -> list[str]:
    rows = world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL ORDER BY id")
    return [code for (code,) in rows]


def test_a_telephone_number_changes_nothing_else(world: World) -> None:
    order = booked(world, "US-THYROID", "CT-HEAD")
    before = claims(world)

    assert update(world, phone="13800000000", name="王小明") == {"US-THYROID": "kept", "CT-HEAD": "kept"}
    assert claims(world) == before
    assert world.item(f"{order}/1").version == 1
    assert world.database.row("SELECT name, phone FROM patient") == ("王小明", "13800000000")


@pytest.mark.parametrize(
    ("item", "beyond", "within"),
    [
        ("CT-HEAD", {"facts": {"weight_kg": Fact(170)}}, {"facts": {"weight_kg": Fact(140)}}),
        ("US-HEART", {"sex": Sex.MALE}, {"sex": Sex.FEMALE}),
        ("US-THYROID", {"birth_date": date(2020, 1, 1)}, {"birth_date": date(1990, 1, 1)}),
    ],
)
def test_a_visit_where_the_patient_cannot_be_served_any_more_is_tentative_and_the_desk_decides(
    world: World, item: str, beyond: dict[str, Any], within: dict[str, Any]
) -> None:
    order = booked(world, item)
    assert update(world, **beyond) == {item: "needs_decision"}
    assert (state(world, order), tasks(world)) == ("tentative", ["no_service"])

    assert update(world, **within) == {item: "kept"}
    assert (state(world, order), tasks(world)) == ("booked", [])


def test_a_fact_of_the_patient_reaches_the_rules_of_every_open_order(world: World) -> None:
    order = booked(world, "CT-HEAD")
    assert update(world, facts={"pregnant": Fact(True)}) == {"CT-HEAD": "needs_decision"}
    assert state(world, order) == "tentative"
    later = world.order("CT-HEAD", encounter="V2")
    assert world.item(f"{later}/1").state == "rejected"


def test_the_newest_fact_counts_whoever_reported_it(world: World) -> None:
    hour = timedelta(hours=1)
    order = world.order("US-THYROID", context={"weight_kg": Fact(60, MORNING - 2 * hour)})
    assert known(world, order, "weight_kg") == 60
    assert known(world, order, "pregnant") is None
    update(world, facts={"weight_kg": Fact(61, MORNING - hour, "ward")})
    assert known(world, order, "weight_kg") == 61
    update(world, facts={"weight_kg": Fact(59, MORNING - 3 * hour, "ward"), "height_cm": Fact(170)})
    assert known(world, order, "weight_kg") == 61
    update(world, facts={"weight_kg": Fact(58, MORNING - 3 * hour, "clinic")})
    assert known(world, order, "weight_kg") == 61
    world.later(minutes=1)
    newer = world.order("US-HEART", context={"weight_kg": Fact(62)})
    assert known(world, newer, "weight_kg") == 62
    assert known(world, newer, "height_cm") == 170


def test_every_mistake_is_named_and_nothing_is_written(world: World) -> None:
    booked(world, "US-THYROID")
    later = MORNING + timedelta(days=1)
    with pytest.raises(InvalidInput) as raised:
        update(world, birth_date=date(2030, 1, 1), facts={"weight_kg": Fact(61, later)}, phone="1")
    assert [pointer for pointer, _ in raised.value.problems] == ["/facts/weight_kg/observed_at", "/birth_date"]
    with pytest.raises(NotFound):
        update(world, "NOBODY", phone="1")
    assert world.database.row("SELECT phone, (SELECT count(*) FROM patient_fact) FROM patient") == ("", 0)


def test_a_repeated_update_and_the_neighbour(world: World) -> None:
    booked(world, "CT-HEAD")
    other = booked(world, "CT-HEAD", patient="P2")
    before = theirs(world, other)
    key = request_key("his", "u1", "patient.update", {})
    update(world, key=key, facts={"weight_kg": Fact(170)})
    with pytest.raises(Conflict):
        update(world, key=key, facts={"weight_kg": Fact(170)})

    assert theirs(world, other) == before
    assert world.database.value("SELECT count(*) FROM audit WHERE action = 'patient.update'") == 1
