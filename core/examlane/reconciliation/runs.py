"""Nightly runs as they were kept: listed, looked at, settled by a person; and where each peer lists what it knows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.hospital import Hospital
from examlane.reconciliation.comparing import CLOSE, Difference
from examlane.reconciliation.entries import SUBJECTS, Source
from examlane.records import audit, receipts
from examlane.records.audit import Actor
from examlane.records.peers import PLACE
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.exchange import ReconciliationSource
from examlane.storage.fields import dump, epoch, instant, maybe_instant

COLUMNS = """SELECT id, peer, day, state, error, compared, differences, ran_at, settled_at, settled_by, note
FROM reconciliation"""
OPEN = "settled_at IS NULL AND (state = 'failed' OR differences > 0)"
FOUND = """SELECT subject, key, code, field, here, there FROM reconciliation_difference WHERE reconciliation_id = ?
ORDER BY id"""
NOTHING_OPEN = Text("没有待处理的差异", "nothing of this run is open")


@dataclass(frozen=True, slots=True)
class Run:
    """One day compared with one peer: `complete` or `failed`; `compared` counts rows here and there by subject."""

    id: int
    peer: str
    day: str
    state: str
    error: str
    compared: Mapping[str, Sequence[int]]
    differences: int
    ran_at: datetime
    settled_at: datetime | None
    settled_by: str
    note: str


def listed(
    database: Database, *, peer: str | None = None, day: str | None = None, unsettled: bool = False, after: int = 0,
    limit: int = 50,
) -> list[Run]:  # fmt: skip
    """Runs in the order they were first made, after one of them."""
    where, values = ["id > ?"], [after]
    for condition, value in (("peer = ?", peer), ("day = ?", day)):
        if value:
            where.append(condition)
            values.append(value)  # type: ignore[arg-type]
    if unsettled:
        where.append(OPEN)
    rows = database.rows(f"{COLUMNS} WHERE {' AND '.join(where)} ORDER BY id LIMIT ?", *values, limit)
    return [_run(*row) for row in rows]


def show(database: Database, key: int) -> tuple[Run, list[Difference]]:
    """One run with its differences. Raises `NotFound`."""
    row = database.row(f"{COLUMNS} WHERE id = ?", key)
    if row is None:
        raise NotFound("reconciliation", str(key))
    return _run(*row), [Difference(*found) for found in database.rows(FOUND, key)]


def settle(hospital: Hospital, key: int, note: str, actor: Actor, request: RequestKey | None = None) -> Run:
    """Somebody has cleared what a run found. Raises `NotFound`, `Conflict` when nothing of it is open."""
    database, now = hospital.database, epoch(hospital.clock.now())

    def write() -> None:
        receipts.keep(database, request, "reconciliation", str(key), now)
        show(database, key)
        done = database.rows(
            f"UPDATE reconciliation SET settled_at = ?, settled_by = ?, note = ? WHERE id = ? AND {OPEN} RETURNING task",
            now, actor.name, note, key,
        )  # fmt: skip
        if not done:
            raise Conflict("nothing_open", NOTHING_OPEN)
        database.rows(CLOSE, now, actor.name, done[0][0] or 0)
        audit.record(database, actor, "reconciliation.settle", "reconciliation", str(key), now, note=note)

    database.write(write)
    return show(database, key)[0]


def set_source(hospital: Hospital, source: Source, actor: Actor) -> None:
    """Say where a peer lists what it knows; without subjects it is no longer compared. Raises `InvalidInput`."""
    database, now = hospital.database, epoch(hospital.clock.now())
    if source.subjects and (problems := _problems(hospital, source)):
        raise InvalidInput(problems)

    def write() -> None:
        database.rows("DELETE FROM reconciliation_source WHERE code = ? RETURNING id", source.code)
        if source.subjects:
            database.insert(
                ReconciliationSource, code=source.code, kind=source.kind, address=source.address,
                subjects=dump(list(source.subjects)), departments=dump(list(source.departments)),
                timeout_seconds=source.timeout_seconds,
            )  # fmt: skip
        audit.record(database, actor, "peer.lists", "peer", source.code, now, subjects=list(source.subjects))

    database.write(write)


def _problems(hospital: Hospital, source: Source) -> list[tuple[str, Text]]:
    found = []
    if source.kind == "folder" and not PLACE.fullmatch(source.address):
        found.append(("/address", Text("须为交换目录下的文件夹名", "must be a folder's name below the exchange folder")))
    if source.kind == "rest" and urlsplit(source.address).scheme not in ("http", "https"):
        found.append(("/address", Text("须为 http 或 https 地址", "must be an http or https address")))
    if unknown := [each for each in source.subjects if each not in SUBJECTS]:
        found.append(("/subjects", Text(f"未知：{unknown[0]}", f"unknown: {unknown[0]}")))
    if unknown := [each for each in source.departments if each not in hospital.catalogues.current().departments]:
        found.append(("/departments", Text(f"未知：{unknown[0]}", f"unknown: {unknown[0]}")))
    return found


def _run(
    key: int, peer: str, day: str, state: str, error: str, compared: str, differences: int, ran_at: int,
    settled_at: int | None, settled_by: str, note: str,
) -> Run:  # fmt: skip
    return Run(key, peer, day, state, error, json.loads(compared), differences, instant(ran_at), maybe_instant(settled_at),
               settled_by, note)  # fmt: skip
