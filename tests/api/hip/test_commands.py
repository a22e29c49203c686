"""`examlane hip`: what waits is shown, mapped and done; what a platform is told is printed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from examlane import worker
from examlane.corrections import early
from examlane.corrections.order_changes import OrderChange
from examlane.records import dead_letters, peers
from examlane.records.receipts import RequestKey
from examlane.testing import TESTER
from examlane_api.cli import cli
from examlane_api.hip import profiles


@pytest.fixture
def run(hip_on_sqlite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "example.toml").write_bytes((files("examlane_api.hip") / "example.toml").read_bytes())
    monkeypatch.setenv(profiles.PROFILES, str(folder))
    monkeypatch.setattr("examlane_api.commands.hip.hospital", lambda: hip_on_sqlite.world.hospital)

    def command(*words: str, fails: bool = False) -> str:
        result: Result = CliRunner().invoke(cli, ["hip", *words])
        assert (result.exit_code != 0) == fails, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.output

    return command


def test_a_code_is_mapped_and_what_waited_for_it_is_done(hip_on_sqlite: Any, run: Any) -> None:
    hip = hip_on_sqlite
    hip.taken("CheckAppInfoAdd", hip.order("1001", "US999"))
    shown = run("inbox", "--peer", "example")
    assert "US999" in shown
    assert "waits for item US999" in shown
    assert "1 messages wait, 0 were refused" in shown
    assert "NOWHERE is no item here" in run("map", "example", "item", "US999", "NOWHERE", fails=True)
    assert "1 of 1 done" in run("map", "example", "item", "US999", "US-HEART")
    assert hip.world.item("1001/1").state == "accepted"
    assert "US-HEART" in run("inbox")
    assert "0 of 0 done" in run("replay", "example")


def test_a_code_that_the_profile_explains_now_is_replayed(hip_on_sqlite: Any, run: Any, tmp_path: Path) -> None:
    hip = hip_on_sqlite
    hip.taken("CheckAppInfoAdd", hip.order("1001", "US999"))
    assert "0 of 1 done" in run("replay", "example")
    file = tmp_path / "profiles" / "example.toml"
    file.write_text(file.read_text("utf-8").replace("[items]", '[items]\nUS999 = "US-HEART"'), "utf-8")
    assert "1 of 1 done" in run("replay", "example")


def test_a_message_that_was_refused_at_last_is_tried_again_or_given_up(hip_on_sqlite: Any, run: Any) -> None:
    hip = hip_on_sqlite
    for code in ("SC08", "SC10"):
        hip.taken("CheckStatusInfoUpdate", hip.status("1001", code))
    hip.world.later(hours=25)
    worker.turn(hip.world.hospital, lambda message: None)
    shown = run("inbox")
    assert "refused 1: example CheckStatusInfoUpdate" in shown
    assert "did not come within 24 hours" in shown
    assert "0 messages wait, 2 were refused" in shown
    number = hip.booked("1001")
    assert "done" in run("retry", "1")
    assert hip.state(number) == "checked_in"
    run("discard", "2", "--reason", "已电话核实")
    assert hip.world.database.row("SELECT state, body FROM parked_message WHERE id = 2") == ("given_up", "")
    assert hip.world.database.value("SELECT count(*) FROM audit WHERE action LIKE 'message.%'") == 2
    assert "no message 2 was refused" in run("retry", "2", fails=True)
    assert "no message 1 was refused" in run("discard", "1", "--reason", "x", fails=True)


def test_what_a_platform_would_be_told_is_printed(hip_on_sqlite: Any, run: Any) -> None:
    number = hip_on_sqlite.booked("1001")
    printed = run("send", "example", number, "--dry-run")
    assert "CheckAppointStatusInfoAdd" in printed
    assert f'extension="{number}"' in printed


def test_there_must_be_a_profile(run: Any) -> None:
    assert "there is no profile other.toml" in run("replay", "other", fails=True)


def test_the_requests_that_would_carry_an_event_over_soap_are_printed_and_not_sent(
    hip_on_sqlite: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hip = hip_on_sqlite
    monkeypatch.setattr("examlane_api.commands.peers.hospital", lambda: hip.world.hospital)
    monkeypatch.setenv("EXAMLANE_HIP_EXAMPLE", "secret")
    peers.add(hip.world.database, "example", "http://127.0.0.1:1/hip", TESTER, hip.now, kind="hip")
    number = hip.booked("1001")
    event = next(row for row in dead_letters.listed(hip.world.database, state="waiting") if row.kind.endswith(".booked"))
    shown = CliRunner().invoke(cli, ["soap", "send", event.event_id, "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("POST ")
    assert "CheckAppointStatusInfoAdd" in shown.output
    assert number in shown.output
    assert dead_letters.show(hip.world.database, event.event_id)[0].attempts == 0


def test_a_change_over_rest_that_waited_in_vain_is_made_by_hand(hip_on_sqlite: Any, run: Any) -> None:
    hip = hip_on_sqlite
    hospital, key = hip.world.hospital, RequestKey("his", "k1", "f")
    early.change(hospital, OrderChange("1001", note="左侧", changed_at=hip.now), TESTER, key)
    assert "parked: his order.change k1 waits for order 1001" in run("inbox")
    hip.world.later(hours=25)
    worker.turn(hospital, lambda message: None)
    assert "refused 1: his order.change k1" in run("inbox")
    hip.booked("1001")
    assert "done" in run("retry", "1")
    assert hip.world.database.value("SELECT note FROM exam_order") == "左侧"
