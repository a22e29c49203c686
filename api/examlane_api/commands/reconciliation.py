"""`examlane peers lists` and `examlane peers reconcile`: where peers list what they know, and a day compared by hand."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import click

from examlane.errors import InvalidInput
from examlane.hospital import Hospital
from examlane.reconciliation import comparing, runs
from examlane.reconciliation.entries import SUBJECTS, Source
from examlane_api.commands import actor, hospital
from examlane_api.outbound.lists import open_lists


@click.command("lists")
@click.argument("code")
@click.argument("address", default="")
@click.option("--kind", type=click.Choice(["rest", "folder"]), default="rest", show_default=True)
@click.option("--subject", type=click.Choice(SUBJECTS), multiple=True, help="What it lists; none: compared no longer.")
@click.option("--department", multiple=True, help="Of these executing departments only.")
@click.option("--timeout", default=30, show_default=True, help="Seconds to wait for a list.")
def set_lists(
    code: str, address: str, kind: str, subject: tuple[str, ...], department: tuple[str, ...], timeout: int
) -> None:
    """Say where a peer lists its orders, payments or executions of a day; it is compared each night from then on."""
    try:
        runs.set_source(hospital(), Source(code, kind, address, subject, department, timeout), actor())
    except InvalidInput as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{code} is compared: {', '.join(subject)}" if subject else f"{code} is compared no longer")


@click.command()
@click.argument("code", required=False)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="The day to compare; without it, yesterday.")
def reconcile(code: str | None, day: datetime | None) -> None:
    """Compare a day with one peer, or with all. Exit 0: nothing differs, 1: something does, 2: a peer gave no list."""
    here = hospital()
    chosen = [source for source in comparing.sources(here) if code in (None, source.code)]
    if not chosen:
        raise click.ClickException("nobody to compare with: `examlane peers lists` says where a peer lists what it knows")
    sys.exit(max(_reconcile(here, source, day) for source in chosen))


def _reconcile(here: Hospital, source: Source, day: datetime | None) -> int:
    asked = day.date() if day else here.calendar.day_of(here.clock.now()) - timedelta(days=1)
    found = comparing.run(here, source, asked, open_lists(here), actor())
    if found.error:
        click.echo(f"{source.code} {asked}: failed, nothing is known: {found.error}")
        return 2
    counts = ", ".join(f"{subject} {ours} here {theirs} there" for subject, (ours, theirs) in found.compared.items())
    click.echo(f"{source.code} {asked}: {len(found.differences)} differences ({counts})")
    for each in found.differences:
        click.echo(f"  {each.subject} {each.key} {each.code} {each.field} here: {each.here} there: {each.there}")
    return int(bool(found.differences))
