"""ECG: fitting a Holter, with a recorder of the pool, so that it can be brought back on an open day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examlane import (
    BookingRequest,
    EncounterClass,
    EncounterView,
    ExamItem,
    GroupView,
    OrderItemView,
    OrderView,
    PatientView,
    Placement,
    Priority,
    Sex,
    Text,
    Visit,
    VisitOption,
)
from examlane.appointments import status
from examlane.insight import invariants
from examlane.storage.fields import dump
from examlane.testing import World, require, rule_book, small_hospital
from examlane_ecg import holter, hooks
from examlane_ecg.hooks import SettingsSchema

RULES = rule_book("ecg", "examlane_ecg")


def settings(**chosen: Any) -> dict[str, Any]:
    return {"time_zone": "Asia/Shanghai", **SettingsSchema().load(chosen)}


def department(recorders: int = 0) -> dict[str, list[dict[str, Any]]]:
    """An ECG department with a fitting desk, resting ECGs on five devices, and a pool of recorders if any."""
    items = {"ECG": {}, "HOLTER": {"holter": True}, "HOLTER-48": {"holter": True, "holter_hours": 48},
             "HOLTER-72": {"holter": True, "holter_hours": 72}}  # fmt: skip
    pool = [{"code": "POOL", "name": "记录仪", "role": "recorder"}] if recorders else []
    desk, bay = {"code": "FIT", "name": "佩戴台", "role": "chair"}, {"code": "REST", "name": "心电图", "role": "device"}
    groups = [desk, bay, *pool]
    times = {"weekdays": "1-5", "starts": "08:00", "ends": "17:00"}
    return {
        "departments": [
            {"code": "ECG", "name": "心电图室", "campus": "N", "executing": 1, "mode": "automatic"},
            {"code": "CLINIC", "name": "门诊", "campus": "N", "ordering": 1},
        ],
        "items": [{"code": code, "name": code, "modality": "ECG", "department": "ECG", "attributes": dump(attributes)}
                  for code, attributes in items.items()],
        "groups": [{**group, "department": "ECG", "campus": "N", "zone": "N-1", "slice_minutes": 10} for group in groups],
        "resources": [{"code": f"{group['code']}-1", "name": "1", "group": group["code"]} for group in groups],
        "services": [{"item": code, "group": "FIT" if attributes else "REST", "minutes": 10}
                     for code, attributes in items.items()],
        "rosters": [{"resource": "FIT-1", "capacity": 10, **times}, {"resource": "REST-1", "capacity": 5, **times},
                    *({"resource": "POOL-1", "capacity": recorders, **times} for _ in pool)],
        "walking": [],
    }  # fmt: skip


@pytest.fixture
def opened(database_url: str) -> Iterator[Any]:
    worlds: list[World] = []

    def open_department(recorders: int = 0, **chosen: Any) -> World:
        world = small_hospital(database_url, {"ecg": hooks}, department(recorders))
        require(world, "ECG", "ecg", chosen)
        worlds.append(world)
        return world

    yield open_department
    for world in worlds:
        assert invariants.check(world.database, clock=world.clock) == []
        world.hospital.close()


def booked(world: World, item: str, patient: str = "P1") -> Any:
    order = world.order(item, patient=patient)
    world.pay(order)
    return world.item(f"{order}/1")


def on(world: World, weekday: int) -> None:
    """Eight o'clock on a weekday (1 = Monday) of the first week."""
    world.later(days=weekday - 1)


@pytest.mark.parametrize(
    ("ordered_on", "item", "fitted_on"),
    [(3, "HOLTER", 3), (4, "HOLTER", 4), (5, "HOLTER", 8), (3, "HOLTER-48", 3), (4, "HOLTER-48", 8), (2, "HOLTER-72", 2),
     (3, "HOLTER-72", 5), (5, "ECG", 5)],
)  # fmt: skip
def test_a_recorder_is_fitted_so_that_it_comes_back_on_an_open_day(
    opened: Any, ordered_on: int, item: str, fitted_on: int
) -> None:
    world = opened()
    on(world, ordered_on)
    monday = world.hospital.calendar.day_of(world.clock.now()) - timedelta(days=ordered_on - 1)
    assert booked(world, item).starts_at.date() == monday + timedelta(days=fitted_on - 1)


def test_a_holiday_moves_the_fitting_and_a_make_up_saturday_allows_it(opened: Any) -> None:
    world = opened(closed_days=["2026-11-24"], open_days=["2026-11-28"])
    assert booked(world, "HOLTER").starts_at.date().isoformat() == "2026-11-24"
    on(world, 5)
    assert booked(world, "HOLTER", "P2").starts_at.date().isoformat() == "2026-11-27"


@pytest.mark.parametrize(("days", "group"), [(2, "HOME"), (3, "AWAY"), (4, "AWAY")])
def test_another_campus_is_taken_only_where_it_is_days_earlier(days: int, group: str) -> None:
    homes = VisitOption("HOME", "N", "N1", ()), VisitOption("AWAY", "S", "S1", ())
    asked = OrderItemView("1/1", ExamItem("H", Text("H", "H"), "ECG", "heart", "ECG", {"holter": True}))
    monday = datetime(2026, 11, 23, 1, tzinfo=UTC)
    request = BookingRequest(
        PatientView(1, Sex.MALE, None), EncounterView("E", EncounterClass.OUTPATIENT, campus="N"), "IM",
        (Visit("1/1", "ECG", ("1/1",), homes),), (), monday, monday.date(), {"1/1": asked},
        settings={"other_campus_days": 3},
    )  # fmt: skip
    first = {"HOME": monday + timedelta(days=days), "AWAY": monday}
    chosen = settings(return_weekdays=[1, 2, 3, 4, 5, 6, 7])
    (proposal,) = holter.allocate(request, Free(first), chosen, RULES) or ()  # type: ignore[misc]
    assert [placement.group for placement in proposal.placements] == [group]


