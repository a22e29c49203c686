"""`examlane providers`: the systems that are asked for clinical facts before the rules are."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import click

from examlane.orders import context
from examlane.orders.patients import Identifier
from examlane.records import audit
from examlane.storage.fields import dump, epoch
from examlane_api.commands import actor, hospital
from examlane_api.providers import KINDS

FAILED = """SELECT subject_key, count(*) FROM audit WHERE subject = 'provider' AND action = 'context.unanswered' AND at > ?
GROUP BY subject_key"""
ROWS = """SELECT code, kind, address, facts, history, limit_ms, cache_minutes, enabled FROM context_provider ORDER BY code"""
SET = """INSERT INTO context_provider (code, kind, address, facts, history, limit_ms, cache_minutes, enabled)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (code) DO UPDATE SET kind = excluded.kind, address = excluded.address,
facts = excluded.facts, history = excluded.history, limit_ms = excluded.limit_ms,
cache_minutes = excluded.cache_minutes, enabled = excluded.enabled RETURNING id"""


@click.group()
def providers() -> None:
    """Systems that are asked for clinical facts (LIS, EMR, RIS history, insurance)."""


@providers.command("list")
def list_providers() -> None:
    """Every provider: where, for what, how long and how often it is asked, and how often it failed in seven days."""
    here = hospital()
    since = epoch(here.clock.now() - timedelta(days=7))
    failed: dict[str, int] = dict(here.database.rows(FAILED, since))
    for code, kind, address, facts, history, limit, minutes, enabled in here.database.rows(ROWS):
        named = [f"{name}={kind_of}" for name, kind_of in sorted(json.loads(facts).items())]
        what = ", ".join([*named, *(["history"] if history else [])])
        click.echo(
            f"{code}  {kind}  {address}  {what}  {limit} ms, {minutes} min, {'on' if enabled else 'off'}, "
            f"{failed.get(code, 0)} unanswered"
        )


@providers.command("set")
@click.argument("code")
@click.option("--kind", type=click.Choice(sorted(KINDS)), required=True)
@click.option("--address", required=True)
@click.option("--fact", multiple=True, metavar="NAME=KIND", help="number, flag or text; may be repeated.")
@click.option("--history", is_flag=True, help="It knows exams that patients had elsewhere.")
@click.option("--limit-ms", type=click.IntRange(10, 5000), default=500, show_default=True)
@click.option("--cache-minutes", type=click.IntRange(0, 43200), default=60, show_default=True)
@click.option("--enabled/--disabled", default=True)
def set_provider(code: str, kind: str, address: str, fact: tuple[str, ...], enabled: bool, **numbers: Any) -> None:
    """Ask a provider from now on, in every process, or change how it is asked."""
    facts = dict(each.partition("=")[::2] for each in fact)
    if wrong := [name for name, kind_of in facts.items() if not name or kind_of not in ("number", "flag", "text")]:
        raise click.ClickException(f"{', '.join(wrong)}: write NAME=number, NAME=flag or NAME=text")
    if not address.startswith(("http://", "https://")):
        raise click.ClickException("an address begins with http:// or https://")
    here = hospital()
    values = (code, kind, address, dump(facts), int(numbers["history"]), numbers["limit_ms"], numbers["cache_minutes"])

    def store() -> None:
        here.database.rows(SET, *values, int(enabled))
        now = epoch(here.clock.now())
        audit.record(here.database, actor(), "provider.set", "provider", code, now, address=address, enabled=enabled)

    here.database.write(store)
    click.echo(f"{code} is {'asked' if enabled else 'not asked'}")


@providers.command("check")
@click.argument("code")
@click.option("--patient", required=True, metavar="KIND=VALUE", help="A patient for tests, whom the provider knows.")
def check(code: str, patient: str) -> None:
    """Ask one provider now. Says which facts it knows, never their values. Exit 0: it answers, 1: it does not."""
    here = hospital()
    found = [each for each in here.context.configured(here.database) if each.code == code]
    if not found:
        raise click.ClickException(f"{code} is not a provider that is switched on: see `examlane providers list`")
    kind, _, value = patient.partition("=")
    names = [name for name, _ in found[0].facts]
    said: context.Gathered = here.context.gather({found[0]: names}, [Identifier(kind, value)], here.clock.now())
    for _, reason in said.unanswered:
        click.echo(f"{code} did not answer as it must: {reason}")
    if code in said.facts:
        click.echo(f"{code} knows {', '.join(sorted(said.facts[code])) or 'none'} of {', '.join(names)}")
        click.echo(f"{len(said.exams[code])} exams of the patient's history")
    sys.exit(bool(said.unanswered) or code not in said.facts)
