"""The facts that the rules read: of the item, the order and the patient. What is missing or cannot be read is None."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from examlane import EncounterClass, Fact, OrderItemView, OrderView, PatientView, Priority

KIND = "anaesthesia_assessment"
"""The gate, the evidence that opens it, and the word in `opens` of the items that are booked to have it opened."""
FLAGS = ("sleep_apnoea", "infarction", "full_stomach", "gastrointestinal_obstruction", "pregnant", "escort")
WORDS = ("copd", "child_pugh")
NUMBERS = ("months_since_infarction", "bmi", "weight_kg", "height_cm")
Context = Mapping[str, Fact]


def is_sedated(item: OrderItemView) -> bool:
    return bool(item.item.attributes.get("sedation"))


def is_deep(item: OrderItemView) -> bool:
    """Deep sedation or anaesthesia, unless the catalogue says that it is moderate."""
    return is_sedated(item) and item.item.attributes["sedation"] != "moderate"


def is_assessment(item: OrderItemView) -> bool:
    return item.item.attributes.get("opens") == KIND


def bleeding_risk(item: OrderItemView) -> str | None:
    """Of the procedure: low or high. A class nobody knows counts as high, and so does none with sedation."""
    risk = item.item.attributes.get("anticoagulant_risk")
    if risk is None and not is_sedated(item):
        return None
    return "low" if risk == "low" else "high"


def is_urgent(order: OrderView) -> bool:
    return order.priority is not Priority.ROUTINE or order.encounter.encounter_class is EncounterClass.EMERGENCY


def of_patient(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flags, words and numbers of a patient by their names, each None unless it is of its kind."""
    facts: dict[str, Any] = {name: flag(values.get(name)) for name in FLAGS}
    facts |= {name: word(values.get(name)) for name in WORDS}
    facts |= {name: number(values.get(name)) for name in NUMBERS}
    if facts["infarction"] is None and facts["months_since_infarction"] is not None:
        facts["infarction"] = True
    facts["bmi"] = facts["bmi"] if facts["bmi"] is not None else _bmi(facts["weight_kg"], facts["height_cm"])
    return facts


def values_of(context: Context) -> dict[str, Any]:
    return {name: fact.value for name, fact in context.items()}


def age(patient: PatientView, now: datetime) -> int | None:
    return patient.age_on(now.date())


def age_in_days(fact: Fact | None, now: datetime) -> float | None:
    """How old an observation is; None when nobody knows, or when it claims to be of the future."""
    if fact is None or fact.observed_at is None or fact.observed_at > now:
        return None
    return (now - fact.observed_at).total_seconds() / 86400


def flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def instant(value: Any) -> datetime | None:
    """An aware instant, or its ISO text; without an offset nobody knows which instant is meant."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return found if isinstance(found, datetime) and found.utcoffset() is not None else None


def _bmi(weight_kg: float | None, height_cm: float | None) -> float | None:
    if weight_kg is None or height_cm is None or height_cm <= 0:
        return None
    return weight_kg / (height_cm / 100) ** 2
