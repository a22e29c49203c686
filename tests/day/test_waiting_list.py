"""The waiting list: who agreed gets freed times by urgency and date of order, the first to accept has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examlane.appointments import changes, choosing
from examlane.capacity import policy
from examlane.clock import SetClock
from examlane.domain import Priority
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.hospital import open_hospital
from examlane.insight import invariants
from examlane.records.receipts import request_key
from examlane.settings import Settings
from examlane.storage.fields import epoch
from examlane.testing import DATA, MORNING, TESTER, World, small_hospital
from examlane.waiting import backfill, offers, waitlist
from examlane.waiting.waitlist import EntryData

FIRST, LAST = date(2026, 11, 23), date(2026, 12, 5)
FASTING = {"code": "US-FASTING", "name": "腹部彩超", "modality": "US", "department": "US",
           "attributes": '{"fasting_hours": 40}'}  # fmt: skip
TWO_SEATS = {"items": [*DATA["items"], FASTING],
             "services": [*DATA["services"], {"item": "US-FASTING", "group": "US-N", "minutes": 10}], "rosters": [
    {"resource": "US-N-1", "weekdays": "2", "starts": "09:00", "ends": "09:10"},
    {"resource": "US-N-1", "weekdays": "3-5", "starts": "09:00", "ends": "10:00", "capacity": 20},
    {"resource": "group:CT-N", "weekdays": "1-5", "starts": "08:00", "ends": "12:00"},
]}  # fmt: skip


def opened(url: str, **more: Any) -> World:
    """A hospital whose only early ultrasound time is Tuesday nine o'clock, and many seats from Wednesday on."""
    world = small_hospital(url, data=TWO_SEATS, planning_window=timedelta(), **more)
    world.clock.set(MORNING - timedelta(hours=3))
    return world


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    found = opened(database_url)
    yield found
    assert invariants.check(found.database, clock=found.clock) == []
    found.hospital.close()


def booked(world: World, patient: str, **more: Any) -> str:
    order = world.order("US-THYROID", patient=patient, **more)
    world.pay(order)
    return str(world.item(f"{order}/1").appointment)


def wait(world: World, number: str = "", **more: Any) -> int:
    data = EntryData(FIRST, LAST, appointment=number, **{"notice_minutes": 30, **more})
    return waitlist.join(world.hospital, data, TESTER).id


def waiting(world: World, *patients: str, **more: Any) -> dict[str, int]:
    """Patients booked from Wednesday on who wait for an earlier time, each ordered a minute after the one before."""
    found = {}
    for patient in patients:
        world.clock.advance(timedelta(minutes=1))
        found[patient] = wait(world, booked(world, patient), **more)
    return found


def free(world: World, number: str) -> None:
    changes.cancel(world.hospital, number, TESTER, reason="患者要求", by_patient=True)
    backfill.turn(world.hospital)


def offered(world: World) -> list[tuple[int, str]]:
    return [(entry, state) for entry, state in world.database.rows("SELECT entry_id, state FROM offer ORDER BY id")]


def last_offer(world: World) -> int:
    return int(world.database.value("SELECT max(id) FROM offer"))


def start(world: World, number: str) -> datetime:
    starts_at = world.database.value("SELECT start_at FROM appointment WHERE number = ?", number)
    return datetime.fromtimestamp(starts_at, world.hospital.settings.zone)


def rows_of(world: World, patient: str) -> list[Any]:
    return list(world.database.rows(
        "SELECT a.number, a.version, a.state, a.start_at FROM appointment a JOIN patient_identifier i "
        "ON i.patient_id = a.patient_id WHERE i.value = ?", patient,
    ))  # fmt: skip


def test_a_freed_time_is_offered_to_who_ordered_first_and_is_withheld_for_him(world: World) -> None:
    early = booked(world, "P0")
    entries = waiting(world, "P1", "P2")
    free(world, early)

    assert offered(world) == [(entries["P1"], "open")]
    assert world.database.value("SELECT sum(withheld) FROM slot") == 1


