"""What an external system books takes seats, counts for intervals, and stays its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from examlane.appointments import booking, changes, choosing, status
from examlane.arrival import noshow
from examlane.capacity import policy
from examlane.domain import DepartmentMode, IntervalRule, Relation, Selector, Sex, Text
from examlane.errors import Conflict, InvalidInput, Refused
from examlane.golive import received
from examlane.golive.received import Received, Report
from examlane.insight import invariants
from examlane.orders.patients import Identifier, PatientData
from examlane.records.receipts import request_key
from examlane.replanning import closing, reading, suspensions
from examlane.replanning.closing import Asked
from examlane.storage.fields import epoch
from examlane.testing import MORNING, TESTER, World, small_hospital

NINE = MORNING + timedelta(hours=25)
"""Tuesday 09:00."""
TASKS = "SELECT count(*) FROM desk_task WHERE code = 'suspended_elsewhere' AND closed_at IS NULL"


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    found = small_hospital(database_url)
    found.mode("US", DepartmentMode.EXTERNAL)
    yield found
    assert [each.id for each in invariants.check(found.database, clock=found.clock)] == []
    found.hospital.close()


def person(card: str) -> PatientData:
    return PatientData((Identifier("card", card),), f"患者{card}", Sex.FEMALE)


def report(number: str = "R1", **more: Any) -> Report:
    usual = {
        "system": "RIS", "state": "booked", "patient": person(more.pop("card", "P1")), "sent_at": MORNING,
        "starts_at": NINE, "items": ("US-THYROID",), "resource": "US-N-1",
    }  # fmt: skip
    return Report(number=number, **{**usual, **more})


def told(world: World, number: str = "R1", **more: Any) -> Received:
    return received.receive(world.hospital, report(number, **more), TESTER)


def seats(world: World, resource: str = "US-N-1", start: datetime = NINE) -> tuple[int, int, int]:
    found: tuple[int, int, int] = world.database.row(
        "SELECT s.taken, s.capacity, s.extra FROM slot s JOIN resource r ON r.id = s.resource_id "
        "WHERE r.code = ? AND s.start_at = ?",
        resource, int(start.timestamp()),
    )  # fmt: skip
    return found


def test_a_reported_appointment_takes_its_seat_and_stands_on_the_list_of_the_day(world: World) -> None:
    answer = told(world)

    found = status.appointment(world.hospital, answer.appointment)
    assert (answer.result, answer.problems) == ("created", ())
    assert (found.mode, found.state, found.starts_at, found.group) == ("external", "booked", NINE, "US-N")
    assert seats(world) == (1, 1, 0)
    listed = status.appointments(world.hospital, department="US", day="2026-11-24")
    assert [each.number for each in listed] == [answer.appointment]


def test_the_same_report_twice_changes_nothing(world: World) -> None:
    first = told(world)
    again = told(world)

    assert (again.result, again.appointment) == ("unchanged", first.appointment)
    assert world.database.value("SELECT count(*) FROM appointment") == 1
    assert seats(world) == (1, 1, 0)


def test_a_full_time_gets_an_audited_extra_seat_because_it_is_a_fact(world: World) -> None:
    told(world)
    answer = told(world, "R2", card="P2")

    assert (answer.result, answer.problems) == ("created", ("seat_full",))
    assert seats(world) == (2, 1, 1)
    assert world.database.value("SELECT count(*) FROM audit WHERE action = 'slot.extra'") == 1


def test_a_moved_appointment_takes_its_seats_with_it_and_keeps_its_number(world: World) -> None:
    first = told(world, sequence=1)
    moved = told(world, sequence=2, starts_at=NINE + timedelta(hours=1), resource="US-N-2")

    assert (moved.result, moved.appointment) == ("changed", first.appointment)
    assert seats(world) == (0, 1, 0)
    assert seats(world, "US-N-2", NINE + timedelta(hours=1)) == (1, 1, 0)


def test_what_was_sent_earlier_and_comes_later_changes_nothing(world: World) -> None:
    told(world, sequence=3, starts_at=NINE + timedelta(hours=1))
    late = told(world, sequence=2)
    by_time = told(world, "R5", card="P5", sent_at=MORNING)
    told(world, "R5", card="P5", sent_at=MORNING + timedelta(minutes=2), starts_at=NINE + timedelta(hours=2))
    later = told(world, "R5", card="P5", sent_at=MORNING + timedelta(minutes=1))

    assert (late.result, by_time.result, later.result) == ("outdated", "created", "outdated")
    assert status.appointment(world.hospital, late.appointment).starts_at == NINE + timedelta(hours=1)
    assert status.appointment(world.hospital, later.appointment).starts_at == NINE + timedelta(hours=2)


def test_a_cancelled_one_gives_its_seat_back_and_needs_no_more_than_its_number(world: World) -> None:
    told(world, sequence=1)
    answer = told(world, sequence=2, state="cancelled", starts_at=None, items=(), resource="")

    assert answer.result == "cancelled"
    assert status.appointment(world.hospital, answer.appointment).state == "cancelled"
    assert seats(world) == (0, 1, 0)
    back = told(world, sequence=3)
    assert back.result == "created"
    assert back.appointment != answer.appointment
    assert seats(world) == (1, 1, 0)


def test_an_execution_is_a_fact_whatever_was_known_before(world: World) -> None:
    known = told(world, sequence=1)
    done = told(world, sequence=2, state="executed")
    unknown = told(world, "R2", card="P2", state="executed", starts_at=MORNING - timedelta(hours=1))

    assert (done.result, done.appointment) == ("executed", known.appointment)
    assert status.appointment(world.hospital, done.appointment).state == "fulfilled"
    assert status.appointment(world.hospital, unknown.appointment).state == "fulfilled"


def test_an_exam_done_on_an_earlier_day_is_history_and_no_visit(world: World) -> None:
    answer = told(world, state="executed", starts_at=MORNING - timedelta(days=3))

    assert (answer.result, answer.appointment) == ("history", "")
    assert world.database.value("SELECT source FROM past_examination") == "RIS"
    again = told(world, state="executed", starts_at=MORNING - timedelta(days=3))
    assert again.result == "unchanged"
    assert world.database.value("SELECT count(*) FROM past_examination") == 1


def test_an_unknown_resource_is_stored_without_seats_and_flagged(world: World) -> None:
    answer = told(world, resource="US-OLD-7")
    outside = told(world, "R2", card="P2", starts_at=NINE + timedelta(hours=10))

    assert (answer.result, answer.problems) == ("created", ("unknown_resource",))
    assert (outside.result, outside.problems) == ("created", ("outside_roster",))
    assert world.database.value("SELECT count(*) FROM claim") == 0


def test_an_external_exam_counts_for_the_distances_of_ours(database_url: str) -> None:
    class Apart:
        from examlane import hookimpl

        @hookimpl
        def interval_rules(self) -> list[IntervalRule]:
            day = timedelta(hours=30)
            return [
                IntervalRule("apart", "1", Selector(department="US"), Selector(department="CT"), Relation.EXCLUDE,
                             Text("隔开", "apart"), after=day, before=day)
            ]  # fmt: skip

    world = small_hospital(database_url, {"apart": Apart()})
    world.switch("CT", "apart")
    world.mode("US", DepartmentMode.EXTERNAL)
    told(world)
    world.pay(world.order("CT-HEAD"))

    world.later(minutes=1)
    assert world.item("O1/1").starts_at.astimezone(UTC) >= NINE + timedelta(hours=30)
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def test_an_external_visit_keeps_the_patient_from_being_booked_elsewhere_at_that_time(world: World) -> None:
    told(world, starts_at=MORNING + timedelta(hours=1), ends_at=MORNING + timedelta(hours=2))
    world.pay(world.order("CT-HEAD"))
    world.later(minutes=1)

    starts = world.item("O1/1").starts_at
    assert not MORNING + timedelta(minutes=50) < starts < MORNING + timedelta(hours=2)


def test_an_appointment_for_an_order_of_ours_books_its_item(world: World) -> None:
    number = world.order("US-THYROID")
    world.pay(number)
    world.later(minutes=1)
    assert world.item(f"{number}/1").reason == "department_external"

    answer = told(world, items=(), orders=(f"{number}/1",))

    item = world.item(f"{number}/1")
    assert (item.appointment, item.reason) == (answer.appointment, "booked")
    assert world.database.value("SELECT count(*) FROM exam_order") == 1


def test_an_order_that_comes_later_takes_the_place_of_what_stood_in_for_it(world: World) -> None:
    first = told(world)
    number = world.order("US-THYROID", confirmed=("core.repeated_order",), confirm_reason="x")
    answer = told(world, sent_at=MORNING + timedelta(minutes=1), items=(), orders=(f"{number}/1",))

    assert (answer.result, answer.appointment) == ("changed", first.appointment)
    assert world.item(f"{number}/1").appointment == first.appointment
    assert status.appointment(world.hospital, first.appointment).items == (f"{number}/1",)


def test_other_exams_take_the_place_of_those_told_before(world: World) -> None:
    first = told(world)
    told(world, sent_at=MORNING + timedelta(minutes=1), items=("US-HEART",))

    codes = world.database.rows(
        "SELECT i.code FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id "
        "JOIN exam_item i ON i.id = oi.item_id WHERE ai.active = 1"
    )
    assert codes == [("US-HEART",)]
    found = status.appointment(world.hospital, first.appointment)
    assert found.ends_at - found.starts_at == timedelta(minutes=20)


def test_a_leftover_of_a_department_that_books_here_is_accepted_and_flagged(world: World) -> None:
    answer = told(world, items=("CT-HEAD",), resource="CT-N-1")

    assert (answer.result, answer.problems) == ("created", ("department_not_external",))
    changes.cancel(world.hospital, answer.appointment, TESTER, reason="不再需要")
    assert seats(world, "CT-N-1") == (0, 1, 0)


def test_a_leftover_without_an_order_is_not_moved_because_no_rule_knows_it(world: World) -> None:
    answer = told(world, items=("CT-HEAD",), resource="CT-N-1")

    with pytest.raises(Refused) as refused:
        choosing.reschedule(world.hospital, answer.appointment, "CT-N", NINE + timedelta(hours=1), TESTER)
    assert refused.value.code == "without_order"


def test_a_leftover_with_an_order_that_we_move_is_ours(world: World) -> None:
    order = world.order("CT-HEAD")
    number = told(world, items=(), orders=(f"{order}/1",), resource="CT-N-1").appointment
    choosing.reschedule(world.hospital, number, "CT-N", NINE + timedelta(hours=1), TESTER)

    assert status.appointment(world.hospital, number).mode == "slot"
    assert told(world, sequence=2, items=(), starts_at=NINE).problems == ("department_not_external", "ours_now")


def test_two_exams_of_one_patient_at_one_time_are_flagged(world: World) -> None:
    told(world)
    answer = told(world, "R2", resource="US-N-2", items=("US-HEART",))

    assert answer.problems == ("overlap",)


def test_it_stays_the_external_systems_own(world: World) -> None:
    answer = told(world)

    with pytest.raises(Conflict, match="own system"):
        changes.cancel(world.hospital, answer.appointment, TESTER, reason="改期")
    with pytest.raises(Conflict, match="own system"):
        choosing.reschedule(world.hospital, answer.appointment, "US-N", NINE + timedelta(hours=1), TESTER)
    world.later(days=3)
    assert noshow.sweep(world.hospital) == 0
    assert changes.expire_tentative(world.hospital, TESTER) == 0
    assert status.appointment(world.hospital, answer.appointment).state == "booked"


def test_a_suspension_leaves_it_to_the_external_system_and_tells_the_desk(world: World) -> None:
    answer = told(world)
    asked = Asked("device_down", "repair", "US-N-1", since=NINE, until=NINE + timedelta(hours=1))
    planned = closing.plan(world.hospital, asked)

    (foreseen,) = suspensions.preview(world.hospital, planned).visits
    found = suspensions.apply(world.hospital, planned, TESTER)

    (visit,) = reading.visits(world.hospital, found.id)
    assert (foreseen.outcome, foreseen.code) == (visit.outcome, visit.code) == ("kept", "suspended_elsewhere")
    current = status.appointment(world.hospital, answer.appointment)
    assert (current.state, current.starts_at) == ("booked", NINE)
    assert world.database.value(TASKS) == 1
    suspensions.end(world.hospital, found.number, TESTER)
    assert world.database.value(TASKS) == 0


def test_what_is_given_up_in_a_department_that_books_elsewhere_again_is_kept_back_for_nobody(world: World) -> None:
    world.clock.set(MORNING - timedelta(hours=3))
    policy.set_policy(world.database, "US", {"cancelled_seat_delay_minutes": 60}, TESTER, epoch(world.clock.now()))
    world.mode("US", DepartmentMode.AUTOMATIC)
    order = world.order("US-THYROID")
    world.pay(order)
    number = world.item(f"{order}/1").appointment
    world.mode("US", DepartmentMode.EXTERNAL)

    changes.cancel(world.hospital, number, TESTER, reason="患者要求", by_patient=True)
    assert world.database.row("SELECT sum(taken), sum(withheld) FROM slot") == (0, 0)
    assert world.database.value("SELECT count(*) FROM freed_time") == 0


def test_a_gate_that_is_closed_here_changes_nothing_of_it(world: World) -> None:
    answer = told(world)
    world.mode("US", DepartmentMode.MANUAL)
    booking.settle(world.hospital, status.appointment(world.hospital, answer.appointment).patient, TESTER)

    assert status.appointment(world.hospital, answer.appointment).state == "booked"
    assert world.database.value("SELECT count(*) FROM desk_task") == 0


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"items": ("NOTHING",)}, "/items/0"),
        ({"items": ()}, "/items"),
        ({"items": ("US-THYROID", "CT-HEAD")}, "/items"),
        ({"items": (), "orders": ("O77/1",)}, "/orders/0"),
        ({"starts_at": None}, "/starts_at"),
        ({"ends_at": NINE}, "/ends_at"),
        ({"ends_at": NINE + timedelta(days=2)}, "/ends_at"),
    ],
)
def test_what_cannot_be_understood_is_refused_and_nothing_is_written(
    world: World, more: dict[str, Any], pointer: str
) -> None:
    before = [world.database.value(f"SELECT count(*) FROM {name}") for name in ("patient", "external_appointment", "audit")]
    with pytest.raises(InvalidInput) as refused:
        told(world, **more)

    assert [each for each, _ in refused.value.problems] == [pointer]
    after = [world.database.value(f"SELECT count(*) FROM {name}") for name in ("patient", "external_appointment", "audit")]
    assert before == after


def test_a_number_of_another_patient_is_refused_and_touches_nobody(world: World) -> None:
    told(world)
    rows = world.database.rows("SELECT * FROM appointment")
    with pytest.raises(Conflict) as refused:
        told(world, card="P2", sent_at=MORNING + timedelta(minutes=5))

    assert refused.value.code == "external_number_of_another_patient"
    assert world.database.rows("SELECT * FROM appointment") == rows


def test_another_patients_rows_stay_as_they_are(world: World) -> None:
    told(world, "R9", card="P9", starts_at=NINE + timedelta(hours=1))
    tables = ("appointment", "claim", "order_item", "external_appointment")
    before = {name: world.database.rows(f"SELECT * FROM {name} ORDER BY id") for name in tables}
    told(world, sequence=1)
    told(world, sequence=2, state="cancelled")

    for name, rows in before.items():
        assert world.database.rows(f"SELECT * FROM {name} ORDER BY id")[: len(rows)] == rows


def test_a_repeated_request_is_kept_apart_by_its_key(world: World) -> None:
    key = request_key("ris", "k1", "external.report", {"number": "R1"})
    received.receive(world.hospital, report(), TESTER, key)
    with pytest.raises(Conflict) as refused:
        received.receive(world.hospital, report(), TESTER, key)

    assert refused.value.code == "request_in_flight"
