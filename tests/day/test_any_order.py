"""Every command of the ordinary day, in any order, on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.day.machine import Day
from tests.day.rules_golive import GoLive


class WholeDay(GoLive, Day):
    """All areas together."""


@pytest.fixture(params=["sqlite", "postgresql"])
def open_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes addresses of new databases, one an example."""
    numbers = itertools.count()
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / f'day-{next(numbers)}.db'}"
    folder = request.getfixturevalue("postgresql_folder")
    return lambda: new_database(folder)


def new_database(folder: Path) -> str:
    import uuid

    import psycopg

    name = f"d{uuid.uuid4().hex}"
    with psycopg.connect(f"postgresql://postgres@/postgres?host={folder}", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://postgres@/{name}?host={folder}"


def test_commands_in_any_order_do_what_the_model_says_and_break_no_invariant(open_url: Callable[[], str]) -> None:
    machine: Any = type("Played", (WholeDay,), {"open_url": staticmethod(open_url)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
