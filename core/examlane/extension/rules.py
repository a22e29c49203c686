"""The hospital's own rule versions: loaded from plugins' files, proposed, signed, chosen; none is changed in place."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from examlane.domain import Text
from examlane.errors import Conflict, NotFound, Refused
from examlane.extension.plugins import Plugins
from examlane.records import audit, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.records.versions import bump
from examlane.rulebase import drafts, files
from examlane.rulebase.files import Choice, RuleSet, Version
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, maybe_day
from examlane.storage.models import RuleChoice, RuleVersion

ACTIVE, PROPOSED = "active", "proposed"
COLUMNS = "rule, version, valid_from, valid_to, profile, content"
KEPT = f"SELECT plugin, {COLUMNS} FROM rule_version WHERE state = 'active' ORDER BY id"
KNOWN = "SELECT rule, version FROM rule_version WHERE plugin = ?"
LOADED = "SELECT 1 FROM rule_version WHERE plugin = ? AND state = 'active'"
# Written without a change to lock the row: of two who sign at once the second sees the first.
LOCKED = f"""UPDATE rule_version SET state = state WHERE rule = ? AND version = ?
RETURNING id, state, approvals, created_by, {COLUMNS}"""
LISTED = f"""SELECT id, plugin, state, approvals, created_by, created_at, reason, {COLUMNS} FROM rule_version
WHERE (plugin = ? OR ? = '') AND (rule = ? OR ? = '') AND (state = ? OR ? = '') AND id > ? ORDER BY id LIMIT ?"""
LONGEST_REASON = 200
MANY = 100_000


@dataclass(frozen=True, slots=True)
class Approval:
    """Who signed a version, for which role (pharmacy, radiology …), and when (whole UTC seconds)."""

    role: str
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version as the hospital keeps it: proposed or active, by whom and why, and who signed it."""

    id: int
    plugin: str
    state: str
    version: Version
    approvals: tuple[Approval, ...]
    created_by: str
    created_at: int
    reason: str

    @property
    def missing(self) -> tuple[str, ...]:
        """The roles that have not signed yet."""
        signed = {approval.role for approval in self.approvals}
        return tuple(role for role in self.version.content["approvers"] if role not in signed)


@dataclass(frozen=True)
class Kept:
    """What counts in this hospital: active versions and chosen profiles by plugin."""

    versions: Mapping[str, Sequence[Version]]
    chosen: Mapping[str, Mapping[str, str]]

    def of(self, plugin: str, shipped: RuleSet) -> Sequence[Version]:
        """The hospital's versions of a plugin's rules, or the shipped ones while none were loaded."""
        return self.versions.get(plugin) or shipped.versions


def kept(database: Database) -> Kept:
    """Read every active version and every choice."""
    versions: dict[str, list[Version]] = defaultdict(list)
    for plugin, *columns in database.rows(KEPT):
        versions[plugin].append(_version(*columns))
    chosen: dict[str, dict[str, str]] = defaultdict(dict)
    for plugin, choice, profile in database.rows("SELECT plugin, choice, profile FROM rule_choice"):
        chosen[plugin][choice] = profile
    return Kept(dict(versions), dict(chosen))


def listed(
    database: Database, *, plugin: str = "", rule: str = "", state: str = "", after: int = 0, limit: int = MANY
) -> list[KeptVersion]:
    """The versions that the hospital keeps, in the order they came, those after an id only."""
    rows = database.rows(LISTED, plugin, plugin, rule, rule, state, state, after, limit)
    return [
        KeptVersion(key, name, state, _version(*columns), _approvals(approvals), created_by, created_at, reason)
        for key, name, state, approvals, created_by, created_at, reason, *columns in rows
    ]


def found(database: Database, rule: str, version: str) -> KeptVersion:
    """One kept version. Raises `NotFound`."""
    for one in listed(database, rule=rule):
        if one.version.version == version:
            return one
    raise NotFound("rule", f"{rule} {version}")


def load(database: Database, plugin: str, shipped: RuleSet, actor: Actor, now: datetime) -> list[str]:
    """Take in what a plugin's files hold and the hospital does not; returns the ids with their versions.

    The first load counts at once: these are the starting values. What a later release brings is proposed, and counts
    when the hospital has signed it.
    """
    return database.write(lambda: _take_in(database, plugin, shipped, actor, now))


