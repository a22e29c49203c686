"""Every command of the ordinary day, in any order, on both databases."""

from __future__ import annotations

import inspect
import itertools
import os
import uuid
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.day.machine import Day

EXAMPLES, STEPS = int(os.environ.get("DAY_EXAMPLES", "8")), 25
"""More of them, for a longer search: `DAY_EXAMPLES=200 pytest tests/day/test_any_order.py`."""


def areas() -> list[type[Day]]:
    """The rules of every area: the machines that the files `rules_*.py` beside this one define."""
    modules = [import_module(f"tests.day.{path.stem}") for path in sorted(Path(__file__).parent.glob("rules_*.py"))]
    return [
        found
        for module in modules
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Day) and found.__module__ == module.__name__
    ]


@pytest.fixture(params=["sqlite", "postgresql"])
def open_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes addresses of new databases, one an example."""
    numbers = itertools.count()
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / f'day-{next(numbers)}.db'}"
    folder = request.getfixturevalue("postgresql_folder")
    return lambda: new_database(folder)


def new_database(folder: Path) -> str:
    import psycopg

    name = f"d{uuid.uuid4().hex}"
    with psycopg.connect(f"postgresql://postgres@/postgres?host={folder}", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://postgres@/{name}?host={folder}"


def test_commands_in_any_order_do_what_the_model_says_and_break_no_invariant(open_url: Callable[[], str]) -> None:
    machine: Any = type("WholeDay", (*areas(), Day), {"open_url": staticmethod(open_url)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
