"""Two records of one person are merged and, when that was wrong, two again: linked as a whole, nothing cancelled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from peewee import ForeignKeyField

from examlane import EncounterClass, Sex
from examlane.appointments import changes, choosing
from examlane.errors import Conflict, NotFound, Refused
from examlane.insight import invariants
from examlane.orders import intake, patients
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.patients import merging
from examlane.patients.merging import Merge
from examlane.records import events
from examlane.records.receipts import request_key
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.storage.ledger import DeskTask
from examlane.storage.models import Patient, PatientFact
from examlane.storage.tables import TABLES
from examlane.testing import TESTER, World, require, small_hospital
from examlane.wards import encounters
from examlane.wards.encounters import EncounterReport
from examlane.worker import turn
from tests.day.test_reissued_orders import MORE, Merging, claims, theirs


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"merging": Merging()}, MORE, planning_window=timedelta())
    world.database.insert(Peer, code="his", created_at=epoch(world.clock.now()) - 1)
    yield world
    assert broken(world) == []
    world.hospital.close()


def broken(world: World) -> list[str]:
    return [each.id for each in invariants.check(world.database, clock=world.clock)]


def card(value: str) -> Identifier:
    return Identifier("card", value)


def booked(world: World, patient: str, *items: str, **more: Any) -> str:
    order = world.order(*(items or ("US-THYROID",)), patient=patient, **more)
    world.pay(order)
    return order


def join(world: World, keep: str, gone: str, key: Any = None) -> Merge:
    return merging.merge(world.hospital, card(keep), card(gone), TESTER, key)


def number(world: World, order: str) -> str:
    return str(world.item(f"{order}/1").appointment)


def owner(world: World, order: str) -> int:
    return int(world.database.value("SELECT patient_id FROM exam_order WHERE number = ?", order))


def move_to(world: World, order: str, like: str) -> None:
    """Give the visit of an order the time of another one's, in another room."""
    starts_at = world.item(f"{like}/1").starts_at
    choosing.reschedule(world.hospital, number(world, order), "US-N", starts_at, TESTER)


def at_another_time(world: World, order: str) -> None:
    time = choosing.times(world.hospital, appointment=number(world, order), limit=20)[-1]
    choosing.reschedule(world.hospital, number(world, order), time.group, time.starts_at, TESTER)


def shared(world: World) -> tuple[str, str, int]:
    """A visit that a registrar made of the exams of two records while they were merged."""
    require(world, "US", "merging")
    first, second = booked(world, "P1"), booked(world, "P2", "US-HEART")
    found = join(world, "P1", "P2")
    for order in (first, second):
        changes.cancel(world.hospital, number(world, order), TESTER, reason="一并检查")
    keys = [f"{first}/1", f"{second}/1"]
    time = choosing.times(world.hospital, items=keys, limit=1)[0]
    choosing.book(world.hospital, keys, time.group, time.starts_at, TESTER)
    assert number(world, first) == number(world, second)
    return first, second, found.id


def overlapping(world: World) -> tuple[str, str]:
    """Two visits at the same time of two records: of one person, as it turns out."""
    first, second = booked(world, "P1"), booked(world, "P2", "US-HEART")
    move_to(world, second, first)
    return first, second


def rows_of(world: World, patient: int) -> dict[str, list[int]]:
    """Every row that leads to a patient, by column."""
    found = {}
    for table in TABLES:
        for field in table._meta.sorted_fields:
            if isinstance(field, ForeignKeyField) and field.rel_model is Patient and "merge" not in table._meta.table_name:
                sql = f"SELECT id FROM {table._meta.table_name} WHERE {field.column_name} = ? ORDER BY id"
                rows = [row[0] for row in world.database.rows(sql, patient)]
                if rows:
                    found[f"{table._meta.table_name}.{field.column_name}"] = rows
    return found


