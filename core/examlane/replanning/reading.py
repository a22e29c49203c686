"""Suspensions as the desk and heads of department read them: what fell away, how far it is, what became of each visit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane.domain import Text
from examlane.errors import NotFound
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.storage.fields import instant, maybe_instant

SUSPENSION = """SELECT id, number, kind, department, request, starts_at, ends_at, reason, state, seats_lost, move_back,
actor, channel, created_at, applied_at, ended_at, ended_by FROM suspension"""
COUNTS = "SELECT outcome, count(*) FROM suspension_visit WHERE suspension_id = ? GROUP BY outcome"
UNDONE = "SELECT undone, count(*) FROM suspension_visit WHERE suspension_id = ? AND undone <> '' GROUP BY undone"
VISITS = """SELECT v.id, v.appointment_id, v.position, a.number, p.name, a.state, v.rank, v.outcome, v.old_start_at,
v.old_group, v.new_start_at, v.new_group, v.version, v.code, v.reason, v.flags, v.undone, a.version
FROM suspension_visit v JOIN appointment a ON a.id = v.appointment_id JOIN patient p ON p.id = a.patient_id"""
CALENDAR = """SELECT c.day, c.department, c.weekday_applies, s.number, s.reason FROM calendar_change c
JOIN suspension s ON s.id = c.suspension_id WHERE s.ended_at IS NULL AND c.day >= ? ORDER BY c.day, c.id"""


@dataclass(frozen=True, slots=True)
class SuspensionStatus:
    """A suspension: `outcomes` counts its visits by what became of them, `undone` by what its end did."""

    id: int
    number: str
    kind: str
    department: str
    request: Mapping[str, Any]
    starts_at: datetime
    ends_at: datetime
    reason: str
    state: str
    seats_lost: int
    move_back: bool
    actor: str
    channel: str
    created_at: datetime
    applied_at: datetime | None
    ended_at: datetime | None
    ended_by: str
    outcomes: Mapping[str, int]
    undone: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class VisitOutcome:
    """What became of one visit: where it was, where it is now or why it went to the desk, and what is to be noticed."""

    id: int
    appointment_id: int
    position: int
    appointment: str
    patient: str
    state: str
    rank: str
    outcome: str
    old_starts_at: datetime
    old_group: str
    new_starts_at: datetime | None
    new_group: str
    version: int
    code: str
    reason: Text
    flags: tuple[str, ...]
    undone: str
    present_version: int


@dataclass(frozen=True, slots=True)
class DeclaredDay:
    """A day that was declared a holiday (no weekday) or a workday."""

    day: str
    department: str
    weekday: int | None
    suspension: str
    reason: str


def get(hospital: Hospital, number: str) -> SuspensionStatus:
    """One suspension. Raises `NotFound`."""
    found = _read(hospital, "WHERE number = ?", number)
    if not found:
        raise NotFound("suspension", number)
    return found[0]


def suspensions(
    hospital: Hospital, *, departments: Sequence[str] = (), state: str = "", before: int = 0, limit: int = 50
) -> list[SuspensionStatus]:
    """Suspensions, newest first, of some departments or of all; those of the whole hospital are everybody's."""
    where: list[str] = ["1 = 1"]
    values: list[Any] = []
    if departments:
        where.append(f"department IN ({', '.join('?' for _ in departments)}, '')")
        values += departments
    for condition, value in (("state = ?", state), ("id < ?", before)):
        if value:
            where.append(condition)
            values.append(value)
    return _read(hospital, f"WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?", *values, limit)


def visits(hospital: Hospital, suspension: int, *, after: int = 0, limit: int = 200) -> list[VisitOutcome]:
    """The visits of a suspension in the order they are served, after a position."""
    clause = "WHERE v.suspension_id = ? AND v.position > ? ORDER BY v.position, v.id LIMIT ?"
    return [_outcome(row) for row in hospital.database.rows(f"{VISITS} {clause}", suspension, after, limit)]


def next_visit(hospital: Hospital, suspension: int, clause: str) -> VisitOutcome | None:
    """The first visit of a suspension with which something is to be done."""
    row = hospital.database.row(
        f"{VISITS} WHERE v.suspension_id = ? AND {clause} ORDER BY v.position, v.id LIMIT 1", suspension
    )
    return _outcome(row) if row else None


def calendar(hospital: Hospital, since: str) -> list[DeclaredDay]:
    """The holidays and workdays that were declared and hold, from a date on."""
    return [DeclaredDay(*row) for row in hospital.database.rows(CALENDAR, since)]


def unfinished(hospital: Hospital) -> list[SuspensionStatus]:
    """The suspensions with visits that are still to be looked at, oldest first."""
    return _read(hospital, "WHERE state IN ('applying', 'ending') ORDER BY id")


def _read(hospital: Hospital, clause: str, *values: Any) -> list[SuspensionStatus]:
    return [_status(hospital, row) for row in hospital.database.rows(f"{SUSPENSION} {clause}", *values)]


def _status(hospital: Hospital, row: Sequence[Any]) -> SuspensionStatus:
    database = hospital.database
    return SuspensionStatus(
        id=row[0], number=row[1], kind=row[2], department=row[3], request=json.loads(row[4]), starts_at=instant(row[5]),
        ends_at=instant(row[6]), reason=row[7], state=row[8], seats_lost=row[9], move_back=bool(row[10]), actor=row[11],
        channel=row[12], created_at=instant(row[13]), applied_at=maybe_instant(row[14]),
        ended_at=maybe_instant(row[15]), ended_by=row[16], outcomes=dict(database.rows(COUNTS, row[0])),
        undone=dict(database.rows(UNDONE, row[0])),
    )  # fmt: skip


def _outcome(row: Sequence[Any]) -> VisitOutcome:
    words = json.loads(row[14])
    return VisitOutcome(
        id=row[0], appointment_id=row[1], position=row[2], appointment=row[3], patient=patients.masked(row[4]),
        state=row[5], rank=row[6], outcome=row[7], old_starts_at=instant(row[8]), old_group=row[9],
        new_starts_at=maybe_instant(row[10]), new_group=row[11], version=row[12], code=row[13],
        reason=Text(words.get("zh", ""), words.get("en", "")), flags=tuple(json.loads(row[15])), undone=row[16],
        present_version=row[17],
    )  # fmt: skip
