"""The hooks of obstetrics: `allocate` as the ordering department, the others for exams tied to a stage of pregnancy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from examlane import (
    Availability,
    BookingRequest,
    Finding,
    GateAnswer,
    GroupView,
    OrderItemView,
    OrderView,
    Preparation,
    Proposal,
    Visit,
    hookimpl,
)
from examlane_obstetrics import cluster, gestation, visits
from examlane_obstetrics.parameters import number


@hookimpl
def validate_order(order: OrderView, now: datetime, settings: Mapping[str, Any]) -> Sequence[Finding]:
    return gestation.findings(order, now, settings)


@hookimpl
def pre_booking_gate(order: OrderView, now: datetime, settings: Mapping[str, Any]) -> Sequence[GateAnswer]:
    return gestation.gates(order, now, settings)


@hookimpl
def requirements(
    orders: Sequence[OrderView], groups: Sequence[GroupView], now: datetime, settings: Mapping[str, Any]
) -> Sequence[Visit] | None:
    """None in a department that has switched this plugin on only to keep gestational windows."""
    if settings.get("windows_only"):
        return None
    return visits.visits(orders, groups, now, settings)


@hookimpl
def preparation(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> Sequence[Preparation]:
    return visits.preparations(items, settings)


@hookimpl
def allocate(request: BookingRequest, availability: Availability) -> Sequence[Proposal] | None:
    ends = time.monotonic() + number("search_milliseconds", request.settings) / 1000
    return cluster.proposals(request, availability, lambda: time.monotonic() > ends)
