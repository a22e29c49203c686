"""What comes from peers out of turn: codes that nobody has explained, messages that wait, and those that are too old."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from examlane.errors import NotFound
from examlane.records import audit, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.exchange import ParkedMessage
from examlane.storage.fields import dump, epoch, instant, maybe_instant

ORDER = "order"
"""What a message waits for that came before its order: no code, but the order itself."""
ORDER_COMES_WITHIN = timedelta(hours=24)
NOTE = """INSERT INTO foreign_code (peer, kind, code, name, target, seen, first_seen_at, last_seen_at, mapped_by)
VALUES (?, ?, ?, ?, '', 1, ?, ?, '') ON CONFLICT (peer, kind, code) DO UPDATE SET seen = foreign_code.seen + 1,
last_seen_at = excluded.last_seen_at, name = CASE WHEN excluded.name = '' THEN foreign_code.name ELSE excluded.name END
RETURNING id"""
ASSIGN = """INSERT INTO foreign_code (peer, kind, code, name, target, seen, first_seen_at, last_seen_at, mapped_by,
mapped_at) VALUES (?, ?, ?, '', ?, 0, ?, ?, ?, ?) ON CONFLICT (peer, kind, code) DO UPDATE SET
target = excluded.target, mapped_by = excluded.mapped_by, mapped_at = excluded.mapped_at RETURNING id"""
NEWEST = "SELECT made_at FROM newest_message WHERE peer = ? AND subject = ? AND subject_key = ?"
HEARD = """INSERT INTO newest_message (peer, subject, subject_key, made_at) VALUES (?, ?, ?, ?)
ON CONFLICT (peer, subject, subject_key) DO UPDATE SET made_at = excluded.made_at
WHERE newest_message.made_at < excluded.made_at RETURNING id"""
CODES = """SELECT peer, kind, code, name, target, seen, first_seen_at, last_seen_at, mapped_by, mapped_at
FROM foreign_code WHERE (? = '' OR peer = ?) ORDER BY target <> '', last_seen_at DESC, id"""
PARKED = """SELECT id, peer, action, message_id, body, waits_for, received_at FROM parked_message
WHERE state = 'parked' AND (? = '' OR peer = ?) AND waits_for LIKE ? ORDER BY id"""
FAILED = """SELECT id, peer, action, message_id, error, settled_at FROM parked_message
WHERE state = 'failed' AND (? = '' OR peer = ?) ORDER BY id"""
REOPEN = """UPDATE parked_message SET state = 'parked', error = '', settled_at = NULL, received_at = ?
WHERE id = ? AND state = 'failed' RETURNING peer, action, message_id, body, waits_for, received_at"""
DISCARD = """UPDATE parked_message SET state = 'given_up', body = '', settled_at = ? WHERE id = ? AND state = 'failed'
RETURNING peer"""
SETTLE = """UPDATE parked_message SET state = ?, error = ?, settled_at = ?, body = CASE WHEN ? = 'done' THEN '' ELSE body
END WHERE id = ? AND state = 'parked' RETURNING id"""


@dataclass(frozen=True, slots=True)
class Missing:
    """What a message names and we do not know: a peer's code of some kind, with the name that came with it."""

    kind: str
    code: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A peer's code with how often it came; `target` is our own code once a person has said which."""

    peer: str
    kind: str
    code: str
    name: str
    target: str
    seen: int
    first_seen: datetime
    last_seen: datetime
    mapped_by: str
    mapped_at: datetime | None


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waits."""

    id: int
    peer: str
    action: str
    message_id: str
    body: str
    waits_for: tuple[Missing, ...]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Failed:
    """A message that waited and was refused at last, or waited in vain: a dead letter."""

    id: int
    peer: str
    action: str
    message_id: str
    error: str
    failed_at: datetime


def note(database: Database, peer: str, missing: Sequence[Missing], now: datetime) -> None:
    """Count codes that came and are not known; inside a write transaction."""
    for each in missing:
        if each.kind != ORDER:
            database.rows(NOTE, peer, each.kind, each.code, each.name, epoch(now), epoch(now))


def targets(database: Database, peer: str) -> dict[tuple[str, str], str]:
    """Our code for each of a peer's codes that a person has explained."""
    rows = database.rows("SELECT kind, code, target FROM foreign_code WHERE peer = ? AND target <> ''", peer)
    return {(kind, code): target for kind, code, target in rows}


def assign(database: Database, peer: str, kind: str, code: str, target: str, actor: Actor, now: datetime) -> None:
    """Say which of our codes a peer's code means; a later word replaces an earlier one."""

    def store() -> None:
        at = epoch(now)
        database.rows(ASSIGN, peer, kind, code, target, at, at, actor.name, at)
        audit.record(database, actor, "code.map", "peer", peer, at, kind=kind, code=code, target=target)

    database.write(store)