def test_everything_is_linked_and_every_visit_stays_as_it_was(world: World) -> None:
    first, second = booked(world, "P1"), booked(world, "P2", "CT-HEAD")
    at_another_time(world, second)
    world.evidence("P2", "allergy", "none")
    seats = claims(world)
    before = (world.item(f"{first}/1"), world.item(f"{second}/1"))
    found = join(world, "P1", "P2")

    assert (world.item(f"{first}/1"), world.item(f"{second}/1")) == before
    assert claims(world) == seats
    assert (found.state, found.overlaps) == ("merged", ())
    assert {item.order for item in found.items} == {first, second}
    assert found.moved["evidence"] == found.moved["appointment"] == found.moved["encounter"] == 1
    gone = world.database.value("SELECT id FROM patient WHERE merged_into_id IS NOT NULL")
    assert rows_of(world, gone) == {}
    assert patients.find(world.database, [card("P2")]) == patients.find(world.database, [card("P1")]) == owner(world, first)


def test_peers_hear_which_encounters_orders_and_visits_to_link_anew_and_no_name(world: World) -> None:
    booked(world, "P1")
    second = booked(world, "P2", "CT-HEAD")
    found = join(world, "P1", "P2")
    told = world.database.rows("SELECT payload FROM event WHERE kind = 'patient.merged'")

    assert [json.loads(payload) for (payload,) in told] == [
        {"merge": found.id, "encounters": ["V-P2"], "orders": [second], "appointments": [number(world, second)]}
    ]
    events.deliver_due(world.database, lambda message: None, epoch(world.clock.now()))


def test_what_is_not_known_of_the_kept_patient_is_taken_over_and_given_up_again(world: World) -> None:
    booked(world, "P1")
    booked(world, "P2")
    world.database.rows("UPDATE patient SET phone = '138', birth_date = '1980-02-03' WHERE name = '患者P2' RETURNING id")
    known = "SELECT name, phone, birth_date FROM patient WHERE name = '患者P1'"
    found = join(world, "P1", "P2")
    assert world.database.row(known) == ("患者P1", "138", "1980-02-03")

    merging.undo(world.hospital, found.id, TESTER)
    assert world.database.row(known) == ("患者P1", "", None)


def test_asked_again_or_the_other_way_round_it_is_the_same_merge(world: World) -> None:
    booked(world, "P1")
    booked(world, "P2")
    found = join(world, "P1", "P2")

    assert join(world, "P1", "P2").id == join(world, "P2", "P1").id == found.id
    assert world.database.value("SELECT count(*) FROM patient_merge") == 1


def test_a_patient_is_not_merged_into_himself_and_whom_nobody_knows_not_at_all(world: World) -> None:
    booked(world, "P1")
    with pytest.raises(Refused, match="same patient"):
        join(world, "P1", "P1")
    with pytest.raises(NotFound):
        join(world, "P1", "NOBODY")
    assert world.database.value("SELECT count(*) FROM patient_merge") == 0


def test_a_number_that_a_merge_has_moved_is_not_merged_with_itself_either(world: World) -> None:
    booked(world, "P1")
    booked(world, "P2")
    join(world, "P1", "P2")
    for patient in ("P1", "P2"):
        with pytest.raises(Refused, match="same patient"):
            join(world, patient, patient)


def test_identifiers_are_found_along_a_chain_of_merges_and_it_is_undone_from_its_end(world: World) -> None:
    orders = [booked(world, patient) for patient in ("P1", "P2", "P3")]
    before = {order: rows_of(world, owner(world, order)) for order in orders}
    first, second = join(world, "P2", "P1"), join(world, "P3", "P2")
    assert {owner(world, order) for order in orders} == {patients.get(world.database, card("P1"))}
    assert broken(world) == []

    with pytest.raises(Conflict, match="merged again"):
        merging.undo(world.hospital, first.id, TESTER)
    merging.undo(world.hospital, second.id, TESTER)
    assert patients.get(world.database, card("P1")) == patients.get(world.database, card("P2")) == owner(world, orders[0])
    merging.undo(world.hospital, first.id, TESTER)
    for order in orders:
        after = rows_of(world, owner(world, order))
        after.pop("desk_task.patient_id", None)
        assert after == before[order]


