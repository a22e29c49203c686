"""Where the time of a booking in process goes: statements, commits, hooks, JSON, reading the snapshot, planning."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from examlane.extension.dispatch import Dispatcher
from examlane.hospital import Hospital
from examlane.orders import snapshot
from examlane.planning.planner import Planner
from examlane.storage.database import Database

REST = "all else"


@dataclass
class Costs:
    """Milliseconds a booking, by part; each moment counts for the innermost part only."""

    bookings: int = 0
    statements: int = 0
    hooks: int = 0
    transactions: int = 0
    milliseconds: dict[str, float] = field(default_factory=dict)


class Stopwatch:
    """Tells which part of a booking each moment of one thread belongs to."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._parts = [REST]
        self._since = time.perf_counter()
        self._thread = threading.get_ident()

    def turn(self) -> None:
        now = time.perf_counter()
        self.seconds[self._parts[-1]] += now - self._since
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        if threading.get_ident() != self._thread:
            yield
            return
        self.turn()
        self.calls[name] += 1
        self._parts.append(name)
        try:
            yield
        finally:
            self.turn()
            self._parts.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return call


def measure(hospital: Hospital, book: Callable[[int], None], bookings: int) -> Costs:
    """Book some times with every part timed. The timers themselves cost some microseconds a call."""
    watch = Stopwatch()
    parts: list[tuple[Any, str, str]] = [
        (Database, "rows", "statements"),
        (type(hospital.database.engine), "begin", "begin"),
        (type(hospital.database.engine), "commit", "commit"),
        (Dispatcher, "ask", "hooks"),
        (snapshot, "read", "snapshot"),
        (Planner, "plan", "planning"),
        (json, "dumps", "JSON"),
        (json, "loads", "JSON"),
    ]
    with ExitStack() as stack:
        for owner, name, part in parts:
            stack.enter_context(patch.object(owner, name, watch.timed(part, getattr(owner, name))))
        watch.turn()
        watch.seconds.clear()
        for number in range(bookings):
            book(number)
        watch.turn()
    dearest = sorted(watch.seconds.items(), key=lambda part: -part[1])
    milliseconds = {part: seconds * 1000 / bookings for part, seconds in dearest}
    calls = watch.calls
    each = {part: round(calls[part] / bookings) for part in ("statements", "hooks", "commit")}
    return Costs(bookings, each["statements"], each["hooks"], each["commit"], milliseconds)
