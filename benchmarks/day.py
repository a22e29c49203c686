"""How long each command of the ordinary day keeps SQLite's one write lock, in a hospital of the reference size.

No command may need more than one write transaction of 50 ms for what it does; a reported fact is stored in one and
planned in another (facts first), and a repeated request's answer is kept without waiting for the disk. A suspension
goes visit by visit: its steps are counted one by one.

    python benchmarks/day.py [--quick] [--json] [--only WORD]
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from unittest.mock import patch

from day_commands import COMMANDS, Command, Stage
from reference import APPOINTMENTS, build

from examlane.storage.database import Database
from examlane.storage.lock import FairLock

LIMIT = 50.0


@dataclass(frozen=True)
class Row:
    """One command: write transactions a call, and milliseconds of its longest lock."""

    command: str
    calls: int
    transactions: int
    median_ms: float
    p99_ms: float
    longest_ms: float


class Locks:
    """Every holding of the lock while it is watched, in milliseconds, and the write transactions begun."""

    def __init__(self) -> None:
        self.held: list[float] = []
        self.transactions = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        lock, write = FairLock.held, Database.write

        @contextmanager
        def timed(one: FairLock) -> Iterator[None]:
            with lock(one):
                began = time.perf_counter()
                try:
                    yield
                finally:
                    self.held.append((time.perf_counter() - began) * 1000)

        def counted(one: Database, work: Callable[[], Any], *, durable: bool = True) -> Any:
            self.transactions += durable
            return write(one, work, durable=durable)

        with patch.object(FairLock, "held", timed), patch.object(Database, "write", counted):
            yield


def measure(command: Command, stage: Stage, calls: int) -> Row:
    subjects = [command.prepare(stage) for _ in range(command.calls or calls)]
    longest, transactions = [], []
    for subject in subjects:
        locks = Locks()
        with locks.watched():
            command.act(stage, subject)
        longest.append(max(locks.held, default=0.0))
        transactions.append(locks.transactions)
    p99 = quantiles(longest, n=100, method="inclusive")[-1] if len(longest) > 1 else longest[0]
    held = (round(each, 2) for each in (median(longest), p99, max(longest)))
    return Row(command.name, len(subjects), max(transactions), *held)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the appointments, 20 calls a command")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="", help="commands with this in their name")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="examlane-day-"))
    try:
        world = build(f"sqlite:///{folder / 'hospital.db'}", APPOINTMENTS // (10 if options.quick else 1))
        stage = Stage(world)
        chosen = [command for command in COMMANDS if options.only in command.name]
        rows = [measure(command, stage, 20 if options.quick else 100) for command in chosen]
        world.hospital.close()
    finally:
        shutil.rmtree(folder)
    tell(rows, options.json)
    return int(any(row.p99_ms > LIMIT for row in rows))


def tell(rows: list[Row], as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{'command':<38} {'calls':>5} {'writes':>6} {'median ms':>9} {'p99 ms':>8} {'longest':>8}")
    for row in rows:
        over = "  over 50 ms" if row.p99_ms > LIMIT else ""
        print(
            f"{row.command:<38} {row.calls:>5} {row.transactions:>6} {row.median_ms:>9} {row.p99_ms:>8} "
            f"{row.longest_ms:>8}{over}"
        )


if __name__ == "__main__":
    raise SystemExit(main())
