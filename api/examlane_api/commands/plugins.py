"""`examlane plugins`: what is installed, where it counts, and what it says."""

from __future__ import annotations

import click

from examlane_api.commands import hospital


@click.group()
def plugins() -> None:
    """The plugins of this installation: write, check, switch, look into."""


@plugins.command("list")
def list_plugins() -> None:
    """Every plugin with its version and hooks; broken ones with the reason."""
    found = hospital().plugins
    for name, plugin in sorted(found.loaded.items()):
        if plugin.trusted:
            continue
        click.echo(f"{name:14} {plugin.version:8} {plugin.title}  [{', '.join(sorted(plugin.hooks))}]")
    for name, reason in sorted(found.broken.items()):
        click.echo(f"{name:14} broken   {reason}")
