"""Turns what was simulated into what the hospital takes in: orders, other exams of the patient, evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from examlane import EncounterClass, Fact, Priority, Sex
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from simulation.assessments import Assessment, SedationOrder
from simulation.contrast_orders import ContrastOrder, Earlier
from simulation.materials import materials
from simulation.no_shows import EcgPatient

ENTRY_NAMES: Mapping[str, str] = MappingProxyType(
    {"agent": "contrast_agent", "volume_ml": "contrast_volume_ml", "rate_ml_s": "contrast_flow_ml_s"}
)
"""Under which names of clinical facts the doctor's coded entry is sent; the strength stands behind the agent's name."""
ASKED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "MR": ("implants",),
        "microbubble": ("microbubble_allergy", "right_to_left_shunt", "severe_pulmonary_hypertension", "ards"),
    }
)
"""What the stream leaves out and a careful hospital asks before every such exam."""
GRADES: Mapping[str, str] = MappingProxyType({"attending": "attending", "consultant": "associate_chief"})
"""The assessor's grade as the endoscopy names it."""
ASKED_BEFORE_SEDATION: Mapping[str, Any] = MappingProxyType({"escort": True, "pregnant": False})
"""What the stream leaves out and every nurse asks before sedation."""


def contrast_order(
    order: ContrastOrder, department: str, campus: str = "", entry_names: Mapping[str, str] = ENTRY_NAMES
) -> OrderData:
    """The order as the hospital information system sends it; `department` is the ordering one."""
    return OrderData(
        number=order.number,
        patient=_patient(order.number, order.person.sex, order.person.birth_date(order.ordered_at.date())),
        encounter=EncounterData(f"V-{order.number}", order.encounter_class, campus=campus),
        ordering_department=department,
        ordered_at=order.ordered_at,
        lines=(OrderLine(1, order.exam.item),),
        priority=order.priority,
        context={**_asked_at_every_exam(order), **order.facts, **_coded(order, entry_names)},
        note=order.note,
        verified=order.encounter_class is EncounterClass.INPATIENT,
    )


def other_exams(order: ContrastOrder, department: str, campus: str = "") -> Iterator[tuple[OrderData, Earlier]]:
    """The patient's exams before (or booked after) the order: an order for each, and when it takes place."""
    for index, each in enumerate(order.earlier, 1):
        data = OrderData(
            number=f"{order.number}-E{index}",
            patient=_patient(order.number, order.person.sex, order.person.birth_date(order.ordered_at.date())),
            encounter=EncounterData(f"V-{order.number}", order.encounter_class, campus=campus),
            ordering_department=department,
            ordered_at=min(each.starts_at, order.ordered_at) - timedelta(hours=1),
            lines=(OrderLine(1, materials().exams[each.exam].item),),
            verified=True,
        )
        yield data, each


def sedation_order(order: SedationOrder, department: str, campus: str = "") -> OrderData:
    """The order for a painless endoscopy."""
    said = {"anticoagulant": order.anticoagulant, **ASKED_BEFORE_SEDATION}
    known = {name: Fact(value, order.ordered_at, "EMR") for name, value in said.items()}
    return OrderData(
        number=order.number,
        patient=_patient(order.number, order.sex, order.birth_date),
        encounter=EncounterData(f"V-{order.number}", order.encounter_class, campus=campus),
        ordering_department=department,
        ordered_at=order.ordered_at,
        lines=(OrderLine(1, order.item),),
        context=known,
        verified=order.encounter_class is EncounterClass.INPATIENT,
    )


def evidence(order: SedationOrder, kind: str) -> Iterator[EvidenceData]:
    """The assessments of an order, in the order of time; `kind` is what the department calls them."""
    for each in order.assessments:
        yield EvidenceData(
            patient=Identifier("card", f"C-{order.number}"),
            kind=kind,
            outcome=each.outcome,
            observed_at=each.assessed_at,
            valid_until=each.valid_until,
            source="ANAESTHESIA",
            data=_assessed(each),
        )


def ecg_order(patient: EcgPatient, department: str, campus: str = "") -> OrderData:
    """The order for an ECG; half a year is taken as everybody's time since the last birthday."""
    return OrderData(
        number=patient.number,
        patient=_patient(patient.number, patient.sex, _born(patient.age, patient.ordered_at)),
        encounter=EncounterData(f"V-{patient.number}", patient.encounter_class, campus=campus),
        ordering_department=department,
        ordered_at=patient.ordered_at,
        lines=(OrderLine(1, patient.item),),
        priority=Priority.ROUTINE,
    )


def _patient(number: str, sex: Sex, born: date) -> PatientData:
    """Everybody is a patient of his own, known by a card."""
    return PatientData((Identifier("card", f"C-{number}"),), "模拟患者", sex, born)


def _born(age: int, at: datetime) -> date:
    return at.date() - timedelta(days=round((age + 0.5) * 365.2425))


def _coded(order: ContrastOrder, names: Mapping[str, str]) -> dict[str, Fact]:
    entry = order.entry
    if entry is None or entry.where != "order":
        return {}
    agent = entry.agent if entry.strength is None else f"{entry.agent} {entry.strength}"
    values = {"agent": agent, "volume_ml": entry.volume_ml, "rate_ml_s": entry.rate_ml_s}
    return {names[field]: Fact(value, order.ordered_at, "HIS") for field, value in values.items() if value is not None}


def _asked_at_every_exam(order: ContrastOrder) -> dict[str, Fact]:
    """What the stream leaves out and a careful hospital sends: the questionnaires of MR and of contrast ultrasound."""
    asked = (*ASKED.get(order.exam.modality, ()), *ASKED.get(order.exam.contrast, ()))
    return {name: Fact(False, order.ordered_at, "EMR") for name in asked}


def _assessed(assessment: Assessment) -> dict[str, Any]:
    """What the anaesthesia clinic reports: who assessed, the class, and what must be done first."""
    named = "needed_tests" if assessment.outcome == "deferred" else "conditions"
    who = {"assessor_role": "anaesthetist", "assessor_grade": GRADES[assessment.by]}
    return {"asa": assessment.asa, **who, named: list(assessment.conditions)}
