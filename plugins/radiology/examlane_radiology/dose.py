"""Which agent, how much and how fast: by the item's protocol, the patient's weight and the agent's concentration."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Any

from examlane import ExamItem, Rule
from examlane_radiology.rulebase import RULES


def protocol(item: ExamItem, settings: Mapping[str, Any]) -> Rule | None:
    """The injection protocol of an item: its own, else the one of its kind of contrast, else none."""
    usual = RULES.rule("protocol_unknown", settings)["usual"]
    name = item.attributes.get("contrast_protocol") or usual.get(item.attributes.get("contrast"))
    return RULES.rule(f"protocol.{name}", settings) if f"protocol.{name}" in RULES.tables else None


def needs_weight(injection: Rule) -> bool:
    return "per_kg" in injection.parameters


def volume_ml(injection: Rule, agent: Rule, weight_kg: float | None) -> float | None:
    """The volume: a fixed one, or by weight up to the cap, rounded down; None while the weight is unknown."""
    if not needs_weight(injection):
        return float(injection["fixed_ml"])
    if weight_kg is None:
        return None
    wanted = min(injection["per_kg"] * weight_kg / agent["concentration"], injection["cap_ml"])
    # Rounded to a millionth first: 7.0 / 0.1 is 69.99… in binary and must not lose a step.
    steps = floor(round(wanted / injection["step_ml"], 6))
    return float(round(steps * injection["step_ml"], 3))


def cannula(flow_ml_s: float, settings: Mapping[str, Any]) -> str:
    """The thinnest cannula that carries a flow."""
    gauges = RULES.rule("cannula", settings)
    if flow_ml_s >= gauges["from_18g"]:
        return "18G"
    return "20G" if flow_ml_s >= gauges["from_20g"] else "22G"
