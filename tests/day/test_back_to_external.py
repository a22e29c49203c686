"""A department goes live and goes back: what is taken over, what is asked about, what is given back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane.appointments import booking, changes, status
from examlane.domain import DepartmentMode, Sex
from examlane.errors import Conflict, NotFound
from examlane.golive import differences, exports, imports, received, switching
from examlane.golive.received import Received, Report
from examlane.insight import invariants
from examlane.orders.patients import Identifier, PatientData
from examlane.storage.exchange import Peer
from examlane.testing import MORNING, TESTER, World, require, small_hospital

NINE = MORNING + timedelta(hours=25)
AUTOMATIC, EXTERNAL = DepartmentMode.AUTOMATIC, DepartmentMode.EXTERNAL


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    found = small_hospital(database_url)
    found.mode("US", EXTERNAL)
    found.database.write(
        lambda: found.database.insert(Peer, code="RIS", address="http://ris", created_at=int(MORNING.timestamp()) - 60)
    )
    yield found
    assert [each.id for each in invariants.check(found.database, clock=found.clock)] == []
    found.hospital.close()


def told(world: World, number: str = "R1", card: str = "P1", **more: Any) -> Received:
    usual: dict[str, Any] = {"starts_at": NINE, "items": ("US-THYROID",), "resource": "US-N-1", "state": "booked"}
    data = Report(
        system="RIS", number=number, patient=PatientData((Identifier("card", card),), f"患者{card}", Sex.FEMALE),
        **{"sent_at": world.clock.now(), **usual, **more},
    )  # fmt: skip
    return received.receive(world.hospital, data, TESTER)


def ordered(world: World, card: str = "P1", number: str = "R1", **more: Any) -> str:
    """An appointment of the external system for an order of ours; its number here."""
    order = world.order("US-THYROID", patient=card)
    world.pay(order)
    return told(world, number, card, items=(), orders=(f"{order}/1",), **more).appointment


def mode_of(world: World, number: str) -> str:
    return status.appointment(world.hospital, number).mode


def obstacles(world: World) -> list[tuple[str, str]]:
    return [(one.code, one.subject) for one in switching.cutover(world.hospital, "US")]


def kinds(world: World) -> list[str]:
    return [kind for (kind,) in world.database.rows("SELECT DISTINCT kind FROM event ORDER BY kind")]


def test_what_has_an_order_and_its_seats_becomes_ours_and_keeps_its_number(world: World) -> None:
    number = ordered(world)
    done = switching.switch(world.hospital, "US", AUTOMATIC, TESTER)
    world.later(seconds=1)

    assert (done.adopted, done.left) == (1, 0)
    after = status.appointment(world.hospital, number)
    assert (after.mode, after.state, after.starts_at, after.version) == ("slot", "booked", NINE, 1)
    assert "appointment.adopted" in kinds(world)
    assert changes.cancel(world.hospital, number, TESTER, reason="改期").state == "cancelled"


def test_what_has_no_order_stays_and_the_desk_is_asked(world: World) -> None:
    number = told(world).appointment
    done = switching.switch(world.hospital, "US", AUTOMATIC, TESTER)
    again = switching.switch(world.hospital, "US", AUTOMATIC, TESTER)
    world.later(seconds=1)

    assert (done.adopted, done.left, again.left) == (0, 1, 1)
    assert (mode_of(world, number), status.appointment(world.hospital, number).state) == ("external", "booked")
    assert world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL") == [("without_order",)]


def test_an_appointment_whose_order_comes_afterwards_is_taken_over_at_the_next_switch(world: World) -> None:
    number = told(world).appointment
    switching.switch(world.hospital, "US", AUTOMATIC, TESTER)
    order = world.order("US-THYROID", confirmed=("core.repeated_order",), confirm_reason="原系统已约")
    told(world, sent_at=MORNING + timedelta(minutes=5), items=(), orders=(f"{order}/1",))

    assert switching.switch(world.hospital, "US", AUTOMATIC, TESTER).adopted == 1
    assert mode_of(world, number) == "slot"
    assert world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL") == []


def test_what_is_ours_is_no_longer_changed_from_outside_and_the_report_is_kept(world: World) -> None:
    number = ordered(world)
    switching.switch(world.hospital, "US", AUTOMATIC, TESTER)
    moved = told(world, sent_at=MORNING + timedelta(minutes=5), starts_at=NINE + timedelta(hours=1))

    assert (moved.result, moved.problems) == ("stored", ("department_not_external", "ours_now"))
    assert status.appointment(world.hospital, number).starts_at == NINE
    codes = [one.code for one in differences.of(world.hospital, "US")]
    assert codes == ["other_time", "department_not_external", "ours_now"]
    done = told(world, sent_at=MORNING + timedelta(minutes=6), state="executed")
    assert (done.result, status.appointment(world.hospital, number).state) == ("executed", "fulfilled")


def test_the_orders_that_waited_are_booked_after_the_switch(world: World) -> None:
    order = world.order("US-THYROID")
    world.pay(order)
    world.later(minutes=1)
    assert world.item(f"{order}/1").reason == "department_external"
    assert ("department_external", f"{order}/1") in obstacles(world)

    switching.switch(world.hospital, "US", AUTOMATIC, TESTER)
    booking.settle_due(world.hospital)
    assert world.item(f"{order}/1").appointment_state == "booked"


def test_the_check_before_the_switch_lists_what_would_be_wrong(world: World) -> None:
    told(world)
    told(world, "R2", "P2", starts_at=NINE + timedelta(hours=12))
    told(world, "R3", "P3", starts_at=NINE + timedelta(hours=1))
    require(world, "US", "radiology")
    number = world.database.value("SELECT id FROM resource WHERE code = 'US-S-1'")
    world.database.write(lambda: world.database.rows("DELETE FROM slot WHERE resource_id = ? RETURNING id", number))
    world.database.write(
        lambda: world.database.rows(
            "DELETE FROM service WHERE item_id = (SELECT id FROM exam_item WHERE code = 'US-HEART') RETURNING id"
        )
    )

    found = obstacles(world)
    assert found[:3] == [("required_plugin_missing", "radiology"), ("unmapped_item", "US-HEART"), ("no_roster", "US-S-1")]
    assert [code for code, _ in found[3:]] == ["without_order"] * 3


def test_a_department_without_any_rule_is_told_so(world: World) -> None:
    assert obstacles(world) == [("no_plugin", "US")]


def test_going_back_exports_everything_and_leaves_it_in_place(world: World) -> None:
    switching.switch(world.hospital, "US", AUTOMATIC, TESTER)
    world.pay(world.order("US-THYROID"))
    world.later(minutes=1)
    number = world.item("O1/1").appointment
    done = switching.switch(world.hospital, "US", EXTERNAL, TESTER)

    assert (done.given_back, mode_of(world, number)) == (1, "external")
    assert done.export is not None
    kept = imports.of(world.hospital, done.export)
    assert [row["appointment"] for row in kept["appointments"]] == [number]
    payload = json.loads(world.database.value("SELECT payload FROM event WHERE kind = 'department.external'"))
    assert payload == {"appointments": 1, "department": "US", "export": done.export}
    with pytest.raises(Conflict, match="own system"):
        changes.cancel(world.hospital, number, TESTER, reason="改期")
    world.later(days=1)
    assert status.appointment(world.hospital, number).state == "booked"


def test_there_and_back_again_the_number_is_the_same(world: World) -> None:
    switching.switch(world.hospital, "US", AUTOMATIC, TESTER)
    world.pay(world.order("US-THYROID"))
    world.later(minutes=1)
    number = world.item("O1/1").appointment
    switching.switch(world.hospital, "US", EXTERNAL, TESTER)
    answer = told(world, "R7", items=(), orders=("O1/1",), appointment=number, starts_at=NINE + timedelta(hours=1))

    assert (answer.result, answer.appointment) == ("changed", number)
    assert switching.switch(world.hospital, "US", AUTOMATIC, TESTER).adopted == 1
    assert mode_of(world, number) == "slot"


def test_an_appointment_of_ours_that_the_other_system_never_told_is_missing_there(world: World) -> None:
    switching.switch(world.hospital, "US", AUTOMATIC, TESTER)
    world.pay(world.order("US-THYROID"))
    world.later(minutes=1)
    switching.switch(world.hospital, "US", EXTERNAL, TESTER)

    assert [one.code for one in differences.of(world.hospital, "US")] == ["missing_there"]


def test_the_export_names_number_patient_exams_time_resource_and_state(world: World) -> None:
    number = ordered(world)
    row = exports.future(world.hospital, "US")[0]

    assert row == {
        "appointment": number, "number": "R1", "patient": [{"kind": "card", "value": "P1"}], "items": ["US-THYROID"],
        "orders": ["O1/1"], "resource": ["US-N-1"], "group": "US-N", "starts_at": "2026-11-24T09:00:00+08:00",
        "ends_at": "2026-11-24T09:10:00+08:00", "state": "booked", "preparation": [],
    }  # fmt: skip
    read = next(csv.DictReader(io.StringIO(exports.as_csv([row]))))
    assert (read["patient"], read["items"], read["starts_at"]) == ("card=P1", "US-THYROID", row["starts_at"])


def test_a_cell_of_an_export_is_no_formula() -> None:
    row = dict.fromkeys(exports.COLUMNS, "") | {"group": "=HYPERLINK(1)"}

    assert "'=HYPERLINK(1)" in exports.as_csv([row])


def test_what_is_missing_here_is_told(world: World) -> None:
    number = told(world).appointment
    world.mode("US", DepartmentMode.MANUAL)
    changes.cancel(world.hospital, number, TESTER, reason="患者要求")

    assert [(one.code, one.number) for one in differences.of(world.hospital, "US")] == [("missing_here", "R1")]


def test_another_departments_appointments_are_left_alone(world: World) -> None:
    world.pay(world.order("CT-HEAD", patient="P8"))
    world.later(minutes=1)
    tables = ("appointment", "claim", "order_item", "appointment_version")
    before = {name: world.database.rows(f"SELECT * FROM {name} ORDER BY id") for name in tables}
    for mode in (AUTOMATIC, EXTERNAL, AUTOMATIC):
        switching.switch(world.hospital, "US", mode, TESTER)

    assert {name: world.database.rows(f"SELECT * FROM {name} ORDER BY id") for name in tables} == before


@pytest.mark.parametrize("ask", [switching.cutover, differences.of, exports.future])
def test_an_unknown_department_is_not_found(world: World, ask: Any) -> None:
    with pytest.raises(NotFound):
        ask(world.hospital, "NOWHERE")


def test_a_stale_version_switches_nothing(world: World) -> None:
    number = ordered(world)
    with pytest.raises(Conflict):
        switching.switch(world.hospital, "US", AUTOMATIC, TESTER, version=77)
    assert mode_of(world, number) == "external"
