"""What a hospital information system knows of the exams it orders: department and how each is given out."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from examlane.capacity import masterdata

AT_THE_DOOR = {"walk_in": "walk_in", "bedside": "bedside", "manual": "desk:department_manual"}


class Catalogue:
    """Read from the demonstration's own master data."""

    def __init__(self, folder: Path) -> None:
        tables = masterdata.read_folder(folder)
        self._departments = {row["code"]: row["department"] for row in tables["items"]}
        self._modes: dict[str, set[str]] = defaultdict(set)
        for row in tables["services"]:
            self._modes[row["item"]].add(row["mode"])

    def department(self, item: str) -> str:
        return self._departments[item]

    def outcome(self, item: str) -> str:
        """How a released item of this kind ends when nothing stands in its way."""
        modes = self._modes[item]
        if "automatic" in modes:
            return "booked"
        return AT_THE_DOOR[next(iter(sorted(modes)))]
