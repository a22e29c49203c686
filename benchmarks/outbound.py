"""What peers hear when everything fails: no event lost, none invented, none out of order for an appointment.

Four workers send to two peers that refuse, break off, answer late and are down for a while; workers are killed with
SIGKILL all the time, and changes are rolled back. Some messages are poison: a peer refuses them for ever. Receivers
keep their own books, and these are compared with what was committed.

    python benchmarks/outbound.py [--engine sqlite|postgresql | --database URL] [--events 20000] [--speed 5]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from engines import database_url

from examlane.insight import invariants
from examlane.records import dead_letters, events, peers
from examlane.records.audit import Actor
from examlane.storage.database import Database
from examlane.storage.fields import epoch
from examlane_api.peers import Poster, Webhook

PROCESSES = multiprocessing.get_context("forkserver")
OPERATOR = Actor("operator", "cli")
STEADY, SHAKY = "HIS", "RIS"
"""One peer is never down, the other is now and then and has the poison: neither may hold up the other."""
WORKERS = 4
EVENTS_EACH = 10
"""Events an appointment, of both peers together, on average."""
POISONED = 50
"""One appointment in so many has a poison message."""
ROLLED_BACK = 0.05
FAULTS = {"refused": 0.02, "unavailable": 0.02, "taken, answer lost": 0.02, "taken, answer late": 0.004}
LATE_SECONDS = 1.5
DOWN = (20.0, 2.0)
"""Each so many seconds the shaky peer is down for so many."""
KILLED = (0.3, 2.0)
PATIENCE = 1200
WAITING = f"SELECT count(*) FROM event e WHERE e.sent_at IS NULL AND e.dead = 0 AND {events.FIRST}"
UNDONE = "SELECT count(*) FROM event WHERE sent_at IS NULL AND discarded_at IS NULL"
BLOCKED = """SELECT p.code, e.subject_key FROM event e JOIN peer p ON p.id = e.peer_id
WHERE e.dead = 1 AND e.sent_at IS NULL"""
Books = dict[tuple[str, str], list[int]]
"""Of each peer and appointment the numbers of its events, in order."""


class RolledBack(Exception):
    """The change behind an event did not happen."""


@dataclass(frozen=True)
class FastClock:
    """The same instant in every process, running some times faster than the real one: pauses and leases are shorter."""

    start: datetime
    began: float
    speed: float

    def now(self) -> datetime:
        passed = timedelta(seconds=(time.monotonic() - self.began) * self.speed)
        return (self.start + passed).replace(microsecond=0)


@dataclass
class Receivers:
    """Both peers' own server. They know an event by its id, and note the first time they hear it."""

    dice: random.Random
    heard: Books = field(default_factory=lambda: defaultdict(list))
    known: set[str] = field(default_factory=set)
    counted: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    began: float = field(default_factory=time.monotonic)

    def hear(self, body: dict[str, Any]) -> str:
        """Take an event or not; what goes wrong, or nothing."""
        with self.lock:
            fault = self._fault(body)
            self.counted[fault] += 1
            if fault in ("", "taken, answer lost", "taken, answer late"):
                self._note(body)
            return fault

    def _fault(self, body: dict[str, Any]) -> str:
        every, long = DOWN
        if body["peer"] == SHAKY and (time.monotonic() - self.began) % every > every - long:
            return "unavailable"
        if body["peer"] == SHAKY and body["payload"]["poison"]:
            return "refused"
        return self.dice.choices(["", *FAULTS], [1 - sum(FAULTS.values()), *FAULTS.values()])[0]

    def _note(self, body: dict[str, Any]) -> None:
        if body["event_id"] in self.known:
            self.counted["duplicates"] += 1
            return
        self.known.add(body["event_id"])
        self.heard[body["peer"], body["subject_key"]].append(body["payload"]["number"])


class Handler(BaseHTTPRequestHandler):
    """Answers as the receivers' dice say."""

    protocol_version = "HTTP/1.1"
    receivers: Receivers

    def do_POST(self) -> None:
        fault = self.receivers.hear(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if fault == "taken, answer lost":
            self.close_connection = True
            return
        if fault == "taken, answer late":
            time.sleep(LATE_SECONDS)
        self.send_response({"refused": 422, "unavailable": 503}.get(fault, 204))
        self.send_header("Content-Length", "0")
        with suppress(OSError):  # the worker has gone
            self.end_headers()

    def log_message(self, *_words: Any) -> None: ...


class Server(ThreadingHTTPServer):
    def handle_error(self, *_request: Any) -> None:
        """A worker was killed while it spoke."""


@contextmanager
def serving(receivers: Receivers) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"receivers": receivers}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/events"
    server.shutdown()
    thread.join()
    server.server_close()


def work(url: str, clock: FastClock) -> None:
    """The part of a worker that tells the peers, until it is killed."""
    database, webhook = Database(url), Webhook(Poster(clock))
    while True:
        if not events.deliver_due(database, webhook.send, epoch(clock.now())):
            time.sleep(0.05)


@dataclass
class Killer:
    """Keeps the workers running, and kills one of them every moment. `broken` are those who ended by themselves."""

    url: str
    clock: FastClock
    dice: random.Random
    kills: int = 0
    broken: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        workers = [self._start() for _ in range(WORKERS)]
        while not self.ended.wait(self.dice.uniform(*KILLED)):
            place = self.dice.randrange(WORKERS)
            self._kill(workers[place])
            workers[place] = self._start()
            self.kills += 1
        for each in workers:
            self._kill(each)

    def _start(self) -> Any:
        process = PROCESSES.Process(target=work, args=(self.url, self.clock), daemon=True)
        process.start()
        return process

    def _kill(self, process: Any) -> None:
        self.broken += not process.is_alive()
        process.kill()
        process.join()


