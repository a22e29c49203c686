"""What a receiver hears of appointments over MLLP, in order, once acknowledged; and what becomes of a bad receiver."""

from __future__ import annotations

import contextlib
import socket
from datetime import timedelta
from typing import Any

import pytest

from examlane.appointments import changes, choosing
from examlane.arrival import calling, executing, noshow
from examlane.arrival.executing import ExecutionReport
from examlane.records import peers
from examlane.testing import TESTER
from examlane_api.hl7v2 import sending
from examlane_api.hl7v2.profiles import Profile

# What happens, and what is heard


def test_a_life_of_an_appointment_is_heard_in_order(site_on_each: Any) -> None:
    site = site_on_each
    hospital = site.world.hospital
    number = site.booked()
    site.move(number)
    site.world.clock.set(site.world.item("O1/1").starts_at)
    noshow.arrive(hospital, number, TESTER)
    calling.call(hospital, number, TESTER)
    executing.report(hospital, number, ExecutionReport("started"), TESTER)
    executing.report(hospital, number, ExecutionReport("finished"), TESTER)

    for _ in range(6):
        assert site.deliver() == 1
    assert site.deliver() == 0

    assert site.heard() == [
        ("S12", "Booked"), ("S13", "Booked"), ("S14", "Started"), ("S14", "Started"), ("S14", "Started"),
        ("S14", "Complete"),
    ]  # fmt: skip
    assert {site.receiver.fields(each, "SCH")[0][2] for each in range(6)} == {f"{number}^EXAMLANE"}


def test_a_cancelled_appointment_is_heard_with_the_seats_it_had(site_on_each: Any) -> None:
    number = site_on_each.booked("CT-HEAD")
    changes.cancel(site_on_each.world.hospital, number, TESTER, reason="患者改期")
    site_on_each.deliver()
    site_on_each.deliver()

    assert site_on_each.heard() == [("S12", "Booked"), ("S15", "Cancelled")]
    fields = site_on_each.receiver.fields
    assert fields(1, "AIL")[0][3] == fields(0, "AIL")[0][3] == "CT-N^CT-N-1^^N^^^^^CT机房 1机房"
    assert fields(1, "AIS")[0][3] == "CT-HEAD^头颅CT^EXAMLANE"
    assert fields(1, "SCH")[0][6] == "appointment.cancelled^患者改期^EXAMLANE"


def test_who_did_not_come_is_heard_as_s26_and_as_s13_when_he_is_given_another_time(site: Any) -> None:
    number = site.booked()
    site.world.clock.set(site.world.item("O1/1").starts_at + timedelta(hours=1))
    noshow.mark(site.world.hospital, number, TESTER)
    site.move(number)
    for _ in range(3):
        site.deliver()

    assert site.heard() == [("S12", "Booked"), ("S26", "Noshow"), ("S13", "Booked")]


def test_what_was_only_held_is_not_heard_of(site: Any) -> None:
    order = site.world.order("US-THYROID")
    site.world.pay(order)
    number = site.world.item(f"{order}/1").appointment
    changes.cancel(site.world.hospital, number, TESTER, reason="改期")
    site.deliver()
    site.deliver()
    heard = len(site.receiver.heard)
    time = choosing.times(site.world.hospital, items=[f"{order}/1"], desk=True)[0]
    held = choosing.book(site.world.hospital, [f"{order}/1"], time.group, time.starts_at, TESTER, hold=True)

    assert site.deliver() == 1
    assert len(site.receiver.heard) == heard
    changes.confirm(site.world.hospital, held.number, TESTER)
    site.deliver()
    assert site.heard()[-1] == ("S12", "Booked")


def test_other_events_say_nothing_to_an_hl7_peer(site: Any) -> None:
    peers.change(site.world.database, "RIS", TESTER, site.world.clock.now(), event_types=[])
    site.world.order("US-THYROID")
    assert site.deliver() == 1
    assert site.receiver.heard == []


def test_a_webhook_beside_it_that_is_down_keeps_nothing_from_it(site: Any) -> None:
    peers.add(site.world.database, "HIS", "http://127.0.0.1:9/events", TESTER, site.world.clock.now())
    site.booked()
    for _ in range(3):
        site.deliver()

    assert site.heard() == [("S12", "Booked")]


# Once, and again


def test_the_control_id_is_the_events_and_the_same_when_it_is_sent_again(site: Any) -> None:
    site.booked()
    site.receiver.behave = lambda connection, text: None  # takes it, and hangs up without a word
    assert site.deliver() == 0
    site.receiver.behave = None
    site.world.clock.advance(timedelta(seconds=5))
    assert site.deliver() == 1

    first, again = site.receiver.heard
    assert first == again
    event = site.world.database.value("SELECT event_id FROM event WHERE kind = 'appointment.booked'")
    assert site.receiver.fields(0, "MSH")[0][9] == event


