"""Appointments and executions that another system reports: facts, which take seats and count for intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from examlane.appointments import booking, states, status, visits
from examlane.appointments.changes import EXECUTION, tried
from examlane.appointments.places import Place
from examlane.appointments.status import AppointmentStatus
from examlane.domain import DepartmentMode, Text
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.golive import placing, standins
from examlane.golive.standins import Wanted
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.orders.patients import PatientData
from examlane.reasons import text
from examlane.records import audit, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch, instant
from examlane.storage.ledger import PastExamination

SUBJECT = "external_appointment"
REASON = "external"
STATES = ("booked", "cancelled", "executed", "not_done")
AFTER = {"executed": EXECUTION["finished"], "not_done": EXECUTION["not_done"], "cancelled": "cancelled"}
LONGEST = timedelta(hours=24)
EXPLANATION = {"code": "external", "why": {"zh": "由原系统预约", "en": "booked in the department's own system"}}
OTHER_PATIENT = Text("该外部预约号属于另一患者", "this external number belongs to another patient's appointment")
FIND = """SELECT id, patient_id, appointment_id, sequence, sent_at, content FROM external_appointment
WHERE system = ? AND number = ?"""
STANDS = "SELECT appointment_id, problems FROM external_appointment WHERE system = ? AND number = ?"
STORE = """INSERT INTO external_appointment (system, number, patient_id, department, appointment_id, state, start_at, end_at,
content, problems, sequence, sent_at, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (system, number) DO UPDATE SET department = excluded.department, appointment_id = excluded.appointment_id,
state = excluded.state, start_at = excluded.start_at, end_at = excluded.end_at, content = excluded.content,
problems = excluded.problems, sequence = coalesce(excluded.sequence, external_appointment.sequence),
sent_at = excluded.sent_at, seen_at = excluded.seen_at
RETURNING id"""
SEEN = """UPDATE external_appointment SET seen_at = ?, sent_at = CASE WHEN sent_at < ? THEN ? ELSE sent_at END,
sequence = CASE WHEN coalesce(sequence, -1) < ? THEN ? ELSE sequence END WHERE id = ? RETURNING id"""
OVERLAPS = """SELECT count(*) FROM appointment a WHERE a.patient_id = ? AND a.id <> ? AND a.start_at < ? AND a.end_at > ?
AND a.state IN ('held', 'booked', 'tentative', 'checked_in', 'called', 'called_absent', 'deferred', 'in_progress')"""
FORGET = "DELETE FROM past_examination WHERE source = ? AND number = ? AND patient_id = ? RETURNING id"
SET_ASIDE = """UPDATE appointment_interval SET overridden_by = 'external' WHERE (first_id = ? OR second_id = ?)
AND overridden_by = '' RETURNING id"""


@dataclass(frozen=True, slots=True)
class Report:
    """One appointment as another system tells it: by order items (`orders`) where it knows ours, else by item codes.

    What is left out stays as it was told before. `appointment` is our number, of one that we exported.
    """

    system: str
    number: str
    state: str
    patient: PatientData
    sent_at: datetime
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    items: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    resource: str = ""
    group: str = ""
    encounter: str = ""
    appointment: str = ""
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """What a report led to, and the codes of what is not as it says (`problems`)."""

    result: str
    appointment: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """How strictly a report is taken. A list that is imported may be refused a line; what is reported live may not."""

    refuse: frozenset[str] = frozenset()
    known_patients_only: bool = False


@dataclass(frozen=True)
class _Told:
    """A report that was understood, with what was told before filled in."""

    report: Report
    wanted: Wanted
    starts_at: datetime
    ends_at: datetime
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """How the order is called that stands in where there is none of ours."""
        return f"{self.report.system}@{self.report.number}"

    @property
    def evidence(self) -> str:
        return dump({"system": self.report.system, "number": self.report.number})


def receive(
    hospital: Hospital, report: Report, actor: Actor, key: RequestKey | None = None, terms: Terms = Terms()
) -> Received:
    """Store what another system reports and do what follows from it. Applied once, and in the sender's order.

    Raises `InvalidInput` for what cannot be understood, `Conflict` for a number of another patient.
    """
    found: list[tuple[int, Received]] = []

    def attempt() -> int:
        patient, received = hospital.database.write(partial(apply, hospital, report, actor, key, terms))
        found.append((patient, received))
        return patient

    tried(attempt)
    patient, received = found[-1]
    if received.result not in ("unchanged", "outdated"):
        booking.settle(hospital, patient, actor)
    return received


def now(hospital: Hospital, system: str, number: str) -> Received:
    """How a reported appointment stands now. Raises `NotFound`."""
    row = hospital.database.row(STANDS, system, number)
    if row is None:
        raise NotFound("external appointment", number)
    return Received("unchanged", _number(hospital, row[0]), tuple(json.loads(row[1])))


def apply(
    hospital: Hospital, report: Report, actor: Actor, key: RequestKey | None = None, terms: Terms = Terms()
) -> tuple[int, Received]:
    """The same inside a write transaction, without planning anew; returns the patient's id too."""
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, SUBJECT, f"{report.system}/{report.number}", epoch(now))
    if terms.known_patients_only and not report.patient.name and patients.find(database, report.patient.identifiers) is None:
        raise NotFound("patient", report.patient.identifiers[0].kind)
    patient = patients.register(database, report.patient)
    patients.touch(database, patient)
    row = database.row(FIND, report.system, report.number)
    if row is not None and row[1] != patient:
        raise Conflict("external_number_of_another_patient", OTHER_PATIENT, "/number")
    told = _understood(hospital, report, json.loads(row[5]) if row else {}, patient)
    late = row is not None and _outdated(report, row)
    if row is not None and (late or json.loads(row[5]) == told.content):
        sent, sequence = epoch(report.sent_at), -1 if report.sequence is None else report.sequence
        database.rows(SEEN, epoch(now), sent, sent, sequence, sequence, row[0])
        return patient, Received("outdated" if late else "unchanged", _number(hospital, row[2]))
    received = _act(hospital, told, patient, row, actor, terms)
    audit.record(
        database, actor, "external.report", SUBJECT, f"{report.system}/{report.number}", epoch(now), state=report.state,
        result=received.result, problems=list(received.problems),
    )  # fmt: skip
    jobs.mark_due(database, patient, epoch(now))
    return patient, received


