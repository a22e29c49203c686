"""Asking plugins: each call guarded on its own, with a deadline, a circuit breaker, an answer check and a trace.

pluggy's own calling loop stops at the first exception and loses everybody's answers; ours goes on.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any

from examlane.extension.plugins import Plugin, told
from examlane.visit import BookingRequest

FAILURES = 3
WINDOW_SECONDS = 30.0
OPEN_SECONDS = 60.0
POOL_SIZE = 16
STUCK_LIMIT = 2
NO_THREAD = "no thread is free"
RESERVED_SHARE = 0.25
"""The part of a booking's time that a department keeps, however slow the others were."""

Owner = tuple[str, str]
"""A department and a plugin asked for it."""
Work = Callable[[], tuple[Any, str]]
"""A call that returns the answer and its failure, and never raises."""
Turned = Callable[[str, str, str, str], None]
"""Hears that a department's plugin rests at a hook, with its last failure, or with none that it answers again."""
Check = Callable[[Any], Any]
"""Returns the answer as it may be used, or raises `ValueError` saying what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one plugin said at one hook, in how many milliseconds; `failure` is empty when it may be used."""

    department: str
    hook: str
    plugin: str
    version: str
    value: Any
    milliseconds: float
    failure: str = ""


@dataclass
class Budget:
    """The time all hooks of one booking may take together, and the trace of what was said."""

    seconds: float
    trace: list[Answer] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def left(self, department: str) -> float:
        """What a department may still take: of the common time, or else of the share nobody can use up for it."""
        common = self.seconds - sum(self.spent.values())
        return max(0.0, common, self.seconds * RESERVED_SHARE - self.spent[department])


class Dispatcher:
    """Asks plugins in a bounded pool of threads; remembers which of them fail."""

    def __init__(
        self,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        thread_ends: Callable[[], None] = lambda: None,
        turned: Turned = lambda department, plugin, hook, failure: None,
    ) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._turned = turned
        self._pool = Pool(thread_ends)
        self._breakers: dict[tuple[str, str, str], Breaker] = {}

    @property
    def must_recycle(self) -> bool:
        """Whether threads are stuck for good, so that the process should end after its requests."""
        return self._pool.stuck.total() >= STUCK_LIMIT

    def close(self) -> None:
        """End the idle threads; one that is stuck ends with the process."""
        self._pool.close()

    def breaker(self, department: str, plugin: str, hook: str) -> Breaker:
        """One a department: what a plugin does to one must not close it, or its shadow, for another."""
        return self._breakers.setdefault((department, plugin, hook), Breaker(self._monotonic))

    def ask(
        self, plugin: Plugin, hook: str, department: str, arguments: Mapping[str, Any], check: Check, budget: Budget,
        problem: str = "",
    ) -> Answer:  # fmt: skip
        """Ask one plugin; whatever it does, an `Answer` comes back and is traced. With a `problem` it is not asked."""
        if problem:
            budget.trace.append(answer := Answer(department, hook, plugin.name, plugin.version, None, 0.0, problem))
            return answer
        started = time.perf_counter()
        work = _call(plugin, hook, arguments, check)
        # The core's own runs in the caller's thread, and its errors are the core's: a lost database is no "no time".
        value, failure = work() if plugin.trusted else self._guarded(plugin, hook, department, work, budget)
        spent = time.perf_counter() - started
        budget.spent[department] += spent
        answer = Answer(department, hook, plugin.name, plugin.version, value, round(spent * 1000, 3), failure)
        budget.trace.append(answer)
        return answer

    def _guarded(self, plugin: Plugin, hook: str, department: str, work: Work, budget: Budget) -> tuple[Any, str]:
        limit = min(self._seconds, budget.left(department))
        if limit <= 0:
            return None, "no time left"
        breaker = self.breaker(department, plugin.name, hook)
        if not breaker.admits():
            return None, "breaker open"
        value, failure = self._pool.call((department, plugin.name), work, limit)
        if failure != NO_THREAD and breaker.note(not failure):
            self._turned(department, plugin.name, hook, failure)
        return value, failure


