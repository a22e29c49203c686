"""A whole visit in a real hospital: booked on one day with the glucose test's draws, moved, and cancelled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import DepartmentMode, Fact, Sex
from examlane.appointments import booking, changes, choosing, status
from examlane.errors import Refused
from examlane.insight.invariants import check
from examlane.orders.patients import Identifier, PatientData, register
from examlane.storage.exchange import Peer
from examlane.testing import MORNING, TESTER, World, require, small_hospital
from examlane_obstetrics import hooks

TEST = {"ogtt": True, "fasting_hours": 8, "prenatal": "ogtt"}
HOUSE: dict[str, list[dict[str, Any]]] = {
    "departments": [
        {"code": "OB", "name": "产科检查室", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "US", "name": "超声科", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "ECG", "name": "心电图室", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "OBC", "name": "产科门诊", "campus": "N", "ordering": 1},
    ],
    "items": [
        {"code": "OGTT", "name": "糖耐量", "modality": "LAB", "department": "OB", "attributes": json.dumps(TEST)},
        {
            "code": "NST", "name": "胎心监护", "modality": "OB", "department": "OB",
            "attributes": '{"after_meal": true, "gestation_from_days": 168, "gestation_to_days": 293}',
        },
        {
            "code": "GROWTH", "name": "胎儿生长超声", "modality": "US", "department": "US",
            "attributes": '{"prenatal": "growth"}',
        },
        {
            "code": "BELLY", "name": "腹部超声", "modality": "US", "department": "US",
            "attributes": '{"fasting_hours": 8}',
        },
        {"code": "XRAY", "name": "胸部正位片", "modality": "DX", "department": "US", "attributes": "{}"},
        {"code": "ECG", "name": "心电图", "modality": "ECG", "department": "ECG", "attributes": "{}"},
    ],
    "groups": [
        {"code": "DESK", "name": "采血台", "department": "OB", "campus": "N", "zone": "N-3", "slice_minutes": 5},
        {"code": "CHAIRS", "name": "胎监椅", "department": "OB", "campus": "N", "zone": "N-3", "slice_minutes": 10},
        {"code": "ROOMS", "name": "超声室", "department": "US", "campus": "N", "zone": "N-2", "slice_minutes": 10},
        {"code": "LEADS", "name": "心电图室", "department": "ECG", "campus": "N", "zone": "N-1", "slice_minutes": 5},
    ],
    "resources": [
        {"code": f"{group}-1", "name": "1", "group": group} for group in ("DESK", "CHAIRS", "ROOMS", "LEADS")
    ],
    "services": [
        {"item": "OGTT", "group": "DESK", "minutes": 5},
        {"item": "NST", "group": "CHAIRS", "minutes": 20},
        {"item": "GROWTH", "group": "ROOMS", "minutes": 20},
        {"item": "XRAY", "group": "ROOMS", "minutes": 10},
        {"item": "BELLY", "group": "ROOMS", "minutes": 10},
        {"item": "ECG", "group": "LEADS", "minutes": 5},
    ],
    "rosters": [
        {"resource": f"group:{group}", "weekdays": "1-5", "starts": "08:00", "ends": "12:00"}
        for group in ("DESK", "CHAIRS", "ROOMS", "LEADS")
    ],
    "walking": [
        {"zone_a": "N-3", "zone_b": "N-2", "minutes": 5},
        {"zone_a": "N-3", "zone_b": "N-1", "minutes": 5},
        {"zone_a": "N-2", "zone_b": "N-1", "minutes": 5},
    ],
}  # fmt: skip
PATIENTLY = {"search_milliseconds": 10_000}
TODAY = MORNING.date()


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"obstetrics": hooks}, HOUSE, days=28)
    require(world, "US", "obstetrics", {"windows_only": True})
    require(world, "OB", "obstetrics", PATIENTLY)
    require(world, "OBC", "obstetrics", PATIENTLY)
    yield world
    assert [violation.id for violation in check(world.database, clock=world.clock)] == []
    world.hospital.close()


def clinic(world: World, **chosen: Any) -> None:
    """The clinic's own settings."""
    world.database.write(
        lambda: world.database.rows(
            "UPDATE department_plugin SET settings = ? WHERE department_id = (SELECT id FROM department WHERE code = "
            "'OBC') RETURNING id",
            json.dumps({**PATIENTLY, **chosen}),
        )
    )
    world.switch("OBC", "obstetrics")


