"""`examlane sandbox`: a hospital to try every flow against, its other systems, and their faults."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import requests

from examlane_api.sandbox.channels import VIA
from examlane_api.sandbox.hospital import SYSTEMS, Sandbox, SandboxOptions, read_shown, run
from examlane_api.sandbox.messages import MESSAGES
from examlane_api.sandbox.system import SLOW_SECONDS, ZONE, Fault

FOLDER = click.Path(file_okay=False, path_type=Path)
TAKEN = ("answered", "AA")
LONGEST = 90
MORNING = datetime(2026, 11, 23, 7, 30, tzinfo=ZONE)


@click.group(invoke_without_command=True)
@click.option("--folder", type=FOLDER, default=Path("var/sandbox"), show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, help="The first of seven; 0 takes free ones.")
@click.option("--clock", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]), help="The hospital's time; without it the real one.")
@click.option("--schemas", default="", help="The folder of the standard's <action>.xsd: documents are validated.")
@click.option("--check", is_flag=True, help="Try the main flows, and exit with 0 if all went well.")
@click.pass_context
def sandbox(
    context: click.Context, folder: Path, host: str, port: int, clock: datetime | None, schemas: str, check: bool
) -> None:
    """Build a demonstration hospital in a folder and serve it, with a HIS, RIS, queue, gateway and platform beside it."""
    context.obj = folder
    if context.invoked_subcommand is not None:
        return
    options = SandboxOptions(folder, host, port, clock, schemas)
    try:
        if check:
            run(replace(options, port=0, clock=clock or MORNING), threading.Event(), try_flows)
        else:
            _serve(options)
    except OSError as error:
        raise click.ClickException(f"a port from {port} on cannot be used ({error}): choose with --port") from error


def _serve(options: SandboxOptions) -> None:
    """Until somebody presses Ctrl-C or sends SIGTERM."""
    stop, asked = threading.Event(), threading.Event()

    def ask(*_: object) -> None:
        asked.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)

    def wait(running: Sandbox) -> None:
        _tell(running, options.folder)
        stop.wait()

    run(options, stop, wait)
    if not asked.is_set():
        raise click.ClickException("the worker ended: its error stands above")


def _tell(running: Sandbox, folder: Path) -> None:
    shown = running.shown
    click.echo(f"examlane       {shown['ADDRESS']}")
    for code, system in running.systems.items():
        click.echo(f"{code:<14} {system.address}  {system.name.zh} {system.name.en}")
    click.echo(f"control        {shown['CONTROL']}")
    for login, password in running.passwords.items():
        click.echo(f"{login:<14} {password}")
    click.echo(f"every address and key: source {folder}/sandbox.env\nready")
    sys.stdout.flush()


# Steering a running sandbox


@sandbox.command()
@click.argument("message", type=click.Choice(list(MESSAGES)))
@click.argument("says", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--rest", "via", flag_value="rest", default=True, help="Over REST (the default).")
@click.option("--soap", "via", flag_value="soap", help="Over the booking contract.")
@click.option("--hip", "via", flag_value="hip", help="As the platform's document.")
@click.option("--key", default="", help="The message's own identifier; the same again is the same message.")
@click.pass_obj
def send(folder: Path, message: str, says: tuple[str, ...], via: str, key: str) -> None:
    """Send a message as the system that owns it would. Exit 0: examlane took it."""
    answer = _steer(folder, f"/send/{message}", {**_values(says), "via": via, **({"key": key} if key else {})})
    if answer["held"]:
        click.echo("held back until the next message")
    sys.exit(_show(answer))


@sandbox.command()
@click.argument("system", type=click.Choice(list(SYSTEMS)))
@click.argument("kind", type=click.Choice([each.value for each in Fault]))
@click.option("--seconds", default=SLOW_SECONDS, show_default=True, help="How slow.")
@click.pass_obj
def fault(folder: Path, system: str, kind: str, seconds: float) -> None:
    """Put a system at fault from now on; `none` mends it, and sends what it held back."""
    answer = _steer(folder, "/fault", {"system": system, "fault": kind, "seconds": seconds})
    click.echo(f"{system}: {answer['fault']}")
    _show(answer)


@sandbox.command()
@click.argument("system", type=click.Choice(list(SYSTEMS)))
@click.option("--kind", default="", help="Only this kind of message.")
@click.option("--key", default="", help="Only about this appointment, order or order item.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def received(folder: Path, system: str, kind: str, key: str, as_json: bool) -> None:
    """What a system has received, in the order in which it came."""
    address = _shown(folder)[system.upper()]
    found = _answer(lambda session: session.get(f"{address}/received", params={"kind": kind, "key": key}))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for each in found["received"]:
        number = f" #{each['sequence']}" if each["sequence"] else ""
        click.echo(f"{each['kind']} {each['key']}{number}{' x' + str(each['times']) if each['times'] > 1 else ''}")


@sandbox.command()
@click.argument("patient")
@click.argument("facts", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.pass_obj
def facts(folder: Path, patient: str, facts: tuple[str, ...]) -> None:
    """Let the HIS know clinical facts of a patient: examlane asks for them before the rules."""
    answer = _steer(folder, "/facts", {"patient": patient, "facts": _values(facts)})
    click.echo(f"the HIS knows {', '.join(sorted(answer['facts']))} of {patient}")


@sandbox.command()
@click.option("--to", default="", help="An instant to come, such as 2026-11-23T10:00:00+08:00.")
@click.option("--minutes", default=0, help="How far forward.")
@click.pass_obj
def clock(folder: Path, to: str, minutes: int) -> None:
    """Say the hospital's time, or move it forward."""
    said: dict[str, Any] = {"to": to} if to else {"minutes": minutes}
    click.echo(_steer(folder, "/clock", said)["now"])


