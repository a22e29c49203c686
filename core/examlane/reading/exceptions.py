"""The desk's tasks as lists show them: why automation stopped, who has it, until when, and the next step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane.domain import Text
from examlane.errors import NotFound
from examlane.orders.patients import masked
from examlane.storage.database import Database, Row, where
from examlane.storage.fields import epoch, instant, maybe_instant

TASKS = """SELECT t.id, t.code, t.department, t.owner, p.name, oi.key, a.number, t.reason, t.next_step, t.opened_at,
t.deadline_at, t.taken_by, t.taken_at, t.closed_at, t.closed_by, t.close_reason, t.version
FROM desk_task t LEFT JOIN patient p ON p.id = t.patient_id LEFT JOIN order_item oi ON oi.id = t.order_item_id
LEFT JOIN appointment a ON a.id = t.appointment_id"""
STATES = {
    "open": "t.closed_at IS NULL AND t.taken_by = ''",
    "taken": "t.closed_at IS NULL AND t.taken_by <> ''",
    "closed": "t.closed_at IS NOT NULL",
}


@dataclass(frozen=True, slots=True)
class Task:
    """An exception of the booking process; the patient is masked, no department is everybody's."""

    id: int
    code: str
    department: str
    owner: str
    patient: str | None
    order_item: str | None
    appointment: str | None
    reason: Text
    next_step: Text
    opened_at: datetime
    deadline_at: datetime | None
    taken_by: str
    taken_at: datetime | None
    closed_at: datetime | None
    closed_by: str
    close_reason: str
    version: int

    @property
    def state(self) -> str:
        if self.closed_at is not None:
            return "closed"
        return "taken" if self.taken_by else "open"


def tasks(
    database: Database, *, departments: Sequence[str] = (), state: str = "", code: str = "", owner: str = "",
    overdue_at: datetime | None = None, after: int = 0, limit: int = 50,
) -> list[Task]:  # fmt: skip
    """Tasks in the order they were opened; of some departments and of the whole hospital, or all."""
    condition, values = where(
        ("t.id > ?", after), ("t.department IN", (*departments, "") if departments else ()), ("t.code = ?", code),
        ("t.owner = ?", owner), ("t.deadline_at < ?", None if overdue_at is None else epoch(overdue_at)),
    )  # fmt: skip
    clause = f"WHERE {condition}{f' AND {STATES[state]}' if state else ''} ORDER BY t.id LIMIT ?"
    return [_task(row) for row in database.rows(f"{TASKS} {clause}", *values, limit)]


def task(database: Database, key: int) -> Task:
    """One task. Raises `NotFound`."""
    row = database.row(f"{TASKS} WHERE t.id = ?", key)
    if row is None:
        raise NotFound("exception", str(key))
    return _task(row)


def _task(row: Row) -> Task:
    key, code, department, owner, name, item, number, reason, step, opened, deadline, taken_by, taken, closed, *rest = row
    return Task(
        key, code, department, owner, name and masked(name), item, number, _text(reason), _text(step), instant(opened),
        maybe_instant(deadline), taken_by, maybe_instant(taken), maybe_instant(closed), *rest,
    )  # fmt: skip


def _text(stored: Any) -> Text:
    words = json.loads(stored)
    return Text(words.get("zh", ""), words.get("en", ""))
