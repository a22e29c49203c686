"""`examlane plugins`: write a plugin, check it, switch it on, set it, and see what it says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import peewee

from examlane import Stage
from examlane.capacity import masterdata
from examlane.extension import configuring, health, rollout, shadow
from examlane.extension.plugins import HOOKS
from examlane.insight import trace as insight
from examlane.storage.fields import epoch
from examlane.testing import conformance
from examlane.testing.shipped import Tables, own_sample
from examlane.testing.subject import Subject
from examlane_api import scaffold
from examlane_api.commands import actor, hospital, telling
from examlane_api.demo.hospital import DATA


@click.group()
def plugins() -> None:
    """The plugins of this installation: write, check, switch, set, look into."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def list_plugins(as_json: bool) -> None:
    """Every plugin, where it counts, what is wrong with it, and what its shadow differs in."""
    here = hospital()
    try:
        found = health.report(here.database, here.plugins, here.clock)
    except peewee.DatabaseError:
        found = health.installed(here.plugins)
        click.echo("no hospital yet, so only what is installed: see `examlane init`", err=True)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2))
    for line in () if as_json else telling.plugins(found, here.settings.zone):
        click.echo(line)


@plugins.command("new")
@click.argument("name")
@click.option("--title", default="", help="What administrators read, for example '宫腔镜规则 · Hysteroscopy rules'.")
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="Where to write it; by default NAME.")
@click.option("--hooks", default=",".join(scaffold.USUAL), show_default=True, help=f"Of {', '.join(HOOKS)}.")
def new(name: str, title: str, folder: Path | None, hooks: str) -> None:
    """Write a whole tested plugin, in a folder of its own."""
    try:
        written = scaffold.write(name, title, folder or Path(name), [hook for hook in hooks.split(",") if hook])
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    home = folder or Path(name)
    for path in written:
        click.echo(f"  {path}")
    click.echo(f"next: cd {home} && pip install -e . --no-deps && pytest && examlane plugins check {name}")


@plugins.command("check")
@click.argument("name")
@click.option("--worlds", default=conformance.WORLDS, show_default=True, help="How many random worlds it is asked about.")
@click.option("--world", type=int, help="Only this one, to see a failure again.")
@click.option("--department", multiple=True, help="Only orders of this department of the sample; may be repeated.")
@click.option("--write-table", is_flag=True, help="Bring the README's table of rules up to date first.")
def check(name: str, worlds: int, world: int | None, department: tuple[str, ...], write_table: bool) -> None:
    """Ask a plugin in random worlds what every plugin must keep. Exit 0: all kept, 1: not."""
    if write_table:
        _write_table(name)
    numbers = range(worlds) if world is None else [world]
    seen: list[str] = []
    for each in conformance.checks(name, tables=_tables(name), departments=department, worlds=numbers):
        try:
            click.echo(f"ok      {each.title}" + (f"  ({note})" if (note := each()) else ""))
        except conformance.NotConforming as error:
            click.echo(f"FAILED  {each.title}\n        {'the same as above' if str(error) in seen else error}")
            seen.append(str(error))
            if each.__name__ == "loads":
                break
    click.echo(f"{len(seen)} failed" if seen else f"{name} keeps its contract")
    sys.exit(bool(seen))


def _write_table(name: str) -> None:
    try:
        click.echo(f"wrote the rules of {name} into {conformance.write_rule_table(name)}")
    except conformance.NotConforming as error:
        raise click.ClickException(str(error)) from error


def _tables(name: str) -> Tables | None:
    """The demonstration's catalogue, for a plugin that ships no sample of its own department."""
    package = Subject(name).package
    return masterdata.read_folder(DATA) if package and not own_sample(package) else None


@plugins.command("trace")
@click.option("--order", "number", required=True, help="The order's number.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def trace(number: str, as_json: bool) -> None:
    """What was decided about an order, and what every plugin says when it is planned again now. Stores nothing."""
    here = hospital()
    found = insight.trace(here, number)
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False, indent=2, default=str))
    for line in () if as_json else telling.trace(found, here.settings.zone):
        click.echo(line)


@plugins.command("compare")
@click.argument("department")
@click.argument("plugin")
@click.option("--limit", default=20, show_default=True, help="How many, newest first.")
def compare(department: str, plugin: str, limit: int) -> None:
    """What a plugin in shadow would have decided otherwise."""
    here = hospital()
    configuring.read_settings(here.database, here.plugins, department, plugin)
    found = shadow.differences(here.database, department, plugin, limit)
    for line in telling.differences(found, here.settings.zone):
        click.echo(line)


@plugins.command("switch")
@click.argument("department")
@click.argument("plugin")
@click.argument("stage", type=click.Choice([stage.value for stage in Stage]))
@click.option("--percent", type=int, help="The share of patients while it is a pilot.")
def switch(department: str, plugin: str, stage: str, percent: int | None) -> None:
    """Switch a plugin off, to shadow, to pilot or on in a department, for every process at its next plan."""
    here = hospital()
    # What is not installed has no settings: the same words as for a misspelt name.
    configuring.read_settings(here.database, here.plugins, department, plugin)
    now = epoch(here.clock.now())
    rollout.set_stage(here.database, department, plugin, Stage(stage), actor(), now, pilot_percent=percent)
    click.echo(f"{plugin} is {stage} in {department}")


@plugins.command("settings")
@click.argument("department")
@click.argument("plugin")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]…")
@click.option("--required/--optional", default=None, help="Without it the department books nothing automatically.")
@click.option("--position", type=click.IntRange(0, 999), help="Its place among the department's plugins.")
def settings(department: str, plugin: str, values: tuple[str, ...], required: bool | None, position: int | None) -> None:
    """Show or change what a department sets for a plugin. `KEY=` takes the plugin's default again."""
    here = hospital()
    found = configuring.read_settings(here.database, here.plugins, department, plugin)
    if values or required is not None or position is not None:
        changed = _changed(found.stored, values) if values else None
        configuring.set_settings(
            here.database, here.plugins, department, plugin, actor(), epoch(here.clock.now()), settings=changed,
            required=required, position=position, version=found.version,
        )  # fmt: skip
        found = configuring.read_settings(here.database, here.plugins, department, plugin)
    for line in telling.settings(department, plugin, found):
        click.echo(line)


def _changed(stored: Mapping[str, Any], values: Iterable[str]) -> dict[str, Any]:
    changed = dict(stored)
    for pair in values:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.ClickException(f"{pair} is no setting: write it as NAME=VALUE")
        changed.pop(name, None)
        if value:
            changed[name] = _value(value)
    return changed


def _value(text: str) -> Any:
    """A number, true or false, a JSON list or table; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
