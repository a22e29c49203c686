"""上线管理: stages and modes count at once and everywhere, and touch nothing that is booked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examlane import DepartmentMode, Finding, FindingKind, Stage, Text, hookimpl
from examlane.errors import Conflict, NotFound, Refused
from examlane.extension import rollout
from examlane.extension.plugins import Plugins
from examlane.extension.rollout import in_pilot
from examlane.hospital import open_hospital
from examlane.settings import Settings
from examlane.storage.database import Database
from examlane.testing import TESTER, World, require, small_hospital

SWITCH_ELSEWHERE = """
import sys
from examlane.domain import (DepartmentMode, Stage)
from examlane.extension import rollout
from examlane.records.audit import Actor
from examlane.storage.database import Database
database = Database(sys.argv[1])
rollout.set_stage(database, "US", "rules", Stage.OFF, Actor("admin", "page"), 1)
rollout.set_mode(database, "CT", DepartmentMode.MANUAL, Actor("admin", "page"), 1)
"""
BOOKED = ("appointment", "appointment_version", "appointment_item", "appointment_segment", "claim", "slot")


class Rules:
    """Blocks everything, and remembers whom it was asked about."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    @hookimpl
    def validate_order(self, order: Any, patient: Any) -> list[Finding]:
        self.asked.append(patient.id)
        words = Text("不行", "no")
        return [Finding(FindingKind.BLOCK, "rules.no", words, item.key) for item in order.items]


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def world(database_url: str, rules: Rules) -> Iterator[World]:
    world = small_hospital(database_url, {"rules": rules})
    yield world
    world.hospital.close()


@pytest.fixture
def paid(world: World) -> Callable[..., SimpleNamespace]:
    """What becomes of a new patient's paid ultrasound."""

    def paid(patient: str, item: str = "US-THYROID") -> SimpleNamespace:
        order = world.order(item, patient=patient, settle=False)
        world.pay(order)
        return world.item(f"{order}/1")

    return paid


def contents(database: Database) -> dict[str, list[Any]]:
    return {table: sorted(database.rows(f"SELECT * FROM {table}")) for table in BOOKED}


def _noting(asked: list[str], name: str) -> list[Any]:
    asked.append(name)
    return []


