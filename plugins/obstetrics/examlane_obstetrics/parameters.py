"""The rule data of the obstetric clinic, and how a department's settings override it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo


@cache
def rule_data() -> Mapping[str, Any]:
    return tomllib.loads(files("examlane_obstetrics").joinpath("rules.toml").read_text("utf-8"))


def number(name: str, settings: Mapping[str, Any]) -> int:
    """A number of the rule data, unless the department has set its own."""
    return int(settings.get(name, rule_data()[name]["value"]))


def zone(settings: Mapping[str, Any]) -> ZoneInfo:
    """The time zone in which gestational days begin and end."""
    return ZoneInfo(settings.get("time_zone", rule_data()["time_zone"]["value"]))
