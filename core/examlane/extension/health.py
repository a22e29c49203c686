"""How every plugin does: where it counts, what is wrong with it, which hooks rest, and what its shadow differs in."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from examlane.clock import Clock
from examlane.errors import Unavailable
from examlane.extension.plugins import CORE, Plugins
from examlane.extension.rollout import loaded_settings
from examlane.records import audit
from examlane.records.audit import Actor
from examlane.storage.database import Database
from examlane.storage.fields import epoch

RESTS, ANSWERS = "plugin.rests", "plugin.answers"
DISPATCHER = Actor("system", "hooks")
REMEMBERED = timedelta(days=7)
TURNS = """SELECT subject_key, action, at, detail FROM audit
WHERE subject = 'plugin' AND action IN (?, ?) AND at > ? ORDER BY id"""
PLACES = """SELECT d.code, p.plugin, p.stage, p.pilot_percent, p.required, p.settings
FROM department_plugin p JOIN department d ON d.id = p.department_id ORDER BY d.code, p.position, p.plugin"""
COMPARED = """SELECT department, plugin, count(*), count(asked_at), coalesce(sum(differs), 0)
FROM shadow_decision GROUP BY department, plugin"""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rest:
    """A hook that rested after failures in a row: since when (UTC seconds), and the last failure."""

    hook: str
    at: int
    failure: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was kept for a plugin in shadow: questions, those it was asked, those it would have decided otherwise."""

    kept: int = 0
    asked: int = 0
    differ: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A plugin in a department."""

    department: str
    stage: str
    pilot_percent: int
    required: bool
    problem: str
    rests: Sequence[Rest]
    shadow: Comparison


@dataclass(frozen=True, slots=True)
class Health:
    """A plugin of this installation, or one that a department names and that is not here; `broken` says why not."""

    name: str
    title: str = ""
    version: str = ""
    hooks: tuple[str, ...] = ()
    rules: int = 0
    broken: str = ""
    places: Sequence[Place] = ()


def note(database: Database, clock: Clock, department: str, plugin: str, hook: str, failure: str) -> None:
    """Keep that a hook rests, or answers again: other processes cannot see it otherwise."""
    # An error's message may carry what the plugin was asked about; its kind does not.
    told: dict[str, Any] = {"department": department, "hook": hook, "failure": failure.partition(":")[0]}
    action, now = (RESTS if failure else ANSWERS), epoch(clock.now())
    try:
        database.write(lambda: audit.record(database, DISPATCHER, action, "plugin", plugin, now, **told))
    except Unavailable:
        # The patient's plan matters more than this note, and finds out by itself that the database is away.
        return


def installed(plugins: Plugins) -> list[Health]:
    """Every plugin of this installation by name, the core's own left out; broken ones with the reason."""
    loaded = [
        Health(name, plugin.title, plugin.version, tuple(plugin.hooks), len({one.rule for one in plugin.rules.versions}))
        for name, plugin in plugins.loaded.items()
        if name != CORE
    ]
    return sorted([*loaded, *(Health(name, broken=reason) for name, reason in plugins.broken.items())], key=_name)


def report(database: Database, plugins: Plugins, clock: Clock) -> list[Health]:
    """Every plugin with the departments where it was ever switched, and those that are switched but not installed."""
    places = _places(database, plugins, _rests(database, epoch(clock.now() - REMEMBERED)))
    here = installed(plugins)
    strangers = [Health(name, broken="not installed") for name in places.keys() - {one.name for one in here}]
    return [
        Health(one.name, one.title, one.version, one.hooks, one.rules, one.broken, tuple(places.get(one.name, ())))
        for one in sorted([*here, *strangers], key=_name)
    ]


def _places(database: Database, plugins: Plugins, rests: dict[Key, list[Rest]]) -> dict[str, list[Place]]:
    compared = {(department, plugin): Comparison(*counts) for department, plugin, *counts in database.rows(COMPARED)}
    places: dict[str, list[Place]] = defaultdict(list)
    for department, plugin, stage, percent, required, settings in database.rows(PLACES):
        key = department, plugin
        loaded = plugins.loaded.get(plugin)
        problem = loaded_settings(loaded, json.loads(settings))[1] if loaded else ""
        places[plugin].append(
            Place(department, stage, percent, bool(required), problem, tuple(rests.get(key, ())),
                  compared.get(key, Comparison()))
        )  # fmt: skip
    return places


def _rests(database: Database, since: int) -> dict[Key, list[Rest]]:
    last: dict[tuple[str, str, str], Rest | None] = {}
    for plugin, action, at, detail in database.rows(TURNS, RESTS, ANSWERS, since):
        told = json.loads(detail)
        rest = Rest(told["hook"], at, told["failure"]) if action == RESTS else None
        last[told["department"], plugin, told["hook"]] = rest
    found: dict[Key, list[Rest]] = defaultdict(list)
    for (department, plugin, _), rest in last.items():
        if rest is not None:
            found[department, plugin].append(rest)
    return found


def _name(found: Health) -> str:
    return found.name
