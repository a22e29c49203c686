"""What a gate still means once a visit is booked: who may not be checked in, called or examined, and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from examlane.domain import GateAnswer, GateClosed, GateOpen
from examlane.errors import Conflict, Objection, joined
from examlane.hospital import Hospital
from examlane.orders import snapshot
from examlane.orders.snapshot import Snapshot
from examlane.planning.planner import Planner
from examlane.reasons import text

STARTING = frozenset({"called", "in_progress"})
GUARDED = STARTING | {"booked", "checked_in"}
"""States that no visit reaches while one of its gates is closed; the starting ones want what belongs to the day, too."""


def must_be_open(hospital: Hospital, patient: int, items: Collection[str], after: str) -> int:
    """Ask the gates of a visit's items anew; returns the patient's version that was looked at.

    Raises `Conflict` with the reason when a gate stops the patient, or his death.
    """
    now = hospital.clock.now()
    state = snapshot.read(hospital.database, hospital.catalogues, patient, now)
    if state.died:
        raise Conflict("deceased", text("deceased"))
    found = _ask(hospital, state, items, now)
    if closed := objections(found):
        raise Conflict.by(closed)
    pending = [gate.before_start for gate in found if isinstance(gate, GateOpen) and gate.before_start]
    if pending and after in STARTING:
        raise Conflict("not_ready", joined(pending))
    return state.version


def objections(found: Sequence[GateAnswer], pointer: str = "") -> list[Objection]:
    """What the closed gates have against it, about a field."""
    return [Objection("awaiting_gate", gate.reason, pointer, gate.code) for gate in found if isinstance(gate, GateClosed)]


def _ask(hospital: Hospital, state: Snapshot, items: Collection[str], now: datetime) -> list[GateAnswer]:
    judge = Planner(hospital, state, now).judge
    return [
        gate.answer
        for item in state.items
        if item.key in items
        for gate in judge.gates(item.department, replace(item.order, items=(item.view,)), state.patient, state.evidence)
    ]
