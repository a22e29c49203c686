"""Receipts: a client's request key, its effect and its answer, so that a repeated request changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from examlane.domain import Text
from examlane.errors import Conflict, Refused
from examlane.storage.database import Database
from examlane.storage.fields import dump
from examlane.storage.ledger import Receipt

KEY_REUSED = Text("请求标识已用于另一份内容", "this idempotency key was used with another body")
IN_FLIGHT = Text("同一请求正在处理", "the same request is still being processed")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a request the same request: the client, its key, and the body's fingerprint."""

    client: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Replay:
    """A request that was seen before: what it was about, and the answer if one was stored."""

    subject: str
    subject_key: str
    answer: Mapping[str, Any] | None


def request_key(client: str, key: str, operation: str, body: Any) -> RequestKey:
    """A key for a body; the order of JSON members does not matter."""
    content = f"{operation}\n{dump(body)}".encode()
    return RequestKey(client, key, hashlib.sha256(content).hexdigest())


def find(database: Database, key: RequestKey) -> Replay | None:
    """The earlier request with this key, or None. Raises `Refused` when it had another body."""
    row = database.row(
        "SELECT fingerprint, subject, subject_key, answer FROM receipt WHERE client = ? AND key = ?", key.client, key.key
    )
    if row is None:
        return None
    fingerprint, subject, subject_key, answer = row
    if fingerprint != key.fingerprint:
        raise Refused("idempotency_key_reused", KEY_REUSED)
    return Replay(subject, subject_key, json.loads(answer) if answer else None)


def keep(database: Database, key: RequestKey | None, subject: str, subject_key: str, now: int) -> None:
    """Store the key with its effect, in the effect's transaction. Raises `Conflict` if another request was first."""
    if key is None:
        return
    taken = database.value("SELECT 1 FROM receipt WHERE client = ? AND key = ?", key.client, key.key)
    if taken:
        raise Conflict("request_in_flight", IN_FLIGHT)
    database.insert(
        Receipt, client=key.client, key=key.key, fingerprint=key.fingerprint, subject=subject, subject_key=subject_key,
        created_at=now,
    )  # fmt: skip


def answer(database: Database, key: RequestKey, body: Mapping[str, Any]) -> dict[str, Any]:
    """Store the answer of a request unless another sending did; returns what is stored, members in their order."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str)
    stored: str = database.write(
        lambda: database.value(
            "UPDATE receipt SET answer = coalesce(answer, ?) WHERE client = ? AND key = ? RETURNING answer",
            text, key.client, key.key,
        ),
        durable=False,  # a lost answer is made anew from what the request led to
    )  # fmt: skip
    return dict(json.loads(stored))
