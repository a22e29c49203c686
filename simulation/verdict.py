"""Whether what the hospital answered to an order catches its error, raises a false alarm, or fills in a wrong value.

What an answer is about is read from its own words, so that no rule, code or field of a plugin is named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane import Finding, FindingKind
from simulation.contrast_orders import ContrastOrder, right_agents, right_volume
from simulation.materials import Agent, Materials, materials

STOPPING = frozenset({FindingKind.BLOCK, FindingKind.APPROVE, FindingKind.CONFIRM, FindingKind.DELAY_UNTIL})
LEEWAY = 0.10
"""A filled volume or rate may lie this far outside the range of the sources."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`caught`: an expected answer came. `shown`: there was a hint about it.

    Of an order that is right: `false_alarms` stop it without need, `questions` stop it where a fact is not on record or the
    sources differ. `wrong_fills`: of any order, values that the sources do not allow.
    """

    caught: bool
    shown: bool
    false_alarms: tuple[Finding, ...]
    questions: tuple[Finding, ...]
    wrong_fills: tuple[Finding, ...]


def judge(order: ContrastOrder, findings: Sequence[Finding], starts_at: datetime | None = None) -> Verdict:
    """What the findings of the order's item, and the time it was booked for, are worth."""
    table = materials()
    fills = [each for each in findings if each.kind is FindingKind.FILL]
    wrong = tuple(each for each in fills if _fill(table, order, each, fills)[1] is False)
    if not order.truth.error:
        return _of_a_right_order(table, order, findings, wrong)
    wanted = {topic for each in order.truth.expected for topic in each.topics}
    shown = any(wanted & topics(table, each) for each in findings if each.kind is FindingKind.HINT)
    return Verdict(_caught(table, order, findings, starts_at), shown, (), (), wrong)


def _of_a_right_order(
    table: Materials, order: ContrastOrder, findings: Sequence[Finding], wrong: tuple[Finding, ...]
) -> Verdict:
    stops = [each for each in findings if each.kind in STOPPING and not topics(table, each) & table.always]
    asked = order.truth.tolerated | order.truth.unknown
    questions = tuple(each for each in stops if topics(table, each) & asked)
    return Verdict(False, False, tuple(each for each in stops if each not in questions), questions, wrong)


def topics(table: Materials, finding: Finding) -> frozenset[str]:
    """What an answer is about, by its words in either language, its code and its field."""
    said = " ".join((finding.text.zh, finding.text.en, finding.code, finding.field)).lower()
    found = {topic for topic, words in table.topics.items() if any(_says(said, word) for word in words)}
    return frozenset(found - table.generic or found)


def _says(text: str, word: str) -> bool:
    """Latin words at the start of a word only: `rate` is not in `moderate`."""
    return re.search(rf"(?<![a-z]){re.escape(word)}" if word.isascii() else re.escape(word), text) is not None


def _caught(table: Materials, order: ContrastOrder, findings: Sequence[Finding], starts_at: datetime | None) -> bool:
    fills = [each for each in findings if each.kind is FindingKind.FILL]
    for wanted in order.truth.expected:
        if "later" in wanted.answers and _safe(order, starts_at):
            return True
        for finding in findings:
            if finding.kind.value in wanted.answers and _counts(table, order, finding, fills, wanted.topics):
                return True
    return False


def _counts(
    table: Materials, order: ContrastOrder, finding: Finding, fills: Sequence[Finding], wanted: frozenset[str]
) -> bool:
    if finding.kind is FindingKind.FILL:
        about, right = _fill(table, order, finding, fills)
        return right is True and bool(about & wanted)
    if finding.kind is FindingKind.DELAY_UNTIL and order.truth.safe_from is not None:
        return _safe(order, finding.until) and bool(topics(table, finding) & wanted)
    return bool(topics(table, finding) & wanted)


def _safe(order: ContrastOrder, at: datetime | None) -> bool:
    return at is not None and order.truth.safe_from is not None and at >= order.truth.safe_from


def _fill(
    table: Materials, order: ContrastOrder, finding: Finding, fills: Iterable[Finding]
) -> tuple[frozenset[str], bool | None]:
    """What a fill is about and whether its value is right; None where the sources say nothing of such a field."""
    name, value = finding.field.lower(), finding.value
    if "rate" in name or "flow" in name:
        return frozenset({"rate"}), _within(value, order.exam.rate)
    if "concentration" in name or "strength" in name:
        return frozenset({"strength"}), _number(value) in _strengths(table, order)
    if "agent" in name:
        return _agent_fill(table, order, value)
    if "volume" in name or name.startswith("dose"):
        named = _named(table, [each.value for each in fills if "agent" in each.field.lower()])
        return frozenset({"dose"}), _volume(table, order, value, named)
    return frozenset(), None


def _agent_fill(table: Materials, order: ContrastOrder, value: Any) -> tuple[frozenset[str], bool]:
    named = _named(table, [value])
    about = {"agent"} | ({"strength"} if re.search(r"\d{3}", str(value)) else set())
    return frozenset(about), named is not None and suits(table, order, named)


def suits(table: Materials, order: ContrastOrder, agent: Agent) -> bool:
    """Whether the agent may be given to this patient for this exam."""
    again = agent.key == order.person.conditions.get("contrast_reaction_agent")
    risky = agent.group in (1, 3) and (order.person.egfr < 30 or bool(order.person.conditions["acute_kidney_injury"]))
    usable = not order.exam.strengths or bool(set(agent.strengths) & set(order.exam.strengths))
    return agent.contrast == order.exam.contrast and usable and not again and not risky


def _named(table: Materials, values: Iterable[Any]) -> Agent | None:
    """The agent that a value names, by key or by any of its names."""
    for value in values:
        for agent in table.agents.values():
            if any(name in str(value).lower() for name in (agent.key, *agent.names)):
                return agent
    return None


def _strengths(table: Materials, order: ContrastOrder) -> set[float]:
    made = {each for agent in right_agents(table, order.exam) for each in agent.strengths}
    return {float(each) for each in made if not order.exam.strengths or each in order.exam.strengths}


def _volume(table: Materials, order: ContrastOrder, value: Any, agent: Agent | None) -> bool | None:
    agents = [agent] if agent is not None else right_agents(table, order.exam)
    ranges = [right_volume(order.exam, each, order.person.weight_kg) for each in agents]
    judged = [_within(value, each) for each in ranges if each is not None]
    return any(judged) if judged else None


def _within(value: Any, limits: tuple[float, float] | None) -> bool | None:
    if limits is None:
        return None
    number = _number(value)
    return number is not None and limits[0] * (1 - LEEWAY) <= number <= limits[1] * (1 + LEEWAY)


def _number(value: Any) -> float | None:
    found = re.search(r"\d+(\.\d+)?", str(value))
    return None if found is None else float(found[0])
