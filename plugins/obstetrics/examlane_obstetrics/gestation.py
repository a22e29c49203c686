"""Gestational age: from when to when an exam of a certain stage of pregnancy can be held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from examlane import (
    Finding,
    FindingKind,
    GateAnswer,
    GateClosed,
    GateOpen,
    OrderItemView,
    OrderView,
    Text,
)
from examlane_obstetrics.parameters import number, rule_data, zone


@dataclass(frozen=True, slots=True)
class Window:
    """The first and the last instant of an exam's gestational window; None where it is open."""

    opens: datetime | None = None
    closes: datetime | None = None


def has_window(item: OrderItemView) -> bool:
    return any(item.item.attributes.get(name) is not None for name in ("gestation_from_days", "gestation_to_days"))


def first_day(order: OrderView, now: datetime, settings: Mapping[str, Any]) -> date | None:
    """Day 0 of the pregnancy, or None while unknown or not credible. Dating by ultrasound overrules the last period."""
    here = zone(settings)
    today = now.astimezone(here).date()
    for day in (_from_age(order, here), _from_period(order)):
        if day is not None and 0 <= (today - day).days <= number("longest_gestation_days", settings):
            return day
    return None


def _from_age(order: OrderView, here: ZoneInfo) -> date | None:
    fact = order.context.get("gestational_age_days")
    if fact is None or not isinstance(fact.value, int) or fact.observed_at is None:
        return None
    return fact.observed_at.astimezone(here).date() - timedelta(days=fact.value)


def _from_period(order: OrderView) -> date | None:
    try:
        return date.fromisoformat(str(order.known("last_menstrual_period")))
    except ValueError:
        return None


def window(item: OrderItemView, day0: date, settings: Mapping[str, Any]) -> Window:
    """From the first second of the first day to the last second of the last, in local time."""
    here = zone(settings)
    since = item.item.attributes.get("gestation_from_days")
    until = item.item.attributes.get("gestation_to_days")
    opens = None if since is None else datetime.combine(day0 + timedelta(days=since), time(), here)
    closes = None if until is None else datetime.combine(day0 + timedelta(days=until), time(23, 59, 59), here)
    return Window(opens, closes)


def findings(order: OrderView, now: datetime, settings: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with the stage of pregnancy of each item that has a window."""
    day0 = first_day(order, now, settings)
    found = (_finding(item, day0, now, settings) for item in order.items if has_window(item))
    return [finding for finding in found if finding]


def gates(order: OrderView, now: datetime, settings: Mapping[str, Any]) -> list[GateAnswer]:
    """The window as a gate that runs out, so that no executing department books an exam after it."""
    day0 = first_day(order, now, settings)
    return [_gate(item, day0, now, settings) for item in order.items if has_window(item)]


def _gate(item: OrderItemView, day0: date | None, now: datetime, settings: Mapping[str, Any]) -> GateAnswer:
    closes = None if day0 is None else window(item, day0, settings).closes
    problem = _finding(item, day0, now, settings)
    if problem is None or problem.kind is FindingKind.DELAY_UNTIL:
        return GateOpen(GATE, item.key, closes)
    return GateClosed(GATE, item.key, problem.code, problem.text, ASK_THE_CLINIC, OWNER)


def _finding(item: OrderItemView, day0: date | None, now: datetime, settings: Mapping[str, Any]) -> Finding | None:
    if day0 is None:
        return _say(FindingKind.BLOCK, "gestation_unknown", GESTATION_UNKNOWN, item)
    limits = window(item, day0, settings)
    age = weeks((now.astimezone(zone(settings)).date() - day0).days)
    if limits.closes and now > limits.closes:
        text = Text(f"已过检查孕周（现孕 {age} 周）", f"the window of this exam is over (now {age} weeks)")
        return _say(FindingKind.BLOCK, "outside_window", text, item)
    if limits.opens and now < limits.opens:
        day = limits.opens.date()
        text = Text(f"未到检查孕周（现孕 {age} 周），{day} 起可做", f"too early (now {age} weeks): possible from {day}")
        return _say(FindingKind.DELAY_UNTIL, "too_early", text, item, limits.opens)
    return None


GATE = "gestational_window"
OWNER = "obstetrician"
ASK_THE_CLINIC = Text("请产科医生核对孕周或改开检查", "the obstetrician checks the dates or orders another exam")
GESTATION_UNKNOWN = Text(
    "孕周不明：请填写末次月经，或超声核定的孕周和日期",
    "gestational age unknown: enter the last menstrual period, or the age found by ultrasound with its date",
)


def _say(kind: FindingKind, name: str, text: Text, item: OrderItemView, until: datetime | None = None) -> Finding:
    code = f"obstetrics.{name}"
    version = rule_data()["version"]
    source = "gestational window of the catalogue item"
    return Finding(kind, code, text, item.key, rule=code, rule_version=version, source=source, until=until)


def weeks(days: int) -> str:
    """Gestational age as clinicians write it: 13+6."""
    return f"{days // 7}+{days % 7}"
