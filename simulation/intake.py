"""Turns what was simulated into what the hospital takes in: orders, other exams of the patient, evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType

from examlane import EncounterClass, Fact, Priority, Sex
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from simulation.assessments import SedationOrder
from simulation.contrast_orders import ContrastOrder, Earlier
from simulation.materials import materials
from simulation.no_shows import EcgPatient

ENTRY_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "agent": "contrast_agent",
        "strength": "contrast_concentration_mg_ml",
        "volume_ml": "contrast_volume_ml",
        "rate_ml_s": "contrast_rate_ml_s",
    }
)
"""Under which names of clinical facts the doctor's coded entry is sent. The interface names none (docs/integration.md)."""




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
        context={**order.facts, **_coded(order, entry_names)},
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
    known = {"anticoagulant": Fact(order.anticoagulant, order.ordered_at, "EMR")}
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
            data={"asa": each.asa, "assessed_by": each.by, "conditions": list(each.conditions)},
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
    if order.entry is None or order.entry.where != "order":
        return {}
    values = {field: getattr(order.entry, field) for field in names}
    return {names[field]: Fact(value, order.ordered_at, "HIS") for field, value in values.items() if value is not None}
