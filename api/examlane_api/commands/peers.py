"""`examlane peers` and `examlane events`: who hears what, and what did not arrive."""

from __future__ import annotations

import json
import secrets
from typing import Any

import click

from examlane.appointments import status
from examlane.outbound import kinds
from examlane.records import dead_letters
from examlane.records import events as told
from examlane.records import peers as kept
from examlane.records.audit import Actor
from examlane.reminders import gateway
from examlane.storage.fields import epoch
from examlane_api import hl7v2, keyring
from examlane_api.commands import hospital
from examlane_api.hip import profiles
from examlane_api.hl7v2 import profiles as hl7v2_profiles
from examlane_api.hl7v2.profiles import Profile
from examlane_api.hl7v2.sending import of_appointment
from examlane_api.outbound.adapters import KINDS, sender, shown

ACTOR = Actor("command", "command")
NOT_WAITING = "it does not wait to be sent, or an earlier one of its subject does"
EVENT = click.Choice(list(kinds.KINDS))


@click.group()
def peers() -> None:
    """Systems that hear events, and what waits for them."""


@peers.command()
@click.argument("code")
@click.argument("address")
@click.option("--kind", type=click.Choice(KINDS), default="webhook", show_default=True)
@click.option("--event", type=EVENT, multiple=True, help="A kind of event; may be repeated; none: all that name nobody.")
@click.option("--timeout", default=10, show_default=True, help="Seconds to wait for an answer.")
@click.option("--signed", is_flag=True, help="Sign messages; the key is shown this once.")
def add(code: str, address: str, kind: str, event: tuple[str, ...], timeout: int, signed: bool) -> None:
    """Register a peer; it is owed what happens from now on.

    ADDRESS is an http address; of HL7 v2 mllp://host:port; of a folder its name below EXAMLANE_EXCHANGE_FOLDER.
    """
    if kind == hl7v2.KIND:
        _needs_hl7v2()
    if kind == "messages":
        event = event or (gateway.KIND,)
    here = hospital()
    key, sealed = _new_key(code) if signed else ("", "")
    kept.add(
        here.database, code, address, ACTOR, here.clock.now(), kind=kind, event_types=event, timeout_seconds=timeout,
        sealed=sealed,
    )  # fmt: skip
    click.echo(key or f"{code} hears from now on")


@peers.command("set")
@click.argument("code")
@click.option("--address")
@click.option("--event", type=EVENT, multiple=True, help="The kinds of events it hears; may be repeated.")
@click.option("--all-events", is_flag=True)
@click.option("--timeout", type=int)
def set_(code: str, address: str | None, event: tuple[str, ...], all_events: bool, timeout: int | None) -> None:
    """Change a peer; a pause after failures ends."""
    here = hospital()
    kinds = event if event or all_events else None
    kept.change(here.database, code, ACTOR, here.clock.now(), address=address, event_types=kinds, timeout_seconds=timeout)
    click.echo(f"{code} changed")


@peers.command()
@click.argument("code")
def enable(code: str) -> None:
    """Tell a peer again, from now on."""
    here = hospital()
    kept.change(here.database, code, ACTOR, here.clock.now(), enabled=True)
    click.echo(f"{code} hears from now on")


@peers.command()
@click.argument("code")
def disable(code: str) -> None:
    """Tell a peer nothing more; what waits for it stays."""
    here = hospital()
    kept.change(here.database, code, ACTOR, here.clock.now(), enabled=False)
    click.echo(f"{code} hears nothing more")


@peers.command()
@click.argument("code")
def rotate(code: str) -> None:
    """Sign with a new key beside the present one; rotating once more drops the older."""
    here = hospital()
    key, sealed = _new_key(code)
    kept.add_key(here.database, code, sealed, ACTOR, here.clock.now())
    click.echo(key)


@peers.command("list")
def list_peers() -> None:
    """Every peer with what waits for it."""
    here = hospital()
    for row in kept.overview(here.database):
        paused = row.paused_until and row.paused_until > here.clock.now()
        state = "off" if not row.enabled else f"paused until {row.paused_until:%H:%M:%S}" if paused else "on"
        kinds = " ".join(row.event_types) or "every event"
        waits = f"{row.waiting} waiting, {row.dead} dead"
        click.echo(f"{row.code:<12} {row.kind:<8} {state:<22} {waits}  {row.address}  {kinds}")


@peers.command()
@click.argument("code")
@click.argument("appointment")
def preview(code: str, appointment: str) -> None:
    """Print what an HL7 v2 peer is told of an appointment's latest change, a segment a line; sends nothing."""
    _needs_hl7v2()
    here = hospital()
    profile = hl7v2_profiles.from_environment().get(code, Profile())
    current = status.appointment(here, appointment)
    text = of_appointment(here, profile, appointment, current.version, f"{appointment}/{current.version}")
    click.echo(text.replace("\r", "\n") or f"an appointment that is {current.state} tells the peer nothing")


