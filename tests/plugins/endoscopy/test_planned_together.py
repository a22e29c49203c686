"""Assessment and endoscopy planned together: the assessment is booked unpaid, in time, and before the exam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import (
    BookingRequest,
    EncounterClass,
    EncounterView,
    ExamItem,
    OrderItemView,
    PatientView,
    Placement,
    Relation,
    Sex,
    Text,
    Visit,
)
from examlane.appointments import changes, status
from examlane.testing import MORNING, TESTER, rule_book
from examlane_endoscopy import hooks

RULES = rule_book("endoscopy", "examlane_endoscopy")
NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
KIND = "anaesthesia_assessment"


# In a small hospital: the clinic is open on weekdays from 14:00, the endoscopy centre from 8:00 to 17:00.


@pytest.fixture
def hospital(database_url: str, opened: Any) -> Any:
    return opened(database_url)


def told(hospital: Any, key: str) -> Any:
    return next(item for item in status.of_order(hospital.world.hospital, key.split("/")[0]) if item.key == key)


def test_the_assessment_is_booked_at_once_and_unpaid_and_says_when_the_exam_is_expected(hospital: Any) -> None:
    number = hospital.order("GASTRO", "ASSESS")
    assessment = told(hospital, f"{number}/2")
    assert assessment.reason == "booked"
    assert assessment.payment == "unpaid"
    assert hospital.item(f"{number}/2").starts_at == MORNING + 6 * HOUR
    # Assessed at 14:10, then six hours without food: the same day is over.
    assert "内镜检查预计最早 2026-11-24" in assessment.appointment.explanation["why"]["zh"]
    assert not assessment.appointment.fallback


def test_the_closed_gate_says_when_and_where_the_assessment_is_booked(hospital: Any) -> None:
    number = hospital.order("GASTRO", "ASSESS")
    (gate,) = told(hospital, f"{number}/1").gates
    assert gate["next_action"]["zh"] == "请到麻醉评估门诊评估（已约 2026-11-23 14:00–14:30，麻醉评估门诊）"
    changes.cancel(hospital.world.hospital, hospital.item(f"{number}/2").appointment, TESTER, reason="patient")
    (gate,) = told(hospital, f"{number}/1").gates
    assert gate["next_action"]["zh"] == "请到麻醉评估门诊评估"


def test_an_assessment_ordered_alone_later_is_named_too_and_after_it_is_passed_no_more(hospital: Any) -> None:
    exam = hospital.order("GASTRO")
    hospital.order("ASSESS")
    (gate,) = told(hospital, f"{exam}/1").gates
    assert "已约 2026-11-23 14:00" in gate["next_action"]["zh"]
    hospital.assess()
    (gate,) = told(hospital, f"{exam}/1").gates
    assert (gate["state"], gate["next_action"]) == ("open", {})


def test_assessed_and_paid_the_endoscopy_is_booked_in_the_same_request(hospital: Any) -> None:
    number = hospital.order("GASTRO", "ASSESS")
    visit = hospital.item(f"{number}/2")
    hospital.world.clock.advance(visit.starts_at - hospital.world.clock.now())
    changes.check_in(hospital.world.hospital, visit.appointment, TESTER)
    changes.execution(hospital.world.hospital, visit.appointment, "finished", TESTER)
    hospital.world.clock.advance(timedelta(minutes=10))
    hospital.assess()
    hospital.world.pay(number, lines=(1,))
    assert hospital.item(number).appointment_state == "booked"
    assert hospital.item(number).starts_at.date() == date(2026, 11, 24)


def test_the_endoscopy_is_not_before_the_booked_assessment_nor_within_an_hour_after_it(hospital: Any) -> None:
    number = hospital.order("GASTRO", "ASSESS", facts={"fasting": True})
    hospital.assess()  # cleared by telephone; the visit in the clinic at 14:00 stands
    hospital.world.pay(number)
    assert hospital.item(number).starts_at == MORNING + 7 * HOUR + timedelta(minutes=10)


def test_what_costs_something_is_still_paid_for(hospital: Any) -> None:
    number = hospital.order("PLAIN", "ASSESS")
    assert hospital.item(f"{number}/1").reason == "awaiting_payment"
    assert hospital.item(f"{number}/2").reason == "booked"


def test_an_inpatients_free_assessment_waits_for_the_ward_like_everything_else(hospital: Any) -> None:
    number = hospital.order("ASSESS", encounter_class=EncounterClass.INPATIENT, verified=False)
    assert hospital.item(number).reason == "awaiting_release"


def opening(world: Any, resource: str, day: str) -> None:
    """Let a resource's slots before a day be closed."""
    world.database.write(
        lambda: world.database.rows(
            "UPDATE slot SET closed = 1, is_open = 0 WHERE day < ? AND resource_id IN "
            "(SELECT id FROM resource WHERE code = ?) RETURNING id", day, resource,
        )
    )  # fmt: skip


def test_where_the_next_free_endoscopy_is_weeks_away_the_assessment_waits_until_it_would_still_hold(
    opened: Any, sqlite_url: str
) -> None:
    hospital = opened(sqlite_url, days=28)
    opening(hospital.world, "room-1", "2026-12-14")
    number = hospital.order("GASTRO", "ASSESS")
    assessment = hospital.item(f"{number}/2")
    assert assessment.starts_at == MORNING + 7 * DAY + 6 * HOUR
    why = told(hospital, f"{number}/2").appointment.explanation["why"]["zh"]
    assert "内镜检查预计最早 2026-12-14" in why


