"""The hooks that endoscopy implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from marshmallow import Schema, fields

from examlane import (
    Availability,
    BookingRequest,
    EvidenceView,
    Fact,
    Finding,
    GateAnswer,
    GroupView,
    IntervalRule,
    OrderItemView,
    OrderView,
    PatientView,
    Preparation,
    Proposal,
    RuleBook,
    Visit,
    hookimpl,
)
from examlane_endoscopy import assessment, findings, together, visits
from examlane_endoscopy.preparation import steps


class SettingsSchema(Schema):
    """What an endoscopy department sets for itself."""

    recheck_before_start = fields.Boolean(load_default=True)
    """Whether a sedated patient is called and examined only after the anaesthetist's recheck of that day."""


@hookimpl
def validate_order(
    order: OrderView, patient: PatientView, evidence: Sequence[EvidenceView], now: datetime, rules: RuleBook
) -> Sequence[Finding]:
    return findings.validate(order, patient, evidence, now, rules)


@hookimpl
def pre_booking_gate(
    order: OrderView, evidence: Sequence[EvidenceView], now: datetime, settings: Mapping[str, Any], rules: RuleBook
) -> Sequence[GateAnswer]:
    return assessment.gates(order, evidence, now, settings, rules)


@hookimpl
def requirements(orders: Sequence[OrderView], groups: Sequence[GroupView], rules: RuleBook) -> Sequence[Visit]:
    return visits.visits(orders, groups, rules)


@hookimpl
def interval_rules(rules: RuleBook) -> Sequence[IntervalRule]:
    return together.interval_rules(rules)


@hookimpl
def preparation(
    items: Sequence[OrderItemView], context: Mapping[str, Fact], evidence: Sequence[EvidenceView], rules: RuleBook
) -> Sequence[Preparation]:
    return steps(items, context, evidence, rules)


@hookimpl
def allocate(request: BookingRequest, availability: Availability, rules: RuleBook) -> Sequence[Proposal] | None:
    return together.allocate(request, availability, rules)
