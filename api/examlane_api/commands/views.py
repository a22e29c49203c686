"""`examlane views`: read-only views of the database for peers without a service."""

from __future__ import annotations

import click

from examlane.storage import views as kept
from examlane_api.commands import hospital


@click.group()
def views() -> None:
    """Read-only database views with stable names, without personal data."""


@views.command()
@click.option("--grant", default="", help="PostgreSQL: the role that may read them, and nothing else.")
def create(grant: str) -> None:
    """Make the views, or make them anew after an upgrade."""
    try:
        made = kept.create(hospital().database, grant)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for name in made:
        click.echo(name)


@views.command()
def drop() -> None:
    """Take the views away."""
    kept.drop(hospital().database)
    click.echo("no views any more")
