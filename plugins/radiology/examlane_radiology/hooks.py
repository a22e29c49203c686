"""The hooks that radiology implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from examlane import Fact, Finding, IntervalRule, OrderItemView, OrderView, PatientView, Preparation, hookimpl
from examlane_radiology import intervals, rules
from examlane_radiology import preparation as steps


@hookimpl
def validate_order(
    order: OrderView, patient: PatientView, now: datetime, settings: Mapping[str, Any]
) -> Sequence[Finding]:
    return rules.validate(order, patient, now, settings)


@hookimpl
def interval_rules(
    patient: PatientView, context: Mapping[str, Fact], now: datetime, settings: Mapping[str, Any]
) -> Sequence[IntervalRule]:
    return intervals.interval_rules(patient, context, now.date(), settings)


@hookimpl
def preparation(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> Sequence[Preparation]:
    return steps.preparations(items, settings)
