"""What belongs together stays together when a place falls away; and a bed or a second room counts as much as the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from examlane import (
    GroupView,
    IntervalRule,
    Need,
    OrderView,
    Relation,
    Segment,
    Selector,
    Text,
    Visit,
    VisitOption,
    hookimpl,
)
from examlane.replanning import closing, suspensions
from examlane.testing import DATA, TESTER, World, small_hospital
from tests.day.suspending import TODAY, at, down, end, outcomes, suspend, unbroken

ONE_DAY = IntervalRule(
    "test.one_day", "1", Selector("CT-HEAD"), Selector("US-HEART"), Relation.SAME_DAY, Text("同日", "one day")
)


class OneDay:
    @hookimpl
    def interval_rules(self) -> Sequence[IntervalRule]:
        return [ONE_DAY]


class WithABed:
    """An ultrasound is followed by half an hour on a bed, which is the department's only one."""

    @hookimpl
    def requirements(self, orders: Sequence[OrderView], groups: Sequence[GroupView]) -> Sequence[Visit]:
        items = [item for order in orders for item in order.items]
        exam, rest = Segment("exam", 10, (Need("room", "US-N"),)), Segment("rest", 30, (Need("bed", "US-BED"),), 10, 30)
        option = VisitOption("US-N", "N", "N-1", (exam, rest))
        return [Visit(item.key, "US", (item.key,), (option,)) for item in items]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = small_hospital(database_url, {"oneday": OneDay()}, days=7, planning_window=timedelta())
    made.switch("US", "oneday")
    yield made
    assert unbroken(made) == []
    made.hospital.close()


@pytest.fixture
def bedded(database_url: str) -> Iterator[World]:
    bed = {"code": "US-BED", "name": "观察床", "department": "US", "campus": "N", "zone": "N-1", "slice_minutes": 10}
    data = {
        "groups": [*DATA["groups"], bed],
        "resources": [*DATA["resources"], {"code": "BED-1", "name": "1床", "group": "US-BED"}],
        "rosters": [*DATA["rosters"], {"resource": "BED-1", "weekdays": "1-5", "starts": "08:00", "ends": "13:00"}],
    }
    made = small_hospital(database_url, {"bed": WithABed()}, data, days=7, planning_window=timedelta())
    made.switch("US", "bed")
    yield made
    assert unbroken(made) == []
    made.hospital.close()


def pair(world: World, patient: str = "P1") -> str:
    order = world.order("CT-HEAD", "US-HEART", patient=patient)
    world.pay(order)
    return order


def days(world: World, order: str) -> list[Any]:
    return [world.item(f"{order}/{line}").starts_at.date() for line in (1, 2)]


def test_exams_of_one_day_go_to_another_day_together(world: World) -> None:
    order = pair(world)
    assert days(world, order) == [TODAY, TODAY]
    found = suspend(world, down("", group="US-N"))

    assert days(world, order) == [TODAY + timedelta(days=1)] * 2
    assert found.outcomes == {"moved": 1, "moved_along": 1}
    assert {one.code for one in outcomes(world, found)} == {"together"}
    reasons = world.database.rows("SELECT DISTINCT reason FROM appointment_version WHERE version = 2")
    assert reasons == [(f"suspension {found.number}",)]


def test_exams_of_one_day_stay_there_when_there_is_another_room(world: World) -> None:
    order = pair(world)
    found = suspend(world, down("US-N-1"))
    more = suspend(world, down("US-N-2", since=at(8), until=at(8, 10)))

    assert days(world, order) == [TODAY, TODAY]
    assert (set(found.outcomes) | set(more.outcomes)) <= {"moved", "moved_along"}


def test_where_they_find_no_common_day_the_desk_has_what_lost_its_place_and_the_other_keeps_it(world: World) -> None:
    order = pair(world)
    found = suspend(world, down("", group="US-N", until=at(12, days=30)))

    assert found.outcomes == {"suspended": 1}
    assert outcomes(world, found)[0].code == "not_together"
    assert world.item(f"{order}/1").version == 1
    ended = end(world, found.number)
    assert ended.undone == {"restored": 1}
    assert days(world, order) == [TODAY, TODAY]


def test_both_lose_their_place_and_both_go_to_the_desk(world: World) -> None:
    pair(world)
    for department in ("US", "CT"):
        world.database.write(
            lambda department=department: world.database.rows(
                "DELETE FROM slot WHERE day > ? AND resource_id IN (SELECT r.id FROM resource r "
                "JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id "
                "WHERE d.code = ?) RETURNING id",
                str(TODAY), department,
            )
        )  # fmt: skip
    found = suspend(world, closing.Asked("holiday", "临时放假", day=TODAY))

    assert found.outcomes == {"suspended": 2}
    assert world.database.value("SELECT count(*) FROM desk_task WHERE closed_at IS NULL") == 2


def test_a_preview_shows_what_is_planned_together(world: World) -> None:
    order = pair(world)
    shown = suspensions.preview(world.hospital, closing.plan(world.hospital, down("", group="US-N")))

    (one,) = shown.visits
    assert (one.outcome, one.code) == ("moved", "together")
    assert one.new_starts_at is not None
    assert one.new_starts_at.date() == TODAY + timedelta(days=1)
    assert days(world, order) == [TODAY, TODAY]


def test_a_visit_whose_bed_falls_away_is_concerned_too(bedded: World) -> None:
    order = bedded.order("US-HEART", patient="P1")
    bedded.pay(order)
    planned = closing.plan(bedded.hospital, down("BED-1", until=at(10)))
    shown = suspensions.preview(bedded.hospital, planned)
    found = suspensions.apply(bedded.hospital, planned, TESTER)

    assert found.outcomes == {"moved": 1}
    assert bedded.item(f"{order}/1").starts_at >= at(9, 30)
    assert shown.visits[0].new_starts_at == bedded.item(f"{order}/1").starts_at


def test_a_visit_whose_other_room_is_there_still_keeps_its_time(bedded: World) -> None:
    order = bedded.order("US-HEART", patient="P1")
    bedded.pay(order)
    before = bedded.item(f"{order}/1").starts_at
    held = bedded.database.value(
        "SELECT r.code FROM claim c JOIN resource r ON r.id = c.resource_id WHERE r.code LIKE 'US-N%'"
    )
    suspend(bedded, down(held))

    assert bedded.item(f"{order}/1").starts_at == before
