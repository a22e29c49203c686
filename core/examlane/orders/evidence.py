"""Evidence: facts about a patient, stored without needing an order; every new one marks the patient's plan due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from examlane.domain import Text
from examlane.errors import InvalidInput
from examlane.orders import patients
from examlane.orders.patients import Identifier
from examlane.records import audit, jobs, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, maybe_epoch
from examlane.storage.models import Evidence


@dataclass(frozen=True, slots=True)
class EvidenceData:
    """An assessment, an approval, a consent: what kind, how it ended, when, until when, and for what (`scope`)."""

    patient: Identifier
    kind: str
    outcome: str
    observed_at: datetime
    valid_until: datetime | None = None
    scope: str = ""
    source: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def record(database: Database, evidence: EvidenceData, actor: Actor, now: datetime, key: RequestKey | None = None) -> int:
    """Store a fact; returns the patient's id. Raises `NotFound` for an unknown patient, `InvalidInput` for bad times."""
    if (evidence.observed_at - now).total_seconds() > 300:
        raise InvalidInput([("/observed_at", Text("时间在将来", "observed in the future"))])
    if evidence.valid_until is not None and evidence.valid_until <= evidence.observed_at:
        raise InvalidInput([("/valid_until", Text("有效期早于评估时间", "valid until before it was observed"))])

    def store() -> int:
        patient = patients.get(database, evidence.patient)
        receipts.keep(database, key, "patient", str(patient), epoch(now))
        patient = patients.touch(database, patient)
        database.insert(
            Evidence, patient=patient, kind=evidence.kind, outcome=evidence.outcome, scope=evidence.scope,
            data=dump(dict(evidence.data)), observed_at=epoch(evidence.observed_at),
            valid_until=maybe_epoch(evidence.valid_until), source=evidence.source or actor.name, recorded_at=epoch(now),
        )  # fmt: skip
        jobs.mark_due(database, patient, epoch(now))
        audit.record(
            database, actor, "evidence.report", "patient", str(patient), epoch(now),
            kind=evidence.kind, outcome=evidence.outcome,
        )  # fmt: skip
        return patient

    return database.write(store)