@pytest.mark.parametrize(("kept", "other"), [("P1", "P2"), ("P2", "P1")])
def test_who_has_died_is_not_merged_with_somebody_whose_exams_are_open(world: World, kept: str, other: str) -> None:
    first, _ = booked(world, "P1"), booked(world, "P2")
    death = EncounterReport("V-P2", "death", world.clock.now())
    encounters.report(world.hospital, death, TESTER)

    with pytest.raises(Refused, match="has died"):
        join(world, kept, other)
    assert world.item(f"{first}/1").appointment_state == "booked"
    assert world.database.value("SELECT count(*) FROM patient_merge") == 0


def test_merged_with_one_who_has_died_he_has_died_too_and_lives_again_when_it_is_undone(world: World) -> None:
    first = booked(world, "P1")
    booked(world, "P2")
    changes.cancel(world.hospital, number(world, first), TESTER, reason="改期")
    world.database.rows("UPDATE order_item SET state = 'cancelled' WHERE key = ? RETURNING id", f"{first}/1")
    encounters.report(world.hospital, EncounterReport("V-P2", "death", world.clock.now()), TESTER)
    died = "SELECT died_at FROM patient WHERE id = ?"
    kept = patients.get(world.database, card("P1"))

    found = join(world, "P1", "P2")
    assert world.database.value(died, kept) is not None

    merging.undo(world.hospital, found.id, TESTER)
    assert world.database.value(died, kept) is None
    assert world.database.value(died, patients.get(world.database, card("P2"))) is not None


def test_visits_that_overlap_since_are_one_task_a_pair_until_one_of_them_is_moved(world: World) -> None:
    first, second = overlapping(world)
    found = join(world, "P1", "P2")
    assert found.overlaps == ((number(world, first), number(world, second)),)
    tasks = "SELECT count(*) FROM desk_task WHERE code = 'merge_overlap' AND closed_at IS NULL"
    assert world.database.value(tasks) == 1
    assert {world.item(f"{order}/1").appointment_state for order in (first, second)} == {"booked"}
    assert broken(world) == []
    turn(world.hospital, lambda message: None)
    assert world.database.value(tasks) == 1

    at_another_time(world, second)
    turn(world.hospital, lambda message: None)
    assert world.database.value(tasks) == 0


@pytest.mark.parametrize("tampered", ["closed", "other pair"])
def test_the_promise_notices_an_overlap_that_no_open_task_names(world: World, tampered: str) -> None:
    overlapping(world)
    join(world, "P1", "P2")
    sql = (
        "UPDATE desk_task SET closed_at = 1800000000 WHERE code = 'merge_overlap' RETURNING id"
        if tampered == "closed"
        else "UPDATE merge_overlap SET first_id = second_id RETURNING id"
    )
    world.database.rows(sql)
    assert broken(world) == ["patient_overlap"]
    world.database.rows("UPDATE desk_task SET closed_at = NULL RETURNING id")
    world.database.rows("UPDATE merge_overlap SET first_id = (SELECT min(id) FROM appointment) RETURNING id")


def test_an_exam_that_is_done_overlaps_nothing_that_the_desk_could_still_move(world: World) -> None:
    """As when a no-show of a merged patient, whose task had ended with it, turns out to have been examined."""
    first, _ = overlapping(world)
    join(world, "P1", "P2")
    world.database.rows("UPDATE desk_task SET closed_at = 1800000000 WHERE code = 'merge_overlap' RETURNING id")
    assert broken(world) == ["patient_overlap"]

    changes.execution(world.hospital, number(world, first), "finished", TESTER)
    assert broken(world) == []


