"""The guide to writing a plugin, done as it is written: every file, every command, every line that it shows."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import examlane

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs/writing-a-plugin.md").read_text("utf-8")
BLOCK = re.compile(r"^(?:\*\*`([^`\n]+)`\*\*\n\n)?```(\w*)\n(.*?)^```$", re.M | re.S)
MARK = "==== block"
ENVIRONMENT = ("python3 -m venv", ". examlane-venv/")
"""What the test has already: an environment with everything in it."""
UP = (
    "trap 'kill $!' EXIT; for try in $(seq 100); do "
    "python -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))' 2>/dev/null && break; sleep 0.1; done"
)
PROGRAMS = {
    "python": "",
    "examlane": "-m examlane_api.cli",
    "pytest": "-m pytest -p no:cacheprovider",
    "mypy": "-m mypy",
    "ruff": "-m ruff",
    "pip": str(ROOT / "tests/test_docs_guide.py"),
}

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="the guide's commands are for a POSIX shell")


@dataclass
class Block:
    """Some commands of the guide, with the lines that it shows of their output."""

    commands: str
    shown: list[str] = field(default_factory=list)
    number: int = 0


def steps() -> Iterator[tuple[str, str] | Block]:
    """The guide's files (name, text) and commands in their order."""
    last = Block("")
    for name, language, body in BLOCK.findall(GUIDE):
        if name:
            yield name, body
        elif language == "sh":
            last = Block(body, number=last.number + 1)
            yield last
        elif not language:
            last.shown += body.splitlines()


BLOCKS = [step for step in list(steps()) if isinstance(step, Block)]


def script(folder: Path, port: int) -> str:
    """The whole guide as one shell script."""
    lines = ["set -e"]
    for place, step in enumerate(steps()):
        if isinstance(step, Block):
            lines += [f"echo '{MARK} {step.number}'; echo '{MARK} {step.number}' >&2", _commands(step.commands, port)]
        else:
            staged = folder / "staged" / str(place)
            staged.parent.mkdir(exist_ok=True)
            staged.write_text(step[1].replace("8000", str(port)), "utf-8")
            lines.append(f"cp '{staged}' '{step[0]}'")
    data = folder / "data"
    shutil.copytree(ROOT / "api/examlane_api/demo/data", data)
    # Whichever day it is: some weekday within the cycle's days is open.
    data.joinpath("calendar.csv").unlink()
    text = "\n".join(lines)
    return text.replace("/path/to/examlane/api/examlane_api/demo/data", str(data)).replace("/path/to/examlane", str(ROOT))


def _commands(body: str, port: int) -> str:
    lines = [line.replace("8000", str(port)) for line in body.splitlines() if not line.startswith(ENVIRONMENT)]
    return "\n".join(f"{line}\n{UP.format(port=port)}" if line.endswith(" &") else line for line in lines)


def programs(folder: Path) -> Path:
    """Programs by the names that the guide calls them."""
    home = folder / "bin"
    home.mkdir()
    for name, arguments in PROGRAMS.items():
        path = home / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        path.chmod(0o755)
    return home


def install(folder: Path) -> None:
    """What `pip install -e .` leaves of a plugin: its name and its entry points."""
    parser = configparser.ConfigParser()
    parser.read(folder / "setup.cfg", "utf-8")
    name, version = parser["metadata"]["name"], parser["metadata"]["version"]
    told = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    told.mkdir(exist_ok=True)
    told.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    points = parser["options.entry_points"]["examlane.plugins"].strip()
    told.joinpath("entry_points.txt").write_text(f"[examlane.plugins]\n{points}\n", "utf-8")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """What each block printed, after the whole guide was followed."""
    for module in ("mypy", "ruff"):
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("guide")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    source = Path(examlane.__file__).parents[1]
    environment = {
        **os.environ,
        "PATH": f"{programs(folder)}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in (str(folder / "hysteroscopy"), *sys.path) if path),
        "MYPYPATH": "" if source.name == "site-packages" else str(source),
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["sh", "-c", script(folder, port)], cwd=folder, env=environment, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    found: dict[int, list[str]] = {}
    for part in done.stdout.split(MARK)[1:]:
        head, _, text = part.partition("\n")
        found.setdefault(int(head), []).extend(map(alike, text.splitlines()))
    return found


def alike(line: str) -> str:
    """A line without what differs from day to day: numbers, names of appointments, the slowest hook, width."""
    line = re.sub(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b", "NUMBER", re.sub(r"slowest: \w+", "slowest: hook", line))
    return " ".join(re.sub(r"\d+", "0", line).split())


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block.number))
def test_the_commands_of_the_guide_do_what_it_shows(block: Block, outputs: dict[int, list[str]]) -> None:
    printed = outputs[block.number]

    assert [line for line in block.shown if alike(line) not in printed] == [], "\n".join(printed)


def test_the_guide_shows_a_rule_that_is_broken_and_a_plugin_that_is_whole(outputs: dict[int, list[str]]) -> None:
    lines = [line for block in BLOCKS for line in outputs[block.number]]

    assert sum(line.startswith("FAILED") for line in lines) == 1
    assert "hysteroscopy keeps its contract" in lines


if __name__ == "__main__" and "-e" in sys.argv:
    install(Path.cwd())