def _values(words: tuple[str, ...]) -> dict[str, Any]:
    """`name=value`, several of one name as a list, `fact.egfr=92` as a member of `fact`."""
    found: dict[str, Any] = {}
    for word in words:
        path, sign, value = word.partition("=")
        name, _, member = path.partition(".")
        if not sign or not name:
            raise click.UsageError(f"{word}: write NAME=VALUE")
        if member:
            found.setdefault(name, {})[member] = value
        elif name in found:
            found[name] = [*([found[name]] if isinstance(found[name], str) else found[name]), value]
        else:
            found[name] = value
    return found


def _show(answer: Mapping[str, Any]) -> int:
    for each in answer["said"]:
        click.echo(f"{each['request']} {each['status']}")
        click.echo(json.dumps(each["answer"], ensure_ascii=False, indent=2))
    return int(any(not _is_taken(each["status"]) for each in answer["said"]))


def _is_taken(status: str) -> bool:
    return status in TAKEN or status.startswith("2")


def _shown(folder: Path) -> dict[str, str]:
    try:
        return read_shown(folder)
    except OSError as error:
        raise click.ClickException(f"no sandbox was started in {folder}: run `examlane sandbox` first") from error


def _steer(folder: Path, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    shown = _shown(folder)
    headers = {"Authorization": f"Bearer {shown['CONTROL_KEY']}"}
    return _answer(lambda session: session.post(shown["CONTROL"] + path, json=body, headers=headers))


def _answer(ask: Callable[[requests.Session], requests.Response]) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = ask(session)
        except requests.RequestException as error:
            raise click.ClickException("nobody answers: is the sandbox running, or the system down?") from error
    said: dict[str, Any] = answer.json()
    if not answer.ok:
        places = "; ".join(f"{each['pointer']}: {each['detail']}" for each in said.get("errors", ()))
        raise click.ClickException(places or said["detail"])
    return said


# --check


def try_flows(running: Sandbox) -> None:
    """Order, pay, hear of it, arrive, and a system that is down. Raises `ClickException` at the first that fails."""
    folder = Path(running.shown["FOLDER"])
    numbers = [_booked(folder, via) for via in VIA]
    for system in ("his", "ris", "platform"):
        _until(f"{system} hears of every booking", lambda system=system: all(_heard(running, system, numbers)))  # type: ignore[misc]
    running.clock.set(max(_start(running, number) for number in numbers))
    _steer(folder, "/send/checkin", {"appointment": numbers[0]})
    _until("the queue hears who is here", lambda: _heard(running, "queue", numbers[:1])[0])
    _steer(folder, "/fault", {"system": "ris", "fault": "down"})
    late = _booked(folder, "rest")
    _steer(folder, "/fault", {"system": "ris", "fault": "none"})
    _until("the RIS, back again, hears what it missed once", lambda: _heard(running, "ris", [late])[0])
    click.echo("ready to be connected")


def _booked(folder: Path, via: str) -> str:
    """The number of the appointment of a new patient's order, as its payment answers it over REST."""
    number = f"CHECK{uuid.uuid4().hex[:8]}"
    for message, says in (("order", {"number": number, "patient": number}), ("payment", {"order": number})):
        [said] = _steer(folder, f"/send/{message}", {**says, "via": via})["said"]
        if not _is_taken(said["status"]):
            raise click.ClickException(f"{via}: {message} was answered {said['status']} {said['answer']}")
    shown = read_shown(folder)
    headers = {"Authorization": f"Bearer {shown['TOKEN']}"}
    [item] = _answer(lambda session: session.get(f"{shown['BASE']}/orders/{number}", headers=headers))["items"]
    if item["appointment"] is None:
        raise click.ClickException(f"{via}: not booked, but {item['reason']}")
    click.echo(f"{via}: ordered, paid, booked")
    return str(item["appointment"]["number"])


def _start(running: Sandbox, number: str) -> datetime:
    shown = running.shown
    headers = {"Authorization": f"Bearer {shown['TOKEN']}"}
    found = _answer(lambda session: session.get(f"{shown['BASE']}/appointments/{number}", headers=headers))
    return datetime.fromisoformat(found["starts_at"])


def _heard(running: Sandbox, system: str, numbers: list[str]) -> list[bool]:
    """Whether a system has heard of each appointment, no event twice."""
    found = running.systems[system].received()
    return [any(each.key == number for each in found) and all(each.times == 1 for each in found) for number in numbers]


def _until(words: str, holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + LONGEST
    while not holds():
        if time.monotonic() > ends:
            raise click.ClickException(f"not within {LONGEST} seconds: {words}")
        time.sleep(0.1)
    click.echo(words)
