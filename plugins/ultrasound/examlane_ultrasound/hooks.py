"""The hooks that ultrasound implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from examlane import (
    GroupView,
    IntervalRule,
    NoShowAction,
    NoShowDecision,
    OrderItemView,
    OrderView,
    Preparation,
    Text,
    Visit,
    hookimpl,
)
from examlane_ultrasound import rules

TO_THE_DESK = Text("未按时检查，请到超声登记台处理", "the exam was missed; please see the ultrasound desk")


@hookimpl
def requirements(
    orders: Sequence[OrderView], groups: Sequence[GroupView], settings: Mapping[str, Any]
) -> Sequence[Visit]:
    return rules.visits(orders, groups, settings)


@hookimpl
def interval_rules() -> Sequence[IntervalRule]:
    return rules.interval_rules()


@hookimpl
def preparation(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> Sequence[Preparation]:
    return rules.preparations(items, settings)


@hookimpl
def on_no_show() -> NoShowDecision:
    return NoShowDecision(NoShowAction.MANUAL, TO_THE_DESK, "ultrasound.desk_decides")
