"""Plugins over REST: what is loaded, what is broken and why, and how far each counts in which department."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from examlane.errors import NotFound
from examlane.extension import rollout
from examlane_api import rulebook
from examlane_api.rest.api import blueprint, hospital, operation

blp = blueprint("plugins", "Plugins and their stages")
READ = "plugin.read"


class StageAnswer(Schema):
    department = fields.String()
    stage = fields.String()
    pilot_percent = fields.Integer()
    required = fields.Boolean()
    version = fields.Integer()


class PluginLine(Schema):
    """`problem`: why it cannot be asked; empty: it can."""

    name = fields.String()
    title = fields.String()
    version = fields.String()
    hooks = fields.List(fields.String())
    rules = fields.Integer()
    problem = fields.String()
    stages = fields.List(fields.Nested(StageAnswer))


class PluginsAnswer(Schema):
    plugins = fields.List(fields.Nested(PluginLine))


@blp.route("/plugins", methods=["GET"])
@blp.response(200, PluginsAnswer())
@operation(READ)
def list_plugins() -> Mapping[str, Any]:
    """Every plugin of this process by name, with its stage in each department."""
    return {"plugins": _all()}


@blp.route("/plugins/<string:name>", methods=["GET"])
@blp.response(200, PluginLine())
@operation(READ)
def read_plugin(name: str) -> Mapping[str, Any]:
    """One plugin."""
    found = next((each for each in _all() if each["name"] == name), None)
    if found is None:
        raise NotFound("plugin", name)
    return found


def _all() -> list[dict[str, Any]]:
    here = hospital()
    departments = rollout.overview(here.database)
    names = sorted({*here.plugins.loaded, *here.plugins.broken})
    return [{**_told(name), "stages": _stages(name, departments)} for name in names]


def _told(name: str) -> dict[str, Any]:
    plugin = hospital().plugins.loaded.get(name)
    if plugin is None:
        problem = hospital().plugins.broken[name]
        return {"name": name, "title": "", "version": "", "hooks": [], "rules": 0, "problem": problem}
    rules = len(rulebook.counting(hospital(), name).rules)
    return {
        "name": name, "title": plugin.title, "version": plugin.version, "hooks": sorted(plugin.hooks), "rules": rules,
        "problem": "",
    }  # fmt: skip


def _stages(name: str, departments: list[rollout.DepartmentRow]) -> list[dict[str, Any]]:
    return [
        {
            "department": department.code, "stage": stage.stage, "pilot_percent": stage.pilot_percent,
            "required": stage.required, "version": stage.version,
        }
        for department in departments
        for stage in department.stages.values()
        if stage.plugin == name
    ]  # fmt: skip
