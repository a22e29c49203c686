"""The hospital's calendar: business dates, holidays and make-up workdays, instants and periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from examlane.domain import Text
from examlane.storage.database import Database
from examlane.visit import TICK_MINUTES

HALF_DAYS = ((12, Text("上午", "morning")), (18, Text("下午", "afternoon")), (24, Text("夜间", "night")))


@dataclass(frozen=True)
class Calendar:
    """Business dates of one time zone. `exceptions` maps a date to the weekday that applies, or None when closed."""

    zone: ZoneInfo
    exceptions: dict[date, int | None] = field(default_factory=dict)

    def weekday(self, day: date) -> int | None:
        """The weekday whose roster applies (1 = Monday), or None on a holiday."""
        return self.exceptions.get(day, day.isoweekday())

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
    rows = database.rows("SELECT day, kind, weekday_applies FROM calendar_day")
    return Calendar(
        zone,
        {date.fromisoformat(day): (None if kind == "holiday" else applies) for day, kind, applies in rows},
    )


def days_from(first: date, count: int) -> Sequence[date]:
    return [first + timedelta(days=offset) for offset in range(count)]
