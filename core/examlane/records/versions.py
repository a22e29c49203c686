"""The versions of master data and rollout: counters by which every process learns of a change."""

from __future__ import annotations

from examlane.storage.database import Database


def versions(database: Database) -> tuple[int, int]:
    """The versions of the master data and of the rollout, which every process reads before it plans."""
    rows = database.rows("SELECT name, value FROM setting")
    values: dict[str, int] = dict(rows)
    return values.get("catalogue", 0), values.get("rollout", 0)


def bump(database: Database, name: str) -> None:
    """Tell every process that the catalogue or the rollout changed; inside the transaction that changes it."""
    database.rows(
        "INSERT INTO setting (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = setting.value + 1",
        name,
    )
