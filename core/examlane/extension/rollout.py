"""上线管理: department modes and plugin stages as data, read at each call; who switched them and when."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from examlane.domain import DepartmentMode, IntervalRule, Stage, Text
from examlane.errors import Conflict, NotFound, Refused
from examlane.extension.dispatch import sealed
from examlane.extension.plugins import CORE as CORE
from examlane.extension.plugins import Plugin, Plugins
from examlane.extension.rules import kept
from examlane.records import audit
from examlane.records.audit import Actor
from examlane.records.versions import bump
from examlane.rulebase import files
from examlane.rulebase.intervals import interval_of
from examlane.rulebase.rules import RuleBook
from examlane.storage.database import Database
from examlane.storage.models import DepartmentPlugin

SWITCHES = """SELECT d.code, p.plugin, p.stage, p.pilot_percent, p.required, p.settings
FROM department_plugin p JOIN department d ON d.id = p.department_id ORDER BY d.code, p.position, p.plugin"""
CHANGED = Text("他人刚改过，已显示最新值", "somebody else changed this just now; the newest value is shown")


@dataclass(frozen=True, slots=True)
class Switch:
    """How far one plugin counts in one department."""

    plugin: str
    stage: Stage
    pilot_percent: int
    required: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """One plugin of a department's chain, with its settings there and the rules that count. `problem`: never asked."""

    plugin: Plugin
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    rules: RuleBook = field(default_factory=RuleBook)
    problem: str = ""

    @property
    def handed(self) -> dict[str, Any]:
        """What every hook of the plugin may take beside its question."""
        return {"settings": self.settings, "rules": self.rules}


class Rollout:
    """Modes, stages and rules at one version on one day; `common` settings (the time zone) reach every plugin."""

    def __init__(
        self, database: Database, plugins: Plugins, version: int, day: date, salt: str, common: Mapping[str, Any]
    ) -> None:
        self.version = version
        self.day = day
        self._plugins = plugins
        self._salt = salt
        self._common = common
        self._settings: dict[tuple[str, str], tuple[Mapping[str, Any], str]] = {}
        here = kept(database)
        self._books = {
            name: files.book(here.of(name, plugin.rules), plugin.rules.choices, here.chosen.get(name, {}), day)
            for name, plugin in plugins.loaded.items()
        }
        self.modes = {code: DepartmentMode(mode) for code, mode in database.rows("SELECT code, mode FROM department")}
        self.switches: dict[str, list[Switch]] = defaultdict(list)
        for department, plugin, stage, percent, required, settings in database.rows(SWITCHES):
            self.switches[department].append(
                Switch(plugin, Stage(stage), percent, bool(required), sealed(json.loads(settings)))
            )

    def mode(self, department: str) -> DepartmentMode:
        return self.modes.get(department, DepartmentMode.MANUAL)

    def rules(self, plugin: str) -> RuleBook:
        """The rules of a plugin that count now."""
        return self._books.get(plugin, RuleBook())

    @cached_property
    def intervals(self) -> tuple[IntervalRule, ...]:
        """How exams of any departments relate: the core's own rules, which hold for the whole hospital."""
        return tuple(interval_of(rule) for rule in self.rules(CORE).rules.values())

    def with_rules(self, books: Mapping[str, RuleBook]) -> Rollout:
        """The same with other rules, to see what they would decide."""
        other = copy(self)
        other._books = {**self._books, **books}
        other.__dict__.pop("intervals", None)
        return other

    def chain(self, department: str, hook: str, patient: int) -> list[Link]:
        """The plugins that count for this patient in a department, in order; those that are broken are left out."""
        return [link for switch, link in self._links(department, hook) if self._counts(switch, department, patient)]

    def shadows(self, department: str, hook: str) -> list[Link]:
        return [link for switch, link in self._links(department, hook) if switch.stage is Stage.SHADOW]

    def placed(self, plugin: str) -> dict[str, Link]:
        """The departments where a plugin counts, for some patients at least, or watches, with what it gets there."""
        found = self._plugins.loaded.get(plugin)
        if found is None:
            return {}
        return {
            department: self._link(department, found, switch)
            for department, switches in self.switches.items()
            for switch in switches
            if switch.plugin == plugin and switch.stage is not Stage.OFF
        }

    def settings(self, department: str, plugin: str) -> Mapping[str, Any]:
        return next((switch.settings for switch in self.switches[department] if switch.plugin == plugin), {})

    def missing(self, department: str, patient: int) -> str:
        """The required plugin that does not count for this patient, or nothing. It closes automatic booking."""
        for switch in self.switches.get(department, ()):
            if switch.required and not (switch.plugin in self._plugins.loaded and self._counts(switch, department, patient)):
                return switch.plugin
        return ""

    def _links(self, department: str, hook: str) -> list[tuple[Switch, Link]]:
        links = []
        for switch in self.switches.get(department, ()):
            plugin = self._plugins.loaded.get(switch.plugin)
            if plugin is not None and hook in plugin.hooks:
                links.append((switch, self._link(department, plugin, switch)))
        return links

    def _link(self, department: str, plugin: Plugin, switch: Switch) -> Link:
        if (department, plugin.name) not in self._settings:
            settings, problem = loaded_settings(plugin, switch.settings)
            self._settings[department, plugin.name] = sealed({**self._common, **settings}), problem
        settings, problem = self._settings[department, plugin.name]
        return Link(plugin, settings, self.rules(plugin.name), problem)

    def _counts(self, switch: Switch, department: str, patient: int) -> bool:
        if switch.stage is Stage.PILOT:
            return in_pilot(self._salt, department, switch.plugin, patient, switch.pilot_percent)
        return switch.stage is Stage.ON


