"""Admission, transfer, discharge and death as they are reported: facts with their instants, in any order, withdrawable.

Where an encounter stands is what its facts add up to in the order of their instants. `consequences` does the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from examlane.appointments import booking, choosing
from examlane.domain import EncounterClass, Text
from examlane.errors import Conflict, InvalidInput, NotFound
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.orders.intake import OTHER_PATIENT
from examlane.orders.patients import PatientData
from examlane.records import audit, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, instant, maybe_instant
from examlane.storage.models import Encounter
from examlane.storage.people import EncounterEvent
from examlane.wards import consequences
from examlane.wards.consequences import Change, Standing

KINDS = ("admission", "transfer", "discharge", "death")
ENCOUNTER = """SELECT e.id, e.patient_id, e.encounter_class, e.ward, e.bed, e.campus, e.needs, e.state
FROM encounter e WHERE e.number = ?"""
FACTS = """SELECT kind, ward, bed, campus, needs, convert, before FROM encounter_event
WHERE encounter_id = ? AND withdrawn_at IS NULL ORDER BY at, id"""
HISTORY = """SELECT kind, at, ward, bed, recorded_at, actor, withdrawn_at, withdrawn_reason FROM encounter_event
WHERE encounter_id = ? ORDER BY at, id"""
BASE = """SELECT before FROM encounter_event WHERE encounter_id = ?
ORDER BY CASE WHEN withdrawn_at IS NULL THEN 0 ELSE 1 END, id DESC LIMIT 1"""
NEWEST = """SELECT id, effects, at FROM encounter_event WHERE encounter_id = ? AND kind = ? AND withdrawn_at IS NULL
ORDER BY at DESC, id DESC LIMIT 1"""
KEEP_SECONDS = 5
"""What comes back has this long to find its own place before everything of the patient is planned."""


@dataclass(frozen=True, slots=True)
class EncounterReport:
    """What HIS says of an encounter. What is None is not said, and stays as it was.

    `patient` is needed only where the encounter is not known yet; `orders` are taken over by an admission whose
    encounter has a number of its own; `convert` keeps a discharged patient's exams for him as an outpatient.
    """

    encounter: str
    event: str
    at: datetime
    patient: PatientData | None = None
    orders: tuple[str, ...] = ()
    ward: str | None = None
    bed: str | None = None
    campus: str | None = None
    needs: tuple[str, ...] | None = None
    convert: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One reported event, as it is shown."""

    event: str
    at: datetime
    ward: str
    bed: str
    recorded_at: datetime
    recorded_by: str
    withdrawn_at: datetime | None
    withdrawn_reason: str


@dataclass(frozen=True, slots=True)
class EncounterStatus:
    """Where an encounter stands, what was reported of it, and the visits that are still to come."""

    number: str
    patient: int
    standing: Standing
    events: tuple[Fact, ...]
    appointments: tuple[str, ...]


def report(hospital: Hospital, data: EncounterReport, actor: Actor, key: RequestKey | None = None) -> EncounterStatus:
    """Store what was reported and let the patient's exams follow. The same event of the same instant changes nothing.

    Raises `InvalidInput`, `NotFound` for an encounter without a patient, and `Conflict` for another patient's.
    """
    _check(hospital, data)
    change = hospital.database.write(partial(_store, hospital, data, actor, key))
    _follow(hospital, change, actor)
    return read(hospital, data.encounter)


def withdraw(
    hospital: Hospital, number: str, event: str, actor: Actor, key: RequestKey | None = None, *, reason: str
) -> EncounterStatus:
    """The newest event of its kind was reported by mistake: what it took comes back as far as its seats are free, and
    is planned again otherwise. Raises `NotFound`.
    """
    change = hospital.database.write(partial(_take_back, hospital, number, event, actor, key, reason))
    _follow(hospital, change, actor)
    return read(hospital, number)


