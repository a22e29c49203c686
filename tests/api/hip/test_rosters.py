"""Rosters told by themselves: new days as SourceAndScheduleInfoAdd, what changes as Update, to whom wants to hear it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from examlane import worker
from examlane.records import events, peers
from examlane.records.events import Send
from examlane.replanning import closing, suspensions
from examlane.replanning.closing import Asked
from examlane.storage.fields import epoch
from examlane.testing.hospital import TESTER
from examlane_api.hip.outbound.sending import platform_send
from tests.api.hip.platforms import FakePlatform

SCHEDULES = ["schedule.changed", "schedule.published"]
NUMBERS = "SELECT count(*) FROM event WHERE kind = ?"


@pytest.fixture
def told(hip: Any, fake: FakePlatform, schemas: Path) -> Any:
    """The hospital with a platform that hears of rosters; what is sent must be valid."""
    peers.add(hip.world.database, "example", fake.address, TESTER, hip.now, event_types=SCHEDULES)
    outbound = replace(hip.profile.outbound, address=fake.address, connect_seconds=2.0, answer_seconds=2.0)
    hip.profile = replace(hip.profile, outbound=outbound, schemas=str(schemas))
    return hip


def sender(hip: Any) -> AbstractContextManager[Send]:
    return platform_send(hip.world.hospital, {"example": hip.profile}, _nobody)


def _nobody(message: Any) -> None:
    raise AssertionError(f"{message.peer} is a platform")


def deliver(hip: Any) -> None:
    with sender(hip) as send:
        while events.deliver_due(hip.world.database, send, epoch(hip.now)):
            continue


def suspend(hip: Any, hours: int) -> str:
    """A room is down from now on for some hours."""
    asked = Asked("device_down", "球管故障", "US-N-1", since=hip.now, until=hip.now + timedelta(hours=hours))
    return str(suspensions.apply(hip.world.hospital, closing.plan(hip.world.hospital, asked), TESTER).number)


def days(text: str) -> dict[str, tuple[str, list[str]]]:
    """The rosters of a document: for each resource day its state, and the free seats of each period."""
    found = {}
    for slot in etree.fromstring(text).iter("{*}resourceSlot"):
        number = slot.find("{*}id/{*}item").get("extension")  # type: ignore[union-attr]
        free = [each.get("value", "0") for each in slot.iterfind("{*}timeFrame/{*}remainNumber")]
        found[number] = (slot.findtext("{*}statusCode") or "", free)
    return found


def test_each_new_day_is_told_once_a_department(told: Any, fake: FakePlatform) -> None:
    hip = told
    known = hip.world.database.value("SELECT count(DISTINCT day) FROM slot")
    hip.world.clock.advance(timedelta(days=3))
    assert worker.publish(hip.world.hospital) > 0
    published = hip.world.database.rows("SELECT subject, subject_key FROM event WHERE kind = 'schedule.published'")
    assert len(published) == len(set(published))
    new = hip.world.database.rows("SELECT DISTINCT day FROM slot ORDER BY day")[known:]
    assert {key.partition("/")[2] for _, key in published} == {day for (day,) in new}
    deliver(hip)
    assert {action for action, _ in fake.got} == {"SourceAndScheduleInfoAdd"}
    assert len(fake.got) == len(published)
    assert worker.publish(hip.world.hospital) == 0
    assert hip.world.database.value(NUMBERS, "schedule.published") == len(published)


def test_a_suspension_and_its_end_are_told_as_they_stand(told: Any, fake: FakePlatform) -> None:
    hip = told
    number = suspend(hip, 12)
    deliver(hip)
    [(action, text)] = fake.got
    assert action == "SourceAndScheduleInfoUpdate"
    state, free = days(text)["US-N-1:20261123"]
    assert (state, set(free)) == ("inactive", {"0"})
    assert days(text)["US-N-2:20261123"][0] == ""
    suspensions.end(hip.world.hospital, number, TESTER)
    deliver(hip)
    state, free = days(fake.got[-1][1])["US-N-1:20261123"]
    assert (state, "0" in free) == ("", False)


def test_a_day_that_is_shut_in_part_shows_the_rest(told: Any, fake: FakePlatform) -> None:
    hip = told
    suspend(hip, 1)
    deliver(hip)
    state, free = days(fake.got[0][1])["US-N-1:20261123"]
    assert state == ""
    assert free[:2] == ["0", "0"]
    assert "0" not in free[2:]


def test_a_roster_is_sent_again_under_its_number_until_it_changes(told: Any, fake: FakePlatform) -> None:
    hip = told
    suspend(hip, 1)
    fake.raw = (503, b"")
    deliver(hip)
    fake.raw = None
    hip.world.clock.advance(timedelta(hours=1))
    with sender(hip) as send:
        events.deliver_due(hip.world.database, lambda message: _twice(send, message), epoch(hip.now))
    first, second = (etree.fromstring(text)[0].get("extension") for _, text in fake.got)
    assert first == second


def _twice(send: Send, message: events.Message) -> Any:
    send(message)
    return send(message)


def test_who_does_not_want_rosters_hears_none(hip: Any, fake: FakePlatform) -> None:
    peers.add(hip.world.database, "example", fake.address, TESTER, hip.now, event_types=["appointment.booked"])
    hip.world.clock.advance(timedelta(days=1))
    worker.publish(hip.world.hospital)
    suspend(hip, 1)
    assert hip.world.database.value("SELECT count(*) FROM event") == 0


def test_a_suspension_that_fails_tells_nothing(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hip = told
    monkeypatch.setattr(suspensions, "_tell", lambda *rest, **more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        suspend(hip, 1)
    assert hip.world.database.value(NUMBERS, "schedule.changed") == 0
