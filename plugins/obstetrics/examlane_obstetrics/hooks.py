"""The hooks of obstetrics: `allocate` as the ordering department, the others for exams tied to a stage of pregnancy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from marshmallow import Schema, fields, validate

from examlane import (
    Availability,
    BookingRequest,
    Finding,
    GateAnswer,
    GroupView,
    IntervalRule,
    OrderItemView,
    OrderView,
    Preparation,
    Proposal,
    RuleBook,
    Visit,
    hookimpl,
)
from examlane_obstetrics import cluster, glucose, intervals, visits, windows
from examlane_obstetrics.windows import Pregnancy

MINUTES = validate.Range(0, 1440)


class SettingsSchema(Schema):
    """What a department sets for itself. Minutes are minutes of a day, days whole days."""

    windows_only = fields.Boolean(load_default=False)
    """Only check and gate stages of pregnancy; the department makes its visits by its own rules."""
    max_later_days = fields.Integer(load_default=3, validate=validate.Range(0, 90))
    """The one day is at most this much later than the last exam booked on its own would be."""
    out_of_town_always = fields.Boolean(load_default=True)
    """Patients from out of town get the one day however late."""
    allow_two_days = fields.Boolean(load_default=True)
    """When no day has room for all: two days."""
    allow_other_campus = fields.Boolean(load_default=True)
    """When the patient's campus has no room for all: another one, or both."""
    gap_minutes = fields.Integer(load_default=10, validate=MINUTES)
    """Between two exams at least, walking included."""
    span_minutes = fields.Integer(load_default=240, validate=MINUTES)
    """From the first start to the last end of a day at most."""
    tolerance_minutes = fields.Integer(load_default=0, validate=MINUTES)
    """So much longer may a stay be than the shortest, for calmer hours and fewer ways between floors."""
    search_milliseconds = fields.Integer(load_default=200, validate=validate.Range(1, 60_000))
    """How long the search may take; the hook has 300 ms."""


@hookimpl
def validate_order(order: OrderView, now: datetime, settings: Mapping[str, Any], rules: RuleBook) -> Sequence[Finding]:
    pregnancy = Pregnancy.of(order, now, settings, rules)
    staged = [item for item in order.items if windows.has_window(item)]
    return [*(said for item in staged for said in pregnancy.findings(item)), *glucose.findings(pregnancy, order.items)]


@hookimpl
def pre_booking_gate(order: OrderView, now: datetime, settings: Mapping[str, Any], rules: RuleBook) -> Sequence[GateAnswer]:
    pregnancy = Pregnancy.of(order, now, settings, rules)
    return [pregnancy.gate(item) for item in order.items if windows.has_window(item)]


@hookimpl
def requirements(
    orders: Sequence[OrderView],
    groups: Sequence[GroupView],
    now: datetime,
    settings: Mapping[str, Any],
    rules: RuleBook,
) -> Sequence[Visit] | None:
    """None in a department that has switched this plugin on only to keep gestational windows."""
    if settings["windows_only"]:
        return None
    pregnancies = [Pregnancy.of(order, now, settings, rules) for order in orders]
    return [visit for pregnancy in pregnancies for visit in visits.visits(pregnancy, groups)]


@hookimpl
def interval_rules(rules: RuleBook) -> Sequence[IntervalRule]:
    return intervals.intervals(rules)


@hookimpl
def preparation(items: Sequence[OrderItemView], rules: RuleBook) -> Sequence[Preparation]:
    return visits.preparations(items, rules)


@hookimpl
def allocate(
    request: BookingRequest, availability: Availability, settings: Mapping[str, Any], rules: RuleBook
) -> Sequence[Proposal] | None:
    ends = time.monotonic() + settings["search_milliseconds"] / 1000
    return cluster.proposals(request, availability, settings, rules, lambda: time.monotonic() > ends)
