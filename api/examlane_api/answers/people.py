"""Patients, their encounters, wards and check-up groups, and who arrives, as plain data."""

from __future__ import annotations

from typing import Any

from examlane.arrival.attendance import Source
from examlane.arrival.repeated import Restriction
from examlane.checkups.group_days import Group
from examlane.orders.patients import masked
from examlane.patients.merging import Merge
from examlane.patients.people import Masked
from examlane.wards.encounters import EncounterStatus
from examlane.wards.ward_list import WardExam
from examlane_api.answers.booking import BookingAnswers
from examlane_api.answers.plain import words


class PeopleAnswers(BookingAnswers):
    """Who is examined; in lists names are masked."""

    def person(self, found: Masked) -> dict[str, Any]:
        """A person in a list: masked."""
        return {
            "name": found.name, "sex": found.sex, "birth_year": found.birth_year,
            "identifiers": [{"kind": kind, "value": value} for kind, value in found.identifiers],
            "relations": [{"kind": kind, "name": name} for kind, name in found.relations],
        }  # fmt: skip

    def merge(self, found: Merge) -> dict[str, Any]:
        overlaps = [list(pair) for pair in found.overlaps]
        return {
            "merge": found.id, "state": found.state, "moved": found.moved, "overlaps": overlaps, **self.items(found.items)
        }  # fmt: skip

    def encounter(self, found: EncounterStatus) -> dict[str, Any]:
        standing = found.standing
        return {
            "encounter": found.number, "class": standing.encounter_class, "state": standing.state,
            "ward": standing.ward, "bed": standing.bed, "campus": standing.campus, "needs": list(standing.needs),
            "died": standing.died, "appointments": list(found.appointments),
            "events": [
                {
                    "event": one.event, "at": self.time(one.at), "ward": one.ward, "bed": one.bed,
                    "recorded_at": self.time(one.recorded_at), "recorded_by": one.recorded_by,
                    "withdrawn_at": self.time(one.withdrawn_at), "withdrawn_reason": one.withdrawn_reason,
                }
                for one in found.events
            ],
        }  # fmt: skip

    def ward_exam(self, found: WardExam) -> dict[str, Any]:
        said = found.answered
        return {
            "appointment": found.appointment, "version": found.version, "state": found.state,
            "department": found.department,
            "items": [{"key": key, "name": words(name)} for key, name in found.items],
            "starts_at": self.time(found.starts_at),
            "period": self.period(found.period_starts_at, found.period_ends_at), "place": words(found.place),
            "campus": found.campus, "preparation": list(found.preparation), "fasting_hours": found.fasting_hours,
            "answered": said and {
                "answer": said.answer, "reason": said.reason, "note": said.note, "at": self.time(said.at), "by": said.by,
            },
        }  # fmt: skip

    def checkup(self, found: Group) -> dict[str, Any]:
        data = found.contract.data
        return {
            "number": data.number, "unit": data.unit, "state": found.contract.state, "version": found.contract.version,
            "items": [{"item": code, "sex": sex} for code, sex in data.items], "quotas": dict(data.quotas),
            "starts_on": data.starts_on.isoformat(), "ends_on": data.ends_on.isoformat(), "counts": dict(found.counts),
            "people": [
                {"person": one.id, "name": masked(one.name), "state": one.state, "campus": one.campus, "day": one.day,
                 "order": one.order}
                for one in found.people
            ],
        }  # fmt: skip

    def source(self, found: Source) -> dict[str, Any]:
        return {
            "department": found.department, "state": found.state, "since": self.time(found.since),
            "reason": found.reason, "sweeps_from": self.time(found.sweeps_from),
        }  # fmt: skip

    def restriction(self, found: Restriction) -> dict[str, Any]:
        return {
            "id": found.id, "department": found.department, "patient": found.name, "state": found.state,
            "from": self.time(found.from_at), "until": self.time(found.until_at), "appointments": list(found.visits),
            "appeal": found.appeal, "appealed_at": self.time(found.appealed_at), "decision": found.decision,
            "decision_reason": found.decision_reason, "decided_at": self.time(found.decided_at),
            "decided_by": found.decided_by,
        }  # fmt: skip