def test_what_came_to_the_others_encounter_meanwhile_goes_back_with_it_and_the_rest_stays(world: World) -> None:
    first, second = booked(world, "P1"), booked(world, "P2")
    before = world.item(f"{second}/1")
    found = join(world, "P1", "P2")
    theirs_since = booked(world, "P2", "CT-HEAD")
    ours_since = booked(world, "P2", "US-HEART", encounter="V-NEW")
    world.evidence("P2", "allergy", "none")
    again = merging.undo(world.hospital, found.id, TESTER)

    assert (again.state, {item.order for item in again.items}) == ("undone", {first, ours_since})
    assert owner(world, second) == owner(world, theirs_since) == patients.get(world.database, card("P2"))
    assert owner(world, first) == owner(world, ours_since) == patients.get(world.database, card("P1"))
    after = world.item(f"{second}/1")
    assert (after.appointment, after.starts_at, after.appointment_state) == (before.appointment, before.starts_at, "booked")
    assert world.item(f"{theirs_since}/1").appointment_state == "booked"
    assert world.database.value("SELECT patient_id FROM evidence") == owner(world, first)
    task = "SELECT count(*) FROM desk_task WHERE code = 'merge_undone' AND closed_at IS NULL AND patient_id = ?"
    assert world.database.value(task, owner(world, first)) == 1
    assert merging.undo(world.hospital, found.id, TESTER).state == "undone"


def test_a_visit_shared_by_both_is_parted_and_each_has_a_place_again(world: World) -> None:
    first, second, found = shared(world)

    merging.undo(world.hospital, found, TESTER)
    assert number(world, first) != number(world, second)
    assert {world.item(f"{order}/1").appointment_state for order in (first, second)} == {"booked"}


def test_a_shared_visit_that_has_begun_keeps_its_time(world: World) -> None:
    first, second, found = shared(world)
    changes.execution(world.hospital, number(world, first), "started", TESTER)

    merging.undo(world.hospital, found, TESTER)
    assert world.item(f"{first}/1").appointment_state == "in_progress"
    assert world.item(f"{second}/1").appointment_state == "booked"


def test_of_a_fact_that_both_have_from_one_source_each_keeps_his_own(world: World) -> None:
    orders = [booked(world, patient) for patient in ("P1", "P2")]
    for order in orders:
        world.database.insert(
            PatientFact, patient=owner(world, order), name="weight_kg", value="60", source="his", recorded_at=1_790_000_000
        )
    assert "patient_fact" not in join(world, "P1", "P2").moved


def test_an_order_that_was_on_its_way_while_patients_were_merged_comes_to_the_kept_one(world: World) -> None:
    first = booked(world, "P1")
    gone = owner(world, booked(world, "P2"))
    join(world, "P1", "P2")

    assert world.database.write(lambda: patients.touch(world.database, gone)) == owner(world, first)
    data = OrderData(
        number="LATE", patient=PatientData((card("P2"), card("P4")), "患者", Sex.FEMALE),
        encounter=EncounterData("V-P2", EncounterClass.OUTPATIENT), ordering_department="CLINIC",
        ordered_at=world.clock.now(), lines=(OrderLine(1, "CT-HEAD"),),
    )  # fmt: skip
    hospital, now = world.hospital, world.clock.now()
    found = intake.record(hospital.database, hospital.catalogues.current(), hospital.settings, data, TESTER, now)
    assert found == owner(world, first) == patients.get(world.database, card("P4"))


def test_a_repeated_merge_and_the_neighbour(world: World) -> None:
    for patient in ("P1", "P2"):
        booked(world, patient)
    other = booked(world, "P3", "CT-HEAD")
    before = theirs(world, other)
    key = request_key("empi", "m1", "patient.merge", {})
    found = join(world, "P1", "P2", key)
    with pytest.raises(Conflict):
        join(world, "P1", "P2", key)
    merging.undo(world.hospital, found.id, TESTER)

    assert theirs(world, other) == before
    with pytest.raises(NotFound):
        merging.undo(world.hospital, found.id + 1, TESTER)


def test_a_task_of_the_desk_goes_with_its_patient(world: World) -> None:
    world.database.insert(DeskTask, code="conflict_repeated", department="", opened_at=1_790_000_000,
                          patient=owner(world, booked(world, "P2")))  # fmt: skip
    first = booked(world, "P1")
    found = join(world, "P1", "P2")
    task = "SELECT patient_id FROM desk_task WHERE code = 'conflict_repeated'"
    assert world.database.value(task) == owner(world, first)
    merging.undo(world.hospital, found.id, TESTER)
    assert world.database.value(task) != owner(world, first)
