"""The exercise test: the facts its rules look at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from examlane import Fact, OrderView, PatientView, Sex

AIDS = frozenset({"wheelchair", "stretcher"})
FLAGS = (
    "myocardial_infarction", "unstable_angina", "arrhythmia", "aortic_stenosis", "heart_failure", "pulmonary_embolism",
    "myocarditis", "aortic_dissection", "can_walk", "pregnant",
)  # fmt: skip
NUMBERS = ("systolic_mmhg", "diastolic_mmhg")


def facts(order: OrderView, patient: PatientView, now: datetime, zone: str) -> dict[str, Any]:
    """What is known of the patient, with the days since his infarction; what is missing or not readable is unknown."""
    known: dict[str, Any] = {name: _flag(order.known(name)) for name in FLAGS}
    known |= {name: _number(order.known(name)) for name in NUMBERS}
    days = _days_since(order.known("infarction_date"), now.astimezone(ZoneInfo(zone)).date())
    known["infarction_days"] = days
    known["infarction"] = True if days is not None else known["myocardial_infarction"]
    known["walking_aid"] = bool(order.encounter.needs & AIDS)
    if patient.sex is Sex.MALE:
        known["pregnant"] = False
    return known


def asthma(context: Mapping[str, Fact]) -> bool | None:
    """Whether the patient has asthma, as far as it is known."""
    fact = context.get("asthma")
    return None if fact is None else _flag(fact.value)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _days_since(day: Any, today: date) -> int | None:
    """Whole days since a day, or None while it is not readable or yet to come."""
    try:
        return days if (days := (today - date.fromisoformat(day)).days) >= 0 else None
    except (TypeError, ValueError):
        return None
