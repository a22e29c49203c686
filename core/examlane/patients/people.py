"""Who may be the same person, who belongs to whom, and who shares a telephone: shown masked, never mixed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from examlane.appointments import desk
from examlane.domain import Text
from examlane.errors import Refused
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.orders.patients import Identifier
from examlane.records import audit, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.fields import epoch
from examlane.storage.people import PossibleDuplicate

KINDS = ("mother", "father", "guardian", "spouse", "child", "other")
CITIZEN_ID = re.compile(r"\d{17}[\dXx]", re.ASCII)
SAME_PATIENT = Text("两个标识属于同一患者", "both identifiers belong to the same patient")
SAME_NUMBER = """SELECT o.patient_id, i.value FROM patient_identifier i JOIN patient_identifier o
ON o.value = i.value AND o.kind <> i.kind AND o.patient_id <> i.patient_id WHERE i.patient_id = ?"""
SAME_PERSON = """SELECT o.id FROM patient p JOIN patient o ON o.phone = p.phone AND o.name = p.name AND o.sex = p.sex
AND o.birth_date = p.birth_date AND o.id <> p.id
WHERE p.id = ? AND p.phone <> '' AND p.name <> '' AND p.sex <> 'unknown' AND o.merged_into_id IS NULL"""
PAIRS = """SELECT d.first_id, d.second_id, d.found_at FROM possible_duplicate d
JOIN desk_task t ON t.id = d.task_id AND t.closed_at IS NULL ORDER BY d.id"""
PERSON = "SELECT id, name, sex, birth_date FROM patient WHERE id = ?"
NUMBERS = "SELECT kind, value FROM patient_identifier WHERE patient_id = ? ORDER BY id"
RELATED = """SELECT r.kind, r.other_id FROM patient_relation r WHERE r.patient_id = ? ORDER BY r.id"""
RELATE = """INSERT INTO patient_relation (patient_id, other_id, kind, actor, created_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (patient_id, other_id, kind) DO UPDATE SET actor = excluded.actor RETURNING id"""
PART = "DELETE FROM patient_relation WHERE patient_id = ? AND other_id = ? AND kind = ? RETURNING id"


@dataclass(frozen=True, slots=True)
class Masked:
    """A person as lists show him: enough to ask back, not enough to know."""

    name: str
    sex: str
    birth_year: str
    identifiers: tuple[tuple[str, str], ...]
    relations: tuple[tuple[str, str], ...] = ()
    """What the others are to him, with their masked names."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two records that may be one person; nothing happens to them until somebody merges them."""

    first: Masked
    second: Masked
    found_at: int


def notice_duplicates(hospital: Hospital, patient: int) -> None:
    """Give the desk a task for every record that may be the same person; once a pair, and nothing waits for it."""
    others = _similar(hospital.database, patient)
    pairs = [pair for pair in (_pair(patient, other) for other in others) if not _known(hospital.database, *pair)]
    if pairs:
        hospital.database.write(partial(_open, hospital, pairs))


def duplicates(hospital: Hospital) -> list[Duplicate]:
    """Pairs that nobody has decided yet, the oldest first, masked."""
    database = hospital.database
    return [
        Duplicate(_masked(database, first), _masked(database, second), found_at)
        for first, second, found_at in database.rows(PAIRS)
    ]


def by_phone(hospital: Hospital, phone: str) -> list[Masked]:
    """Everybody who gave this telephone number: a mother's is often her child's too."""
    rows = hospital.database.rows("SELECT id FROM patient WHERE phone = ? AND merged_into_id IS NULL ORDER BY id", phone)
    return [_masked(hospital.database, patient) for (patient,) in rows] if phone else []


def relate(
    hospital: Hospital, patient: Identifier, other: Identifier, kind: str, actor: Actor, key: RequestKey | None = None, *,
    related: bool = True,
) -> Masked:  # fmt: skip
    """Say what another person is to a patient, or that he is not. Raises `NotFound`, and `Refused` for himself."""

    def write() -> int:
        database, now = hospital.database, epoch(hospital.clock.now())
        one, two = patients.get(database, patient), patients.get(database, other)
        if one == two:
            raise Refused("same_patient", SAME_PATIENT, "/other")
        for each in sorted((one, two)):
            patients.touch(database, each)
        receipts.keep(database, key, "relation", str(one), now)
        if related:
            database.rows(RELATE, one, two, kind, actor.name, now)
        else:
            database.rows(PART, one, two, kind)
        audit.record(database, actor, "patient.relate", "patient", str(one), now, kind=kind, related=related)
        return one

    return _masked(hospital.database, hospital.database.write(write))


def masked(hospital: Hospital, patient: int) -> Masked:
    """A patient as lists show him, by his internal id."""
    return _masked(hospital.database, patients.current(hospital.database, patient))


def _similar(database: Database, patient: int) -> set[int]:
    numbers = {other for other, value in database.rows(SAME_NUMBER, patient) if CITIZEN_ID.fullmatch(value)}
    return numbers | {other for (other,) in database.rows(SAME_PERSON, patient)}


def _pair(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


def _known(database: Database, first: int, second: int) -> bool:
    sql = "SELECT 1 FROM possible_duplicate WHERE first_id = ? AND second_id = ?"
    return database.value(sql, first, second) is not None


def _open(hospital: Hospital, pairs: Iterable[tuple[int, int]]) -> None:
    database, now = hospital.database, hospital.clock.now()
    for first, second in pairs:
        for each in (first, second):
            patients.touch(database, each)
        if _known(database, first, second):
            continue
        task = desk.open_task(database, "possible_duplicate", "", second, None, now, hospital.settings.desk_deadline)
        database.insert(PossibleDuplicate, first=first, second=second, task=task, found_at=epoch(now))


def _masked(database: Database, patient: int) -> Masked:
    key, name, sex, born = database.rows(PERSON, patient)[0]
    numbers = tuple((kind, "*" + value[-4:] if len(value) > 4 else "*") for kind, value in database.rows(NUMBERS, key))
    relations = tuple(
        (kind, patients.masked(database.value("SELECT name FROM patient WHERE id = ?", other)))
        for kind, other in database.rows(RELATED, key)
    )
    return Masked(patients.masked(name), sex, (born or "")[:4], numbers, relations)