def test_an_urgent_order_comes_before_an_older_one(world: World) -> None:
    early = booked(world, "P0")
    waiting(world, "P1")
    urgent = wait(world, booked(world, "P2", priority=Priority.URGENT))
    free(world, early)

    assert offered(world) == [(urgent, "open")]


def test_who_accepts_keeps_his_number_and_his_old_time_is_free(world: World) -> None:
    early = booked(world, "P0")
    entry = waiting(world, "P1", "P2")["P1"]
    number = waitlist.entry_of(world.database, entry).appointment
    free(world, early)
    other = rows_of(world, "P2")
    found = offers.accept(world.hospital, last_offer(world), TESTER)

    assert (found.number, found.version, start(world, number).isoformat()) == (number, 2, "2026-11-24T09:00:00+08:00")
    assert found.explanation["code"] == "waiting_list"
    assert waitlist.entry_of(world.database, entry).state == "ended"
    assert world.database.row("SELECT sum(taken), sum(withheld) FROM slot WHERE day = '2026-11-24'") == (1, 0)
    assert world.database.value("SELECT sum(taken) FROM slot WHERE day > '2026-11-24'") == 1
    assert rows_of(world, "P2") == other


def test_the_old_time_is_offered_in_turn(world: World) -> None:
    early = booked(world, "P0")
    waiting(world, "P1")
    number = booked(world, "P2")
    later = choosing.times(world.hospital, appointment=number, days=14, limit=200)[-1]
    choosing.reschedule(world.hospital, number, later.group, later.starts_at, TESTER)
    second = wait(world, number)
    free(world, early)
    offers.accept(world.hospital, last_offer(world), TESTER)
    backfill.turn(world.hospital)

    assert offered(world)[-1] == (second, "open")


def test_an_item_without_a_time_is_booked_when_its_offer_is_accepted(world: World) -> None:
    early = booked(world, "P0")
    world.database.write(
        lambda: world.database.rows("UPDATE slot SET closed = 1, is_open = 0 WHERE day > '2026-11-24' RETURNING id")
    )
    order = world.order("US-THYROID", patient="P1")
    world.pay(order)
    assert world.item(f"{order}/1").reason == "no_time"
    wait(world, items=(f"{order}/1",))
    free(world, early)
    offers.accept(world.hospital, last_offer(world), TESTER)

    item = world.item(f"{order}/1")
    assert (item.reason, item.appointment_state, item.starts_at.isoformat()) == (
        "booked", "booked", "2026-11-24T09:00:00+08:00",
    )  # fmt: skip


def test_an_item_that_is_not_released_is_skipped_and_the_log_says_why(world: World) -> None:
    early = booked(world, "P0")
    unpaid = world.order("US-THYROID", patient="P1")
    wait(world, items=(f"{unpaid}/1",))
    entry = waiting(world, "P2")["P2"]
    free(world, early)

    assert offered(world) == [(entry, "open")]
    lines = backfill.log(world.database, ["US"], 0, 10)
    assert [(line.place, line.outcome, line.reason) for line in lines] == [
        (1, "skipped", "awaiting_payment"), (2, "offered", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"groups": ("US-S",)}, "other_place"),
        ({"campuses": ("S",)}, "other_place"),
        ({"notice_minutes": 6000}, "too_near"),
    ],
)
def test_who_does_not_want_such_a_time_is_not_asked(world: World, limits: dict[str, Any], reason: str) -> None:
    early = booked(world, "P0")
    waiting(world, "P1", **limits)
    free(world, early)

    assert offered(world) == []
    assert [line.reason for line in backfill.log(world.database, ["US"], 0, 10)] == [reason]
    assert world.database.value("SELECT sum(withheld) FROM slot") == 0


