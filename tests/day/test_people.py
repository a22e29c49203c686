"""People with several records, with one telephone for a family, or without any number: told apart, never mixed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from examlane import EncounterClass, Sex, reporting
from examlane.errors import Conflict, NotFound, Refused
from examlane.insight import invariants
from examlane.orders import patients
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.patients import merging, people
from examlane.records.receipts import request_key
from examlane.testing import TESTER, World, small_hospital

WANG = {"name": "王小明", "sex": Sex.MALE, "birth_date": date(1980, 2, 3), "phone": "13800000000"}
CITIZEN = "310101198002030010"
NUMBERS = itertools.count(1)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, planning_window=timedelta())
    yield world
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def order(world: World, *identifiers: Identifier, **person: Any) -> str:
    """An order as the hospital sends it, in an encounter of its own; paid."""
    number = f"D{next(NUMBERS)}"
    data = OrderData(
        number=number, patient=PatientData(identifiers, **{**WANG, **person}),
        encounter=EncounterData(f"V-{number}", EncounterClass.OUTPATIENT, campus="N"), ordering_department="CLINIC",
        ordered_at=world.clock.now(), lines=(OrderLine(1, "US-THYROID"),),
    )  # fmt: skip
    reporting.submit_order(world.hospital, data, TESTER)
    world.pay(number)
    return number


def card(value: str) -> Identifier:
    return Identifier("card", value)


def tasks(world: World) -> int:
    sql = "SELECT count(*) FROM desk_task WHERE code = 'possible_duplicate' AND closed_at IS NULL"
    return int(world.database.value(sql))


def test_equal_name_birth_date_sex_and_telephone_are_one_task_a_pair_and_block_nothing(world: World) -> None:
    orders = [order(world, card("P1")), order(world, card("P2")), order(world, card("P2")), order(world, card("P1"))]

    assert tasks(world) == 1
    assert world.item(f"{orders[1]}/1").appointment_state == "booked"
    found = people.duplicates(world.hospital)[0]
    assert (found.first.name, found.second.birth_year) == ("王*明", "1980")
    assert found.first.identifiers == (("card", "*"),)


@pytest.mark.parametrize("other", [{"phone": ""}, {"birth_date": None}, {"name": "王明"}, {"sex": Sex.FEMALE}])
def test_one_telephone_for_several_people_mixes_nobody(world: World, other: dict[str, Any]) -> None:
    one, two = order(world, card("P1")), order(world, card("P2"), **other)

    assert tasks(world) == 0
    owners = world.database.rows("SELECT patient_id FROM exam_order WHERE number IN (?, ?)", one, two)
    assert len(set(owners)) == 2


def test_a_citizen_id_under_another_kind_of_number_is_noticed_and_any_other_equal_value_is_not(world: World) -> None:
    order(world, Identifier("citizen_id", CITIZEN))
    order(world, Identifier("insurance", CITIZEN), name="王晓明")
    order(world, card("700"), name="甲")
    order(world, Identifier("insurance", "700"), name="乙")
    assert tasks(world) == 1
    assert people.duplicates(world.hospital)[0].second.identifiers == (("insurance", "*0010"),)


def test_merging_them_closes_the_task_and_parting_them_does_not_ask_again(world: World) -> None:
    for patient in ("P1", "P2"):
        order(world, card(patient))
    found = merging.merge(world.hospital, card("P1"), card("P2"), TESTER)
    assert (tasks(world), people.duplicates(world.hospital)) == (0, [])
    merging.undo(world.hospital, found.id, TESTER)
    order(world, card("P2"))
    assert tasks(world) == 0


def test_a_temporary_number_is_enough_and_the_record_is_merged_once_the_real_one_is_known(world: World) -> None:
    number = order(world, Identifier("temporary", "T1"), name="无名氏", phone="", birth_date=None)
    assert world.item(f"{number}/1").appointment_state == "booked"
    order(world, card("P1"))
    merging.merge(world.hospital, card("P1"), Identifier("temporary", "T1"), TESTER)
    assert patients.get(world.database, Identifier("temporary", "T1")) == patients.get(world.database, card("P1"))


def test_relatives_are_shown_masked_beside_everybody_with_the_telephone(world: World) -> None:
    order(world, card("CHILD"), name="王一一", birth_date=date(2020, 1, 1))
    order(world, card("MOTHER"), name="李梅", sex=Sex.FEMALE)
    key = request_key("desk", "r1", "patient.relate", {})
    people.relate(world.hospital, card("CHILD"), card("MOTHER"), "mother", TESTER, key)
    people.relate(world.hospital, card("CHILD"), card("MOTHER"), "mother", TESTER)
    with pytest.raises(Conflict):
        people.relate(world.hospital, card("CHILD"), card("MOTHER"), "guardian", TESTER, key)

    found = people.by_phone(world.hospital, "13800000000")
    assert [(each.name, each.relations) for each in found] == [("王*一", (("mother", "李*"),)), ("李*", ())]
    assert people.by_phone(world.hospital, "") == people.by_phone(world.hospital, "1") == []
    gone = people.relate(world.hospital, card("CHILD"), card("MOTHER"), "mother", TESTER, related=False)
    assert gone.relations == ()


def test_nobody_is_his_own_relative_and_strangers_are_not_found(world: World) -> None:
    order(world, card("P1"))
    with pytest.raises(Refused, match="same patient"):
        people.relate(world.hospital, card("P1"), card("P1"), "mother", TESTER)
    with pytest.raises(NotFound):
        people.relate(world.hospital, card("P1"), card("P9"), "mother", TESTER)
    assert world.database.value("SELECT count(*) FROM patient_relation") == 0