def ordered(world: World, *items: str, days: int = 197, out_of_town: bool = False, patient: str = "P1") -> str:
    """An order of the clinic for a pregnancy that is so many days old today, paid; returns its number."""
    known = PatientData((Identifier("card", patient),), "患者", Sex.FEMALE, out_of_town=out_of_town)
    world.database.write(lambda: register(world.database, known))
    period = (TODAY - timedelta(days=days)).isoformat()
    number = world.order(
        *items, patient=patient, ordering_department="OBC",
        context={"last_menstrual_period": Fact(period), "fetuses": Fact(1), "high_risk_pregnancy": Fact(False)},
    )  # fmt: skip
    world.pay(number)
    return number


def busy(world: World, group: str, until_day: int, since_day: int = 0) -> None:
    """Nobody can be booked at a group on some days."""
    since, until = (MORNING + timedelta(days=day) for day in (since_day, until_day))
    world.database.write(
        lambda: world.database.rows(
            "UPDATE slot SET closed = 1, is_open = 0 WHERE start_at >= ? AND start_at < ? AND resource_id IN (SELECT r.id "
            "FROM resource r JOIN resource_group g ON g.id = r.group_id WHERE g.code = ?) RETURNING id",
            int(since.timestamp()),
            int(until.timestamp()),
            group,
        )
    )


def spans(world: World, key: str) -> list[tuple[datetime, datetime]]:
    """The stored segments of an item's appointment."""
    zone = world.hospital.settings.zone
    rows = world.database.rows(
        "SELECT start_at, end_at FROM appointment_segment WHERE appointment_id = ? ORDER BY start_at",
        world.item(key).appointment_id,
    )
    return [(datetime.fromtimestamp(start, zone), datetime.fromtimestamp(end, zone)) for start, end in rows]


def clocks(world: World, key: str) -> list[str]:
    return [f"{start:%H:%M}" for start, _ in spans(world, key)]


def explanation(world: World, key: str) -> dict[str, Any]:
    return dict(status.appointment(world.hospital, world.item(key).appointment).explanation)


def days(world: World, number: str, count: int) -> list[int]:
    return [(world.item(f"{number}/{line}").starts_at.date() - TODAY).days for line in range(1, count + 1)]


def test_a_patient_from_out_of_town_has_four_exams_on_one_day_two_of_them_between_her_draws(world: World) -> None:
    number = ordered(world, "OGTT", "NST", "GROWTH", "ECG", out_of_town=True)
    test, strip, scan, ecg = (f"{number}/{line}" for line in (1, 2, 3, 4))

    assert [world.item(key).appointment_state for key in (test, strip, scan, ecg)] == ["booked"] * 4
    assert len(set(days(world, number, 4))) == 1
    first, second, third = (start for start, _ in spans(world, test))
    assert first.hour < 9 or (first.hour, first.minute) == (9, 0)
    assert abs(second - first - timedelta(minutes=60)) <= timedelta(minutes=5)
    assert abs(third - first - timedelta(minutes=120)) <= timedelta(minutes=5)
    for key in (scan, ecg):
        ((start, end),) = spans(world, key)
        assert first < start < end < third
    ((meal, _),) = spans(world, strip)
    assert meal >= third + timedelta(minutes=35)
    assert explanation(world, test)["code"] == "obstetrics.same_day"


def test_three_days_of_diet_come_before_the_test_and_the_explanation_shows_both_dates(world: World) -> None:
    number = ordered(world, "OGTT", "ECG")
    assert days(world, number, 2) == [3, 3]
    assert explanation(world, f"{number}/2")["why"]["en"] == (
        "all 2 exams on one day (2026-11-26), about 125 minutes in the hospital; separately the last would be on 2026-11-26"
    )


def test_the_one_day_is_not_taken_when_it_is_later_than_the_clinic_allows(world: World) -> None:
    busy(world, "LEADS", until_day=9, since_day=3)
    clinic(world, max_later_days=3, allow_two_days=False)
    number = ordered(world, "OGTT", "ECG")
    assert days(world, number, 2) == [3, 0]
    assert explanation(world, f"{number}/1")["code"] != "obstetrics.same_day"


