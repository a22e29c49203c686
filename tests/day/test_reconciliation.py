"""Each night orders, payments and executions are compared with each peer; one that is silent is never taken for agreeing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from examlane.appointments import changes
from examlane.arrival import executing
from examlane.arrival.executing import ExecutionReport
from examlane.corrections import withdrawing
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.reconciliation import comparing, runs
from examlane.reconciliation.comparing import Difference, Outcome
from examlane.reconciliation.entries import SUBJECTS, Source
from examlane.testing import TESTER, World, small_hospital
from examlane.worker import turn
from examlane_api.cli import cli
from examlane_api.outbound.lists import open_lists

TODAY = date(2026, 11, 23)
Row = Mapping[str, Any]


class Lister:
    """A peer that lists what it knows of a day; `answer` replaces what it says of a subject."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {subject: [] for subject in SUBJECTS}
        self.answer: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        said = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                subject, day = urlsplit(self.path).path.strip("/"), parse_qs(urlsplit(self.path).query)["day"][0]
                said.asked.append(f"{subject} {day}")
                body = json.dumps({"day": day, subject: said.rows[subject]}).encode()
                status, body = said.answer.get(subject, (200, body))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def lister() -> Iterator[Lister]:
    found = Lister()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    exchange = tmp_path / "exchange"
    (exchange / "his").mkdir(parents=True)
    found = small_hospital(database_url, planning_window=timedelta(), exchange_folder=exchange)
    yield found
    found.hospital.close()


def source(lister: Lister, *subjects: str, departments: tuple[str, ...] = ()) -> Source:
    return Source("HIS", "rest", lister.address, subjects or SUBJECTS, departments, 2)


def a_day(world: World, lister: Lister) -> str:
    """An exam that was ordered, paid and done, and a peer that lists it so; the appointment's number."""
    order = world.order("US-THYROID", number="O1")
    world.pay(order, amount="180.00", settlement="S1")
    number = str(world.item("O1/1").appointment)
    world.clock.advance(world.item("O1/1").starts_at - world.clock.now())
    changes.check_in(world.hospital, number, TESTER)
    executing.report(world.hospital, number, ExecutionReport("finished"), TESTER)
    lister.rows = {
        "orders": [{"order": "O1", "line": 1, "item": "US-THYROID", "state": "active"}],
        "payments": [{"order": "O1", "settlement": "S1", "kind": "paid", "amount": "180"}],
        "executions": [{"order": "O1", "line": "1", "state": "finished"}],
    }
    return number


def run(world: World, of: Source, day: date = TODAY) -> Outcome:
    return comparing.run(world.hospital, of, day, open_lists(world.hospital), TESTER)


def tasks(world: World) -> list[str]:
    rows = world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL AND code LIKE 'reconciliation%'")
    return [code for (code,) in rows]


def test_two_sides_that_agree_have_no_differences_and_say_how_much_was_compared(world: World, lister: Lister) -> None:
    a_day(world, lister)
    outcome = run(world, source(lister))

    assert outcome == Outcome({subject: [1, 1] for subject in SUBJECTS})
    assert tasks(world) == []
    (kept,) = runs.listed(world.database)
    assert (kept.peer, kept.day, kept.state, kept.differences) == ("HIS", "2026-11-23", "complete", 0)


def test_what_is_missing_on_either_side_or_differs_in_a_field_is_listed_with_both_values(
    world: World, lister: Lister
) -> None:
    a_day(world, lister)
    lister.rows["orders"] = [{"order": "O2", "line": 1, "item": "CT-HEAD", "state": "active"}]
    lister.rows["payments"][0] = {**lister.rows["payments"][0], "amount": "18.0"}
    lister.rows["executions"] = [{"order": "O1", "line": 1, "state": "not_done"}]
    found = run(world, source(lister)).differences

    assert found == (
        Difference("orders", "O2/1", "missing_here", there="item CT-HEAD, state active"),
        Difference("orders", "O1/1", "missing_there", here="item US-THYROID, state active"),
        Difference("payments", "O1/S1/paid", "other", "amount", "180", "18"),
        Difference("executions", "O1/1", "other", "state", "finished", "not_done"),
    )
    assert runs.show(world.database, runs.listed(world.database)[0].id)[1] == list(found)
    assert tasks(world) == ["reconciliation"]