def _needs_hl7v2() -> None:
    if not hl7v2.installed():
        raise click.ClickException(f"HL7 v2 is not installed: {hl7v2.CURE}")


def _new_key(code: str) -> tuple[str, str]:
    ring = keyring.from_environment()
    if ring is None:
        raise click.ClickException("to sign, name a key file in EXAMLANE_KEY_FILE; `examlane clients key` makes one")
    key = secrets.token_urlsafe(32)
    return key, ring.seal(key, code)


@click.group()
def events() -> None:
    """What peers are told; what did not arrive is sent again or given up here."""


@events.command("list")
@click.option("--state", type=click.Choice(list(dead_letters.STATES)), default="dead", show_default=True)
@click.option("--peer", default="")
@click.option("--limit", default=50, show_default=True)
def list_events(state: str, peer: str, limit: int) -> None:
    """Events in one state, oldest first."""
    for row in dead_letters.listed(hospital().database, state=state, peer=peer, limit=limit):
        click.echo(f"{row.event_id}  {row.peer:<8} {row.subject_key} #{row.sequence} {row.kind}  {row.error}")


@events.command()
@click.argument("event_id")
def show(event_id: str) -> None:
    """One event, every attempt to deliver it, and how many wait behind it."""
    row, attempts, behind = dead_letters.show(hospital().database, event_id)
    click.echo(f"{row.peer} {row.subject} {row.subject_key} #{row.sequence} {row.kind}: {row.state}; {behind} behind it")
    click.echo(json.dumps(dict(row.payload), ensure_ascii=False))
    for each in attempts:
        click.echo(f"{each.at:%Y-%m-%d %H:%M:%S} attempt {each.attempt} {each.outcome} {each.milliseconds} ms")
        click.echo(f"  > {each.request}\n  < {each.answer}")


@events.command("kinds")
def list_kinds() -> None:
    """Every kind of event; those with * only a peer that names them hears."""
    for name, kind in kinds.KINDS.items():
        click.echo(f"{name + (' *' if kind.personal else ''):<36} {kind.when.zh}  {kind.when.en}")


@events.command()
@click.argument("event_id")
@click.option("--dry-run", is_flag=True, help="Print exactly what would leave; send nothing.")
def send(event_id: str, dry_run: bool) -> None:
    """Send one waiting event now, whatever its next try; never before an earlier one of its subject."""
    here, ring, known = hospital(), keyring.from_environment(), profiles.from_environment()
    siu = hl7v2_profiles.from_environment()
    message = told.of_id(here.database, event_id)
    if dry_run:
        click.echo(_shown(here, ring, known, siu, message) or f"{message.peer} need not hear of {message.kind}")
        return
    with sender(here, ring, known, siu) as deliver:
        outcome = told.deliver_one(here.database, deliver, event_id, epoch(here.clock.now()))
    if outcome is not True:
        raise click.ClickException("not delivered: see `examlane events show`" if outcome is False else NOT_WAITING)
    click.echo(f"{message.peer} took it")


@click.group()
def soap() -> None:
    """What leaves over SOAP."""


soap.add_command(send)


def _shown(here: Any, ring: Any, known: Any, siu: Any, message: told.Message) -> str:
    try:
        return "\n\n".join(shown(here, ring, known, siu, message))
    except told.Undelivered as error:
        raise click.ClickException(str(error)) from error


@events.command()
@click.argument("event_id", required=False)
@click.option("--peer", default="", help="Instead of one event: every dead letter of a peer.")
def replay(event_id: str | None, peer: str) -> None:
    """Send dead letters again, at once."""
    here = hospital()
    for each in _chosen(here, event_id, peer):
        dead_letters.replay(here.database, each, ACTOR, here.clock.now())
        click.echo(f"{each} will be sent again")


@events.command()
@click.argument("event_id")
@click.option("--reason", required=True)
def discard(event_id: str, reason: str) -> None:
    """Give a dead letter up: the later ones of its subject go on."""
    here = hospital()
    dead_letters.discard(here.database, event_id, ACTOR, here.clock.now(), reason)
    click.echo(f"{event_id} given up")


def _chosen(here: Any, event_id: str | None, peer: str) -> list[str]:
    if bool(event_id) == bool(peer):
        raise click.UsageError("name one event, or --peer")
    if event_id:
        return [event_id]
    return [row.event_id for row in dead_letters.listed(here.database, state="dead", peer=peer, limit=10_000)]
