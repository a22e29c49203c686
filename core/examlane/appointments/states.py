"""The states of an appointment and the only moves between them."""

from __future__ import annotations

from enum import StrEnum

from examlane.domain import Text
from examlane.errors import Conflict
from examlane.reasons import text


class State(StrEnum):
    HELD = "held"
    BOOKED = "booked"
    TENTATIVE = "tentative"
    CHECKED_IN = "checked_in"
    CALLED = "called"
    CALLED_ABSENT = "called_absent"
    DEFERRED = "deferred"
    IN_PROGRESS = "in_progress"
    FULFILLED = "fulfilled"
    NOT_DONE = "not_done"
    NO_SHOW = "no_show"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    REPLACED = "replaced"


START = ""
MOVES: dict[str, frozenset[str]] = {
    START: frozenset({"held", "booked", "checked_in", "in_progress"}),
    "held": frozenset({"held", "booked", "cancelled", "expired"}),
    "booked": frozenset(
        {"booked", "held", "tentative", "checked_in", "in_progress", "fulfilled", "no_show", "cancelled", "suspended",
         "replaced", "not_done"}
    ),
    "tentative": frozenset(
        {"booked", "held", "tentative", "checked_in", "cancelled", "expired", "suspended", "replaced"}
    ),
    "checked_in": frozenset(
        {"booked", "held", "called", "called_absent", "deferred", "in_progress", "fulfilled", "not_done",
         "cancelled", "no_show", "suspended"}
    ),
    "called": frozenset(
        {"checked_in", "held", "called_absent", "deferred", "in_progress", "fulfilled", "not_done", "cancelled"}
    ),
    "called_absent": frozenset(
        {"checked_in", "held", "called", "no_show", "cancelled", "in_progress", "fulfilled"}
    ),
    "deferred": frozenset(
        {"checked_in", "held", "called", "not_done", "cancelled", "no_show", "in_progress", "booked"}
    ),
    "in_progress": frozenset({"fulfilled", "not_done", "checked_in"}),
    "no_show": frozenset({"booked", "checked_in", "in_progress", "fulfilled", "cancelled"}),
    "suspended": frozenset({"booked", "cancelled"}),
    "fulfilled": frozenset(),
    "not_done": frozenset(),
    "cancelled": frozenset({"booked"}),
    "expired": frozenset(),
    "replaced": frozenset(),
}  # fmt: skip
"""From each state, where an appointment may go. `booked` to `booked` is a reschedule; what is booked is `held` again
when its order is withdrawn and may be replaced. What was cancelled by mistake, of a discharge that was none, comes back
to its own place."""
STAYS = frozenset({"held", "booked", "tentative", "checked_in", "called", "called_absent", "deferred"})
"""Exams may leave a visit in these states: its next version is in the same state."""

ACTIVE = frozenset({"held", "booked", "tentative", "checked_in", "called", "called_absent", "deferred", "in_progress"})
RELEASING = frozenset({"cancelled", "expired", "replaced", "suspended", "not_done"})
"""Only these, or an explicit release after a no-show, give the seats back. `fulfilled` keeps them."""
MOVABLE = frozenset({"booked", "tentative", "suspended", "no_show"})


def check(before: str, after: str) -> None:
    """Raise `Conflict` unless an appointment may go from one state to the other."""
    if after not in MOVES[before]:
        now, wanted = text(before), text(after)
        raise Conflict(
            "state_conflict",
            Text(f"当前状态“{now.zh}”不能变为“{wanted.zh}”", f"an appointment that is {before} cannot become {after}"),
        )
