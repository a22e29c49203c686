"""What a gate still means once a visit is booked: who may not be checked in, called or examined, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from examlane.domain import GateAnswer, GateClosed, GateOpen, Text
from examlane.errors import Conflict
from examlane.hospital import Hospital
from examlane.orders import snapshot
from examlane.orders.snapshot import Snapshot
from examlane.planning.planner import Planner

STARTING = frozenset({"called", "in_progress"})
GUARDED = STARTING | {"booked", "checked_in"}
"""States that no visit reaches while one of its gates is closed; the starting ones want what belongs to the day, too."""


def must_be_open(hospital: Hospital, patient: int, items: Collection[str], after: str) -> int:
    """Ask the gates of a visit's items anew; returns the patient's version that was looked at.

    Raises `Conflict` with the reason when a gate stops the patient.
    """
    now = hospital.clock.now()
    state = snapshot.read(hospital.database, hospital.catalogues, patient, now)
    found = _ask(hospital, state, items, now)
    if (closed := closed_for(found)) is not None:
        raise Conflict("awaiting_gate", closed)
    pending = [gate.before_start for gate in found if isinstance(gate, GateOpen) and gate.before_start]
    if pending and after in STARTING:
        raise Conflict("not_ready", _joined(pending))
    return state.version


def closed_for(found: Iterable[GateAnswer]) -> Text | None:
    """The reasons of the closed gates, or None when all are open."""
    reasons = [gate.reason for gate in found if isinstance(gate, GateClosed)]
    return _joined(reasons) if reasons else None


def _ask(hospital: Hospital, state: Snapshot, items: Collection[str], now: datetime) -> list[GateAnswer]:
    judge = Planner(hospital, state, now).judge
    return [
        gate.answer
        for item in state.items
        if item.key in items
        for gate in judge.gates(item.department, replace(item.order, items=(item.view,)), state.patient, state.evidence)
    ]


def _joined(words: Iterable[Text]) -> Text:
    told = list(dict.fromkeys(words))
    return Text("；".join(text.zh for text in told), "; ".join(text.en for text in told))
