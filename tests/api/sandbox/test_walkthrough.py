"""The walk through the sandbox in the page for integrators, typed in as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "integration.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
EXAMLANE = f'examlane() {{ {shlex.quote(sys.executable)} -m examlane_api.cli "$@"; }}\n'
END = "--- end of a block ---"


def walk() -> list[tuple[str, str]]:
    """Each block of commands with the lines that are shown as its answer."""
    text = PAGE.read_text("utf-8").partition("\n## Connect in an hour\n")[2].partition("\n## ")[0]
    found = FENCE.findall(text)
    return [(body, shown) for (kind, body), (after, shown) in pairwise(found) if (kind, after) == ("sh", "text")]


def unseen(shown: str, said: str) -> list[str]:
    """The lines shown that did not come, each after the one before."""
    lines = iter(said.splitlines())
    wanted = [(line, re.compile(re.escape(line).replace("…", ".*"))) for line in shown.splitlines()]
    return [line for line, pattern in wanted if not any(pattern.fullmatch(each) for each in lines)]


def test_every_command_of_the_walk_answers_as_the_page_shows(tmp_path: Path) -> None:
    blocks = [body for _, body in FENCE.findall(PAGE.read_text("utf-8"))]
    start = next(body for body in blocks if body.startswith("examlane sandbox --clock"))
    command = [sys.executable, "-m", "examlane_api.cli", *shlex.split(start)[1:], "--port", "0"]
    steps = walk()
    script = EXAMLANE + "".join(f"{body}\necho '{END}'\n" for body, _ in steps)
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            assert any(line == "ready\n" for line in iter(served.stdout.readline, ""))
            environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            typed = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
        finally:
            served.terminate()
    said = typed.stdout.split(f"{END}\n")[:-1]
    lacking = [unseen(shown, answer) for (_, shown), answer in zip(steps, said, strict=True)]
    assert lacking == [[]] * len(steps), typed.stderr