def test_a_receiver_that_keeps_to_the_fields_length_gets_a_short_control_id(site: Any) -> None:
    site.profile = Profile(short_control_id=True)
    site.booked()
    assert site.deliver() == 1

    assert len(site.receiver.fields(0, "MSH")[0][9]) == 20


@pytest.mark.parametrize(
    ("code", "outcome"), [("AE", "declined"), ("AR", "declined"), ("CE", "declined"), ("XX", "unreachable")]
)
def test_a_refusal_is_kept_with_its_words_and_holds_up_nobody_else(site: Any, code: str, outcome: str) -> None:
    first = site.booked(patient="P1")
    site.booked(patient="P2", number="O9")
    refuse = first

    def behave(connection: socket.socket, text: str) -> None:
        site.receiver.say(connection, text, code if refuse in text else "AA", "没有这个机房")

    site.receiver.behave = behave
    assert site.deliver() == 1

    row = site.world.database.row(
        "SELECT d.outcome, d.answer, e.error FROM delivery d JOIN event e ON e.id = d.event_id WHERE e.subject_key = ?",
        first,
    )
    assert row[0] == outcome
    assert "没有这个机房" in row[1]
    assert code in row[2]


def hang_up(connection: socket.socket, _text: str) -> None:
    connection.close()


def speak_http(connection: socket.socket, _text: str) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def mumble(connection: socket.socket, _text: str) -> None:
    connection.sendall(b"\x0bgarbage\x1c\r")


def flood(connection: socket.socket, _text: str) -> None:
    connection.sendall(b"\x0b" + b"x" * 200_000)


def answer_another(connection: socket.socket, _text: str) -> None:
    connection.sendall(b"\x0bMSH|^~\\&|RIS||||2026||ACK|9|P|2.5.1\rMSA|AA|somebody-else\r\x1c\r")


def say_nothing_in_many_words(connection: socket.socket, _text: str) -> None:
    connection.sendall(b"\x0bMSH|^~\\&|RIS||||2026||ACK|9|P|2.5.1\r\x1c\r")


@pytest.mark.parametrize(
    "behave", [hang_up, speak_http, mumble, flood, answer_another, say_nothing_in_many_words], ids=lambda each: each.__name__
)
def test_a_receiver_that_speaks_nonsense_gets_it_again_until_it_is_dead(site: Any, behave: Any) -> None:
    site.booked()
    site.receiver.behave = behave

    assert site.deliver() == 0
    outcome, error = site.outcome()
    assert outcome == "unreachable"
    assert error.startswith("RIS: ")
    assert site.world.item("O1/1").appointment_state == "booked"


def test_a_receiver_that_is_down_stops_no_booking(site: Any) -> None:
    peers.change(site.world.database, "RIS", TESTER, site.world.clock.now(), address="mllp://127.0.0.1:1")
    site.booked()

    assert site.deliver() == 0
    assert site.outcome()[0] == "unreachable"
    assert site.world.item("O1/1").appointment_state == "booked"


def test_a_receiver_that_is_slow_is_not_waited_for_longer_than_it_may_take(site: Any, receiver: Any) -> None:
    peers.change(site.world.database, "RIS", TESTER, site.world.clock.now(), timeout_seconds=1)
    site.booked()

    def drip(connection: socket.socket, _text: str) -> None:
        """A byte at a time, until the other side has gone: each wait is short, and the whole never comes."""
        connection.settimeout(0.1)
        with contextlib.suppress(OSError):
            connection.sendall(b"\x0b")
            while True:
                try:
                    connection.recv(1)
                    return
                except TimeoutError:
                    connection.sendall(b"M")

    receiver.behave = drip
    assert site.deliver() == 0
    outcome, error = site.outcome()
    assert (outcome, "TimeoutError" in error) == ("unreachable", True)


def test_a_hospital_without_the_extra_says_so_and_keeps_what_is_owed(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "installed", lambda: False)
    site.booked()

    assert site.deliver() == 0
    assert "examlane[hl7]" in site.outcome()[1]
    monkeypatch.undo()
    site.world.clock.advance(timedelta(seconds=5))
    assert site.deliver() == 1


def test_five_failures_in_a_row_pause_the_peer(site: Any) -> None:
    peers.change(site.world.database, "RIS", TESTER, site.world.clock.now(), address="mllp://127.0.0.1:1")
    for each in range(6):
        site.booked(patient=f"P{each}")
    site.deliver()

    (row,) = peers.overview(site.world.database)
    assert row.paused_until is not None
    assert row.failures == 5