def test_with_no_free_endoscopy_the_assessment_is_simply_the_earliest(opened: Any, sqlite_url: str) -> None:
    hospital = opened(sqlite_url)
    opening(hospital.world, "anaesthetist-1", "2027-01-01")
    number = hospital.order("GASTRO", "ASSESS")
    assert hospital.item(f"{number}/2").starts_at == MORNING + 6 * HOUR
    assert "暂无内镜空位" in told(hospital, f"{number}/2").appointment.explanation["why"]["zh"]


def test_an_assessment_alone_is_the_earliest(hospital: Any) -> None:
    number = hospital.order("ASSESS")
    assert hospital.item(number).starts_at == MORNING + 6 * HOUR


# Over all free times


@dataclass
class Calendar:
    """Free starts of each visit; every visit lasts 15 minutes."""

    free: Mapping[str, Sequence[datetime]]

    def earliest(self, visit: Visit, not_before: datetime) -> Placement | None:
        bounds = [not_before, *([visit.earliest] if visit.earliest else [])]
        start = min((start for start in self.free[visit.key] if start >= max(bounds)), default=None)
        return None if start is None else Placement(visit.key, "room", start)

    def ends_at(self, visit: Visit, placement: Placement) -> datetime:
        return placement.starts_at + timedelta(minutes=15)

    def days(self) -> Sequence[date]:
        return [NOW.date() + timedelta(days=number) for number in range(70)]

    def instant(self, day: date, tick: int) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=5 * tick)


def item(key: str, **attributes: Any) -> OrderItemView:
    return OrderItemView(key, ExamItem(key, Text("内镜", "endoscopy"), "ES", "stomach", "ES", attributes))


ITEMS = {"O1/1": item("O1/1", sedation=True), "O1/2": item("O1/2", opens=KIND)}


def request(*visits: str, waiting: Sequence[str] = ("O1/1",), lead: timedelta = timedelta()) -> BookingRequest:
    made = {key: Visit(key, "ES", (key,), (), earliest=NOW + lead if key == "O1/1" else None) for key in ITEMS}
    return BookingRequest(
        patient=PatientView(1, Sex.MALE, None),
        encounter=EncounterView("V1", EncounterClass.OUTPATIENT),
        ordering_department="CLINIC",
        visits=tuple(made[key] for key in visits),
        fixed=(),
        not_before=NOW,
        horizon=NOW.date() + timedelta(days=69),
        items=ITEMS,
        waiting=tuple(made[key] for key in waiting),
    )


TIMES = st.lists(st.integers(0, 60 * 24).map(lambda hours: NOW + hours * HOUR), min_size=1, max_size=30)


@settings(max_examples=150, deadline=None)
@given(TIMES, TIMES, st.integers(0, 72))
def test_the_proposed_assessment_holds_at_the_first_endoscopy_that_can_follow_it(
    clinic: list[datetime], rooms: list[datetime], lead: int
) -> None:
    calendar = Calendar({"O1/1": rooms, "O1/2": clinic})
    said = hooks.allocate(request("O1/2", lead=lead * HOUR), calendar, RULES)
    if said is None:
        # No assessment at all, or none that holds until the only endoscopies.
        return
    (proposal,) = said
    (placed,) = proposal.placements
    assert placed.starts_at in clinic
    ready = placed.starts_at + timedelta(minutes=15) + max(HOUR, lead * HOUR)
    exam = min((start for start in rooms if start >= ready), default=None)
    if exam is None:
        assert proposal.reason.en.endswith("within the horizon yet")
    else:
        assert exam - placed.starts_at <= 14 * DAY
        assert exam.date().isoformat() in proposal.reason.en


@settings(max_examples=50, deadline=None)
@given(TIMES)
def test_with_an_endoscopy_at_every_hour_the_earliest_assessment_is_taken(clinic: list[datetime]) -> None:
    calendar = Calendar({"O1/1": [NOW + hours * HOUR for hours in range(24 * 69)], "O1/2": clinic})
    said = hooks.allocate(request("O1/2"), calendar, RULES)
    assert said is not None
    assert said[0].placements[0].starts_at == min(clinic)


def test_other_visits_are_left_to_others() -> None:
    calendar = Calendar({"O1/1": [NOW], "O1/2": [NOW]})
    assert hooks.allocate(request("O1/1", waiting=()), calendar, RULES) is None
    assert hooks.allocate(request("O1/1", "O1/2", waiting=()), calendar, RULES) is None


def test_the_order_of_assessment_and_exam_is_a_rule_for_every_depth_of_sedation() -> None:
    rules = hooks.interval_rules(RULES)
    for depth in (True, "deep", "moderate"):
        own = [rule for rule in rules if rule.second.matches(item("x", sedation=depth).item)]
        assert [rule.relation for rule in own] == [Relation.BEFORE, Relation.EXCLUDE]
        assert all(rule.first.matches(ITEMS["O1/2"].item) for rule in own)
        assert max(rule.after for rule in own) == HOUR
    assert not any(rule.second.matches(item("x").item) for rule in rules)
