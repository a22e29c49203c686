"""Kidney function: the newest eGFR, who needs one, how long it holds, and the class that intervals go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from examlane import Fact, PatientView, Sex
from examlane_radiology import facts
from examlane_radiology.rulebase import RULES

UNDATED = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Egfr:
    """An estimated filtration rate (ml/min/1.73 m²), measured or computed, and when its sample was taken."""

    value: float
    observed_at: datetime | None


def newest_egfr(patient: PatientView, context: Mapping[str, Fact], settings: Mapping[str, Any]) -> Egfr | None:
    """The reported eGFR, or the one computed from a newer creatinine."""
    known = [found for found in (_reported(context, settings), _computed(patient, context, settings)) if found]
    return max(known, key=lambda egfr: egfr.observed_at or UNDATED, default=None)


def _reported(context: Mapping[str, Fact], settings: Mapping[str, Any]) -> Egfr | None:
    value = facts.number(context, "egfr", settings)
    return None if value is None else Egfr(value, context["egfr"].observed_at)


def _computed(patient: PatientView, context: Mapping[str, Fact], settings: Mapping[str, Any]) -> Egfr | None:
    creatinine = facts.number(context, "creatinine_umol_l", settings)
    observed_at = context["creatinine_umol_l"].observed_at if creatinine is not None else None
    age = patient.age_on(observed_at.date()) if observed_at else None
    if creatinine is None or age is None or patient.sex is Sex.UNKNOWN:
        return None
    if age < RULES.rule("ckd_epi", settings)["from_age"]:
        return None
    return Egfr(ckd_epi(creatinine, age, patient.sex, settings), observed_at)


def ckd_epi(creatinine_umol_l: float, age: int, sex: Sex, settings: Mapping[str, Any]) -> float:
    """The CKD-EPI equation of 2021, without race, for adults."""
    numbers = RULES.rule("ckd_epi", settings)
    female = sex is Sex.FEMALE
    milligrams = creatinine_umol_l / numbers["umol_l_per_mg_dl"]
    ratio = milligrams / numbers["kappa_female" if female else "kappa_male"]
    alpha = numbers["alpha_female" if female else "alpha_male"]
    value = numbers["factor"] * min(ratio, 1) ** alpha * max(ratio, 1) ** numbers["beta"] * numbers["age_base"] ** age
    return float(value * (numbers["female_factor"] if female else 1))


def needs_egfr(
    patient: PatientView, context: Mapping[str, Fact], today: date, settings: Mapping[str, Any]
) -> bool:
    """Whether the patient has a reason to know the eGFR before iodine; an unknown age is one."""
    wanted = RULES.rule("egfr_unknown", settings)
    age = patient.age_on(today)
    return age is None or age > wanted["above_age"] or any(facts.answer(context, name) for name in wanted["conditions"])


def is_expired(egfr: Egfr, acute: bool, now: datetime, settings: Mapping[str, Any]) -> bool:
    """Whether an eGFR is too old to rely on; one without a date is."""
    days = RULES.rule("egfr_expired", settings)["acute_days" if acute else "stable_days"]
    return egfr.observed_at is None or now - egfr.observed_at > timedelta(days=days)


def at_risk(egfr: Egfr | None, context: Mapping[str, Fact], settings: Mapping[str, Any]) -> bool:
    """Whether iodine endangers the kidneys: acute injury, or an eGFR below the threshold."""
    injured = facts.answer(context, "acute_kidney_injury") is True
    return injured or (egfr is not None and egfr.value < RULES.rule("kidney_risk", settings)["below"])


def kidney_class(
    patient: PatientView, context: Mapping[str, Fact], today: date, settings: Mapping[str, Any]
) -> str:
    """normal, moderate or severe; while unknown the strictest for whoever needs an eGFR."""
    bounds = RULES.rule("kidney_class", settings)
    egfr = newest_egfr(patient, context, settings)
    if facts.answer(context, "acute_kidney_injury"):
        return "severe"
    if egfr is None:
        return "severe" if needs_egfr(patient, context, today, settings) else "normal"
    if egfr.value < bounds["severe_below"]:
        return "severe"
    return "normal" if egfr.value > bounds["normal_above"] else "moderate"
