"""Peers as data: who must hear which events at which address; switched without a restart."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.records import audit
from examlane.records.audit import Actor
from examlane.storage.database import Database
from examlane.storage.exchange import Peer
from examlane.storage.fields import dump, epoch, instant, maybe_instant

EXISTS = Text("该对接系统已存在", "a peer with this code exists")
STALE = Text("他人刚改过，请刷新", "somebody else changed it just now: please reload")
COLUMNS = """code, kind, address, event_types, enabled, timeout_seconds, failures, paused_until, listens_since,
created_at, sealed"""
WAITING = """SELECT p.code, sum(CASE WHEN e.dead = 0 THEN 1 ELSE 0 END), sum(e.dead), min(e.created_at)
FROM event e JOIN peer p ON p.id = e.peer_id WHERE e.sent_at IS NULL AND e.discarded_at IS NULL GROUP BY p.code"""
LIVE_KEYS = 2
FOLDER = "folder"
PLACE = re.compile(r"[\w-]+(/[\w-]+)*", re.ASCII)
"""A folder of a peer, below the one that the setting names: nothing leads out of it."""
MLLP = Text("须为 mllp://主机:端口", "must be mllp:// with host and port")
HTTP = Text("须为 http 或 https 地址", "must be an http or https address")
NAMED = Text("须为交换目录下的文件夹名", "must be a folder's name below the exchange folder")


@dataclass(frozen=True, slots=True)
class PeerRow:
    """A peer with its health: how much waits for it, how much is dead, and until when it is paused."""

    code: str
    kind: str
    address: str
    event_types: tuple[str, ...]
    enabled: bool
    timeout_seconds: int
    failures: int
    paused_until: datetime | None
    listens_since: datetime
    keys: int
    waiting: int
    dead: int
    oldest: datetime | None


def overview(database: Database) -> list[PeerRow]:
    """Every peer, by code."""
    waits = {code: (waiting, dead, oldest) for code, waiting, dead, oldest in database.rows(WAITING)}
    return [_row(row, waits.get(row[0], (0, 0, None))) for row in database.rows(f"SELECT {COLUMNS} FROM peer ORDER BY code")]


def _row(row: Sequence[Any], waits: tuple[int, int, int | None]) -> PeerRow:
    code, kind, address, types, enabled, timeout, failures, paused, since, created, sealed = row
    return PeerRow(
        code, kind, address, tuple(json.loads(types)), bool(enabled), timeout, failures,
        instant(paused) if paused else None, instant(max(since, created)), len(json.loads(sealed)), waits[0], waits[1],
        maybe_instant(waits[2]),
    )  # fmt: skip


def version(database: Database, code: str) -> int | None:
    """The version of a peer's settings, which each change raises."""
    found: int | None = database.value("SELECT version FROM peer WHERE code = ?", code)
    return found


def add(
    database: Database, code: str, address: str, actor: Actor, now: datetime, *, kind: str = "webhook",
    event_types: Sequence[str] = (), timeout_seconds: int = 10, sealed: str = "",
) -> None:  # fmt: skip
    """Register a peer; it is owed what happens from now on. Raises `InvalidInput`, `Conflict`."""
    _check(kind, address, timeout_seconds)

    def store() -> None:
        if database.value("SELECT 1 FROM peer WHERE code = ?", code):
            raise Conflict("peer_exists", EXISTS, "/code")
        database.insert(
            Peer, code=code, kind=kind, address=address, event_types=dump(sorted(event_types)),
            timeout_seconds=timeout_seconds, sealed=dump([sealed] if sealed else []), listens_since=epoch(now),
            created_at=epoch(now),
        )  # fmt: skip
        audit.record(database, actor, "peer.add", "peer", code, epoch(now), kind=kind)

    database.write(store)


def change(
    database: Database, code: str, actor: Actor, now: datetime, *, address: str | None = None,
    event_types: Sequence[str] | None = None, enabled: bool | None = None, timeout_seconds: int | None = None,
    version: int | None = None,
) -> None:  # fmt: skip
    """Change what is given. Who is enabled again, or hears more kinds, is owed them from now on; a pause ends.

    Raises `NotFound`, `InvalidInput`, and `Conflict` on a stale version.
    """

    def store() -> None:
        row = database.row(
            "UPDATE peer SET version = version + 1 WHERE code = ? RETURNING event_types, enabled, version, kind", code
        )
        if row is None:
            raise NotFound("peer", code)
        if version not in (None, row[2] - 1):
            raise Conflict("version_conflict", STALE, "/version")
        _check(row[3], address, timeout_seconds)
        kinds = row[0] if event_types is None else dump(sorted(event_types))
        on = row[1] if enabled is None else int(enabled)
        anew = on and (not row[1] or kinds != row[0])
        database.rows(
            """UPDATE peer SET address = coalesce(?, address), event_types = ?, enabled = ?, failures = 0,
paused_until = 0, timeout_seconds = coalesce(?, timeout_seconds),
listens_since = CASE WHEN ? = 1 THEN ? ELSE listens_since END WHERE code = ? RETURNING id""",
            address, kinds, on, timeout_seconds, int(bool(anew)), epoch(now), code,
        )  # fmt: skip
        audit.record(database, actor, "peer.change", "peer", code, epoch(now), enabled=bool(on), event_types=kinds)

    database.write(store)


def add_key(database: Database, code: str, sealed: str, actor: Actor, now: datetime) -> None:
    """Sign with a new key beside the present one, which a second call drops. Raises `NotFound`."""

    def store() -> None:
        before = database.value("SELECT sealed FROM peer WHERE code = ?", code)
        if before is None:
            raise NotFound("peer", code)
        keys = [sealed, *json.loads(before)][:LIVE_KEYS]
        database.rows("UPDATE peer SET sealed = ? WHERE code = ? RETURNING id", dump(keys), code)
        audit.record(database, actor, "peer.rotate", "peer", code, epoch(now))

    database.write(store)


def _check(kind: str, address: str | None, timeout_seconds: int | None) -> None:
    problems = []
    if address is not None and not _is_address(kind, address):
        problems.append(("/address", {"hl7v2": MLLP, FOLDER: NAMED}.get(kind, HTTP)))
    if timeout_seconds is not None and not 1 <= timeout_seconds <= 120:
        problems.append(("/timeout_seconds", Text("须在 1–120 之间", "must be from 1 to 120")))
    if problems:
        raise InvalidInput(problems)


def _is_address(kind: str, address: str) -> bool:
    if kind == FOLDER:
        return PLACE.fullmatch(address) is not None
    try:
        parts = urlsplit(address)
        if kind == "hl7v2":
            return parts.scheme == "mllp" and bool(parts.hostname) and bool(parts.port)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
