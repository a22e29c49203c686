"""The facts that the department's questions look at: contrast agent, endocavity exam, puncture, consent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from examlane import EvidenceView, Finding, OrderItemView, OrderView, PatientView, RuleBook, Sex
from examlane_ultrasound.items import has_contrast, says

FLAGS = ("microbubble_allergy", "right_to_left_shunt", "severe_pulmonary_hypertension", "ards", "sexually_active")
SIGNED = ("signed", "passed")


def findings(
    order: OrderView, patient: PatientView, evidence: Sequence[EvidenceView], now: datetime, rules: RuleBook
) -> list[Finding]:
    """What the rules say of every item of an order."""
    known = _known(order, patient)
    return [
        finding
        for item in order.items
        for finding in rules.findings(item.key, {**known, **_of_item(item, order, evidence, now)}, now)
    ]


def _known(order: OrderView, patient: PatientView) -> dict[str, Any]:
    """What is known of the patient; what is missing or not readable is unknown."""
    flags = {name: value for name in FLAGS if isinstance(value := order.known(name), bool)}
    inr = order.known("inr")
    return flags | {
        "sex": None if patient.sex is Sex.UNKNOWN else patient.sex.value,
        "anticoagulant": order.known("anticoagulant"),
        "inr": inr if isinstance(inr, int | float) and not isinstance(inr, bool) else None,
    }


def _of_item(item: OrderItemView, order: OrderView, evidence: Sequence[EvidenceView], now: datetime) -> dict[str, Any]:
    contrast, puncture = has_contrast(item), bool(says(item, "puncture"))
    return {
        "contrast": contrast,
        "puncture": puncture,
        "route": says(item, "route") or "none",
        "needs_consent": contrast or puncture,
        "consent": any(_signed(fact, item, order, now) for fact in evidence),
    }


def _signed(fact: EvidenceView, item: OrderItemView, order: OrderView, now: datetime) -> bool:
    """A consent to this exam: one that names it or its order, or was given after it was ordered; none is for good."""
    if fact.kind != "consent" or fact.outcome not in SIGNED:
        return False
    valid = fact.valid_until is None or fact.valid_until > now
    named = fact.scope in (order.number, item.key)
    return valid and (named or (not fact.scope and fact.observed_at >= order.ordered_at))
