"""The hooks that ultrasound implements, and what the department sets for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from marshmallow import Schema, fields, validate

from examlane import (
    EvidenceView,
    Finding,
    GroupView,
    NoShowAction,
    NoShowDecision,
    OrderItemView,
    OrderView,
    PatientView,
    Preparation,
    RuleBook,
    Text,
    Visit,
    hookimpl,
)
from examlane_ultrasound import findings, visits
from examlane_ultrasound import preparation as steps

TO_THE_DESK = Text("未按时检查，请到超声登记台处理", "the exam was missed; please see the ultrasound desk")
Settings = Mapping[str, Any]


class SettingsSchema(Schema):
    """What the ultrasound department sets for itself."""

    max_visit_minutes = fields.Integer(load_default=60, validate=validate.Range(5, 480))
    """The longest a visit of several parts may take, pauses not counted; beyond it the patient has a further one."""
    changeover_minutes = fields.Integer(load_default=0, validate=validate.Range(0, 30))
    """What every part's minutes contain for changing patients; counted once in a visit."""
    contrast_time_factor = fields.Integer(load_default=2, validate=validate.Range(1, 4))
    """How many times the plain exam's minutes a contrast exam takes; 1 where the catalogue has them already."""
    bladder_after_fasting = fields.String(load_default="drink", validate=validate.OneOf(["drink", "held"]))
    """Full bladder beside a fast: drink after the fasting part, or hold the night's urine and examine in one sitting."""
    sonographer_groups = fields.Dict(fields.String(), fields.List(fields.String()), load_default={})
    """Which groups may examine what asks for a credential; a credential that is not named: every sonographer group."""


@hookimpl
def validate_order(
    order: OrderView, patient: PatientView, evidence: Sequence[EvidenceView], now: datetime, rules: RuleBook
) -> Sequence[Finding]:
    return findings.findings(order, patient, evidence, now, rules)


@hookimpl
def requirements(
    orders: Sequence[OrderView], groups: Sequence[GroupView], settings: Settings, rules: RuleBook
) -> Sequence[Visit]:
    return visits.visits(orders, groups, settings, rules)


@hookimpl
def preparation(items: Sequence[OrderItemView], settings: Settings, rules: RuleBook) -> Sequence[Preparation]:
    return steps.preparations(items, settings, rules)


@hookimpl
def on_no_show() -> NoShowDecision:
    return NoShowDecision(NoShowAction.MANUAL, TO_THE_DESK, "ultrasound.desk_decides")