def test_what_never_came_about_need_be_known_on_one_side_only(world: World, lister: Lister) -> None:
    world.order("US-THYROID", number="O1")
    withdrawing.void(world.hospital, "O1", (), TESTER, reason="written by mistake")
    lister.rows["orders"] = [{"order": "O9", "line": 1, "item": "CT-HEAD", "state": "void"}]

    assert run(world, source(lister, "orders")).differences == ()


def test_a_payment_of_several_exams_is_one_with_its_whole_amount(world: World, lister: Lister) -> None:
    order = world.order("US-THYROID", "CT-HEAD", number="O1")
    world.pay(order, amount="500", settlement="S1")
    lister.rows["payments"] = [{"order": "O1", "settlement": "S1", "kind": "paid", "amount": 500.00}]

    assert run(world, source(lister, "payments")).differences == ()


def test_what_is_listed_for_the_other_side_of_midnight_is_no_difference(world: World, lister: Lister) -> None:
    world.order("US-THYROID", number="O1")
    lister.rows["orders"] = [{"order": "O1", "line": 1, "item": "US-THYROID", "state": "active"}]

    assert run(world, source(lister, "orders"), TODAY + timedelta(days=1)).differences == ()


def test_a_departments_system_is_compared_with_its_own_exams_only(world: World, lister: Lister) -> None:
    world.order("US-THYROID", "CT-HEAD", number="O1")
    lister.rows["orders"] = [{"order": "O1", "line": 2, "item": "CT-HEAD", "state": "active"}]

    assert run(world, source(lister, "orders", departments=("CT",))).differences == ()


NO_LISTS: list[tuple[int, bytes]] = [
    (500, b""), (302, b""), (200, b""), (200, b"<html>busy</html>"), (200, b"[]"), (200, b"{}"), (200, b"null"),
    (200, b'{"day": "2026-11-22", "orders": []}'), (200, b'{"day": "2026-11-23"}'),
    (200, b'{"day": "2026-11-23", "orders": {}}'), (200, b'{"day": "2026-11-23", "orders": [1]}'),
    (200, b'{"day": "2026-11-23", "orders": [{"order": "O1"}]}'), (200, b'{"day": "2026-11-23", "orders": ['),
    (200, b"\xff\xfe"), (200, b"[" * 100_000),
]  # fmt: skip


@pytest.mark.parametrize("answer", NO_LISTS)
def test_a_peer_that_gives_no_list_leaves_the_run_failed_and_nothing_is_claimed(
    sqlite_url: str, lister: Lister, answer: tuple[int, bytes]
) -> None:
    world = small_hospital(sqlite_url)
    lister.answer["orders"] = answer
    outcome = run(world, source(lister, "orders"))

    assert outcome.error
    (kept,) = runs.listed(world.database)
    assert (kept.state, kept.differences, kept.compared) == ("failed", 0, {})
    assert tasks(world) == ["reconciliation_failed"]
    world.hospital.close()


def test_a_peer_that_is_down_or_slow_is_silent_and_one_answer_of_three_is_not_enough(world: World, lister: Lister) -> None:
    a_day(world, lister)
    lister.answer["executions"] = (503, b"")
    assert run(world, source(lister)).error == "executions: answered 503"
    assert run(world, Source("HIS", "rest", "http://127.0.0.1:9", SUBJECTS, (), 1)).error == "orders: ConnectionError"

    assert [each.state for each in runs.listed(world.database)] == ["failed"]


def test_a_run_that_succeeds_later_takes_its_place_and_closes_its_task(world: World, lister: Lister) -> None:
    a_day(world, lister)
    lister.answer["orders"] = (503, b"")
    run(world, source(lister))
    lister.answer.clear()
    run(world, source(lister))

    assert [each.state for each in runs.listed(world.database)] == ["complete"]
    assert tasks(world) == []


# The night


def test_the_worker_compares_yesterday_once_in_the_night_and_tries_a_silent_peer_again(world: World, lister: Lister) -> None:
    runs.set_source(world.hospital, source(lister, "orders"), TESTER)
    reading = open_lists(world.hospital)
    lister.answer["orders"] = (503, b"")
    world.clock.advance(timedelta(hours=17))
    turn(world.hospital, lambda _: None, reading)
    assert lister.asked == []
    world.clock.advance(timedelta(hours=2))
    turn(world.hospital, lambda _: None, reading)
    turn(world.hospital, lambda _: None, reading)
    assert lister.asked == ["orders 2026-11-23", "orders 2026-11-22", "orders 2026-11-21"]
    lister.answer.clear()
    for _ in range(2):
        world.clock.advance(timedelta(hours=1, seconds=1))
        turn(world.hospital, lambda _: None, reading)

    assert len(lister.asked) == 6
    assert {each.state for each in runs.listed(world.database)} == {"complete"}


