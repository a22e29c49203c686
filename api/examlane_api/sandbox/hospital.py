"""The whole sandbox: the hospital is built anew in its folder, the other systems begin to listen, examlane is served."""

from __future__ import annotations

import os
import secrets
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from examlane import worker
from examlane.domain import Text
from examlane.hospital import Hospital
from examlane.records import peers
from examlane.records.audit import Actor
from examlane.records.events import Send
from examlane.storage.exchange import ContextProvider
from examlane.storage.fields import dump
from examlane_api import clients, keyring
from examlane_api.app import create_app, new_secret
from examlane_api.demo import hospital as demonstration
from examlane_api.demo.clock import MorningClock
from examlane_api.demo.serving import HOST, Served
from examlane_api.hip import profiles
from examlane_api.hip.profiles import Profile
from examlane_api.keyring import Keyring
from examlane_api.outbound.adapters import sender
from examlane_api.sandbox.channels import PASSWORD, PLATFORM, Channels
from examlane_api.sandbox.control import Sender, control
from examlane_api.sandbox.services import Facts, serve_facts, serve_hip, serve_messages
from examlane_api.sandbox.system import System

SYSTEMS: Mapping[str, Text] = {
    "his": Text("医院信息系统", "HIS"),
    "ris": Text("放射信息系统", "RIS"),
    "queue": Text("排队叫号系统", "queue calling"),
    "gateway": Text("消息网关", "message gateway"),
    PLATFORM: Text("集成平台", "integration platform"),
}
APPOINTMENTS = (
    "appointment.booked", "appointment.cancelled", "appointment.expired", "appointment.no_show", "appointment.replaced",
    "appointment.rescheduled", "appointment.suspended",
)  # fmt: skip
HEARS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "his": ("webhook", "/events", (
        *APPOINTMENTS, "appointment.fulfilled", "appointment.not_done", "order.answered", "order.refund", "order.sent_back",
        "order_item.changed", "order_item.payable", "order_item.refundable", "patient.merged", "patient.unmerged",
    )),
    "ris": ("webhook", "/events", ("worklist.scheduled", "worklist.registered", "worklist.removed")),
    "queue": ("webhook", "/events", (
        "ticket.issued", "ticket.void", "appointment.called", "appointment.called_absent", "appointment.deferred",
        "appointment.no_show",
    )),
    "gateway": ("messages", "/messages", ("patient.message",)),
    PLATFORM: ("hip", "/hip", (*APPOINTMENTS, "appointment.checked_in", "schedule.changed", "schedule.published")),
}  # fmt: skip
"""The kind of peer that each system is, where it listens, and which events it wants to hear."""
PROVIDER = "EMR"
FACTS = {
    "egfr": "number", "creatinine_umol_l": "number", "weight_kg": "number", "pregnant": "flag", "metformin": "flag",
    "hyperthyroidism": "flag", "contrast_reaction": "text",
}  # fmt: skip
"""What examlane asks the HIS for."""
PROFILE = files("examlane_api.sandbox").joinpath("platform.toml")
ACTOR = Actor("sandbox", "command")
DATABASE, KEY_FILE, SHOWN = "sandbox.db", "sandbox.key", "sandbox.env"
OURS = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}.lock", KEY_FILE, SHOWN)


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Where and when. `clock` is the hospital's time at the start; None is the real one. Port 0 takes free ports."""

    folder: Path = Path("var/sandbox")
    host: str = HOST
    port: int = 8000
    clock: datetime | None = None
    schemas: str = ""
    patience: int = 3
    """Seconds that examlane waits for a system's answer: in a sandbox one need not wait long to see what happens."""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox. `shown` is what the owner of its folder reads there: addresses and keys."""

    hospital: Hospital
    clock: MorningClock
    systems: Mapping[str, System]
    profile: Profile
    keyring: Keyring
    shown: Mapping[str, str]
    passwords: Mapping[str, str] = field(repr=False)


@contextmanager
def opened(options: SandboxOptions) -> Iterator[Sandbox]:
    """A sandbox that listens at all its ports until it is left. Its worker is another's affair. Raises `OSError`."""
    with ExitStack() as stack:
        clock = MorningClock(options.clock or datetime.now(UTC))
        keys = {code: secrets.token_urlsafe(32) for code in (*SYSTEMS, PROVIDER, "control")}
        systems = {}
        for place, (code, name) in enumerate(SYSTEMS.items(), 1):
            port = options.port + place if options.port else 0
            systems[code] = System(code, name, clock, keys[code], host=options.host, port=port)
            stack.callback(systems[code].stop)
        _clear(options.folder)
        ring = _keyring(options.folder)
        profile = _profile(systems[PLATFORM], options)
        facts: Facts = {}
        _serve_more(systems, profile, keys, facts)
        built = demonstration.build(options.folder / DATABASE, clock, {})
        stack.callback(built.hospital.close)
        logins = {**built.secrets, **_introduce(built.hospital, ring, keys, systems, options.patience)}
        stack.enter_context(_environment({
            PASSWORD: logins[PLATFORM], profile.outbound.password_from: keys[PLATFORM],
            f"EXAMLANE_PROVIDER_{PROVIDER}": keys[PROVIDER],
        }))  # fmt: skip
        app = create_app(built.hospital, new_secret(), "", ring, {PLATFORM: profile})
        address = _listen(stack, app, options, 0).address
        sender = Sender(systems, Channels(address, logins, profile), clock)
        steering = _listen(stack, control(systems, sender, facts, clock, keys["control"]), options, len(SYSTEMS) + 1)
        shown = _shown(options.folder, address, steering.address, systems, logins, keys)
        _write(options.folder / SHOWN, shown)
        yield Sandbox(built.hospital, clock, systems, profile, ring, shown, built.passwords)


