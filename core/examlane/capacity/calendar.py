"""The hospital's calendar: business dates, holidays and make-up workdays, instants and periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from examlane.domain import Text
from examlane.storage.database import Database
from examlane.visit import TICK_MINUTES

DECLARED = """SELECT c.day, c.department, c.weekday_applies FROM calendar_change c
JOIN suspension s ON s.id = c.suspension_id WHERE s.ended_at IS NULL ORDER BY c.id"""
HALF_DAYS = ((12, Text("上午", "morning")), (18, Text("下午", "afternoon")), (24, Text("夜间", "night")))


@dataclass(frozen=True)
class Calendar:
    """Business dates of one time zone. `exceptions` maps a date to the weekday that applies, or None when closed.

    `of_departments` holds what is otherwise in single departments, by date and department.
    """

    zone: ZoneInfo
    exceptions: dict[date, int | None] = field(default_factory=dict)
    of_departments: dict[tuple[date, str], int | None] = field(default_factory=dict)

    def weekday(self, day: date, department: str = "") -> int | None:
        """The weekday whose roster applies (1 = Monday), or None on a holiday."""
        everywhere = self.exceptions.get(day, day.isoweekday())
        return self.of_departments.get((day, department), everywhere)

    def with_day(self, day: date, weekday: int | None, departments: Sequence[str] = ()) -> Calendar:
        """The same after a date became a holiday (None) or a workday, everywhere or in some departments."""
        if departments:
            return replace(self, of_departments={**self.of_departments, **{(day, one): weekday for one in departments}})
        others = {key: value for key, value in self.of_departments.items() if key[0] != day}
        return replace(self, exceptions={**self.exceptions, day: weekday}, of_departments=others)

    def midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)

    def instant(self, day: date, minute: int) -> datetime:
        """The instant `minute` minutes after midnight of a business date, beyond 1440 on the next morning."""
        return self.midnight(day) + timedelta(minutes=minute)

    def day_of(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()

    def local(self, instant: datetime) -> datetime:
        return instant.astimezone(self.zone)

    def tick(self, day: date, instant: datetime) -> int:
        """The first bit of a day's map at or after an instant."""
        minutes = (instant - self.midnight(day)).total_seconds() / 60
        return max(0, -int(-minutes // TICK_MINUTES))

    def period(self, instant: datetime, minutes: int = 30) -> tuple[datetime, datetime]:
        """The period shown to a patient: the stretch of `minutes` (30 by default, never over 60) around a start.

        Source: 医院智慧服务分级评估标准 2019, level 3 (one hour) and level 5 (half an hour).
        """
        local = self.local(instant)
        begins = local.replace(minute=local.minute - local.minute % minutes, second=0)
        return begins.astimezone(UTC), (begins + timedelta(minutes=minutes)).astimezone(UTC)

    def half_day(self, instant: datetime) -> Text:
        """上午, 下午 or 夜间."""
        hour = self.local(instant).hour
        return next(name for until, name in HALF_DAYS if hour < until)


def load(database: Database, zone: ZoneInfo) -> Calendar:
    """The calendar as it is laid down, and what was declared since: the newest declaration of a date counts."""
    rows = database.rows("SELECT day, kind, weekday_applies FROM calendar_day")
    found = Calendar(
        zone,
        {date.fromisoformat(day): (None if kind == "holiday" else applies) for day, kind, applies in rows},
    )
    for day, department, applies in database.rows(DECLARED):
        found = found.with_day(date.fromisoformat(day), applies, (department,) if department else ())
    return found


def days_from(first: date, count: int) -> Sequence[date]:
    return [first + timedelta(days=offset) for offset in range(count)]
