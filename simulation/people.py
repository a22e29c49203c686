"""Patients of the contrast stream: an ordinary hospital population, with the facts a hospital knows of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from examlane import Fact, Sex

MISSING = 0.10
"""How often a fact that nobody needs for the truth of the case is not on record."""
UMOL_PER_MG_DL = 88.4

TOPICS = {
    "weight_kg": "dose",
    "contrast_reaction": "reaction",
    "hyperthyroidism": "thyroid",
    "metformin": "metformin",
    "pregnant": "pregnancy",
    "lactating": "lactation",
    "acute_kidney_injury": "kidney",
    "renal_history": "kidney",
    "diabetes": "kidney",
    "hypertension": "kidney",
}
"""What a system may rightly ask about when the fact is missing."""

MATTERS = {
    "kidney": ("iodine", "gadolinium"),
    "metformin": ("iodine",),
    "thyroid": ("iodine", "thyroid_isotope"),
    "reaction": ("enhanced",),
    "dose": ("enhanced",),
    "lactation": ("enhanced", "isotope"),
    "pregnancy": ("ionising", "gadolinium", "mr"),
}
"""For which exams (tags) the sources speak of it at all: nobody needs an eGFR before a plain CT."""


@dataclass(frozen=True, slots=True)
class Person:
    """A patient. `egfr` ml/min/1.73 m²; `sample_days` before the order, None: never measured; `conditions` by fact name."""

    sex: Sex
    age: int
    weight_kg: float
    height_cm: int
    egfr: float
    sample_days: float | None
    conditions: Mapping[str, Any]

    def birth_date(self, today: date) -> date:
        """A birthday that makes the patient this old, half a year ago."""
        return today - timedelta(days=int((self.age + 0.5) * 365.2425))

    def needs_egfr(self) -> bool:
        """Who needs an eGFR before an iodinated agent (ACR; domain.md §2.2)."""
        risks = ("renal_history", "hypertension", "diabetes", "metformin")
        return self.age > 60 or any(self.conditions.get(each) for each in risks)


def person(random: Random, make: Mapping[str, Any], contrast: str) -> Person:
    """Somebody for whom an exam with this class of agent is right, except for what the case names."""
    sex = Sex(make["sex"]) if "sex" in make else random.choice((Sex.FEMALE, Sex.MALE))
    age = _age(random, make.get("age"))
    conditions = _conditions(random, sex, age) | make.get("facts", {})
    weight = random.gauss(67, 10) if sex is Sex.MALE else random.gauss(58, 9)
    if "weight_kg" in make:
        weight = random.uniform(*make["weight_kg"])
    egfr = min(120.0, max(62.0, random.gauss(118 - 0.65 * (age - 20), 11)))
    if "egfr" in make:
        egfr = random.uniform(*make["egfr"])
    someone = Person(
        sex, age, round(min(110.0, max(36.0, weight)), 1), round(random.gauss(170 if sex is Sex.MALE else 159, 6)), egfr,
        None, conditions,
    )  # fmt: skip
    return Person(sex, age, someone.weight_kg, someone.height_cm, egfr, _sample(random, make, someone, contrast), conditions)


def _age(random: Random, limits: tuple[int, int] | None) -> int:
    if limits is not None:
        return random.randint(*limits)
    return round(min(92.0, max(18.0, random.gauss(56, 17))))


def _conditions(random: Random, sex: Sex, age: int) -> dict[str, Any]:
    diabetes = random.random() < (0.04 if age < 45 else 0.17)
    found: dict[str, Any] = {
        "diabetes": diabetes,
        "hypertension": random.random() < (0.05 if age < 45 else 0.35),
        "renal_history": random.random() < 0.04,
        "asthma": random.random() < 0.03,
        "metformin": False,
        "acute_kidney_injury": False,
        "contrast_reaction": "none",
        "hyperthyroidism": False,
    }
    if sex is Sex.FEMALE and age <= 55:
        found |= {"pregnant": False, "lactating": False}
    return found


def _sample(random: Random, make: Mapping[str, Any], who: Person, contrast: str) -> float | None:
    if make.get("kidney") == "unknown":
        return None
    if "sample_days" in make:
        return random.uniform(*make["sample_days"])
    needed = contrast == "iodine" and who.needs_egfr()
    return random.uniform(0.1, 4) if needed or random.random() < 0.6 else None


def facts(random: Random, who: Person, make: Mapping[str, Any], now: datetime) -> tuple[dict[str, Fact], frozenset[str]]:
    """What is on record, and the topics of what is not."""
    known, hidden = _recorded(random, who, make, now)
    unknown = {TOPICS[name] for name in hidden if name in TOPICS}
    if who.sample_days is None:
        return known, frozenset(unknown | {"kidney"})
    return known | _kidney(random, who, now), frozenset(unknown)


def _recorded(random: Random, who: Person, make: Mapping[str, Any], now: datetime) -> tuple[dict[str, Fact], set[str]]:
    """The facts other than of the kidneys, and the names of those left out; what the case names is never left out."""
    values: dict[str, Any] = {"weight_kg": who.weight_kg, "height_cm": who.height_cm, **who.conditions}
    named = set(make.get("facts", ())) | ({"weight_kg"} if "entry" in make else set())
    hidden = set(make.get("unknown", ()))
    hidden |= {name for name in values if name not in named and random.random() < MISSING}
    known = {
        name: Fact(value, now - timedelta(hours=round(random.uniform(0.5, 72), 1)), "EMR")
        for name, value in values.items()
        if name not in hidden
    }
    return known, hidden


def _kidney(random: Random, who: Person, now: datetime) -> dict[str, Fact]:
    assert who.sample_days is not None
    at = now - timedelta(minutes=round(who.sample_days * 1440))
    creatinine = Fact(round(creatinine_umol_l(who.egfr, who.age, who.sex), 1), at, "LIS")
    egfr = Fact(round(who.egfr, 1), at, "LIS")
    shape = random.random()
    if shape < 0.6:
        return {"creatinine_umol_l": creatinine}
    return {"egfr": egfr} if shape < 0.8 else {"egfr": egfr, "creatinine_umol_l": creatinine}


def creatinine_umol_l(egfr: float, age: int, sex: Sex) -> float:
    """The serum creatinine (µmol/l) that gives this eGFR by CKD-EPI 2021 (Inker, N Engl J Med 2021;385:1737)."""
    kappa, alpha, factor = (0.7, -0.241, 1.012) if sex is Sex.FEMALE else (0.9, -0.302, 1.0)
    at_kappa = 142 * factor * 0.9938**age
    ratio = (egfr / at_kappa) ** (1 / (alpha if egfr > at_kappa else -1.2))
    return float(ratio * kappa * UMOL_PER_MG_DL)
