"""Kidney function: the newest eGFR, who needs one, whether it still counts, and the class that intervals go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from examlane import Fact, PatientView, Rule, RuleBook, Sex

UNDATED = datetime.min.replace(tzinfo=UTC)
DAY = 86400


@dataclass(frozen=True, slots=True)
class Egfr:
    """An estimated filtration rate (ml/min/1.73 m²), measured or computed, and when its sample was taken."""

    value: float
    observed_at: datetime | None

    def age_days(self, now: datetime) -> float | None:
        """How many days ago the sample was taken; None while that is unknown, or said to be still to come."""
        if self.observed_at is None or self.observed_at > now:
            return None
        return (now - self.observed_at).total_seconds() / DAY


def facts(
    patient: PatientView,
    context: Mapping[str, Fact],
    known: Mapping[str, Any],
    acute: bool,
    now: datetime,
    rules: RuleBook,
) -> dict[str, Any]:
    """What the rules ask of the kidneys: `egfr`, its state (none, old, current), whether one is needed, injury."""
    egfr = newest(patient, context, known, rules)
    injured = known["acute_kidney_injury"] or known["dialysis"]
    found = {
        "egfr": egfr.value if egfr else None,
        "egfr_age_days": egfr.age_days(now) if egfr else None,
        "kidneys_injured": injured,
        "acute": acute,
    }
    asked = {**known, **found, "age": patient.age_on(now.date())}
    old = _truth(rules["egfr_old"], found)
    state = "none" if egfr is None else "old" if old else "current"
    return {
        **found,
        "egfr_state": state,
        "current_egfr": egfr.value if egfr and state == "current" else None,
        "egfr_needed": _truth(rules["egfr_needed"], asked),
        "egfr_days": rules["egfr_old"]["acute_days" if acute else "stable_days"],
    }


def _truth(rule: Rule, found: Mapping[str, Any]) -> bool | None:
    return None if rule.is_unknown(found) else rule.decide(found) != "nothing"


def newest(patient: PatientView, context: Mapping[str, Fact], known: Mapping[str, Any], rules: RuleBook) -> Egfr | None:
    """The reported eGFR, or the one computed from a newer creatinine."""
    found = [
        _reported(context, known),
        _computed(patient, context, known, "creatinine_umol_l", 1, rules),
        _computed(patient, context, known, "creatinine_mg_dl", rules["ckd_epi"]["umol_l_per_mg_dl"], rules),
    ]
    return max(filter(None, found), key=lambda egfr: (egfr.observed_at or UNDATED, -egfr.value), default=None)


def _reported(context: Mapping[str, Fact], known: Mapping[str, Any]) -> Egfr | None:
    value = known["egfr"]
    return None if value is None else Egfr(value, context["egfr"].observed_at)


def _computed(
    patient: PatientView,
    context: Mapping[str, Fact],
    known: Mapping[str, Any],
    name: str,
    factor: float,
    rules: RuleBook,
) -> Egfr | None:
    creatinine = known[name]
    observed_at = context[name].observed_at if creatinine is not None else None
    age = patient.age_on(observed_at.date()) if observed_at else None
    if creatinine is None or age is None or patient.sex is Sex.UNKNOWN or age < rules["ckd_epi"]["from_age"]:
        return None
    return Egfr(ckd_epi(creatinine * factor, age, patient.sex, rules), observed_at)


def ckd_epi(creatinine_umol_l: float, age: int, sex: Sex, rules: RuleBook) -> float:
    """The CKD-EPI equation of 2021, without race, for adults."""
    numbers = rules["ckd_epi"]
    female = sex is Sex.FEMALE
    milligrams = creatinine_umol_l / numbers["umol_l_per_mg_dl"]
    ratio = milligrams / numbers["kappa_female" if female else "kappa_male"]
    alpha = numbers["alpha_female" if female else "alpha_male"]
    value = numbers["factor"] * min(ratio, 1) ** alpha * max(ratio, 1) ** numbers["beta"] * numbers["age_base"] ** age
    return float(value * (numbers["female_factor"] if female else 1))


def kidney_class(found: Mapping[str, Any], rules: RuleBook) -> str:
    """normal, moderate or severe. Without a current eGFR: the worst for whoever needs one, or may need one."""
    bounds = rules["kidney_class"]
    egfr = found["egfr"]
    if found["kidneys_injured"] or (egfr is not None and egfr < bounds["severe_below"]):
        return "severe"
    if found["egfr_state"] != "current":
        return "normal" if found["egfr_needed"] is False and egfr is None else "severe"
    return "normal" if egfr > bounds["normal_above"] else "moderate"
