"""The whole demonstration in order: plant, build, play, look, tell, serve."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Flask

from examlane import worker
from examlane_api.app import create_app, new_secret
from examlane_api.demo import cases, hospital, outcome, story
from examlane_api.demo.cases import Case
from examlane_api.demo.clock import MorningClock
from examlane_api.demo.hospital import Demonstration
from examlane_api.demo.morning import Morning
from examlane_api.demo.outcome import Outcome
from examlane_api.demo.serving import Served
from examlane_api.demo.stubs import StubPeers
from examlane_api.peers import Poster, Webhook

STARTS = datetime(2026, 11, 23, 7, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
"""A Monday without a holiday in the four weeks after it, so that every run is the same."""
ENDS = STARTS + timedelta(hours=5)
DATABASE, LEDGER, CASES = "hospital.db", "ledger.db", "cases.jsonl"
FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}.lock", LEDGER, f"{LEDGER}-journal", CASES)


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
    _clear(options.folder)
    planted = cases.generate(options.patients, options.seed, STARTS, hospital.DATA)
    cases.write(planted, options.folder / CASES)
    clock = MorningClock(STARTS)
    random.seed(options.seed)
    with StubPeers(options.folder / LEDGER) as peers:
        _say(options, story.building(len(planted)))
        built = hospital.build(options.folder / DATABASE, clock, peers.addresses)
        _say(options, story.loaded(built.rules))
        with _served(create_app(built.hospital, new_secret()), options.port) as address:
            found = _play(options, built, address, planted)
            _tell(options, found, time.monotonic() - began)
            if options.serve:
                _say(options, story.served(address, built.passwords))
                clock.run()
                _keep_working(built)
        built.hospital.close()
    return 1 if options.check and not found.good else 0


def _play(options: DemoOptions, built: Demonstration, address: str, planted: list[Case]) -> Outcome:
    morning = Morning(built, address, Webhook(Poster(built.clock)).send, STARTS, ENDS)
    morning.play(planted, story.progress(STARTS, ENDS))
    return outcome.look(options.folder / DATABASE, options.folder / LEDGER, planted, ENDS, morning.surprises.found,
                        built.hospital)  # fmt: skip


def _tell(options: DemoOptions, found: Outcome, seconds: float) -> None:
    numbers = {**found.numbers, "seconds": round(seconds, 1)}
    if options.as_json:
        print(json.dumps(numbers, ensure_ascii=False), flush=True)
    _say(options, story.told(numbers, found, options.folder / CASES))


def _say(options: DemoOptions, words: str) -> None:
    """With --json, standard output holds the one object and nothing else."""
    print(words, file=sys.stderr if options.as_json else sys.stdout, flush=True)


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


@contextmanager
def _served(app: Flask, port: int | None) -> Iterator[str]:
    """At the port that was asked for, or at any free one when it is taken."""
    try:
        server = Served(app, port=port or 0)
    except OSError:
        server = Served(app)
    try:
        yield server.address
    finally:
        server.stop()


def _keep_working(built: Demonstration) -> None:
    """The worker's loop, until somebody presses Ctrl-C."""
    try:
        worker.run(built.hospital, Webhook(Poster(built.clock)).send, threading.Event().wait)
    except KeyboardInterrupt:
        print(file=sys.stderr)
