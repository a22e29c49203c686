"""The hooks that ECG implements. Visits are the core's own: one an item, at any group that offers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from examlane import Finding, NoShow, NoShowDecision, OrderItemView, OrderView, Preparation, hookimpl
from examlane_ecg import rules


@hookimpl
def validate_order(order: OrderView, settings: Mapping[str, Any]) -> Sequence[Finding]:
    return rules.findings(order, settings)


@hookimpl
def preparation(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> Sequence[Preparation]:
    return rules.preparations(items, settings)


@hookimpl
def on_no_show(no_show: NoShow, settings: Mapping[str, Any]) -> NoShowDecision:
    return rules.no_show_decision(no_show, settings)