@contextmanager
def sending(sandbox: Sandbox) -> Iterator[Send]:
    """The worker's way to every system."""
    with sender(sandbox.hospital, sandbox.keyring, {PLATFORM: sandbox.profile}, {}) as send:
        yield send


def run(options: SandboxOptions, stop: threading.Event, meanwhile: Callable[[Sandbox], None]) -> None:
    """Serve and work while `meanwhile` lasts; the worker ends before the hospital closes. Raises `OSError`."""
    with opened(options) as sandbox:
        sandbox.clock.run()
        work = threading.Thread(target=_work, args=(sandbox, stop), name="worker")
        work.start()
        try:
            meanwhile(sandbox)
        finally:
            stop.set()
            for system in sandbox.systems.values():
                system.stop()
            work.join()


def _work(sandbox: Sandbox, stop: threading.Event) -> None:
    """The worker's loop; if it breaks, the sandbox ends."""
    try:
        with sending(sandbox) as send:
            worker.run(sandbox.hospital, send, stop.wait)
    finally:
        stop.set()
        sandbox.hospital.database.close()


def _listen(stack: ExitStack, app: object, options: SandboxOptions, place: int) -> Served:
    served = Served(app, host=options.host, port=options.port + place if options.port else 0)  # type: ignore[arg-type]
    stack.callback(served.stop)
    return served


def _serve_more(systems: Mapping[str, System], profile: Profile, keys: Mapping[str, str], facts: Facts) -> None:
    serve_hip(systems[PLATFORM], profile, keys[PLATFORM])
    serve_facts(systems["his"].app, facts, keys[PROVIDER])
    serve_messages(systems["gateway"])


def _profile(platform: System, options: SandboxOptions) -> Profile:
    content = tomllib.loads(PROFILE.read_text(encoding="utf-8")) | {"schemas": options.schemas}
    found = profiles.parse(PLATFORM, content)
    outbound = replace(found.outbound, address=f"{platform.address}/hip", answer_seconds=options.patience)
    return replace(found, outbound=outbound)


def _introduce(
    hospital: Hospital, ring: Keyring, keys: Mapping[str, str], systems: Mapping[str, System], patience: int
) -> Mapping[str, str]:
    """Make the systems known to examlane: log-ins, signed events, documents for the platform, the HIS's facts."""
    database, now = hospital.database, hospital.clock.now()
    for code, (kind, path, event_types) in HEARS.items():
        peer = code if code == PLATFORM else code.upper()
        peers.add(database, peer, f"{systems[code].address}{path}", ACTOR, now, kind=kind, event_types=event_types,
                  timeout_seconds=patience, sealed="" if kind == "hip" else ring.seal(keys[code], peer))  # fmt: skip
    database.write(
        lambda: database.insert(
            ContextProvider, code=PROVIDER, kind="rest", address=f"{systems['his'].address}/context", facts=dump(FACTS),
            limit_ms=1000, cache_minutes=0,
        )
    )  # fmt: skip
    return {code: clients.add(database, code, SYSTEMS[code].zh) for code in ("ris", "gateway", PLATFORM)}


# The folder


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in OURS:
        (folder / name).unlink(missing_ok=True)


def _keyring(folder: Path) -> Keyring:
    keyring.new_key_file(folder / KEY_FILE)
    found = keyring.from_environment({keyring.NAME: str(folder / KEY_FILE)})
    assert found is not None
    return found


def _shown(
    folder: Path, address: str, steering: str, systems: Mapping[str, System], logins: Mapping[str, str],
    keys: Mapping[str, str],
) -> dict[str, str]:  # fmt: skip
    return {
        "FOLDER": str(folder.resolve()), "ADDRESS": address, "BASE": f"{address}/api/v1",
        "SECRET": logins["his"], "TOKEN": f"his.{logins['his']}",
        **{code.upper(): system.address for code, system in systems.items()},
        "PLATFORM_SECRET": logins[PLATFORM], "CONTROL": steering, "CONTROL_KEY": keys["control"],
        **{f"{code.upper()}_KEY": keys[code] for code in SYSTEMS},
        "EXAMLANE_DATABASE": f"sqlite:///{(folder / DATABASE).resolve()}",
        "EXAMLANE_KEY_FILE": str((folder / KEY_FILE).resolve()),
    }  # fmt: skip


def _write(file: Path, shown: Mapping[str, str]) -> None:
    """Only this account may read it: it holds every key."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.writelines(f"export {name}={value}\n" for name, value in shown.items())


def read_shown(folder: Path) -> dict[str, str]:
    """What `sandbox.env` says. Raises `OSError` where no sandbox has been started."""
    lines = (folder / SHOWN).read_text(encoding="utf-8").splitlines()
    return dict(line.removeprefix("export ").partition("=")[::2] for line in lines)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Where profiles and providers look for their passwords, while the sandbox runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
