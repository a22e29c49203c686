"""`examlane rules`: look at clinical rules, load a release's, try, propose and sign versions, choose between sources."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from examlane.extension import rules as kept
from examlane.hospital import Hospital
from examlane.insight.trials import DAYS, Decision, Trial
from examlane.records.audit import Actor
from examlane_api import identity, rulebook
from examlane_api.access import Caller, may_sign
from examlane_api.answers import Answers
from examlane_api.commands import hospital
from examlane_api.rulebook import Draft, Wanted

by = click.option("--by", envvar="USER", default="command", help="Who does it, for the record.  [default: $USER]")


@click.group()
def rules() -> None:
    """Clinical rules as the hospital keeps them: versions, signatures, sources. See docs/rules.md."""


@rules.command("list")
@click.option("--plugin", default="", help="Only this plugin's.")
@click.option("--proposed", is_flag=True, help="Only what waits for signatures.")
def list_rules(plugin: str, proposed: bool) -> None:
    """Every version: rule, version, from when, state, source."""
    state = kept.PROPOSED if proposed else ""
    for one in kept.listed(hospital().database, plugin=plugin, state=state):
        version = one.version
        waits = f"  waits for {', '.join(one.missing)}" if one.state == kept.PROPOSED else ""
        source = version.content["source"]
        click.echo(f"{version.rule:40} {version.version:16} {version.valid_from}  {one.state:8} {source}{waits}")


@rules.command()
@click.argument("rule")
def show(rule: str) -> None:
    """One rule with all versions, signatures and cases, as JSON."""
    here = hospital()
    answers = Answers(here.settings.zone)
    found = [answers.rule_version(one) for one in rulebook.versions_of(here, rule)]
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))


@rules.command()
@by
def load(by: str) -> None:
    """Take in the rules that plugins ship: the first ones count at once, a later release's wait for signatures."""
    here = hospital()
    for plugin, fresh in kept.load_all(here.database, here.plugins, Actor(by, "command"), here.clock.now()).items():
        click.echo(f"{plugin}: {len(fresh)} new versions")
        for name in fresh:
            click.echo(f"  {name}")


@rules.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reason", required=True, help="Why; kept with the version.")
@by
def propose(file: Path, reason: str, by: str) -> None:
    """Propose the [[rule]] tables of a TOML file: each names its id and what is different, or has whole = true."""
    here = hospital()
    for draft in _drafts(file):
        made = rulebook.propose(here, draft, reason, Actor(by, "command"))
        click.echo(f"{made.version.rule} {made.version.version} waits for {', '.join(made.missing)}")


@rules.command()
@click.argument("rule")
@click.argument("version")
@click.option("--role", required=True, help="For which of the roles that the rule names.")
@click.option("--login", required=True, help="The approver who signs; the password is asked for.")
@click.option("--password", prompt=True, hide_input=True, help="Better not given: it is asked for.")
def approve(rule: str, version: str, role: str, login: str, password: str) -> None:
    """Sign a proposed version, as a member of staff with the role approver."""
    here = hospital()
    caller = _signer(here, login, password)
    if not may_sign(caller, role):
        raise click.ClickException(f"{login} may not sign for {role}, or the password is wrong")
    state = kept.approve(here.database, rule, version, role, Actor(login, "command"), here.clock.now())
    click.echo(f"{rule} {version}: {state}")


@rules.command()
@click.argument("plugin")
@click.argument("choice", required=False)
@click.argument("profile", required=False)
@by
def choose(plugin: str, choice: str | None, profile: str | None, by: str) -> None:
    """Follow one of contradicting sources: PLUGIN CHOICE PROFILE. With PLUGIN alone, show what there is to choose."""
    here = hospital()
    found = rulebook.plugin_named(here, plugin)
    if choice is not None:
        actor = Actor(by, "command")
        kept.choose(here.database, plugin, found.rules, choice, profile or "", actor, here.clock.now())
    for one in kept.choices(here.database, plugin, found.rules):
        click.echo(f"{one.name}  {one.choice.text.zh} · {one.choice.text.en}")
        for name, text in one.choice.profiles.items():
            click.echo(f"  {'*' if name == one.profile else ' '} {name:16} {text.zh} · {text.en}")


@rules.command()
@click.argument("plugin")
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="[[rule]] tables to try.")
@click.option("--version", "versions", nargs=2, multiple=True, metavar="RULE VERSION", help="A proposed version to try.")
@click.option("--profile", "profiles", nargs=2, multiple=True, metavar="CHOICE PROFILE", help="A profile to try.")
@click.option("--days", type=click.IntRange(1, 366), default=DAYS, show_default=True)
@click.option("--limit", type=click.IntRange(1), default=100_000, show_default=True, help="At most so many orders.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def trial(
    plugin: str, file: Path | None, versions: tuple[tuple[str, str], ...], profiles: tuple[tuple[str, str], ...],
    days: int, limit: int, as_json: bool,
) -> None:  # fmt: skip
    """Dry run: which orders of the last days changed rules or profiles would have decided differently. Reads only."""
    here = hospital()
    drafts = [*(_drafts(file) if file else ()), *(Draft(rule, {}, version) for rule, version in versions)]
    wanted = Wanted(plugin, drafts, dict(profiles), days, limit)
    with click.progressbar(length=1, label="replaying", hidden=as_json) as bar:

        def progress(done: int, of: int) -> None:
            bar.length = of
            bar.update(1)

        found = rulebook.trial(here, wanted, progress)
    if as_json:
        click.echo(json.dumps(Answers(here.settings.zone).trial(found), ensure_ascii=False, indent=2))
    else:
        _tell(found)


def _tell(found: Trial) -> None:
    for one in found.shown:
        click.echo(f"{one.item:24} {one.ordered_at:%Y-%m-%d} {one.name.zh}")
        click.echo(f"    {_words(one.before)}")
        click.echo(f"  → {_words(one.after)}")
    click.echo(f"{found.different} of {found.items} items differ, in {found.replayed} of {found.orders} orders")
    for reason, count in found.left_out.items():
        click.echo(f"not replayed: {count} · {reason.zh} · {reason.en}")


def _words(decision: Decision) -> str:
    said = "; ".join(f"{one.code} ({one.text.zh} · {one.text.en})" for one in decision.said if one.kind != "preparation")
    return f"{decision.state}  {said}".rstrip()


def _drafts(file: Path) -> list[Draft]:
    try:
        content = tomllib.loads(file.read_text("utf-8"))
        return [_draft({**content.get("defaults", {}), **table}) for table in content["rule"]]
    except (ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"{file} cannot be used ({error}): it needs [[rule]] tables with an id") from error


def _draft(table: Mapping[str, Any]) -> Draft:
    fields = {name: value for name, value in table.items() if name not in ("id", "whole", "based_on")}
    return Draft(table["id"], fields, table.get("based_on", ""), table.get("whole", False))


def _signer(here: Hospital, login: str, password: str) -> Caller | None:
    """The member of staff behind a login and password; the log-in's own limits hold."""
    token = identity.log_in(here, login, password)
    if token is None:
        return None
    found = identity.session(here, token)
    identity.log_out(here, token)
    return found
