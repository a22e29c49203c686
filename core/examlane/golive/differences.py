"""What an external system reported beside what we hold: missing here, missing there, another time, not as told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane.appointments import desk, states
from examlane.domain import Text
from examlane.errors import NotFound
from examlane.hospital import Hospital
from examlane.records import audit
from examlane.records.audit import SYSTEM
from examlane.storage.fields import epoch, maybe_instant

TASK = "external_differences"
WORDS = Text("与原系统的预约有差异，请核对", "appointments differ from those of the department's own system: compare them")
LIMIT = 2000
HELD = states.ACTIVE | {"no_show", "fulfilled"}
TOLD = """SELECT e.system, e.number, e.state, e.start_at, e.problems, e.seen_at, a.number, a.state, a.start_at
FROM external_appointment e LEFT JOIN appointment a ON a.id = e.appointment_id
WHERE e.department = ? AND e.end_at > ? ORDER BY e.start_at, e.id LIMIT ?"""
ALONE = """SELECT a.number, a.start_at FROM appointment a WHERE a.department = ? AND a.mode = 'external' AND a.start_at > ?
AND a.state IN ('booked', 'tentative') AND NOT EXISTS (SELECT 1 FROM external_appointment e WHERE e.appointment_id = a.id)
ORDER BY a.start_at, a.id LIMIT ?"""
LISTED = """SELECT system, max(started_at) FROM transfer WHERE kind = 'appointments' AND complete = 1 AND department = ?
AND finished_at IS NOT NULL GROUP BY system"""
OPEN = "SELECT id FROM desk_task WHERE code = ? AND department = ? AND closed_at IS NULL"
CLOSE = """UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE code = ? AND department = ? AND closed_at IS NULL
RETURNING id"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One appointment that is not the same on both sides; `code` is a reason code."""

    code: str
    system: str
    number: str
    appointment: str
    there: datetime | None
    here: datetime | None


def of(hospital: Hospital, department: str) -> list[Difference]:
    """Every difference of a department's appointments that are not over, by time. Raises `NotFound`."""
    if department not in hospital.catalogues.current().departments:
        raise NotFound("department", department)
    database, now = hospital.database, epoch(hospital.clock.now())
    listed: dict[str, int] = dict(database.rows(LISTED, department))
    found = [
        Difference(code, row[0], row[1], row[6] or "", maybe_instant(row[3]), maybe_instant(row[8]))
        for row in database.rows(TOLD, department, now, LIMIT)
        for code in _codes(row, listed.get(row[0], 0))
    ]
    alone = database.rows(ALONE, department, now, LIMIT)
    return found + [Difference("missing_there", "", "", number, None, maybe_instant(start)) for number, start in alone]


def _codes(row: tuple[Any, ...], listed_at: int) -> list[str]:
    """What differs of one reported appointment: where it stands first, then how it was taken in."""
    _, _, told, told_start, problems, seen_at, number, state, start = row
    held = number is not None and state in HELD
    codes: list[str] = json.loads(problems)
    if told == "booked" and not held:
        return ["missing_here", *codes]
    if held and (told == "cancelled" or (told == "booked" and seen_at < listed_at)):
        return ["missing_there", *codes]
    return ["other_time", *codes] if held and told == "booked" and told_start != start else codes


def compare_all(hospital: Hospital) -> int:
    """The nightly comparison: one desk task a department that has differences, closed when it has none; how many have."""
    departments = [code for (code,) in hospital.database.rows("SELECT DISTINCT department FROM external_appointment")]
    return sum(_compare(hospital, department) for department in sorted(departments))


def _compare(hospital: Hospital, department: str) -> bool:
    found = of(hospital, department)
    database, now = hospital.database, hospital.clock.now()

    def tell() -> None:
        if not found:
            database.rows(CLOSE, epoch(now), SYSTEM.name, TASK, department)
        elif not database.row(OPEN, TASK, department):
            desk.open_task(database, TASK, department, None, None, now, hospital.settings.desk_deadline, reason=WORDS)
        audit.record(database, SYSTEM, "external.compare", "department", department, epoch(now), differences=len(found))

    database.write(tell)
    return bool(found)
