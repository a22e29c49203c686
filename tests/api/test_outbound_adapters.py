"""Peers of every kind are told over the real thing: a gateway for patients, a file drop, webhooks; and shown beforehand."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from examlane.appointments import changes
from examlane.errors import InvalidInput
from examlane.records import dead_letters, events, peers
from examlane.records.events import Message, Unreachable
from examlane.reminders import call_list, reminders
from examlane.storage.fields import epoch
from examlane.testing import MORNING, TESTER, World, small_hospital
from examlane_api.cli import cli
from examlane_api.outbound import folder
from examlane_api.outbound.adapters import adapters, sender


class Peer:
    """A peer's own server: answers `answer`, keeps what it heard."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (204, b"")
        self.heard: list[dict[str, Any]] = []
        heard, said = self.heard, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status, body = said.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hear"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    exchange = tmp_path / "exchange"
    (exchange / "pacs").mkdir(parents=True)
    found = small_hospital(sqlite_url, planning_window=timedelta(), exchange_folder=exchange)
    yield found
    found.hospital.close()


def add(world: World, code: str, address: str, kind: str, *types: str) -> None:
    before = MORNING - timedelta(minutes=1)
    peers.add(world.database, code, address, TESTER, before, kind=kind, event_types=types)


def booked(world: World, phone: str = "13800001234") -> str:
    order = world.order("US-THYROID", settle=False)
    world.database.write(lambda: world.database.rows("UPDATE patient SET phone = ? RETURNING id", phone))
    world.pay(order)
    return str(world.item(f"{order}/1").appointment)


def deliver(world: World, *, seconds: int = 0) -> None:
    world.clock.advance(timedelta(seconds=seconds))
    with sender(world.hospital, None, {}, {}) as send:
        while events.deliver_due(world.database, send, epoch(world.clock.now())):
            continue


def calls(world: World) -> list[str]:
    return [each.appointment for each in call_list.calls(world.database, ("US",), world.clock.now(), 0, 50)]


# The message gateway


def message(world: World, peer: Peer) -> dict[str, Any]:
    add(world, "SMS", peer.address, "messages", "patient.message")
    booked(world)
    reminders.turn(world.hospital)
    deliver(world)
    return peer.heard[0]


def test_the_gateway_gets_words_place_and_telephone_and_nothing_else(world: World, peer: Peer) -> None:
    told = message(world, peer)

    assert set(told) == {"message", "channel", "phone", "recipient", "text"}
    assert told["phone"] == "13800001234"
    assert "超声室" in told["text"]["zh"]
    assert "booked" in told["text"]["en"]
    assert len(peer.heard) == 1


@pytest.mark.parametrize("state", ["failed", "no_phone"])
def test_a_gateway_that_knows_at_once_that_it_failed_puts_the_patient_on_the_call_list(
    world: World, peer: Peer, state: str
) -> None:
    peer.answer = (200, json.dumps({"state": state, "reason": "停机"}).encode())
    message(world, peer)

    assert len(calls(world)) == 1


def test_a_report_that_the_words_arrived_after_all_takes_the_patient_off_the_call_list(world: World, peer: Peer) -> None:
    peer.answer = (200, b'{"state": "failed"}')
    told = message(world, peer)
    assert len(calls(world)) == 1
    call_list.report(world.hospital, told["message"], "delivered", TESTER)

    assert calls(world) == []
    assert world.database.value("SELECT state FROM reminder WHERE message = ?", told["message"]) == "delivered"


@pytest.mark.parametrize("body", [b"", b"<html>ok</html>", b"[1]", b'{"state": "perhaps"}', b'{"state": null}'])
def test_an_answer_that_says_nothing_of_the_fate_leaves_it_open(world: World, peer: Peer, body: bytes) -> None:
    peer.answer = (200, body)
    told = message(world, peer)

    assert calls(world) == []
    assert world.database.value("SELECT state FROM reminder WHERE message = ?", told["message"]) == "sent"


# The file drop


def dropped(world: World) -> list[Path]:
    assert world.hospital.settings.exchange_folder is not None
    return sorted((world.hospital.settings.exchange_folder / "pacs").iterdir())


def test_a_peer_without_a_service_finds_one_whole_file_an_event_in_order(world: World) -> None:
    add(world, "PACS", "pacs", "folder", "worklist.scheduled", "worklist.removed")
    changes.cancel(world.hospital, booked(world), TESTER, reason="patient asked")
    deliver(world)
    told = [json.loads(path.read_text("utf-8")) for path in dropped(world)]

    assert [(each["sequence"], each["kind"]) for each in told] == [(1, "worklist.scheduled"), (2, "worklist.removed")]
    assert all(path.name.endswith(f"{each['event_id']}.json") for path, each in zip(dropped(world), told, strict=True))


def test_an_event_that_is_dropped_twice_is_one_file(world: World) -> None:
    add(world, "PACS", "pacs", "folder", "worklist.scheduled")
    booked(world)
    deliver(world)
    world.database.write(lambda: world.database.rows("UPDATE event SET sent_at = NULL, lease_until = 0 RETURNING id"))
    deliver(world)

    assert len(dropped(world)) == 1