@contextmanager
def killing(url: str, clock: FastClock, dice: random.Random) -> Iterator[Killer]:
    killer = Killer(url, clock, dice)
    thread = threading.Thread(target=killer.run)
    thread.start()
    try:
        yield killer
    finally:
        killer.ended.set()
        thread.join()


@dataclass
class Producer:
    """Changes appointments at random, and keeps the books of what was committed."""

    database: Database
    clock: FastClock
    dice: random.Random
    committed: Books = field(default_factory=lambda: defaultdict(list))
    poison: set[tuple[str, str]] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))
    rolled_back: int = 0

    def run(self, count: int) -> None:
        """Emit events for both peers until there are so many."""
        appointments = max(POISONED, count // EVENTS_EACH)
        for _ in range(count // 2):
            self._change(self.dice.randrange(appointments))

    def _change(self, place: int) -> None:
        key, number = f"A{place:06}", next(self.numbers)
        poison = place % POISONED == 0 and len(self.committed[SHAKY, key]) == 1
        failing = self.dice.random() < ROLLED_BACK

        def change() -> None:
            payload = {"number": number, "poison": poison}
            events.emit(self.database, "appointment", key, "appointment.booked", payload, epoch(self.clock.now()))
            if failing:
                raise RolledBack

        try:
            self.database.write(change)
        except RolledBack:
            self.rolled_back += 1
            self._change(place)
            return
        for peer in (STEADY, SHAKY):
            self.committed[peer, key].append(number)
        if poison:
            self.poison.add((SHAKY, key))

    def expected(self, *, discarded: bool) -> Books:
        """What must have been heard: of a poisoned appointment what comes before, or all others once it is discarded."""
        return {
            of: numbers if of not in self.poison else numbers[:1] + (numbers[2:] if discarded else [])
            for of, numbers in self.committed.items()
        }


def differences(expected: Books, heard: Books) -> Counter[str]:
    """How many events were lost, how many invented, and how many appointments told out of order."""
    found: Counter[str] = Counter(lost=0, invented=0, out_of_order=0)
    for of in expected.keys() | heard.keys():
        wanted, got = expected.get(of, []), heard.get(of, [])
        found["lost"] += len(set(wanted) - set(got))
        found["invented"] += len(set(got) - set(wanted))
        found["out_of_order"] += got != sorted(got)
    return found


def wait_for(database: Database, statement: str) -> None:
    """Until there is nothing to count any more."""
    until = time.monotonic() + PATIENCE
    while database.value(statement):
        if time.monotonic() > until:
            raise RuntimeError(f"after {PATIENCE} s there is still {database.value(statement)} of: {statement}")
        time.sleep(0.2)


def before_anybody_helps(database: Database, producer: Producer, receivers: Receivers) -> Counter[str]:
    """What is wrong while the dead letters lie: only their own appointments may wait, and nobody leaps over them."""
    wait_for(database, WAITING)
    blocked, expected, heard = set(database.rows(BLOCKED)), producer.expected(discarded=False), receivers.heard
    held_up = {of for of, numbers in expected.items() if of not in blocked and heard[of] != numbers}
    leapt = {of for of in producer.poison if heard[of] != expected[of][: len(heard[of])]}
    return Counter(held_up_by_others=len(held_up), leapt_over_poison=len(leapt))


def settle(database: Database, clock: FastClock) -> Counter[str]:
    """As a person does until nothing waits: give up what is poison, send again what only had bad luck."""
    done: Counter[str] = Counter()
    while database.value(UNDONE):
        for each in dead_letters.listed(database, state="dead", limit=1000):
            if each.payload["poison"]:
                dead_letters.discard(database, each.event_id, OPERATOR, clock.now(), "poison")
            else:
                dead_letters.replay(database, each.event_id, OPERATOR, clock.now())
            done["poison" if each.payload["poison"] else "replayed"] += 1
        wait_for(database, WAITING)
    return done


def run(url: str, count: int, speed: float, seed: int) -> dict[str, Any]:
    database, clock = Database(url), FastClock(datetime.now(UTC), time.monotonic(), speed)
    database.create_tables()
    receivers, producer = Receivers(random.Random(seed)), Producer(database, clock, random.Random(seed + 1))
    with serving(receivers) as address, killing(url, clock, random.Random(seed + 2)) as killer:
        for code in (STEADY, SHAKY):
            peers.add(database, code, address, OPERATOR, clock.now(), timeout_seconds=1)
        producer.run(count)
        found = before_anybody_helps(database, producer, receivers)
        settled = settle(database, clock)
    found.update(differences(producer.expected(discarded=True), receivers.heard))
    found["workers_broken"] = killer.broken
    found["invariants"] = len(invariants.check(database, clock=clock))
    made = database.value("SELECT count(*) FROM event")
    database.close()
    return {
        "events": made, "seconds": round(time.monotonic() - clock.began), "kills": killer.kills,
        "rolled_back": producer.rolled_back, "dead_poison": settled["poison"], "dead_and_replayed": settled["replayed"],
        "answers": dict(receivers.counted), "violations": dict(found),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--database", help="the address of an empty database, instead of an engine")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--speed", type=float, default=5, help="how many times faster the clock runs")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    if options.database:
        found = run(options.database, options.events, options.speed, options.seed)
    else:
        with database_url(options.engine) as url:
            found = run(url, options.events, options.speed, options.seed)
    print(json.dumps(found, indent=2))
    return int(any(found["violations"].values()))


if __name__ == "__main__":
    PROCESSES.set_forkserver_preload(["outbound"])
    sys.exit(main())