@pytest.mark.parametrize("item", ["US-HEART", "US-FASTING"])
def test_who_needs_longer_or_cannot_be_prepared_in_time_is_skipped(world: World, item: str) -> None:
    early = booked(world, "P0")
    order = world.order(item, patient="P1")
    world.pay(order)
    wait(world, world.item(f"{order}/1").appointment)
    entry = waiting(world, "P2")["P2"]
    free(world, early)

    assert offered(world) == [(entry, "open")]
    assert backfill.log(world.database, ["US"], 0, 1)[0].reason == "time_not_possible"


def test_an_exam_too_near_to_another_of_the_patient_is_skipped(world: World) -> None:
    early = booked(world, "P0")
    head = world.order("CT-HEAD", patient="P1")
    world.pay(head)
    number = world.item(f"{head}/1").appointment
    nine = world.hospital.calendar.instant(date(2026, 11, 24), 9 * 60)
    choosing.reschedule(world.hospital, number, "CT-N", nine, TESTER)
    wait(world, booked(world, "P1"))
    free(world, early)

    assert offered(world) == []
    assert backfill.log(world.database, ["US"], 0, 1)[0].reason == "time_not_possible"


def test_a_time_outside_his_days_is_not_even_kept_back(world: World) -> None:
    early = booked(world, "P0")
    number = booked(world, "P1")
    waitlist.join(world.hospital, EntryData(date(2026, 11, 25), LAST, appointment=number), TESTER)
    free(world, early)

    assert world.database.value("SELECT count(*) FROM freed_time") == 0


def test_a_declined_time_goes_to_the_next_and_at_last_to_everybody(world: World) -> None:
    early = booked(world, "P0")
    entries = waiting(world, "P1", "P2")
    free(world, early)
    offers.decline(world.hospital, last_offer(world), TESTER)
    backfill.turn(world.hospital)
    assert offered(world) == [(entries["P1"], "declined"), (entries["P2"], "open")]
    offers.decline(world.hospital, last_offer(world), TESTER)
    backfill.turn(world.hospital)

    assert world.database.value("SELECT state FROM freed_time") == "returned"
    assert world.database.value("SELECT sum(withheld) FROM slot") == 0


def test_an_offer_expires_after_the_departments_minutes_and_the_next_is_asked(world: World) -> None:
    policy.set_policy(world.database, "US", {"offer_minutes": 20}, TESTER, epoch(world.clock.now()))
    early = booked(world, "P0")
    entries = waiting(world, "P1", "P2")
    free(world, early)
    first = last_offer(world)
    world.clock.advance(timedelta(minutes=19))
    backfill.turn(world.hospital)
    assert offered(world) == [(entries["P1"], "open")]
    world.clock.advance(timedelta(minutes=1))
    with pytest.raises(Conflict, match="gone"):
        offers.accept(world.hospital, first, TESTER)
    backfill.turn(world.hospital)

    assert offered(world) == [(entries["P1"], "expired"), (entries["P2"], "open")]


def test_three_times_not_taken_pauses_the_entry_until_he_says_so(world: World) -> None:
    entry = waiting(world, "P9")["P9"]
    for number in range(3):
        world.database.write(lambda: waitlist.not_taken(world.database, entry))
        assert waitlist.entry_of(world.database, entry).state == ("paused" if number == 2 else "active")
    assert waitlist.resume(world.hospital, entry, TESTER).state == "active"
    assert waitlist.entry_of(world.database, entry).declines == 0


def test_a_near_time_is_offered_to_several_and_the_first_to_accept_has_it(world: World) -> None:
    policy.set_policy(
        world.database, "US", {"offer_near_minutes": 2880, "offers_at_once": 2}, TESTER, epoch(world.clock.now())
    )
    early = booked(world, "P0")
    entries = waiting(world, "P1", "P2", "P3")
    free(world, early)
    assert offered(world) == [(entries["P1"], "open"), (entries["P2"], "open")]
    offers.accept(world.hospital, last_offer(world), TESTER)

    assert offered(world) == [(entries["P1"], "gone"), (entries["P2"], "accepted")]
    with pytest.raises(Conflict, match="gone"):
        offers.accept(world.hospital, 1, TESTER)


