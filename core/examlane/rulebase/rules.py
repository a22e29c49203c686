"""Rules as a hook gets them: those of one plugin that count for this hospital on this day, each with version and source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from examlane.domain import Finding, FindingKind, Text
from examlane.rulebase import conditions
from examlane.rulebase.conditions import Facts, When

FINDINGS = frozenset(kind.value for kind in FindingKind)
UNKNOWN = "_unknown"
"""What a finding's code ends with when a rule speaks because a fact is unknown."""
OWN_WORDS = ("item", "urgent", "until", "unknown")
"""Facts that stand in no rule's words: `Rule.finding` has arguments of these names."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule version. `table` is the rule as written; `when` has its parameters filled in."""

    id: str
    version: str
    source: str
    parameters: Mapping[str, Any]
    table: Mapping[str, Any]
    when: When | None = None

    def __getitem__(self, name: str) -> Any:
        """A parameter. Raises `KeyError` for one that the rule does not have."""
        return self.parameters[name]

    @property
    def action(self) -> str:
        return str(self.table.get("action", ""))

    def text(self, **words: Any) -> Text:
        """The rule's words, with its parameters and some more words filled in."""
        return self._words("", words)

    def finding(
        self, item: str, *, urgent: bool = False, until: datetime | None = None, unknown: bool = False, **words: Any
    ) -> Finding:
        """What the rule says of an item; some rules ask less of an urgent one, which then wants a reason.

        With `unknown` it speaks because a fact is unknown, with the words and the action written for that.
        """
        prefix = "unknown_" if unknown else ""
        plain = str(self.table["unknown" if unknown else "action"])
        action = str(self.table.get(f"{prefix}urgent_action", plain)) if urgent else plain
        return Finding(
            kind=FindingKind(action),
            code=self.id + UNKNOWN if unknown else self.id,
            text=self._words(prefix, words),
            item=item,
            rule=self.id,
            rule_version=self.version,
            source=self.source,
            until=until if action == FindingKind.DELAY_UNTIL else None,
            needs_reason=action != plain,
        )

    def decide(self, facts: Facts) -> str:
        """The action for these facts; `"nothing"` when the rule does not apply, or another rule asks for the unknown.

        Raises `ValueError` when a fact is unknown that the rule says is always known.
        """
        truth = conditions.holds(self.when or {}, facts)
        if truth is None:
            unknown = str(self.table["unknown"])
            if unknown == "never":
                raise ValueError(f"{self.id}: a fact that must be known is not")
            return "nothing" if "." in unknown else unknown
        return self.action if truth else "nothing"

    def is_unknown(self, facts: Facts) -> bool:
        """Whether the facts leave it open if the rule applies."""
        return conditions.holds(self.when or {}, facts) is None

    def delay(self) -> timedelta:
        """How long the rule delays, from its `delay` table: hours or days, as numbers or parameters."""
        wanted = conditions.filled(self.table["delay"], self.parameters)
        return timedelta(**{unit: wanted[unit] for unit in ("hours", "days") if unit in wanted})

    def _words(self, prefix: str, words: Mapping[str, Any]) -> Text:
        known = _Words({**self.parameters, **words})
        return Text(self.table[f"{prefix}zh"].format_map(known), self.table[f"{prefix}en"].format_map(known))


class _Words(dict[str, Any]):
    """A rule that speaks for one fact is not silenced by another, unknown one in its words."""

    def __missing__(self, name: str) -> _Blank:
        return _Blank()


class _Blank:
    def __format__(self, spec: str) -> str:
        return "—"

    def __getitem__(self, name: Any) -> _Blank:
        return self


@dataclass(frozen=True)
class RuleBook:
    """The rules of one plugin by their short names (without the plugin's), in the order of its files."""

    rules: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}))
    profiles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The profile that the hospital has chosen for each choice between sources."""

    def __getitem__(self, name: str) -> Rule:
        """A rule by its short name. Raises `KeyError`: a plugin that misses a rule fails, and so closes."""
        return self.rules[name]

    def __contains__(self, name: str) -> bool:
        return name in self.rules

    def named(self, prefix: str) -> list[Rule]:
        """The rules whose short names begin so."""
        return [rule for name, rule in self.rules.items() if name.startswith(prefix)]

    def applying(self, facts: Facts, prefix: str = "") -> Iterator[tuple[Rule, bool]]:
        """Every rule with a condition that speaks about these facts, and whether it does so for want of a fact."""
        for rule in self.named(prefix):
            if rule.when is not None and rule.decide(facts) != "nothing":
                yield rule, rule.is_unknown(facts)

    def findings(self, item: str, facts: Facts, now: datetime, prefix: str = "") -> list[Finding]:
        """What all conditional rules of findings say of an item with these facts.

        `facts["urgent"]` chooses a rule's `urgent_action`. A rule that delays does so from `now`, or from the instant
        in the fact that its `delay` names as `since`.
        """
        urgent = facts.get("urgent") is True
        words = {name: value for name, value in facts.items() if value is not None and name not in OWN_WORDS}
        return [
            rule.finding(item, urgent=urgent, unknown=unknown, until=_until(rule, facts, now), **words)
            for rule, unknown in self.applying(facts, prefix)
            if rule.action in FINDINGS
        ]


def _until(rule: Rule, facts: Facts, now: datetime) -> datetime | None:
    if "delay" not in rule.table:
        return None
    since = facts.get(rule.table["delay"].get("since", ""))
    return (since if isinstance(since, datetime) else now) + rule.delay()
