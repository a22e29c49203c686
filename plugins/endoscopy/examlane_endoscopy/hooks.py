"""The hooks that endoscopy implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from examlane import (
    EvidenceView,
    Finding,
    GateAnswer,
    GroupView,
    OrderItemView,
    OrderView,
    Preparation,
    Visit,
    hookimpl,
)
from examlane_endoscopy import assessment, rules, visits


@hookimpl
def validate_order(
    order: OrderView, evidence: Sequence[EvidenceView], now: datetime, settings: Mapping[str, Any]
) -> Sequence[Finding]:
    return rules.validate(order, evidence, now, settings)


@hookimpl
def pre_booking_gate(
    order: OrderView, evidence: Sequence[EvidenceView], now: datetime, settings: Mapping[str, Any]
) -> Sequence[GateAnswer]:
    return assessment.gates(order, evidence, now, settings)


@hookimpl
def requirements(
    orders: Sequence[OrderView],
    groups: Sequence[GroupView],
    evidence: Sequence[EvidenceView],
    now: datetime,
    settings: Mapping[str, Any],
) -> Sequence[Visit]:
    return visits.visits(orders, groups, evidence, now, settings)


@hookimpl
def preparation(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> Sequence[Preparation]:
    return rules.preparations(items, settings)
