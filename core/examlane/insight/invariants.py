"""Checking the promises of `promises.py` on a live database: one read transaction, no repair, nobody's name shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane.clock import Clock, SystemClock
from examlane.domain import Text
from examlane.errors import NotFound
from examlane.insight.day_promises import DAY
from examlane.insight.promises import PROMISES, SCHEMA, Invariant, Severity
from examlane.storage.database import Database
from examlane.storage.fields import epoch

__all__ = ["INVARIANTS", "Invariant", "Severity", "Violation", "as_data", "check"]

INVARIANTS: tuple[Invariant, ...] = (*PROMISES, *DAY, *SCHEMA)
"""All of them, in the order they are checked and reported."""
SHOWN = 20
ONE_VIEW = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold: how many rows break it, and the keys of the first."""

    id: str
    title: Text
    severity: Severity
    count: int
    rows: tuple[str, ...]


def check(database: Database, only: Collection[str] = (), *, clock: Clock | None = None) -> list[Violation]:
    """What does not hold, of all invariants or of those named. Raises `NotFound` for an unknown name."""
    chosen = _chosen(only)
    now = (clock or SystemClock()).now()
    with database.engine.transaction():
        if not database.is_sqlite:
            database.rows(ONE_VIEW)
        found = [_violation(database, invariant, now) for invariant in chosen]
    return [violation for violation in found if violation.count]


def as_data(violations: Iterable[Violation]) -> list[dict[str, Any]]:
    """Violations as plain data for JSON."""
    return [
        {
            "id": violation.id,
            "title": {"zh": violation.title.zh, "en": violation.title.en},
            "severity": violation.severity.value,
            "count": violation.count,
            "rows": list(violation.rows),
        }
        for violation in violations
    ]


def _chosen(only: Collection[str]) -> list[Invariant]:
    known = {invariant.id for invariant in INVARIANTS}
    for name in only:
        if name not in known:
            raise NotFound("invariant", name)
    return [invariant for invariant in INVARIANTS if not only or invariant.id in only]


def _violation(database: Database, invariant: Invariant, now: datetime) -> Violation:
    params = () if invariant.patience is None else (epoch(now) - invariant.patience,)
    keys = sorted(str(row[0]) for row in database.rows(invariant.sql, *params))
    return Violation(invariant.id, invariant.title, invariant.severity, len(keys), tuple(keys[:SHOWN]))
