"""Whom no message reached stands on the call list until somebody reached him, or the desk has it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane.appointments import changes, choosing
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.insight import invariants
from examlane.records import events
from examlane.records.receipts import request_key
from examlane.reminders import call_list, reminders
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import MORNING, TESTER, World, small_hospital
from examlane.waiting import backfill, offers, waitlist
from examlane.waiting.waitlist import EntryData


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    found = small_hospital(database_url, planning_window=timedelta())
    database = found.database
    database.write(
        lambda: database.insert(Peer, code="GATEWAY", event_types='["patient.message"]', created_at=epoch(MORNING) - 1)
    )
    yield found
    assert invariants.check(database, clock=found.clock) == []
    found.hospital.close()


def told(world: World, phone: str = "13800001234", patient: str = "P1") -> str:
    """A booking whose message went out; its number."""
    order = world.order("US-THYROID", patient=patient, settle=False)
    world.database.write(lambda: world.database.rows(
        "UPDATE patient SET phone = ? WHERE id = (SELECT patient_id FROM exam_order WHERE number = ?) RETURNING id",
        phone, order,
    ))  # fmt: skip
    world.pay(order)
    reminders.turn(world.hospital)
    return str(world.item(f"{order}/1").appointment)


def message(world: World) -> str:
    return str(world.database.value("SELECT message FROM reminder WHERE message <> '' ORDER BY id DESC LIMIT 1"))


def calls(world: World) -> list[call_list.Call]:
    return call_list.calls(world.database, ["US"], world.clock.now(), 0, 50)


def failed(world: World) -> call_list.Call:
    told(world)
    call_list.report(world.hospital, message(world), "failed", TESTER)
    return calls(world)[0]


def tasks(world: World) -> list[Any]:
    return [code for (code,) in world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL")]


def test_a_delivered_message_needs_no_call(world: World) -> None:
    told(world)
    call_list.report(world.hospital, message(world), "delivered", TESTER)

    assert world.database.value("SELECT state FROM reminder WHERE kind = 'booked'") == "delivered"
    assert calls(world) == []


@pytest.mark.parametrize("state", ["failed", "no_phone"])
def test_a_failed_message_opens_one_call(world: World, state: str) -> None:
    number = told(world)
    call_list.report(world.hospital, message(world), state, TESTER)
    call_list.report(world.hospital, message(world), state, TESTER)

    (call,) = calls(world)
    assert (call.appointment, call.reason, call.masked) == (number, state, ("患*1", "138****1234"))
    assert number in call.words.zh


def test_a_patient_without_a_telephone_is_on_the_list_at_once(world: World) -> None:
    number = told(world, phone="")

    assert [(call.appointment, call.reason) for call in calls(world)] == [(number, "no_phone")]


def test_a_message_that_the_gateway_never_took_becomes_a_call(world: World) -> None:
    told(world)

    def down(message: events.Message) -> None:
        raise OSError("down")

    for _ in range(12):
        world.clock.advance(timedelta(minutes=1))
        events.deliver_due(world.database, down, epoch(world.clock.now()))
    reminders.turn(world.hospital)

    assert [call.reason for call in calls(world)] == ["unreachable"]


def test_who_was_reached_is_off_the_list(world: World) -> None:
    call = failed(world)
    closed = call_list.result(world.hospital, call.id, "reached", TESTER)

    assert (closed.closed, closed.result) == (True, "reached")
    assert calls(world) == []
    assert tasks(world) == []
    with pytest.raises(Conflict):
        call_list.result(world.hospital, call.id, "reached", TESTER)


def test_who_was_not_reached_is_called_again_later_and_after_three_times_the_desk_has_it(world: World) -> None:
    told(world)
    world.clock.set(MORNING - timedelta(hours=6))
    call_list.report(world.hospital, message(world), "failed", TESTER)
    (call,) = calls(world)
    for turn in range(3):
        assert [each.id for each in calls(world)] == [call.id]
        call_list.result(world.hospital, call.id, "not_reached", TESTER)
        assert calls(world) == []
        assert tasks(world) == (["patient_unreachable"] if turn == 2 else [])
        world.clock.advance(timedelta(hours=1))
    assert call_list.call_of(world.database, call.id).closed


def test_the_next_try_may_be_said_and_must_lie_ahead(world: World) -> None:
    call = failed(world)
    with pytest.raises(InvalidInput):
        call_list.result(world.hospital, call.id, "not_reached", TESTER, next_try_at=world.clock.now())
    call_list.result(world.hospital, call.id, "not_reached", TESTER, next_try_at=world.clock.now() + timedelta(minutes=7))
    world.clock.advance(timedelta(minutes=7))

    assert [(each.id, each.misses) for each in calls(world)] == [(call.id, 1)]


def test_a_wrong_number_goes_to_the_desk_at_once(world: World) -> None:
    call_list.result(world.hospital, failed(world).id, "wrong_number", TESTER)

    assert tasks(world) == ["patient_unreachable"]


def test_a_changed_appointment_needs_no_call_of_its_older_version(world: World) -> None:
    number = told(world)
    call_list.report(world.hospital, message(world), "failed", TESTER)
    changes.cancel(world.hospital, number, TESTER, reason="不做了")
    reminders.turn(world.hospital)

    assert world.database.rows("SELECT result FROM call_entry") == [("superseded",)]


def test_an_old_failure_of_a_changed_appointment_opens_no_call(world: World) -> None:
    number = told(world)
    first = message(world)
    changes.cancel(world.hospital, number, TESTER, reason="不做了")
    reminders.turn(world.hospital)
    call_list.report(world.hospital, first, "failed", TESTER)

    assert calls(world) == []


def test_the_same_report_and_result_twice_change_nothing(world: World) -> None:
    told(world)
    key = request_key("gateway", "k1", "message.report", {})
    call_list.report(world.hospital, message(world), "failed", TESTER, key)
    with pytest.raises(Conflict):
        call_list.report(world.hospital, message(world), "failed", TESTER, key)
    (call,) = calls(world)
    key = request_key("desk", "k2", "call.result", {})
    call_list.result(world.hospital, call.id, "not_reached", TESTER, key)
    with pytest.raises(Conflict):
        call_list.result(world.hospital, call.id, "not_reached", TESTER, key)

    assert call_list.call_of(world.database, call.id).misses == 1


def test_who_looks_at_the_whole_number_is_kept(world: World) -> None:
    call = failed(world)
    assert call_list.shown(world.hospital, call.id, TESTER).phone == "13800001234"

    assert world.database.row("SELECT actor, subject_key FROM audit WHERE action = 'call.view'") == (
        "tester", str(call.id),
    )  # fmt: skip


def test_unknown_messages_and_calls_are_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        call_list.report(world.hospital, "nobody", "failed", TESTER)
    with pytest.raises(NotFound):
        call_list.result(world.hospital, 7, "reached", TESTER)


def test_an_offer_that_did_not_reach_its_patient_goes_to_the_next(world: World) -> None:
    world.clock.set(MORNING - timedelta(hours=3))
    early = told(world, patient="P0")
    number = told(world, patient="P1")
    last = choosing.times(world.hospital, appointment=number)[-1]
    choosing.reschedule(world.hospital, number, last.group, last.starts_at, TESTER)
    data = EntryData(MORNING.date(), MORNING.date() + timedelta(days=9), appointment=number, notice_minutes=30)
    entry = waitlist.join(world.hospital, data, TESTER)
    changes.cancel(world.hospital, early, TESTER, reason="不做了")
    backfill.turn(world.hospital)
    (offer,) = offers.of_entry(world.database, entry.id)
    sent = world.database.value("SELECT message FROM offer WHERE id = ?", offer.id)
    call_list.report(world.hospital, sent, "no_phone", TESTER)
    backfill.turn(world.hospital)

    assert offers.find(world.database, offer.id).state == "expired"
    assert world.database.value("SELECT state FROM freed_time") == "returned"