def desk(world: World) -> list[str]:
    return [code for (code,) in world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL ORDER BY id")]


def test_a_plugin_counts_from_the_next_order_on_once_it_is_on_and_no_longer_when_it_is_off(
    world: World, rules: Rules, paid: Callable[..., SimpleNamespace]
) -> None:
    assert (paid("P1").reason, rules.asked) == ("booked", [])
    world.switch("US", "rules")
    assert paid("P2").reason == "rejected"
    assert paid("P2", "CT-HEAD").reason == "booked"
    world.switch("US", "rules", Stage.OFF)
    asked = len(rules.asked)
    assert (paid("P3").reason, len(rules.asked)) == ("booked", asked)


def test_a_pilot_asks_about_its_share_of_patients_and_always_the_same_ones(
    world: World, rules: Rules, paid: Callable[..., SimpleNamespace]
) -> None:
    world.switch("US", "rules", Stage.PILOT, pilot_percent=50)
    salt = world.hospital.settings.pilot_salt
    for number in range(16):
        for _ in range(2):
            paid(f"P{number}")
    everybody = [key for (key,) in world.database.rows("SELECT id FROM patient")]
    chosen = {key for key in everybody if in_pilot(salt, "US", "rules", key, 50)}

    assert 0 < len(chosen) < len(everybody) == 16
    assert set(rules.asked) == chosen
    assert len(rules.asked) >= 2 * len(chosen)


@given(st.integers(1, 10**12), st.integers(0, 100), st.integers(0, 100))
def test_a_patient_who_is_in_a_small_pilot_stays_in_when_it_grows(patient: int, one: int, other: int) -> None:
    small, large = sorted((one, other))

    assert in_pilot("s", "US", "rules", patient, large) or not in_pilot("s", "US", "rules", patient, small)
    assert not in_pilot("s", "US", "rules", patient, 0)
    assert in_pilot("s", "US", "rules", patient, 100)


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_a_pilot_takes_the_share_it_was_given_and_another_salt_takes_others(percent: int) -> None:
    first, second = (
        {patient for patient in range(20_000) if in_pilot(salt, "US", "rules", patient, percent)} for salt in "ab"
    )

    assert len(first) / 200 == pytest.approx(percent, abs=1.5)
    assert len(first & second) / 200 == pytest.approx(percent**2 / 100, abs=1.5)


def test_a_switch_in_another_process_counts_here_at_once_and_changes_no_appointment(
    world: World, paid: Callable[..., SimpleNamespace]
) -> None:
    paid("P1")
    paid("P1", "CT-HEAD")
    world.switch("US", "rules")
    assert paid("P2").reason == "rejected"
    before = contents(world.database)
    subprocess.run([sys.executable, "-c", SWITCH_ELSEWHERE, world.database.url], check=True, timeout=60)

    assert contents(world.database) == before
    assert paid("P3").reason == "booked"
    assert paid("P3", "CT-HEAD").reason == "department_manual"


def test_a_plan_made_before_a_switch_is_made_again_after_it(world: World, rules: Rules) -> None:
    class Switching:
        @hookimpl
        def pre_booking_gate(self, order: Any) -> list[Any]:
            if not switched:
                rollout.set_stage(elsewhere, "US", "rules", Stage.ON, TESTER, 1)
                elsewhere.close()
                switched.append(True)
            return []

    switched: list[bool] = []
    elsewhere = Database(world.database.url)
    world.hospital.plugins.register("switching", Switching())
    world.switch("US", "switching")
    order = world.order("US-THYROID", settle=False)
    world.pay(order)

    assert world.item(f"{order}/1").reason == "rejected"


def test_switching_a_department_off_and_on_leaves_every_appointment_as_it_was(
    world: World, paid: Callable[..., SimpleNamespace]
) -> None:
    for number in range(5):
        paid(f"P{number}")
        paid(f"P{number}", "CT-HEAD")
    before = contents(world.database)
    for mode in (DepartmentMode.MANUAL, DepartmentMode.EXTERNAL, DepartmentMode.AUTOMATIC):
        world.mode("US", mode)
    for stage in Stage:
        world.switch("US", "rules", stage)
    world.later(hours=1)

    assert contents(world.database) == before


def test_a_stale_version_is_a_conflict_and_changes_nothing(world: World) -> None:
    world.switch("US", "rules", Stage.SHADOW, version=0)
    world.switch("US", "rules", Stage.PILOT, version=1)
    with pytest.raises(Conflict):
        world.switch("US", "rules", Stage.ON, version=1)
    rollout.set_mode(world.database, "US", DepartmentMode.MANUAL, TESTER, 1, version=1)
    with pytest.raises(Conflict):
        rollout.set_mode(world.database, "US", DepartmentMode.EXTERNAL, TESTER, 1, version=1)

    assert world.database.value("SELECT stage FROM department_plugin") == "pilot"
    assert world.database.value("SELECT mode FROM department WHERE code = 'US'") == "manual"


def test_who_switched_what_and_when_is_kept(world: World) -> None:
    world.switch("US", "rules", Stage.PILOT, pilot_percent=20)
    world.mode("US", DepartmentMode.MANUAL)

    rows = world.database.rows("SELECT actor, action, subject_key FROM audit ORDER BY id")
    assert rows == [("tester", "plugin.stage", "US"), ("tester", "department.mode", "US")]
    assert world.database.row("SELECT changed_by, pilot_percent FROM department_plugin") == ("tester", 20)


def test_what_does_not_exist_cannot_be_switched(world: World) -> None:
    with pytest.raises(NotFound):
        world.switch("MR", "rules")
    with pytest.raises(NotFound):
        world.mode("MR", DepartmentMode.MANUAL)
    with pytest.raises(Refused):
        world.switch("US", "rules", Stage.PILOT, pilot_percent=101)


def test_a_required_plugin_that_does_not_count_closes_automatic_booking_of_its_department_only(
    world: World, paid: Callable[..., SimpleNamespace]
) -> None:
    harmless = SimpleNamespace(preparation=hookimpl(lambda items: []))
    world.hospital.plugins.register("safety", harmless)
    require(world, "US", "safety")
    assert paid("P1").reason == "booked"

    for number, stage in enumerate((Stage.SHADOW, Stage.OFF), 2):
        world.switch("US", "safety", stage)
        closed = paid(f"P{number}")
        assert (closed.reason, closed.appointment) == ("required_plugin_missing", None)
        assert paid(f"P{number}", "CT-HEAD").reason == "booked"
    assert desk(world) == ["required_plugin_missing"] * 2
    world.switch("US", "safety", Stage.PILOT, pilot_percent=0)
    assert paid("P4").reason == "required_plugin_missing"
    world.switch("US", "safety", Stage.PILOT, pilot_percent=100)
    assert paid("P5").reason == "booked"


def test_a_required_plugin_that_is_broken_or_absent_closes_automatic_booking(
    world: World, paid: Callable[..., SimpleNamespace]
) -> None:
    world.hospital.plugins.register("broken", object())
    assert "broken" in world.hospital.plugins.broken
    require(world, "US", "broken")
    require(world, "CT", "absent")

    assert paid("P1").reason == "required_plugin_missing"
    assert paid("P1", "CT-HEAD").reason == "required_plugin_missing"
    assert desk(world) == ["required_plugin_missing"] * 2


def test_plugins_of_a_department_are_asked_in_the_order_of_their_positions(world: World) -> None:
    asked: list[str] = []
    for position, name in ((2, "alpha"), (1, "omega")):
        step = partial(_noting, asked, name)
        world.hospital.plugins.register(name, SimpleNamespace(preparation=hookimpl(lambda items, step=step: step())))
        place = partial(world.database.rows, "UPDATE department_plugin SET position = ? WHERE plugin = ? RETURNING id")
        require(world, "US", name)
        world.database.write(partial(place, position, name))
    world.switch("US", "omega")
    order = world.order("US-THYROID", settle=False)
    world.pay(order)

    assert asked == ["omega", "alpha"]


def test_two_processes_with_different_plugins_never_open_what_a_missing_rule_must_close(world: World) -> None:
    world.hospital.plugins.register("safety", SimpleNamespace(preparation=hookimpl(lambda items: [])))
    require(world, "US", "safety")
    poor = open_hospital(Settings(database=world.database.url), world.clock, Plugins())
    poorer = World(poor, world.clock)
    order = poorer.order("US-THYROID", settle=False)
    poorer.pay(order)

    assert poorer.item(f"{order}/1").reason == "required_plugin_missing"
    world.pay(order)
    assert world.item(f"{order}/1").reason == "booked"
    poor.close()
