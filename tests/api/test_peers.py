"""Peers over HTTP, REST and the command line: signed messages, dead letters shown, sent again and given up."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from examlane.errors import InvalidInput
from examlane.records import dead_letters, events, peers
from examlane.storage.fields import epoch
from examlane.testing import TESTER, World, small_hospital
from examlane_api import hl7v2, keyring
from examlane_api.cli import cli
from examlane_api.keyring import Keyring
from examlane_api.peers import SIGNATURE, Poster, Webhook


@dataclass
class Receiver:
    """A peer's own server: answers `status`, keeps what it heard."""

    address: str = ""
    status: int = 204
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.heard.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_port}/events"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def world(sqlite_url: str) -> Iterator[World]:
    world = small_hospital(sqlite_url)
    yield world
    world.hospital.close()


def tell(world: World, send: Any) -> None:
    now = epoch(world.clock.now())
    world.database.write(lambda: events.emit(world.database, "resource_day", "A", "roster.changed", {"day": "今天"}, now))
    events.deliver_due(world.database, send, now)


def verified(headers: dict[str, str], body: bytes, key: str) -> bool:
    """As the page for peers says it."""
    at, *signatures = headers[SIGNATURE].split(",")
    expected = hmac.new(key.encode(), at.removeprefix("t=").encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"v1={expected}" in signatures


def test_a_signed_message_can_be_checked_with_either_of_two_live_keys(world: World, receiver: Receiver) -> None:
    ring = Keyring(os.urandom(32))
    now = world.clock.now() - timedelta(minutes=1)
    peers.add(world.database, "RIS", receiver.address, TESTER, now, sealed=ring.seal("first", "RIS"))
    peers.add_key(world.database, "RIS", ring.seal("second", "RIS"), TESTER, now)
    tell(world, Webhook(Poster(world.clock, ring)).send)
    (headers, body) = receiver.heard[0]

    assert verified(headers, body, "first")
    assert verified(headers, body, "second")
    assert not verified(headers, body, "third")
    assert not verified(headers, body + b" ", "first")
    assert json.loads(body)["payload"] == {"day": "今天"}
    peers.add_key(world.database, "RIS", ring.seal("third", "RIS"), TESTER, now)
    tell(world, Webhook(Poster(world.clock, ring)).send)
    assert not verified(*receiver.heard[1], "first")


def test_a_peer_without_a_key_gets_no_signature(world: World, receiver: Receiver) -> None:
    peers.add(world.database, "RIS", receiver.address, TESTER, world.clock.now())
    tell(world, Webhook(Poster(world.clock, Keyring(os.urandom(32)))).send)

    assert SIGNATURE not in receiver.heard[0][0]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(422, "declined"), (400, "declined"), (503, "unreachable"), (401, "unreachable"), (302, "unreachable")],
)
def test_a_refusal_is_told_from_a_peer_that_cannot_be_reached(
    world: World, receiver: Receiver, status: int, outcome: str
) -> None:
    peers.add(world.database, "RIS", receiver.address, TESTER, world.clock.now())
    receiver.status = status
    tell(world, Webhook(Poster(world.clock)).send)
    (row,) = dead_letters.listed(world.database)
    (attempt,) = dead_letters.show(world.database, row.event_id)[1]

    assert (attempt.outcome, row.state, row.error) == (outcome, "waiting", f"RIS answered {status}")
    assert attempt.answer.startswith(str(status))


def test_a_port_where_nobody_listens_is_unreachable(world: World) -> None:
    peers.add(world.database, "RIS", "http://127.0.0.1:9/events", TESTER, world.clock.now())
    tell(world, Webhook(Poster(world.clock)).send)

    assert peers.overview(world.database)[0].failures == 1


# REST


@pytest.fixture
def dead(rest: Any) -> str:
    """The id of a dead letter to HIS, with one more event behind it."""
    database, clock = rest.world.database, rest.world.clock
    peers.add(database, "HIS", "http://his/events", TESTER, clock.now())
    now = epoch(clock.now())
    for _ in range(2):
        database.write(lambda: events.emit(database, "resource_day", "A", "roster.changed", {}, now))

    def refuse(message: events.Message) -> None:
        raise events.Declined("400")

    for turn in range(10):
        events.deliver_due(database, refuse, now + turn * 1000)
    return dead_letters.listed(database, state="dead")[0].event_id


def test_a_dead_letter_is_listed_shown_and_given_up_once(rest: Any, dead: str) -> None:
    listed = rest.get("/events?state=dead", caller="console").json["events"]
    assert [event["event_id"] for event in listed] == [dead]
    shown = rest.get(f"/events/{dead}", caller="console").json
    assert (shown["behind"], len(shown["deliveries"]), shown["state"]) == (1, 8, "dead")
    path, body = f"/events/{dead}/discard", {"reason": "已电话告知"}
    first = rest.send("POST", path, body, caller="console", key="d1")
    again = rest.send("POST", path, body, caller="console", key="d1")
    assert (first.status_code, first.json["state"]) == (200, "discarded")
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert rest.send("POST", path, body, caller="console").json["code"] == "not_dead"


