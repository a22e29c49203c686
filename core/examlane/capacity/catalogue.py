"""Departments, items, groups and services as the rules see them, read once per change of master data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from zoneinfo import ZoneInfo

from examlane.capacity import calendar, policy
from examlane.capacity.policy import DepartmentPolicy
from examlane.domain import BookingMode, EncounterView, ExamItem, GroupView, PatientView, ServiceView, Text
from examlane.errors import NotFound
from examlane.records.versions import versions
from examlane.storage.database import Database


@dataclass(frozen=True, slots=True)
class DepartmentEntry:
    id: int
    code: str
    name: Text
    campus: str
    executing: bool
    ordering: bool
    policy: DepartmentPolicy


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service with its conditions: for which patients and encounters, from when to when."""

    view: ServiceView
    extra_minutes: Mapping[str, int]
    min_age: int | None
    max_age: int | None
    sex: str
    max_weight_kg: int | None
    encounter_classes: tuple[str, ...]
    valid_from: str
    valid_to: str

    def serves(self, patient: PatientView, encounter: EncounterView, weight_kg: float | None, day: date) -> bool:
        return (
            (not self.encounter_classes or encounter.encounter_class in self.encounter_classes)
            and self.fits(patient, weight_kg, day)
            and (not self.valid_from or self.valid_from <= day.isoformat())
            and (not self.valid_to or day.isoformat() <= self.valid_to)
        )

    def fits(self, patient: PatientView, weight_kg: float | None, day: date) -> bool:
        """Whether a patient is within the limits of sex, age and weight."""
        age = patient.age_on(day)
        return (
            (not self.sex or patient.sex == self.sex)
            and (age is None or (self.min_age or 0) <= age <= (200 if self.max_age is None else self.max_age))
            and (weight_kg is None or self.max_weight_kg is None or weight_kg <= self.max_weight_kg)
        )

    def for_needs(self, needs: frozenset[str]) -> ServiceView:
        extra = sum(self.extra_minutes.get(need, 0) for need in needs)
        return replace(self.view, minutes=self.view.minutes + extra) if extra else self.view


GROUPS = """SELECT g.id, g.code, g.name, g.name_en, g.role, d.code, c.code, g.zone, g.slice_minutes
FROM resource_group g JOIN department d ON d.id = g.department_id JOIN campus c ON c.id = g.campus_id"""
DEPARTMENTS = """SELECT d.id, d.code, d.name, d.name_en, c.code, d.executing, d.ordering, d.policy
FROM department d JOIN campus c ON c.id = d.campus_id"""
ITEM = """SELECT i.id, i.name, i.name_en, i.modality, i.body_part, d.code, i.attributes
FROM exam_item i JOIN department d ON d.id = i.department_id WHERE i.code = ? AND i.is_active = 1"""
SERVICES = """SELECT g.code, s.minutes, s.extra_minutes, s.mode, s.min_age, s.max_age, s.sex, s.max_weight_kg,
s.encounter_classes, s.valid_from, s.valid_to
FROM service s JOIN resource_group g ON g.id = s.group_id WHERE s.item_id = ? ORDER BY s.id"""