def load_all(database: Database, plugins: Plugins, actor: Actor, now: datetime) -> dict[str, list[str]]:
    """Load the rules of every plugin that was found; what was new, by plugin."""
    fresh = {name: load(database, name, plugin.rules, actor, now) for name, plugin in sorted(plugins.loaded.items())}
    return {name: versions for name, versions in fresh.items() if versions}


def _take_in(database: Database, plugin: str, shipped: RuleSet, actor: Actor, now: datetime) -> list[str]:
    known = {tuple(row) for row in database.rows(KNOWN, plugin)}
    state = PROPOSED if database.row(LOADED, plugin) else ACTIVE
    fresh = [version for version in shipped.versions if (version.rule, version.version) not in known]
    for version in fresh:
        _insert(database, plugin, version, state, "shipped with the plugin", actor, now)
    if fresh:
        bump(database, "rollout")
        audit.record(database, actor, "rules.load", "plugin", plugin, epoch(now), rules=len(fresh), state=state)
    return [f"{version.rule} {version.version}" for version in fresh]


def draft(
    database: Database, plugin: str, shipped: RuleSet, rule: str, changes: Mapping[str, Any], based_on: str = ""
) -> dict[str, Any]:
    """A version with some fields changed, as a whole table: over the version named, or the newest that counts.

    Raises `NotFound` for a rule or version there is not, `Refused` for changes that make no rule.
    """
    versions = [version for version in kept(database).of(plugin, shipped) if version.rule == rule]
    if based_on:
        versions = [one.version for one in listed(database, rule=rule)] + versions
        versions = [version for version in versions if version.version == based_on]
    if not versions:
        raise NotFound("rule", f"{rule} {based_on}")
    older = max(versions, key=lambda version: version.valid_from).content
    try:
        return drafts.drafted(older, {**changes, "id": rule})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _malformed(f"{rule}: {error}") from None


def propose(
    database: Database, plugin: str, shipped: RuleSet, table: Mapping[str, Any], reason: str, actor: Actor,
    now: datetime, today: date, key: RequestKey | None = None,
) -> Version:  # fmt: skip
    """Add a new version of a rule, to be signed by the roles it names; it decides its own cases or is refused.

    What the plugin ships is loaded before, so that a proposal never stands alone. Raises `Refused` for a rule that is
    not well formed, without a reason, or valid from a day that has begun; `Conflict` when the version exists.
    """
    version = checked(database, plugin, shipped, table)
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise Refused("reason_missing", Text("请填写修改原因", "say in 1 to 200 characters why it is changed"), "/reason")
    if version.valid_from <= today:
        soonest = Text("生效日期须在明天或以后", "it can count from tomorrow at the earliest")
        raise Refused("not_in_future", soonest, "/rule/valid_from")

    def store() -> Version:
        _take_in(database, plugin, shipped, actor, now)
        if (version.rule, version.version) in {tuple(row) for row in database.rows(KNOWN, plugin)}:
            raise Conflict("version_exists", Text("该版本已存在", "this version exists already"), "/rule/version")
        stored = _insert(database, plugin, version, PROPOSED, reason.strip(), actor, now)
        receipts.keep(database, key, "rule", str(stored), epoch(now))
        audit.record(
            database, actor, "rules.propose", "rule", version.rule, epoch(now),
            new_version=version.version, reason=reason.strip(),
        )  # fmt: skip
        return version

    return database.write(store)


def checked(database: Database, plugin: str, shipped: RuleSet, table: Mapping[str, Any]) -> Version:
    """A rule as an editor wrote it. Raises `Refused` with what is wrong with it."""
    try:
        version = files.version(plugin, table)
        names = {one.rule for one in kept(database).of(plugin, shipped)}
        files.check_among(version, names, shipped.choices)
    except ValueError as error:
        raise _malformed(str(error)) from None
    return version


def _malformed(fault: str) -> Refused:
    return Refused("rule_malformed", Text(f"规则有误：{fault}", f"the rule is not well formed: {fault}"), "/rule")