def read(hospital: Hospital, number: str) -> EncounterStatus:
    """Where an encounter stands. Raises `NotFound`."""
    database = hospital.database
    encounter, patient, standing = _encounter(database, number)
    facts = tuple(
        Fact(kind, instant(at), ward or "", bed or "", instant(recorded), by, maybe_instant(gone), why)
        for kind, at, ward, bed, recorded, by, gone, why in database.rows(HISTORY, encounter)
    )
    visits = consequences.visits_of(database, encounter, hospital.clock.now())
    return EncounterStatus(number, patient, standing, facts, tuple(visit.number for visit in visits))


def _check(hospital: Hospital, data: EncounterReport) -> None:
    problems = []
    if data.event not in KINDS:
        problems.append(("/event", Text("未知的事件", "unknown event")))
    if (data.at - hospital.clock.now()).total_seconds() > 300:
        problems.append(("/at", Text("时间在将来", "in the future")))
    if data.campus and data.campus not in hospital.catalogues.current().campuses:
        problems.append(("/campus", Text("未知的院区", "unknown campus")))
    if data.orders and data.event != "admission":
        problems.append(("/orders", Text("仅入院可带申请单", "only an admission takes orders over")))
    if problems:
        raise InvalidInput(problems)


def _encounter(database: Database, number: str) -> tuple[int, int, Standing]:
    row = database.row(ENCOUNTER, number)
    if row is None:
        raise NotFound("encounter", number)
    key, patient, encounter_class, ward, bed, campus, needs, state = row
    died = database.value("SELECT died_at FROM patient WHERE id = ?", patient) is not None
    return key, patient, Standing(encounter_class, ward, bed, campus, tuple(json.loads(needs)), state, died)


def _store(hospital: Hospital, data: EncounterReport, actor: Actor, key: RequestKey | None) -> Change:
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "encounter", data.encounter, epoch(now))
    encounter, patient = _known(database, data)
    patients.touch(database, patient)
    known = database.row(
        "SELECT 1 FROM encounter_event WHERE encounter_id = ? AND kind = ? AND at = ? AND withdrawn_at IS NULL",
        encounter, data.event, epoch(data.at),
    )  # fmt: skip
    _key, _patient, before = _encounter(database, data.encounter)
    if known:
        return Change(data.encounter, encounter, patient, data.event, before, before)
    event = database.insert(
        EncounterEvent, encounter=encounter, kind=data.event, at=epoch(data.at), ward=data.ward, bed=data.bed,
        campus=data.campus, needs=None if data.needs is None else dump(list(data.needs)), convert=int(data.convert),
        before=_base(database, encounter) or dump(asdict(before)), actor=actor.name, recorded_at=epoch(now),
    )  # fmt: skip
    happened = data.at.isoformat()
    audit.record(database, actor, f"encounter.{data.event}", "encounter", data.encounter, epoch(now), happened=happened)
    moved = _take_over(database, data, encounter, patient)
    change = Change(
        data.encounter, encounter, patient, data.event, before, _folded(database, encounter, before), data.at, moved
    )
    effects = consequences.apply(hospital, change, actor)
    database.rows("UPDATE encounter_event SET effects = ? WHERE id = ? RETURNING id", dump(effects), event)
    jobs.mark_due(database, patient, epoch(now))
    return change


def _base(database: Database, encounter: int) -> str | None:
    """How an encounter stood before the first of the facts that count, if any do."""
    found: str | None = database.value(
        "SELECT before FROM encounter_event WHERE encounter_id = ? AND withdrawn_at IS NULL LIMIT 1", encounter
    )
    return found


def _known(database: Database, data: EncounterReport) -> tuple[int, int]:
    """The encounter and its patient; an encounter that is new is registered where its patient is named."""
    row = database.row("SELECT id, patient_id FROM encounter WHERE number = ?", data.encounter)
    if data.patient is None:
        if row is None:
            raise NotFound("encounter", data.encounter)
        return row[0], row[1]
    if row is not None:
        named = patients.find(database, data.patient.identifiers)
        if named is not None and named != row[1]:
            raise Conflict("encounter_of_another_patient", OTHER_PATIENT, "/encounter")
        return row[0], row[1]
    patient = patients.register(database, data.patient)
    made = database.insert(
        Encounter, number=data.encounter, patient=patient, encounter_class=EncounterClass.OUTPATIENT.value
    )
    return made, patient


