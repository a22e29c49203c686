"""Patients are told of every change, the evening before, and before their last meal; never of what is no longer so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examlane import worker
from examlane.appointments import changes, choosing
from examlane.capacity.calendar import Calendar
from examlane.capacity.policy import DepartmentPolicy
from examlane.domain import EncounterClass
from examlane.insight import invariants
from examlane.records import events
from examlane.reminders import reminders, times
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import DATA, MORNING, TESTER, World, small_hospital

ITEMS = [
    *DATA["items"],
    {"code": "US-ABDOMEN", "name": "腹部彩超", "name_en": "abdomen", "modality": "US", "department": "US",
     "attributes": '{"fasting_hours": 8}'},
]  # fmt: skip
SERVICES = [*DATA["services"], {"item": "US-ABDOMEN", "group": "US-N", "minutes": 10}]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    found = small_hospital(database_url, data={"items": ITEMS, "services": SERVICES}, planning_window=timedelta())
    database = found.database
    for code, kinds in (("GATEWAY", '["patient.message"]'), ("ALL", "[]")):
        database.write(lambda code=code, kinds=kinds: database.insert(  # type: ignore[misc]
            Peer, code=code, event_types=kinds, created_at=epoch(MORNING) - 1
        ))  # fmt: skip
    yield found
    assert invariants.check(database, clock=found.clock) == []
    found.hospital.close()


def booked(world: World, patient: str = "P1", *items: str, phone: str = "13800001234", **more: Any) -> str:
    order = world.order(*(items or ("US-THYROID",)), patient=patient, settle=False, **more)
    with_phone = "UPDATE patient SET phone = ? WHERE id = (SELECT patient_id FROM exam_order WHERE number = ?) RETURNING id"
    world.database.write(lambda: world.database.rows(with_phone, phone, order))
    world.pay(order)
    return str(world.item(f"{order}/1").appointment)


def messages(world: World) -> list[dict[str, Any]]:
    rows = world.database.rows("SELECT payload FROM event WHERE kind = 'patient.message' ORDER BY id")
    return [json.loads(payload) for (payload,) in rows]


def kinds(world: World) -> list[tuple[str, int, str]]:
    rows = world.database.rows("SELECT kind, version, state FROM reminder ORDER BY id")
    return [(kind, version, state) for kind, version, state in rows]


def local(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=ZoneInfo("Asia/Shanghai")).astimezone(UTC)


def at_tomorrow(world: World, number: str, hour: int = 8) -> None:
    choosing.reschedule(world.hospital, number, "US-N", local(24, hour), TESTER)


def test_a_booking_is_told_with_period_place_and_number_and_only_to_the_gateway(world: World) -> None:
    number = booked(world)
    reminders.turn(world.hospital)

    (sent,) = messages(world)
    assert sent["recipient"] == {"kind": "card", "value": "P1"}
    assert sent["phone"] == "13800001234"
    assert "11月23日08:30–09:00，甲状腺彩超，北院区超声室" in sent["text"]["zh"]
    assert f"Number {number}" in sent["text"]["en"]
    assert "2026-11-23 08:30–09:00" in sent["text"]["en"]
    assert world.database.value("SELECT count(*) FROM event WHERE payload LIKE '%13800001234%'") == 1
    assert world.database.value("SELECT count(*) FROM audit WHERE detail LIKE '%13800001234%'") == 0


def test_fasting_is_told_with_its_clock_time(world: World) -> None:
    number = booked(world, "P1", "US-ABDOMEN")
    reminders.turn(world.hospital)
    assert "明天00:00起不要进食" in messages(world)[0]["text"]["zh"]
    at_tomorrow(world, number, 9)
    reminders.turn(world.hospital)

    assert "nothing to eat from 01:00 tomorrow on" in messages(world)[1]["text"]["en"]
    world.clock.set(local(23, 18))
    reminders.turn(world.hospital)
    assert "明天01:00起不要进食" in messages(world)[2]["text"]["zh"]


def test_every_change_is_told_and_the_older_evening_message_is_not_sent(world: World) -> None:
    number = booked(world)
    at_tomorrow(world, number)
    reminders.turn(world.hospital)
    choosing.reschedule(world.hospital, number, "US-N", local(25, 9), TESTER)
    reminders.turn(world.hospital)
    changes.cancel(world.hospital, number, TESTER, reason="不做了")
    reminders.turn(world.hospital)

    assert kinds(world) == [
        ("moved", 2, "sent"), ("evening", 2, "superseded"), ("moved", 3, "sent"), ("evening", 3, "superseded"),
        ("cancelled", 4, "sent"),
    ]  # fmt: skip
    world.clock.set(local(24, 18))
    reminders.turn(world.hospital)
    assert len(messages(world)) == 3


def test_a_change_that_the_worker_has_not_seen_yet_stops_the_older_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = booked(world)
    at_tomorrow(world, number)
    reminders.turn(world.hospital)
    before = len(messages(world))
    world.clock.set(local(23, 18))
    choosing.reschedule(world.hospital, number, "US-N", local(25, 9), TESTER)
    monkeypatch.setattr(reminders, "make", lambda hospital: 0)
    reminders.turn(world.hospital)

    assert len(messages(world)) == before
    assert ("evening", 2, "superseded") in kinds(world)


def test_another_place_at_the_same_time_is_told_as_such(world: World) -> None:
    number = booked(world)
    reminders.turn(world.hospital)
    choosing.reschedule(world.hospital, number, "US-S", local(23, 8, 30), TESTER)
    reminders.turn(world.hospital)

    assert [kind for kind, *_ in kinds(world)] == ["booked", "place"]
    assert "南院区" in messages(world)[1]["text"]["zh"]


def test_the_evening_before_everything_of_the_day_is_told_in_one_message(world: World) -> None:
    first, second = booked(world, "P1"), booked(world, "P1", "CT-HEAD")
    at_tomorrow(world, first)
    choosing.reschedule(world.hospital, second, "CT-N", local(24, 10), TESTER)
    reminders.turn(world.hospital)
    before = len(messages(world))
    world.clock.set(local(23, 18))
    reminders.turn(world.hospital)

    (evening,) = messages(world)[before:]
    assert first in evening["text"]["zh"]
    assert second in evening["text"]["zh"]
    reminders.turn(world.hospital)
    assert len(messages(world)) == before + 1


def test_who_is_booked_after_the_evening_hour_gets_no_second_message(world: World) -> None:
    world.clock.set(local(23, 19))
    booked(world)
    reminders.turn(world.hospital)

    assert [kind for kind, *_ in kinds(world)] == ["booked"]


def test_at_night_what_can_wait_waits_for_the_morning(world: World) -> None:
    world.clock.set(local(23, 23))
    number = booked(world)
    choosing.reschedule(world.hospital, number, "US-N", local(26, 9), TESTER)
    reminders.turn(world.hospital)
    assert messages(world) == []
    world.clock.set(local(24, 7))
    reminders.turn(world.hospital)

    assert len(messages(world)) == 1


def test_at_night_a_fast_that_begins_before_the_morning_is_told_at_once(world: World) -> None:
    world.clock.set(local(23, 21, 30))
    number = booked(world, "P1", "US-ABDOMEN")
    reminders.turn(world.hospital)

    assert messages(world)[0]["text"]["zh"].count("起不要进食") == 1
    assert number in messages(world)[0]["text"]["zh"]


@pytest.mark.parametrize("then", ["check_in", "cancel", "die"])
def test_nothing_is_sent_to_who_is_here_or_cancelled_or_dead(world: World, then: str) -> None:
    number = booked(world)
    at_tomorrow(world, number)
    reminders.turn(world.hospital)
    before = len(messages(world))
    if then == "check_in":
        changes.check_in(world.hospital, number, TESTER)
    elif then == "cancel":
        changes.cancel(world.hospital, number, TESTER, reason="不做了")
        before += 1
    else:
        world.database.write(lambda: world.database.rows("UPDATE encounter SET state = 'dead' RETURNING id"))
    world.clock.set(local(23, 18))
    reminders.turn(world.hospital)

    assert len(messages(world)) == before


def test_who_never_heard_of_a_booking_is_not_told_that_it_is_cancelled(world: World) -> None:
    changes.cancel(world.hospital, booked(world), TESTER, reason="误开")
    reminders.turn(world.hospital)

    assert messages(world) == []


def test_a_patient_on_a_ward_is_told_by_his_ward_and_needs_no_telephone(world: World) -> None:
    order = world.order("US-THYROID", patient="P1", encounter_class=EncounterClass.INPATIENT)
    assert world.item(f"{order}/1").appointment
    reminders.turn(world.hospital)

    assert [sent["channel"] for sent in messages(world)] == ["ward"]


def test_without_a_gateway_nothing_is_sent_and_nobody_is_called(world: World) -> None:
    world.database.write(lambda: world.database.rows("UPDATE peer SET enabled = 0 RETURNING id"))
    booked(world)
    reminders.turn(world.hospital)

    assert world.database.rows("SELECT DISTINCT state, reason FROM reminder WHERE kind = 'booked'") == [
        ("failed", "no_gateway")
    ]
    assert world.database.value("SELECT count(*) FROM call_entry") == 0


def test_the_worker_tells_and_each_version_once_however_many_workers_there_are(world: World) -> None:
    booked(world)
    heard: list[str] = []

    def send(message: events.Message) -> None:
        heard.append(message.kind)

    for _ in range(3):
        worker.turn(world.hospital, send)

    assert heard.count("patient.message") == 1
    assert world.database.value("SELECT count(*) FROM appointment_version WHERE told = 0") == 0


def test_a_message_that_comes_too_late_for_the_last_meal_becomes_a_call(world: World) -> None:
    number = booked(world, "P1", "US-ABDOMEN")
    choosing.reschedule(world.hospital, number, "US-N", local(25, 8), TESTER)
    reminders.turn(world.hospital)
    world.clock.set(local(25, 0, 30))
    reminders.turn(world.hospital)

    assert world.database.row("SELECT state, reason FROM reminder WHERE kind = 'evening' AND version = 2") == (
        "failed", "too_late",
    )  # fmt: skip
    assert world.database.rows("SELECT reason FROM call_entry") == [("too_late",)]


CALENDAR = Calendar(ZoneInfo("Asia/Shanghai"))
DAYS = date(2026, 11, 23)


@given(
    hours=st.integers(0, 24), lead=st.integers(0, 3000), starts=st.integers(0, 7 * 48), booked_before=st.integers(1, 20000),
    evening_hour=st.integers(12, 22), quiet_from=st.integers(18, 24), quiet_until=st.integers(0, 12),
)  # fmt: skip
def test_the_evening_message_never_comes_after_the_last_meal_nor_at_night(
    hours: int, lead: int, starts: int, booked_before: int, evening_hour: int, quiet_from: int, quiet_until: int
) -> None:
    policy = DepartmentPolicy(evening_reminder_hour=evening_hour, quiet_from_hour=quiet_from, quiet_until_hour=quiet_until)
    period = CALENDAR.instant(DAYS, starts * 30)
    steps = [{"fasting_hours": hours, "lead_minutes": lead, "text": {"zh": "", "en": ""}}]
    told_at = period - timedelta(minutes=booked_before)
    found = times.evening(CALENDAR, policy, period, steps, told_at)
    last_meal = period - timedelta(hours=hours)

    if found is None:
        return
    assert told_at < found.due_at <= last_meal
    assert found.due_at < period
    hour = CALENDAR.local(found.due_at).hour
    assert quiet_until <= hour < quiet_from
    assert found.due_at <= CALENDAR.instant(CALENDAR.day_of(period) - timedelta(days=1), evening_hour * 60)


@given(hours=st.integers(0, 16), starts=st.integers(14, 7 * 48), evening_hour=st.integers(12, 20))
def test_who_was_told_days_before_is_always_reminded(hours: int, starts: int, evening_hour: int) -> None:
    period = CALENDAR.instant(DAYS, starts * 30)
    steps = [{"fasting_hours": hours, "lead_minutes": hours * 60, "text": {"zh": "", "en": ""}}]
    policy = DepartmentPolicy(evening_reminder_hour=evening_hour)

    assert times.evening(CALENDAR, policy, period, steps, period - timedelta(days=4)) is not None


@given(hours=st.integers(0, 12), ahead=st.integers(30, 6000), now=st.integers(0, 96))
def test_a_message_that_waits_for_the_morning_still_comes_before_the_preparation(hours: int, ahead: int, now: int) -> None:
    at = CALENDAR.instant(DAYS, now * 30)
    needed = at + timedelta(minutes=ahead) - timedelta(hours=hours)
    due = times.when_it_can_wait(CALENDAR, DepartmentPolicy(), at, needed)

    assert due == at or due < needed