class Catalogue:
    """One version of the master data. Items and services are read when first asked for."""

    def __init__(self, database: Database, zone: ZoneInfo, version: int) -> None:
        self._database = database
        self.version = version
        self.calendar = calendar.load(database, zone)
        self.groups: dict[str, GroupView] = {}
        self.group_ids: dict[str, int] = {}
        self.group_names: dict[str, Text] = {}
        for row in database.rows(GROUPS):
            self._add_group(*row)
        self.departments = {
            code: DepartmentEntry(
                key, code, Text(name, english or name), campus, bool(executing), bool(ordering), policy.read(stored)
            )
            for key, code, name, english, campus, executing, ordering, stored in database.rows(DEPARTMENTS)
        }
        self.campuses = {
            code: Text(zh, en or zh) for code, zh, en in database.rows("SELECT code, name, name_en FROM campus")
        }
        self.walking = self._walking_times()
        self._items: dict[str, tuple[int, ExamItem]] = {}
        self._services: dict[str, tuple[ServiceEntry, ...]] = {}
        self._resources: dict[str, tuple[int, ...]] = {}

    def item(self, code: str) -> ExamItem:
        return self._item(code)[1]

    def knows(self, code: str) -> bool:
        """Whether this is the code of an active item."""
        try:
            return bool(self._item(code))
        except NotFound:
            return False

    def item_id(self, code: str) -> int:
        return self._item(code)[0]

    def services(self, code: str) -> tuple[ServiceEntry, ...]:
        if code not in self._services:
            self._services[code] = self._read_services(code)
        return self._services[code]

    def offered(
        self, code: str, patient: PatientView, encounter: EncounterView, weight_kg: float | None, day: date
    ) -> tuple[ServiceView, ...]:
        """The services of an item that this patient can use, with the minutes this encounter needs."""
        return tuple(
            service.for_needs(encounter.needs)
            for service in self.services(code)
            if service.serves(patient, encounter, weight_kg, day)
        )

    def barred(self, code: str, group: str, patient: PatientView, weight_kg: float | None, day: date) -> bool:
        """Whether a group does this exam, but not for this patient."""
        services = [service for service in self.services(code) if service.view.group == group]
        return bool(services) and not any(service.fits(patient, weight_kg, day) for service in services)

    def resources(self, group: str) -> tuple[int, ...]:
        if group not in self._resources:
            rows = self._database.rows(
                "SELECT id FROM resource WHERE group_id = ? AND is_active = 1 ORDER BY id", self.group_ids[group]
            )
            self._resources[group] = tuple(row[0] for row in rows)
        return self._resources[group]

    def groups_of(self, department: str) -> tuple[GroupView, ...]:
        return tuple(group for group in self.groups.values() if group.department == department)

    def department(self, code: str) -> DepartmentEntry:
        if code not in self.departments:
            raise NotFound("department", code)
        return self.departments[code]

    def _add_group(
        self, key: int, code: str, name: str, english: str, role: str, department: str, campus: str, zone: str, size: int
    ) -> None:
        self.groups[code] = GroupView(code, name, role, department, campus, zone, size)
        self.group_ids[code] = key
        self.group_names[code] = Text(name, english or name)

    def _walking_times(self) -> Mapping[tuple[str, str], int]:
        rows = self._database.rows("SELECT zone_a, zone_b, minutes FROM walking_time")
        both = [(pair, minutes) for a, b, minutes in rows for pair in ((a, b), (b, a))]
        return MappingProxyType(dict(both))

    def _item(self, code: str) -> tuple[int, ExamItem]:
        if code not in self._items:
            row = self._database.row(ITEM, code)
            if row is None:
                raise NotFound("item", code)
            key, zh, en, modality, body_part, department, attributes = row
            values = MappingProxyType(json.loads(attributes))
            self._items[code] = key, ExamItem(code, Text(zh, en or zh), modality, body_part, department, values)
        return self._items[code]

    def _read_services(self, code: str) -> tuple[ServiceEntry, ...]:
        entries = []
        for group, minutes, extra, mode, low, high, sex, weight, classes, valid_from, valid_to in self._database.rows(
            SERVICES, self.item_id(code)
        ):
            place = self.groups[group]
            view = ServiceView(code, group, place.campus, place.zone, minutes, place.slice_minutes, BookingMode(mode))
            entries.append(
                ServiceEntry(
                    view, json.loads(extra), low, high, sex, weight,
                    tuple(json.loads(classes)), valid_from or "", valid_to or "",
                )
            )  # fmt: skip
        return tuple(entries)


class Catalogues:
    """Hands out the present catalogue, read anew when the version of the master data has changed."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        self._database = database
        self._zone = zone
        self._current: Catalogue | None = None

    def current(self) -> Catalogue:
        return self.at(versions(self._database)[0])

    def at(self, version: int) -> Catalogue:
        if self._current is None or self._current.version != version:
            self._current = Catalogue(self._database, self._zone, version)
        return self._current
