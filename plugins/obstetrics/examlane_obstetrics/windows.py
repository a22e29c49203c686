"""Gestational windows: from when to when an exam can be held, and what is said of an item whose dates do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from examlane import Finding, FindingKind, GateAnswer, GateClosed, GateOpen, OrderItemView, OrderView, Rule, RuleBook
from examlane import Text as Words
from examlane_obstetrics import dating

OWN = ("gestation_from_days", "gestation_to_days")
LATE = "obstetrics.gestation.late"
SAID_ONLY = (FindingKind.HINT, FindingKind.DELAY_UNTIL)


@dataclass(frozen=True, slots=True)
class Window:
    """The first and the last instant at which an exam may begin; None where it is open."""

    opens: datetime | None = None
    closes: datetime | None = None


@dataclass(frozen=True)
class Pregnancy:
    """What an order says of a pregnancy today."""

    order: OrderView
    now: datetime
    zone: ZoneInfo
    rules: RuleBook
    day0: date | None

    @classmethod
    def of(cls, order: OrderView, now: datetime, settings: Mapping[str, Any], rules: RuleBook) -> Pregnancy:
        zone = ZoneInfo(settings["time_zone"])
        return cls(order, now, zone, rules, dating.first_day(order, now, zone, rules))

    @property
    def days(self) -> int | None:
        """Whole days of gestation today."""
        return None if self.day0 is None else (self.now.astimezone(self.zone).date() - self.day0).days

    @property
    def high_risk(self) -> bool | None:
        """Whether it is a multiple or high-risk pregnancy; None while unknown."""
        rule = self.rules["high_risk"]
        facts = {name: self.order.known(name) for name in ("fetuses", "high_risk_pregnancy")}
        return None if rule.is_unknown(facts) else rule.decide(facts) == rule.action

    def window(self, item: OrderItemView) -> Window:
        """When the item may begin: nothing while the dates are unknown, open where nothing is asked."""
        if self.day0 is None:
            return Window()
        first, last = self.limits(item)
        if LATE in item.confirmed and _late(item, self.rules) == "confirm":
            last = None
        return Window(self._midnight(first), self._last_second(last))

    def limits(self, item: OrderItemView) -> tuple[int | None, int | None]:
        """The first and the last day of gestation: the catalogue item's own, else those of its kind.

        An unknown risk opens the window as a high one does; a rule then asks for the doctor's confirmation.
        """
        if has_own(item):
            attributes = item.item.attributes
            return attributes.get(OWN[0]), attributes.get(OWN[1])
        rule = kind_rule(item, self.rules)
        if rule is None:
            return None, None
        early = "high_risk_from_days" in rule.parameters and self.high_risk is not False
        return rule["high_risk_from_days" if early else "from_days"], rule["to_days"]

    def findings(self, item: OrderItemView) -> list[Finding]:
        """What the rules say of the item's stage of pregnancy."""
        return self.rules.findings(item.key, self._facts(item), self.now, "gestation.")

    def gate(self, item: OrderItemView) -> GateAnswer:
        """The window as a gate that runs out, so that no department books the exam after it."""
        rule = self.rules["gate"]
        kind, step = rule.table["data"]["kind"], rule.table["next"]
        for finding in self.findings(item):
            if finding.kind not in SAID_ONLY and finding.code not in item.confirmed:
                action = Words(step["zh"], step["en"])
                return GateClosed(kind, item.key, finding.code, finding.text, action, rule.table["owner"])
        return GateOpen(kind, item.key, self.window(item).closes)

    def _facts(self, item: OrderItemView) -> dict[str, Any]:
        first, last = self.limits(item)
        rule = kind_rule(item, self.rules)
        opens = self.window(item).opens
        return {
            "dated": self.day0 is not None,
            "kind": item.item.attributes.get("prenatal", ""),
            "kind_known": rule is not None or has_own(item),
            "days_early": _less(first, self.days),
            "days_late": _less(self.days, last),
            "late": _late(item, self.rules),
            "risk_decides": self._risk_decides(item),
            "risk_known": self.high_risk is not None,
            "high_risk": self.high_risk,
            "age": None if self.days is None else weeks(self.days),
            "opens": opens,
            "first_day": None if opens is None else opens.date(),
        }

    def _risk_decides(self, item: OrderItemView) -> bool:
        """Whether the risk decides if the exam may be held today: before its usual first day."""
        rule = kind_rule(item, self.rules)
        if has_own(item) or rule is None or "high_risk_from_days" not in rule.parameters or self.days is None:
            return False
        return self.days < int(rule["from_days"])

    def _midnight(self, days: int | None) -> datetime | None:
        if days is None or self.day0 is None:
            return None
        return datetime.combine(self.day0 + timedelta(days=days), time(), self.zone)

    def _last_second(self, days: int | None) -> datetime | None:
        midnight = self._midnight(None if days is None else days + 1)
        return None if midnight is None else _second_before(midnight)


def has_window(item: OrderItemView) -> bool:
    """Whether the exam belongs to a stage of pregnancy."""
    return has_own(item) or "prenatal" in item.item.attributes


def has_own(item: OrderItemView) -> bool:
    return any(item.item.attributes.get(name) is not None for name in OWN)


def kind_rule(item: OrderItemView, rules: RuleBook) -> Rule | None:
    """The window of the item's kind, or None where the rules have none of that name."""
    name = f"window.{item.item.attributes.get('prenatal')}"
    return rules.rules.get(name)


def weeks(days: int) -> str:
    """Gestational age as clinicians write it: 13+6."""
    return f"{days // 7}+{days % 7}"


def _late(item: OrderItemView, rules: RuleBook) -> str:
    """What an order after the window is: blocked, or for some kinds a matter of the doctor's confirmation."""
    rule = kind_rule(item, rules)
    return "block" if rule is None else str(rule.table.get("data", {}).get("late", "block"))


def _less(larger: int | None, smaller: int | None) -> int | None:
    return None if larger is None or smaller is None else larger - smaller


def _second_before(midnight: datetime) -> datetime:
    return datetime.combine(midnight.date() - timedelta(days=1), time(23, 59, 59), midnight.tzinfo)
