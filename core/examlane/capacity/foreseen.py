"""How slots would look once a suspension had closed some and visits had been moved: for a preview that writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime

from examlane.capacity import slots
from examlane.capacity.catalogue import Catalogue
from examlane.capacity.rosters import Difference
from examlane.capacity.slots import Audience, SlotRow
from examlane.storage.database import Database
from examlane.storage.fields import epoch
from examlane.visit import TICK_MINUTES, Need, Placement, Segment, VisitOption

GENERAL = "general"
SLOT = """SELECT id, resource_id, audience, start_at, end_at, capacity + extra - taken, day FROM slot WHERE id = ?"""
HELD = "SELECT slot_id, seats FROM claim WHERE appointment_id = ? AND released_at IS NULL"


class Slots:
    """Open slots as they would be; those that do not exist yet have negative ids."""

    def __init__(self, database: Database, catalogue: Catalogue, change: Difference) -> None:
        self._database = database
        self._catalogue = catalogue
        self._closed = frozenset(change.to_close)
        self._taken: dict[int, int] = defaultdict(int)
        self._added: dict[tuple[int, str], dict[int, SlotRow]] = defaultdict(dict)
        for place, (resource, audience, day, start, end, seats, _) in enumerate(change.missing, 1):
            self._add(SlotRow(-place, resource, audience, start, end, seats), day)
        for slot in change.to_reopen:
            self._add_stored(slot)

    def __call__(self, rows: list[SlotRow], resources: Sequence[int], day: date) -> list[SlotRow]:
        """The open slots of some resources on a day, as they would be."""
        more = {key: row for one in resources for key, row in self._added[one, day.isoformat()].items()}
        known = {**more, **{row.id: row for row in rows}}
        seen = [row._replace(free=row.free - self._taken[key]) for key, row in known.items() if key not in self._closed]
        return sorted((row for row in seen if row.free > 0), key=lambda row: (row.start_at, row.id))

    def move(
        self, appointment: int, option: VisitOption, placement: Placement, audiences: Sequence[Audience], day: date
    ) -> None:
        """Let a visit give back what it holds and take its new place."""
        for slot, seats in self._database.rows(HELD, appointment):
            self._taken[slot] -= seats
            self._add_stored(slot)
        for position, segment in enumerate(option.segments):
            lags = range(segment.after_min, segment.after_max + 1, TICK_MINUTES)
            starts: Sequence[datetime] = placement.segments[position : position + 1]
            begins = [epoch(one) for one in starts] or [epoch(placement.starts_at) + lag * 60 for lag in lags]
            self._take(segment, begins, audiences, day)

    def _take(self, segment: Segment, begins: Sequence[int], audiences: Sequence[Audience], day: date) -> None:
        for start in begins:
            runs = [self._run(need, segment.minutes, start, audiences, day) for need in segment.needs]
            if all(runs):
                for need, run in zip(segment.needs, runs, strict=True):
                    for row in run:
                        self._taken[row.id] += need.seats
                return

    def _run(self, need: Need, minutes: int, start: int, audiences: Sequence[Audience], day: date) -> list[SlotRow]:
        """The slots of one resource that cover a stretch, or none."""
        resources = self._catalogue.resources(need.group)
        rows = self(slots.open_on(self._database, resources, day, audiences, {}), resources, day)
        for resource in resources:
            at, run = start, []
            for row in rows:
                if row.resource == resource and row.start_at == at and row.free >= need.seats:
                    run.append(row)
                    at = row.end_at
                    if at >= start + minutes * 60:
                        return run
        return []

    def _add_stored(self, slot: int) -> None:
        *row, day = self._database.rows(SLOT, slot)[0]
        self._add(SlotRow._make(row), day)

    def _add(self, row: SlotRow, day: str) -> None:
        # Reserved seats would have to be told apart for every class of patients: a preview leaves them out.
        if row.audience == GENERAL:
            self._added[row.resource, day][row.id] = row
