"""The catalogue as lists show it: items with where and how they are done, groups and their resources."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from examlane.domain import Text
from examlane.errors import NotFound
from examlane.storage.database import Database, where

ITEMS = """SELECT i.id, i.code, i.name, i.name_en, i.modality, i.body_part, d.code, i.attributes, i.is_active
FROM exam_item i JOIN department d ON d.id = i.department_id"""
SERVICES = """SELECT s.item_id, s.id, g.code, c.code, s.minutes, s.mode, s.extra_minutes, s.min_age, s.max_age, s.sex,
s.max_weight_kg, s.encounter_classes, s.valid_from, s.valid_to
FROM service s JOIN resource_group g ON g.id = s.group_id JOIN campus c ON c.id = g.campus_id"""
GROUPS = """SELECT g.id, g.code, g.name, g.name_en, d.code, c.code, g.zone, g.role, g.slice_minutes
FROM resource_group g JOIN department d ON d.id = g.department_id JOIN campus c ON c.id = g.campus_id"""
RESOURCES = """SELECT r.id, r.code, r.name, r.name_en, g.code, d.code, c.code, g.role, r.is_active
FROM resource r JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id
JOIN campus c ON c.id = g.campus_id"""
LITERAL = str.maketrans({sign: f"!{sign}" for sign in "!%_"})
CONTAINS = "lower({}) LIKE ? ESCAPE '!'"
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """An item at a resource group: how long, how it is given out, and for whom."""

    id: int
    group: str
    campus: str
    minutes: int
    mode: str
    extra_minutes: Mapping[str, int]
    min_age: int | None
    max_age: int | None
    sex: str
    max_weight_kg: int | None
    encounter_classes: tuple[str, ...]
    valid_from: str | None
    valid_to: str | None


@dataclass(frozen=True, slots=True)
class ItemRow:
    """A catalogue item with the attributes that rules read, and its services."""

    code: str
    name: Text
    modality: str
    body_part: str
    department: str
    attributes: Mapping[str, Any]
    active: bool
    services: tuple[ServiceRow, ...]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Equal resources of one place."""

    code: str
    name: Text
    department: str
    campus: str
    zone: str
    role: str
    slice_minutes: int


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """A device, room, member of staff, bed or chair."""

    code: str
    name: Text
    group: str
    department: str
    campus: str
    role: str
    active: bool


def items(
    database: Database, *, department: str = "", modality: str = "", name: str = "", code: str = "",
    active: bool | None = None, after: str = "", limit: int = 50,
) -> list[ItemRow]:  # fmt: skip
    """Items by code; `name` is a part of the Chinese or English name, or of the code."""
    condition, values = where(
        ("i.code > ?", after), ("i.code = ?", code), ("d.code = ?", department), ("i.modality = ?", modality),
        ("i.is_active = ?", None if active is None else int(active)),
    )  # fmt: skip
    if name:
        part = f"%{name.lower().translate(LITERAL)}%"
        condition += f" AND ({' OR '.join(CONTAINS.format(column) for column in ('i.name', 'i.name_en', 'i.code'))})"
        values += [part] * 3
    rows = database.rows(f"{ITEMS} WHERE {condition} ORDER BY i.code LIMIT ?", *values, limit)
    services = _services(database, [row[0] for row in rows])
    return [
        ItemRow(
            code, Text(zh, en or zh), modality, part, department, json.loads(attributes), bool(active),
            tuple(services[key]),
        )
        for key, code, zh, en, modality, part, department, attributes, active in rows
    ]  # fmt: skip


def item(database: Database, code: str) -> ItemRow:
    """One item, active or not. Raises `NotFound`."""
    return _one("item", code, items(database, code=code))


def groups(
    database: Database, *, department: str = "", campus: str = "", code: str = "", after: str = "", limit: int = 50
) -> list[GroupRow]:
    """Resource groups by code."""
    condition, values = where(
        ("g.code > ?", after), ("g.code = ?", code), ("d.code = ?", department), ("c.code = ?", campus)
    )
    rows = database.rows(f"{GROUPS} WHERE {condition} ORDER BY g.code LIMIT ?", *values, limit)
    return [GroupRow(code, Text(zh, en or zh), *rest) for _, code, zh, en, *rest in rows]


def group(database: Database, code: str) -> GroupRow:
    """One group. Raises `NotFound`."""
    return _one("group", code, groups(database, code=code))


def resources(
    database: Database, *, department: str = "", group: str = "", code: str = "", active: bool | None = None,
    after: str = "", limit: int = 50,
) -> list[ResourceRow]:  # fmt: skip
    """Resources by code."""
    condition, values = where(
        ("r.code > ?", after), ("r.code = ?", code), ("d.code = ?", department), ("g.code = ?", group),
        ("r.is_active = ?", None if active is None else int(active)),
    )  # fmt: skip
    rows = database.rows(f"{RESOURCES} WHERE {condition} ORDER BY r.code LIMIT ?", *values, limit)
    return [
        ResourceRow(code, Text(zh, en or zh), group, department, campus, role, bool(on))
        for _, code, zh, en, group, department, campus, role, on in rows
    ]


def resource(database: Database, code: str) -> ResourceRow:
    """One resource, active or not. Raises `NotFound`."""
    return _one("resource", code, resources(database, code=code))


def _services(database: Database, items: Sequence[int]) -> dict[int, list[ServiceRow]]:
    found: dict[int, list[ServiceRow]] = defaultdict(list)
    if items:
        condition, values = where(("s.item_id IN", list(items)))
        for key, *row in database.rows(f"{SERVICES} WHERE {condition} ORDER BY s.id", *values):
            number, group, campus, minutes, mode, extra, least, most, sex, weight, classes, since, until = row
            found[key].append(
                ServiceRow(
                    number, group, campus, minutes, mode, json.loads(extra), least, most, sex, weight,
                    tuple(json.loads(classes)), since, until,
                )
            )  # fmt: skip
    return found


def _one(subject: str, code: str, found: Sequence[Found]) -> Found:
    if not code or not found:
        raise NotFound(subject, code)
    return found[0]