# Files


def write_csv(world: World, subject: str, content: bytes, day: str = "2026-11-23") -> None:
    assert world.hospital.settings.exchange_folder is not None
    (world.hospital.settings.exchange_folder / "his" / f"{subject}-{day}.csv").write_bytes(content)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_peer_without_a_service_drops_files(world: World, encoding: str) -> None:
    world.order("US-THYROID", number="O1")
    write_csv(world, "orders", "order,line,item,state,备注\nO1,1,CT-HEAD,active,加急\n".encode(encoding))
    found = run(world, Source("HIS", "folder", "his", ("orders",), (), 5)).differences

    assert found == (Difference("orders", "O1/1", "other", "item", "US-THYROID", "CT-HEAD"),)


@pytest.mark.parametrize(
    "content",
    [b"", b"order,line\n", b"order,line,item,state\nO1,1\n", b"order,line,item,state\nO1,1,A,active,more\n", b"\xff\xff\xff",
     b"order,line,item,state\nO1,1,A,active\nO1,1,B,active\n"],
)  # fmt: skip
def test_a_file_that_is_not_whole_leaves_the_run_failed(world: World, content: bytes) -> None:
    write_csv(world, "orders", content)

    assert run(world, Source("HIS", "folder", "his", ("orders",), (), 5)).error


def test_a_file_that_is_not_there_leaves_the_run_failed_and_an_empty_list_does_not(world: World) -> None:
    of = Source("HIS", "folder", "his", ("orders",), (), 5)
    assert run(world, of).error == "orders-2026-11-23.csv: No such file or directory"
    write_csv(world, "orders", b"order,line,item,state\n")
    assert run(world, of) == Outcome({"orders": [0, 0]})


# Settled by people, and the command line


def differing(world: World, lister: Lister) -> int:
    a_day(world, lister)
    lister.rows["orders"] = []
    run(world, source(lister))
    return runs.listed(world.database)[0].id


def test_who_clears_the_differences_closes_the_task_and_is_named(world: World, lister: Lister) -> None:
    key = differing(world, lister)
    assert [each.id for each in runs.listed(world.database, unsettled=True)] == [key]
    done = runs.settle(world.hospital, key, "补录", TESTER)

    assert (done.settled_by, done.note, tasks(world)) == (TESTER.name, "补录", [])
    assert runs.listed(world.database, unsettled=True) == []
    with pytest.raises(Conflict):
        runs.settle(world.hospital, key, "again", TESTER)
    with pytest.raises(NotFound):
        runs.settle(world.hospital, 999, "none", TESTER)


@pytest.mark.parametrize(
    ("kind", "address", "subjects", "departments", "pointer"),
    [("rest", "ftp://his", ("orders",), (), "/address"), ("folder", "../his", ("orders",), (), "/address"),
     ("rest", "http://his", ("reports",), (), "/subjects"), ("rest", "http://his", ("orders",), ("X",), "/departments")],
)  # fmt: skip
def test_where_a_peer_lists_is_checked(
    world: World, kind: str, address: str, subjects: tuple[str, ...], departments: tuple[str, ...], pointer: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        runs.set_source(world.hospital, Source("HIS", kind, address, subjects, departments, 5), TESTER)
    assert [each for each, _ in raised.value.problems] == [pointer]
    assert comparing.sources(world.hospital) == []


def test_the_command_line_compares_a_day_and_exits_by_what_it_found(
    sqlite_url: str, lister: Lister, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = small_hospital(sqlite_url, planning_window=timedelta())
    a_day(world, lister)
    monkeypatch.setenv("EXAMLANE_DATABASE", sqlite_url)

    def command(*words: str) -> Any:
        return CliRunner().invoke(cli, ["peers", *words])

    assert command("reconcile").exit_code == 1
    assert command("lists", "HIS", lister.address, "--subject", "orders").exit_code == 0
    assert command("reconcile", "HIS", "--day", "2026-11-23").exit_code == 0
    lister.rows["orders"] = []
    differing = command("reconcile", "--day", "2026-11-23")
    assert (differing.exit_code, "O1/1 missing_there" in differing.output) == (1, True)
    lister.answer["orders"] = (503, b"")
    assert command("reconcile", "--day", "2026-11-23").exit_code == 2
    assert command("lists", "HIS").output == "HIS is compared no longer\n"
    world.hospital.close()
