"""A visit with free gaps in a real hospital: a glucose test's three draws, and other exams between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from examlane import (
    Availability,
    BookingRequest,
    GroupView,
    ItineraryRules,
    Need,
    OrderView,
    Placement,
    Proposal,
    Segment,
    Text,
    Visit,
    VisitOption,
    hookimpl,
    plan_itinerary,
)
from examlane.appointments import choosing
from examlane.errors import Refused
from examlane.insight.invariants import check
from examlane.testing import DATA, TESTER, World, small_hospital

DRAWS = (("fasting draw", 0, 0), ("one-hour draw", 55, 65), ("two-hour draw", 115, 125))
HOUSE: dict[str, list[dict[str, Any]]] = {
    "departments": [
        {"code": "LAB", "name": "检验科", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "OB", "name": "产科", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "CLINIC", "name": "产科门诊", "campus": "N", "ordering": 1},
    ],
    "items": [
        {"code": "OGTT", "name": "糖耐量", "modality": "LAB", "department": "LAB"},
        {"code": "NST", "name": "胎心监护", "modality": "NST", "department": "OB"},
    ],
    "groups": [
        {"code": "LAB-N", "name": "采血室", "department": "LAB", "campus": "N", "zone": "N-1", "slice_minutes": 5},
        {"code": "NST-N", "name": "胎监室", "department": "OB", "campus": "N", "zone": "N-2", "slice_minutes": 10},
    ],
    "resources": [
        {"code": "LAB-1", "name": "1号窗口", "group": "LAB-N"},
        {"code": "NST-1", "name": "1号床", "group": "NST-N"},
    ],
    "services": [
        {"item": "OGTT", "group": "LAB-N", "minutes": 5},
        {"item": "NST", "group": "NST-N", "minutes": 20},
    ],
    "rosters": [
        {"resource": f"group:{group}", "weekdays": "1-5", "starts": "08:00", "ends": "12:00"} for group in ("LAB-N", "NST-N")
    ],
    "walking": [{"zone_a": "N-1", "zone_b": "N-2", "minutes": 5}],
}


@dataclass
class Clinic:
    """Glucose tests have free gaps; everything of a patient is planned together, strips within the gaps."""

    gaps: bool = True
    change: Callable[[tuple[Placement, ...]], tuple[Placement, ...]] = field(default=lambda placements: placements)

    @hookimpl
    def requirements(self, orders: Sequence[OrderView], groups: Sequence[GroupView]) -> Sequence[Visit] | None:
        items = [item for order in orders for item in order.items]
        return [self._visit(item.key, groups[0]) for item in items] if groups[0].department == "LAB" else None

    def _visit(self, key: str, place: GroupView) -> Visit:
        needs = (Need("nurse", place.code),)
        draws = tuple(Segment(name, 5, needs, least, most) for name, least, most in DRAWS)
        options = (VisitOption(place.code, place.campus, place.zone, draws),)
        return Visit(key, "LAB", (key,), options, gaps=self.gaps)

    @hookimpl
    def allocate(self, request: BookingRequest, availability: Availability) -> Sequence[Proposal] | None:
        tests = [visit.key for visit in request.visits if visit.gaps]
        others = [visit.key for visit in request.visits if not visit.gaps]
        if not tests or not others:
            return None
        rules = ItineraryRules(within=[(other, test) for other in others for test in tests], within_walk=5)
        found = plan_itinerary(request, availability, mode="stay", max_days=5, rules=rules, deadline=lambda: False)
        assert found is not None
        return [Proposal(self.change(found.placements), Text("同日", "one day"), "clinic.one_day", found.proven)]


@pytest.fixture
def clinic() -> Clinic:
    return Clinic()


@pytest.fixture
def world(database_url: str, clinic: Clinic) -> Iterator[World]:
    world = small_hospital(database_url, {"clinic": clinic}, {**DATA, **HOUSE})
    for department in ("LAB", "CLINIC"):
        world.switch(department, "clinic")
    yield world
    assert broken(world) == []
    world.hospital.close()


def broken(world: World) -> list[str]:
    return [violation.id for violation in check(world.database, clock=world.clock)]


def minutes(clock: str) -> int:
    hours, rest = clock.split(":")
    return int(hours) * 60 + int(rest)


def booked(world: World, *items: str, patient: str = "P1") -> str:
    order = world.order(*items, patient=patient)
    world.pay(order)
    return order


def segments(world: World, key: str) -> list[tuple[str, str]]:
    """The stored segments of an item's appointment, in local clock times."""
    zone = world.hospital.settings.zone
    rows = world.database.rows(
        "SELECT start_at, end_at FROM appointment_segment WHERE appointment_id = ? ORDER BY position",
        world.item(key).appointment_id,
    )
    return [tuple(f"{datetime.fromtimestamp(at, zone):%H:%M}" for at in row) for row in rows]


def claimed(world: World, key: str) -> list[tuple[str, str]]:
    """What an item's appointment holds: the resource, and the start of its slot."""
    zone = world.hospital.settings.zone
    rows = world.database.rows(
        "SELECT r.code, s.start_at FROM claim c JOIN slot s ON s.id = c.slot_id JOIN resource r ON r.id = c.resource_id "
        "WHERE c.appointment_id = ? AND c.released_at IS NULL ORDER BY s.start_at",
        world.item(key).appointment_id,
    )
    return [(code, f"{datetime.fromtimestamp(at, zone):%H:%M}") for code, at in rows]


