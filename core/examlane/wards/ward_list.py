"""A ward's exams of a day: whom to bring where, prepared how; and what the ward answers of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from examlane.appointments import changes, choosing, desk, status
from examlane.appointments.status import AppointmentStatus
from examlane.domain import Text
from examlane.errors import Conflict, InvalidInput, Refused
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.records import audit, events, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import epoch, instant
from examlane.storage.people import WardAnswer

NOT_COMING = "not_coming"
ANSWERS = ("ready", "transport_ordered", NOT_COMING)
REASONS = {
    "condition": Text("病情变化", "his condition has changed"),
    "not_prepared": Text("检查准备未完成", "not prepared"),
    "elsewhere": Text("正在手术、治疗或其他检查", "in surgery, treatment or another exam"),
    "refused": Text("患者或家属拒绝", "the patient or his family refuses"),
    "no_transport": Text("无法安排转运", "nobody can bring him"),
    "left": Text("已离院或转出", "no longer in the ward"),
    "other": Text("其他", "another reason"),
}
"""Why a patient is not coming; `other` needs a note."""
ANSWERABLE = ("booked", "tentative")
EXAMS = """SELECT DISTINCT a.id, a.number, a.version, a.state, a.department, a.start_at, a.period_start_at,
a.period_end_at, a.preparation, g.name, g.name_en, c.code, e.number, e.bed, e.needs, p.name
FROM appointment a JOIN appointment_item ai ON ai.appointment_id = a.id AND ai.active = 1
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
JOIN encounter e ON e.id = o.encounter_id JOIN patient p ON p.id = a.patient_id
JOIN resource_group g ON g.id = a.group_id JOIN campus c ON c.id = g.campus_id
WHERE e.ward = ? AND e.state = 'open' AND a.day = ? AND a.state <> 'held' ORDER BY e.bed, e.number, a.start_at, a.id"""
NAMES = """SELECT i.name, i.name_en, oi.key FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_item i ON i.id = oi.item_id WHERE ai.appointment_id = ? AND ai.active = 1 ORDER BY oi.id"""
ANSWERED = """SELECT answer, reason, note, at, actor FROM ward_answer WHERE appointment_id = ? AND start_at = ?
ORDER BY id DESC LIMIT 1"""
SEARCH_DAYS, SEARCH_TIMES = 14, 200
NOT_NOW = Text("该预约已开始或已结束，不能答复", "the visit has begun or is over: no answer is needed")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the ward said of a visit at its present time."""

    answer: str
    reason: str
    note: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class WardExam:
    """One visit of a patient of the ward; `fasting_hours` is the longest of its preparation."""

    appointment: str
    version: int
    state: str
    department: str
    items: tuple[tuple[str, Text], ...]
    starts_at: datetime
    period_starts_at: datetime
    period_ends_at: datetime
    place: Text
    campus: str
    preparation: tuple[Mapping[str, Any], ...]
    fasting_hours: int
    answered: Answered | None


@dataclass(frozen=True, slots=True)
class WardPatient:
    """A patient of the ward with the exams of the day and what bringing him takes."""

    name: str
    encounter: str
    bed: str
    needs: tuple[str, ...]
    exams: tuple[WardExam, ...]


def exams(hospital: Hospital, ward: str, day: date, *, names: bool = False) -> list[WardPatient]:
    """Every patient of a ward who has an exam that day, by bed. Names are masked unless `names` may be seen."""
    found: dict[str, list[WardExam]] = {}
    people: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for row in hospital.database.rows(EXAMS, ward, day.isoformat()):
        encounter, bed, needs, name = row[12:]
        people[encounter] = (name if names else patients.masked(name), bed, tuple(sorted(json.loads(needs))))
        found.setdefault(encounter, []).append(_exam(hospital, *row[:12]))
    return [
        WardPatient(name, encounter, bed, needs, tuple(found[encounter])) for encounter, (name, bed, needs) in people.items()
    ]