def test_a_dead_letter_is_sent_again(rest: Any, dead: str) -> None:
    answer = rest.send("POST", f"/events/{dead}/replay", {}, caller="console")

    assert (answer.status_code, answer.json["state"], answer.json["attempts"]) == (200, "waiting", 0)


def test_a_peer_is_switched_over_rest_and_bad_values_are_named(rest: Any, dead: str) -> None:
    assert rest.get("/peers", caller="console").json["peers"][0]["dead"] == 1
    off = rest.send("PUT", "/peers/HIS", {"enabled": False}, caller="console")
    assert off.json["enabled"] is False
    bad = rest.send("PUT", "/peers/HIS", {"address": "his"}, caller="console")
    assert (bad.status_code, bad.json["errors"][0]["pointer"]) == (422, "/address")
    assert rest.send("PUT", "/peers/XX", {"enabled": True}, caller="console").status_code == 404
    assert rest.get("/events?state=lost", caller="console").status_code == 422


# The command line


def run(url: str, *words: str, **environment: str) -> Any:
    return CliRunner(env={"EXAMLANE_DATABASE": url, **environment}).invoke(cli, words)


def test_peers_and_dead_letters_on_the_command_line(sqlite_url: str, tmp_path: Path) -> None:
    world = small_hospital(sqlite_url)
    key_file = tmp_path / "key"
    keyring.new_key_file(key_file)
    sealing = {keyring.NAME: str(key_file)}
    added = run(sqlite_url, "peers", "add", "RIS", "http://127.0.0.1:9/x", "--signed", **sealing)
    assert added.exit_code == 0
    assert len(added.output.strip()) > 30
    assert run(sqlite_url, "peers", "rotate", "RIS", **sealing).exit_code == 0
    assert run(sqlite_url, "peers", "add", "LIS", "http://lis", "--signed").exit_code == 1
    now = epoch(world.clock.now())
    world.database.write(lambda: events.emit(world.database, "resource_day", "A", "roster.changed", {}, now))
    world.database.write(lambda: world.database.rows("UPDATE event SET dead = 1 RETURNING id"))
    listed = run(sqlite_url, "events", "list").output
    event = listed.split()[0]
    assert "resource_day A #1" in run(sqlite_url, "events", "show", event).output
    assert run(sqlite_url, "events", "replay", "--peer", "RIS").output.startswith(event)
    assert run(sqlite_url, "events", "replay").exit_code == 2
    world.database.write(lambda: world.database.rows("UPDATE event SET dead = 1 RETURNING id"))
    assert run(sqlite_url, "events", "discard", event, "--reason", "done").exit_code == 0
    assert run(sqlite_url, "peers", "disable", "RIS").exit_code == 0
    assert " off " in run(sqlite_url, "peers", "list").output
    assert run(sqlite_url, "peers", "enable", "RIS").exit_code == 0
    assert run(sqlite_url, "peers", "set", "RIS", "--event", "appointment.booked").exit_code == 0
    assert "appointment.booked" in run(sqlite_url, "peers", "list").output
    world.hospital.close()


def test_a_peer_that_speaks_hl7_is_added_previewed_and_keeps_its_kind_of_address(sqlite_url: str) -> None:
    world = small_hospital(sqlite_url)
    wrong = run(sqlite_url, "peers", "add", "RIS", "http://ris/events", "--kind", "hl7v2")
    assert (wrong.exit_code, isinstance(wrong.exception, InvalidInput)) == (1, True)
    assert run(sqlite_url, "peers", "add", "RIS", "mllp://ris:2575", "--kind", "hl7v2").exit_code == 0
    assert "hl7v2" in run(sqlite_url, "peers", "list").output
    world.pay(world.order("US-THYROID"))
    number = world.item("O1/1").appointment

    shown = run(sqlite_url, "peers", "preview", "RIS", number).output

    assert shown.startswith("MSH|")
    assert number in shown
    assert world.database.value("SELECT count(*) FROM delivery") == 0
    for address in ("http://ris", "mllp://ris", "mllp://:2575", "mllp://ris:99999"):
        with pytest.raises(InvalidInput):
            peers.change(world.database, "RIS", TESTER, world.clock.now(), address=address)
    world.hospital.close()


def test_without_the_extra_no_hl7_peer_is_added(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = small_hospital(sqlite_url)
    monkeypatch.setattr(hl7v2, "installed", lambda: False)

    said = run(sqlite_url, "peers", "add", "RIS", "mllp://ris:2575", "--kind", "hl7v2")

    assert (said.exit_code, "examlane[hl7]" in said.output) == (1, True)
    assert peers.overview(world.database) == []
    world.hospital.close()


def test_the_address_of_an_hl7_peer_is_changed_over_rest(rest: Any) -> None:
    peers.add(rest.world.database, "RIS", "mllp://ris:2575", TESTER, rest.world.clock.now(), kind="hl7v2")
    changed = rest.send("PUT", "/peers/RIS", {"address": "mllp://ris2:2575"}, caller="console")
    assert (changed.status_code, changed.json["address"], changed.json["kind"]) == (200, "mllp://ris2:2575", "hl7v2")
    bad = rest.send("PUT", "/peers/RIS", {"address": "http://ris"}, caller="console")
    assert (bad.status_code, bad.json["errors"][0]["pointer"]) == (422, "/address")