def test_a_drop_that_breaks_off_leaves_no_file_that_anybody_would_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(world, "PACS", "pacs", "folder", "worklist.scheduled")
    booked(world)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(folder.os, "fsync", full)
        deliver(world)
    assert [path.name for path in dropped(world) if not path.name.startswith(".")] == []
    assert peers.overview(world.database)[0].failures == 1
    deliver(world, seconds=60)
    assert len([path for path in dropped(world) if path.suffix == ".json"]) == 1


@pytest.mark.parametrize("address", ["", "/etc", "../etc", "pacs/../../etc", "http://ris", "a//b", "pacs/", "a b", "."])
def test_no_folder_leads_out_of_the_exchange_folder(world: World, address: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        add(world, "PACS", address, "folder")
    assert raised.value.problems[0][0] == "/address"
    add(world, "PACS", "pacs", "folder")
    with pytest.raises(InvalidInput):
        peers.change(world.database, "PACS", TESTER, MORNING, address=address)


def test_without_an_exchange_folder_the_peer_waits_and_says_why(sqlite_url: str) -> None:
    world = small_hospital(sqlite_url)
    add(world, "PACS", "pacs", "folder", "appointment.booked")
    booked(world)
    deliver(world)

    assert dead_letters.listed(world.database)[0].error == "EXAMLANE_EXCHANGE_FOLDER is not set"
    world.hospital.close()


def test_a_platform_without_a_profile_is_not_told_something_else_instead(world: World, peer: Peer) -> None:
    add(world, "HIP", peer.address, "hip", "appointment.booked")
    booked(world)
    deliver(world)

    assert peer.heard == []
    assert peers.overview(world.database)[0].failures == 1


# Shown beforehand, and sent by hand


def commands(world: World, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setenv("EXAMLANE_DATABASE", world.hospital.settings.database)
    monkeypatch.setenv("EXAMLANE_EXCHANGE_FOLDER", str(world.hospital.settings.exchange_folder))
    return CliRunner().invoke(cli, list(words))


@pytest.mark.parametrize("kind", ["webhook", "messages", "folder"])
def test_a_dry_run_shows_exactly_what_is_sent_then(
    world: World, peer: Peer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    add(world, "PEER", "pacs" if kind == "folder" else peer.address, kind, "patient.message")
    booked(world)
    reminders.turn(world.hospital)
    (row,) = dead_letters.listed(world.database)
    shown = commands(world, monkeypatch, "events", "send", "--dry-run", row.event_id)
    head, _, body = shown.output.partition("\n\n")
    assert (peer.heard, dropped(world)) == ([], [])
    assert dead_letters.show(world.database, row.event_id)[0].attempts == 0

    sent = commands(world, monkeypatch, "events", "send", row.event_id)
    assert sent.output == "PEER took it\n"
    told = peer.heard[0] if peer.heard else json.loads(dropped(world)[0].read_text("utf-8"))
    assert json.loads(body) == told
    assert head.splitlines()[0] == (f"FILE {dropped(world)[0]}" if kind == "folder" else f"POST {peer.address}")


def test_an_event_behind_an_earlier_one_of_its_subject_is_not_sent_by_hand(
    world: World, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(world, "PEER", peer.address, "webhook", "appointment.booked", "appointment.cancelled")
    changes.cancel(world.hospital, booked(world), TESTER, reason="x")
    second = dead_letters.listed(world.database)[1].event_id

    assert commands(world, monkeypatch, "events", "send", second).exit_code == 1
    assert peer.heard == []


def test_an_unknown_kind_of_event_is_refused_when_a_peer_is_added(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = commands(world, monkeypatch, "peers", "add", "X", "http://x", "--event", "appointment.bokked")
    assert refused.exit_code == 2
    assert "appointment.booked" in refused.output


def test_an_adapter_that_breaks_on_one_message_holds_up_only_its_subject(world: World, peer: Peer) -> None:
    add(world, "PEER", peer.address, "webhook", "order.refund", "appointment.booked")
    now = epoch(world.clock.now())
    for key in ("POISON", "A"):
        payload = {"key": key}
        world.database.write(lambda key=key, payload=payload: events.emit(  # type: ignore[misc]
            world.database, "order", key, "order.refund", payload, now
        ))  # fmt: skip
    known = adapters(world.hospital, None, {})["webhook"]

    def send(one: Message) -> Any:
        if one.subject_key == "POISON":
            raise KeyError("a mapper that has a bug")
        return known.send(one)

    assert events.deliver_due(world.database, send, now) == 1
    assert [each["subject_key"] for each in peer.heard] == ["A"]
    assert peers.overview(world.database)[0].failures == 0


def test_a_file_that_cannot_be_written_names_its_folder(tmp_path: Path) -> None:
    entry = events.PeerEntry(1, "PACS", "folder", "nowhere", 10, ())
    told = Message(1, entry, "e", "order", "O1", 1, "order.refund", {}, 1)
    with pytest.raises(Unreachable, match="nowhere"):
        folder.Folder(tmp_path).send(told)
    assert os.listdir(tmp_path) == []
