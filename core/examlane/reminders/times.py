"""When a patient is told: the evening before and before his last meal, and not in the quiet hours what can wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from examlane.capacity.calendar import Calendar
from examlane.capacity.policy import DepartmentPolicy
from examlane.reminders.words import fasting_from

DAY = timedelta(days=1)
BEFORE_THE_LAST_MEAL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Evening:
    """When the evening message is due, and the instant after which it comes too late."""

    due_at: datetime
    begins_at: datetime


def begins(period_starts_at: datetime, steps: Sequence[dict[str, Any]]) -> datetime:
    """When the preparation begins that a message of the evening before can still start: fasting, drinking, drops."""
    leads = [timedelta(minutes=step["lead_minutes"]) for step in steps]
    found = [period_starts_at - lead for lead in leads if lead <= DAY]
    return min([*found, *filter(None, [fasting_from(period_starts_at, steps)])], default=period_starts_at)


def evening(
    calendar: Calendar, policy: DepartmentPolicy, period_starts_at: datetime, steps: Sequence[dict[str, Any]],
    told_at: datetime,
) -> Evening | None:  # fmt: skip
    """The message of the evening before: so early that the patient can still eat before a fast, and not at night.

    None when he was told of the appointment later than that: the message of the booking says it all.
    """
    starts = begins(period_starts_at, steps)
    before = calendar.day_of(period_starts_at) - DAY
    due = min(calendar.instant(before, policy.evening_reminder_hour * 60), starts - BEFORE_THE_LAST_MEAL)
    due = _not_at_night(calendar, policy, due)
    return Evening(due, starts) if due > told_at else None


def when_it_can_wait(calendar: Calendar, policy: DepartmentPolicy, now: datetime, needed_at: datetime) -> datetime:
    """Now, or the end of the quiet hours for what is `needed_at` well after it."""
    if not _quiet(calendar, policy, now):
        return now
    day = calendar.day_of(now)
    morning = calendar.instant(day, policy.quiet_until_hour * 60)
    if morning <= now:
        morning = calendar.instant(day + DAY, policy.quiet_until_hour * 60)
    return morning if morning + BEFORE_THE_LAST_MEAL < needed_at else now


def _not_at_night(calendar: Calendar, policy: DepartmentPolicy, at: datetime) -> datetime:
    """The same instant, or the last hour before the quiet ones."""
    if not _quiet(calendar, policy, at):
        return at
    day = calendar.day_of(at)
    last = calendar.instant(day, (policy.quiet_from_hour - 1) * 60)
    return last if last < at else calendar.instant(day - DAY, (policy.quiet_from_hour - 1) * 60)


def _quiet(calendar: Calendar, policy: DepartmentPolicy, at: datetime) -> bool:
    hour = calendar.local(at).hour
    return hour >= policy.quiet_from_hour or hour < policy.quiet_until_hour
