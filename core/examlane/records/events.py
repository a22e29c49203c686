"""What peers must hear: events numbered per subject and peer, written with the change, sent by the worker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from examlane.storage.database import Database
from examlane.storage.fields import dump
from examlane.storage.ledger import Event

LEASE_SECONDS = 30
BATCH = 50
MAX_ATTEMPTS = 8

PEERS = """SELECT p.id, p.event_types, (SELECT coalesce(max(e.sequence), 0) + 1 FROM event e
WHERE e.peer_id = p.id AND e.subject = ? AND e.subject_key = ?) FROM peer p WHERE p.enabled = 1 ORDER BY p.id"""
# An event waits for every earlier one of its own subject and peer, and for nothing else.
DUE = """SELECT e.id FROM event e JOIN peer p ON p.id = e.peer_id WHERE e.sent_at IS NULL AND e.dead = 0
AND e.due_at <= ? AND e.lease_until <= ? AND p.enabled = 1
AND NOT EXISTS (SELECT 1 FROM event f WHERE f.peer_id = e.peer_id AND f.subject = e.subject
AND f.subject_key = e.subject_key AND f.sequence < e.sequence AND f.sent_at IS NULL)
ORDER BY e.due_at, e.id LIMIT ?"""
CLAIM = """UPDATE event SET lease_until = ?, attempts = attempts + 1
WHERE id = ? AND lease_until <= ? AND sent_at IS NULL AND dead = 0
RETURNING id, peer_id, event_id, subject, subject_key, sequence, kind, payload, attempts"""


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way to one peer. The receiver removes duplicates by `event_id`."""

    id: int
    peer: str
    address: str
    event_id: str
    subject: str
    subject_key: str
    sequence: int
    kind: str
    payload: Mapping[str, Any]
    attempts: int


Send = Callable[[Message], None]
"""Delivers one message, or raises `OSError` or `ValueError`: it will be tried again."""


def emit(
    database: Database, subject: str, subject_key: str, kind: str, payload: Mapping[str, Any], now: int, *,
    personal: bool = False,
) -> None:  # fmt: skip
    """Tell every peer that wants this kind of event; inside the transaction of the change.

    What is `personal` goes only to peers that name the kind: wanting everything is not enough.
    """
    for peer, kinds, sequence in database.rows(PEERS, subject, subject_key):
        if (kinds == "[]" and not personal) or kind in json.loads(kinds):
            database.insert(
                Event, event_id=str(uuid.uuid4()), peer=peer, subject=subject, subject_key=subject_key,
                sequence=sequence, kind=kind, payload=dump(payload),
                created_at=now, due_at=now,
            )  # fmt: skip


def deliver_due(database: Database, send: Send, now: int) -> int:
    """Send what is due, in order per subject and peer; returns how many arrived. Each is claimed with a lease."""
    peers = {key: (code, address) for key, code, address in database.rows("SELECT id, code, address FROM peer")}
    sent = 0
    for (event,) in database.rows(DUE, now, now, BATCH):
        claimed = _claim(database, event, now)
        if claimed is not None:
            sent += _deliver(database, send, _message(claimed, *peers[claimed[1]]), now)
    return sent


def _message(row: tuple[Any, ...], peer: str, address: str) -> Message:
    key, _peer, event_id, subject, subject_key, sequence, kind, payload, attempts = row
    return Message(key, peer, address, event_id, subject, subject_key, sequence, kind, json.loads(payload), attempts)


def _claim(database: Database, event: int, now: int) -> tuple[Any, ...] | None:
    return database.write(lambda: database.row(CLAIM, now + LEASE_SECONDS, event, now))


def _deliver(database: Database, send: Send, message: Message, now: int) -> bool:
    try:
        send(message)
    except (OSError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        database.write(lambda: _postpone(database, message, reason, now))
        return False
    database.write(
        lambda: database.rows("UPDATE event SET sent_at = ?, error = '' WHERE id = ? RETURNING id", now, message.id)
    )
    return True


def _postpone(database: Database, message: Message, reason: str, now: int) -> None:
    dead = int(message.attempts >= MAX_ATTEMPTS)
    later = now + min(3600, 2**message.attempts)
    database.rows(
        "UPDATE event SET due_at = ?, lease_until = 0, dead = ?, error = ? WHERE id = ? RETURNING id",
        later, dead, reason, message.id,
    )  # fmt: skip