def test_the_one_day_is_taken_when_the_clinic_or_the_way_from_out_of_town_allows_it(world: World) -> None:
    busy(world, "LEADS", until_day=9, since_day=3)
    local = ordered(world, "OGTT", "ECG", patient="P1", days=180)
    away = ordered(world, "OGTT", "ECG", patient="P2", days=180, out_of_town=True)
    assert days(world, local, 2) == [3, 0]
    assert days(world, away, 2) == [9, 9]
    clinic(world, max_later_days=6)
    assert days(world, ordered(world, "OGTT", "ECG", patient="P3", days=180), 2) == [9, 9]


def test_when_no_day_holds_all_they_are_on_two_days_and_the_reason_says_so(world: World) -> None:
    for day in range(28):
        busy(world, "LEADS" if day % 2 else "DESK", until_day=day + 1, since_day=day)
    number = ordered(world, "OGTT", "GROWTH", "ECG")
    assert days(world, number, 3)[0] % 2 == 1
    assert days(world, number, 3)[2] % 2 == 0
    why = explanation(world, f"{number}/3")
    assert why["code"] == "obstetrics.two_days"
    assert "分两天" in why["why"]["zh"]


def test_no_exam_is_booked_outside_its_weeks(world: World) -> None:
    number = ordered(world, "OGTT", "GROWTH", days=190)
    assert days(world, number, 2) == [7, 7]
    late = ordered(world, "GROWTH", days=230, patient="P2")
    assert days(world, late, 1) == [0]
    over = ordered(world, "GROWTH", days=231, patient="P3")
    assert world.item(f"{over}/1").state == "rejected"


# Moving and cancelling


def moved(world: World, key: str, group: str, starts_at: datetime) -> None:
    choosing.reschedule(world.hospital, world.item(key).appointment, group, starts_at, TESTER)


def at(world: World, day: int, clock: str) -> datetime:
    hour, minute = map(int, clock.split(":"))
    zone = world.hospital.settings.zone
    start = datetime.combine(TODAY + timedelta(days=day), datetime.min.time(), zone)
    return start + timedelta(hours=hour, minutes=minute)


def test_one_exam_of_the_day_can_be_moved_and_order_and_draws_stay(world: World) -> None:
    number = ordered(world, "OGTT", "NST", "ECG")
    test, strip, ecg = (f"{number}/{line}" for line in (1, 2, 3))
    day = days(world, number, 1)[0]
    assert clocks(world, test) == ["08:05", "09:05", "10:05"]

    with pytest.raises(Refused):
        moved(world, strip, "CHAIRS", at(world, day, "08:20"))
    with pytest.raises(Refused):
        moved(world, ecg, "LEADS", at(world, day, "09:10"))
    moved(world, ecg, "LEADS", at(world, day, "09:15"))
    moved(world, strip, "CHAIRS", at(world, day, "11:00"))

    assert (clocks(world, ecg), clocks(world, strip)) == (["09:15"], ["11:00"])
    assert clocks(world, test) == ["08:05", "09:05", "10:05"]


def test_the_test_is_moved_with_all_its_draws_never_past_nine_and_never_after_her_meal(world: World) -> None:
    number = ordered(world, "OGTT", "NST")
    test, day = f"{number}/1", days(world, number, 1)[0]
    moved(world, f"{number}/2", "CHAIRS", at(world, day, "11:30"))
    with pytest.raises(Refused):
        moved(world, test, "DESK", at(world, day, "09:05"))
    moved(world, test, "DESK", at(world, day, "09:00"))
    assert clocks(world, test) == ["09:00", "10:00", "11:00"]
    moved(world, f"{number}/2", "CHAIRS", at(world, day + 1, "10:40"))
    with pytest.raises(Refused):
        moved(world, test, "DESK", at(world, day + 1, "09:00"))


def test_a_window_is_counted_anew_when_an_exam_is_moved(world: World) -> None:
    number = ordered(world, "GROWTH", days=228)
    key = f"{number}/1"
    moved(world, key, "ROOMS", at(world, 2, "11:40"))
    with pytest.raises(Refused):
        moved(world, key, "ROOMS", at(world, 3, "08:00"))
    assert world.item(key).starts_at == at(world, 2, "11:40")


def test_what_is_far_is_not_moved_between_two_draws(world: World) -> None:
    number = ordered(world, "OGTT", "XRAY")
    xray, day = f"{number}/2", days(world, number, 1)[0]
    first, _, third = (start for start, _ in spans(world, f"{number}/1"))
    assert not first <= spans(world, xray)[0][0] <= third
    with pytest.raises(Refused):
        moved(world, xray, "ROOMS", at(world, day, "09:30"))
    moved(world, xray, "ROOMS", at(world, day, "11:00"))


