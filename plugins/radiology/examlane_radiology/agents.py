"""Contrast agents: recognising a written one in the hospital's list, and choosing one that suits a patient."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from examlane import Rule, RuleBook

PREFIX = "agent."
THREE_DIGITS = re.compile(r"(?<![\d.])[1-9]\d\d(?![\d.]|\s*ml)")
"""A number as iodine is concentrated (mg I/ml), and not a volume."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an agent must be: its class, its concentration, of which substances it must not be, and in stock."""

    contrast: str
    protocol: Rule | None
    avoided: frozenset[str] = field(default_factory=frozenset)
    stock: Collection[str] = ()

    def has_concentration(self, agent: Rule) -> bool:
        limits = self.protocol.parameters if self.protocol else {}
        if "concentration_from" not in limits or "concentration" not in agent.parameters:
            return True
        return bool(limits["concentration_from"] <= agent["concentration"] <= limits["concentration_to"])

    def in_stock(self, agent: Rule) -> bool:
        return not self.stock or code(agent) in self.stock

    def is_usual(self, agent: Rule) -> bool:
        return self.protocol is not None and code(agent) == self.protocol["agent"]

    def suits(self, agent: Rule) -> bool:
        """Whether the agent is right in every respect."""
        right = agent["contrast"] == self.contrast and self.has_concentration(agent)
        return right and substance(agent) not in self.avoided and self.in_stock(agent)


def code(agent: Rule) -> str:
    """An agent's code in fills and settings, such as iohexol-350."""
    return agent.id.partition(PREFIX)[2]


def substance(agent: Rule) -> str:
    return str(agent.table["data"]["substance"])


def recognised(text: str | None, rules: RuleBook, near: Wanted) -> Rule | None:
    """The one agent that a text names by code, or by name and concentration.

    A name without a number is the agent of that name that the protocol wants, or else any of it; a number that no
    agent of that name has is not recognised.
    """
    named = list(_named(text, rules))
    exact = [agent for agent in named if code(agent) == (text or "").casefold()]
    numbers = THREE_DIGITS.findall(text or "")
    if not numbers:
        named.sort(key=lambda agent: (not near.suits(agent), not near.is_usual(agent)))
    elif not exact:
        named = [agent for agent in named if _concentration(agent) in [float(number) for number in numbers]]
    return next(iter([*exact, *named]), None)


def substances(text: str | None, rules: RuleBook) -> frozenset[str]:
    """Every substance that a text names."""
    return frozenset(substance(agent) for agent in _named(text, rules))


def protocols(text: str | None, rules: RuleBook) -> Mapping[str, Mapping[str, str]]:
    """Where a named agent has a protocol of its own: by body part, what it uses instead of the exam's."""
    own = [agent.table["data"].get("instead", {}) for agent in _named(text, rules)]
    return own[0] if len(own) == 1 else {}


def first_name(text: str, rules: RuleBook) -> int | None:
    """Where in a text the first name of an agent stands."""
    names = {name for agent in rules.named(PREFIX) for name in agent.table["data"]["names"]}
    places = [place for name in names if (place := text.find(name)) >= 0]
    return min(places, default=None)


def classes(text: str | None, rules: RuleBook) -> frozenset[str]:
    """The classes of contrast of what a text names."""
    return frozenset(str(agent["contrast"]) for agent in _named(text, rules))


def _named(text: str | None, rules: RuleBook) -> Iterator[Rule]:
    wanted = (text or "").casefold()
    for agent in rules.named(PREFIX):
        if any(name in wanted for name in agent.table["data"]["names"]):
            yield agent


def _concentration(agent: Rule) -> float | None:
    value = agent.parameters.get("concentration")
    return None if value is None else float(value)


def chosen(wanted: Wanted, first: Iterable[Rule | None], settings: Mapping[str, Any], rules: RuleBook) -> Rule | None:
    """The first suitable of: some agents, the department's own for the protocol, the protocol's, any harmless other."""
    own = settings.get("agents", {}).get(_short(wanted.protocol), "")
    codes = [own, wanted.protocol["agent"]] if wanted.protocol else []
    usual = [rules[PREFIX + name] for name in codes if PREFIX + name in rules]
    others = [agent for agent in rules.named(PREFIX) if wanted.protocol and _is_harmless(agent)]
    return next((agent for agent in (*filter(None, first), *usual, *others) if wanted.suits(agent)), None)


def _short(protocol: Rule | None) -> str:
    return protocol.id.partition("protocol.")[2] if protocol else ""


def _is_harmless(agent: Rule) -> bool:
    """What may stand in for another without asking: no high-osmolar iodine, of gadolinium group II only."""
    return agent.parameters.get("class") != "high" and agent.parameters.get("group", "II") == "II"
