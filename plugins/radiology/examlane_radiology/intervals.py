"""Distances between two contrast exams, for this patient's kidneys, and from iodine to a thyroid isotope exam."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from examlane import Fact, IntervalRule, PatientView, Relation, Rule, RuleBook, Selector, interval_of
from examlane_radiology import facts, kidneys


def interval_rules(patient: PatientView, context: Mapping[str, Fact], now: datetime, rules: RuleBook) -> list[IntervalRule]:
    known = facts.read(context, now, rules)
    acute = bool(known["acute_kidney_injury"])
    found = kidneys.facts(patient, context, known, acute, now, rules)
    kidney_class = kidneys.kidney_class(found, rules)
    between = [_interval(rule, kidney_class) for rule in rules.named("interval.")]
    return [*between, interval_of(rules["thyroid_isotope_after_iodine"])]


def _interval(rule: Rule, kidney_class: str) -> IntervalRule:
    hours = rule[kidney_class]
    distance = timedelta(hours=hours)
    return IntervalRule(
        rule=rule.id,
        version=rule.version,
        first=_with(rule.table["data"]["first"]),
        second=_with(rule.table["data"]["second"]),
        relation=Relation.EXCLUDE,
        text=rule.text(hours=hours),
        after=distance,
        before=distance,
        source=rule.source,
    )


def _with(contrast: str) -> Selector:
    return Selector(attributes={"contrast": contrast})