@pytest.mark.parametrize(("hours", "morning"), [(7, False), (8, True)])
def test_only_a_fast_of_eight_hours_keeps_a_visit_in_the_morning(hours: int, morning: bool) -> None:
    items = [
        OrderItemView(key, ExamItem(key, Text("H", "H"), "ECG", "heart", "ECG", attributes))
        for key, attributes in (("1/1", {"holter": True}), ("1/2", {"fasting_hours": hours}))
    ]
    encounter = EncounterView("E", EncounterClass.OUTPATIENT)
    order = OrderView("1", encounter, "IM", Priority.ROUTINE, datetime(2026, 11, 23, 1, tzinfo=UTC), tuple(items))
    pool = GroupView("POOL", "POOL", "recorder", "ECG", "N", "N1", 10)
    assert [visit.fasting for visit in holter.visits([order], [pool], RULES) or ()] == [False, morning]


class Free:
    """A calendar with one free start a group."""

    def __init__(self, starts: dict[str, datetime]) -> None:
        self._starts = starts

    def days(self) -> list[date]:
        return [datetime(2026, 11, 23).date() + timedelta(days=day) for day in range(9)]

    def starts(self, visit: Visit, option: VisitOption, day: date) -> int:
        return int(self._starts[option.group].date() == day)

    def instant(self, day: date, tick: int) -> datetime:
        return datetime(day.year, day.month, day.day, 1, tzinfo=UTC) + timedelta(minutes=5 * tick)

    def earliest(self, visit: Visit, not_before: datetime) -> None:
        return None

    def ends_at(self, visit: Visit, placement: Placement) -> datetime:
        return placement.starts_at


def test_without_any_open_day_within_the_horizon_the_desk_has_it(opened: Any) -> None:
    world = opened(return_weekdays=[7])
    assert booked(world, "HOLTER").reason == "no_time"
    assert world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL") == [("no_time",)]


def test_a_fitting_takes_a_recorder_and_fittings_beyond_the_pool_wait(opened: Any) -> None:
    world = opened(recorders=2)
    starts = [booked(world, "HOLTER", f"P{number}").starts_at for number in range(3)]
    assert starts[0] == starts[1]
    assert starts[2] == starts[0] + timedelta(minutes=10)


@pytest.mark.parametrize(("item", "seats"), [("HOLTER", 1), ("HOLTER-48", 2), ("HOLTER-72", 3)])
def test_a_recorder_worn_for_days_takes_as_many_recorder_days(opened: Any, item: str, seats: int) -> None:
    world = opened(recorders=3)
    booked(world, item)
    rows = world.database.rows("SELECT role, seats FROM claim ORDER BY role")
    assert rows == [("chair", 1), ("recorder", seats)]


def test_without_a_pool_of_recorders_only_the_fitting_is_booked(opened: Any) -> None:
    world = opened()
    booked(world, "HOLTER")
    assert world.database.rows("SELECT seats FROM claim") == [(1,)]


def test_the_return_needs_no_order_and_is_told_as_a_stretch_of_time(opened: Any) -> None:
    world = opened(return_within_hours=3)
    told = status.appointment(world.hospital, booked(world, "HOLTER-48").appointment).preparation
    (step,) = [step for step in told if step["code"] == "ecg.holter"]
    assert "佩戴满 48 小时后的 3 小时内回原处归还" in step["text"]["zh"]
    assert "5 to 10 minutes" in step["text"]["en"]


def test_five_devices_of_one_group_examine_five_patients_at_once_with_one_queue(opened: Any) -> None:
    world = opened()
    found = [booked(world, "ECG", f"P{number}") for number in range(6)]
    assert len({one.starts_at for one in found[:5]}) == 1
    assert found[5].starts_at == found[0].starts_at + timedelta(minutes=10)
    numbers = [status.appointment(world.hospital, one.appointment).queue_number for one in found]
    assert numbers == [1, 2, 3, 4, 5, 6]


def test_a_walk_in_service_takes_no_slot(opened: Any) -> None:
    world = opened()
    world.database.rows("UPDATE service SET mode = 'walk_in' RETURNING id")
    assert booked(world, "ECG").reason == "walk_in"
    assert world.database.value("SELECT sum(taken) FROM slot") == 0


@pytest.mark.parametrize(
    ("attributes", "hours"),
    [({}, 0), ({"holter": True}, 24), ({"holter_hours": 72}, 72), ({"holter": True, "holter_hours": 48}, 48)],
)
def test_the_catalogue_says_how_long_a_recorder_is_worn(attributes: dict[str, Any], hours: int) -> None:
    item = OrderItemView("1/1", ExamItem("H", Text("H", "H"), "ECG", "heart", "ECG", attributes))
    assert holter.worn_hours(item, RULES) == hours


@given(
    day=st.dates(min_value=datetime(2026, 1, 1).date(), max_value=datetime(2027, 1, 1).date()),
    hour=st.integers(0, 23), closed=st.booleans(), opened=st.booleans(),
)  # fmt: skip
def test_a_closed_day_wins_over_everything_and_an_open_one_over_the_weekday(
    day: Any, hour: int, closed: bool, opened: bool
) -> None:
    chosen = settings(closed_days=[day.isoformat()] if closed else [], open_days=[day.isoformat()] if opened else [])
    back = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert holter.is_open(back, chosen) is (not closed and (opened or day.isoweekday() <= 5))
