"""Check-up contracts: what a unit ordered, for whom, from when until when, and how many people a day."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from examlane.domain import Sex, Text
from examlane.errors import Conflict, InvalidInput, NotFound, Refused
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.orders.patients import PatientData
from examlane.records import audit, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch
from examlane.storage.people import CheckupContract, CheckupPerson, CheckupQuota

LONGEST = timedelta(days=366)
EXISTS = Text("合同号已存在", "a contract with this number exists")
CANCELLED = Text("合同已取消", "the contract is cancelled")
STALE = Text("合同已被更改，请刷新", "the contract was changed meanwhile: please reload")
BELOW_BOOKED = Text("名额低于已约人数，或已约日期不在合同期内", "people are booked beyond this quota or outside these days")
CONTRACT = """SELECT id, number, unit, items, quotas, starts_on, ends_on, state, version
FROM checkup_contract WHERE number = ?"""
LISTED = "SELECT id, state FROM checkup_person WHERE contract_id = ? AND patient_id = ?"
CHANGE = """UPDATE checkup_contract SET unit = ?, items = ?, quotas = ?, starts_on = ?, ends_on = ?, version = version + 1
WHERE id = ? AND version = ? RETURNING id"""
KEEP_DAY = """INSERT INTO checkup_quota (contract_id, campus, day, seats, taken) VALUES (?, ?, ?, ?, 0)
ON CONFLICT (contract_id, campus, day) DO UPDATE SET seats = excluded.seats WHERE checkup_quota.taken <= excluded.seats
RETURNING id"""
DAYS = "SELECT id, campus, day, taken FROM checkup_quota WHERE contract_id = ? ORDER BY id"


@dataclass(frozen=True, slots=True)
class ContractData:
    """A contract as it shall be; `items` are codes with the sex they are for, `quotas` people a day by campus."""

    number: str
    unit: str
    items: tuple[tuple[str, str], ...]
    quotas: Mapping[str, int]
    starts_on: date
    ends_on: date


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract as it stands."""

    id: int
    data: ContractData
    state: str
    version: int

    def items_for(self, sex: str) -> list[str]:
        """The exams of the package for a person of this sex."""
        return [code for code, only in self.data.items if not only or only == sex]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one line of a list of people: added, known (listed already), or refused with the reason."""

    outcome: str
    person: int | None = None
    code: str = ""
    text: Text | None = None


def find(hospital: Hospital, number: str) -> Contract:
    """A contract by its number. Raises `NotFound`."""
    row = hospital.database.row(CONTRACT, number)
    if row is None:
        raise NotFound("checkup contract", number)
    key, number, unit, items, quotas, starts_on, ends_on, state, version = row
    chosen = tuple((each["item"], each["sex"]) for each in json.loads(items))
    first, last = date.fromisoformat(starts_on), date.fromisoformat(ends_on)
    return Contract(key, ContractData(number, unit, chosen, json.loads(quotas), first, last), state, version)


def still_open(hospital: Hospital, number: str) -> Contract:
    """Raises `Conflict` where the contract is cancelled."""
    contract = find(hospital, number)
    if contract.state != "open":
        raise Conflict("contract_cancelled", CANCELLED)
    return contract


def create(hospital: Hospital, data: ContractData, actor: Actor, key: RequestKey | None = None) -> Contract:
    """Make a contract with its group days. Raises `InvalidInput` with every field at fault, `Conflict` if it exists."""
    _check(hospital, data)

    def write() -> None:
        database, now = hospital.database, epoch(hospital.clock.now())
        if database.value("SELECT 1 FROM checkup_contract WHERE number = ?", data.number):
            raise Conflict("contract_exists", EXISTS, "/number")
        receipts.keep(database, key, "checkup", data.number, now)
        values = _columns(data)
        contract = database.insert(CheckupContract, number=data.number, actor=actor.name, created_at=now, **values)
        for campus, day, seats in _days(hospital, data):
            database.insert(CheckupQuota, contract=contract, campus=campus, day=day, seats=seats)
        audit.record(database, actor, "checkup.create", "checkup", data.number, now)

    hospital.database.write(write)
    return find(hospital, data.number)


def change(
    hospital: Hospital, data: ContractData, actor: Actor, key: RequestKey | None = None, *, version: int | None = None
) -> Contract:
    """Change a contract; whoever is booked stays. Raises like `create`, and `Conflict` where people are booked beyond it."""
    _check(hospital, data)

    def write() -> None:
        database, now = hospital.database, epoch(hospital.clock.now())
        old = still_open(hospital, data.number)
        receipts.keep(database, key, "checkup", data.number, now)
        values = _columns(data)
        read = old.version if version is None else version
        if not database.rows(CHANGE, *values.values(), old.id, read):
            raise Conflict("version_conflict", STALE, "/version")
        wanted = {(campus, day): seats for campus, day, seats in _days(hospital, data)}
        for quota, campus, day, _ in database.rows(DAYS, old.id):
            if (campus, day) not in wanted and not _close_day(hospital, quota):
                raise Conflict("quota_below_booked", BELOW_BOOKED)
        for (campus, day), seats in wanted.items():
            if not database.rows(KEEP_DAY, old.id, campus, day, seats):
                raise Conflict("quota_below_booked", BELOW_BOOKED)
        audit.record(database, actor, "checkup.change", "checkup", data.number, now, version=read + 1)

    hospital.database.write(write)
    return find(hospital, data.number)


def add_people(
    hospital: Hospital, number: str, people: Sequence[PatientData], actor: Actor, key: RequestKey | None = None
) -> list[Imported]:
    """Put people on a contract's list; each line is answered on its own, a bad one keeps no other out."""
    contract = still_open(hospital, number)

    def write() -> list[Imported]:
        database, now = hospital.database, epoch(hospital.clock.now())
        receipts.keep(database, key, "checkup", number, now)
        found = [_add(hospital, contract, person) for person in people]
        added = sum(one.outcome == "added" for one in found)
        audit.record(database, actor, "checkup.people", "checkup", number, now, added=added, lines=len(people))
        return found

    return hospital.database.write(write)


