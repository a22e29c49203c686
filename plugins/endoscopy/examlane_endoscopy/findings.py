"""What endoscopy says of an order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from examlane import EvidenceView, Finding, GateAnswer, GateClosed, OrderItemView, OrderView, PatientView, RuleBook
from examlane_endoscopy import antithrombotics, assessment, facts


def validate(
    order: OrderView, patient: PatientView, evidence: Sequence[EvidenceView], now: datetime, rules: RuleBook
) -> list[Finding]:
    """Everything the rules say of an order's items; an assessment itself is asked nothing."""
    return [
        finding
        for item in order.items
        if not facts.is_assessment(item)
        for finding in _of_item(order, item, patient, evidence, now, rules)
    ]


def _of_item(
    order: OrderView, item: OrderItemView, patient: PatientView, evidence: Sequence[EvidenceView], now: datetime,
    rules: RuleBook,
) -> list[Finding]:  # fmt: skip
    found = _facts(order, item, patient, evidence, now, rules)
    return [*_own(rules).findings(item.key, found, now), *antithrombotics.findings(order, item, now, rules)]


def _own(rules: RuleBook) -> RuleBook:
    """The rules about the order itself: neither those of the gate nor those asked once a drug."""
    return RuleBook({
        name: rule
        for name, rule in rules.rules.items()
        if rule.action != assessment.CLOSED and not name.startswith(antithrombotics.PREFIX)
    })  # fmt: skip


def _facts(
    order: OrderView, item: OrderItemView, patient: PatientView, evidence: Sequence[EvidenceView], now: datetime,
    rules: RuleBook,
) -> dict[str, Any]:  # fmt: skip
    sedated = facts.is_sedated(item)
    answer: GateAnswer | None = assessment.gate(order, item, evidence, now, rules) if sedated else None
    closed = isinstance(answer, GateClosed)
    newest = assessment.newest_of(facts.KIND, order, item, evidence)
    conditions = assessment.conditions(newest)
    data = newest.data if newest else {}
    return {
        **facts.of_patient({**facts.values_of(order.context), **data}),
        "sedated": sedated,
        "assessed": sedated and not closed,
        "gate": "closed" if closed else "open",
        "why_zh": answer.reason.zh if isinstance(answer, GateClosed) else "",
        "why_en": answer.reason.en if isinstance(answer, GateClosed) else "",
        "conditional": sedated and not closed and bool(conditions),
        "conditions": "；".join(conditions),
        "bowel_preparation": bool(item.item.attributes.get("bowel_preparation")),
        "bleeding_risk": facts.bleeding_risk(item),
        "encounter_class": order.encounter.encounter_class.value,
        "sex": patient.sex.value,
        "age": facts.age(patient, now),
        "urgent": facts.is_urgent(order),
    }
