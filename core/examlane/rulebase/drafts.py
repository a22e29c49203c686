"""A new version of a rule drafted from an older one: some fields changed, its cases moved along with its borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from examlane.rulebase import conditions

MERGED = ("parameters", "unit")
"""Fields of which a change names only what is different; every other field is replaced."""

Move = tuple[str, float, float]
"""A fact, and where a border on it was and is."""


def drafted(older: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The older version's table with some fields changed, None to leave one out. It is not checked yet.

    Unless new cases are given, the old ones move with the numbers of the condition, so that they stay on the same sides
    of the border and on it. Raises `ValueError` when a parameter of the condition is missing.
    """
    table = {**older, **changes}
    for name in MERGED:
        if isinstance(changes.get(name), Mapping):
            table[name] = {**older.get(name, {}), **changes[name]}
    table = {name: value for name, value in table.items() if value is not None}
    if "case" not in changes and "when" in older and "when" in table:
        moves = _moves(_borders(older), _borders(table))
        table["case"] = [{**case, "given": _moved(case["given"], moves)} for case in older["case"]]
    return table


def _borders(table: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    return list(conditions.borders(conditions.filled(table["when"], table.get("parameters", {}))))


def _moves(before: Sequence[tuple[str, str, float]], after: Sequence[tuple[str, str, float]]) -> list[Move]:
    """How far each border went; nothing when the condition itself was written anew."""
    if [border[:2] for border in before] != [border[:2] for border in after]:
        return []
    return [(name, old, new) for (name, _, old), (_, _, new) in zip(before, after, strict=True) if _both(old, new)]


def _both(old: Any, new: Any) -> bool:
    return conditions.is_number(old) and conditions.is_number(new)


def _moved(given: Mapping[str, Any], moves: Sequence[Move]) -> dict[str, Any]:
    return {name: _beside(value, [move for move in moves if move[0] == name]) for name, value in given.items()}


def _beside(value: Any, moves: Sequence[Move]) -> Any:
    """The value as far from the border that it stood nearest to."""
    if not moves or not conditions.is_number(value):
        return value
    _, old, new = min(moves, key=lambda move: abs(move[1] - value))
    # Measured from the border: 1.1 - 1.0 + 1.0 is not 1.1, and a case must stand exactly on it.
    return new if value == old else round(new + (value - old), 6)
