"""Reading clinical facts: what is missing, of the wrong kind or impossible is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examlane import Fact
from examlane_radiology.rulebase import RULES


def number(context: Mapping[str, Fact], name: str, settings: Mapping[str, Any]) -> float | None:
    """A measured number, or None while it is unknown or outside what is plausible."""
    fact = context.get(name)
    if fact is None or isinstance(fact.value, bool) or not isinstance(fact.value, int | float):
        return None
    low, high = RULES.rule("plausible", settings)[name]
    return float(fact.value) if low <= fact.value <= high else None


def answer(context: Mapping[str, Fact], name: str) -> bool | None:
    """A yes or no, or None while it is unknown."""
    fact = context.get(name)
    return fact.value if fact is not None and isinstance(fact.value, bool) else None
