"""Hospitals of several processes: children that obey line by line, and may be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

CHILD = Path(__file__).parent / "child.py"


class Child:
    """A process of its own on a hospital's database."""

    def __init__(self, url: str, days: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), url, str(days)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, *command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        """The next answer; None if the process has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def ask(self, *command: str) -> Any:
        self.tell(*command)
        return self.hear()

    def kill(self) -> None:
        """kill -9, this very moment."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def children() -> Iterator[Callable[..., list[Child]]]:
    """Start some processes on a hospital's database; they are ready when this returns."""
    started: list[Child] = []

    def start(url: str, number: int = 1, days: int = 14) -> list[Child]:
        made = [Child(url, days) for _ in range(number)]
        started.extend(made)
        assert {child.hear() for child in made} == {"ready"}
        return made

    yield start
    for child in started:
        child.end()
