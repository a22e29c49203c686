"""What a department sets for a plugin: its settings, whether it is required there, its place in the chain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from examlane.domain import Text
from examlane.errors import InvalidInput, NotFound, Refused
from examlane.extension.plugins import Plugins
from examlane.extension.rollout import fresh, loaded_settings, won
from examlane.records import audit
from examlane.records.audit import Actor
from examlane.records.versions import bump
from examlane.storage.database import Database
from examlane.storage.fields import dump
from examlane.storage.models import DepartmentPlugin


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """What a department has set for a plugin: `stored` as it was given, `effective` with the plugin's defaults."""

    stage: str
    required: bool
    position: int
    version: int
    changed_by: str
    changed_at: int | None
    stored: Mapping[str, Any]
    effective: Mapping[str, Any]
    problem: str = ""


def read_settings(database: Database, plugins: Plugins, department: str, plugin: str) -> PluginSettings:
    """The settings of a plugin in a department, at version 0 while nobody touched them. Raises `NotFound`."""
    _, row = _cell(database, plugins, department, plugin)
    _, stage, required, position, settings, version, by, at = row or (0, "off", 0, 0, "{}", 0, "", None)
    stored = json.loads(settings)
    loaded = plugins.loaded.get(plugin)
    problem = loaded_settings(loaded, stored)[1] if loaded else plugins.broken.get(plugin, "not installed")
    schema = loaded.schema() if loaded and loaded.schema and not problem else None
    effective = schema.dump(schema.load(stored)) if schema else stored
    return PluginSettings(stage, bool(required), position, version, by, at, stored, effective, problem)


def set_settings(
    database: Database,
    plugins: Plugins,
    department: str,
    plugin: str,
    actor: Actor,
    now: int,
    *,
    settings: Mapping[str, Any] | None = None,
    required: bool | None = None,
    position: int | None = None,
    version: int | None = None,
) -> None:
    """Set all settings of a plugin in a department, whether it is required there, its place in the chain.

    What is None stays. Effective in all processes at their next plan. Raises `NotFound`, `InvalidInput` with the path
    of each wrong setting, and `Conflict` on a stale version.
    """
    _cell(database, plugins, department, plugin)
    if settings is not None:
        _check_settings(plugins, plugin, settings)

    def store() -> None:
        key, row = _cell(database, plugins, department, plugin)
        before = read_settings(database, plugins, department, plugin)
        fresh(version, before.version)
        kept = before.stored if settings is None else settings
        after: dict[str, Any] = {
            "settings": dump(dict(kept)),
            "required": int(before.required if required is None else required),
            "position": before.position if position is None else position,
        }
        if row is None:
            database.insert(DepartmentPlugin, department=key, plugin=plugin, changed_by=actor.name, changed_at=now, **after)
        else:
            changed = database.rows(
                "UPDATE department_plugin SET settings = ?, required = ?, position = ?, changed_by = ?, changed_at = ?, "
                "version = version + 1 WHERE id = ? AND version = ? RETURNING id",
                *after.values(), actor.name, now, row[0], before.version,
            )  # fmt: skip
            won(changed)
        bump(database, "rollout")
        audit.record(
            database, actor, "plugin.settings", "department", department, now, plugin=plugin,
            before=dict(before.stored), after=dict(kept),
            required=bool(after["required"]), position=after["position"],
        )  # fmt: skip

    database.write(store)


def _cell(database: Database, plugins: Plugins, department: str, plugin: str) -> tuple[int, Sequence[Any] | None]:
    """The department's id, and what is stored of the plugin there. Raises `NotFound`."""
    key = database.value("SELECT id FROM department WHERE code = ?", department)
    if key is None:
        raise NotFound("department", department)
    row = database.row(
        "SELECT id, stage, required, position, settings, version, changed_by, changed_at FROM department_plugin "
        "WHERE department_id = ? AND plugin = ?", key, plugin,
    )  # fmt: skip
    if row is None and plugin not in {**plugins.loaded, **plugins.broken}:
        raise NotFound("plugin", plugin)
    return key, row


def _check_settings(plugins: Plugins, plugin: str, settings: Mapping[str, Any]) -> None:
    loaded = plugins.loaded.get(plugin)
    if loaded is None:
        reason = plugins.broken.get(plugin, "not installed")
        raise Refused("plugin_broken", Text(f"插件不可用：{reason}", f"the plugin cannot be used: {reason}"), "/settings")
    if loaded.schema is None and settings:
        none = Text("该插件没有可设置的项目", "this plugin has no settings")
        raise InvalidInput([(f"/settings/{name}", none) for name in settings])
    try:
        if loaded.schema is not None:
            loaded.schema().load(settings)
    except ValidationError as error:
        raise InvalidInput(list(_problems(error.messages, "/settings"))) from error


def _problems(messages: Any, at: str) -> Iterator[tuple[str, Text]]:
    """Marshmallow's nested messages with the path of each."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from _problems(inner, at if name == "_schema" else f"{at}/{name}")
    else:
        yield from ((at, Text(f"设置有误：{message}", str(message))) for message in messages)
