"""Check-up groups: everybody on one day as a whole, and never more people a day than the contract says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from examlane import Sex
from examlane.appointments import changes
from examlane.checkups import contracts, group_days
from examlane.checkups.contracts import ContractData
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.insight import invariants
from examlane.orders.patients import Identifier, PatientData
from examlane.records.receipts import request_key
from examlane.testing import TESTER, World, small_hospital
from tests.day.test_reissued_orders import theirs

TUESDAY, WEDNESDAY = date(2026, 11, 24), date(2026, 11, 25)
UNIT = ContractData(
    "C1", "某单位", (("US-THYROID", ""), ("CT-HEAD", ""), ("US-HEART", "female")), {"N": 2}, TUESDAY, WEDNESDAY
)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, planning_window=timedelta())
    contracts.create(world.hospital, UNIT, TESTER)
    yield world
    assert broken(world) == []
    world.hospital.close()


def broken(world: World) -> list[str]:
    return [each.id for each in invariants.check(world.database, clock=world.clock)]


def person(number: int, sex: Sex = Sex.FEMALE) -> PatientData:
    return PatientData((Identifier("card", f"C{number}"),), f"员工{number}", sex, date(1990, 1, 1))


def listed(world: World, *people: PatientData) -> list[int]:
    found = contracts.add_people(world.hospital, "C1", people, TESTER)
    return [one.person for one in found if one.person is not None]


def days(world: World) -> dict[int, str | None]:
    return {one.id: one.day for one in group_days.read(world.hospital, "C1").people}


def visits(world: World, person: int) -> list[tuple[str, str]]:
    """The visits of a person that stand: exam and day."""
    return world.database.rows(  # type: ignore[no-any-return]
        "SELECT i.code, a.day FROM checkup_person c JOIN exam_order o ON o.number = c.order_number "
        "JOIN order_item oi ON oi.order_id = o.id JOIN exam_item i ON i.id = oi.item_id "
        "JOIN appointment_item ai ON ai.order_item_id = oi.id AND ai.active = 1 "
        "JOIN appointment a ON a.id = ai.appointment_id WHERE c.id = ? ORDER BY oi.id",
        person,
    )


def test_everybody_is_booked_evenly_over_the_days_all_exams_on_one_day_and_nothing_to_pay(world: World) -> None:
    one, two = listed(world, person(1), person(2, Sex.MALE))
    found = group_days.book(world.hospital, "C1", TESTER)

    assert (found.counts["booked"], found.counts["listed"]) == (2, 0)
    assert sorted(str(day) for day in days(world).values()) == ["2026-11-24", "2026-11-25"]
    assert visits(world, one) == [(code, days(world)[one]) for code in ("US-THYROID", "CT-HEAD", "US-HEART")]
    assert visits(world, two) == [(code, days(world)[two]) for code in ("US-THYROID", "CT-HEAD")]


def test_who_finds_no_free_day_goes_to_the_desk_and_may_be_given_one_later(world: World) -> None:
    people = listed(world, *(person(number) for number in range(5)))
    found = group_days.book(world.hospital, "C1", TESTER)
    assert (found.counts["booked"], found.counts["desk"]) == (4, 1)
    tasks = "SELECT count(*) FROM desk_task WHERE code = 'no_group_day' AND closed_at IS NULL"
    assert world.database.value(tasks) == 1
    world.later(minutes=5)
    assert visits(world, people[4]) == []

    group_days.leave(world.hospital, "C1", [people[0]], TESTER, reason="离职")
    day = date.fromisoformat(str(dict(world.database.rows("SELECT taken, day FROM checkup_quota"))[1]))
    again = group_days.book(world.hospital, "C1", TESTER, chosen={people[4]: ("N", day)})
    assert (again.counts["booked"], again.counts["left"]) == (4, 1)
    assert world.database.value(tasks) == 0


def test_two_exchange_their_days_and_one_moves_within_the_quota(world: World) -> None:
    one, two, three = listed(world, person(1), person(2), person(3))
    wish = {one: ("N", TUESDAY), two: ("N", WEDNESDAY), three: ("N", WEDNESDAY)}
    group_days.book(world.hospital, "C1", TESTER, chosen=wish)
    group_days.swap(world.hospital, "C1", one, two, TESTER)
    assert days(world) == {one: "2026-11-25", two: "2026-11-24", three: "2026-11-25"}
    assert {day for _, day in visits(world, one)} == {"2026-11-25"}
    assert {day for _, day in visits(world, two)} == {"2026-11-24"}

    with pytest.raises(Refused, match="full"):
        group_days.move(world.hospital, "C1", two, "N", WEDNESDAY, TESTER)
    assert {day for _, day in visits(world, two)} == {"2026-11-24"}
    group_days.move(world.hospital, "C1", three, "N", TUESDAY, TESTER)
    assert days(world)[three] == "2026-11-24"


def test_many_at_once_never_exceed_the_quota(world: World) -> None:
    people = listed(world, *(person(number) for number in range(6)))

    def book(each: int) -> None:
        group_days.book(world.hospital, "C1", TESTER, chosen={each: ("N", TUESDAY)})
        world.database.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(book, people))
    assert group_days.read(world.hospital, "C1").counts["booked"] == 2


def test_who_has_left_may_come_back(world: World) -> None:
    (one,) = listed(world, person(1))
    group_days.book(world.hospital, "C1", TESTER)
    group_days.leave(world.hospital, "C1", [one], TESTER, reason="离职")
    assert visits(world, one) == []
    assert listed(world, person(1)) == [one]
    group_days.book(world.hospital, "C1", TESTER)
    assert len(visits(world, one)) == 3


def test_the_promise_notices_a_day_with_more_people_than_its_quota(world: World) -> None:
    listed(world, person(1))
    group_days.book(world.hospital, "C1", TESTER)
    world.database.rows("UPDATE checkup_quota SET taken = taken + 1 WHERE taken = 1 RETURNING id")
    assert broken(world) == ["checkup_quota"]
    world.database.rows("UPDATE checkup_quota SET taken = taken - 1 WHERE taken = 2 RETURNING id")


def test_each_line_of_a_list_is_answered_and_a_bad_one_keeps_no_other_out(world: World) -> None:
    young = replace(person(4), birth_date=date(2030, 1, 1))
    people = [person(1), person(1), person(2, Sex.UNKNOWN), young, person(3)]
    found = contracts.add_people(world.hospital, "C1", people, TESTER)
    assert [one.outcome for one in found] == ["added", "known", "refused", "refused", "added"]
    assert [one.code for one in found if one.code] == ["sex_unknown", "born_in_the_future"]


def test_a_contract_is_changed_but_not_below_what_is_booked(world: World) -> None:
    people = listed(world, person(1), person(2))
    group_days.book(world.hospital, "C1", TESTER, chosen=dict.fromkeys(people, ("N", TUESDAY)))
    for smaller in ({"quotas": {"N": 1}}, {"starts_on": WEDNESDAY}, {"quotas": {"S": 5}}):
        with pytest.raises(Conflict, match="booked beyond"):
            contracts.change(world.hospital, replace(UNIT, **smaller), TESTER)
    changed = contracts.change(world.hospital, replace(UNIT, quotas={"N": 3}), TESTER, version=1)
    assert (changed.version, changed.data.quotas) == (2, {"N": 3})
    with pytest.raises(Conflict, match="reload"):
        contracts.change(world.hospital, UNIT, TESTER, version=1)


def test_a_cancelled_contract_frees_every_place_except_of_whom_was_examined(world: World) -> None:
    one, two = listed(world, person(1), person(2))
    group_days.book(world.hospital, "C1", TESTER)
    number = world.database.value("SELECT min(number) FROM appointment WHERE patient_id = "
                                  "(SELECT patient_id FROM checkup_person WHERE id = ?)", one)  # fmt: skip
    changes.execution(world.hospital, number, "started", TESTER)
    found = group_days.cancel(world.hospital, "C1", TESTER, reason="合同终止")

    assert (found.contract.state, found.counts["booked"], found.counts["left"]) == ("cancelled", 1, 1)
    assert visits(world, two) == []
    with pytest.raises(Conflict, match="cancelled"):
        group_days.book(world.hospital, "C1", TESTER)


def test_every_mistake_is_named_and_nothing_is_written(world: World) -> None:
    bad = ContractData("C2", "某单位", (("NONE", ""),), {"X": 1}, WEDNESDAY, TUESDAY)
    with pytest.raises(InvalidInput) as raised:
        contracts.create(world.hospital, bad, TESTER)
    assert [pointer for pointer, _ in raised.value.problems] == ["/quotas/X", "/items/0/item", "/ends_on"]
    with pytest.raises(Conflict, match="exists"):
        contracts.create(world.hospital, UNIT, TESTER)
    with pytest.raises(NotFound):
        group_days.read(world.hospital, "C2")
    people = listed(world, person(1))
    for wish in ({people[0]: ("N", date(2026, 12, 24))}, {99: ("N", TUESDAY)}):
        with pytest.raises(Refused):
            group_days.book(world.hospital, "C1", TESTER, chosen=wish)
    with pytest.raises(Refused, match="no group day"):
        group_days.move(world.hospital, "C1", people[0], "N", TUESDAY, TESTER)


def test_a_repeated_booking_and_the_neighbour(world: World) -> None:
    other = world.order("CT-HEAD", patient="P9")
    world.pay(other)
    before = theirs(world, other)
    listed(world, person(1))
    key: Any = request_key("desk", "b1", "checkup.book", {})
    group_days.book(world.hospital, "C1", TESTER, key)
    with pytest.raises(Conflict):
        group_days.book(world.hospital, "C1", TESTER, key)
    assert theirs(world, other) == before
