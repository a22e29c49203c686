"""What endoscopy says of an order, and what the patient does before the exam."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from examlane import (
    EncounterClass,
    EvidenceView,
    Finding,
    GateClosed,
    OrderItemView,
    OrderView,
    Preparation,
)
from examlane_endoscopy.assessment import gate, is_sedated
from examlane_endoscopy.rulebase import RULES


def validate(
    order: OrderView, evidence: Sequence[EvidenceView], now: datetime, settings: Mapping[str, Any]
) -> list[Finding]:
    """Everything the rules say of an order's items."""
    return [
        finding
        for item in order.items
        for subject in (
            _assessed(order, item, evidence, now, settings),
            _escort(order, item, settings),
            _anticoagulant(order, item, now, settings),
            _bowel(item, now, settings),
        )
        for finding in subject
    ]


def _assessed(
    order: OrderView, item: OrderItemView, evidence: Sequence[EvidenceView], now: datetime, settings: Mapping[str, Any]
) -> Iterator[Finding]:
    """An inpatient's order may not be submitted before the assessment; an outpatient's waits unpaid at the gate."""
    if not is_sedated(item) or order.encounter.encounter_class is not EncounterClass.INPATIENT:
        return
    answer = gate(order, item, evidence, now, settings)
    if isinstance(answer, GateClosed):
        why = answer.reason
        yield RULES.rule("assessment_required", settings).finding(item.key, why_zh=why.zh, why_en=why.en)


def _escort(order: OrderView, item: OrderItemView, settings: Mapping[str, Any]) -> Iterator[Finding]:
    if is_sedated(item) and order.known("escort") is not True:
        yield RULES.rule("escort", settings).finding(item.key)


def _anticoagulant(
    order: OrderView, item: OrderItemView, now: datetime, settings: Mapping[str, Any]
) -> Iterator[Finding]:
    """How long the drug rests before the exam, by the bleeding risk of what is done."""
    risk = item.item.attributes.get("anticoagulant_risk")
    if not risk:
        return
    # A risk class that the table does not know is handled as the high one.
    holds = RULES.rule("anticoagulant_hold", settings)
    days = holds["low_risk_days" if risk == "low" else "high_risk_days"].get(order.known("anticoagulant"))
    if days is None:
        name = "anticoagulant_unknown_low" if risk == "low" else "anticoagulant_unknown"
        yield RULES.rule(name, settings).finding(item.key)
    elif days:
        yield holds.finding(item.key, until=now + timedelta(days=days), days=days)
    if order.known("anticoagulant") == "doac" and risk == "low":
        yield RULES.rule("doac_morning_dose", settings).finding(item.key)


def _bowel(item: OrderItemView, now: datetime, settings: Mapping[str, Any]) -> Iterator[Finding]:
    if item.item.attributes.get("bowel_preparation"):
        needed = RULES.rule("bowel_preparation", settings)
        yield needed.finding(item.key, until=now + timedelta(days=needed["days"]))


def fasting_hours(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> int:
    """The longest fast of some items; sedation asks for its own even where the catalogue says nothing."""
    own = max((int(item.item.attributes.get("fasting_hours", 0)) for item in items), default=0)
    return max(own, RULES.rule("fasting", settings)["solids_hours"]) if any(map(is_sedated, items)) else own


def preparations(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> list[Preparation]:
    """The steps before a visit for some items, each once, in the order the patient does them."""
    sedated = any(map(is_sedated, items))
    hours = fasting_hours(items, settings)
    steps = []
    if any(item.item.attributes.get("bowel_preparation") for item in items):
        bowel = RULES.rule("bowel_leaflet", settings)
        days = RULES.rule("bowel_preparation", settings)["days"]
        steps.append(Preparation(bowel.id, bowel.text(), timedelta(days=days)))
    if hours:
        fasting = RULES.rule("fasting", settings)
        steps.append(Preparation(fasting.id, fasting.text(hours=hours), timedelta(hours=hours), hours))
        steps.append(_step("clear_liquids", settings))
    if sedated:
        steps.append(_step("escort_leaflet", settings))
    return steps


def _step(name: str, settings: Mapping[str, Any]) -> Preparation:
    found = RULES.rule(name, settings)
    return Preparation(found.id, found.text())
