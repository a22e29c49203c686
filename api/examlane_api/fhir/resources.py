"""Rows as FHIR R4 resources. A patient is a logical reference with a masked name: he has no resource here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from examlane.appointments.states import State
from examlane.reasons import text
from examlane_api.fhir import states
from examlane_api.fhir.reading import AppointmentRow, Coded, Person, RequestRow, Row, ScheduleRow, SlotRow
from examlane_api.fhir.systems import Systems

Resource = dict[str, Any]

PLACES = frozenset({"room", "chair", "bed", "recovery"})
"""Roles of a resource that are a Location in FHIR; a `device` is a Device, and all others are people."""
KINDS_OF_APPOINTMENT = {"walk_in": "WALKIN", "emergency": "EMERGENCY", "checkup": "CHECKUP"}
APPOINTMENT_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0276"


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells rows under the hospital's systems, with times in its zone."""

    systems: Systems
    zone: tzinfo

    def resource(self, row: Row) -> Resource:
        """The resource of a row, with its version: its own number, or else a digest of what it says."""
        if isinstance(row, AppointmentRow):
            made = self.appointment(row)
        elif isinstance(row, RequestRow):
            made = self.service_request(row)
        else:
            made = self.schedule(row) if isinstance(row, ScheduleRow) else self.slot(row)
        found = _filled(made)
        if "meta" not in found:
            digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:20]
            found = {"resourceType": found["resourceType"], "id": found["id"], "meta": {"versionId": digest}, **found}
        return found

    def appointment(self, row: AppointmentRow) -> Resource:
        status = states.APPOINTMENT[State(row.state)]
        agreed = states.PARTICIPANT.get(status, "accepted")
        ended = status in ("cancelled", "noshow")
        return {
            "resourceType": "Appointment",
            "id": row.number,
            "meta": {"versionId": str(row.version), "lastUpdated": self._time(row.changed_at)},
            "identifier": [_identifier(self.systems.appointment, row.number)],
            "status": status,
            "cancelationReason": {"text": text(row.reason).zh} if ended and row.reason else None,
            "serviceCategory": [_concept(self.systems.department, row.department)],
            "serviceType": [_concept(self.systems.item, item) for _, item in row.items],
            "appointmentType": {"coding": [{"system": APPOINTMENT_TYPE, "code": _appointment_type(row)}]},
            "start": self._time(row.starts_at),
            "end": self._time(row.ends_at),
            "minutesDuration": int((row.ends_at - row.starts_at).total_seconds() // 60),
            "slot": [{"reference": f"Slot/{slot}"} for slot in row.slots],
            "created": self._time(row.created_at),
            "patientInstruction": row.preparation,
            "basedOn": [{"reference": f"ServiceRequest/{key}"} for key, _ in row.items],
            "participant": [
                {"actor": self._patient(row.patient), "required": "required", "status": agreed},
                {"actor": _logical("Location", self.systems.place, row.place), "required": "required", "status": agreed},
            ],
        }

    def service_request(self, row: RequestRow) -> Resource:
        placer = [_identifier(self.systems.placer, row.placer)] if row.placer else []
        return {
            "resourceType": "ServiceRequest",
            "id": str(row.id),
            "identifier": [_identifier(self.systems.order_item, row.key), *placer],
            "requisition": _identifier(self.systems.order, row.order),
            "status": states.request_status(row.state, row.gate_closed),
            "intent": "order",
            "category": [_concept(self.systems.department, row.department)],
            "priority": row.priority,
            "code": _concept(self.systems.item, row.item),
            "subject": self._patient(row.patient),
            "encounter": {"type": "Encounter", "identifier": _identifier(self.systems.encounter, row.encounter)},
            "authoredOn": self._time(row.ordered_at),
            "requester": _logical("Organization", self.systems.department, row.ordering_department)
            | ({"display": f"{row.ordering_department.name} {row.doctor}"} if row.doctor else {}),
            "performer": [_logical("Organization", self.systems.department, row.department)],
            "bodySite": [{"text": row.body_part}] if row.body_part else [],
        }

    def schedule(self, row: ScheduleRow) -> Resource:
        return {
            "resourceType": "Schedule",
            "id": str(row.id),
            "identifier": [_identifier(self.systems.resource, row.resource.code)],
            "active": row.active,
            "serviceCategory": [_concept(self.systems.department, row.department)],
            "serviceType": [_concept(self.systems.item, item) for item in row.items],
            "actor": [
                _logical(_actor(row.role), self.systems.resource, row.resource),
                _logical("Location", self.systems.place, row.place),
            ],
            "planningHorizon": {"start": self._time(row.begins), "end": self._time(row.ends)},
        }

    def slot(self, row: SlotRow) -> Resource:
        """A slot with its seats: FHIR has no word for how many are free, nor for whom they are kept."""
        free = 0 if row.closed else max(0, row.capacity + row.extra - row.taken - row.withheld)
        return {
            "resourceType": "Slot",
            "id": str(row.id),
            "extension": [
                {"url": f"{self.systems.extension}/audience", "valueCode": row.audience},
                {"url": f"{self.systems.extension}/free-seats", "valueUnsignedInt": free},
            ],
            "schedule": {"reference": f"Schedule/{row.schedule}"},
            "status": _slot_status(row),
            "start": self._time(row.starts_at),
            "end": self._time(row.ends_at),
            "overbooked": row.taken > row.capacity,
        }

    def _patient(self, person: Person) -> Resource:
        """The first of the identifiers that the hospital lets be told."""
        told = {each.kind: each.value for each in reversed(person.identifiers)}
        kind = next((kind for kind in self.systems.patient if kind in told), None)
        known = {"identifier": _identifier(self.systems.patient[kind], told[kind])} if kind else {}
        return {"type": "Patient", **known, "display": person.name}

    def _time(self, at: datetime) -> str:
        return at.astimezone(self.zone).isoformat()


def _appointment_type(row: AppointmentRow) -> str:
    return KINDS_OF_APPOINTMENT.get(row.mode) or KINDS_OF_APPOINTMENT.get(row.encounter_class, "ROUTINE")


def _slot_status(row: SlotRow) -> str:
    if row.closed:
        return "busy-unavailable"
    if row.is_open:
        return "free"
    return "busy" if row.taken >= row.capacity + row.extra else "busy-tentative"


def _actor(role: str) -> str:
    if role == "device":
        return "Device"
    return "Location" if role in PLACES else "Practitioner"


def _identifier(system: str, value: str) -> Resource:
    return {"system": system, "value": value}


def _concept(system: str, coded: Coded) -> Resource:
    return {"coding": [{"system": system, "code": coded.code, "display": coded.name}], "text": coded.name}


def _logical(kind: str, system: str, coded: Coded) -> Resource:
    return {"type": kind, "identifier": _identifier(system, coded.code), "display": coded.name}


def _filled(resource: Mapping[str, Any]) -> Resource:
    """Without what is empty: FHIR has no empty elements."""
    return {name: value for name, value in resource.items() if value not in (None, "", [])}
