"""The departments of this distribution keep what is asked of every plugin, in worlds of the demonstration's catalogue."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from examlane.capacity import masterdata
from examlane.testing import conformance
from examlane.testing.conformance import Check, NotConforming
from examlane.testing.subject import Subject

HOMES = Path(__file__).resolve().parents[2] / "plugins"
TABLES = masterdata.read_folder(Path(str(files("examlane_api.demo").joinpath("data"))))


def has_rules(name: str) -> bool:
    """Whether the department keeps its rules in rule files. That each one loads at all is for the packaging tests."""
    try:
        return bool(Subject(name).plugin.rules.versions)
    except NotConforming:
        return False


CHECKS = [
    pytest.param(check, id=f"{home.name}-{check.__name__}")
    for home in sorted(HOMES.iterdir())
    if home.is_dir() and has_rules(home.name)
    for check in conformance.checks(home.name, tables=TABLES, folder=home)
]


@pytest.mark.parametrize("check", CHECKS)
def test_a_department_keeps_the_contract(check: Check) -> None:
    check()
