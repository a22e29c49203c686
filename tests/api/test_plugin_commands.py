"""`examlane plugins`: a new plugin is whole at once, and every command says what is and what to do."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import examlane
from examlane import Fact, Stage
from examlane.extension.plugins import HOOKS
from examlane.testing import World, require, sample, small_hospital
from examlane.worker import turn
from examlane_api import scaffold
from examlane_api.cli import cli

ALL = ",".join(HOOKS)
Command = Callable[..., Result]


def install(folder: Path) -> None:
    """What `pip install -e .` leaves of a plugin: its name and its entry points."""
    parser = configparser.ConfigParser()
    parser.read(folder / "setup.cfg", "utf-8")
    name, version = parser["metadata"]["name"], parser["metadata"]["version"]
    told = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    told.mkdir()
    told.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    points = parser["options.entry_points"]["examlane.plugins"].strip()
    told.joinpath("entry_points.txt").write_text(f"[examlane.plugins]\n{points}\n", "utf-8")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the generated plugin's author, in its folder."""
    paths = os.pathsep.join(path for path in (str(folder), *sys.path) if path)
    source = Path(examlane.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUTF8": "1", "NO_COLOR": "1"}
    environment["MYPYPATH"] = "" if source.name == "site-packages" else str(source)
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
    )


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin with every hook, as its author has it after installing it."""
    folder = tmp_path_factory.mktemp("plugins") / "rehab"
    scaffold.write("rehab", "康复评定规则 · Rehabilitation rules", folder, HOOKS)
    install(folder)
    return folder


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generated: Path) -> Command:
    """A command in the hospital of `world`, with the generated plugin installed."""
    monkeypatch.syspath_prepend(str(generated))
    monkeypatch.setenv("EXAMLANE_DATABASE", f"sqlite:///{tmp_path / 'hospital.db'}")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["plugins", *arguments])


@pytest.fixture
def world(command: Command, tmp_path: Path) -> Iterator[World]:
    """The small hospital, now: commands know no other clock."""
    from examlane_rehab import hooks  # type: ignore[import-not-found]

    found = small_hospital(f"sqlite:///{tmp_path / 'hospital.db'}", {"rehab": hooks}, sample("examlane_rehab"))
    found.clock.set(datetime.now(UTC).replace(microsecond=0))
    found.hospital.catalogues.current()
    require(found, "SAMPLE", "rehab")
    yield found
    found.hospital.close()


# A new plugin


@pytest.mark.parametrize("hooks", ["", ALL, "allocate", "pre_booking_gate,interval_rules", "on_no_show,requirements"])
def test_a_new_plugin_passes_its_tests_and_the_checks_at_once(command: Command, tmp_path: Path, hooks: str) -> None:
    options = ["--hooks", hooks] if hooks else []
    told = command("new", "fresh", "--title", "新规则 · New rules", *options)
    assert told.exit_code == 0, told.output
    folder = tmp_path / "fresh"
    assert f"next: cd {folder.name}" in told.output
    install(folder)

    tested = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    checked = run(folder, "-m", "examlane_api.cli", "plugins", "check", "fresh")
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "fresh keeps its contract"), checked.stdout


@pytest.mark.parametrize(("module", "arguments"), [("mypy", []), ("ruff", ["check", "--no-cache", "."])])
@pytest.mark.parametrize("hooks", [",".join(scaffold.USUAL), ALL])
def test_a_new_plugin_has_types_and_style(tmp_path: Path, module: str, arguments: list[str], hooks: str) -> None:
    pytest.importorskip(module)
    folder = tmp_path / "typed"
    scaffold.write("typed", "", folder, hooks.split(","))

    done = run(folder, "-m", module, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_of_a_new_plugin_are_named_after_it(generated: Path) -> None:
    found = {path.relative_to(generated).as_posix() for path in generated.rglob("*") if path.is_file()}

    assert {path for path in found if ".dist-info/" not in path and "__pycache__" not in path} == {
        "setup.cfg", "pyproject.toml", ".gitignore", "README.md", "examlane_rehab/__init__.py",
        "examlane_rehab/hooks.py", "examlane_rehab/rules.toml", "examlane_rehab/sample.toml", "examlane_rehab/py.typed",
        "tests/test_rehab.py", "tests/test_contract.py",
    }  # fmt: skip


REFUSED = {
    "no identifier": (("2nd",), "'2nd' is no name for a plugin: 2 to 24 small letters"),
    "capitals": (("Heart",), "is no name for a plugin"),
    "a keyword": (("class",), "class is a reserved word: choose another name"),
    "the core's name": (("core",), "core is a reserved word"),
    "an installed plugin": (("ecg",), "ecg is taken by an installed plugin or package: choose another name"),
    "a package of the product": (("api",), "api is taken"),
    "a folder that is there": (("fresh", "--folder", "."), ". exists already: move it away, or name another with --folder"),
    "a misspelt hook": (("fresh", "--hooks", "prepare"), "there is no hook prepare: choose from validate_order"),
    "no hook": (("fresh", "--hooks", ","), "a plugin needs a hook: choose from validate_order"),
    "a title of two lines": (("fresh", "--title", "a\nb"), "the title is one line of 1 to 80 characters without quotes"),
    "a title with quotes": (("fresh", "--title", 'a"""b'), "the title is one line"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_new_refuses_in_one_sentence_and_writes_nothing(command: Command, tmp_path: Path, fault: str) -> None:
    arguments, message = REFUSED[fault]
    before = sorted(tmp_path.iterdir())
    told = command("new", *arguments)

    assert told.exit_code == 1
    assert message in told.output
    assert len(told.output.strip().splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


# Checking


def test_check_prints_a_line_a_check_and_ends_with_0(command: Command) -> None:
    told = command("check", "rehab", "--worlds", "8")

    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[-1] == "rehab keeps its contract"
    assert all(line.startswith("ok      ") for line in lines[:-1])
    assert any("56 answers in 8 worlds" in line for line in lines)


def test_check_of_a_plugin_that_breaks_its_contract_says_where_and_ends_with_1(tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    scaffold.write("bad", "坏规则 · Bad rules", folder, ["validate_order"])
    hooks = folder / "examlane_bad/hooks.py"
    hooks.write_text(hooks.read_text("utf-8").replace('order.known("weight_kg")', 'order.known("weight_kg") or 0'), "utf-8")
    install(folder)
    done = run(folder, "-m", "examlane_api.cli", "plugins", "check", "bad", "--worlds", "10")

    assert done.returncode == 1
    assert "FAILED  a fact that becomes unknown never lifts a restriction" in done.stdout
    assert "without weight_kg nothing is said any more, otherwise bad.table_limit" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 failed"


def test_check_shows_one_world_again(command: Command) -> None:
    assert "7 answers in 1 worlds" in command("check", "rehab", "--world", "3").output


def test_check_of_what_is_not_installed_says_how_to_install_it(command: Command) -> None:
    told = command("check", "nobody")

    assert told.exit_code == 1
    assert "no plugin nobody is installed: pip install -e . --no-deps" in told.output


def test_the_table_of_the_readme_is_brought_up_to_date(command: Command, generated: Path) -> None:
    path = generated / "README.md"
    written = path.read_text("utf-8")
    path.write_text(re.sub(r"\| `rehab.*\n", "", written), "utf-8")
    assert "no table has a row for" in command("check", "rehab", "--worlds", "1").output

    assert command("check", "rehab", "--worlds", "1", "--write-table").exit_code == 0
    assert path.read_text("utf-8") == written


def test_a_readme_without_a_place_for_the_table_gets_a_page_beside_it(command: Command, generated: Path) -> None:
    path, beside = generated / "README.md", generated / "RULES.md"
    written = path.read_text("utf-8")
    path.write_text("# Rehabilitation\n", "utf-8")
    told = command("check", "rehab", "--worlds", "1", "--write-table")
    path.write_text(written, "utf-8")

    assert told.exit_code == 0, told.output
    assert "| `rehab.table_limit` | block: the patient is heavier than the 150 kg" in beside.read_text("utf-8")
    beside.unlink()


# Switching and setting


def test_a_switch_is_data_that_counts_at_once(command: Command, world: World) -> None:
    told = command("switch", "SAMPLE", "rehab", "pilot", "--percent", "20")

    assert (told.exit_code, told.output) == (0, "rehab is pilot in SAMPLE\n")
    row = world.database.row("SELECT stage, pilot_percent, changed_by FROM department_plugin WHERE plugin = 'rehab'")
    assert (row[0], row[1]) == ("pilot", 20)
    assert row[2]


def test_settings_are_shown_changed_and_taken_back(command: Command, world: World) -> None:
    assert "  arrive_minutes = 15  (default)" in command("settings", "SAMPLE", "rehab").output.splitlines()
    changed = command("settings", "SAMPLE", "rehab", "arrive_minutes=30", "--optional", "--position", "2")

    assert "rehab in SAMPLE: on, optional, position 2" in changed.output
    assert "  arrive_minutes = 30" in changed.output.splitlines()
    assert "arrive_minutes = 15  (default)" in command("settings", "SAMPLE", "rehab", "arrive_minutes=").output
    audited = world.database.rows("SELECT channel FROM audit WHERE action = 'plugin.settings'")
    assert audited == [("command",), ("command",)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("SAMPLE", "rehab", "arrive_minutes=soon"), "/settings/arrive_minutes: Not a valid integer."),
        (("SAMPLE", "rehab", "arrive_minute=5"), "/settings/arrive_minute: Unknown field."),
        (("SAMPLE", "rehab", "arrive_minutes"), "arrive_minutes is no setting: write it as NAME=VALUE"),
        (("XX", "rehab"), "department XX is not known"),
        (("SAMPLE", "nobody"), "plugin nobody is not known"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(
    generated: Path, tmp_path: Path, world: World, arguments: tuple[str, ...], message: str
) -> None:
    done = run(generated, "-m", "examlane_api.cli", "plugins", "settings", *arguments)

    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# Looking


def test_list_shows_stages_settings_that_do_not_fit_and_rules(command: Command, world: World) -> None:
    world.switch("US", "rehab", Stage.PILOT, pilot_percent=25)
    spoil = "UPDATE department_plugin SET settings = '{\"old\":1}' WHERE stage = 'pilot' RETURNING id"
    world.database.write(lambda: world.database.rows(spoil))
    lines = command("list").output.splitlines()

    first = next(index for index, line in enumerate(lines) if line.startswith("rehab"))
    assert re.match(r"rehab +0\.1\.0 +康复评定规则 · Rehabilitation rules  \[allocate, .*\]  6 rules$", lines[first])
    assert [" ".join(line.split()) for line in lines[first + 1 : first + 4]] == [
        "SAMPLE on, required", "US pilot 25 %", "settings: {'old': ['Unknown field.']}",
    ]  # fmt: skip


def test_list_works_before_there_is_a_hospital(command: Command) -> None:
    told = command("list")

    assert told.exit_code == 0
    assert "no hospital yet" in told.output
    assert "rehab" in told.output


def test_list_as_json_is_one_list(command: Command, world: World) -> None:
    found = {one["name"]: one for one in json.loads(command("list", "--json").stdout)}

    assert (
        found["rehab"]["places"][0] | {"department": "SAMPLE", "stage": "on", "required": True}
        == (found["rehab"]["places"][0])
    )


def ordered(world: World) -> str:
    number = world.order("EXAM", context={"weight_kg": Fact(60)})
    world.evidence("P1", "rehab_consent", "signed")
    world.pay(number)
    return number


def test_trace_tells_what_was_decided_and_what_each_plugin_says(command: Command, world: World) -> None:
    told = command("trace", "--order", ordered(world))

    assert told.exit_code == 0, told.output
    lines = [" ".join(line.split()) for line in told.output.splitlines()]
    assert lines[0] == "order O1: what was decided"
    assert any(re.match(r"O1/1 EXAM 示例检查 accepted", line) for line in lines)
    assert any(re.match(r"gate rehab_consent open \(rehab, ", line) for line in lines)
    begins = next(index for index, line in enumerate(lines) if line.startswith("planned again now"))
    rehearsed = lines[begins + 1 :]
    hooks = [line.split()[1] for line in rehearsed[:-1]]
    assert hooks == ["validate_order", "pre_booking_gate", "interval_rules", "requirements", "preparation", "allocate"]
    assert all(re.search(r" [\d.]+ ms ", line) for line in rehearsed[:-1])


def test_trace_as_json_is_one_object(command: Command, world: World) -> None:
    found: dict[str, Any] = json.loads(command("trace", "--order", ordered(world), "--json").stdout)

    assert found["order"] == "O1"
    assert {one["hook"] for one in found["said"]} >= {"validate_order", "allocate"}
    assert found["versions"] == [] or found["versions"][0]["evidence"]["plugins"]


def test_compare_shows_what_a_shadow_would_have_decided_otherwise(command: Command, world: World) -> None:
    assert command("compare", "SAMPLE", "rehab").output == "no difference was seen\n"
    world.switch("SAMPLE", "rehab", Stage.SHADOW)
    world.database.write(lambda: world.database.rows("UPDATE department_plugin SET required = 0 RETURNING id"))
    world.order("EXAM")
    turn(world.hospital, lambda *event: True)  # type: ignore[arg-type,return-value]

    lines = [" ".join(line.split()) for line in command("compare", "SAMPLE", "rehab").output.splitlines()]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d validate_order decided: nothing", lines[-2])
    assert lines[-1] == "instead: O1/1 confirm rehab.table_limit_unknown rehab.table_limit"


def test_trace_of_an_unknown_order_is_one_sentence(generated: Path, world: World) -> None:
    done = run(generated, "-m", "examlane_api.cli", "plugins", "trace", "--order", "X1")

    assert (done.returncode, done.stderr.strip()) == (1, "examlane: order X1 is not known")
