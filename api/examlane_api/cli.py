"""The command line. Every error is one sentence with its cure; long work says how far it is."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import click
import peewee
import waitress

from examlane import worker
from examlane.capacity import masterdata
from examlane.errors import ExamlaneError
from examlane.extension.rules import load_all
from examlane.insight import invariants
from examlane.records.audit import Actor
from examlane_api import identity, keyring
from examlane_api.app import create_app
from examlane_api.commands import hospital
from examlane_api.commands.clients import clients
from examlane_api.commands.golive import export, importing
from examlane_api.commands.hip import hip
from examlane_api.commands.peers import events, peers, soap
from examlane_api.commands.plugins import plugins
from examlane_api.commands.providers import providers
from examlane_api.commands.reconciliation import reconcile, set_lists
from examlane_api.commands.rules import rules
from examlane_api.commands.sandbox import sandbox
from examlane_api.commands.views import views
from examlane_api.fhir import systems
from examlane_api.hip import profiles
from examlane_api.hip.service import replay_arrived
from examlane_api.hl7v2 import profiles as hl7v2_profiles
from examlane_api.outbound.adapters import sender
from examlane_api.outbound.lists import open_lists


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """examlane (约检): examinations booked without a click. Settings: see docs/operations.md."""


@cli.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="CSV files to load.")
def init(data: Path | None) -> None:
    """Create the tables, load the plugins' rules, and load master data from a folder of CSV files."""
    here = hospital()
    here.database.migrate()
    loaded = load_all(here.database, here.plugins, Actor("init", "command"), here.clock.now())
    click.echo(f"{sum(map(len, loaded.values()))} rule versions loaded")
    if data is not None:
        masterdata.load(here.database, masterdata.read_folder(data))
        click.echo(f"master data loaded, {worker.publish(here)} slots published")
    click.echo("ready")


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
@click.option("--secret", envvar="EXAMLANE_SECRET", required=True, help="Signs sessions; from EXAMLANE_SECRET.")
@click.option("--address", default="", help="The address peers see, for example https://examlane.hospital.local")
@click.option("--threads", default=8, show_default=True)
def serve(host: str, port: int, secret: str, address: str, threads: int) -> None:
    """Serve REST, SOAP and pages. Run `examlane worker` beside it."""
    address = address or f"http://{host}:{port}"
    app = create_app(
        hospital(), secret, address, keyring.from_environment(), profiles.from_environment(), systems.from_environment()
    )
    try:
        waitress.serve(app, host=host, port=port, threads=threads, ident="examlane")
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be used ({error.strerror}): choose another with --port") from error


@cli.command("worker")
@click.option("--once", is_flag=True, help="Do what is due now, and end.")
def work(once: bool) -> None:
    """Finish what requests left, notice no-shows, publish slots, ask shadows, and tell the peers."""
    stop = threading.Event()
    here = hospital()
    try:
        # Only an idle turn wants to wait: then everything due is done.
        ring, platforms = keyring.from_environment(), profiles.from_environment()

        def wait(seconds: float) -> bool:
            if replay_arrived(here, platforms):
                return False
            return seconds > 0 if once else stop.wait(seconds)

        with sender(here, ring, platforms, hl7v2_profiles.from_environment()) as send:
            worker.run(here, send, wait, open_lists(here))
    except KeyboardInterrupt:
        stop.set()


@cli.command()
@click.option("--port", default=8000, show_default=True)
@click.option("--patients", default=500, show_default=True)
@click.option("--seed", default=2026, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True)
@click.option("--check", is_flag=True, help="Exit after the morning, with 0 if everything went as expected.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(port: int, patients: int, seed: int, folder: Path, check: bool, as_json: bool) -> None:
    """Build a demonstration hospital, play a morning, say what happened, and serve the pages."""
    from examlane_api.demo import DemoOptions, run

    options = DemoOptions(folder=folder, patients=patients, seed=seed, port=port, check=check, as_json=as_json,
                          serve=not check)  # fmt: skip
    sys.exit(run(options))


@cli.command("check-invariants")
@click.option("--json", "as_json", is_flag=True)
@click.option("--only", multiple=True, help="Check only this invariant; may be repeated.")
def check_invariants(as_json: bool, only: tuple[str, ...]) -> None:
    """Check what must always be true of the data. Exit 0: clean, 2: violated. Reads only."""
    here = hospital()
    found = invariants.check(here.database, only, clock=here.clock)
    if as_json:
        click.echo(json.dumps(invariants.as_data(found), ensure_ascii=False, indent=2))
    else:
        for violation in found:
            click.echo(f"{violation.id}  {violation.title}: {violation.count}  {list(violation.rows)[:3]}")
        click.echo("clean" if not found else f"{len(found)} violated")
    sys.exit(2 if found else 0)


@cli.group()
def users() -> None:
    """Members of staff."""


@users.command("add")
@click.argument("login")
@click.option("--name", default="")
@click.option(
    "--role", type=click.Choice(["administrator", "registrar", "approver"]), default="registrar", show_default=True
)
@click.option(
    "--department", multiple=True, help="Limit to this department; of an approver: signs for this role. May be repeated."
)
def add_user(login: str, name: str, role: str, department: tuple[str, ...]) -> None:
    """Register a member of staff; the first password is shown this once."""
    click.echo(identity.add_user(hospital().database, login, name or login, role, department))


for group in (clients, events, hip, peers, plugins, rules, providers, sandbox, soap, importing, export, views):
    cli.add_command(group)


for command in (reconcile, set_lists):
    peers.add_command(command)


def main() -> None:
    try:
        cli(standalone_mode=True)
    except peewee.OperationalError as error:
        sys.exit(f"examlane: the database cannot be used ({error}). Run `examlane init`, or check EXAMLANE_DATABASE.")
    except ExamlaneError as error:
        sys.exit(f"examlane: {error}")


if __name__ == "__main__":
    main()
