"""Interval rules as data: a rule's `data` table says how two exams relate, its action how strictly that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from examlane.domain import FindingKind, IntervalRule, Relation, Selector, Severity
from examlane.rulebase.conditions import filled
from examlane.rulebase.rules import Rule


def interval_of(rule: Rule, **parameters: Any) -> IntervalRule:
    """The interval that a rule describes, with its own parameters or others for this patient.

        data = { relation = "exclude", first = { attributes = { barium = true } }, second = { modality = "CT" },
                 after = { days = "$days" } }

    `relation` is a `Relation`, `first` and `second` are selectors (a list is one of; without `second` it is the first),
    `after`, `before` and `within` are in days, hours or minutes, `limit` is a number, and `same_item` and
    `urgent_override` are flags. A rule that delays an order keeps the distance between exams too.
    Raises `ValueError` or `KeyError` for what it does not understand.
    """
    known = {**rule.parameters, **parameters}
    data = filled(rule.table["data"], known)
    first = _selector(data["first"])
    return IntervalRule(
        rule=rule.id,
        version=rule.version,
        first=first,
        second=_selector(data["second"]) if "second" in data else first,
        relation=Relation(data["relation"]),
        text=rule.text(**parameters),
        severity=Severity.BLOCK if rule.action == FindingKind.DELAY_UNTIL else Severity(rule.action),
        after=_stretch(data.get("after", {})),
        before=_stretch(data.get("before", {})),
        source=rule.source,
        within=_stretch(data.get("within", {})),
        limit=int(data.get("limit", 0)),
        same_item=bool(data.get("same_item", False)),
        urgent_override=bool(data.get("urgent_override", False)),
    )


def _selector(table: Mapping[str, Any]) -> Selector:
    fields: dict[str, Any] = {name: _value(value) for name, value in table.items() if name != "attributes"}
    return Selector(**fields, attributes={name: _value(value) for name, value in table.get("attributes", {}).items()})


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value


def _stretch(table: Mapping[str, Any]) -> timedelta:
    return timedelta(**{unit: table[unit] for unit in table})