def test_who_agreed_is_moved_without_being_asked(world: World) -> None:
    world.clock.set(MORNING - timedelta(hours=24))
    early = booked(world, "P0")
    entry = waiting(world, "P1", automatic=True)["P1"]
    number = waitlist.entry_of(world.database, entry).appointment
    free(world, early)

    assert start(world, number).isoformat() == "2026-11-24T09:00:00+08:00"
    assert offered(world) == []
    assert [(line.outcome) for line in backfill.log(world.database, ["US"], 0, 10)] == ["got"]


def test_inside_the_freeze_time_he_is_asked_after_all(world: World) -> None:
    world.clock.set(MORNING + timedelta(hours=10))
    early = booked(world, "P0")
    entry = waiting(world, "P1", automatic=True)["P1"]
    free(world, early)

    assert offered(world) == [(entry, "open")]


def test_his_own_cancelled_time_is_not_offered_back_to_him(world: World) -> None:
    early = booked(world, "P0")
    entry = wait(world, early)
    later = choosing.times(world.hospital, appointment=early)[-1]
    choosing.reschedule(world.hospital, early, later.group, later.starts_at, TESTER)
    backfill.turn(world.hospital)

    assert offered(world) == []
    assert [(line.entry, line.reason) for line in backfill.log(world.database, [], 0, 10)] == [(entry, "own_time")]


def test_who_joins_while_a_seat_is_withheld_is_asked_at_once(world: World) -> None:
    policy.set_policy(world.database, "US", {"cancelled_seat_delay_minutes": 300}, TESTER, epoch(world.clock.now()))
    early = booked(world, "P0")
    number = booked(world, "P1")
    free(world, early)
    if world.database.value("SELECT state FROM freed_time") == "open":
        entry = wait(world, number)
        backfill.turn(world.hospital)
        assert offered(world) == [(entry, "open")]


@pytest.mark.parametrize(("then", "reason"), [("cancel", "cancelled"), ("pass", "horizon_over")])
def test_an_entry_ends_by_itself(world: World, then: str, reason: str) -> None:
    entry = waiting(world, "P1")["P1"]
    number = waitlist.entry_of(world.database, entry).appointment
    if then == "cancel":
        changes.cancel(world.hospital, number, TESTER, reason="不需要了")
    else:
        world.database.write(lambda: world.database.rows("UPDATE waiting_entry SET until_day = '2026-11-22' RETURNING id"))
    backfill.turn(world.hospital)

    found = waitlist.entry_of(world.database, entry)
    assert (found.state, found.reason) == ("ended", reason)


def test_a_withdrawn_entry_loses_its_offer_to_the_next(world: World) -> None:
    early = booked(world, "P0")
    entries = waiting(world, "P1", "P2")
    free(world, early)
    waitlist.withdraw(world.hospital, entries["P1"], TESTER)
    backfill.turn(world.hospital)

    assert offered(world) == [(entries["P1"], "gone"), (entries["P2"], "open")]
    with pytest.raises(Conflict):
        waitlist.withdraw(world.hospital, entries["P1"], TESTER)


def test_nobody_waits_twice_for_the_same(world: World) -> None:
    entry = waiting(world, "P1")["P1"]
    number = waitlist.entry_of(world.database, entry).appointment
    with pytest.raises(Conflict, match="waiting list"):
        wait(world, number)
    waitlist.withdraw(world.hospital, entry, TESTER)
    assert wait(world, number) != entry


