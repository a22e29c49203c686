"""What REST, pages and commands share about rules: whose a rule is, which version counts today, drafts and trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from examlane.errors import NotFound
from examlane.extension import rules
from examlane.extension.plugins import Plugin
from examlane.extension.rules import KeptVersion
from examlane.hospital import Hospital
from examlane.insight import trials
from examlane.insight.trials import Change, Trial
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.rulebase.files import Version
from examlane.rulebase.rules import RuleBook


@dataclass(frozen=True, slots=True)
class Draft:
    """A version as an editor sends it: fields changed over another version, or a `whole` rule of its own."""

    rule: str
    table: Mapping[str, Any]
    based_on: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a trial is asked to try, on how many days and at most so many orders."""

    plugin: str
    drafts: Iterable[Draft] = ()
    profiles: Mapping[str, str] = field(default_factory=dict)
    days: int = trials.DAYS
    limit: int = trials.LIMIT


def plugin_named(hospital: Hospital, name: str) -> Plugin:
    """A plugin that may be asked. Raises `NotFound`."""
    if name not in hospital.plugins.loaded:
        raise NotFound("plugin", name)
    return hospital.plugins.loaded[name]


def plugin_of(hospital: Hospital, rule: str) -> Plugin:
    """The plugin whose rule it is. Raises `NotFound`."""
    name = rule.partition(".")[0]
    if name not in hospital.plugins.loaded:
        raise NotFound("rule", rule)
    return hospital.plugins.loaded[name]


def versions_of(hospital: Hospital, rule: str) -> list[KeptVersion]:
    """Every kept version of a rule, in the order they came. Raises `NotFound`."""
    found = rules.listed(hospital.database, rule=rule)
    if not found:
        raise NotFound("rule", rule)
    return found


def by_key(hospital: Hospital, key: int) -> KeptVersion:
    (found,) = rules.listed(hospital.database, after=key - 1, limit=1)
    return found


def today(hospital: Hospital) -> date:
    return hospital.clock.now().astimezone(hospital.settings.zone).date()


def counting(hospital: Hospital, plugin: str) -> RuleBook:
    """The rules of a plugin that count today."""
    version = hospital.database.value("SELECT value FROM setting WHERE name = 'rollout'") or 0
    return hospital.rollouts.at(version, hospital.clock.now()).rules(plugin)


def table_of(hospital: Hospital, draft: Draft) -> dict[str, Any]:
    """The draft as a whole rule. Raises `NotFound` or `Refused`."""
    if draft.whole:
        return {**draft.table, "id": draft.rule}
    plugin = plugin_of(hospital, draft.rule)
    return rules.draft(hospital.database, plugin.name, plugin.rules, draft.rule, draft.table, draft.based_on)


def checked(hospital: Hospital, draft: Draft) -> Version:
    """The draft as a version that is well formed. Raises `NotFound` or `Refused`."""
    plugin = plugin_of(hospital, draft.rule)
    return rules.checked(hospital.database, plugin.name, plugin.rules, table_of(hospital, draft))


def propose(hospital: Hospital, draft: Draft, reason: str, actor: Actor, key: RequestKey | None = None) -> KeptVersion:
    """Propose a draft, to count from its day on when it is signed. Raises `NotFound`, `Refused` or `Conflict`."""
    plugin = plugin_of(hospital, draft.rule)
    version = rules.propose(
        hospital.database, plugin.name, plugin.rules, table_of(hospital, draft), reason, actor, hospital.clock.now(),
        today(hospital), key,
    )  # fmt: skip
    return rules.found(hospital.database, version.rule, version.version)


def trial(hospital: Hospital, wanted: Wanted, progress: trials.Progress = lambda done, of: None) -> Trial:
    """Try drafts and profiles of one plugin together. Raises `NotFound` or `Refused`."""
    plugin_named(hospital, wanted.plugin)
    versions = [checked(hospital, draft) for draft in wanted.drafts]
    if strange := [version.rule for version in versions if version.rule.partition(".")[0] != wanted.plugin]:
        raise NotFound("rule", strange[0])
    change = Change(wanted.plugin, versions, wanted.profiles)
    return trials.run(hospital, change, days=wanted.days, limit=wanted.limit, progress=progress)
