"""Asks the kidney rules at every hook that takes rules."""

from datetime import timedelta

from examlane import (
    GateClosed,
    GateOpen,
    IntervalRule,
    Preparation,
    Relation,
    Selector,
    Text,
    hookimpl,
)


@hookimpl
def validate_order(order, now, rules):
    facts = {"egfr": order.known("egfr"), "metformin": order.known("metformin")}
    return [finding for item in order.items for finding in rules.findings(item.key, facts, now)]


@hookimpl
def pre_booking_gate(order, evidence, now, rules):
    rule = rules["consent"]
    oldest = now - timedelta(days=rule["days"])
    given = any(fact.kind == "consent" and fact.observed_at >= oldest for fact in evidence)
    return [
        GateOpen("consent", item.key)
        if given or not item.item.attributes.get("consent")
        else GateClosed("consent", item.key, rule.id, rule.text(), Text("请签同意书", "sign the consent"), "nurse")
        for item in order.items
    ]


@hookimpl
def preparation(items, rules):
    rule = rules["water"]
    return [Preparation(rule.id, rule.text(), timedelta(minutes=rule["minutes"]))]


@hookimpl
def interval_rules(rules):
    rule, own = rules["apart"], Selector(department="US")
    return [
        IntervalRule(rule.id, rule.version, own, own, Relation.EXCLUDE, rule.text(), after=timedelta(hours=rule["hours"]))
    ]
