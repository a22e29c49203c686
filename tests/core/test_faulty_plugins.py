"""A faulty plugin costs its own department's items only: never another department's, and never more than it must."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from examlane import EncounterClass, Stage, hookimpl
from examlane.appointments import status
from examlane.arrival import noshow
from examlane.testing import DATA, World, small_hospital


def _zoo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("zoo", Path(__file__).with_name("zoo.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


zoo = _zoo()
FASTING = [
    {**item, "attributes": '{"fasting_hours": 8}'} if item["code"] == "US-THYROID" else item for item in DATA["items"]
]
CLOSED = {
    "validate_order": ("unverified", "unverified"),
    "pre_booking_gate": ("accepted", "rule_unavailable"),
    "requirements": ("accepted", "rule_unavailable"),
    "interval_rules": ("accepted", "rule_unavailable"),
}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, hook_seconds=0.05)
    yield world
    world.hospital.close()


def let_in(world: World, name: str, module: Any, department: str = "US") -> None:
    world.hospital.plugins.register(name, module)
    assert name in world.hospital.plugins.loaded, world.hospital.plugins.broken
    world.switch(department, name)


def ordered(world: World, hook: str, animal: str, department: str = "US") -> dict[str, Any]:
    """What becomes of one patient's ultrasound and CT while the animal is in a department's chain."""
    name = f"{hook} {animal}"
    let_in(world, name, zoo.plugin(hook, zoo.animals(hook)[animal]), department)
    order = world.order("US-THYROID", "CT-HEAD", patient=name, settle=False)
    world.pay(order)
    world.switch(department, name, Stage.OFF)
    return {"us": told(world, f"{order}/1"), "ct": told(world, f"{order}/2"), "failed": f"{name} {hook}"}


def told(world: World, key: str) -> SimpleNamespace:
    """The state of an item, its desk task, and on what its appointment was decided."""
    item = world.item(key)
    item.desk = world.database.row(
        "SELECT t.code, t.reason FROM desk_task t JOIN order_item oi ON oi.id = t.order_item_id "
        "WHERE oi.key = ? AND t.closed_at IS NULL", key,
    )  # fmt: skip
    row = world.database.row(
        "SELECT a.fallback, a.preparation, v.evidence FROM appointment a "
        "JOIN appointment_version v ON v.appointment_id = a.id WHERE a.id = ?", item.appointment_id,
    )  # fmt: skip
    item.fallback, item.preparation, item.evidence = (row[0], json.loads(row[1]), json.loads(row[2])) if row else (0, [], {})
    return item


@pytest.mark.parametrize("hook", CLOSED)
def test_a_fault_in_a_safety_rule_stops_its_own_items_and_books_those_of_others(hook: str, world: World) -> None:
    state, reason = CLOSED[hook]
    for animal in zoo.animals(hook):
        found = ordered(world, hook, animal)
        us, ct = found["us"], found["ct"]

        assert (us.state, us.reason, us.appointment) == (state, reason, None), animal
        assert us.desk is not None, animal
        assert us.desk[0] == reason, animal
        assert json.loads(us.desk[1])["zh"], animal
        assert (ct.reason, ct.fallback) == ("booked", 0), animal
        assert found["failed"] in ct.evidence["failed"], animal


def test_a_fault_in_allocating_is_mended_by_the_core_and_flagged(world: World) -> None:
    for animal in zoo.animals("allocate"):
        found = ordered(world, "allocate", animal)
        us, ct = found["us"], found["ct"]

        assert (us.reason, us.fallback) == ("booked", 1), animal
        assert (ct.reason, ct.fallback) == ("booked", 0), animal


def test_a_fault_of_the_ordering_department_in_allocating_leaves_all_visits_to_the_core(world: World) -> None:
    for animal in zoo.ANYWHERE:
        found = ordered(world, "allocate", animal, "CLINIC")

        assert (found["us"].reason, found["us"].fallback) == ("booked", 1), animal
        assert (found["ct"].reason, found["ct"].fallback) == ("booked", 1), animal
        assert found["failed"] in found["us"].evidence["failed"], animal


def test_a_fault_in_preparation_falls_back_to_the_words_of_the_core(database_url: str) -> None:
    world = small_hospital(database_url, data={"items": FASTING}, hook_seconds=0.05)
    for animal in zoo.animals("preparation"):
        found = ordered(world, "preparation", animal)
        us, ct = found["us"], found["ct"]

        assert (us.reason, ct.reason) == ("booked", "booked"), animal
        assert [step["code"] for step in us.preparation] == ["core.fasting"], animal
        assert found["failed"] in us.evidence["failed"], animal
    world.hospital.close()


def test_a_fault_in_a_no_show_rule_leaves_the_patient_to_the_desk_and_never_cancels(world: World) -> None:
    animals = zoo.animals("on_no_show")
    booked = {animal: world.order("US-THYROID", "CT-HEAD", patient=animal) for animal in animals}
    for order in booked.values():
        world.pay(order)
    patients = {world.database.value("SELECT patient_id FROM order_item WHERE key = ?", f"{order}/1"): animal
                for animal, order in booked.items()}  # fmt: skip
    behave = lambda given: animals[patients[given.no_show.patient.id]](given)  # noqa: E731
    let_in(world, "faulty", zoo.plugin("on_no_show", behave))
    world.clock.advance(world.hospital.settings.freeze * 4)
    noshow.sweep(world.hospital)

    for animal, order in booked.items():
        us, ct = told(world, f"{order}/1"), told(world, f"{order}/2")
        assert (us.appointment_state, ct.appointment_state) == ("no_show", "no_show"), animal
        assert us.desk is not None, animal


def test_a_healed_rule_books_the_item_and_leaves_nothing_closed_behind(world: World) -> None:
    broken = [True]

    def behave(given: Any) -> list[Any]:
        if broken[0]:
            raise KeyError("weight_kg")
        return []

    let_in(world, "rules", zoo.plugin("pre_booking_gate", behave))
    order = world.order("US-THYROID", settle=False)
    world.pay(order)
    assert told(world, f"{order}/1").desk[0] == "rule_unavailable"
    broken.clear()
    broken.append(False)
    world.pay(order)

    (item,) = status.of_order(world.hospital, order)
    assert (item.reason, item.payable, item.gates) == ("booked", True, ())
    assert told(world, f"{order}/1").desk is None


def test_a_slow_department_leaves_the_others_their_time(database_url: str) -> None:
    world = small_hospital(database_url, hook_seconds=0.05, booking_seconds=0.1)
    for hook in ("validate_order", "interval_rules", "preparation"):
        let_in(world, f"slow {hook}", zoo.plugin(hook, zoo.ANYWHERE["hangs"]), "CT")
        let_in(world, f"quick {hook}", zoo.plugin(hook, lambda given: []), "US")
    order = world.order("CT-HEAD", "US-THYROID", settle=False)
    world.pay(order)

    assert world.item(f"{order}/1").reason == "unverified"
    assert world.item(f"{order}/2").reason == "booked"
    world.hospital.close()


def test_the_same_rules_without_the_fault_book_the_item(world: World) -> None:
    for hook in zoo.SOUND:
        let_in(world, f"sound {hook}", zoo.plugin(hook, zoo.SOUND[hook]))
    order = world.order("US-THYROID", settle=False)
    world.pay(order)

    us = told(world, f"{order}/1")
    assert (us.reason, us.fallback, us.evidence["failed"]) == ("booked", 0, [])
    assert [name.split()[1] for name in us.evidence["plugins"] if name != "core "] == sorted(zoo.SOUND)


def test_interval_rules_of_a_sound_plugin_are_kept_and_stored(world: World) -> None:
    let_in(world, "rules", zoo.plugin("interval_rules", zoo.SOUND["interval_rules"]))
    order = world.order("US-THYROID", "US-HEART", settle=False)
    world.pay(order)

    first, second = sorted((world.item(f"{order}/{line}") for line in (1, 2)), key=lambda item: item.starts_at)
    assert (second.starts_at - first.starts_at).total_seconds() >= 24 * 3600
    assert world.database.value("SELECT count(*) FROM appointment_interval") > 0


def test_no_hook_is_asked_while_its_caller_holds_a_write_transaction(database_url: str) -> None:
    world = small_hospital(database_url)
    asked: dict[str, bool] = {}

    def probe(hook: str) -> Any:
        def behave(given: Any) -> Any:
            asked[hook] = world.database.engine.in_transaction()
            return None if hook in ("requirements", "allocate", "on_no_show") else []

        return hookimpl(zoo.HOOKS[hook](behave))

    # A trusted plugin runs in the thread of its caller, where a transaction would show.
    hooks = SimpleNamespace(**{hook: probe(hook) for hook in zoo.HOOKS})
    world.hospital.plugins.register("probe", hooks, trusted=True)
    world.switch("US", "probe")
    order = world.order("US-THYROID")
    world.pay(order)
    world.clock.advance(world.hospital.settings.freeze * 2)
    noshow.sweep(world.hospital)

    assert asked == dict.fromkeys(zoo.HOOKS, False)
    world.hospital.close()


def test_a_plugin_that_writes_to_the_database_waits_for_nobody(database_url: str) -> None:
    world = small_hospital(database_url, hook_seconds=0.5)
    write = "UPDATE desk_task SET code = code WHERE id = -1 RETURNING id"
    for hook in ("validate_order", "pre_booking_gate", "interval_rules", "preparation"):
        let_in(world, hook, zoo.plugin(hook, lambda given: world.database.write(lambda: world.database.rows(write))))
    order = world.order("US-THYROID", encounter_class=EncounterClass.EMERGENCY)

    assert told(world, f"{order}/1").evidence["failed"] == []
    world.hospital.close()