def _outdated(report: Report, row: Sequence[Any]) -> bool:
    """Whether a newer report came first: by the sender's sequence, or else by when it was sent."""
    if report.sequence is not None and row[3] is not None:
        return bool(report.sequence < row[3])
    return bool(epoch(report.sent_at) < row[4])


def _understood(hospital: Hospital, report: Report, before: dict[str, Any], patient: int) -> _Told:
    """The report with what was told before, or `InvalidInput` with every problem."""
    catalogue = hospital.catalogues.current()
    report = replace(
        report,
        items=report.items or (() if report.orders else tuple(before.get("items", ()))),
        orders=report.orders or (() if report.items else tuple(before.get("orders", ()))),
        resource=report.resource or ("" if report.group else before.get("resource", "")),
        group=report.group or ("" if report.resource else before.get("group", "")),
    )
    starts_at = report.starts_at or (instant(before["starts_at"]) if before else None)
    wanted, problems = standins.understood(hospital.database, catalogue, report.items, report.orders, patient)
    if starts_at is None:
        problems.append(("/starts_at", Text("缺少时间", "a time is needed")))
        raise InvalidInput(problems)
    same = bool(before) and [before["items"], before["orders"]] == [list(report.items), list(report.orders)]
    usual = before["ends_at"] - before["starts_at"] if same else placing.minutes(catalogue, wanted.codes) * 60
    ends_at = report.ends_at or starts_at + timedelta(seconds=usual)
    if not timedelta() < ends_at - starts_at <= LONGEST:
        problems.append(("/ends_at", Text("结束时间不对", "must end after it starts, within a day")))
    if problems:
        raise InvalidInput(problems)
    content = {
        "state": report.state, "starts_at": epoch(starts_at), "ends_at": epoch(ends_at), "items": list(report.items),
        "orders": list(report.orders), "resource": report.resource, "group": report.group,
    }  # fmt: skip
    return _Told(report, wanted, starts_at, ends_at, content)


