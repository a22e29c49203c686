"""Settings of plugins over REST: read with their version, replaced whole, refused by path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from marshmallow import Schema, fields, validate

from examlane import hookimpl

PATH = "/departments/US/plugins/careful/settings"


class Careful:
    class SettingsSchema(Schema):
        floor = fields.Integer(load_default=3, strict=True, validate=validate.Range(0, 99))

    @hookimpl
    def preparation(self, items: Any) -> list[Any]:
        return []


@pytest.fixture
def site(database_url: str, open_site: Callable[..., Any]) -> Iterator[Any]:
    with open_site(database_url) as found:
        found.world.hospital.plugins.register("careful", Careful())
        yield found


def test_what_nobody_touched_is_version_0_with_the_defaults(site: Any) -> None:
    answer = site.get(PATH, caller="console")

    assert (answer.status_code, answer.headers["ETag"]) == (200, '"0"')
    assert answer.json == {
        "department": "US", "plugin": "careful", "stage": "off", "required": False, "position": 0, "version": 0,
        "changed_by": "", "changed_at": None, "settings": {}, "effective": {"floor": 3}, "problem": "",
    }  # fmt: skip


def test_settings_are_replaced_whole_and_the_rest_stays_where_null(site: Any) -> None:
    first = site.put(PATH, {"settings": {"floor": 5}, "required": True, "position": 2}, caller="console")
    assert (first.status_code, first.headers["ETag"], first.json["changed_by"]) == (200, '"1"', "console")

    second = site.put(PATH, {"settings": {}}, caller="console", If_Match='"1"')
    assert (second.json["settings"], second.json["effective"]) == ({}, {"floor": 3})
    assert (second.json["required"], second.json["position"], second.json["version"]) == (True, 2, 2)


def test_a_wrong_setting_is_422_with_its_pointer(site: Any) -> None:
    answer = site.put(PATH, {"settings": {"floor": "five", "flor": 1}}, caller="console")

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert sorted(part["pointer"] for part in answer.json["errors"]) == ["/settings/floor", "/settings/flor"]
    assert site.get(PATH, caller="console").json["version"] == 0


@pytest.mark.parametrize(("sent", "header"), [({"version": 7}, {}), ({}, {"If_Match": '"7"'}), ({}, {"If_Match": "x"})])
def test_a_stale_version_is_412(site: Any, sent: dict[str, Any], header: dict[str, str]) -> None:
    site.put(PATH, {"settings": {"floor": 5}}, caller="console")
    answer = site.put(PATH, {"settings": {"floor": 6}, **sent}, caller="console", **header)

    assert (answer.status_code, answer.json["code"]) == (412, "version_conflict")
    assert site.get(PATH, caller="console").json["settings"] == {"floor": 5}


@pytest.mark.parametrize("path", [PATH.replace("US", "XX"), PATH.replace("careful", "nobody")])
def test_unknown_departments_and_plugins_are_404(site: Any, path: str) -> None:
    assert site.get(path, caller="console").status_code == 404
    assert site.put(path, {"settings": {}}, caller="console").status_code == 404


def test_only_administrators_see_or_change_settings(site: Any) -> None:
    for caller in ("his", "desk", "stranger"):
        assert site.get(PATH, caller=caller).status_code == 403
        assert site.put(PATH, {"settings": {}}, caller=caller).status_code == 403
