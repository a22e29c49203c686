"""Exams at the bedside: each ward's work list, and what was done there. They take no seat."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from examlane.appointments import changes, status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import executing
from examlane.arrival.executing import ExecutionReport
from examlane.domain import BookingMode, Text
from examlane.errors import Conflict, NotFound, StalePlan
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.planning import gates
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch, instant

WORK = """SELECT oi.key, i.name, i.name_en, d.code, p.name, e.ward, e.number, e.needs, o.ordered_at, o.priority, o.note
FROM order_item oi JOIN exam_order o ON o.id = oi.order_id JOIN encounter e ON e.id = o.encounter_id
JOIN exam_item i ON i.id = oi.item_id JOIN department d ON d.id = i.department_id JOIN patient p ON p.id = oi.patient_id
WHERE oi.reason = 'bedside' AND oi.state = 'accepted' AND oi.release <> '' AND e.ward = ?
ORDER BY CASE o.priority WHEN 'stat' THEN 0 WHEN 'urgent' THEN 1 ELSE 2 END, o.ordered_at, oi.id"""
NOT_AT_THE_BEDSIDE = Text("该项目不是待做的床旁检查", "this item is no open exam at the bedside")
RUNNING = """SELECT a.number FROM appointment a JOIN appointment_item ai ON ai.appointment_id = a.id AND ai.active = 1
JOIN order_item oi ON oi.id = ai.order_item_id WHERE oi.key = ? AND a.mode = 'bedside'"""


@dataclass(frozen=True, slots=True)
class BedsideExam:
    """One exam to be done at a ward: the patient masked, since when it waits, what must be known beforehand."""

    key: str
    item: Text
    department: str
    patient: str
    ward: str
    encounter: str
    isolation: bool
    needs: tuple[str, ...]
    ordered_at: datetime
    priority: str
    note: str


def work_list(hospital: Hospital, ward: str, department: str = "") -> list[BedsideExam]:
    """What is to be done at the bedside of a ward, urgent first, then in order; the infectious last."""
    found = [
        BedsideExam(
            key, Text(name, english or name), code, patients.masked(patient), place, encounter,
            "isolation" in json.loads(needs), tuple(json.loads(needs)), instant(ordered_at), priority, note,
        )
        for key, name, english, code, patient, place, encounter, needs, ordered_at, priority, note
        in hospital.database.rows(WORK, ward)
        if not department or code == department
    ]  # fmt: skip
    return sorted(found, key=lambda exam: exam.isolation)


def report(
    hospital: Hospital, item: str, said: ExecutionReport, actor: Actor, key: RequestKey | None = None
) -> AppointmentStatus:
    """An exam at the bedside was started, finished or not done; its visit is made when it is started.

    A start that was reported by mistake is `not_done` with `rebook`: the exam is on the list again.
    """
    running = hospital.database.value(RUNNING, item)
    if running is None:
        began = said.state == "started"
        # The last step keeps the key: what died before it is done again, and finds the visit.
        number = changes.by_id(
            hospital, changes.tried(partial(_start, hospital, item, actor, key if began else None, asked=began))
        ).number
        if began:
            return status.appointment(hospital, number)
        return executing.report(hospital, number, said, actor, key)
    return executing.report(hospital, str(running), said, actor, key)


def _start(hospital: Hospital, key_of_item: str, actor: Actor, key: RequestKey | None, *, asked: bool) -> int:
    """Make the visit of an exam that begins; `asked`: it has not begun yet, and a closed gate stops it."""
    patient = hospital.database.value("SELECT patient_id FROM order_item WHERE key = ?", key_of_item)
    if patient is None:
        raise NotFound("order item", key_of_item)
    now = hospital.clock.now()
    state = snapshot.read(hospital.database, hospital.catalogues, patient, now)
    item = next((one for one in state.items if one.key == key_of_item), None)
    service = next((one for one in item.view.services if one.mode is BookingMode.BEDSIDE), None) if item else None
    if item is None or service is None or item.reason != "bedside" or not item.release:
        raise Conflict("not_at_the_bedside", NOT_AT_THE_BEDSIDE)
    if asked and gates.must_be_open(hospital, patient, (key_of_item,), "in_progress") != state.version:
        raise StalePlan("the patient changed meanwhile")
    group, encounter, department, key_id = service.group, item.encounter_id, item.department, item.id

    def write() -> int:
        number = visits.new_number()
        receipts.keep(hospital.database, key, "appointment", number, epoch(now))
        patients.bump(hospital.database, patient, state.version)
        data = visits.Booking(
            patient, encounter, department, (key_id,), reason="bedside",
            explanation=dump({"code": "bedside", "why": {"zh": "床旁检查", "en": "done at the bedside"}}),
        )  # fmt: skip
        found = visits.admit(
            hospital.database, state.catalogue, group, "bedside", "in_progress", data, service.minutes, actor, now,
            number=number,
        )  # fmt: skip
        hospital.database.rows("UPDATE order_item SET reason = 'booked' WHERE id = ? RETURNING id", key_id)
        return found[0]

    return int(hospital.database.write(write))
