"""Clients as processes of their own: each books for some seconds in one of three ways, and says how often it did."""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from typing import Any

import hospital
import replay
from waitress.server import create_server

from examlane.hospital import Hospital
from examlane_api.app import create_app, new_secret

RAW, PROCESS, HTTP = "raw", "process", "http"
WAYS = (RAW, PROCESS, HTTP)
THREADS = 8
WARM_UP = 3
SPAWN = multiprocessing.get_context("spawn")

Recordings = dict[str, list[replay.Recording]]


@dataclass(frozen=True)
class Done:
    """What one client did in its time."""

    bookings: int
    seconds: float
    cpu_seconds: float
    unbooked: int
    """Orders that were answered without an appointment: left to the worker or to the desk."""


class Server:
    """The web application under waitress, in a process of its own."""

    def __init__(self, url: str) -> None:
        here, there = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(url, there), daemon=True)
        self._process.start()
        there.close()  # so that a server that cannot start is noticed
        self.port: int = here.recv()

    def close(self) -> None:
        self._process.terminate()
        self._process.join(10)


def _serve(url: str, answer: Connection) -> None:
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    app = create_app(hospital.connect(url), new_secret())
    server: Any = create_server(app, host="127.0.0.1", port=0, threads=THREADS)
    answer.send(server.effective_port)
    server.run()


class Clients:
    """Client processes that wait for their turn."""

    def __init__(self, count: int, url: str, recordings: Recordings, port: int, token: str) -> None:
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(count):
            here, there = SPAWN.Pipe()
            process = SPAWN.Process(target=_client, args=(number, url, recordings, port, token, there), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def run(self, way: str, count: int, seconds: float) -> list[Done]:
        """Let the first `count` clients book at the same time."""
        for pipe in self._pipes[:count]:
            pipe.send((way, seconds))
        return [pipe.recv() for pipe in self._pipes[:count]]

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(10)


def _client(number: int, url: str, recordings: Recordings, port: int, token: str, pipe: Connection) -> None:
    client = Client(number, url, recordings, port, token)
    for way in WAYS:
        for _ in range(WARM_UP):
            client.book(way)
    pipe.send("ready")
    while (turn := pipe.recv()) is not None:
        pipe.send(client.run(*turn))
    client.close()


class Client:
    """One client with a bare connection, a hospital in process and a kept-alive HTTP connection."""

    def __init__(self, number: int, url: str, recordings: Recordings, port: int, token: str) -> None:
        templates = {item: replay.template(each, url.startswith("sqlite")) for item, each in recordings.items()}
        self._number = number
        self._count = 0
        self._player = replay.Player(replay.driver(url), templates)
        self._hospital: Hospital = hospital.connect(url)
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer benchmark.{token}", "Content-Type": "application/json"}
        self._ways: dict[str, Callable[[str, str], bool]] = {
            RAW: self._raw,
            PROCESS: self._in_process,
            HTTP: self._over_http,
        }

    def run(self, way: str, seconds: float) -> Done:
        answers, cpu, started = [], time.process_time(), time.perf_counter()
        while time.perf_counter() - started < seconds:
            answers.append(self.book(way))
        spent, bookings = time.perf_counter() - started, sum(answers)
        return Done(bookings, spent, time.process_time() - cpu, len(answers) - bookings)

    def book(self, way: str) -> bool:
        self._count += 1
        item = hospital.ITEMS[(self._number + self._count) % len(hospital.ITEMS)]
        return self._ways[way](f"Z{self._number:02d}{self._count:08d}", item)

    def close(self) -> None:
        self._connection.close()
        self._hospital.close()

    def _raw(self, serial: str, item: str) -> bool:
        self._player.play(item, serial)
        return True

    def _in_process(self, serial: str, item: str) -> bool:
        return hospital.book(self._hospital, serial, item)

    def _over_http(self, serial: str, item: str) -> bool:
        self._post("/api/v1/orders", f"o-{serial}", hospital.order_body(serial, item))
        answer = self._post("/api/v1/payments", f"p-{serial}", hospital.payment_body(serial))
        return bool(answer["state"] == "booked")

    def _post(self, path: str, key: str, body: dict[str, Any]) -> Any:
        self._connection.request("POST", path, json.dumps(body), {**self._headers, "Idempotency-Key": key})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {content.decode()[:300]}")
        return json.loads(content)


def per_second(done: Sequence[Done]) -> float:
    return sum(one.bookings / one.seconds for one in done)
