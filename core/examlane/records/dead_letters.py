"""Events that no attempt delivered: listed, looked at, sent again or given up by a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane.domain import Text
from examlane.errors import Conflict, NotFound
from examlane.records import audit, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.fields import epoch, instant, maybe_instant

COLUMNS = """SELECT e.id, e.event_id, p.code, e.subject, e.subject_key, e.sequence, e.kind, e.payload, e.created_at,
e.due_at, e.attempts, e.sent_at, e.dead, e.discarded_at, e.error FROM event e JOIN peer p ON p.id = e.peer_id"""
STATES = {
    "waiting": "e.sent_at IS NULL AND e.dead = 0",
    "sent": "e.sent_at IS NOT NULL",
    "dead": "e.dead = 1 AND e.discarded_at IS NULL AND e.sent_at IS NULL",
    "discarded": "e.discarded_at IS NOT NULL",
}
NOT_DEAD = Text("该消息不在死信中", "this event is no dead letter")
BEHIND = """SELECT count(*) FROM event f JOIN event e ON e.peer_id = f.peer_id AND e.subject = f.subject
AND e.subject_key = f.subject_key WHERE e.event_id = ? AND f.sequence > e.sequence AND f.sent_at IS NULL"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver: when, how it ended, and the wire in both directions."""

    at: datetime
    attempt: int
    outcome: str
    milliseconds: int
    request: str
    answer: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event with its state: waiting, sent, dead, discarded."""

    id: int
    event_id: str
    peer: str
    subject: str
    subject_key: str
    sequence: int
    kind: str
    payload: Mapping[str, Any]
    created_at: datetime
    due_at: datetime
    attempts: int
    sent_at: datetime | None
    state: str
    error: str


def listed(
    database: Database, *, state: str | None = None, peer: str | None = None, subject_key: str | None = None,
    after: int = 0, limit: int = 50,
) -> list[EventRow]:  # fmt: skip
    """Events in the order they were made, after one of them."""
    where, values = ["e.id > ?"], [after]
    for condition, value in (("p.code = ?", peer), ("e.subject_key = ?", subject_key)):
        if value:
            where.append(condition)
            values.append(value)  # type: ignore[arg-type]
    if state:
        where.append(STATES[state])
    rows = database.rows(f"{COLUMNS} WHERE {' AND '.join(where)} ORDER BY e.id LIMIT ?", *values, limit)
    return [_row(*row) for row in rows]


def show(database: Database, event_id: str) -> tuple[EventRow, list[Attempt], int]:
    """One event, its attempts, and how many later ones of its subject wait behind it. Raises `NotFound`."""
    row = database.row(f"{COLUMNS} WHERE e.event_id = ?", event_id)
    if row is None:
        raise NotFound("event", event_id)
    attempts = database.rows(
        "SELECT at, attempt, outcome, milliseconds, request, answer FROM delivery WHERE event_id = ? ORDER BY id", row[0]
    )
    return _row(*row), [Attempt(instant(at), *rest) for at, *rest in attempts], database.value(BEHIND, event_id)


def replay(database: Database, event_id: str, actor: Actor, now: datetime, key: RequestKey | None = None) -> None:
    """Try a dead letter again from the beginning, at once. Raises `NotFound`, `Conflict`."""
    again = "dead = 0, attempts = 0, due_at = ?, lease_until = 0"
    _settle(database, event_id, actor, now, key, "event.replay", again)


def discard(
    database: Database, event_id: str, actor: Actor, now: datetime, reason: str, key: RequestKey | None = None
) -> None:
    """Give a dead letter up, with a reason: the later ones of its subject go on. Raises `NotFound`, `Conflict`."""
    _settle(database, event_id, actor, now, key, "event.discard", "discarded_at = ?", reason=reason)


def _settle(
    database: Database, event_id: str, actor: Actor, now: datetime, key: RequestKey | None, action: str, change: str,
    **detail: Any,
) -> None:  # fmt: skip
    def settle() -> None:
        receipts.keep(database, key, "event", event_id, epoch(now))
        if not database.value("SELECT 1 FROM event WHERE event_id = ?", event_id):
            raise NotFound("event", event_id)
        changed = database.rows(
            f"UPDATE event SET {change} WHERE event_id = ? AND dead = 1 AND discarded_at IS NULL RETURNING id",
            epoch(now), event_id,
        )  # fmt: skip
        if not changed:
            raise Conflict("not_dead", NOT_DEAD)
        audit.record(database, actor, action, "event", event_id, epoch(now), **detail)

    database.write(settle)


def _row(
    key: int, event_id: str, peer: str, subject: str, subject_key: str, sequence: int, kind: str, payload: str,
    created_at: int, due_at: int, attempts: int, sent_at: int | None, dead: int, discarded_at: int | None, error: str,
) -> EventRow:  # fmt: skip
    state = "sent" if sent_at else "discarded" if discarded_at else "dead" if dead else "waiting"
    return EventRow(
        key, event_id, peer, subject, subject_key, sequence, kind, json.loads(payload), instant(created_at), instant(due_at),
        attempts, maybe_instant(sent_at), state, error,
    )  # fmt: skip
