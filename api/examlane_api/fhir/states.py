"""How our states stand in FHIR: one table for each resource, both ways. The same tables are in docs/fhir.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from examlane.appointments.states import State

APPOINTMENT: Mapping[State, str] = {
    State.HELD: "pending",
    State.BOOKED: "booked",
    State.TENTATIVE: "pending",
    State.CHECKED_IN: "arrived",
    State.CALLED: "checked-in",
    State.CALLED_ABSENT: "checked-in",
    State.DEFERRED: "arrived",
    State.IN_PROGRESS: "fulfilled",
    State.FULFILLED: "fulfilled",
    State.NOT_DONE: "cancelled",
    State.NO_SHOW: "noshow",
    State.CANCELLED: "cancelled",
    State.EXPIRED: "cancelled",
    State.SUSPENDED: "waitlist",
    State.REPLACED: "cancelled",
}
APPOINTMENT_STATUSES = frozenset({
    "proposed", "pending", "booked", "arrived", "fulfilled", "cancelled", "noshow", "entered-in-error", "checked-in",
    "waitlist",
})  # fmt: skip
PARTICIPANT: Mapping[str, str] = {"pending": "tentative", "waitlist": "needs-action", "cancelled": "declined"}
"""How far the patient has agreed; to all other appointments he has."""

SLOT: Mapping[str, str] = {
    "busy-unavailable": "s.closed = 1",
    "free": "s.closed = 0 AND s.is_open = 1",
    "busy": "s.closed = 0 AND s.is_open = 0 AND s.taken >= s.capacity + s.extra",
    "busy-tentative": "s.closed = 0 AND s.is_open = 0 AND s.taken < s.capacity + s.extra",
    "entered-in-error": "1 = 0",
}
"""Of each status the slots that have it. Full only because a seat is being offered to somebody: busy-tentative."""

REVOKED: Sequence[str] = ("cancelled", "withdrawn", "replaced")
ON_HOLD: Sequence[str] = ("rejected", "unverified", "needs_confirmation", "needs_approval")
COMPLETED: Sequence[str] = ("fulfilled",)
CLOSED_GATE = "EXISTS (SELECT 1 FROM gate t WHERE t.order_item_id = oi.id AND t.state <> 'open')"
REQUEST_STATUSES = frozenset({"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"})


def states_of(status: str) -> list[str]:
    """Our states of appointments that have a FHIR status."""
    return [state.value for state, said in APPOINTMENT.items() if said == status]


def request_status(state: str, gate_closed: bool) -> str:
    """A ServiceRequest's status: of an ordered exam's state, and whether one of its gates is closed."""
    if state in REVOKED:
        return "revoked"
    if state in COMPLETED:
        return "completed"
    return "on-hold" if state in ON_HOLD or gate_closed else "active"


def request_condition(status: str) -> str:
    """The ordered exams that have a status, in SQL."""
    over, held = _among(*REVOKED, *COMPLETED), _among(*ON_HOLD)
    return {
        "revoked": f"oi.state IN {_among(*REVOKED)}",
        "completed": f"oi.state IN {_among(*COMPLETED)}",
        "on-hold": f"oi.state NOT IN {over} AND (oi.state IN {held} OR {CLOSED_GATE})",
        "active": f"oi.state NOT IN {over} AND oi.state NOT IN {held} AND NOT {CLOSED_GATE}",
    }.get(status, "1 = 0")


def _among(*states: str) -> str:
    return "(" + ", ".join(f"'{state}'" for state in states) + ")"
