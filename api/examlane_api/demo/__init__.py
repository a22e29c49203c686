"""The demonstration: a hospital is built, a morning is played through real HTTP and SOAP, told, and checked."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from examlane import worker
from examlane_api.app import create_app, new_secret
from examlane_api.demo import cases, hospital, outcome, story
from examlane_api.demo.clock import MorningClock
from examlane_api.demo.morning import Morning
from examlane_api.demo.serving import Served
from examlane_api.demo.stubs import StubPeers
from examlane_api.peers import webhook_send

ZONE = ZoneInfo("Asia/Shanghai")
STARTS = datetime(2026, 11, 23, 7, 30, tzinfo=ZONE)
ENDS = STARTS + timedelta(hours=5)
FILES = ("hospital.db", "hospital.db-wal", "hospital.db-shm", "hospital.db.lock", "ledger.db", "ledger.db-journal",
         "cases.jsonl")  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to play, where, and whether to serve the pages afterwards."""

    folder: Path = Path("var/demo")
    patients: int = 500
    seed: int = 2026
    port: int | None = None
    check: bool = False
    as_json: bool = False
    serve: bool = True


def run(options: DemoOptions) -> int:
    """Build, play, tell and check; serve if asked to. 1 if `check` finds anything that is not as it must be."""
    began = time.monotonic()
    say = _silent if options.as_json else print
    _clear(options.folder)
    planted = cases.generate(options.patients, options.seed, STARTS, hospital.DATA)
    cases.write(planted, options.folder / "cases.jsonl")
    clock = MorningClock(STARTS)
    random.seed(options.seed)
    with StubPeers(options.folder / "ledger.db") as peers:
        say(story.building(len(planted)))
        built = hospital.build(options.folder / "hospital.db", clock, peers.addresses)
        app = create_app(built.hospital, new_secret())
        with _served(app, options.port) as address:
            morning = Morning(built, address, webhook_send(), STARTS, ENDS)
            morning.play(planted, story.progress(STARTS, ENDS))
            found = outcome.look(options.folder, planted, ENDS, morning.surprises.found, built.hospital)
            numbers = {**found.numbers, "seconds": round(time.monotonic() - began, 1)}
            if options.as_json:
                print(json.dumps(numbers, ensure_ascii=False), flush=True)
            say(story.told(numbers, found, options.folder))
            if options.serve:
                say(story.served(address, built.passwords))
                clock.run()
                _keep_working(built)
        built.hospital.close()
    return 1 if options.check and not found.good else 0


def _silent(_words: str) -> None:
    """With --json, standard output holds the one object and nothing else."""


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


@contextmanager
def _served(app: Callable[..., object], port: int | None) -> Iterator[str]:
    server = Served(app, port=port or 0)  # type: ignore[arg-type]
    try:
        yield server.address
    finally:
        server.stop()


def _keep_working(built: hospital.Demonstration) -> None:
    """The worker's loop, until somebody presses Ctrl-C."""
    stop = threading.Event()
    try:
        worker.run(built.hospital, webhook_send(), stop.wait)
    except KeyboardInterrupt:
        print(file=sys.stderr)