class Rollouts:
    """Hands out the present rollout, read anew when its version has changed."""

    def __init__(self, database: Database, plugins: Plugins, salt: str, common: Mapping[str, Any]) -> None:
        self._database = database
        self._plugins = plugins
        self._salt = salt
        self._common = common
        self._current: Rollout | None = None

    def at(self, version: int, now: datetime) -> Rollout:
        """The rollout of a version, with the rules that count on the business date of an instant."""
        current = self._current
        day = now.astimezone(ZoneInfo(self._common["time_zone"])).date()
        if current is None or (current.version, current.day) != (version, day):
            current = self._current = Rollout(self._database, self._plugins, version, day, self._salt, self._common)
        return current


def loaded_settings(plugin: Plugin, stored: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """A department's settings through the plugin's own schema, with its defaults; and what is wrong with them."""
    if plugin.schema is None:
        return stored, ""
    try:
        return sealed(plugin.schema().load(stored)), ""
    except ValidationError as error:
        return stored, f"settings: {error.messages}"[:300]


def in_pilot(salt: str, department: str, plugin: str, patient: int, percent: int) -> bool:
    """Whether a patient is in a pilot: a salted hash of the permanent id, so the answer never changes."""
    digest = hashlib.sha256(f"{salt}/{department}/{plugin}/{patient}".encode()).digest()
    return int.from_bytes(digest[:4]) % 100 < percent


def set_mode(
    database: Database, department: str, mode: DepartmentMode, actor: Actor, now: int, version: int | None = None
) -> None:
    """Switch a department's mode and nothing else. Raises `Conflict` on a stale version."""
    database.write(lambda: change_mode(database, department, mode, actor, now, version))


def change_mode(
    database: Database, department: str, mode: DepartmentMode, actor: Actor, now: int, version: int | None = None
) -> DepartmentMode:
    """The same inside the caller's write transaction; returns the mode before."""
    row = database.row("SELECT mode, version FROM department WHERE code = ?", department)
    if row is None:
        raise NotFound("department", department)
    fresh(version, row[1])
    changed = database.rows(
        "UPDATE department SET mode = ?, mode_changed_by = ?, mode_changed_at = ?, version = version + 1 "
        "WHERE code = ? AND version = ? RETURNING id",
        mode.value, actor.name, now, department, row[1],
    )  # fmt: skip
    won(changed)
    bump(database, "rollout")
    audit.record(database, actor, "department.mode", "department", department, now, before=row[0], after=mode.value)
    return DepartmentMode(row[0])


def set_stage(
    database: Database,
    department: str,
    plugin: str,
    stage: Stage,
    actor: Actor,
    now: int,
    *,
    pilot_percent: int | None = None,
    version: int | None = None,
) -> None:
    """Switch a plugin's stage in a department, effective in all processes at their next plan."""
    if pilot_percent is not None and not 0 <= pilot_percent <= 100:
        raise Refused("percent_out_of_range", Text("比例须为 0–100", "the share must be 0 to 100"), "/pilot_percent")

    def switch() -> None:
        key = database.value("SELECT id FROM department WHERE code = ?", department)
        if key is None:
            raise NotFound("department", department)
        row = database.row(
            "SELECT id, stage, pilot_percent, version FROM department_plugin WHERE department_id = ? AND plugin = ?",
            key, plugin,
        )  # fmt: skip
        fresh(version, row[3] if row else 0)
        percent = pilot_percent if pilot_percent is not None else (row[2] if row else 10)
        if row is None:
            database.insert(
                DepartmentPlugin, department=key, plugin=plugin, stage=stage.value, pilot_percent=percent,
                changed_by=actor.name, changed_at=now,
            )  # fmt: skip
        else:
            changed = database.rows(
                "UPDATE department_plugin SET stage = ?, pilot_percent = ?, changed_by = ?, changed_at = ?, "
                "version = version + 1 WHERE id = ? AND version = ? RETURNING id",
                stage.value, percent, actor.name, now, row[0], row[3],
            )  # fmt: skip
            won(changed)
        bump(database, "rollout")
        audit.record(
            database, actor, "plugin.stage", "department", department, now,
            plugin=plugin, before=row[1] if row else "off", after=stage.value, pilot_percent=percent,
        )  # fmt: skip

    database.write(switch)


def won(changed: Sequence[Any]) -> None:
    """Raise `Conflict` when a change met no row at the version that was read."""
    if not changed:
        raise Conflict("version_conflict", CHANGED)


def fresh(expected: int | None, actual: int) -> None:
    """Raise `Conflict` when the caller has read another version than the present one."""
    if expected is not None and expected != actual:
        raise Conflict("version_conflict", CHANGED)


@dataclass(frozen=True, slots=True)
class StageRow:
    """One cell of the matrix of departments and plugins."""

    plugin: str
    stage: str
    pilot_percent: int
    required: bool
    version: int
    changed_by: str
    changed_at: int | None


@dataclass(frozen=True, slots=True)
class DepartmentRow:
    code: str
    name: Text
    campus: str
    mode: str
    version: int
    changed_by: str
    changed_at: int | None
    stages: Mapping[str, StageRow]


OVERVIEW = """SELECT d.id, d.code, d.name, d.name_en, c.name, d.mode, d.version, d.mode_changed_by, d.mode_changed_at
FROM department d JOIN campus c ON c.id = d.campus_id ORDER BY d.id"""
STAGES = """SELECT department_id, plugin, stage, pilot_percent, required, version, changed_by, changed_at
FROM department_plugin"""


def overview(database: Database) -> list[DepartmentRow]:
    """Every department with its mode and the stages of its plugins, with who and when."""
    stages: dict[int, dict[str, StageRow]] = defaultdict(dict)
    for department, plugin, stage, percent, required, version, by, at in database.rows(STAGES):
        stages[department][plugin] = StageRow(plugin, stage, percent, bool(required), version, by, at)
    return [
        DepartmentRow(code, Text(name, english or name), campus, mode, version, by, at, stages[key])
        for key, code, name, english, campus, mode, version, by, at in database.rows(OVERVIEW)
    ]
