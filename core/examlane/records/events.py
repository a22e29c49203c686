"""What peers must hear: events numbered per subject and peer, written with the change, sent by the worker."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from examlane.errors import NotFound
from examlane.storage.database import Database
from examlane.storage.exchange import Delivery, Event
from examlane.storage.fields import dump

LEASE_SECONDS = 30
"""How long, beyond its peer's time limit, an event stays with the worker that took it."""
TURN_SECONDS = 5
"""A worker has other things to do: after this long it goes on with the rest in its next turn."""
BATCH = 50
MAX_ATTEMPTS = 8
BREAKER_FAILURES = 5
BREAKER_SECONDS = 15
LONGEST_PAUSE = 600
ARCHIVED = 20_000
"""Characters of a message and of its answer that the archive keeps."""

PEERS = """SELECT p.id, p.event_types, (SELECT coalesce(max(e.sequence), 0) + 1 FROM event e
WHERE e.peer_id = p.id AND e.subject = ? AND e.subject_key = ?) FROM peer p WHERE p.enabled = 1 ORDER BY p.id"""
# An event waits for every earlier one of its own subject and peer, and for nothing else but its peer's pause.
FIRST = """NOT EXISTS (SELECT 1 FROM event f WHERE f.peer_id = e.peer_id AND f.subject = e.subject
AND f.subject_key = e.subject_key AND f.sequence < e.sequence AND f.sent_at IS NULL AND f.discarded_at IS NULL)"""
WAITING = f"SELECT e.id FROM event e WHERE e.event_id = ? AND e.sent_at IS NULL AND e.dead = 0 AND {FIRST}"
DUE = f"""SELECT e.id FROM event e JOIN peer p ON p.id = e.peer_id WHERE e.sent_at IS NULL AND e.dead = 0
AND e.due_at <= ? AND e.lease_until <= ? AND p.enabled = 1 AND p.paused_until <= ?
AND {FIRST} ORDER BY e.due_at, e.id LIMIT ?"""
MESSAGE = "id, peer_id, event_id, subject, subject_key, sequence, kind, payload, attempts"
CLAIM = (
    """UPDATE event SET attempts = attempts + 1,
lease_until = ? + (SELECT p.timeout_seconds FROM peer p WHERE p.id = event.peer_id)
WHERE id = ? AND lease_until <= ? AND sent_at IS NULL AND dead = 0
RETURNING """
    + MESSAGE
)
PAUSED = "SELECT 1 FROM event e JOIN peer p ON p.id = e.peer_id WHERE e.id = ? AND p.paused_until > ?"
# Whose lease ended meanwhile says nothing more: another worker tries, or has delivered it.
POSTPONE = """UPDATE event SET due_at = ?, lease_until = 0, dead = ?, error = ?
WHERE id = ? AND attempts = ? AND sent_at IS NULL RETURNING id"""
FAILED = """UPDATE peer SET failures = failures + 1 WHERE id = ? RETURNING failures"""


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """A peer as its messages need it; `sealed` are the keys that sign them."""

    id: int
    code: str
    kind: str
    address: str
    timeout_seconds: int
    sealed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way to one peer. The receiver removes duplicates by `event_id`."""

    id: int
    to: PeerEntry
    event_id: str
    subject: str
    subject_key: str
    sequence: int
    kind: str
    payload: Mapping[str, Any]
    attempts: int

    @property
    def peer(self) -> str:
        return self.to.code

    @property
    def address(self) -> str:
        return self.to.address


@dataclass(frozen=True, slots=True)
class Sent:
    """What went over the wire and what came back, for the archive."""

    request: str = ""
    answer: str = ""


class Undelivered(Exception):
    """A peer did not take a message; `sent` is what went over the wire and came back."""

    def __init__(self, why: str, sent: Sent | None = None) -> None:
        super().__init__(why)
        self.sent = sent or Sent()


class Unreachable(Undelivered):
    """The peer is down, slow, or speaks nonsense: its other messages would fare alike."""


class Declined(Undelivered):
    """The peer understood and refused this one message: the others may still be taken."""


Send = Callable[[Message], Sent | None]
"""Delivers one message, or raises `Undelivered` or `OSError`: it is tried again, and so is what it breaks on."""


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


def wanted(database: Database) -> frozenset[str]:
    """The kinds that some peer names: of nothing else need personal payloads be made."""
    named = database.rows("SELECT event_types FROM peer WHERE enabled = 1 AND event_types <> '[]'")
    return frozenset(kind for (kinds,) in named for kind in json.loads(kinds))


def deliver_due(database: Database, send: Send, now: int) -> int:
    """Send what is due, in order per subject and peer; returns how many arrived. Each is claimed with a lease."""
    peers = {peer.id: peer for peer in _peers(database)}
    began, sent = time.monotonic(), 0
    for (event,) in database.rows(DUE, now, now, now, BATCH):
        if (passed := int(time.monotonic() - began)) >= TURN_SECONDS:
            break
        claimed = database.write(partial(_claim, database, event, now + passed))
        if claimed is not None:
            sent += _deliver(database, send, _message(claimed, peers[claimed[1]]), now + passed)
    return sent


def deliver_one(database: Database, send: Send, event_id: str, now: int) -> bool | None:
    """Send one event now, whatever its next try; None where it does not wait, or is not the first of its subject."""
    event = database.value(WAITING, event_id)
    claimed = event and database.write(lambda: database.row(CLAIM, now + LEASE_SECONDS, event, now))
    if not claimed:
        return None
    return _deliver(database, send, _message(claimed, _peer(database, claimed[1])), now)


def of_id(database: Database, event_id: str) -> Message:
    """An event as its next attempt would send it. Raises `NotFound`."""
    row = database.row(f"SELECT {MESSAGE} FROM event WHERE event_id = ?", event_id)
    if row is None:
        raise NotFound("event", event_id)
    return _message(row, _peer(database, row[1]))


def _peer(database: Database, key: int) -> PeerEntry:
    return next(peer for peer in _peers(database) if peer.id == key)


def _peers(database: Database) -> list[PeerEntry]:
    rows = database.rows("SELECT id, code, kind, address, timeout_seconds, sealed FROM peer")
    return [
        PeerEntry(key, code, kind, address, timeout, tuple(json.loads(sealed)))
        for key, code, kind, address, timeout, sealed in rows
    ]


def _message(row: tuple[Any, ...], peer: PeerEntry) -> Message:
    key, _peer, event_id, subject, subject_key, sequence, kind, payload, attempts = row
    return Message(key, peer, event_id, subject, subject_key, sequence, kind, json.loads(payload), attempts)


def _claim(database: Database, event: int, now: int) -> tuple[Any, ...] | None:
    """Take one event for the length of a lease, unless its peer was paused meanwhile; inside a transaction."""
    return None if database.value(PAUSED, event, now) else database.row(CLAIM, now + LEASE_SECONDS, event, now)


def _deliver(database: Database, send: Send, message: Message, now: int) -> bool:
    began = time.monotonic()
    try:
        sent = send(message) or Sent()
    except Undelivered as error:
        outcome = "declined" if isinstance(error, Declined) else "unreachable"
        return _missed(database, message, str(error), outcome, error.sent, began, now)
    except Exception as error:  # noqa: BLE001 - an adapter that breaks on one message must not stop the others
        outcome = "unreachable" if isinstance(error, OSError) else "declined"
        return _missed(database, message, f"{type(error).__name__}: {error}", outcome, Sent(), began, now)

    def arrived() -> None:
        database.rows("UPDATE event SET sent_at = ?, error = '' WHERE id = ? RETURNING id", now, message.id)
        database.rows("UPDATE peer SET failures = 0 WHERE id = ? AND failures > 0 RETURNING id", message.to.id)
        _archive(database, message, "taken", sent, began, now)

    database.write(arrived)
    return True


def _missed(database: Database, message: Message, why: str, outcome: str, sent: Sent, began: float, now: int) -> bool:
    def postpone() -> None:
        _archive(database, message, outcome, sent, began, now)
        dead = int(message.attempts >= MAX_ATTEMPTS)
        database.rows(POSTPONE, now + min(3600, 2**message.attempts), dead, why[:200], message.id, message.attempts)
        if outcome == "unreachable":
            _note_failure(database, message.to.id, now)

    database.write(postpone)
    return False


def _note_failure(database: Database, peer: int, now: int) -> None:
    """After some failures in a row nothing more is sent to a peer for a while, longer each time."""
    failures = database.value(FAILED, peer)
    if failures >= BREAKER_FAILURES:
        pause = min(LONGEST_PAUSE, BREAKER_SECONDS * 2 ** (failures - BREAKER_FAILURES))
        database.rows("UPDATE peer SET paused_until = ? WHERE id = ? RETURNING id", now + pause, peer)


def _archive(database: Database, message: Message, outcome: str, sent: Sent, began: float, now: int) -> None:
    database.insert(
        Delivery, event=message.id, at=now, attempt=message.attempts, outcome=outcome,
        milliseconds=int((time.monotonic() - began) * 1000), request=sent.request[:ARCHIVED],
        answer=sent.answer[:ARCHIVED],
    )  # fmt: skip


def forget_deliveries(database: Database, before: int) -> int:
    """Empty the archive of what is older than an instant; returns how many attempts were forgotten."""
    return len(database.write(lambda: database.rows("DELETE FROM delivery WHERE at < ? RETURNING id", before)))
