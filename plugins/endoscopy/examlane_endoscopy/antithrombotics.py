"""Antithrombotic drugs before a procedure: how long each rests, whose word it needs, and what is measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from examlane import Finding, OrderItemView, OrderView, RuleBook
from examlane_endoscopy import facts

PREFIX = "antithrombotic."
DRUG = "anticoagulant"
KEPT = ("none", "aspirin")
SEVERAL = re.compile(r"[;；,，、+]")


def findings(order: OrderView, item: OrderItemView, now: datetime, rules: RuleBook) -> list[Finding]:
    """What the rules say of every drug class that the patient takes, each once."""
    risk = facts.bleeding_risk(item)
    if risk is None:
        return []
    found: dict[str, Finding] = {}
    for drug in classes(order.known(DRUG), rules):
        for finding in rules.findings(item.key, _facts(order, drug, risk, now, rules), now, PREFIX):
            found.setdefault(finding.code, finding)
    return list(found.values())


def classes(value: Any, rules: RuleBook) -> tuple[str | None, ...]:
    """The classes of one drug, or of several in a list or a text; None for whatever is unknown, and for no drug named."""
    known = rules["drug_classes"].table["data"]["classes"]
    drugs = SEVERAL.split(value) if isinstance(value, str) else value
    drugs = drugs if isinstance(drugs, list | tuple) else (drugs,)
    found = [known.get(drug.strip().lower()) if isinstance(drug, str) else None for drug in drugs]
    return tuple(dict.fromkeys(found)) or (None,)


def rests(value: Any, rules: RuleBook) -> bool:
    """Whether one of the drugs may have to rest, or is not known."""
    return any(drug not in KEPT for drug in classes(value, rules))


def _facts(order: OrderView, drug: str | None, risk: str, now: datetime, rules: RuleBook) -> dict[str, Any]:
    last_dose = _last_dose(order, drug, rules)
    return {
        "drug": drug,
        "bleeding_risk": risk,
        "thrombotic_risk": _either(order.known("thrombotic_risk")),
        "last_dose_at": last_dose,
        "held": None if last_dose is None else any(last_dose + rest <= now for rest in _rest(drug, rules)),
        "inr": facts.number(order.known("inr")),
        "inr_age_days": facts.age_in_days(order.context.get("inr"), now),
        "urgent": facts.is_urgent(order),
    }


def _last_dose(order: OrderView, drug: str | None, rules: RuleBook) -> datetime | None:
    """Of this drug: with two drugs that rest, nobody knows which of them is meant."""
    resting = [one for one in classes(order.known(DRUG), rules) if one not in KEPT]
    return facts.instant(order.known("anticoagulant_last_dose_at")) if resting == [drug] else None


def _rest(drug: str | None, rules: RuleBook) -> Iterator[timedelta]:
    if drug is not None and f"{PREFIX}{drug}" in rules:
        yield rules[f"{PREFIX}{drug}"].delay()


def _either(value: Any) -> str | None:
    return value if value in ("low", "high") else None
