"""Events on their way: in order for one subject, again after a failure, paused for a peer that is down, archived."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.insight import invariants
from examlane.records import dead_letters, events, peers
from examlane.records.events import Declined, Message, Sent, Unreachable
from examlane.storage.fields import epoch
from examlane.testing import MORNING, TESTER, World, small_hospital
from examlane.worker import turn


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url)
    for code in ("HIS", "RIS"):
        peers.add(world.database, code, f"http://{code.lower()}/events", TESTER, MORNING - timedelta(minutes=1))
    yield world
    world.hospital.close()


class Listening:
    """Peers that take what they are sent, unless told otherwise."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, int]] = []
        self.fails: dict[str, Exception] = {}
        self.asked = 0

    def __call__(self, message: Message) -> Sent:
        self.asked += 1
        if message.peer in self.fails:
            raise self.fails[message.peer]
        self.heard.append((message.peer, message.subject_key, message.sequence))
        return Sent("asked", "taken")

    def of(self, peer: str, key: str) -> list[int]:
        return [sequence for code, subject, sequence in self.heard if (code, subject) == (peer, key)]


def say(world: World, key: str, times: int = 1) -> None:
    now = epoch(world.clock.now())
    for _ in range(times):
        world.database.write(lambda: events.emit(world.database, "resource_day", key, "roster.changed", {"key": key}, now))


def deliver(world: World, send: Any, *, seconds: int = 0) -> None:
    world.clock.advance(timedelta(seconds=seconds))
    while events.deliver_due(world.database, send, epoch(world.clock.now())):
        continue


def peer(world: World, code: str) -> peers.PeerRow:
    return next(row for row in peers.overview(world.database) if row.code == code)


def test_each_peer_hears_each_event_once_and_in_order(world: World) -> None:
    listening = Listening()
    say(world, "A", 3)
    say(world, "B", 2)
    deliver(world, listening)

    assert [listening.of(code, "A") for code in ("HIS", "RIS")] == [[1, 2, 3]] * 2
    assert listening.of("HIS", "B") == [1, 2]


def test_a_message_that_is_refused_holds_up_only_its_own_subject(world: World) -> None:
    listening = Listening()

    def send(message: Message) -> Sent:
        if message.subject_key == "POISON":
            raise Declined("400", Sent("bad", "400 no"))
        return listening(message)

    say(world, "POISON", 2)
    say(world, "A", 2)
    for _ in range(12):
        deliver(world, send, seconds=600)

    assert listening.of("HIS", "A") == [1, 2]
    assert peer(world, "HIS").dead == 1
    assert peer(world, "HIS").waiting == 1
    assert peer(world, "HIS").failures == 0
    assert listening.of("HIS", "POISON") == []


def test_a_peer_that_is_down_is_left_alone_for_a_while_and_the_other_one_is_not(world: World) -> None:
    listening = Listening()
    listening.fails = {"RIS": Unreachable("down")}
    for number in range(9):
        say(world, f"S{number}")
    deliver(world, listening)
    asked_of_ris = listening.asked - len(listening.heard)
    assert asked_of_ris == events.BREAKER_FAILURES
    assert len(listening.heard) == 9
    assert peer(world, "RIS").paused_until is not None
    deliver(world, listening, seconds=events.BREAKER_SECONDS - 1)
    assert listening.asked - len(listening.heard) == asked_of_ris
    deliver(world, listening, seconds=2)
    assert listening.asked - len(listening.heard) == asked_of_ris + 1

    listening.fails = {}
    for _ in range(20):
        deliver(world, listening, seconds=60)
    assert sorted(key for code, key, _ in listening.heard if code == "RIS") == [f"S{number}" for number in range(9)]
    assert peer(world, "RIS").failures == 0
    assert invariants.check(world.database, clock=world.clock) == []


def dead(world: World) -> str:
    listening = Listening()
    listening.fails = {"HIS": Declined("400")}
    say(world, "A", 2)
    for _ in range(10):
        deliver(world, listening, seconds=600)
    (row,) = dead_letters.listed(world.database, state="dead")
    return row.event_id


def test_a_dead_letter_sent_again_lets_the_later_ones_follow(world: World) -> None:
    event = dead(world)
    assert dead_letters.show(world.database, event)[2] == 1
    dead_letters.replay(world.database, event, TESTER, world.clock.now())
    listening = Listening()
    deliver(world, listening)

    assert listening.of("HIS", "A") == [1, 2]


