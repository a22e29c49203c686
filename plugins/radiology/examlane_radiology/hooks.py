"""The hooks that radiology implements, and the settings of a department."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from marshmallow import Schema, fields

from examlane import (
    Fact,
    Finding,
    IntervalRule,
    OrderItemView,
    OrderView,
    PatientView,
    Preparation,
    RuleBook,
    hookimpl,
)
from examlane_radiology import intervals, orders
from examlane_radiology import preparation as steps


class SettingsSchema(Schema):
    """What a department sets for itself; an agent is named by its code in `rules/agents.toml`, such as iohexol-350.

    `stock`: the agents that the pharmacy has now; empty means all. `agents`: the department's own agent for a protocol.
    One that does not suit the protocol or the patient is never used.
    """

    stock = fields.List(fields.String(), load_default=list)
    agents = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)


@hookimpl
def validate_order(
    order: OrderView, patient: PatientView, now: datetime, settings: Mapping[str, Any], rules: RuleBook
) -> Sequence[Finding]:
    return orders.validate(order, patient, now, settings, rules)


@hookimpl
def interval_rules(
    patient: PatientView, context: Mapping[str, Fact], now: datetime, rules: RuleBook
) -> Sequence[IntervalRule]:
    return intervals.interval_rules(patient, context, now, rules)


@hookimpl
def preparation(
    items: Sequence[OrderItemView], patient: PatientView, now: datetime, rules: RuleBook
) -> Sequence[Preparation]:
    return steps.preparations(items, patient, now, rules)
