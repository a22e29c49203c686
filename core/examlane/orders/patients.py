"""Patients and their identifiers: found by any of them, registered once, versioned by every write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from examlane.domain import Sex, Text
from examlane.errors import NotFound, Refused, StalePlan
from examlane.storage.database import Database
from examlane.storage.models import Patient, PatientIdentifier

FIND = """SELECT p.id, p.merged_into_id FROM patient_identifier i JOIN patient p ON p.id = i.patient_id
WHERE i.kind = ? AND i.value = ?"""
# What was recorded of him before a merge is his too; a fact without a time was observed when it was recorded.
BUMP = """UPDATE patient SET version = version + 1 WHERE id = ? AND version = ?
RETURNING (SELECT value FROM setting WHERE name = 'rollout')"""
TWO_PEOPLE = Text("标识属于不同的患者，请先合并", "the identifiers belong to different patients: merge them first")
CITIZEN_ID = "citizen_id"
# GB 11643: area, birth date, sequence whose last digit is odd for men, check character by ISO 7064 MOD 11-2. Permanent
# residents from abroad have 9 in front, those from Hong Kong, Macao and Taiwan 81 to 83. Older cards have 15 digits.
CITIZEN_NUMBER = re.compile(
    r"(?:1[1-5]|2[123]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[123]|9[0-9])[0-9]{4}"
    r"(?:([0-9]{6})[0-9]{2}([0-9])|([0-9]{8})[0-9]{2}([0-9])[0-9X])"
)
WRONG_NUMBER = Text("身份证号码不正确", "not a number of an identity card")
OTHER_BIRTH_DATE = Text("与身份证号码的出生日期不符", "the identity card says another birth date")
OTHER_SEX = Text("与身份证号码的性别不符", "the identity card says another sex")


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number a patient is known by: card, citizen id, insurance code, temporary …"""

    kind: str
    value: str

    def __post_init__(self) -> None:
        if self.kind == CITIZEN_ID:
            object.__setattr__(self, "value", self.value.upper())


@dataclass(frozen=True, slots=True)
class PatientData:
    """What a message says of a patient."""

    identifiers: tuple[Identifier, ...]
    name: str
    sex: Sex = Sex.UNKNOWN
    birth_date: date | None = None
    phone: str = ""
    region: str = ""
    out_of_town: bool = False


def problems(data: PatientData, today: date) -> list[tuple[str, Text]]:
    """What cannot be true of a patient, with pointers: his identity card, and what else is said beside it."""
    found: list[tuple[str, Text]] = []
    for index, identifier in enumerate(data.identifiers):
        if identifier.kind == CITIZEN_ID:
            found += _citizen_problems(data, f"/identifiers/{index}/value", citizen(identifier.value), today)
    if data.birth_date and data.birth_date > today:
        found.append(("/birth_date", Text("出生日期在将来", "born in the future")))
    return found


def _citizen_problems(data: PatientData, pointer: str, card: tuple[date, Sex] | None, today: date) -> list[tuple[str, Text]]:
    if card is None or card[0] > today:
        return [(pointer, WRONG_NUMBER)]
    born, sex = card
    found: list[tuple[str, Text]] = []
    if data.birth_date not in (None, born):
        found += [(pointer, OTHER_BIRTH_DATE), ("/birth_date", OTHER_BIRTH_DATE)]
    if data.sex not in (Sex.UNKNOWN, sex):
        found += [(pointer, OTHER_SEX), ("/sex", OTHER_SEX)]
    return found


def citizen(number: str) -> tuple[date, Sex] | None:
    """Birth date and sex in the number of an identity card; None if it is none."""
    matched = CITIZEN_NUMBER.fullmatch(number)
    if matched is None or (len(number) == 18 and number[17] != _check_character(number)):
        return None
    short, short_order, long, long_order = matched.groups()
    try:
        born = datetime.strptime(long or f"19{short}", "%Y%m%d").date()  # noqa: DTZ007 - a birth date is no instant
    except ValueError:
        return None
    return born, Sex.MALE if int(long_order or short_order) % 2 else Sex.FEMALE


def _check_character(number: str) -> str:
    return "10X98765432"[sum(int(digit) * 2 ** (17 - place) for place, digit in enumerate(number[:17])) % 11]


def find(database: Database, identifiers: Sequence[Identifier]) -> int | None:
    """The patient known by any of the identifiers, merges resolved. Raises `Refused` if they name two people."""
    return _one(_known(database, identifiers).values())


def _known(database: Database, identifiers: Sequence[Identifier]) -> dict[Identifier, int]:
    """Whom each of the identifiers that are known belongs to, merges resolved."""
    rows = [(each, database.row(FIND, each.kind, each.value)) for each in identifiers]
    return {identifier: row[1] or row[0] for identifier, row in rows if row is not None}


def _one(found: Iterable[int]) -> int | None:
    patients = set(found)
    if len(patients) > 1:
        raise Refused("patient_identifiers_conflict", TWO_PEOPLE, "/patient/identifiers")
    return patients.pop() if patients else None


def get(database: Database, identifier: Identifier) -> int:
    patient = find(database, [identifier])
    if patient is None:
        raise NotFound("patient", identifier.kind)
    return patient


def current(database: Database, patient: int) -> int:
    """The patient an internal id stands for now: it may have been written down before a merge."""
    return database.value("SELECT coalesce(merged_into_id, id) FROM patient WHERE id = ?", patient) or patient


def register(database: Database, data: PatientData) -> int:
    """The patient's id, registered now if unknown; new identifiers are added. Inside a write transaction."""
    known = _known(database, data.identifiers)
    patient = _one(known.values())
    if patient is None:
        patient = database.insert(
            Patient, name=data.name, sex=data.sex.value, phone=data.phone, region=data.region,
            birth_date=data.birth_date.isoformat() if data.birth_date else None, out_of_town=int(data.out_of_town),
        )  # fmt: skip
    for identifier in dict.fromkeys(data.identifiers):
        if identifier not in known:
            database.insert(PatientIdentifier, patient=patient, kind=identifier.kind, value=identifier.value)
    return patient


def bump(database: Database, patient: int, version: int) -> int:
    """First statement of every write on a patient's orders, gates and appointments; raises `StalePlan` if too late."""
    rows = database.rows(BUMP, patient, version)
    if not rows:
        raise StalePlan("the patient changed meanwhile")
    return rows[0][0] or 0


def touch(database: Database, patient: int) -> int:
    """Take the patient for a write that does not depend on what was read before; returns whom he was merged into."""
    kept = database.value("UPDATE patient SET version = version + 1 WHERE id = ? RETURNING merged_into_id", patient)
    return touch(database, kept) if kept else patient


def masked(name: str) -> str:
    """张* or 张*明: how a name stands in lists, logs and on screens."""
    if len(name) <= 1:
        return "*"
    return name[0] + "*" + (name[-1] if len(name) > 2 else "")
