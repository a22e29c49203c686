"""Which SIU message a change of an appointment is: what a receiver knows so far decides, not the state alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from examlane.appointments.states import State
from examlane.appointments.visits import event_kind

NEW, RESCHEDULED, MODIFIED, CANCELLED, NO_SHOW = "S12", "S13", "S14", "S15", "S26"
ENDED = frozenset({State.CANCELLED, State.EXPIRED, State.SUSPENDED, State.REPLACED, State.NOT_DONE})
"""The time is given up: a receiver forgets the appointment, and hears S12 if it comes back."""
FILLER_STATUS: Mapping[State, str] = {
    State.HELD: "Pending",
    State.BOOKED: "Booked",
    State.TENTATIVE: "Pending",
    State.CHECKED_IN: "Started",
    State.CALLED: "Started",
    State.CALLED_ABSENT: "Started",
    State.DEFERRED: "Started",
    State.IN_PROGRESS: "Started",
    State.FULFILLED: "Complete",
    State.NOT_DONE: "Cancelled",
    State.NO_SHOW: "Noshow",
    State.CANCELLED: "Cancelled",
    State.EXPIRED: "Cancelled",
    State.SUSPENDED: "Cancelled",
    State.REPLACED: "Cancelled",
}
"""Our states in HL7's table 0278, which has no word for a patient who is here and waits."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an appointment; `seats` is empty where it kept those of the version before."""

    version: int
    before: str
    state: str
    starts_at: datetime
    ends_at: datetime
    seats: tuple[tuple[int, int], ...]
    actor: str
    reason: str
    at: datetime


def trigger(history: Sequence[Version]) -> str | None:
    """The trigger event of the last version of a history; None where a receiver need not hear of it."""
    said: str | None = None
    known = False
    before: Version | None = None
    for version in history:
        said = _said(version, known, before is None or _elsewhere(before, version))
        known = version.state not in ENDED and (known or version.state != State.HELD)
        before = version if version.seats or before is None else replace(before, starts_at=version.starts_at)
    return said


def _elsewhere(before: Version, after: Version) -> bool:
    """Whether it begins at another time, or takes a seat that it had not: one that was shortened has only fewer."""
    return after.starts_at != before.starts_at or not set(after.seats) <= set(before.seats)


def _said(version: Version, known: bool, moved: bool) -> str | None:
    if version.state in ENDED:
        return CANCELLED if known else None
    if not known:
        return None if version.state == State.HELD else NEW
    if version.state == State.NO_SHOW:
        return NO_SHOW
    again = event_kind(version.before, version.state) == "appointment.rescheduled"
    return RESCHEDULED if again and moved else MODIFIED