def answer(
    hospital: Hospital, number: str, said: str, actor: Actor, key: RequestKey | None = None, *, reason: str = "",
    note: str = "", move: bool = True, not_before: datetime | None = None,
) -> AppointmentStatus:  # fmt: skip
    """The ward says that a patient is ready, that his transport is ordered, or that he is not coming and why.

    Who is not coming gets the next time after his own, or after `not_before`, free of charge; without `move`, or where
    there is none, his visit is cancelled and the department's desk has a task. Raises `NotFound`, `InvalidInput`,
    and `Conflict` once the exam has begun.
    """
    _check(said, reason, note)
    current = status.appointment(hospital, number)
    if current.state not in ANSWERABLE:
        raise Conflict("state_conflict", NOT_NOW)
    stays = said != NOT_COMING
    hospital.database.write(partial(_keep, hospital, current, said, reason, note, actor, key if stays else None))
    if stays:
        return status.appointment(hospital, number)
    why = f"ward: {reason}"
    later = max(not_before or current.starts_at, current.starts_at)
    if move and (moved := _moved(hospital, current, later, why, actor, key)):
        return moved
    cancelled = changes.cancel(hospital, number, actor, key, reason=why)
    hospital.database.write(partial(_ask_desk, hospital, current, reason))
    return cancelled


def _check(said: str, reason: str, note: str) -> None:
    problems = []
    if said not in ANSWERS:
        problems.append(("/answer", Text("未知的答复", "unknown answer")))
    if (said == NOT_COMING) != bool(reason) or (reason and reason not in REASONS):
        allowed = ", ".join(REASONS)
        problems.append(("/reason", Text(f"不能到检时须给出原因：{allowed}", f"for not coming, one of: {allowed}")))
    if reason == "other" and not note:
        problems.append(("/note", Text("请说明原因", "say what it is")))
    if problems:
        raise InvalidInput(problems)


def _keep(
    hospital: Hospital, current: AppointmentStatus, said: str, reason: str, note: str, actor: Actor,
    key: RequestKey | None,
) -> None:  # fmt: skip
    """The answer is a fact: stored first, and told to the department."""
    database, now = hospital.database, epoch(hospital.clock.now())
    receipts.keep(database, key, "appointment", current.number, now)
    patients.touch(database, current.patient)
    database.insert(
        WardAnswer, appointment=current.id, answer=said, reason=reason, note=note, start_at=epoch(current.starts_at),
        at=now, actor=actor.name,
    )  # fmt: skip
    payload = {"appointment": current.number, "department": current.department, "answer": said, "reason": reason}
    events.emit(database, "appointment", current.number, "ward.answered", payload, now)
    audit.record(database, actor, "ward.answer", "appointment", current.number, now, answer=said, reason=reason, note=note)


def _moved(
    hospital: Hospital, current: AppointmentStatus, later: datetime, why: str, actor: Actor, key: RequestKey | None
) -> AppointmentStatus | None:
    """The visit at the first time after an instant; None where there is none."""
    try:
        found = choosing.times(
            hospital, appointment=current.number, days=SEARCH_DAYS, limit=SEARCH_TIMES, since=later, desk=True
        )
        chosen = next((time for time in found if time.starts_at > later), None)
        if chosen is None:
            return None
        return choosing.reschedule(
            hospital, current.number, chosen.group, chosen.starts_at, actor, key, reason=why, by_patient=False
        )
    except Refused:
        return None


def _ask_desk(hospital: Hospital, current: AppointmentStatus, reason: str) -> None:
    database, now = hospital.database, hospital.clock.now()
    patients.touch(database, current.patient)
    words = REASONS[reason]
    for key in current.items:
        item = database.value("SELECT id FROM order_item WHERE key = ?", key)
        desk.open_task(
            database, "ward_not_coming", current.department, current.patient, item, now,
            hospital.settings.desk_deadline, appointment=current.id,
            reason=Text(f"病区告知患者不能到检：{words.zh}", f"the ward says that the patient cannot come: {words.en}"),
        )  # fmt: skip


def _exam(
    hospital: Hospital, key: int, number: str, version: int, state: str, department: str, start: int, begins: int,
    ends: int, preparation: str, place: str, place_en: str, campus: str,
) -> WardExam:  # fmt: skip
    database, steps = hospital.database, tuple(json.loads(preparation))
    items = tuple((item, Text(name, english or name)) for name, english, item in database.rows(NAMES, key))
    row = database.row(ANSWERED, key, start)
    answered = Answered(row[0], row[1], row[2], instant(row[3]), row[4]) if row else None
    return WardExam(
        number, version, state, department, items, instant(start), instant(begins), instant(ends),
        Text(place, place_en or place), campus, steps, max((step["fasting_hours"] for step in steps), default=0), answered,
    )  # fmt: skip