def test_a_dead_letter_given_up_lets_the_later_ones_follow_and_is_named_in_the_audit(world: World) -> None:
    event = dead(world)
    dead_letters.discard(world.database, event, TESTER, world.clock.now(), "已电话告知")
    listening = Listening()
    deliver(world, listening)

    assert listening.of("HIS", "A") == [2]
    assert dead_letters.show(world.database, event)[0].state == "discarded"
    assert invariants.check(world.database, clock=world.clock) == []
    rows = world.database.rows("SELECT actor, detail FROM audit WHERE action = 'event.discard'")
    assert rows == [(TESTER.name, '{"reason":"已电话告知"}')]


def test_only_dead_letters_are_settled_and_only_once(world: World) -> None:
    event = dead(world)
    waiting = dead_letters.listed(world.database, state="waiting", peer="HIS")[0].event_id
    with pytest.raises(Conflict):
        dead_letters.replay(world.database, waiting, TESTER, world.clock.now())
    with pytest.raises(NotFound):
        dead_letters.discard(world.database, "none", TESTER, world.clock.now(), "x")
    dead_letters.discard(world.database, event, TESTER, world.clock.now(), "x")
    with pytest.raises(Conflict):
        dead_letters.discard(world.database, event, TESTER, world.clock.now(), "x")


def test_every_attempt_is_archived_with_both_directions_and_forgotten_after_its_time(world: World) -> None:
    say(world, "A")
    failing, fails = Listening(), {"HIS": Unreachable("503", Sent("asked", "503 busy"))}
    failing.fails = fails  # type: ignore[assignment]
    deliver(world, failing)
    deliver(world, Listening(), seconds=10)
    (row,) = dead_letters.listed(world.database, state="sent", peer="HIS")
    attempts = dead_letters.show(world.database, row.event_id)[1]

    assert [(each.outcome, each.answer) for each in attempts] == [("unreachable", "503 busy"), ("taken", "taken")]
    world.clock.advance(timedelta(days=31))
    turn(world.hospital, Listening())
    assert dead_letters.show(world.database, row.event_id)[1] == []


def test_a_peer_switched_off_hears_nothing_and_is_owed_what_happens_once_it_is_on_again(world: World) -> None:
    peers.change(world.database, "RIS", TESTER, world.clock.now(), enabled=False)
    booked = world.order("US-THYROID")
    world.pay(booked)
    world.clock.advance(timedelta(minutes=1))
    peers.change(world.database, "RIS", TESTER, world.clock.now(), enabled=True)
    assert invariants.check(world.database, clock=world.clock) == []
    world.clock.advance(timedelta(minutes=1))
    world.pay(world.order("US-HEART", patient="P2"))
    listening = Listening()
    deliver(world, listening)

    assert len([key for code, key, _ in listening.heard if code == "RIS"]) < len(listening.heard) / 2
    assert invariants.check(world.database, clock=world.clock) == []


def test_kinds_are_switched_one_by_one(world: World) -> None:
    peers.change(world.database, "RIS", TESTER, world.clock.now(), event_types=["appointment.booked"])
    say(world, "A")
    assert [row.peer for row in dead_letters.listed(world.database)] == ["HIS"]
    peers.change(world.database, "RIS", TESTER, world.clock.now(), event_types=[])
    say(world, "B")
    assert {row.peer for row in dead_letters.listed(world.database, subject_key="B")} == {"HIS", "RIS"}


@pytest.mark.parametrize(
    "address", ["", "ftp://ris", "http://", "ris/events", "javascript:alert(1)", "http://[", "http://ris:x"]
)
def test_a_bad_address_is_named_and_nothing_changes(world: World, address: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        peers.change(world.database, "RIS", TESTER, world.clock.now(), address=address)
    assert raised.value.problems[0][0] == "/address"
    assert peer(world, "RIS").address == "http://ris/events"


def test_an_unknown_peer_and_a_code_that_is_taken_are_refused(world: World) -> None:
    with pytest.raises(NotFound):
        peers.change(world.database, "LIS", TESTER, world.clock.now(), enabled=True)
    with pytest.raises(NotFound):
        peers.add_key(world.database, "LIS", "sealed", TESTER, world.clock.now())
    with pytest.raises(Conflict):
        peers.add(world.database, "RIS", "http://ris", TESTER, world.clock.now())
