"""The glucose tolerance test: its three draws, how it is prepared, and what a fasting glucose makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time, timedelta
from typing import Any

from examlane import Finding, Need, OrderItemView, Preparation, Rule, RuleBook, Segment
from examlane_obstetrics.windows import Pregnancy


def is_test(item: OrderItemView) -> bool:
    return bool(item.item.attributes.get("ogtt"))


def draws(needs: tuple[Need, ...], rules: RuleBook) -> tuple[Segment, ...]:
    """Draws before the glucose, and 60 ± 5 and 120 ± 5 minutes after the first sip.

    The patient may sip at once or only when the draw is over, so that each lag fits both.
    """
    rule = rules["glucose.draws"]
    hours = (rule["one_hour"], rule["two_hours"])
    first, *later = ("fasting draw", "one-hour draw", "two-hour draw")
    return (
        Segment(first, rule["minutes"], needs),
        *(_draw(name, minutes, needs, rule) for name, minutes in zip(later, hours, strict=True)),
    )


def _draw(name: str, minutes: int, needs: tuple[Need, ...], rule: Rule) -> Segment:
    tolerance = rule["tolerance"]
    return Segment(name, rule["minutes"], needs, minutes + rule["minutes"] - tolerance, minutes + tolerance)


def latest_start(rules: RuleBook) -> time:
    """The local time of day after which no test begins."""
    return time(rules["glucose.latest_start"]["hour"])


def preparations(rules: RuleBook) -> list[Preparation]:
    diet, fasting, drink, drawn = (rules[f"glucose.{name}"] for name in ("diet", "fasting", "drink", "draws"))
    return [
        Preparation(diet.id, diet.text(), timedelta(days=diet["days"])),
        Preparation(fasting.id, fasting.text(), timedelta(hours=fasting["hours"]), fasting["hours"]),
        Preparation(drink.id, drink.text()),
        Preparation(drawn.id, drawn.text()),
    ]


def findings(pregnancy: Pregnancy, items: Sequence[OrderItemView]) -> list[Finding]:
    """What the fasting glucose and a known diabetes say of a test."""
    order = pregnancy.order
    facts = {"diabetes": order.known("diabetes"), "fasting_glucose": _fasting_glucose(pregnancy)}
    return [
        finding
        for item in items
        if is_test(item)
        for finding in pregnancy.rules.findings(item.key, {**facts, "ogtt": True}, pregnancy.now, "glucose.")
    ]


def _fasting_glucose(pregnancy: Pregnancy) -> Any | None:
    """The fasting glucose, if it was taken in the weeks of the test: earlier ones do not diagnose."""
    fact = pregnancy.order.context.get("fasting_glucose_mmol_l")
    window = pregnancy.rules["window.ogtt"]
    if fact is None or fact.observed_at is None or pregnancy.day0 is None:
        return None
    days = (fact.observed_at.astimezone(pregnancy.zone).date() - pregnancy.day0).days
    return fact.value if window["from_days"] <= days <= window["to_days"] else None
