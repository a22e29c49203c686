"""Distances between contrast, barium and isotope exams, for this patient's kidneys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from examlane import Fact, IntervalRule, PatientView, Relation, Rule, Selector
from examlane_radiology import renal
from examlane_radiology.rulebase import RULES


def interval_rules(
    patient: PatientView, context: Mapping[str, Fact], today: date, settings: Mapping[str, Any]
) -> list[IntervalRule]:
    kidneys = renal.kidney_class(patient, context, today, settings)
    return [_interval(rule, kidneys) for rule in RULES.named("interval.", settings)]


def _interval(rule: Rule, kidneys: str) -> IntervalRule:
    hours = rule.parameters.get(kidneys, rule.parameters.get("always"))
    distance = timedelta(hours=hours)
    return IntervalRule(
        rule=rule.id,
        version=rule.version,
        first=Selector(**rule.table["first"]),
        second=Selector(**rule.table["second"]),
        relation=Relation.EXCLUDE,
        text=rule.text(hours=hours, days=hours // 24),
        after=distance,
        before=distance if rule.table.get("both_ways") else timedelta(),
        source=rule.source,
    )
