"""Freed times that somebody waits for: whether one fits, and how it is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from examlane.appointments import states
from examlane.appointments.changes import by_id, tried
from examlane.appointments.choosing.by_hand import BEFORE_START
from examlane.appointments.choosing.choice import NOT_POSSIBLE, availability_of, checked, choose, create, move
from examlane.appointments.status import AppointmentStatus
from examlane.capacity.availability import ticks_of
from examlane.errors import Conflict, Refused
from examlane.hospital import Hospital
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey

WAITED: Mapping[str, Any] = {
    "code": "waiting_list",
    "why": {"zh": "候补到空出的时间", "en": "a time that came free, from the waiting list"},
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """What somebody waits for: an earlier time for an appointment (its number), or any time for order items."""

    items: tuple[str, ...]
    appointment: str = ""


def first_fit(
    hospital: Hospital, waiting: Waiting, group: str, seats: Mapping[int, int], since: datetime, until: datetime
) -> datetime:
    """The earliest start at a group that uses some of a freed stretch, its withheld `seats` counting as free.

    Raises `Refused` with the reason when there is none that keeps every rule.
    """
    choice = replace(choose(hospital, waiting.items, waiting.appointment), offered=seats)
    availability, day = availability_of(choice), choice.planner.calendar.day_of(since)
    for option in choice.visit.options if day in choice.planner.days else ():
        if option.group == group:
            after = since - timedelta(minutes=availability.minutes(option))
            for tick in ticks_of(availability.starts(choice.visit, option, day)):
                if after < (start := availability.instant(day, tick)) < until:
                    return start
    raise Refused("time_not_possible", NOT_POSSIBLE, "/starts_at")


def take_offered(
    hospital: Hospital, waiting: Waiting, group: str, starts_at: datetime, seats: Mapping[int, int],
    claim: Callable[[], None], actor: Actor, key: RequestKey | None = None, *, by_patient: bool,
) -> AppointmentStatus:  # fmt: skip
    """Book or move to a freed time whose withheld `seats` `claim` gives out, in one transaction.

    `claim` raises `Refused` when somebody else was first.
    """

    def attempt() -> int:
        choice = replace(choose(hospital, waiting.items, waiting.appointment), offered=seats, claim=claim)
        if choice.appointment is not None and choice.appointment.state not in states.MOVABLE:
            raise Conflict("state_conflict", BEFORE_START)
        chosen = checked(choice, group, starts_at)
        if choice.appointment is None:
            write = partial(create, hospital, choice, chosen, actor, key, False, WAITED)
        else:
            write = partial(move, hospital, choice, chosen, actor, key, WAITED["code"], by_patient, WAITED)
        return hospital.database.write(write)

    return by_id(hospital, tried(attempt))
