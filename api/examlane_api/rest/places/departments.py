"""Departments: their modes, the stages of their plugins and the settings of these, read and switched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g

from examlane.errors import NotFound
from examlane.extension import configuring, rollout
from examlane.extension.rollout import DepartmentRow
from examlane.golive import switching
from examlane.storage.fields import epoch, maybe_instant
from examlane_api.answers import words
from examlane_api.rest import schemas
from examlane_api.rest.api import actor, answers, blueprint, expecting, hospital, operation

blp = blueprint("departments", "Departments, modes and plugin stages")


@blp.route("/departments", methods=["GET"])
@blp.response(200, schemas.DepartmentsAnswer())
@operation("department.read")
def list_departments() -> Mapping[str, Any]:
    """Every department with its mode and plugin stages."""
    return {"departments": [_data(row) for row in rollout.overview(hospital().database)]}


@blp.route("/departments/<string:code>", methods=["GET"])
@blp.response(200, schemas.DepartmentAnswer())
@operation("department.read", tagged=True)
def read_department(code: str) -> Mapping[str, Any]:
    """One department."""
    return _one(code)


@blp.route("/departments/<string:code>/mode", methods=["PUT"])
@blp.arguments(schemas.Mode())
@blp.response(200, schemas.DepartmentAnswer())
@operation("department.switch", expects=True)
def set_mode(body: dict[str, Any], code: str) -> Mapping[str, Any]:
    """Switch a department's mode; a PUT is repeatable by itself. External appointments are taken over, or given back."""
    switching.switch(hospital(), code, body["mode"], actor(), expecting(body)["version"])
    return _one(code)


@blp.route("/departments/<string:code>/plugins/<string:plugin>", methods=["PUT"])
@blp.arguments(schemas.PluginStage())
@blp.response(200, schemas.DepartmentAnswer())
@operation("department.switch", expects=True)
def set_stage(body: dict[str, Any], code: str, plugin: str) -> Mapping[str, Any]:
    """Switch a plugin's stage in a department, effective in all processes at their next plan.

    `version` or If-Match names the version of the stage that was read.
    """
    here, body = hospital(), expecting(body)
    if plugin not in here.plugins.loaded and plugin not in here.plugins.broken:
        raise NotFound("plugin", plugin)
    rollout.set_stage(
        here.database, code, plugin, body["stage"], actor(), epoch(here.clock.now()),
        pilot_percent=body["pilot_percent"], version=body["version"],
    )  # fmt: skip
    department = _one(code)
    g.version = next(stage["version"] for stage in department["plugins"] if stage["plugin"] == plugin)
    return department


@blp.route("/departments/<string:code>/plugins/<string:plugin>/settings", methods=["GET"])
@blp.response(200, schemas.PluginSettingsAnswer())
@operation("plugin.configure", tagged=True)
def read_settings(code: str, plugin: str) -> Mapping[str, Any]:
    """What a department has set for a plugin, and what counts there with the plugin's defaults."""
    return _settings(code, plugin)


@blp.route("/departments/<string:code>/plugins/<string:plugin>/settings", methods=["PUT"])
@blp.arguments(schemas.PluginSettings())
@blp.response(200, schemas.PluginSettingsAnswer())
@operation("plugin.configure", expects=True)
def set_settings(body: dict[str, Any], code: str, plugin: str) -> Mapping[str, Any]:
    """Set all settings of a plugin in a department. `version` or If-Match names the version that was read."""
    here, body = hospital(), expecting(body)
    configuring.set_settings(
        here.database, here.plugins, code, plugin, actor(), epoch(here.clock.now()), settings=body["settings"],
        required=body["required"], position=body["position"], version=body["version"],
    )  # fmt: skip
    return _settings(code, plugin)


def _settings(code: str, plugin: str) -> Mapping[str, Any]:
    found = configuring.read_settings(hospital().database, hospital().plugins, code, plugin)
    g.version = found.version
    return {
        "department": code, "plugin": plugin, "stage": found.stage, "required": found.required,
        "position": found.position, "version": found.version, "changed_by": found.changed_by,
        "changed_at": answers().time(maybe_instant(found.changed_at)), "settings": found.stored,
        "effective": found.effective, "problem": found.problem,
    }  # fmt: skip


def _one(code: str) -> Mapping[str, Any]:
    row = next((row for row in rollout.overview(hospital().database) if row.code == code), None)
    if row is None:
        raise NotFound("department", code)
    g.version = row.version
    return _data(row)


def _data(row: DepartmentRow) -> dict[str, Any]:
    return {
        "code": row.code, "name": words(row.name), "campus": row.campus, "mode": row.mode, "version": row.version,
        "changed_by": row.changed_by, "changed_at": answers().time(maybe_instant(row.changed_at)),
        "plugins": [
            {
                "plugin": stage.plugin, "stage": stage.stage, "pilot_percent": stage.pilot_percent,
                "required": stage.required, "version": stage.version, "changed_by": stage.changed_by,
                "changed_at": answers().time(maybe_instant(stage.changed_at)),
            }
            for stage in row.stages.values()
        ],
    }  # fmt: skip
