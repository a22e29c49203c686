"""One order item with everything that the rules ask of it: its exam, its patient, and how urgent it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from examlane import EncounterClass, ExamItem, OrderItemView, OrderView, PatientView, Priority, RuleBook

ACUTE = (EncounterClass.INPATIENT, EncounterClass.EMERGENCY)
FLAGS = ("barium", "thyroid_isotope", "thyroid_uptake", "oral_mannitol", "bowel_preparation", "full_bladder")
DAY = 86400


@dataclass(frozen=True, slots=True)
class Case:
    """An order item, and the cleaned clinical facts of its order (`known`)."""

    order: OrderView
    view: OrderItemView
    patient: PatientView
    now: datetime
    settings: Mapping[str, Any]
    rules: RuleBook
    known: Mapping[str, Any]

    @property
    def item(self) -> ExamItem:
        return self.view.item

    @property
    def contrast(self) -> str:
        return contrast_of(self.item)

    @property
    def urgent(self) -> bool:
        emergency = self.order.encounter.encounter_class is EncounterClass.EMERGENCY
        return emergency or self.order.priority is not Priority.ROUTINE

    @property
    def acute(self) -> bool:
        """Whether the kidneys may change within days: on the ward, in an emergency, or injured."""
        return self.order.encounter.encounter_class in ACUTE or bool(self.known["acute_kidney_injury"])

    @property
    def age(self) -> int | None:
        return self.patient.age_on(self.now.date())

    @property
    def ionising(self) -> bool:
        """As the catalogue says; where it says nothing, by the modality."""
        modalities = self.rules["ionising"].table["data"]["modalities"]
        return bool(self.item.attributes.get("ionising", self.item.modality in modalities))

    def facts(self) -> dict[str, Any]:
        """What is known of patient and exam, before kidneys, injection and note are looked at."""
        since = self.known["last_iodine_contrast_at"]
        contrast, arterial = self.contrast, self.item.attributes.get("route") == "intra_arterial"
        return {
            **self.known,
            **exam_facts(self.item),
            "urgent": self.urgent,
            "acute": self.acute,
            "age": self.age,
            "sex": self.patient.sex.value,
            "ionising": self.ionising,
            "pregnancy_matters": self.ionising or contrast in ("iodine", "gadolinium") or self.item.modality == "MR",
            "first_pass": arterial or self.known["icu"] or "icu" in self.order.encounter.needs,
            "renal_emboli_risk": arterial and self.item.attributes.get("renal_emboli_risk") is not False,
            "kidney_injury_recorded": "acute_kidney_injury" in self.order.context,
            "premedication_started_at": self._premedicated_since(),
            "days_since_iodine": (self.now - since).total_seconds() / DAY if since else None,
            "abdomen_ct_ordered": any(_is_abdomen_ct(other.item) for other in self.order.items),
        }

    def _premedicated_since(self) -> datetime | None:
        """When premedication began; what began too long ago protects no longer."""
        started = self.known["premedication_started_at"]
        holds = timedelta(hours=self.rules["premedication_holds"]["hours"])
        return started if started and self.now - started <= holds else None


def exam_facts(item: ExamItem) -> dict[str, Any]:
    """What the rules ask of an exam: its kind, and the catalogue's flags, which are no while they are not set."""
    attributes = item.attributes
    return {
        "contrast": contrast_of(item),
        "modality": item.modality,
        "protocol": attributes.get("contrast_protocol") or "none",
        "tracer": attributes.get("tracer") or "none",
        **{name: attributes.get(name) is True for name in FLAGS},
    }


def contrast_of(item: ExamItem) -> str:
    """The class of contrast that an item is done with, `none` for a plain one."""
    return str(item.attributes.get("contrast") or "none")


def _is_abdomen_ct(item: ExamItem) -> bool:
    return item.modality == "CT" and item.body_part == "abdomen" and contrast_of(item) == "iodine"
