"""Visits that must be held elsewhere: every start that keeps their rules, and how one is given to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from examlane.appointments.choosing.choice import Choice, availability_of, choose, move
from examlane.appointments.status import AppointmentStatus
from examlane.capacity.availability import Foreseen, SlotCalendar, ticks_of
from examlane.domain import EncounterClass
from examlane.hospital import Hospital
from examlane.planning.constraints import lead
from examlane.records.audit import Actor
from examlane.visit import Placement, VisitOption


@dataclass(frozen=True)
class Moving:
    """A visit that must be held elsewhere: every start that keeps the rules, and how it is given one.

    What the patient was told to do before his old time holds for later ones too; `prepared_from` is the first start
    for which he could begin anew.
    """

    hospital: Hospital
    appointment: AppointmentStatus
    prepared_from: datetime
    _choice: Choice
    _availability: SlotCalendar

    @property
    def options(self) -> Sequence[VisitOption]:
        return self._choice.visit.options

    @property
    def days(self) -> Sequence[date]:
        """The business dates from that of the old time on, or from today."""
        return [day for day in self._choice.planner.days if day >= self.day_of(self.appointment.starts_at)]

    @property
    def encounter_class(self) -> EncounterClass:
        return self._choice.items[0].order.encounter.encounter_class

    def day_of(self, instant: datetime) -> date:
        return self._choice.planner.calendar.day_of(instant)

    def starts(self, option: VisitOption, day: date) -> list[datetime]:
        """The starts at an option on a day, earliest first."""
        bits = self._availability.starts(self._choice.visit, option, day)
        return [self._availability.instant(day, tick) for tick in ticks_of(bits)]

    def placed(self, option: VisitOption, starts_at: datetime) -> Placement:
        """The placement at one of these starts."""
        visit = self._choice.visit
        return self._availability.settled(visit, option, Placement(visit.key, option.group, starts_at))

    def write(self, chosen: Placement, actor: Actor, reason: str, explanation: Mapping[str, Any]) -> int:
        """Move it there, in the caller's write transaction; returns its version. Raises `StalePlan`."""
        move(self.hospital, self._choice, chosen, actor, None, reason, False, explanation)
        return self.appointment.version + 1


def moving(hospital: Hospital, number: str, foreseen: Foreseen | None = None) -> Moving:
    """Where an appointment may be moved to. Raises `Refused` with the reason when it may not be held at all now."""
    choice = choose(hospital, (), number, prepared=True)
    assert choice.appointment is not None
    choice.planner.allocator.foreseen = foreseen
    fasting = any(item.order.known("fasting") is True for item in choice.items)
    settings, preparation = hospital.settings, choice.planner.preparation(choice.items)
    prepared_from = hospital.clock.now() + max(settings.notice, lead(preparation, fasting))
    return Moving(hospital, choice.appointment, prepared_from, choice, availability_of(choice))