def open_offers(world: World) -> list[tuple[str, str]]:
    return list(world.database.rows("SELECT code, department FROM desk_task WHERE closed_at IS NULL"))


def cancelled(world: World, key: str) -> str:
    number = str(world.item(key).appointment)
    changes.cancel(world.hospital, number, TESTER, reason="patient")
    return number


def test_cancelling_one_exam_of_the_day_offers_to_plan_the_others_again(world: World) -> None:
    world.database.write(lambda: world.database.insert(Peer, code="HIS", created_at=int(MORNING.timestamp())))
    number = ordered(world, "OGTT", "NST", "ECG")
    strip, ecg = f"{number}/2", f"{number}/3"
    before = world.item(strip)
    gone = cancelled(world, f"{number}/1")

    assert open_offers(world) == [("itinerary_rest", "OBC")]
    told = world.database.rows("SELECT payload FROM event WHERE kind = 'itinerary.member_cancelled'")
    assert [json.loads(payload) for (payload,) in told] == [
        {"appointment": gone, "others": [world.item(key).appointment for key in (ecg, strip)]}
    ]
    assert (world.item(strip).version, world.item(strip).starts_at) == (before.version, before.starts_at)

    booking.plan_rest_again(world.hospital, gone, TESTER)
    after = world.item(strip)
    assert after.appointment == before.appointment
    assert after.starts_at < before.starts_at
    assert after.starts_at.date() == world.item(ecg).starts_at.date()
    assert open_offers(world) == []
    assert world.item(f"{number}/1").reason == "cancelled"


def test_cancelling_the_last_exam_of_a_day_or_one_booked_alone_offers_nothing(world: World) -> None:
    number = ordered(world, "OGTT", "ECG")
    cancelled(world, f"{number}/1")
    cancelled(world, f"{number}/2")
    cancelled(world, f"{ordered(world, 'ECG', patient='P2')}/1")
    assert len(open_offers(world)) == 1


def test_the_rest_is_planned_again_all_or_nothing(world: World) -> None:
    number = ordered(world, "OGTT", "NST", "ECG")
    gone = cancelled(world, f"{number}/1")
    before = [world.item(f"{number}/{line}").starts_at for line in (2, 3)]
    world.mode("ECG", DepartmentMode.MANUAL)
    booking.plan_rest_again(world.hospital, gone, TESTER)
    assert [world.item(f"{number}/{line}").starts_at for line in (2, 3)] == before


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One hospital for many pregnancies."""
    file = tmp_path_factory.mktemp("ward") / "hospital.db"
    world = small_hospital(f"sqlite:///{file}", {"obstetrics": hooks}, HOUSE, days=28)
    require(world, "US", "obstetrics", {"windows_only": True})
    require(world, "OB", "obstetrics", PATIENTLY)
    require(world, "OBC", "obstetrics", PATIENTLY)
    yield world
    world.hospital.close()


@settings(max_examples=30, deadline=None)
@given(days=st.integers(160, 235), second=st.integers(0, 86_399), out_of_town=st.booleans())
def test_whatever_the_day_and_the_hour_nothing_is_booked_outside_its_weeks(
    ward: World, days: int, second: int, out_of_town: bool
) -> None:
    midnight = datetime.combine(TODAY, datetime.min.time(), ward.hospital.settings.zone)
    ward.clock.set(midnight + timedelta(seconds=second))
    number = ordered(ward, "OGTT", "GROWTH", "ECG", days=days, out_of_town=out_of_town, patient=f"H{next(ward.numbers)}")
    for line, (first, last) in ((1, (168, 202)), (2, (196, 230))):
        starts_at = ward.item(f"{number}/{line}").starts_at
        opens, closes = (midnight + timedelta(days=bound - days) for bound in (first, last + 1))
        if starts_at is not None:
            assert opens <= starts_at < closes
            assert line == 2 or (starts_at.hour, starts_at.minute) <= (9, 0)
        elif ward.clock.now() >= closes:
            assert ward.item(f"{number}/{line}").state in ("rejected", "needs_confirmation")
    if ward.item(f"{number}/1").starts_at is not None:
        first_draw, *later = (start for start, _ in spans(ward, f"{number}/1"))
        for start, lag in zip(later, (60, 120), strict=True):
            assert abs(start - first_draw - timedelta(minutes=lag)) <= timedelta(minutes=5)
