"""The anaesthesia assessment of sedated endoscopy as a gate: closed unless an assessment is there, passed and valid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from examlane import (
    EvidenceView,
    GateAnswer,
    GateClosed,
    GateOpen,
    OrderItemView,
    OrderView,
    Rule,
    RuleBook,
    Text,
)
from examlane_endoscopy import facts
from examlane_endoscopy.facts import KIND, is_sedated

RECHECK = "day_of_exam_recheck"
PASSED = ("passed", "passed_with_conditions")
CLOSED = "closed"
OBSTACLES = (
    "assessment_missing", "assessment_unrecognised", "assessment_deferred", "assessment_failed", "assessment_withdrawn",
    "assessment_expired", "conditions_missing", "asa_unknown", "asa_never", "asa_inpatient_only", "assessor_role",
    "asa_senior", "high_risk_senior",
)  # fmt: skip
"""The rules that keep the gate closed, in the order they are asked; without one of them there is no answer."""
ZONE = "Asia/Shanghai"
LONGEST = 200
SEVERAL = re.compile(r"[;；\n]+")
UNREADABLE = re.compile(r"[\x00-\x1f\ud800-\udfff]")


def gates(
    order: OrderView, evidence: Sequence[EvidenceView], now: datetime, settings: Mapping[str, Any], rules: RuleBook
) -> list[GateAnswer]:
    """The gate of every sedated item of an order."""
    return [
        _ready(gate(order, item, evidence, now, rules), order, item, evidence, now, settings, rules)
        for item in order.items
        if is_sedated(item)
    ]


def gate(
    order: OrderView, item: OrderItemView, evidence: Sequence[EvidenceView], now: datetime, rules: RuleBook
) -> GateAnswer:
    """Open until the assessment runs out, or closed with the first rule that keeps it so."""
    newest = newest_of(KIND, order, item, evidence)
    found = _facts(order, item, newest, now, rules)
    for rule in [rules[name] for name in OBSTACLES]:
        if rule.decide(found) == CLOSED:
            return _closed(rule, item, newest, rule.is_unknown(found))
    assert newest is not None, "the rule of the missing assessment is missing"
    return GateOpen(KIND, item.key, valid_until(newest, rules))


def valid_until(assessment: EvidenceView, rules: RuleBook) -> datetime:
    """As the assessor says; where nothing is said, some days from the assessment."""
    return assessment.valid_until or assessment.observed_at + timedelta(days=rules["assessment_validity"]["days"])


def newest_of(kind: str, order: OrderView, item: OrderItemView, evidence: Sequence[EvidenceView]) -> EvidenceView | None:
    """The newest fact of a kind about the patient as a whole, this order or this item."""
    scopes = ("", order.number, item.key)
    own = [fact for fact in evidence if fact.kind == kind and fact.scope in scopes]
    return max(reversed(own), key=lambda fact: fact.observed_at, default=None)


def conditions(assessment: EvidenceView | None) -> tuple[str, ...]:
    """The conditions of a conditional pass: a list of texts, or one text with semicolons."""
    if assessment is None or assessment.outcome != "passed_with_conditions":
        return ()
    return _texts(assessment.data.get("conditions"))


def is_high_risk(values: Mapping[str, Any], rules: RuleBook) -> bool:
    """Whether one of the known risks of sedation is there; what is unknown is asked for by a rule of its own."""
    return rules["high_risk"].decide({"sedated": True, "assessed": True, **facts.of_patient(values)}) == "hint"


def _facts(
    order: OrderView, item: OrderItemView, newest: EvidenceView | None, now: datetime, rules: RuleBook
) -> dict[str, Any]:
    data = newest.data if newest else {}
    asa = data.get("asa")
    readable = isinstance(asa, int) and not isinstance(asa, bool) and 1 <= asa <= 5
    return {
        "assessed": newest is not None,
        "outcome": newest.outcome if newest else None,
        "hours_left": (valid_until(newest, rules) - now) / timedelta(hours=1) if newest else None,
        "conditions_named": bool(conditions(newest)),
        "asa": asa if readable else None,
        "deep": facts.is_deep(item),
        "assessor_role": facts.word(data.get("assessor_role")),
        "senior": data.get("assessor_grade") in rules["senior_grades"]["grades"],
        "encounter_class": order.encounter.encounter_class.value,
        "high_risk": is_high_risk({**facts.values_of(order.context), **data}, rules),
    }


def _closed(rule: Rule, item: OrderItemView, newest: EvidenceView | None, unknown: bool) -> GateClosed:
    table = rule.table
    reason = Text(table["unknown_zh"], table["unknown_en"]) if unknown else rule.text()
    step = table["next"]
    details = _details(rule, newest) if newest and "data" in table else Text("", "")
    return GateClosed(
        kind=KIND,
        item=item.key,
        code=rule.id,
        reason=reason,
        next_action=Text(
            step["zh"].format_map({"details_zh": details.zh}), step["en"].format_map({"details_en": details.en})
        ),
        owner=table["owner"],
        payable=False,
    )


def _details(rule: Rule, assessment: EvidenceView) -> Text:
    """Which tests a deferral asks for, and from when on the patient may come again."""
    words = rule.table["data"]
    zh = en = ""
    if tests := _texts(assessment.data.get("needed_tests")):
        zh, en = words["tests_zh"].format(tests="、".join(tests)), words["tests_en"].format(tests=", ".join(tests))
    if until := "".join(_texts(assessment.data.get("deferred_until"))):
        zh, en = zh + words["until_zh"].format(until=until), en + words["until_en"].format(until=until)
    return Text(zh, en)


def _texts(value: Any) -> tuple[str, ...]:
    """The readable texts of a list, or of one text with semicolons; nothing when one of them is none."""
    parts = SEVERAL.split(value) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        return ()
    told = (UNREADABLE.sub("", part).strip()[:LONGEST] for part in parts)
    return tuple(part for part in told if part)


def _ready(
    answer: GateAnswer, order: OrderView, item: OrderItemView, evidence: Sequence[EvidenceView], now: datetime,
    settings: Mapping[str, Any], rules: RuleBook,
) -> GateAnswer:  # fmt: skip
    """An open gate wants a recheck on the day of the exam, where the department's setting asks for it."""
    if isinstance(answer, GateClosed) or not settings.get("recheck_before_start", True):
        return answer
    newest = newest_of(RECHECK, order, item, evidence)
    zone = ZoneInfo(settings.get("time_zone", ZONE))
    today = newest is not None and newest.observed_at.astimezone(zone).date() == now.astimezone(zone).date()
    if newest is not None and today and newest.outcome == "passed":
        return answer
    return GateOpen(answer.kind, answer.item, answer.until, rules["recheck"].text())
