"""Day 0 of a pregnancy: from assisted reproduction, the settled due date, or the last period corrected by ultrasound."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from examlane import OrderView, RuleBook

ERA = range(1900, 2200)


def first_day(order: OrderView, now: datetime, zone: ZoneInfo, rules: RuleBook) -> date | None:
    """Day 0, or None while unknown or not credible: whole days of gestation are counted from it, in local dates.

    What is known best counts: a transfer with the embryo's age, the due date that the obstetrician settled, then the
    last period, which an ultrasound overrules when it differs by more than the days of ACOG committee opinion 700.
    """
    today = now.astimezone(zone).date()
    longest = rules["dating.credible"]["longest"]
    found = (_from_transfer(order, rules), _from_due_date(order, rules), _from_period_or_ultrasound(order, zone, rules))
    return next((day for day in found if day is not None and 0 <= (today - day).days <= longest), None)


def _from_transfer(order: OrderView, rules: RuleBook) -> date | None:
    rule = rules["dating.embryo_transfer"]
    transfer, age = _day(order, "embryo_transfer_date"), order.known("embryo_age_days")
    if transfer is None or type(age) is not int or not rule["youngest"] <= age <= rule["oldest"]:
        return None
    return transfer - timedelta(days=age + rule["days_before"])


def _from_due_date(order: OrderView, rules: RuleBook) -> date | None:
    due = _day(order, "estimated_due_date")
    return None if due is None else due - timedelta(days=rules["dating.due_date"]["days"])


def _from_period_or_ultrasound(order: OrderView, zone: ZoneInfo, rules: RuleBook) -> date | None:
    period, scan = _period(order), _scan(order, zone, rules)
    if scan is None or period is None:
        return period if scan is None else scan[0] - timedelta(days=scan[1])
    scanned_on, age = scan
    by_period = (scanned_on - period).days
    facts = {"age_by_period": by_period, "differs": abs(by_period - age)}
    overruled = any(rule.decide(facts) == "ultrasound" for rule in rules.named("redating."))
    return scanned_on - timedelta(days=age) if overruled else period


def _period(order: OrderView) -> date | None:
    """The last period; after a transfer it says nothing of the embryo's age."""
    return None if order.known("embryo_transfer_date") is not None else _day(order, "last_menstrual_period")


def _scan(order: OrderView, zone: ZoneInfo, rules: RuleBook) -> tuple[date, int] | None:
    """The local date of the dating ultrasound and the age it found. An age without its date is no dating."""
    fact = order.context.get("gestational_age_days")
    if fact is None or type(fact.value) is not int or fact.observed_at is None:
        return None
    if not 0 <= fact.value <= rules["dating.credible"]["longest"]:
        return None
    return fact.observed_at.astimezone(zone).date(), fact.value


def _day(order: OrderView, name: str) -> date | None:
    """A date of this era, or None: nobody living was conceived in another."""
    try:
        day = date.fromisoformat(str(order.known(name)))
    except ValueError:
        return None
    return day if day.year in ERA else None
