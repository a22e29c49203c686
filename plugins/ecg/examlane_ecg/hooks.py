"""The hooks that ECG implements, and what the department sets for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from marshmallow import Schema, fields, validate

from examlane import (
    Availability,
    BookingRequest,
    Fact,
    Finding,
    GroupView,
    Infeasible,
    NoShow,
    NoShowDecision,
    OrderItemView,
    OrderView,
    PatientView,
    Preparation,
    Proposal,
    Rule,
    RuleBook,
    Text,
    Visit,
    hookimpl,
)
from examlane_ecg import holter, noshow, treadmill

Settings = Mapping[str, Any]


class SettingsSchema(Schema):
    """What the ECG department sets for itself."""

    rebook_limit = fields.Integer(load_default=2, validate=validate.Range(0, 2))
    """How often a day a patient takes a new place himself; 0: always the desk."""
    grace_minutes = fields.Integer(load_default=None, allow_none=True, validate=validate.Range(0, 1440))
    """How long after a missed start he may do so; none: until the end of the day."""
    return_weekdays = fields.List(
        fields.Integer(validate=validate.Range(1, 7)), load_default=[1, 2, 3, 4, 5], validate=validate.Length(min=1)
    )
    """On which weekdays (1 = Monday) recorders are taken back."""
    closed_days = fields.List(fields.Date(), load_default=[])
    """Holidays on which none is taken back."""
    open_days = fields.List(fields.Date(), load_default=[])
    """Make-up workdays on which they are taken back."""
    return_within_hours = fields.Integer(load_default=2, validate=validate.Range(1, 24))
    """How long after the wearing time the patient may bring his recorder back."""


@hookimpl
def validate_order(
    order: OrderView, patient: PatientView, now: datetime, settings: Settings, rules: RuleBook
) -> Sequence[Finding]:
    known = treadmill.facts(order, patient, now, settings["time_zone"])
    return [
        finding
        for item in order.items
        for finding in rules.findings(item.key, {**known, "treadmill": _on_treadmill(item)}, now)
    ]


@hookimpl
def requirements(orders: Sequence[OrderView], groups: Sequence[GroupView], rules: RuleBook) -> Sequence[Visit] | None:
    return holter.visits(orders, groups, rules)


@hookimpl
def preparation(
    items: Sequence[OrderItemView], context: Mapping[str, Fact], settings: Settings, rules: RuleBook
) -> Sequence[Preparation]:
    facts = {"treadmill": any(map(_on_treadmill, items)), "asthma": treadmill.asthma(context)}
    steps = [_told(rule, unknown) for rule, unknown in rules.applying(facts, "tell.")]
    return [*steps, *holter.told(items, settings, rules)]


@hookimpl
def allocate(
    request: BookingRequest, availability: Availability, settings: Settings, rules: RuleBook
) -> Sequence[Proposal] | Infeasible | None:
    return holter.allocate(request, availability, settings, rules)


@hookimpl
def on_no_show(no_show: NoShow, settings: Settings) -> NoShowDecision:
    return noshow.decision(no_show, settings)


def _on_treadmill(item: OrderItemView) -> bool:
    return bool(item.item.attributes.get("treadmill"))


def _told(rule: Rule, unknown: bool) -> Preparation:
    hours = rule.parameters.get("fasting_hours", 0)
    text = Text(rule.table["unknown_zh"], rule.table["unknown_en"]) if unknown else rule.text()
    return Preparation(rule.id, text, timedelta(hours=hours), hours)
