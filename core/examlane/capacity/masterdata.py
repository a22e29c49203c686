"""Master data from CSV files into the tables: campuses, departments, items, groups, resources, services, rosters."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from examlane.domain import Text
from examlane.errors import InvalidInput
from examlane.records.versions import bump
from examlane.storage.database import Database
from examlane.storage.models import (
    CalendarDay,
    Campus,
    Department,
    ExamItem,
    Resource,
    ResourceGroup,
    Roster,
    Service,
    Table,
    WalkingTime,
)

Cells = Mapping[str, Any]
Rows = Mapping[str, Sequence[Cells]]


def read_folder(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of every CSV file of a folder, by file name without its ending."""
    tables = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            tables[path.stem] = list(csv.DictReader(file))
    return tables


def load(database: Database, tables: Rows) -> None:
    """Write master data into an empty hospital, all or nothing. Raises `InvalidInput` naming file, row and column."""
    database.write(lambda: _Loader(database, tables).load())


class _Loader:
    def __init__(self, database: Database, tables: Rows) -> None:
        self._database = database
        self._tables = tables
        self._ids: dict[str, dict[str, int]] = {}

    def load(self) -> None:
        self._each("campuses", Campus, lambda row: _named(row))
        self._each("departments", Department, self._department)
        self._each("items", ExamItem, self._item)
        self._each("groups", ResourceGroup, self._group)
        self._each("resources", Resource, lambda row: _named(row) | {"group": self._id("groups", row, "group")})
        self._each("services", Service, self._service)
        self._rosters()
        self._each("walking", WalkingTime, lambda row: {**_pick(row, "zone_a", "zone_b"), "minutes": int(row["minutes"])})
        self._each("calendar", CalendarDay, _calendar_day)
        bump(self._database, "catalogue")
        bump(self._database, "rollout")

    def _each(self, name: str, table: type[Table], values: Callable[[Cells], dict[str, Any]]) -> None:
        known = self._ids.setdefault(name, {})
        for number, row in enumerate(self._tables.get(name, ()), 2):
            try:
                key = self._database.insert(table, **values(row))
            except (KeyError, ValueError) as error:
                problem = Text(f"第 {number} 行：{error}", f"row {number}: {error}")
                raise InvalidInput([(f"/{name}/{number}", problem)]) from error
            if "code" in row:
                known[row["code"]] = key

    def _id(self, name: str, row: Cells, column: str) -> int:
        code = row[column]
        if code not in self._ids[name]:
            raise ValueError(f"{column}: {code} is not in {name}")
        return self._ids[name][code]

    def _department(self, row: Cells) -> dict[str, Any]:
        return _named(row) | {
            "campus": self._id("campuses", row, "campus"),
            "executing": _flag(row.get("executing")),
            "ordering": _flag(row.get("ordering")),
            "mode": row.get("mode") or "manual",
        }

    def _item(self, row: Cells) -> dict[str, Any]:
        return _named(row) | {
            "modality": row["modality"],
            "body_part": row.get("body_part") or "",
            "department": self._id("departments", row, "department"),
            "attributes": row.get("attributes") or "{}",
        }

    def _group(self, row: Cells) -> dict[str, Any]:
        return _named(row) | {
            "department": self._id("departments", row, "department"),
            "campus": self._id("campuses", row, "campus"),
            "zone": row["zone"],
            "role": row.get("role") or "room",
            "slice_minutes": int(row["slice_minutes"]),
        }

    def _service(self, row: Cells) -> dict[str, Any]:
        return {
            "item": self._id("items", row, "item"),
            "group": self._id("groups", row, "group"),
            "minutes": int(row["minutes"]),
            "mode": row.get("mode") or "automatic",
            "extra_minutes": row.get("extra_minutes") or "{}",
            "min_age": _number(row.get("min_age")),
            "max_age": _number(row.get("max_age")),
            "sex": row.get("sex") or "",
            "max_weight_kg": _number(row.get("max_weight_kg")),
            "encounter_classes": row.get("encounter_classes") or "[]",
        }

    def _rosters(self) -> None:
        rows = [
            (resource, weekday, _minute(row["starts"]), _minute(row["ends"]), int(row.get("capacity") or 1),
             row.get("audience") or "general", int(row.get("cycle_weeks") or 1), int(row.get("week") or 0))
            for row in self._tables.get("rosters", ())
            for resource in self._resources(row["resource"])
            for weekday in _weekdays(row["weekdays"])
        ]  # fmt: skip
        names = ("resource", "weekday", "starts_minute", "ends_minute", "capacity", "audience", "cycle_weeks", "week")
        if rows:
            self._database.insert_many(Roster, names, rows)

    def _resources(self, code: str) -> Iterable[int]:
        """One resource, or every resource of `group:CODE`."""
        if not code.startswith("group:"):
            return [self._ids["resources"][code]]
        group = code.removeprefix("group:")
        return [self._ids["resources"][row["code"]] for row in self._tables["resources"] if row["group"] == group]


def _calendar_day(row: Cells) -> dict[str, Any]:
    applies = row.get("weekday_applies")
    return {**_pick(row, "day", "kind", "name"), "weekday_applies": int(applies) if applies else None}


def _named(row: Cells) -> dict[str, Any]:
    return {"code": row["code"], "name": row["name"], "name_en": row.get("name_en") or ""}


def _pick(row: Cells, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _flag(value: Any) -> int:
    return int(str(value).strip().lower() in ("1", "true", "yes"))


def _number(value: Any) -> int | None:
    return int(value) if value not in (None, "") else None


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _weekdays(text: str) -> Iterable[int]:
    """`1-5` or `6` or `1,3,5`."""
    for part in str(text).split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
