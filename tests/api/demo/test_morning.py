"""The demonstration's morning, played for real with a few patients of every kind, and looked at afterwards."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from examlane.clock import SetClock
from examlane.hospital import Hospital, open_hospital
from examlane.settings import Settings
from examlane_api.demo import DemoOptions, cases, main, outcome, run
from examlane_api.demo.hospital import DATA

PATIENTS = 44
SEED = 11
ASKED_FOR = {
    "patients", "orders", "order_items", "bookable_items", "booked", "auto_booked", "rejected", "awaiting_gate", "desk",
    "rescheduled", "no_shows", "rebooked_at_kiosk", "same_day_share", "overbooked_slots", "lost_events", "cases",
    "cases_as_expected", "seconds",
}  # fmt: skip


def play(folder: Path) -> tuple[int, dict[str, Any]]:
    """A whole morning with --check and --json: the exit code, and the one object on standard output."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = run(DemoOptions(folder, PATIENTS, SEED, check=True, as_json=True, serve=False))
    return code, json.loads(output.getvalue())


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, *play(folder)


@pytest.fixture
def hospital(played: tuple[Path, int, dict[str, Any]], tmp_path: Path) -> Iterator[Hospital]:
    """The morning's hospital, copied so that a test may tamper with it."""
    for name in (main.DATABASE, main.LEDGER):
        shutil.copy(played[0] / name, tmp_path / name)
    opened = open_hospital(Settings(database=f"sqlite:///{tmp_path / main.DATABASE}"), SetClock(main.ENDS))
    yield opened
    opened.close()


def planted() -> list[cases.Case]:
    return cases.generate(PATIENTS, SEED, main.STARTS, DATA)


def look(hospital: Hospital, folder: Path, expected: list[cases.Case]) -> outcome.Outcome:
    return outcome.look(folder / main.DATABASE, folder / main.LEDGER, expected, main.ENDS, [], hospital)


def test_every_planted_case_of_a_morning_ends_as_written_down_before(
    played: tuple[Path, int, dict[str, Any]],
) -> None:
    _, code, numbers = played
    assert code == 0
    assert set(numbers) >= ASKED_FOR
    assert numbers["cases"] == numbers["cases_as_expected"] == PATIENTS
    assert numbers["patients"] > PATIENTS, "an emergency without an order is nobody yet"
    assert numbers["overbooked_slots"] == numbers["lost_events"] == 0
    assert min(numbers[name] for name in ("booked", "rejected", "awaiting_gate", "desk", "rescheduled")) > 0
    assert 0 < numbers["rebooked_at_kiosk"] < numbers["no_shows"]


def test_the_same_seed_gives_the_same_numbers(played: tuple[Path, int, dict[str, Any]], tmp_path: Path) -> None:
    _, _, first = played
    _, second = play(tmp_path)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_cases_are_written_before_and_are_what_the_seed_makes(played: tuple[Path, int, dict[str, Any]]) -> None:
    folder, _, _ = played
    lines = (folder / main.CASES).read_text("utf-8").splitlines()
    assert [json.loads(line)["expected"] for line in lines] == [dict(case.expected) for case in planted()]


def test_a_case_that_ends_otherwise_is_named_with_what_was_expected_and_found(hospital: Hospital, tmp_path: Path) -> None:
    expected = planted()
    rejected = next(index for index, case in enumerate(expected) if case.kind == "without_weight")
    key = next(iter(expected[rejected].expected))
    expected[rejected] = replace(expected[rejected], expected={key: "booked"})
    found = look(hospital, tmp_path, expected)
    assert not found.good
    assert [(d.case, d.expected, d.found) for d in found.differences] == [
        (expected[rejected].number, "booked", "rejected:radiology.weight_unknown")
    ]


def test_an_event_that_no_peer_heard_is_counted_as_lost(hospital: Hospital, tmp_path: Path) -> None:
    ledger = apsw.Connection(str(tmp_path / main.LEDGER))
    event = ledger.execute("SELECT event_id FROM heard GROUP BY peer, subject, subject_key HAVING count(*) = 1 LIMIT 1").get
    ledger.execute("DELETE FROM heard WHERE event_id = ?", (event,))
    ledger.close()
    found = look(hospital, tmp_path, planted())
    assert found.numbers["lost_events"] == 1
    assert not found.good


def test_a_slot_with_more_claims_than_seats_is_counted_as_overbooked(hospital: Hospital, tmp_path: Path) -> None:
    slot, seats = hospital.database.rows("SELECT slot_id, seats FROM claim WHERE released_at IS NULL LIMIT 1")[0]
    capacity = hospital.database.value("SELECT capacity FROM slot WHERE id = ?", slot)
    hospital.database.write(
        lambda: hospital.database.rows("UPDATE claim SET seats = ? WHERE slot_id = ? RETURNING id", capacity + seats, slot)
    )
    found = look(hospital, tmp_path, planted())
    assert found.numbers["overbooked_slots"] == 1
    assert "slot_taken" in {violation.id for violation in found.violations}
