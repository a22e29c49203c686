"""What patients are told: made of every version of an appointment, sent when due, never of what is no longer so.

Each version is written with a mark that nobody was told of it yet, in its own transaction and at no cost but an entry of
a partial index. The worker takes the marks: nothing is lost when it stands still, and no cursor can overtake a
transaction that commits late, as ids do on PostgreSQL.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from examlane.appointments import visits
from examlane.domain import Text
from examlane.hospital import Hospital
from examlane.records import jobs
from examlane.reminders import call_list, gateway, times, words
from examlane.reminders.words import Told
from examlane.storage.daily import Reminder
from examlane.storage.database import Database
from examlane.storage.fields import epoch, instant, maybe_epoch

BATCH = 200
SWEEP_SECONDS = 120
UNTOLD = """SELECT v.id, v.appointment_id, v.version, v.from_state, v.state, v.start_at, v.at, a.version, a.mode,
a.patient_id, a.department, a.day, a.period_start_at, a.preparation, e.encounter_class,
coalesce((SELECT p.start_at FROM appointment_version p WHERE p.appointment_id = v.appointment_id
AND p.version = v.version - 1), 0)
FROM appointment_version v JOIN appointment a ON a.id = v.appointment_id JOIN encounter e ON e.id = a.encounter_id
WHERE v.told = 0 ORDER BY v.id LIMIT ?"""
TOLD = "UPDATE appointment_version SET told = 1 WHERE id = ? AND told = 0 RETURNING id"
SUPERSEDE = """UPDATE reminder SET state = 'superseded' WHERE appointment_id = ? AND version < ? AND state = 'pending'
RETURNING id"""
HEARD = "SELECT 1 FROM reminder WHERE appointment_id = ? AND state IN ('sent', 'delivered', 'failed') LIMIT 1"
DUE = "SELECT DISTINCT patient_id, day, kind FROM reminder WHERE state = 'pending' AND due_at <= ? LIMIT ?"
OF_DAY = """SELECT r.id, r.version, r.due_at, r.begins_at, r.channel, a.id, a.number, a.version, a.state, a.start_at,
a.period_start_at, a.period_end_at, a.preparation, g.name, g.name_en, c.name, c.name_en, e.state
FROM reminder r JOIN appointment a ON a.id = r.appointment_id JOIN encounter e ON e.id = a.encounter_id
JOIN resource_group g ON g.id = a.group_id JOIN campus c ON c.id = g.campus_id
WHERE r.state = 'pending' AND r.patient_id = ? AND r.day = ? AND r.kind = ? ORDER BY a.start_at, r.id"""
EXAMS = """SELECT ai.appointment_id, i.name, i.name_en FROM appointment_item ai
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_item i ON i.id = oi.item_id
WHERE ai.appointment_id IN ({marks}) ORDER BY ai.id"""
KINDS = {
    "appointment.booked": "booked", "appointment.rescheduled": "moved", "appointment.tentative": "tentative",
    "appointment.cancelled": "cancelled", "appointment.expired": "cancelled", "appointment.suspended": "suspended",
}  # fmt: skip
STANDS = {"tentative": ("tentative",), "cancelled": ("cancelled", "expired"), "suspended": ("suspended",)}
AHEAD = ("booked", "moved", "place")
DEAD = ("dead", "deceased", "died")
"""States of an encounter whose patient is told nothing any more."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an appointment that its patient was not told of yet."""

    id: int
    appointment: int
    version: int
    before: str
    after: str
    start_at: int
    at: int
    present: int
    mode: str
    patient: int
    department: str
    day: str
    period_start_at: int
    preparation: str
    encounter_class: str
    started_at: int

    @property
    def kind(self) -> str:
        """What kind of message it is; none for what the patient sees himself, or what is no more."""
        kind = KINDS.get(visits.event_kind(self.before, self.after), "")
        if self.present != self.version or self.mode != "slot" or (self.before == "held" and kind == "cancelled"):
            return ""
        return "place" if kind == "moved" and self.start_at == self.started_at else kind


def turn(hospital: Hospital) -> int:
    """The worker's part: make reminders of new versions and send what is due; returns how many messages."""
    now = epoch(hospital.clock.now())
    while make(hospital) == BATCH:
        continue
    if jobs.take_tick(hospital.database, "lost_messages", now, SWEEP_SECONDS):
        call_list.sweep(hospital)
    due = hospital.database.rows(DUE, now, BATCH)
    return sum(hospital.database.write(partial(_send, hospital, *row)) for row in due)