def _take_over(database: Database, data: EncounterReport, encounter: int, patient: int) -> dict[int, int]:
    """Orders that an admission takes over from another encounter, each with the one it had."""
    moved: dict[int, int] = {}
    for index, number in enumerate(data.orders):
        row = database.row("SELECT id, encounter_id, patient_id FROM exam_order WHERE number = ?", number)
        if row is None or row[2] != patient:
            raise InvalidInput([(f"/orders/{index}", Text("未知的申请单", "no order of this patient"))])
        if row[1] != encounter:
            moved[row[0]] = row[1]
    for order in moved:
        consequences.belong(database, order, encounter)
    return moved


def _take_back(hospital: Hospital, number: str, event: str, actor: Actor, key: RequestKey | None, reason: str) -> Change:
    database, now = hospital.database, hospital.clock.now()
    encounter, patient, _standing = _encounter(database, number)
    receipts.keep(database, key, "encounter", number, epoch(now))
    patients.touch(database, patient)
    before = _encounter(database, number)[2]
    row = database.row(NEWEST, encounter, event)
    if row is None:
        raise NotFound("encounter event", event)
    fact, effects, at = row
    database.rows(
        "UPDATE encounter_event SET withdrawn_at = ?, withdrawn_by = ?, withdrawn_reason = ? WHERE id = ? RETURNING id",
        epoch(now), actor.name, reason, fact,
    )  # fmt: skip
    audit.record(database, actor, f"encounter.{event}_withdrawn", "encounter", number, epoch(now), reason=reason)
    change = Change(
        number, encounter, patient, f"{event}_withdrawn", before, _folded(database, encounter, before), instant(at)
    )
    consequences.put_back(hospital, change, json.loads(effects), actor)
    jobs.mark_due(database, patient, epoch(now) + KEEP_SECONDS)
    return change


def _folded(database: Database, encounter: int, now: Standing) -> Standing:
    """Where an encounter stands by all its facts, in the order of their instants."""
    first = json.loads(database.value(BASE, encounter))
    died = database.value(
        "SELECT 1 FROM encounter_event v JOIN encounter e ON e.id = v.encounter_id WHERE v.kind = 'death' "
        "AND v.withdrawn_at IS NULL AND e.patient_id = (SELECT patient_id FROM encounter WHERE id = ?)",
        encounter,
    )  # fmt: skip
    standing = Standing(**{**first, "needs": tuple(first["needs"]), "died": died is not None})
    return _added(standing, database.rows(FACTS, encounter))


def _added(standing: Standing, facts: Iterable[tuple[Any, ...]]) -> Standing:
    for kind, ward, bed, campus, needs, convert, _before in facts:
        told: Mapping[str, Any] = {"ward": ward, "bed": bed, "campus": campus, "needs": needs and tuple(json.loads(needs))}
        standing = replace(standing, **{name: value for name, value in told.items() if value is not None})
        if kind == "admission":
            standing = replace(standing, encounter_class=EncounterClass.INPATIENT.value, state="open")
        elif kind == "discharge":
            standing = replace(standing, state="converted" if convert else "discharged")
            if convert:
                standing = replace(standing, encounter_class=EncounterClass.OUTPATIENT.value, ward="", bed="")
    return standing


def _follow(hospital: Hospital, change: Change, actor: Actor) -> None:
    """What needs the rules: visits come back to their own places, the rest is planned, places are looked at again."""
    for number in consequences.to_come_back(hospital, change):
        choosing.come_back(hospital, number, actor, reason=f"{change.event.partition('_')[0]} withdrawn")
    booking.settle(hospital, change.patient, actor)
    if change.before != change.after:
        consequences.recheck_places(hospital, change.patient)
