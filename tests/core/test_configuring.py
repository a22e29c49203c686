"""What a department sets for a plugin: checked by the plugin's schema, effective at once, kept with who and when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from marshmallow import Schema, fields, validate

from examlane import DepartmentMode, Finding, FindingKind, Stage, Text, hookimpl
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.extension import configuring
from examlane.records.audit import Actor
from examlane.testing import World, small_hospital

ADMIN = Actor("admin", "page")


class Limits(Schema):
    floor = fields.Integer(load_default=3, strict=True, validate=validate.Range(0, 99))
    rooms = fields.List(fields.String(), load_default=list)


class Rules:
    SettingsSchema = Limits

    @hookimpl
    def validate_order(self, order: Any, settings: Mapping[str, Any]) -> list[Finding]:
        words = Text("提示", str(settings["floor"]))
        return [Finding(FindingKind.HINT, "rules.floor", words, item.key) for item in order.items]


class Plain:
    @hookimpl
    def preparation(self, items: Any) -> list[Any]:
        return []


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    found = small_hospital(database_url, {"rules": Rules(), "plain": Plain(), "odd": object()})
    yield found
    found.hospital.close()


def put(world: World, plugin: str = "rules", department: str = "US", **values: Any) -> None:
    configuring.set_settings(world.database, world.hospital.plugins, department, plugin, ADMIN, 7, **values)


def stored(world: World, plugin: str = "rules") -> configuring.PluginSettings:
    return configuring.read_settings(world.database, world.hospital.plugins, "US", plugin)


def floor(world: World) -> str:
    """What the hook is told, on the whole road."""
    number = world.order("US-THYROID")
    findings = world.database.value("SELECT findings FROM order_item WHERE key = ?", f"{number}/1")
    return str(json.loads(findings)[0]["text"]["en"])


def test_a_setting_counts_at_the_next_plan_and_its_absence_means_the_default(world: World) -> None:
    world.switch("US", "rules")
    assert floor(world) == "3"

    put(world, settings={"floor": 5})
    assert floor(world) == "5"
    put(world, settings={})
    assert floor(world) == "3"


def test_what_is_set_and_what_counts_are_both_shown(world: World) -> None:
    put(world, settings={"floor": 5}, required=True, position=4)
    found = stored(world)

    assert (found.stored, found.effective) == ({"floor": 5}, {"floor": 5, "rooms": []})
    assert (found.stage, found.required, found.position, found.version) == ("off", True, 4, 1)
    assert (found.changed_by, found.changed_at, found.problem) == ("admin", 7, "")


def test_what_is_not_named_stays(world: World) -> None:
    world.switch("US", "rules", Stage.PILOT)
    put(world, settings={"floor": 5}, required=True, position=4)
    put(world, position=1)

    found = stored(world)
    assert (found.stored, found.required, found.position, found.stage) == ({"floor": 5}, True, 1, "pilot")


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({"floor": "five"}, ["/settings/floor"]),
        ({"floor": 100}, ["/settings/floor"]),
        ({"flor": 5}, ["/settings/flor"]),
        ({"floor": -1, "rooms": ["a", 2]}, ["/settings/floor", "/settings/rooms/1"]),
    ],
)
def test_every_wrong_setting_is_refused_by_its_path_and_nothing_is_kept(
    world: World, settings: dict[str, Any], paths: list[str]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        put(world, settings=settings, required=True)

    assert [path for path, _ in refused.value.problems] == paths
    assert (stored(world).version, stored(world).required) == (0, False)


def test_a_plugin_without_settings_takes_none(world: World) -> None:
    put(world, "plain", settings={})
    with pytest.raises(InvalidInput, match="/settings/floor: this plugin has no settings"):
        put(world, "plain", settings={"floor": 5})


def test_the_settings_of_a_broken_plugin_cannot_be_checked_but_its_place_can_be_changed(world: World) -> None:
    with pytest.raises(Refused, match="implements no hook"):
        put(world, "odd", settings={"floor": 5})
    put(world, "odd", position=2)

    assert (stored(world, "odd").position, stored(world, "odd").problem) == (2, "implements no hook")


@pytest.mark.parametrize(("department", "plugin"), [("XX", "rules"), ("US", "nobody")])
def test_unknown_departments_and_plugins_are_not_found(world: World, department: str, plugin: str) -> None:
    with pytest.raises(NotFound):
        put(world, plugin, department, settings={})


def test_of_two_who_change_it_the_second_must_look_again(world: World) -> None:
    put(world, settings={"floor": 5}, version=0)
    with pytest.raises(Conflict):
        put(world, settings={"floor": 6}, version=0)
    put(world, settings={"floor": 7}, version=1)

    assert (stored(world).stored, stored(world).version) == ({"floor": 7}, 2)


def test_who_changed_what_is_kept(world: World) -> None:
    put(world, settings={"floor": 5})
    put(world, settings={"floor": 6}, required=True)
    rows = world.database.rows("SELECT actor, detail FROM audit WHERE action = 'plugin.settings' ORDER BY id")

    assert [actor for actor, _ in rows] == ["admin", "admin"]
    assert json.loads(rows[1][1]) == {
        "plugin": "rules", "before": {"floor": 5}, "after": {"floor": 6}, "required": True, "position": 0,
    }  # fmt: skip


def test_a_plugin_that_becomes_required_closes_the_department_until_it_counts(world: World) -> None:
    world.mode("US", DepartmentMode.AUTOMATIC)
    put(world, required=True)
    assert world.item(f"{world.order('US-THYROID')}/1").reason == "required_plugin_missing"

    world.switch("US", "rules")
    assert world.item(f"{world.order('US-THYROID', patient='P2')}/1").state == "accepted"


def test_settings_that_no_longer_fit_the_plugin_close_it_and_say_so(world: World) -> None:
    world.switch("US", "rules")
    spoil = partial(world.database.rows, "UPDATE department_plugin SET settings = ? RETURNING id", '{"old_name":1}')
    world.database.write(spoil)

    assert "old_name" in stored(world).problem
    assert stored(world).effective == {"old_name": 1}
