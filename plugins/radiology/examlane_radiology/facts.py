"""Reading clinical facts: what is missing, of the wrong kind or impossible is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from examlane import Fact, RuleBook

ERA = timedelta(days=3660)
"""An instant further away than ten years is a slip of the pen."""
LONGEST_TEXT = 200


def read(context: Mapping[str, Fact], now: datetime, rules: RuleBook) -> dict[str, Any]:
    """Every fact that the rule `facts` names; None where it is unknown, False where it counts only if recorded."""
    known = rules["facts"]
    data = known.table["data"]
    values = {name: fact.value for name, fact in context.items()}
    found: dict[str, Any] = {name: _number(values.get(name), low, high) for name, (low, high) in known.parameters.items()}
    found |= {name: _answer(values.get(name)) for name in data["answers"]}
    found |= {name: values.get(name) is True for name in data["recorded"]}
    found |= {name: _word(values.get(name), choices) for name, choices in data["words"].items()}
    found |= {name: _text(values.get(name)) for name in data["texts"]}
    return found | {name: _instant(values.get(name), now) for name in data["instants"]}


def _number(value: Any, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value) if low <= value <= high else None


def _answer(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _word(value: Any, choices: tuple[str, ...]) -> str | None:
    return value if isinstance(value, str) and value in choices else None


def _text(value: Any) -> str | None:
    text = printable(value) if isinstance(value, str) else ""
    return text[:LONGEST_TEXT] or None


def printable(text: str) -> str:
    """The text without what no screen and no database can hold."""
    return "".join(character for character in text if character.isprintable()).strip()


def _instant(value: Any, now: datetime) -> datetime | None:
    try:
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    if instant.utcoffset() is None:
        return None
    return instant if abs(instant - now) < ERA else None
