"""How much of the bare database's speed a whole booking keeps: in process with every hook, and over HTTP.

One booking is an order and its payment. (a) the bare driver executes exactly the statements of one, (b) the product
does it in process, (c) a client does it over HTTP; all on the same data and the same durability, in turns. Only the
ratios mean something: the times depend on the disk and on who else uses it.

    python benchmarks/booking.py [--quick] [--json] [--engine sqlite|postgresql] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

import costs
import hospital
import load
import replay
from engines import database_url

from examlane.hospital import Hospital
from examlane.insight import invariants
from examlane_api import clients

CLIENTS = (1, 8)
RECORDINGS = 3
TITLES = {
    load.RAW: "(a) bare driver, the same statements",
    load.PROCESS: "(b) in process, with every hook",
    load.HTTP: f"(c) over HTTP, waitress with {load.THREADS} threads",
}


@dataclass(frozen=True)
class Length:
    """How long to measure."""

    rounds: int
    seconds: float
    timed: int


QUICK = Length(3, 1.0, 50)
FULL = Length(7, 3.0, 200)
Rounds = dict[int, list[dict[str, list[load.Done]]]]


def main() -> None:
    options = _options()
    length = QUICK if options.quick else FULL
    found = {}
    for engine in options.engine or ("sqlite", "postgresql"):
        with database_url(engine) as url:
            hospital.create(url)
            found[engine] = _measure(url, length, options.profile)
        if not options.json:
            _print(engine, found[engine])
    if options.json:
        print(json.dumps(found, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds of one second")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--engine", action="append", choices=("sqlite", "postgresql"), help="default: both")
    parser.add_argument("--profile", action="store_true", help="also print the functions that cost (b) most")
    return parser.parse_args()


def _measure(url: str, length: Length, profile: bool) -> dict[str, Any]:
    here = hospital.connect(url)
    recordings = {item: _record(here, item) for item in hospital.ITEMS}
    token = clients.add(here.database, "benchmark", "benchmark")
    server = load.Server(url)
    callers = load.Clients(max(CLIENTS), url, recordings, server.port, token)
    rounds = _rounds(callers, length)
    callers.close()
    server.close()
    parts = costs.measure(here, lambda number: _book(here, "T", number), length.timed)
    if profile:
        _profile(here, length.timed)
    reasons = here.database.rows(
        "SELECT reason, count(*) FROM order_item WHERE key LIKE 'OZ%' AND reason <> 'booked' GROUP BY reason"
    )
    broken = invariants.check(here.database, clock=here.clock)
    here.close()
    return {
        "callers": {str(count): _summary(rounds[count]) for count in CLIENTS},
        "costs": asdict(parts),
        "unbooked": dict(reasons),
        "broken_invariants": [violation.id for violation in broken],
    }


def _record(here: Hospital, item: str) -> list[replay.Recording]:
    found = []
    for number in range(RECORDINGS):
        serial = f"R{item}N{number:06d}"
        hospital.disturb(here, serial, number + 1)
        # A full row of rooms between two recordings gives each another start.
        for room in range(hospital.ROOMS + number):
            hospital.book(here, f"{serial}X{room}", item)
        found.append(replay.record(here.database, serial, partial(_must_book, here, serial, item)))
    return found


def _must_book(here: Hospital, serial: str, item: str) -> None:
    if not hospital.book(here, serial, item):
        sys.exit(f"{serial} was not booked: the recording would not be a whole booking")


def _book(here: Hospital, prefix: str, number: int) -> None:
    hospital.book(here, f"{prefix}{number:08d}", hospital.ITEMS[number % len(hospital.ITEMS)])


def _rounds(clients: load.Clients, length: Length) -> Rounds:
    found: Rounds = {count: [] for count in CLIENTS}
    for number in range(length.rounds):
        ways = load.WAYS[number % 3 :] + load.WAYS[: number % 3]
        for count in CLIENTS:
            found[count].append({way: clients.run(way, count, length.seconds) for way in ways})
        print(f"round {number + 1} of {length.rounds}", file=sys.stderr)
    return found


def _summary(rounds: Sequence[dict[str, list[load.Done]]]) -> dict[str, Any]:
    speeds = [{way: load.per_second(done) for way, done in one.items()} for one in rounds]
    return {
        way: {
            "per_second": median(speed[way] for speed in speeds),
            "to_bare": median(speed[way] / speed[load.RAW] for speed in speeds),
            "lowest": min(speed[way] / speed[load.RAW] for speed in speeds),
            "highest": max(speed[way] / speed[load.RAW] for speed in speeds),
            "unbooked": sum(client.unbooked for one in rounds for client in one[way]),
            "client_cpu_ms": median(_cpu(one[way]) for one in rounds),
        }
        for way in load.WAYS
    }


def _cpu(done: Sequence[load.Done]) -> float:
    return 1000 * sum(one.cpu_seconds for one in done) / max(1, sum(one.bookings for one in done))


def _print(engine: str, found: dict[str, Any]) -> None:
    print(f"\n{engine}\n{'':44}{'per second':>12}{'to (a)':>9}{'range':>14}{'client CPU ms':>15}{'unbooked':>10}")
    for count, ways in found["clients"].items():
        print(f"  {count} client{'s' if count != '1' else ''}")
        for way, row in ways.items():
            spread = f"{row['lowest']:.2f}-{row['highest']:.2f}"
            speed = f"{row['per_second']:12.1f}{row['to_bare']:9.2f}{spread:>14}"
            print(f"    {TITLES[way]:40}{speed}{row['client_cpu_ms']:15.2f}{row['unbooked']:10}")
    _print_costs(found["costs"])
    if found["unbooked"]:
        print(f"  orders without an appointment, by reason: {found['unbooked']}")
    print(f"  broken invariants: {', '.join(found['broken_invariants']) or 'none'}")


def _print_costs(parts: dict[str, Any]) -> None:
    whole = sum(parts["milliseconds"].values())
    counts = f"{parts['statements']} statements, {parts['transactions']} transactions, {parts['hooks']} hook calls"
    print(f"  one booking of (b), alone: {whole:.2f} ms, {counts}")
    for part, milliseconds in parts["milliseconds"].items():
        print(f"    {part:40}{milliseconds:9.2f} ms{100 * milliseconds / whole:6.0f} %")


def _profile(here: Hospital, bookings: int) -> None:
    profile = cProfile.Profile()
    profile.enable()
    for number in range(bookings):
        _book(here, "P", number)
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
