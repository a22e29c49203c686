"""What a plugin's package ships for its tests: the rules as they count on a day, and a sample of its department."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import date
from importlib.resources import files as package_files
from typing import Any

from examlane.rulebase import files
from examlane.rulebase.rules import RuleBook
from examlane.testing.hospital import DATA, MORNING

SAMPLE = "sample.toml"
Tables = dict[str, list[dict[str, Any]]]


def rule_book(plugin: str, package: str, day: date | None = None, **profiles: str) -> RuleBook:
    """The rules that a package ships as they count on a day (by default that of `MORNING`), in some profiles."""
    shipped = files.read(plugin, package)
    return files.book(shipped.versions, shipped.choices, profiles, day or MORNING.date())


def sample(package: str) -> Tables:
    """The small hospital's master data together with the department of a package's `sample.toml`."""
    own = own_sample(package)
    return {name: [*DATA.get(name, ()), *own.get(name, ())] for name in {**DATA, **own}}


def own_sample(package: str) -> Tables:
    """The tables of a package's `sample.toml`: those of the master data's CSV files, rows as TOML. Empty without one."""
    found = package_files(package).joinpath(SAMPLE)
    if not found.is_file():
        return {}
    tables = tomllib.loads(found.read_text("utf-8"))
    return {name: [_cells(row) for row in rows] for name, rows in tables.items()}


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """As a CSV file has them: what is a table or a list is JSON."""
    return {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
