"""What radiology says of an order: the facts of each item, what is filled in, and what the rules find."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from examlane import Finding, OrderView, PatientView, RuleBook
from examlane_radiology import facts, handwritten, injection, kidneys, notes
from examlane_radiology.case import Case


def validate(
    order: OrderView, patient: PatientView, now: datetime, settings: Mapping[str, Any], rules: RuleBook
) -> list[Finding]:
    """Everything the rule base says of an order's items."""
    known = facts.read(order.context, now, rules)
    known |= handwritten.entry(order, known, rules)
    cases = [Case(order, view, patient, now, settings, rules, known) for view in order.items]
    return [finding for case in cases for finding in _findings(case)]


def _findings(case: Case) -> list[Finding]:
    plan = injection.plan(case)
    found = {**case.facts(), **_kidneys(case), **injection.facts(case, plan), **notes.facts(case, plan)}
    said = case.rules.findings(case.view.key, found, case.now)
    return [*injection.fills(case, plan), *said]


def _kidneys(case: Case) -> dict[str, Any]:
    return kidneys.facts(case.patient, case.order.context, case.known, case.acute, case.now, case.rules)
