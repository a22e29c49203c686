"""Times to choose from, to book, to hold, or to move an appointment to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from examlane.appointments import states, status
from examlane.appointments.changes import by_id, fresh, may_change, tried
from examlane.appointments.choosing.choice import at_the_desk_only, availability_of, checked, choose, create, move
from examlane.appointments.status import AppointmentStatus
from examlane.domain import Text
from examlane.errors import Conflict, Refused
from examlane.hospital import Hospital
from examlane.reasons import text
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey

CHOSEN: Mapping[str, Any] = {"code": "chosen", "why": {"zh": "按选择的时间", "en": "at the chosen time"}}
BEFORE_START = Text("检查已开始，不能更改", "the exam has begun and can no longer be changed")


@dataclass(frozen=True, slots=True)
class Time:
    """A start a visit may be given: the period shown, the place, and the start behind it."""

    starts_at: datetime
    period_starts_at: datetime
    period_ends_at: datetime
    group: str
    place: Text
    campus: str


def times(
    hospital: Hospital, *, items: Sequence[str] = (), appointment: str = "", days: int = 7, limit: int = 20,
    since: datetime | None = None, desk: bool = False,
) -> list[Time]:  # fmt: skip
    """The earliest starts for order items, or for moving an appointment: one a period and place.

    The `desk` may book more than patients may.
    """
    choice = choose(hospital, items, appointment, desk=desk)
    calendar = choice.planner.calendar
    availability = availability_of(choice)
    found: dict[tuple[datetime, str], Time] = {}
    first = calendar.day_of(since or hospital.clock.now())
    for day in [day for day in choice.planner.days if day >= first][:days]:
        for option in choice.visit.options:
            bits = availability.starts(choice.visit, option, day)
            while bits:
                start = availability.instant(day, (bits & -bits).bit_length() - 1)
                bits &= bits - 1
                begins, ends = calendar.period(start)
                place = choice.planner.snapshot.catalogue.group_names[option.group]
                found.setdefault((begins, option.group), Time(start, begins, ends, option.group, place, option.campus))
    return sorted(found.values(), key=lambda time: time.starts_at)[:limit]


def book(
    hospital: Hospital, items: Sequence[str], group: str, starts_at: datetime, actor: Actor,
    key: RequestKey | None = None, *, hold: bool = False,
) -> AppointmentStatus:  # fmt: skip
    """Book order items at a chosen time, or hold it for some minutes. Raises `Refused` with the reason."""

    def attempt() -> int:
        choice = choose(hospital, items, "", desk=actor.desk)
        chosen = checked(choice, group, starts_at)
        return hospital.database.write(partial(create, hospital, choice, chosen, actor, key, hold, CHOSEN))

    return by_id(hospital, tried(attempt))


def reschedule(
    hospital: Hospital, number: str, group: str, starts_at: datetime, actor: Actor, key: RequestKey | None = None, *,
    version: int | None = None, reason: str = "", by_patient: bool = True, at_once: bool = False,
) -> AppointmentStatus:  # fmt: skip
    """Move an appointment: the same number, the next version, seats swapped in one transaction.

    What a patient gives up may return later, as his department wants it, unless the old time is free `at_once`.
    """

    def attempt() -> int:
        may_change(hospital, status.appointment(hospital, number))
        choice = choose(hospital, (), number)
        current = choice.appointment
        assert current is not None
        fresh(current, version)
        if current.state not in states.MOVABLE:
            states.check(current.state, "suspended")
            raise Conflict("state_conflict", BEFORE_START)
        if current.state == "no_show" and not actor.desk and at_the_desk_only(choice.planner.snapshot, choice.items):
            raise Refused("restricted", text("restricted"))
        chosen = checked(choice, group, starts_at)
        write = partial(move, hospital, choice, chosen, actor, key, reason or "rescheduled", by_patient, at_once=at_once)
        return hospital.database.write(write)

    return by_id(hospital, tried(attempt))