def test_a_strip_is_booked_between_two_draws_and_each_holds_exactly_its_own_seats(world: World) -> None:
    order = booked(world, "OGTT", "NST")

    assert [world.item(f"{order}/{line}").reason for line in (1, 2)] == ["booked", "booked"]
    draws, (strip,) = segments(world, f"{order}/1"), segments(world, f"{order}/2")
    assert [draw[0] for draw in draws] == ["08:30", "09:25", "10:25"]
    assert draws[0][1] < strip[0]
    assert strip[1] < draws[2][0]
    assert claimed(world, f"{order}/1") == [("LAB-1", "08:30"), ("LAB-1", "09:25"), ("LAB-1", "10:25")]
    assert [code for code, _ in claimed(world, f"{order}/2")] == ["NST-1", "NST-1"]
    assert world.database.value("SELECT proven FROM itinerary") == 1


def test_five_minutes_to_walk_lie_between_draw_and_strip(world: World) -> None:
    order = booked(world, "OGTT", "NST")
    spans = sorted([*segments(world, f"{order}/1"), *segments(world, f"{order}/2")])
    position = spans.index(segments(world, f"{order}/2")[0])
    before, strip, after = (list(map(minutes, span)) for span in spans[position - 1 : position + 2])
    assert strip[0] - before[1] >= 5
    assert after[0] - strip[1] >= 5


def test_the_moved_strip_may_take_another_gap_but_never_a_draw(world: World) -> None:
    order = booked(world, "OGTT", "NST")
    number = world.item(f"{order}/2").appointment
    today = world.item(f"{order}/1").starts_at
    with pytest.raises(Refused):
        choosing.reschedule(world.hospital, number, "NST-N", today.replace(hour=9, minute=20), TESTER)
    moved = choosing.reschedule(world.hospital, number, "NST-N", today.replace(hour=9, minute=40), TESTER)
    assert moved.version == 2
    assert segments(world, f"{order}/2") == [("09:40", "10:00")]


def test_the_moved_glucose_test_keeps_its_lags_around_the_strip(world: World) -> None:
    order = booked(world, "OGTT", "NST")
    strip = world.item(f"{order}/2").starts_at
    number = world.item(f"{order}/1").appointment
    choosing.reschedule(world.hospital, number, "LAB-N", strip - timedelta(minutes=10), TESTER)
    first, second, third = (minutes(start) for start, _ in segments(world, f"{order}/1"))
    assert 55 <= second - first <= 65
    assert 115 <= third - first <= 125
    with pytest.raises(Refused):
        choosing.reschedule(world.hospital, number, "LAB-N", strip, TESTER)


def test_without_free_gaps_the_strip_lies_outside(database_url: str) -> None:
    world = small_hospital(database_url, {"clinic": Clinic(gaps=False)}, {**DATA, **HOUSE})
    world.switch("LAB", "clinic")
    order = booked(world, "OGTT", "NST")
    draws, (strip,) = segments(world, f"{order}/1"), segments(world, f"{order}/2")
    assert strip[1] <= draws[0][0] or strip[0] >= draws[2][1]
    assert broken(world) == []
    world.hospital.close()


def test_a_glucose_test_alone_is_booked_at_its_earliest_draws(world: World) -> None:
    order = booked(world, "OGTT")
    assert [start for start, _ in segments(world, f"{order}/1")] == ["08:30", "09:25", "10:25"]


def test_two_patients_never_share_a_draw(world: World) -> None:
    first, second = booked(world, "OGTT"), booked(world, "OGTT", patient="P2")
    assert not set(claimed(world, f"{first}/1")) & set(claimed(world, f"{second}/1"))


def fixed(placements: tuple[Placement, ...], **delta: float) -> tuple[Placement, ...]:
    """The same with the second draw moved."""
    return tuple(
        replace(one, segments=(one.segments[0], one.segments[1] + timedelta(**delta), one.segments[2]))
        if one.segments else one
        for one in placements
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda placements: fixed(placements, minutes=15),
        lambda placements: fixed(placements, minutes=2),
        lambda placements: tuple(replace(one, segments=one.segments[:2]) for one in placements),
        lambda placements: tuple(replace(one, segments=one.segments[::-1]) for one in placements),
        lambda placements: tuple(
            replace(one, starts_at=placements[0].segments[1]) if not one.segments else one for one in placements
        ),
    ],
    ids=["out of its lag", "off the grid", "a draw short", "in the wrong order", "strip during a draw"],
)
def test_a_proposal_with_wrong_segments_is_not_taken(
    world: World, clinic: Clinic, change: Callable[[tuple[Placement, ...]], tuple[Placement, ...]]
) -> None:
    clinic.change = change
    order = booked(world, "OGTT", "NST")
    rows = world.database.rows("SELECT state, fallback FROM appointment ORDER BY id")
    assert rows == [("booked", 1), ("booked", 1)]
    assert [world.item(f"{order}/{line}").reason for line in (1, 2)] == ["booked", "booked"]
