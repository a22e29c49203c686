"""`examlane rules`: the same life of a version from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from examlane import Fact
from examlane.errors import ExamlaneError, NotFound, Refused
from examlane.extension import plugins
from examlane.rulebase import files
from examlane.testing import World, small_hospital
from examlane_api import cli, identity
from examlane_api.commands import rules

Command = Callable[..., Result]
VERSION = """
[[rule]]
id = "kidney.severe"
version = "2"
valid_from = 2026-11-24
parameters = { below = 45 }
"""


@pytest.fixture
def world(sqlite_url: str, kidney: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = small_hospital(sqlite_url, {"kidney": kidney})
    world.switch("US", "kidney")
    monkeypatch.setattr(rules, "hospital", lambda: world.hospital)
    yield world
    world.hospital.close()


@pytest.fixture
def command(world: World) -> Command:
    def run(*arguments: str, given: str | None = None) -> Result:
        return CliRunner().invoke(cli.cli, ["rules", *arguments], input=given, env={"USER": "root"})

    return run


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "version.toml"
    path.write_text(VERSION, "utf-8")
    return str(path)


def test_rules_are_loaded_once_and_listed_with_their_sources(command: Command) -> None:
    first, again = command("load"), command("load")
    listed = command("list", "--plugin", "kidney").output.splitlines()

    assert "kidney: 6 new versions\n" in first.output
    assert again.output == ""
    assert len(listed) == 6
    assert listed[0].split() == ["kidney.severe", "2026.1", "2026-01-01", "active", "ACR", "2021"]
    assert json.loads(command("show", "kidney.severe").output)[0]["content"]["parameters"] == {"below": 30}
    assert isinstance(command("show", "kidney.gone").exception, NotFound)


def test_a_file_is_tried_proposed_and_signed_by_those_who_may(world: World, command: Command, file: str) -> None:
    for egfr in (20, 40):
        world.order("US-THYROID", patient=f"P{egfr}", context={"egfr": Fact(egfr), "metformin": Fact(False)})
    tried = command("trial", "kidney", "--file", file).output
    assert "1 of 2 items differ, in 2 of 2 orders" in tried
    assert "rejected  kidney.severe (eGFR 40，低于 45，不能检查" in tried
    proposed = command("propose", file, "--reason", "指南更新")
    assert proposed.output == "kidney.severe 2 waits for pharmacy, radiology\n"
    assert "waits for pharmacy, radiology" in command("list", "--proposed").output
    same = json.loads(command("trial", "kidney", "--version", "kidney.severe", "2", "--json").stdout)
    assert same["different"] == 1

    words = {
        role: identity.add_user(world.database, f"{role}1", role, "approver", (role,)) for role in ("pharmacy", "radiology")
    }
    wrong = command("approve", "kidney.severe", "2", "--role", "pharmacy", "--login", "pharmacy1", given="no\n")
    other = command("approve", "kidney.severe", "2", "--role", "radiology", "--login", "pharmacy1",
                    given=words["pharmacy"] + "\n")  # fmt: skip
    assert (wrong.exit_code, other.exit_code) == (1, 1)
    for role, word in words.items():
        signed = command("approve", "kidney.severe", "2", "--role", role, "--login", f"{role}1", given=f"{word}\n")
    assert signed.output.endswith("kidney.severe 2: active\n")
    assert command("list", "--proposed").output == ""
    assert world.database.rows("SELECT actor FROM audit WHERE action = 'rules.approve' ORDER BY id") == [
        ("pharmacy1",), ("radiology1",)
    ]  # fmt: skip
    assert world.database.value("SELECT count(*) FROM staff_session") == 0


@pytest.mark.parametrize("content", ["[[rule]", "x = 1", "[[rule]]\nversion = '2'", "rule = 3"])
def test_a_file_that_is_none_is_refused_in_one_sentence(command: Command, tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(content, "utf-8")
    answer = command("propose", str(path), "--reason", "x")

    assert answer.exit_code == 1
    assert "it needs [[rule]] tables with an id" in answer.output


def test_a_faulty_rule_is_refused(command: Command, file: str) -> None:
    Path(file).write_text(VERSION + 'case = [{ given = { egfr = 1 }, says = "nothing" }]\n', "utf-8")
    error = command("propose", file, "--reason", "x").exception

    assert isinstance(error, Refused)
    assert "says block, not nothing" in str(error)


def test_sources_are_shown_tried_and_chosen(world: World, command: Command) -> None:
    world.order("US-THYROID", context={"egfr": Fact(50), "metformin": Fact(True)})
    assert "* acr_2021" in command("choose", "kidney").output
    tried = command("trial", "kidney", "--profile", "metformin", "cn_48h").output
    assert "1 of 1 items differ" in tried
    assert "* cn_48h" in command("choose", "kidney", "metformin", "cn_48h").output
    assert isinstance(command("choose", "kidney", "metformin").exception, ExamlaneError)


def test_init_loads_the_rules_once_and_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kidney: ModuleType
) -> None:
    found = [EntryPoint("kidney", kidney.__name__, plugins.GROUP)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: found)
    monkeypatch.setenv("EXAMLANE_DATABASE", f"sqlite:///{tmp_path / 'hospital.db'}")
    first, again = (CliRunner().invoke(cli.cli, ["init"]).output for _ in range(2))

    own = len(files.read("core", plugins.CORE_RULES).versions)
    assert first == f"{6 + own} rule versions loaded\nready\n"
    assert again == "0 rule versions loaded\nready\n"
