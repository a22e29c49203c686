"""The anaesthesia assessment of sedated endoscopy as a gate: closed unless an assessment is there, passed and valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from examlane import (
    EncounterClass,
    EvidenceView,
    GateAnswer,
    GateClosed,
    GateOpen,
    OrderItemView,
    OrderView,
    Text,
)
from examlane_endoscopy.rulebase import RULES

KIND = "anaesthesia_assessment"
PASSED = ("passed", "passed_with_conditions")


def gates(
    order: OrderView, evidence: Sequence[EvidenceView], now: datetime, settings: Mapping[str, Any]
) -> list[GateAnswer]:
    """The gate of every sedated item of an order."""
    return [gate(order, item, evidence, now, settings) for item in order.items if is_sedated(item)]


def is_sedated(item: OrderItemView) -> bool:
    return bool(item.item.attributes.get("sedation"))


def gate(
    order: OrderView, item: OrderItemView, evidence: Sequence[EvidenceView], now: datetime, settings: Mapping[str, Any]
) -> GateAnswer:
    """Open until the assessment runs out, or closed with the first thing that is missing."""
    newest = _newest(order, item, evidence)
    obstacle = _obstacle(newest, order.encounter.encounter_class, now, settings)
    if newest is None or obstacle:
        return _closed(item, obstacle, settings)
    return GateOpen(KIND, item.key, valid_until(newest, settings))


def valid_until(assessment: EvidenceView, settings: Mapping[str, Any]) -> datetime:
    """As the assessor says; where nothing is said, some days from the assessment."""
    days = RULES.rule("assessment_expired", settings)["valid_days"]
    return assessment.valid_until or assessment.observed_at + timedelta(days=days)


def _newest(order: OrderView, item: OrderItemView, evidence: Sequence[EvidenceView]) -> EvidenceView | None:
    """The newest assessment of the patient as a whole, of this order or of this item."""
    scopes = ("", order.number, item.key)
    own = [fact for fact in evidence if fact.kind == KIND and fact.scope in scopes]
    return max(reversed(own), key=lambda fact: fact.observed_at, default=None)


def _obstacle(
    assessment: EvidenceView | None, encounter: EncounterClass, now: datetime, settings: Mapping[str, Any]
) -> str:
    """The name of the rule that keeps the gate closed, or nothing."""
    if assessment is None:
        return "assessment_missing"
    if assessment.outcome not in PASSED:
        known = RULES.rule("assessment_unrecognised", settings)["outcomes"]
        return f"assessment_{assessment.outcome}" if assessment.outcome in known else "assessment_unrecognised"
    if now >= valid_until(assessment, settings):
        return "assessment_expired"
    return _risk(assessment.data, encounter, settings)


def _risk(data: Mapping[str, Any], encounter: EncounterClass, settings: Mapping[str, Any]) -> str:
    """What stands in the way by ASA class: unknown, too high, too high outside the ward, or cleared too low."""
    asa = data.get("asa")
    if isinstance(asa, bool) or not isinstance(asa, int) or not 1 <= asa <= 5:
        return "asa_unknown"
    if asa >= RULES.rule("asa_never", settings)["from_asa"]:
        return "asa_never"
    if asa >= RULES.rule("asa_inpatient_only", settings)["from_asa"] and encounter is not EncounterClass.INPATIENT:
        return "asa_inpatient_only"
    senior = RULES.rule("asa_senior", settings)
    cleared = asa < senior["from_asa"] or data.get("assessor_grade") in senior["grades"]
    return "" if cleared else "asa_senior"


def _closed(item: OrderItemView, obstacle: str, settings: Mapping[str, Any]) -> GateClosed:
    found = RULES.rule(obstacle, settings)
    step = found.table["next"]
    return GateClosed(
        kind=KIND,
        item=item.key,
        code=found.id,
        reason=found.text(),
        next_action=Text(step["zh"], step["en"]),
        owner=found.table["owner"],
        payable=False,
    )