def approve(
    database: Database, rule: str, version: str, role: str, actor: Actor, now: datetime, key: RequestKey | None = None
) -> str:
    """Sign a proposed version for a role; returns its state, active once every role has signed.

    Whether the actor may sign for the role is the caller's to check. Raises `NotFound`, `Conflict` when it counts
    already, `Refused` for a role the rule does not name, for its own author (four eyes), and for one person in two roles.
    """

    def store() -> str:
        row = database.row(LOCKED, rule, version)
        if row is None:
            raise NotFound("rule", f"{rule} {version}")
        stored, state, approvals, author, *columns = row
        given = _approvals(approvals)
        wanted = _version(*columns).content["approvers"]
        _may_approve(state, given, author, role, wanted, actor)
        given = (*given, Approval(role, actor.name, epoch(now)))
        after = ACTIVE if {one.role for one in given} >= set(wanted) else PROPOSED
        database.rows(
            "UPDATE rule_version SET approvals = ?, state = ? WHERE id = ? RETURNING id",
            dump([{"role": one.role, "by": one.by, "at": one.at} for one in given]), after, stored,
        )  # fmt: skip
        if after == ACTIVE:
            bump(database, "rollout")
        receipts.keep(database, key, "rule", str(stored), epoch(now))
        audit.record(database, actor, "rules.approve", "rule", rule, epoch(now), signed=version, role=role, state=after)
        return after

    return database.write(store)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice between sources as it stands: the profile, and who chose it and when (nobody: the plugin's default)."""

    plugin: str
    name: str
    choice: Choice
    profile: str
    by: str = ""
    at: int | None = None


def choices(database: Database, plugin: str, shipped: RuleSet) -> list[Chosen]:
    """Every choice between sources that a plugin leaves to the hospital."""
    rows = database.rows("SELECT choice, profile, chosen_by, chosen_at FROM rule_choice WHERE plugin = ?", plugin)
    made = {name: (profile, by, at) for name, profile, by, at in rows}
    return [
        Chosen(plugin, name, choice, *made.get(name, (choice.default, "", None))) for name, choice in shipped.choices.items()
    ]


def choose(
    database: Database, plugin: str, shipped: RuleSet, choice: str, profile: str, actor: Actor, now: datetime
) -> None:
    """Choose one of a plugin's profiles, openly: who and when are kept. Raises `NotFound`."""
    if profile not in (shipped.choices[choice].profiles if choice in shipped.choices else ()):
        raise NotFound("profile", f"{plugin} {choice} {profile}")

    def store() -> None:
        row = database.row("SELECT id, profile FROM rule_choice WHERE plugin = ? AND choice = ?", plugin, choice)
        if row is None:
            database.insert(
                RuleChoice, plugin=plugin, choice=choice, profile=profile, chosen_by=actor.name, chosen_at=epoch(now)
            )
        else:
            database.rows(
                "UPDATE rule_choice SET profile = ?, chosen_by = ?, chosen_at = ? WHERE id = ? RETURNING id",
                profile, actor.name, epoch(now), row[0],
            )  # fmt: skip
        bump(database, "rollout")
        before = row[1] if row else shipped.choices[choice].default
        audit.record(
            database, actor, "rules.choose", "plugin", plugin, epoch(now), choice=choice, before=before, after=profile
        )

    database.write(store)


def _may_approve(state: str, given: Sequence[Approval], author: str, role: str, wanted: Sequence[str], actor: Actor) -> None:
    if state != PROPOSED:
        raise Conflict("already_active", Text("该版本已生效", "this version counts already"))
    if role not in wanted:
        raise Refused("role_unknown", Text("该规则不需要此角色审批", "the rule does not name this role"), "/role")
    if any(one.role == role for one in given):
        raise Conflict("already_signed", Text("该角色已签字", "this role has signed already"))
    if actor.name == author or any(one.by == actor.name for one in given):
        raise Refused("four_eyes", Text("须由另一人签字", "another person must sign"), "/role")


def _insert(database: Database, plugin: str, version: Version, state: str, reason: str, actor: Actor, now: datetime) -> int:
    return database.insert(
        RuleVersion, plugin=plugin, rule=version.rule, version=version.version,
        valid_from=version.valid_from.isoformat(), valid_to=version.valid_to.isoformat() if version.valid_to else None,
        profile=dump(dict(version.profile)), content=dump(dict(version.content)), state=state,
        created_by=actor.name, created_at=epoch(now), reason=reason,
    )  # fmt: skip


def _version(rule: str, version: str, valid_from: str, valid_to: str | None, profile: str, content: str) -> Version:
    return Version(
        rule,
        version,
        date.fromisoformat(valid_from),
        maybe_day(valid_to),
        json.loads(profile),
        files.plain(json.loads(content)),
    )


def _approvals(stored: str) -> tuple[Approval, ...]:
    return tuple(Approval(**one) for one in json.loads(stored))
