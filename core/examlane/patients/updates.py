"""What is known of a patient changes: sex, birth date, weight, pregnancy; everything open is asked anew at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

from examlane.appointments import booking, status
from examlane.corrections.order_changes import ItemChange, compared
from examlane.domain import Fact, Sex, Text
from examlane.errors import InvalidInput
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.orders.patients import Identifier
from examlane.records import audit, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch, maybe_epoch

# An older message that comes late never takes the place of a newer one.
KEEP_FACT = """INSERT INTO patient_fact (patient_id, name, value, observed_at, source, recorded_at)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (patient_id, name, source) DO UPDATE SET value = excluded.value,
observed_at = excluded.observed_at, recorded_at = excluded.recorded_at
WHERE coalesce(excluded.observed_at, excluded.recorded_at) >= coalesce(patient_fact.observed_at, patient_fact.recorded_at)
RETURNING id"""


@dataclass(frozen=True, slots=True)
class PatientUpdate:
    """What is reported of a patient; None stays as it is, as do clinical facts that are not named."""

    patient: Identifier
    name: str | None = None
    sex: Sex | None = None
    birth_date: date | None = None
    phone: str | None = None
    region: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """What changes of the patient's row."""
        found = {
            "name": self.name, "sex": self.sex.value if self.sex else None, "phone": self.phone, "region": self.region,
            "birth_date": self.birth_date.isoformat() if self.birth_date else None,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}


def update(hospital: Hospital, reported: PatientUpdate, actor: Actor, key: RequestKey | None = None) -> list[ItemChange]:
    """Store it, ask the rules anew, and say of each open item what it meant: `kept`, `moved` or `needs_decision`.

    Raises `NotFound` for an unknown patient, `InvalidInput` with every field at fault.
    """
    _check(hospital, reported)
    before = status.of_patient(hospital, patients.get(hospital.database, reported.patient))
    patient = hospital.database.write(partial(_write, hospital, reported, actor, key))
    booking.settle(hospital, patient, actor)
    return compared({item.key: item for item in before}, status.of_patient(hospital, patient))


def _check(hospital: Hospital, reported: PatientUpdate) -> None:
    now = hospital.clock.now()
    problems = [
        (f"/facts/{name}/observed_at", Text("时间在将来", "observed in the future"))
        for name, fact in reported.facts.items()
        if fact.observed_at is not None and (fact.observed_at - now).total_seconds() > 300
    ]
    if reported.birth_date and reported.birth_date > hospital.calendar.day_of(now):
        problems.append(("/birth_date", Text("出生日期在将来", "born in the future")))
    if problems:
        raise InvalidInput(problems)


def _write(hospital: Hospital, reported: PatientUpdate, actor: Actor, key: RequestKey | None) -> int:
    database, now = hospital.database, epoch(hospital.clock.now())
    patient = patients.touch(database, patients.get(database, reported.patient))
    receipts.keep(database, key, "patient", str(patient), now)
    columns = reported.columns()
    if columns:
        changes = ", ".join(f"{name} = ?" for name in columns)
        database.rows(f"UPDATE patient SET {changes} WHERE id = ? RETURNING id", *columns.values(), patient)
    for name, fact in reported.facts.items():
        source = fact.source or actor.name
        database.rows(KEEP_FACT, patient, name, dump(fact.value), maybe_epoch(fact.observed_at), source, now)
    jobs.mark_due(database, patient, now)
    named = [*columns, *sorted(reported.facts)]
    audit.record(database, actor, "patient.update", "patient", str(patient), now, changed=named)
    return patient