def _add(hospital: Hospital, contract: Contract, person: PatientData) -> Imported:
    database = hospital.database
    if person.sex is Sex.UNKNOWN and any(sex for _, sex in contract.data.items):
        words = Text("套餐含按性别区分的项目，须填性别", "the package depends on the sex: it must be said")
        return Imported("refused", None, "sex_unknown", words)
    if person.birth_date and person.birth_date > hospital.calendar.day_of(hospital.clock.now()):
        return Imported("refused", None, "born_in_the_future", Text("出生日期在将来", "born in the future"))
    try:
        patient = patients.touch(database, patients.register(database, person))
    except Refused as refused:
        return Imported("refused", None, refused.code, refused.text)
    known = database.row(LISTED, contract.id, patient)
    if known is None:
        return Imported("added", database.insert(CheckupPerson, contract=contract.id, patient=patient))
    if known[1] == "left":
        database.rows("UPDATE checkup_person SET state = 'listed', order_number = '' WHERE id = ? RETURNING id", known[0])
        return Imported("added", known[0])
    return Imported("known", known[0])


def _check(hospital: Hospital, data: ContractData) -> None:
    catalogue = hospital.catalogues.current()
    problems = [(f"/quotas/{campus}", Text("未知的院区", "unknown campus")) for campus in data.quotas
                if campus not in catalogue.campuses]  # fmt: skip
    for place, (code, _sex) in enumerate(data.items):
        try:
            catalogue.item(code)
        except NotFound:
            problems.append((f"/items/{place}/item", Text("未知的检查项目", "unknown item")))
    if data.ends_on < data.starts_on or data.ends_on - data.starts_on > LONGEST:
        problems.append(("/ends_on", Text("结束须在开始之后一年内", "ends after it starts, within a year")))
    if problems:
        raise InvalidInput(problems)


def _columns(data: ContractData) -> dict[str, Any]:
    return {
        "unit": data.unit, "items": dump([{"item": code, "sex": sex} for code, sex in data.items]),
        "quotas": dump(dict(data.quotas)), "starts_on": data.starts_on.isoformat(), "ends_on": data.ends_on.isoformat(),
    }  # fmt: skip


def _days(hospital: Hospital, data: ContractData) -> list[tuple[str, str, int]]:
    """The group days: the days of the contract on which the hospital works, each campus with its quota."""
    days = [data.starts_on + timedelta(days=step) for step in range((data.ends_on - data.starts_on).days + 1)]
    working = [day for day in days if hospital.calendar.weekday(day) not in (None, 6, 7)]
    return [(campus, day.isoformat(), seats) for day in working for campus, seats in sorted(data.quotas.items())]


def _close_day(hospital: Hospital, quota: int) -> bool:
    """No seats on a day that is no group day any more; whether nobody is booked then."""
    closed = hospital.database.rows("UPDATE checkup_quota SET seats = 0 WHERE id = ? AND taken = 0 RETURNING id", quota)
    return bool(closed)