def codes(database: Database, peer: str = "") -> list[CodeRow]:
    """Every foreign code, those without a meaning first."""
    return [
        CodeRow(whose, kind, code, name, target, seen, instant(first), instant(last), by, maybe_instant(at))
        for whose, kind, code, name, target, seen, first, last, by, at in database.rows(CODES, peer, peer)
    ]


def is_late(database: Database, peer: str, subject: str, key: str, made_at: datetime) -> bool:
    """Whether a message about a subject was made before another that came already."""
    newest: int | None = database.value(NEWEST, peer, subject, key)
    return newest is not None and newest > epoch(made_at)


def heard(database: Database, peer: str, subject: str, key: str, made_at: datetime) -> None:
    """Remember when the newest message about a subject was made; inside a write transaction."""
    database.rows(HEARD, peer, subject, key, epoch(made_at))


def park(
    database: Database, peer: str, action: str, key: RequestKey, body: str, missing: Sequence[Missing], now: datetime
) -> None:
    """Keep a message whole until what it names is known, with its receipt."""

    def store() -> None:
        number = database.insert(
            ParkedMessage, peer=peer, action=action, message_id=key.key, body=body, received_at=epoch(now),
            waits_for=dump([[each.kind, each.code] for each in missing]),
        )  # fmt: skip
        receipts.keep(database, key, "parked", str(number), epoch(now))
        note(database, peer, missing, now)

    database.write(store)


def parked(database: Database, peer: str = "", order: str = "") -> list[Parked]:
    """The messages that wait (for `order`, where one is named), oldest first."""
    wanted = f"%{dump([ORDER, order])}%" if order else "%"
    return [_parked(row) for row in database.rows(PARKED, peer, peer, wanted)]


def ready(database: Database, peer: str, order: str = "") -> list[Parked]:
    """The messages of a peer that wait no longer; of those that name `order` only, when one is given."""
    known = targets(database, peer)
    waiting = parked(database, peer, order)
    return [each for each in waiting if all(_arrived(database, known, wanted) for wanted in each.waits_for)]


def wait_on(database: Database, message: int, missing: Sequence[Missing]) -> None:
    """A message that was read again waits for something else."""
    waits_for = dump([[each.kind, each.code] for each in missing])
    database.write(
        lambda: database.rows("UPDATE parked_message SET waits_for = ? WHERE id = ? RETURNING id", waits_for, message)
    )


def settle(database: Database, message: int, now: datetime, error: str = "") -> None:
    """A parked message was read at last, or refused for good."""
    state = "failed" if error else "done"
    database.write(lambda: database.rows(SETTLE, state, error[:300], epoch(now), state, message))


def failed(database: Database, peer: str = "") -> list[Failed]:
    """The dead letters, oldest first."""
    rows = database.rows(FAILED, peer, peer)
    return [Failed(key, whose, action, number, why, instant(at)) for key, whose, action, number, why, at in rows]


def reopen(database: Database, message: int, actor: Actor, now: datetime) -> Parked:
    """Let a dead letter wait again, from now on. Raises `NotFound`."""

    def store() -> Parked:
        rows = database.rows(REOPEN, epoch(now), message)
        if not rows:
            raise NotFound("message", str(message))
        audit.record(database, actor, "message.reopen", "message", str(message), epoch(now))
        return _parked((message, *rows[0]))

    return database.write(store)


def discard(database: Database, message: int, actor: Actor, now: datetime, reason: str) -> None:
    """Give a dead letter up, with a reason; its content is emptied. Raises `NotFound`."""

    def store() -> None:
        if not database.rows(DISCARD, epoch(now), message):
            raise NotFound("message", str(message))
        audit.record(database, actor, "message.discard", "message", str(message), epoch(now), reason=reason)

    database.write(store)


def give_up(database: Database, now: datetime, peer: str = "") -> int:
    """End the wait of messages whose order has not come within a day; returns how many."""
    late = [
        each
        for each in parked(database, peer)
        if any(wanted.kind == ORDER for wanted in each.waits_for) and now - each.received_at > ORDER_COMES_WITHIN
    ]
    for each in late:
        settle(database, each.id, now, "the order did not come within 24 hours")
    return len(late)


def _arrived(database: Database, known: dict[tuple[str, str], str], wanted: Missing) -> bool:
    if wanted.kind == ORDER:
        return database.row("SELECT 1 FROM exam_order WHERE number = ?", wanted.code) is not None
    return (wanted.kind, wanted.code) in known


def _parked(row: Sequence[Any]) -> Parked:
    number, peer, action, message_id, body, waits_for, received = row
    waiting = tuple(Missing(kind, code) for kind, code in json.loads(waits_for))
    return Parked(number, peer, action, message_id, body, waiting, instant(received))
