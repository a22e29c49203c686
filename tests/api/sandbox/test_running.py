"""`examlane sandbox` as it is run: it starts, checks itself, is steered, and ends with nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from examlane_api.cli import cli
from examlane_api.sandbox.hospital import read_shown
from examlane_api.sandbox.system import System

COMMAND = (sys.executable, "-m", "examlane_api.cli", "sandbox")


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, once it says that it is ready."""
    process = subprocess.Popen(
        [*COMMAND, "--folder", str(folder), "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        said = iter(process.stdout.readline, "")
        assert any(line == "ready\n" for line in said)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def steer(folder: Path, *words: str) -> str:
    result = CliRunner().invoke(cli, ["sandbox", "--folder", str(folder), *words])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_whatever_it_is_doing_and_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path) as process:
        shown = read_shown(tmp_path)
        steer(tmp_path, "fault", "his", "slow", "--seconds", "600")
        steer(tmp_path, "fault", "gateway", "down")
        body = {"number": "1", "patient": {"identifiers": [{"kind": "card", "value": "C1"}], "name": "测试患者"},
                "encounter": {"number": "V1", "encounter_class": "outpatient"}, "ordering_department": "GAS",
                "ordered_at": "2026-11-23T07:30:00+08:00", "items": [{"line": 1, "item": "250110008-T"}]}  # fmt: skip
        headers = {"Authorization": f"Bearer {shown['TOKEN']}", "Idempotency-Key": "1"}
        assert requests.post(f"{shown['BASE']}/orders", json=body, headers=headers, timeout=60).ok
        process.send_signal(number)
        assert process.wait(60) == 0
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    for name in ("ADDRESS", "HIS", "RIS", "QUEUE", "GATEWAY", "PLATFORM", "CONTROL"):
        with socket.socket() as free:
            assert free.connect_ex(("127.0.0.1", int(shown[name].rpartition(":")[2])))


def test_it_checks_itself(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["sandbox", "--check", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "ready to be connected"


def test_a_check_says_what_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examlane_api.commands.sandbox.LONGEST", 1)
    monkeypatch.setattr(System, "keep", lambda *_: None)
    result = CliRunner().invoke(cli, ["sandbox", "--check", "--folder", str(tmp_path)])
    assert result.exit_code == 1
    assert "not within 1 seconds: his hears of every booking" in result.output


def test_a_port_in_use_is_named_and_no_folder_is_emptied(tmp_path: Path) -> None:
    kept = tmp_path / "sandbox.env"
    kept.write_text("export OF=another\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] - 1
        result = CliRunner().invoke(cli, ["sandbox", "--folder", str(tmp_path), "--port", str(port)])
    assert result.exit_code == 1
    assert f"a port from {port} on cannot be used" in result.output
    assert kept.read_text() == "export OF=another\n"


def test_without_a_sandbox_there_is_nobody_to_steer(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["sandbox", "--folder", str(tmp_path), "clock"])
    assert (result.exit_code, "run `examlane sandbox` first" in result.output) == (1, True)


@pytest.mark.parametrize(("words", "said"), [
    (("send", "order"), "/number: Missing data"), (("send", "order", "number"), "write NAME=VALUE"),
    (("send", "letter"), "is not one of"), (("fault", "his", "tired"), "is not one of"),
    (("clock", "--to", "yesterday"), "/to: Not an instant"),
])  # fmt: skip
def test_a_wrong_word_on_the_command_line_is_explained(trial: object, words: tuple[str, ...], said: str) -> None:
    folder = trial.sandbox.shown["FOLDER"]  # type: ignore[attr-defined]
    result = CliRunner().invoke(cli, ["sandbox", "--folder", folder, *words])
    assert result.exit_code in (1, 2)
    assert said in result.output


def test_a_refused_message_ends_with_1(trial: object) -> None:
    folder = trial.sandbox.shown["FOLDER"]  # type: ignore[attr-defined]
    result = CliRunner().invoke(cli, ["sandbox", "--folder", folder, "send", "call", "appointment=NOBODY"])
    assert (result.exit_code, "404" in result.output) == (1, True)


def test_with_schemas_every_document_is_validated_both_ways(tmp_path: Path, schemas: Path) -> None:
    with started(tmp_path, "--schemas", str(schemas)):
        steer(tmp_path, "send", "order", "number=1001", "--hip")
        steer(tmp_path, "send", "payment", "order=1001", "--hip")
        told, ends = "", time.monotonic() + 60
        while "CheckStatusInfoUpdate 1001" not in told and time.monotonic() < ends:
            told = steer(tmp_path, "received", "platform")
            time.sleep(0.1)
        assert "CheckAppointStatusInfoAdd" in told
        assert "CheckStatusInfoUpdate 1001" in told
