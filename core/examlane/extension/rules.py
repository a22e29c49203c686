"""The hospital's own rule versions: loaded from plugins' files, proposed, signed, chosen; none is changed in place."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from examlane.capacity.catalogue import bump
from examlane.domain import Text
from examlane.errors import Conflict, NotFound, Refused
from examlane.records import audit
from examlane.records.audit import Actor
from examlane.rulebase import files
from examlane.rulebase.files import RuleSet, Version
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, maybe_day
from examlane.storage.models import RuleChoice, RuleVersion

ACTIVE, PROPOSED = "active", "proposed"
COLUMNS = "rule, version, valid_from, valid_to, profile, content"
KEPT = f"SELECT plugin, {COLUMNS} FROM rule_version WHERE state = 'active' ORDER BY id"
KNOWN = "SELECT rule, version FROM rule_version WHERE plugin = ?"
ONE = f"SELECT id, plugin, state, approvals, created_by, {COLUMNS} FROM rule_version WHERE rule = ? AND version = ?"
ALL = f"""SELECT plugin, state, approvals, created_by, created_at, reason, {COLUMNS} FROM rule_version
WHERE (plugin = ? OR ? = '') ORDER BY plugin, rule, valid_from, id"""


@dataclass(frozen=True, slots=True)
class Approval:
    """Who signed a version, for which role (pharmacy, radiology …), and when (whole UTC seconds)."""

    role: str
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version as the hospital keeps it: proposed or active, by whom and why, and who signed it."""

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


def listed(database: Database, plugin: str = "") -> list[KeptVersion]:
    """Every version that the hospital keeps, of one plugin or of all."""
    return [
        KeptVersion(name, state, _version(*columns), _approvals(approvals), created_by, created_at, reason)
        for name, state, approvals, created_by, created_at, reason, *columns in database.rows(ALL, plugin, plugin)
    ]


def load(database: Database, plugin: str, shipped: RuleSet, actor: Actor, now: datetime) -> list[str]:
    """Take in what a plugin's files hold and the hospital does not; returns the ids with their versions.

    The first load counts at once: these are the starting values. What a later release brings is proposed, and counts
    when the hospital has signed it.
    """

    def store() -> list[str]:
        known = {tuple(row) for row in database.rows(KNOWN, plugin)}
        fresh = [found for found in shipped.versions if (found.rule, found.version) not in known]
        for found in fresh:
            _insert(database, plugin, found, PROPOSED if known else ACTIVE, "shipped with the plugin", actor, now)
        if fresh:
            bump(database, "rollout")
            audit.record(database, actor, "rules.load", "plugin", plugin, epoch(now), rules=len(fresh))
        return [f"{found.rule} {found.version}" for found in fresh]

    return database.write(store)


def propose(
    database: Database, plugin: str, table: Mapping[str, Any], reason: str, actor: Actor, now: datetime, today: date
) -> Version:
    """Add a new version of a rule, to be signed by the roles it names; it decides its own cases or is refused.

    Raises `Refused` for a rule that is not well formed, without a reason, or valid from a day that has begun;
    `Conflict` when the version exists.
    """
    found = checked(plugin, table)
    if not reason.strip():
        raise Refused("reason_missing", Text("请填写修改原因", "say why the rule is changed"), "/reason")
    if found.valid_from <= today:
        soonest = Text("生效日期须在明天或以后", "it can count from tomorrow at the earliest")
        raise Refused("not_in_future", soonest, "/valid_from")

    def store() -> Version:
        if database.row(ONE, found.rule, found.version) is not None:
            raise Conflict("version_exists", Text("该版本已存在", "this version exists already"), "/version")
        _insert(database, plugin, found, PROPOSED, reason, actor, now)
        audit.record(
            database, actor, "rules.propose", "rule", found.rule, epoch(now), new_version=found.version, reason=reason
        )
        return found

    return database.write(store)


def checked(plugin: str, table: Mapping[str, Any]) -> Version:
    """A rule as an editor wrote it. Raises `Refused` with what is wrong with it."""
    try:
        return files.version(plugin, table)
    except ValueError as error:
        fault = Text(f"规则有误：{error}", f"the rule is not well formed: {error}")
        raise Refused("rule_malformed", fault, "/rule") from None


def approve(database: Database, rule: str, version: str, role: str, actor: Actor, now: datetime) -> str:
    """Sign a proposed version for a role; returns its state, active once every role has signed.

    Raises `NotFound`, `Conflict` when it counts already, `Refused` for a role the rule does not name, for its own
    author (four eyes), and for one person in two roles.
    """

    def store() -> str:
        row = database.row(ONE, rule, version)
        if row is None:
            raise NotFound("rule", f"{rule} {version}")
        key, _plugin, state, approvals, author, *columns = row
        given = _approvals(approvals)
        _may_approve(state, given, author, role, _version(*columns), actor)
        given = (*given, Approval(role, actor.name, epoch(now)))
        after = ACTIVE if {one.role for one in given} >= set(_version(*columns).content["approvers"]) else PROPOSED
        database.rows(
            "UPDATE rule_version SET approvals = ?, state = ? WHERE id = ? RETURNING id",
            dump([{"role": one.role, "by": one.by, "at": one.at} for one in given]), after, key,
        )  # fmt: skip
        if after == ACTIVE:
            bump(database, "rollout")
        audit.record(database, actor, "rules.approve", "rule", rule, epoch(now), signed=version, role=role, state=after)
        return after

    return database.write(store)


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


def _may_approve(
    state: str, given: Sequence[Approval], author: str, role: str, version: Version, actor: Actor
) -> None:
    if state != PROPOSED:
        raise Conflict("already_active", Text("该版本已生效", "this version counts already"))
    if role not in version.content["approvers"]:
        raise Refused("role_unknown", Text("该规则不需要此角色审批", "the rule does not name this role"), "/role")
    if any(one.role == role for one in given):
        raise Conflict("already_signed", Text("该角色已签字", "this role has signed already"))
    if actor.name == author or any(one.by == actor.name for one in given):
        raise Refused("four_eyes", Text("须由另一人签字", "another person must sign"), "/role")


def _insert(
    database: Database, plugin: str, found: Version, state: str, reason: str, actor: Actor, now: datetime
) -> None:
    database.insert(
        RuleVersion, plugin=plugin, rule=found.rule, version=found.version, valid_from=found.valid_from.isoformat(),
        valid_to=found.valid_to.isoformat() if found.valid_to else None, profile=dump(dict(found.profile)),
        content=dump(dict(found.content)), state=state, created_by=actor.name, created_at=epoch(now), reason=reason,
    )  # fmt: skip


def _version(
    rule: str, version: str, valid_from: str, valid_to: str | None, profile: str, content: str
) -> Version:
    return Version(
        rule, version, date.fromisoformat(valid_from), maybe_day(valid_to), json.loads(profile), json.loads(content)
    )


def _approvals(stored: str) -> tuple[Approval, ...]:
    return tuple(Approval(**one) for one in json.loads(stored))
