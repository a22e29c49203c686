"""What the doctor wrote by hand into the note, agent, volume and flow, where the order's own fields are empty."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from examlane import OrderView, RuleBook
from examlane_radiology import agents
from examlane_radiology.case import contrast_of
from examlane_radiology.clauses import Clause, Reader

FIELDS = ("contrast_agent", "contrast_volume_ml", "contrast_flow_ml_s")
VOLUME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*(?:ml|毫升)(?!\s*/\s*s|/秒)")
FLOW = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*(?:ml|毫升)\s*/\s*(?:s|秒)")


def entry(order: OrderView, known: Mapping[str, Any], rules: RuleBook) -> dict[str, Any]:
    """The facts that the note adds: nothing when the doctor filled in the fields, or the note names several agents."""
    kinds = {contrast_of(view.item) for view in order.items} - {"none"}
    if not order.note.strip() or len(kinds) != 1 or any(known[name] is not None for name in FIELDS):
        return {}
    words = rules["note_words"].table["data"]
    clauses = [each for each in Reader(words).clauses(order.note) if not each.past and not each.conditional]
    named = {_named(clause, words, rules) for clause in clauses} - {""}
    if len(named) != 1 or len(agents.substances(next(iter(named)), rules)) != 1:
        return {}
    text = named.pop()
    return {"contrast_agent": text, **_numbers(text, clauses)}


def _named(clause: Clause, words: Mapping[str, Any], rules: RuleBook) -> str:
    """A clause from the agent's name on; nothing when the agent is refused or named for a reaction."""
    start = agents.first_name(clause.text, rules)
    if start is None or re.search("|".join(words["reactions"]), clause.text):
        return ""
    refused = rf"(?:{'|'.join(words['refusals'])})(?:{'|'.join(words['filler'])})*\s*$"
    return "" if re.search(refused, clause.text[:start]) else clause.text[start:]


def _numbers(text: str, clauses: Sequence[Clause]) -> dict[str, float]:
    """Volume and flow behind the name, or in a clause of their own."""
    found: dict[str, float] = {}
    for place in (text, *(clause.text for clause in clauses)):
        for name, pattern in (("contrast_volume_ml", VOLUME), ("contrast_flow_ml_s", FLOW)):
            number = pattern.search(place)
            if number and name not in found:
                found[name] = float(number[1])
    return found