def _call(plugin: Plugin, hook: str, arguments: Mapping[str, Any], check: Check) -> Work:
    implementation = plugin.hooks[hook]
    passed = {name: sealed(arguments[name]) for name in implementation.arguments}

    def work() -> tuple[Any, str]:
        if plugin.trusted:
            return check(implementation.function(**passed)), ""
        try:
            return check(implementation.function(**passed)), ""
        except BaseException as error:  # noqa: BLE001 - foreign code may raise anything, SystemExit and worse included
            return None, told(error)

    return work


def sealed(value: Any) -> Any:
    """The same value so that a plugin cannot change it for those who are asked after it."""
    if isinstance(value, list | tuple):
        return tuple(sealed(inner) for inner in value)
    if isinstance(value, Mapping):
        return MappingProxyType({key: sealed(inner) for key, inner in value.items()})
    if isinstance(value, BookingRequest):
        return replace(value, items=sealed(value.items), settings=sealed(value.settings))
    return value


class Breaker:
    """Opens after three failures in a row within 30 seconds, for 60 seconds, then lets one call through."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures: deque[float] = deque(maxlen=FAILURES)
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    def admits(self) -> bool:
        with self._lock:
            if self._open_until is None:
                return True
            if self._monotonic() < self._open_until:
                return False
            self._open_until = self._monotonic() + OPEN_SECONDS
            return True

    def note(self, succeeded: bool) -> bool:
        """Count an outcome; returns whether it opened or closed the breaker."""
        with self._lock:
            before = self.is_open
            if succeeded:
                self._open_until = None
                self._failures.clear()
                return before
            now = self._monotonic()
            self._failures.append(now)
            if len(self._failures) == FAILURES and now - self._failures[0] <= WINDOW_SECONDS:
                self._open_until = now + OPEN_SECONDS
            return before != self.is_open


class Pool:
    """Daemon threads that run one call at a time. A late call keeps its thread until it ends, a failed one ends it:
    whatever it left behind, such as a lost connection, goes with the thread.
    """

    def __init__(self, thread_ends: Callable[[], None] = lambda: None) -> None:
        self._lock = threading.Lock()
        self._free = threading.Semaphore(POOL_SIZE)
        self._idle: list[tuple[threading.Thread, SimpleQueue[_Call | None]]] = []
        self._thread_ends = thread_ends
        self._closed = False
        self.stuck: Counter[Owner] = Counter()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, queue in idle:
            queue.put(None)
        for thread, _ in idle:
            thread.join(0.5)

    def call(self, owner: Owner, work: Work, seconds: float) -> tuple[Any, str]:
        """The outcome of the work, or why there is none. An owner with stuck threads gets no more of them."""
        if self.stuck[owner] >= STUCK_LIMIT:
            return None, "earlier calls have not ended"
        if not self._free.acquire(timeout=seconds):
            return None, NO_THREAD
        call = _Call(owner, work)
        self._start(call)
        if not call.finished.acquire(timeout=seconds):
            with self._lock:
                if call.outcome is None:
                    call.abandoned = True
                    self.stuck[owner] += 1
        return call.outcome or (None, "late")

    def _start(self, call: _Call) -> None:
        with self._lock:
            if self._idle:
                self._idle.pop()[1].put(call)
                return
        threading.Thread(target=self._serve, args=(call,), daemon=True, name="examlane-hook").start()

    def _serve(self, first: _Call) -> None:
        queue: SimpleQueue[_Call | None] = SimpleQueue()
        call: _Call | None = first
        while call is not None:
            goes_on = self._finish(call, call.work(), queue)
            call.finished.release()
            self._free.release()
            call = queue.get() if goes_on else None
        self._thread_ends()

    def _finish(self, call: _Call, outcome: tuple[Any, str], queue: SimpleQueue[_Call | None]) -> bool:
        """Note an outcome; whether the thread is to wait for the next call."""
        with self._lock:
            call.outcome = outcome
            self.stuck[call.owner] -= call.abandoned
            goes_on = not outcome[1] and not self._closed
            if goes_on:
                self._idle.append((threading.current_thread(), queue))
        return goes_on


class _Call:
    def __init__(self, owner: Owner, work: Work) -> None:
        self.owner = owner
        self.work = work
        # A bare lock, held until the call ends: a semaphore costs twice as much a call.
        self.finished = threading.Lock()
        self.finished.acquire()
        self.outcome: tuple[Any, str] | None = None
        self.abandoned = False
