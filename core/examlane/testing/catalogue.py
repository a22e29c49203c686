"""A department's items, groups and services as hooks see them, straight from tables of master data."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from examlane.domain import BookingMode, ExamItem, GroupView, ServiceView, Text

Keep = Callable[[dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class SampleCatalogue:
    """What random orders are made of; items by department."""

    items: Mapping[str, tuple[ExamItem, ...]]
    groups: Mapping[str, GroupView]
    services: Mapping[str, tuple[ServiceView, ...]]

    def groups_of(self, department: str) -> tuple[GroupView, ...]:
        return tuple(group for group in self.groups.values() if group.department == department)


def read_catalogue(tables: Mapping[str, Sequence[Mapping[str, Any]]], keep: Keep = MappingProxyType) -> SampleCatalogue:
    """The catalogue of tables as `examlane init --data` reads them; `keep` makes the mappings that hooks see."""
    items: dict[str, list[ExamItem]] = defaultdict(list)
    for row in tables["items"]:
        items[row["department"]].append(_item(row, keep))
    groups = {row["code"]: _group(row) for row in tables["groups"]}
    services: dict[str, list[ServiceView]] = defaultdict(list)
    for row in tables["services"]:
        services[row["item"]].append(_service(row, groups[row["group"]]))
    return SampleCatalogue(_fixed(items), groups, _fixed(services))


def _fixed(found: Mapping[str, list[Any]]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(values) for name, values in found.items()}


def _item(row: Mapping[str, Any], keep: Keep) -> ExamItem:
    name = Text(row["name"], row.get("name_en") or row["name"])
    attributes = keep(json.loads(row.get("attributes") or "{}"))
    return ExamItem(row["code"], name, row["modality"], row.get("body_part") or "", row["department"], attributes)


def _group(row: Mapping[str, Any]) -> GroupView:
    return GroupView(
        row["code"], row["name"], row.get("role") or "room", row["department"], row["campus"], row["zone"],
        int(row["slice_minutes"]),
    )  # fmt: skip


def _service(row: Mapping[str, Any], group: GroupView) -> ServiceView:
    mode = BookingMode(row.get("mode") or "automatic")
    return ServiceView(row["item"], group.code, group.campus, group.zone, int(row["minutes"]), group.slice_minutes, mode)
