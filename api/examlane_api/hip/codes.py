"""A document on its way: who sent it, and what its codes mean here; those that nobody has explained are gathered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from examlane.domain import EncounterClass, Priority, Sex, Text
from examlane.errors import NotFound, Refused
from examlane.hospital import Hospital
from examlane.orders.patients import PatientData
from examlane.records import inbox
from examlane.records.audit import Actor
from examlane.records.inbox import Missing
from examlane.records.receipts import RequestKey
from examlane_api.access import Caller, may
from examlane_api.hip.messages import DEPARTMENT, ITEM, PRIORITY, STATUS, Coded, Person
from examlane_api.hip.profiles import STEPS, Profile

FORBIDDEN = Text("没有权限进行此操作", "this operation is not allowed to you")
CLASS = "class"


class Unknown(Exception):
    """A document names codes, or an order, that are not known here; nothing was done."""

    def __init__(self, missing: Sequence[Missing]) -> None:
        super().__init__("; ".join(f"{each.kind} {each.code}" for each in missing))
        self.missing = tuple(dict.fromkeys(missing))


@dataclass(frozen=True)
class Call:
    """One document on its way: who sent it, the key of its effect, and when it was made."""

    hospital: Hospital
    profile: Profile
    caller: Caller
    actor: Actor
    key: RequestKey
    made_at: datetime

    def allow(self, operation: str, department: str = "") -> None:
        """Raise `Refused` unless the platform may do it, in this department."""
        if not may(self.caller, operation, department):
            raise Refused("forbidden", FORBIDDEN)

    def part(self, number: int) -> Call:
        """The same document's effect number so-and-so, with a key of its own."""
        key = f"{hashlib.sha256(self.key.key.encode()).hexdigest()[:32]}#{number}"
        return replace(self, key=RequestKey(self.key.client, key, self.key.fingerprint))


class Codes:
    """Our codes for the platform's: from its profile, else from the inbox, else the same. What is missing is gathered."""

    def __init__(self, hospital: Hospital, profile: Profile) -> None:
        self._profile = profile
        self._catalogue = hospital.catalogues.current()
        self._known = inbox.targets(hospital.database, profile.code)
        self.missing: list[Missing] = []

    def item(self, coded: Coded) -> str:
        return self._ours(ITEM, coded, self._profile.items, self._is_item)

    def department(self, coded: Coded) -> str:
        return self._ours(DEPARTMENT, coded, self._profile.departments, self._is_department)

    def priority(self, coded: Coded) -> Priority:
        if not coded.code:
            return Priority.ROUTINE
        return Priority(self._ours(PRIORITY, coded, self._profile.priorities, _is_priority) or "routine")

    def step(self, coded: Coded) -> str:
        table = {row.code: row.step for row in self._profile.status}
        return self._ours(STATUS, coded, table, lambda code: code in STEPS)

    def encounter_class(self, code: str) -> EncounterClass:
        ours = self._ours(CLASS, Coded(code), self._profile.encounter_classes, _is_class)
        return EncounterClass(ours or EncounterClass.OUTPATIENT)

    def sex(self, code: str) -> Sex:
        return Sex(self._profile.sexes.get(code, Sex.UNKNOWN))

    def require(self) -> None:
        """Raise `Unknown` if anything was missing."""
        if self.missing:
            raise Unknown(self.missing)

    def _is_item(self, code: str) -> bool:
        try:
            self._catalogue.item(code)
        except NotFound:
            return False
        return True

    def _is_department(self, code: str) -> bool:
        return code in self._catalogue.departments

    def _ours(self, kind: str, coded: Coded, table: Mapping[str, str], exists: Callable[[str], bool]) -> str:
        found = table.get(coded.code) or self._known.get((kind, coded.code)) or coded.code
        if exists(found):
            return found
        self.missing.append(coded.missing(kind))
        return ""

    def is_ours(self, kind: str, code: str) -> bool:
        """Whether one of our codes exists: what a person may map a foreign code to."""
        checks: Mapping[str, Callable[[str], bool]] = {
            ITEM: self._is_item, DEPARTMENT: self._is_department, PRIORITY: _is_priority,
            STATUS: lambda each: each in STEPS, CLASS: _is_class,
        }  # fmt: skip
        return kind in checks and checks[kind](code)


def patient_data(codes: Codes, who: Person) -> PatientData:
    return PatientData(who.identifiers, who.name, codes.sex(who.sex), who.birth_date, who.phone)


def _is_priority(code: str) -> bool:
    return code in {str(each) for each in Priority}


def _is_class(code: str) -> bool:
    return code in {str(each) for each in EncounterClass}
