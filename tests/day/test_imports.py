"""Lists from another system: tried first, taken once, and every line that is not taken says why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane.domain import DepartmentMode
from examlane.errors import InvalidInput
from examlane.golive import differences, imports
from examlane.golive import lines as reading
from examlane.golive.imports import Options, Tally
from examlane.golive.lines import Line
from examlane.insight import invariants
from examlane.testing import MORNING, TESTER, World, small_hospital

HEADER = "number,patient,patient_name,items,resource,starts_at,state"
GOOD = (
    "R1,card=P1,患者甲,US-THYROID,US-N-1,2026-11-24 09:00,\n"
    "R2,card=P2;id=510,患者乙,US-HEART,US-N-2,2026-11-24T09:00:00+08:00,booked\n"
)
TABLES = ("patient", "appointment", "claim", "external_appointment", "past_examination", "audit", "transfer", "event")


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    found = small_hospital(database_url)
    found.mode("US", DepartmentMode.EXTERNAL)
    yield found
    assert [each.id for each in invariants.check(found.database, clock=found.clock)] == []
    found.hospital.close()


def taken(world: World, rows: str, kind: str = "appointments", **more: Any) -> Tally:
    options = Options(**{"system": "RIS", "as_of": world.clock.now(), **more})
    return imports.run(world.hospital, kind, reading.from_csv(f"{HEADER}\n{rows}"), options, TESTER)


def counted(world: World) -> dict[str, int]:
    return {name: world.database.value(f"SELECT count(*) FROM {name}") for name in TABLES}


def refusals(tally: Tally) -> list[tuple[int, str]]:
    return [(one["line"], one["code"]) for one in tally.refused]


def test_a_list_is_taken_and_the_same_list_again_adds_nothing(world: World) -> None:
    first = taken(world, GOOD)
    before = counted(world)
    again = taken(world, GOOD)

    assert (first.read, first.taken, first.already, first.changed, first.refused) == (2, 2, 0, 0, [])
    assert (again.read, again.taken, again.already, again.changed, again.refused) == (2, 0, 2, 0, [])
    left = counted(world)
    assert {name: left[name] - before[name] for name in TABLES if left[name] != before[name]} == {"audit": 1, "transfer": 1}


def test_a_dry_run_says_the_same_and_writes_nothing(world: World) -> None:
    before = counted(world)
    tried = taken(world, GOOD + "R3,card=P3,患者丙,NOTHING,US-N-1,2026-11-24 10:00,\n", dry_run=True)

    assert (tried.read, tried.taken, refusals(tried), tried.id) == (3, 2, [(4, "unknown_item")], None)
    assert counted(world) == before


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("X,card=P9,患者,NOTHING,US-N-1,2026-11-24 10:00,", "unknown_item"),
        ("X,card=P9,患者,US-THYROID;CT-HEAD,US-N-1,2026-11-24 10:00,", "unknown_item"),
        ("X,card=P9,患者,US-THYROID,OLD-9,2026-11-24 10:00,", "unknown_resource"),
        ("X,card=P9,,US-THYROID,US-N-1,2026-11-24 10:00,", "unknown_patient"),
        ("X,P9,患者,US-THYROID,US-N-1,2026-11-24 10:00,", "unknown_patient"),
        ("X,card=P1,患者甲,US-HEART,US-S-1,2026-11-24 08:50,", "overlap"),
        ("X,card=P9,患者,US-THYROID,US-N-1,2026-11-24 09:00,", "seat_full"),
        ("X,card=P9,患者,US-THYROID,US-N-1,2027-11-24 09:00,", "outside_horizon"),
        ("X,card=P9,患者,US-THYROID,US-N-1,2026-11-22 09:00,", "bad_time"),
        ("X,card=P9,患者,US-THYROID,US-N-1,tomorrow,", "bad_time"),
        ("X,card=P9,患者,US-THYROID,US-N-1,2026-11-24,", "bad_time"),
        ("X,card=P9,患者,US-THYROID,US-N-1,,", "bad_time"),
        ("X,card=P9,患者,US-THYROID,US-N-1,2026-11-24 20:00,", "outside_roster"),
        ("X,card=P9,患者,US-THYROID,US-N-1,2026-11-24 10:00,asleep", "bad_line"),
        (",card=P9,患者,US-THYROID,US-N-1,2026-11-24 10:00,", "bad_line"),
        ("X,card=P9,患\x00者,US-THYROID,US-N-1,2026-11-24 10:00,", "bad_line"),
        ("R1,card=P9,患者,US-THYROID,US-N-1,2026-11-24 10:00,", "double_line"),
        ("X,card=P9,患者,US-THYROID,US-N-1,2026-11-24 10:00,booked,spare", "bad_line"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_stops_no_other(world: World, row: str, code: str) -> None:
    tally = taken(world, f"{GOOD}{row}\nR3,card=P3,患者丙,US-THYROID,US-N-1,2026-11-24 11:00,\n")

    assert refusals(tally) == [(4, code)]
    assert (tally.read, tally.taken) == (4, 3)
    assert world.database.value("SELECT count(*) FROM patient") == 3


def test_a_full_time_is_taken_with_an_extra_seat_where_that_is_asked_for(world: World) -> None:
    taken(world, GOOD)
    tally = taken(world, "R3,card=P3,患者丙,US-THYROID,US-N-1,2026-11-24 09:00,\n", extra_seats=True)

    assert (tally.taken, tally.refused) == (1, [])
    assert world.database.value("SELECT sum(extra) FROM slot") == 1


def test_a_changed_line_moves_what_was_taken_before(world: World) -> None:
    taken(world, GOOD)
    tally = taken(world, GOOD.replace("2026-11-24 09:00", "2026-11-24 10:30"))

    assert (tally.taken, tally.already, tally.changed) == (0, 1, 1)
    start = world.database.value("SELECT start_at FROM external_appointment WHERE number = 'R1'")
    assert start == int((MORNING + timedelta(hours=26, minutes=30)).timestamp())


def test_an_older_list_does_not_undo_what_was_told_later(world: World) -> None:
    taken(world, GOOD)
    tally = taken(world, GOOD.replace("09:00,", "10:30,"), as_of=MORNING - timedelta(hours=1))

    assert (tally.already, tally.changed) == (2, 0)


def test_an_off_grid_time_covers_the_slots_it_touches(world: World) -> None:
    taken(world, "R1,card=P1,患者甲,US-THYROID,US-N-1,2026-11-24 09:05,\n")

    assert world.database.value("SELECT count(*) FROM claim") == 2


def test_the_history_of_exams_is_taken_once(world: World) -> None:
    rows = "H1,card=P1,患者甲,CT-HEAD,,2026-11-20 09:00,\nH2,card=P1,,CT-HEAD;US-HEART,,2026-11-18 09:00,\n"
    lines = [Line(each.number, {k: v for k, v in each.cells.items() if k not in ("resource", "state")})
             for each in reading.from_csv(f"{HEADER}\n{rows}")]  # fmt: skip
    options = Options("RIS", world.clock.now())
    first = imports.run(world.hospital, "history", lines, options, TESTER)
    again = imports.run(world.hospital, "history", lines, options, TESTER)

    assert (first.taken, first.refused) == (2, [])
    assert (again.taken, again.already) == (0, 2)
    assert world.database.value("SELECT count(*) FROM past_examination") == 3


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({"starts_at": "2026-12-01 09:00"}, "bad_time"),
        ({"items": "NOTHING"}, "unknown_item"),
        ({"items": ""}, "unknown_item"),
        ({"patient": "card=NOBODY", "patient_name": ""}, "unknown_patient"),
        ({"ends_at": "2026-11-20 08:00"}, "bad_time"),
        ({"colour": "blue"}, "bad_line"),
    ],
)
def test_a_bad_line_of_the_history_says_why(world: World, cells: dict[str, str], code: str) -> None:
    usual = {"number": "H1", "patient": "card=P1", "patient_name": "患者甲", "items": "CT-HEAD"}
    usual["starts_at"] = "2026-11-20 09:00"
    tally = imports.run(world.hospital, "history", [Line(2, {**usual, **cells})], Options("RIS", world.clock.now()), TESTER)

    assert refusals(tally) == [(2, code)]
    assert world.database.value("SELECT count(*) FROM past_examination") == 0


def test_a_list_in_json_is_the_same_list(world: World) -> None:
    lines = reading.from_json(
        '[{"number": "R1", "patient": [{"kind": "card", "value": "P1"}], "patient_name": "患者甲", "items": ["US-THYROID"],'
        ' "resource": "US-N-1", "starts_at": "2026-11-24T09:00:00+08:00", "sequence": 3}, 7, null]'
    )
    tally = imports.run(world.hospital, "appointments", lines, Options("RIS", world.clock.now()), TESTER)

    assert (tally.taken, refusals(tally)) == (1, [(2, "bad_line"), (3, "bad_line")])


@pytest.mark.parametrize("content", ["", "name,age\nx,1\n", "number\nR1\n"])
def test_a_file_without_the_right_header_is_refused_whole(content: str) -> None:
    with pytest.raises(InvalidInput):
        reading.from_csv(content)


@pytest.mark.parametrize("content", ["", "{}", "[" * 100_000, "7"])
def test_what_is_no_list_of_objects_is_refused_whole(content: str) -> None:
    with pytest.raises(InvalidInput):
        reading.from_json(content)


def test_progress_is_told_and_the_outcome_is_kept(world: World) -> None:
    rows = "".join(f"N{n},card=X{n},患者,NOTHING,US-N-1,2026-11-24 09:00,\n" for n in range(230))
    heard: list[int] = []
    lines = reading.from_csv(f"{HEADER}\n{rows}")
    tally = imports.run(
        world.hospital, "appointments", lines, Options("RIS", world.clock.now()), TESTER, progress=heard.append
    )

    assert heard == [100, 100, 30]
    assert tally.id is not None
    kept = imports.of(world.hospital, tally.id)
    assert (kept["read"], len(kept["refused"]), kept["finished"]) == (230, 230, True)
    assert "card" not in world.database.value("SELECT report FROM transfer")


def test_what_a_complete_list_leaves_out_is_missing_there(world: World) -> None:
    taken(world, GOOD)
    world.later(hours=1)
    taken(world, GOOD.splitlines()[0] + "\n", complete=True, department="US")

    found = [(one.code, one.number) for one in differences.of(world.hospital, "US")]
    assert found == [("missing_there", "R2")]
    assert differences.compare_all(world.hospital) == 1
    assert differences.compare_all(world.hospital) == 1
    assert world.database.rows("SELECT code, closed_at FROM desk_task") == [("external_differences", None)]
    taken(world, GOOD, complete=True, department="US")
    assert differences.compare_all(world.hospital) == 0
    assert world.database.value("SELECT count(*) FROM desk_task WHERE closed_at IS NULL") == 0


@pytest.mark.parametrize("options", [{"system": "R I S"}, {"system": "A" * 17}, {"complete": True}, {"system": ""}])
def test_options_that_make_no_sense_are_refused_before_anything_is_read(world: World, options: dict[str, Any]) -> None:
    before = counted(world)
    with pytest.raises(InvalidInput):
        taken(world, GOOD, **options)
    assert counted(world) == before