def _act(hospital: Hospital, told: _Told, patient: int, row: Sequence[Any] | None, actor: Actor, terms: Terms) -> Received:
    """Bring our appointment to what is told, and keep the report."""
    problems = _Problems(terms)
    if hospital.database.value(standins.MODE, told.wanted.department) != DepartmentMode.EXTERNAL:
        problems.note("department_not_external")
    current = _current(hospital, told.report, patient, row)
    if current is not None and current.mode != "external":
        appointment, result = _of_ours(hospital, told, current, actor, problems)
    elif current is not None:
        appointment, result = _changed(hospital, told, current, actor, problems)
    elif told.report.state in ("cancelled", "not_done"):
        appointment, result = None, "cancelled"
        _remember(hospital, told, patient, ())
    elif _is_history(hospital, told):
        appointment, result = None, "history"
        _remember(hospital, told, patient, told.wanted.codes)
    else:
        appointment, result = _created(hospital, told, patient, actor, problems)
    _store(hospital, told, patient, appointment, problems.found)
    return Received(result, _number(hospital, appointment), tuple(problems.found))


class _Problems:
    """Collects what is not as told; what the terms refuse is raised at once."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.found: list[str] = []

    def note(self, code: str) -> None:
        if code in self._terms.refuse:
            raise Refused(code, text(code))
        self.found.append(code)


def _current(hospital: Hospital, report: Report, patient: int, row: Sequence[Any] | None) -> AppointmentStatus | None:
    """Our appointment that stands for the told one: linked before, or named by our number, unless it is over."""
    number = _number(hospital, row[2] if row else None) or report.appointment
    if not number:
        return None
    current = status.appointment(hospital, number)
    if current.patient != patient:
        raise Conflict("external_number_of_another_patient", OTHER_PATIENT, "/appointment")
    revived = current.state in states.RELEASING and report.state in ("booked", "executed")
    return None if revived and current.mode == "external" else current


def _is_history(hospital: Hospital, told: _Told) -> bool:
    """Done on an earlier day and told only now: no visit of ours, but an exam the patient has had."""
    calendar = hospital.calendar
    return told.report.state == "executed" and calendar.day_of(told.starts_at) < calendar.day_of(hospital.clock.now())


def _created(hospital: Hospital, told: _Told, patient: int, actor: Actor, problems: _Problems) -> tuple[int | None, str]:
    database, now, catalogue = hospital.database, hospital.clock.now(), hospital.catalogues.current()
    if standins.taken(database, told.wanted.keys):
        problems.note("already_booked_here")
        return None, "stored"
    place = _placed(hospital, told, patient, 0, actor, problems)
    _remember(hospital, told, patient, () if place else told.wanted.codes)
    if place is None:
        return None, "stored"
    encounter, items = standins.items(database, catalogue, told.name, patient, told.wanted, told.report.encounter, now)
    data = visits.Booking(
        patient=patient, encounter=encounter, department=told.wanted.department, items=items, automatic=False,
        explanation=dump(EXPLANATION), evidence=told.evidence, reason=REASON, mode="external",
    )  # fmt: skip
    appointment, number = visits.create(database, catalogue, place, data, actor, now)
    if told.report.state != "booked":
        _ended(hospital, status.appointment(hospital, number), told.report.state, actor)
    return appointment, "created"


def _placed(
    hospital: Hospital, told: _Told, patient: int, appointment: int, actor: Actor, problems: _Problems
) -> Place | None:
    """The place with its seats, extra ones opened where they are full; None where nothing of ours could hold it."""
    database, report = hospital.database, told.report
    found = placing.stand(
        database, hospital.catalogues.current(), told.wanted.department, told.wanted.codes, report.resource, report.group,
        told.starts_at, told.ends_at,
    )  # fmt: skip
    overlaps = database.value(OVERLAPS, patient, appointment, epoch(told.ends_at), epoch(told.starts_at))
    for code in filter(None, (found.problem, found.full and "seat_full", overlaps and "overlap")):
        problems.note(code)
    if found.place is not None:
        visits.add_seats(database, found.place, actor, hospital.clock.now(), REASON)
    return found.place


def _changed(
    hospital: Hospital, told: _Told, current: AppointmentStatus, actor: Actor, problems: _Problems
) -> tuple[int, str]:
    """A later report of an appointment that the other system keeps."""
    database, now, catalogue = hospital.database, hospital.clock.now(), hospital.catalogues.current()
    if told.report.state != "booked":
        _ended(hospital, current, told.report.state, actor)
        return current.id, told.report.state
    if "booked" not in states.MOVES[current.state]:
        problems.note("already_here")
        return current.id, "stored"
    _, items = standins.items(
        database, catalogue, told.name, current.patient, told.wanted, told.report.encounter, now, current.id
    )
    standins.relink(database, current.id, items, actor, now)
    visits.release_claims(database, current.id, now)
    place = _placed(hospital, told, current.patient, current.id, actor, problems)
    if place is not None:
        visits.move(
            database, catalogue, current.id, current.version, place, current.state, actor, now, reason=REASON,
            evidence=told.evidence,
        )  # fmt: skip
        # It is a fact, whatever distance was owed to it when others were booked.
        database.rows(SET_ASIDE, current.id, current.id)
    return current.id, "changed"


def _of_ours(
    hospital: Hospital, told: _Told, current: AppointmentStatus, actor: Actor, problems: _Problems
) -> tuple[int, str]:
    """A report about an appointment that is ours by now: what was done is a fact, the rest is only compared."""
    problems.note("ours_now")
    if told.report.state in ("executed", "not_done"):
        _ended(hospital, current, told.report.state, actor)
        return current.id, told.report.state
    return current.id, "stored"


def _ended(hospital: Hospital, current: AppointmentStatus, told: str, actor: Actor) -> None:
    after = AFTER[told]
    if after in states.MOVES[current.state]:
        database, now = hospital.database, hospital.clock.now()
        served = database.rows(standins.SERVED, current.id)
        visits.change_state(database, current.id, current.version, current.state, after, actor, now, reason=REASON)
        standins.ended(database, served, after, actor, now)


def _remember(hospital: Hospital, told: _Told, patient: int, codes: Sequence[str]) -> None:
    """Keep the exams of a report that no appointment stands for, in place of what it said before."""
    database, report = hospital.database, told.report
    database.rows(FORGET, report.system, report.number, patient)
    for code in codes:
        database.insert(
            PastExamination, patient=patient, item=hospital.catalogues.current().item_id(code),
            start_at=epoch(told.starts_at), end_at=epoch(told.ends_at), source=report.system, number=report.number,
        )  # fmt: skip


def _store(hospital: Hospital, told: _Told, patient: int, appointment: int | None, problems: Sequence[str]) -> None:
    report = told.report
    hospital.database.rows(
        STORE, report.system, report.number, patient, told.wanted.department, appointment, report.state,
        epoch(told.starts_at), epoch(told.ends_at), dump(told.content), dump(list(problems)), report.sequence,
        epoch(report.sent_at), epoch(hospital.clock.now()),
    )  # fmt: skip


def _number(hospital: Hospital, appointment: int | None) -> str:
    if appointment is None:
        return ""
    return str(hospital.database.value("SELECT number FROM appointment WHERE id = ?", appointment))