def test_bad_input_is_refused_with_its_place_and_nothing_is_stored(world: World) -> None:
    number = booked(world, "P1")
    with pytest.raises(InvalidInput) as wrong:
        waitlist.join(
            world.hospital,
            EntryData(LAST, FIRST, items=("O1/1",), appointment=number, groups=("XX",), channel="owl"), TESTER,
        )  # fmt: skip
    assert {pointer for pointer, _ in wrong.value.problems} == {"/items", "/until", "/groups/0", "/channel"}
    for bad in (
        {"appointment": "2222-2222"},
        {"items": ("O99/1",)},
        {"items": ("O1/1",)},
    ):
        with pytest.raises((NotFound, Refused)):
            waitlist.join(world.hospital, EntryData(FIRST, LAST, **bad), TESTER)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        offers.accept(world.hospital, 77, TESTER)
    assert world.database.value("SELECT count(*) FROM waiting_entry") == 0


def test_a_repeated_request_changes_nothing(world: World) -> None:
    early = booked(world, "P0")
    waiting(world, "P1")
    free(world, early)
    key = request_key("mini", "k1", "offer.accept", {})
    offers.accept(world.hospital, last_offer(world), TESTER, key)
    with pytest.raises(Conflict):
        offers.accept(world.hospital, last_offer(world), TESTER, key)

    assert world.database.value("SELECT count(*) FROM appointment_version WHERE reason = 'waiting_list'") == 1


def test_of_eight_who_accept_the_same_time_at_once_exactly_one_has_it(database_url: str) -> None:
    world = opened(database_url)
    policy.set_policy(
        world.database, "US", {"offer_near_minutes": 2880, "offers_at_once": 8}, TESTER, epoch(world.clock.now())
    )
    early = booked(world, "P0")
    waiting(world, *(f"P{number}" for number in range(1, 9)))
    free(world, early)
    assert len(offered(world)) == 8
    told: list[str] = []
    barrier = threading.Barrier(8)

    def answer(offer: int) -> None:
        settings = Settings(database=database_url, horizon_days=14, hook_seconds=5.0, booking_seconds=20.0)
        hospital = open_hospital(settings, SetClock(world.clock.now()))
        barrier.wait()
        try:
            offers.accept(hospital, offer, TESTER)
            told.append("got")
        except Conflict as refusal:
            told.append(refusal.code)
        hospital.close()

    threads = [threading.Thread(target=answer, args=(offer,)) for offer in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(told) == ["got"] + ["offer_gone"] * 7
    assert world.database.row("SELECT sum(taken), sum(withheld) FROM slot WHERE day = '2026-11-24'") == (1, 0)
    assert [state for _, state in offered(world)].count("accepted") == 1
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


PEOPLE = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=5)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(people=PEOPLE, declines=st.integers(0, 5))
def test_whoever_was_ordered_earlier_and_fits_was_asked_first(
    tmp_path_factory: pytest.TempPathFactory, people: list[tuple[int, bool, bool, bool]], declines: int
) -> None:
    """Each person: minutes between his order and the one before, whether it is urgent, paid, and at this place."""
    folder: Path = tmp_path_factory.mktemp("fair")
    world = opened(f"sqlite:///{folder / 'hospital.db'}")
    early = booked(world, "P0")
    ordered: dict[int, tuple[bool, datetime, bool]] = {}
    for number, (minutes, urgent, paid, here) in enumerate(people, 1):
        world.clock.advance(timedelta(minutes=minutes))
        priority = Priority.URGENT if urgent else Priority.ROUTINE
        more: dict[str, Any] = {"groups": ("US-N",) if here else ("US-S",)}
        if paid:
            entry = wait(world, booked(world, f"P{number}", priority=priority), **more)
        else:
            order = world.order("US-THYROID", patient=f"P{number}", priority=priority)
            entry = wait(world, items=(f"{order}/1",), **more)
        ordered[entry] = (not urgent, world.clock.now(), paid and here)
    free(world, early)
    for _ in range(declines):
        if offered(world) and offered(world)[-1][1] == "open":
            offers.decline(world.hospital, last_offer(world), TESTER)
            backfill.turn(world.hospital)
    expected = sorted((key for key, value in ordered.items() if value[2]), key=lambda key: (*ordered[key][:2], key))

    assert [entry for entry, _ in offered(world)] == expected[: declines + 1]
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()
