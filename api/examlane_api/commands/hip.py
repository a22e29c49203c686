"""`examlane hip`: codes of platforms that wait for a meaning, messages that wait for them, and what platforms are told."""

from __future__ import annotations

import click
from lxml import etree

from examlane.appointments import status
from examlane.corrections import early
from examlane.errors import NotFound
from examlane.records import inbox
from examlane.records.events import Undelivered
from examlane_api.commands import actor, hospital
from examlane_api.hip import profiles
from examlane_api.hip.codes import Codes
from examlane_api.hip.outbound.sending import Outgoing, Platform, of_appointment
from examlane_api.hip.profiles import PROFILES, Profile
from examlane_api.hip.service import replay as replay_one
from examlane_api.hip.service import replay_all


@click.group()
def hip() -> None:
    """Hospital platforms (HIPMessageServer)."""


@hip.command("inbox")
@click.option("--peer", default="", help="Only of this platform.")
def show(peer: str) -> None:
    """Foreign codes, those without a meaning first, the messages that wait, and those that were refused at last."""
    here = hospital()
    for row in inbox.codes(here.database, peer):
        meaning = f"{row.target} ({row.mapped_by})" if row.target else "?"
        seen = f"{row.seen}x, last {row.last_seen.astimezone(here.settings.zone):%Y-%m-%d %H:%M}"
        click.echo(f"{row.peer:<16} {row.kind:<12} {row.code:<20} {row.name:<24} -> {meaning:<24} {seen}")
    waiting = inbox.parked(here.database, peer)
    for message in waiting:
        wanted = ", ".join(f"{each.kind} {each.code}" for each in message.waits_for)
        click.echo(f"parked: {message.peer} {message.action} {message.message_id} waits for {wanted}")
    dead = inbox.failed(here.database, peer)
    for letter in dead:
        click.echo(f"refused {letter.id}: {letter.peer} {letter.action} {letter.message_id}: {letter.error}")
    click.echo(f"{len(waiting)} messages wait, {len(dead)} were refused")


@hip.command("map")
@click.argument("peer")
@click.argument("kind")
@click.argument("code")
@click.argument("target")
def assign(peer: str, kind: str, code: str, target: str) -> None:
    """Say which of our codes a platform's code means, and do what waited for it."""
    here, profile = hospital(), _profile(peer)
    if not Codes(here, profile).is_ours(kind, target):
        raise click.ClickException(f"{target} is no {kind} here: kinds are item, department, status, priority, class")
    inbox.assign(here.database, peer, kind, code, target, actor(), here.clock.now())
    _replay(profile)


@hip.command()
@click.argument("peer")
def replay(peer: str) -> None:
    """Try the messages of a platform that wait, for instance after its profile was changed."""
    _replay(_profile(peer))


@hip.command()
@click.argument("message", type=int)
def retry(message: int) -> None:
    """Try a message again that was refused after it had waited."""
    here = hospital()
    try:
        found = inbox.reopen(here.database, message, actor(), here.clock.now())
    except NotFound as error:
        raise click.ClickException(f"no message {message} was refused") from error
    if found.action == early.ACTION:
        click.echo(early.make(here, found, actor()))
    else:
        click.echo(replay_one(here, _profile(found.peer), actor(), found))


@hip.command()
@click.argument("message", type=int)
@click.option("--reason", required=True, help="Why nobody needs it.")
def discard(message: int, reason: str) -> None:
    """Give up a message that was refused after it had waited; what it said is emptied."""
    here = hospital()
    try:
        inbox.discard(here.database, message, actor(), here.clock.now(), reason)
    except NotFound as error:
        raise click.ClickException(f"no message {message} was refused") from error


@hip.command()
@click.argument("peer")
@click.argument("appointment")
@click.option("--dry-run", is_flag=True, help="Print the documents, send nothing.")
def send(peer: str, appointment: str, dry_run: bool) -> None:
    """Tell a platform how an appointment stands now."""
    here, profile = hospital(), _profile(peer)
    current = status.appointment(here, appointment)
    kind = "appointment.rescheduled" if current.state == "booked" and current.version > 1 else f"appointment.{current.state}"
    found = of_appointment(here, profile, appointment, kind, current.version, f"{appointment}/{current.version}")
    if not found:
        click.echo(f"an appointment that is {current.state} tells the platform nothing")
    with Platform(profile) as platform:
        for outgoing in found:
            click.echo(_shown(outgoing))
            if not dry_run:
                _send(platform, outgoing)


def _send(platform: Platform, outgoing: Outgoing) -> None:
    try:
        ack = platform.send(outgoing)
    except Undelivered as error:
        raise click.ClickException(f"not delivered: {error}") from error
    click.echo(f"AA {'; '.join(each.text for each in ack.details)}")


def _shown(outgoing: Outgoing) -> str:
    root = etree.fromstring(outgoing.text)
    return f"{outgoing.action}\n{etree.tostring(root, pretty_print=True, encoding='unicode')}"


def _replay(profile: Profile) -> None:
    here = hospital()
    found = replay_all(here, profile, actor())
    for message, outcome in found:
        click.echo(f"{message.action} {message.message_id}: {outcome}")
    click.echo(f"{sum(outcome == 'done' for _, outcome in found)} of {len(found)} done")


def _profile(peer: str) -> Profile:
    found = profiles.from_environment().get(peer)
    if found is None:
        raise click.ClickException(f"there is no profile {peer}.toml in the folder that {PROFILES} names")
    return found
