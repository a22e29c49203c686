"""`examlane clients`: the systems that speak to us, and their keys."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from examlane.records.audit import Actor
from examlane_api import clients as kept
from examlane_api import keyring
from examlane_api.commands import hospital

ACTOR = Actor("command", "command")


@click.group()
def clients() -> None:
    """Integration clients and their keys."""


@clients.command()
@click.argument("code")
@click.option("--name", default="")
@click.option(
    "--role",
    type=click.Choice(["integration", "registrar", "administrator", "approver"]),
    default="integration",
    show_default=True,
)
@click.option("--department", multiple=True, help="As for users; may be repeated.")
@click.option("--scope", multiple=True, help="An operation, or an area like appointment.*; none: all of the role.")
@click.option("--method", type=click.Choice(kept.METHODS), default="bearer", show_default=True)
@click.option("--per-minute", default=0, show_default=True, help="Requests a minute; 0: no limit.")
def add(
    code: str, name: str, role: str, department: tuple[str, ...], scope: tuple[str, ...], method: str, per_minute: int
) -> None:
    """Register a client; its key is shown this once."""
    here = hospital()
    made = kept.add(
        here.database, code, name or code, role, department, method=method, scopes=scope, per_minute=per_minute,
        keyring=keyring.from_environment(), now=here.clock.now(),
    )  # fmt: skip
    click.echo(f"{code}.{made}" if method == "bearer" else made)


@clients.command()
@click.argument("code")
@click.option("--overlap-days", default=7, show_default=True, help="How long the present key counts on.")
def rotate(code: str, overlap_days: int) -> None:
    """Give a client a new key beside its present one, which ends after the overlap."""
    here = hospital()
    made = kept.rotate(
        here.database, code, ACTOR, here.clock.now(), overlap=timedelta(days=overlap_days),
        keyring=keyring.from_environment(),
    )  # fmt: skip
    click.echo(made)


@clients.command()
@click.argument("code")
def disable(code: str) -> None:
    """Shut a client out at once."""
    here = hospital()
    kept.set_disabled(here.database, code, True, ACTOR, here.clock.now())
    click.echo(f"{code} is shut out")


@clients.command()
@click.argument("code")
def enable(code: str) -> None:
    """Let a client in again."""
    here = hospital()
    kept.set_disabled(here.database, code, False, ACTOR, here.clock.now())
    click.echo(f"{code} may come in")


@clients.command("list")
def show() -> None:
    """Every client with what it may do and how long its keys count."""
    for row in kept.overview(hospital().database):
        keys = ", ".join(f"{since:%Y-%m-%d}{f' until {until:%Y-%m-%d}' if until else ''}" for since, until in row.keys)
        limits = f"{row.per_minute}/min" if row.per_minute else "no limit"
        bounds = " ".join((*row.departments, *row.scopes)) or "everything of its role"
        state = "  disabled" if row.disabled else ""
        click.echo(f"{row.code:<20} {row.role:<14} {row.method:<7} {limits:<10} {bounds}  keys: {keys}{state}")


@clients.command()
@click.argument("file", type=click.Path(path_type=Path))
def key(file: Path) -> None:
    """Make the key file that seals the keys of clients that sign; EXAMLANE_KEY_FILE then names it."""
    try:
        keyring.new_key_file(file)
    except FileExistsError as error:
        raise click.ClickException(f"{file} exists: a key is never overwritten") from error
    click.echo(f"{file} written; keep a copy apart from the database")
