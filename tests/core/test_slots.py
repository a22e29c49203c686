"""Slots: many processes, last seats, and rosters that become slot rows."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from examlane.capacity import rosters, slots
from examlane.capacity.calendar import Calendar
from examlane.errors import SlotTaken
from examlane.storage.database import Database
from examlane.storage.models import Campus, Department, Resource, ResourceGroup, Roster, Slot

DAY = date(2026, 11, 24)
PROCESSES = 32
SEATS = 50


@pytest.fixture
def room(database: Database) -> int:
    def create() -> int:
        campus = database.insert(Campus, code="N", name="北院区")
        department = database.insert(Department, code="US", name="超声科", campus=campus)
        group = database.insert(
            ResourceGroup, code="US-N", name="腹部超声", department=department, campus=campus, zone="N1", slice_minutes=10
        )
        return database.insert(Resource, code="US-1", name="1检查室", group=group)

    return database.write(create)


@pytest.fixture
def calendar() -> Calendar:
    return Calendar(ZoneInfo("Asia/Shanghai"))


def take_until_full(url: str) -> int:
    database = Database(url)
    mine = 0
    while True:
        free = database.rows("SELECT id FROM slot WHERE is_open = 1 ORDER BY start_at LIMIT 1")
        if not free:
            break
        try:
            database.write(lambda slot=free[0][0]: slots.take(database, [(slot, 1)]))
            mine += 1
        except SlotTaken:
            continue
    database.close()
    return mine


def test_thirty_two_processes_take_exactly_the_last_fifty_seats(database: Database, database_url: str, room: int) -> None:
    rows = [(room, "general", "2026-11-24", 1000 + n * 600, 1600 + n * 600, 10, 1) for n in range(5)]
    database.write(lambda: database.insert_many(Slot, rosters.SLOT_COLUMNS, rows))
    database.close()
    command = [sys.executable, __file__, database_url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    taken = [int(process.communicate(timeout=240)[0]) for process in processes]

    assert sum(taken) == SEATS
    assert database.rows("SELECT DISTINCT taken, is_open FROM slot") == [(10, 0)]


def test_taking_several_slots_is_all_or_nothing(database: Database, room: int) -> None:
    rows = [(room, "general", "2026-11-24", 0, 600, 1, 1), (room, "general", "2026-11-24", 600, 1200, 1, 1)]
    database.write(lambda: database.insert_many(Slot, rosters.SLOT_COLUMNS, rows))
    first, second = (row[0] for row in database.rows("SELECT id FROM slot ORDER BY start_at"))
    database.write(lambda: slots.take(database, [(second, 1)]))
    with pytest.raises(SlotTaken):
        database.write(lambda: slots.take(database, [(first, 1), (second, 1)]))

    assert database.rows("SELECT taken FROM slot ORDER BY start_at") == [(0,), (1,)]


def test_a_given_back_seat_opens_its_slot_unless_the_slot_is_closed(database: Database, room: int) -> None:
    rows = [(room, "general", "2026-11-24", 0, 600, 1, 1), (room, "general", "2026-11-24", 600, 1200, 1, 1)]
    database.write(lambda: database.insert_many(Slot, rosters.SLOT_COLUMNS, rows))
    first, second = (row[0] for row in database.rows("SELECT id FROM slot ORDER BY start_at"))
    database.write(lambda: slots.take(database, [(first, 1), (second, 1)]))
    database.write(lambda: database.rows("UPDATE slot SET closed = 1, is_open = 0 WHERE id = ? RETURNING id", second))
    database.write(lambda: slots.give_back(database, [(first, 1), (second, 1)]))

    assert database.rows("SELECT taken, is_open FROM slot ORDER BY start_at") == [(0, 1), (0, 0)]


def add_roster(database: Database, room: int, **values: object) -> None:
    row = {"resource": room, "weekday": 2, "starts_minute": 480, "ends_minute": 540} | values
    database.write(lambda: database.insert(Roster, **row))


def test_a_roster_becomes_slots_once(database: Database, room: int, calendar: Calendar) -> None:
    add_roster(database, room)

    assert rosters.publish(database, calendar, [DAY], 0) == 6
    assert rosters.publish(database, calendar, [DAY], 0) == 0
    first = database.value("SELECT min(start_at) FROM slot")
    assert calendar.local(calendar.instant(DAY, 480)).hour == 8
    assert first == calendar.instant(DAY, 480).timestamp()


def test_a_holiday_has_no_slots_and_a_make_up_workday_those_of_its_weekday(
    database: Database, room: int, calendar: Calendar
) -> None:
    add_roster(database, room)
    saturday = date(2026, 11, 28)
    special = Calendar(calendar.zone, {DAY: None, saturday: 2})

    assert rosters.publish(database, special, [DAY], 0) == 0
    assert rosters.publish(database, special, [saturday], 0) == 6


def test_week_a_and_week_b_alternate(database: Database, room: int, calendar: Calendar) -> None:
    add_roster(database, room, cycle_weeks=2, week=0)
    tuesdays = [date(2026, 11, 24), date(2026, 12, 1), date(2026, 12, 8)]
    counts = [rosters.publish(database, calendar, [day], 0) for day in tuesdays]

    assert counts in ([6, 0, 6], [0, 6, 0])


def test_a_stop_removes_free_slots_and_closes_held_ones(database: Database, room: int, calendar: Calendar) -> None:
    add_roster(database, room)
    rosters.publish(database, calendar, [DAY], 0)
    stop = rosters.Change(room, DAY, "stop", "设备检修", "tester", starts=510)
    database.write(lambda: rosters.change(database, calendar, stop, 0))

    assert database.value("SELECT count(*) FROM slot") == 3


def test_a_shift_over_midnight_belongs_to_the_date_it_began(database: Database, room: int, calendar: Calendar) -> None:
    add_roster(database, room, starts_minute=1380, ends_minute=1500)
    rosters.publish(database, calendar, [DAY], 0)

    assert database.rows("SELECT DISTINCT day FROM slot") == [("2026-11-24",)]
    assert database.value("SELECT max(end_at) FROM slot") == calendar.instant(DAY, 1500).timestamp()


if __name__ == "__main__":
    print(take_until_full(sys.argv[1]))