def make(hospital: Hospital) -> int:
    """Make the reminders of versions that nobody was told of; returns how many versions there were."""
    found = [Version(*row) for row in hospital.database.rows(UNTOLD, BATCH)]

    def write() -> None:
        for version in found:
            if hospital.database.rows(TOLD, version.id):
                _make(hospital, version)

    if found:
        hospital.database.write(write)
    return len(found)


def _make(hospital: Hospital, version: Version) -> None:
    database, now, kind = hospital.database, hospital.clock.now(), version.kind
    database.rows(SUPERSEDE, version.appointment, version.version)
    call_list.close_for(database, version.appointment, "superseded", now)
    if not kind or (kind == "cancelled" and not database.row(HEARD, version.appointment)):
        return
    policy = hospital.catalogues.current().department(version.department).policy
    starts, steps = instant(version.period_start_at), json.loads(version.preparation)
    needed = times.begins(starts, steps) if kind in AHEAD else starts
    _insert(database, version, kind, times.when_it_can_wait(hospital.calendar, policy, now, needed), None, now)
    evening = times.evening(hospital.calendar, policy, starts, steps, instant(version.at)) if kind in AHEAD else None
    if evening is not None:
        _insert(database, version, "evening", evening.due_at, evening.begins_at, now)


def _insert(
    database: Database, version: Version, kind: str, due_at: datetime, begins_at: datetime | None, now: datetime
) -> None:
    database.insert(
        Reminder, appointment=version.appointment, version=version.version, kind=kind, patient=version.patient,
        day=version.day, due_at=epoch(due_at), begins_at=maybe_epoch(begins_at),
        channel=gateway.WARD if version.encounter_class == "inpatient" else "sms", made_at=epoch(now),
    )  # fmt: skip


def _send(hospital: Hospital, patient: int, day: str, kind: str) -> int:
    """Send a patient one message of a kind for his visits of a day, in one write transaction; 1 if there was one."""
    database, now = hospital.database, hospital.clock.now()
    rows = database.rows(OF_DAY, patient, day, kind)
    said = [row for row in rows if kind == "evening" or row[2] <= epoch(now)]
    fit = []
    for row in said:
        if unfit := _unfit(kind, row, now):
            _ended(database, row[0], "failed" if unfit == "too_late" else "superseded", unfit)
            if unfit == "too_late":
                call_list.open_for(database, row[0], "too_late", now)
        else:
            fit.append(row)
    if not fit:
        return 0
    return _hand_over(hospital, patient, kind, fit, now)


def _unfit(kind: str, row: Sequence[Any], now: datetime) -> str:
    """Why a reminder is not sent any more: the visit changed, is over or begun, or the last meal is."""
    version, begins_at, present, state, start_at, encounter = row[1], row[3], row[7], row[8], row[9], row[17]
    if version != present or state not in STANDS.get(kind, ("booked",)) or encounter in DEAD:
        return "changed"
    if start_at <= epoch(now):
        return "passed"
    return "too_late" if begins_at is not None and epoch(now) > begins_at else ""


def _hand_over(hospital: Hospital, patient: int, kind: str, rows: Sequence[Any], now: datetime) -> int:
    database, local = hospital.database, hospital.calendar.local
    text = words.message(kind, _told(hospital, rows), local(now))
    handed = gateway.send(database, patient, rows[0][4], text, epoch(now))
    for row in rows:
        database.rows(
            "UPDATE reminder SET state = ?, reason = ?, message = ?, zh = ?, en = ?, sent_at = ? WHERE id = ? RETURNING id",
            "failed" if handed.reason else "sent", handed.reason, handed.message, text.zh, text.en,
            None if handed.reason else epoch(now), row[0],
        )  # fmt: skip
        if handed.reason and handed.reason != "no_gateway":
            call_list.open_for(database, row[0], handed.reason, now)
    return 1


def _ended(database: Database, reminder: int, state: str, reason: str) -> None:
    database.rows("UPDATE reminder SET state = ?, reason = ? WHERE id = ? RETURNING id", state, reason, reminder)


def _told(hospital: Hospital, rows: Sequence[Any]) -> list[Told]:
    local = hospital.calendar.local
    exams: dict[int, list[Text]] = defaultdict(list)
    marks = ", ".join("?" for _ in rows)
    for appointment, zh, en in hospital.database.rows(EXAMS.format(marks=marks), *(row[5] for row in rows)):
        exams[appointment].append(Text(zh, en or zh))
    return [
        Told(
            row[6], Text("、".join(one.zh for one in exams[row[5]]), ", ".join(one.en for one in exams[row[5]])),
            local(instant(row[10])), local(instant(row[11])), Text(row[13], row[14] or row[13]),
            Text(row[15], row[16] or row[15]), json.loads(row[12]),
        )
        for row in rows
    ]  # fmt: skip
