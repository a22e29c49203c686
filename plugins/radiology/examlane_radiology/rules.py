"""What radiology says of an order: one function a subject, each from the facts of one case to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from examlane import (
    EncounterClass,
    Fact,
    Finding,
    FindingKind,
    OrderItemView,
    OrderView,
    PatientView,
    Priority,
    Rule,
    Sex,
    Text,
)
from examlane_radiology import dose, facts, renal
from examlane_radiology.rulebase import RULES

IODINE = "iodine"
GADOLINIUM = "gadolinium"
ACUTE = (EncounterClass.INPATIENT, EncounterClass.EMERGENCY)


@dataclass(frozen=True, slots=True)
class Case:
    """One order item with everything the rules ask of it."""

    order: OrderView
    item: OrderItemView
    patient: PatientView
    now: datetime
    settings: Mapping[str, Any]

    @property
    def context(self) -> Mapping[str, Fact]:
        return self.order.context

    @property
    def contrast(self) -> str:
        return str(self.item.item.attributes.get("contrast") or "")

    @property
    def urgent(self) -> bool:
        emergency = self.order.encounter.encounter_class is EncounterClass.EMERGENCY
        return emergency or self.order.priority is Priority.STAT

    @property
    def age(self) -> int | None:
        return self.patient.age_on(self.now.date())

    @property
    def ionising(self) -> bool:
        """As the catalogue says; where it says nothing, by the modality."""
        modalities = self.rule("pregnant_ionising")["modalities"]
        return bool(self.item.item.attributes.get("ionising", self.item.item.modality in modalities))

    def rule(self, name: str) -> Rule:
        return RULES.rule(name, self.settings)

    def answer(self, name: str) -> bool | None:
        return facts.answer(self.context, name)

    def find(self, name: str, **words: Any) -> Finding:
        return self.rule(name).finding(self.item.key, urgent=self.urgent, **words)

    def egfr(self) -> renal.Egfr | None:
        return renal.newest_egfr(self.patient, self.context, self.settings)


def validate(
    order: OrderView, patient: PatientView, now: datetime, settings: Mapping[str, Any]
) -> list[Finding]:
    """Everything the rule base says of an order's items."""
    cases = [Case(order, item, patient, now, settings) for item in order.items]
    return [finding for case in cases for subject in SUBJECTS for finding in subject(case)]


def injection(case: Case) -> Iterator[Finding]:
    """Agent, volume, flow and cannula, filled in; the weight is asked for while it is unknown."""
    if not case.contrast:
        return
    protocol = dose.protocol(case.item.item, case.settings)
    if protocol is None:
        yield case.find("protocol_unknown")
        return
    agent = case.rule(f"agent.{protocol['agent']}")
    yield _fill(case, protocol, "agent", protocol["agent"], agent.text())
    weight = facts.number(case.context, "weight_kg", case.settings)
    volume = dose.volume_ml(protocol, agent, weight)
    if volume is None:
        yield case.find("weight_unknown")
    else:
        yield _fill(case, protocol, "volume_ml", volume, case.rule("volume_ml").text(volume=volume))
    yield from _rate(case, protocol)


def _rate(case: Case, protocol: Rule) -> Iterator[Finding]:
    child = case.rule("child_rate")
    if "flow_ml_s" not in protocol.parameters:
        return
    if case.age is None or case.age < child["below_age"]:
        yield child.finding(case.item.key)
        return
    flow = protocol["flow_ml_s"]
    gauge = dose.cannula(flow, case.settings)
    yield _fill(case, protocol, "flow_ml_s", flow, case.rule("flow_ml_s").text(flow=flow))
    yield _fill(case, case.rule("cannula"), "cannula", gauge, case.rule("cannula").text(gauge=gauge))


def _fill(case: Case, proof: Rule, field: str, value: Any, text: Text) -> Finding:
    return Finding(
        kind=FindingKind.FILL,
        code=f"radiology.{field}",
        text=text,
        item=case.item.key,
        rule=proof.id,
        rule_version=proof.version,
        source=proof.source,
        field=field,
        value=value,
    )


def kidneys(case: Case) -> Iterator[Finding]:
    """The eGFR that is needed, its age, and the risk of iodine."""
    if case.contrast not in case.rule("egfr_unknown")["contrast"]:
        return
    egfr = case.egfr()
    if renal.needs_egfr(case.patient, case.context, case.now.date(), case.settings):
        yield from _usable(case, egfr)
    if renal.at_risk(egfr, case.context, case.settings):
        yield case.find("kidney_risk")
    elif egfr is not None and egfr.value < case.rule("kidney_caution")["below"]:
        yield case.find("kidney_caution", egfr=round(egfr.value))


def _usable(case: Case, egfr: renal.Egfr | None) -> Iterator[Finding]:
    acute = case.order.encounter.encounter_class in ACUTE or case.answer("acute_kidney_injury") is True
    if egfr is None:
        yield case.find("egfr_unknown")
    elif renal.is_expired(egfr, acute, case.now, case.settings):
        yield case.find("egfr_expired", days=case.rule("egfr_expired")["acute_days" if acute else "stable_days"])


def metformin(case: Case) -> Iterator[Finding]:
    """Iodine and metformin: nothing to do while the kidneys work, a pause when they do not."""
    if case.contrast != IODINE:
        return
    taken = case.answer("metformin")
    if taken is None:
        yield case.find("metformin_unknown")
    elif taken and renal.at_risk(case.egfr(), case.context, case.settings):
        yield case.find("metformin")


def reaction(case: Case) -> Iterator[Finding]:
    """An earlier reaction to contrast, by its grade; premedication needs its lead time."""
    if not case.contrast:
        return
    grade = case.order.known("contrast_reaction")
    if grade not in case.rule("reaction_unknown")["grades"]:
        yield case.find("reaction_unknown")
        return
    if grade != "none":
        yield case.find(f"reaction_{grade}")
    if grade in case.rule("premedication")["grades"]:
        hours = case.rule("premedication")["urgent_hours" if case.urgent else "hours"]
        yield case.find("premedication", until=case.now + timedelta(hours=hours), lead=hours)


def thyroid(case: Case) -> Iterator[Finding]:
    """Iodine can set off a thyroid storm in untreated hyperthyroidism."""
    if case.contrast != IODINE:
        return
    untreated = case.answer("hyperthyroidism")
    if untreated:
        yield case.find("hyperthyroidism")
    elif untreated is None:
        yield case.find("hyperthyroidism_unknown")


def pregnancy(case: Case) -> Iterator[Finding]:
    """Radiation and gadolinium in pregnancy, and asking while it is possible and unknown."""
    if not (case.ionising or case.contrast == GADOLINIUM):
        return
    pregnant = case.answer("pregnant")
    if pregnant:
        yield case.find("pregnant_ionising" if case.ionising else "pregnant_gadolinium")
    elif pregnant is None and _may_be_pregnant(case):
        yield case.find("pregnancy_unknown")


def _may_be_pregnant(case: Case) -> bool:
    ages = case.rule("pregnancy_unknown")
    possible = case.age is None or ages["from_age"] <= case.age <= ages["to_age"]
    return possible and case.patient.sex is not Sex.MALE


def note(case: Case) -> Iterator[Finding]:
    """A free-text note that asks for contrast, or for none, where no item of the order and modality is coded so."""
    words = case.rule("note_contradicts_order")
    modality = case.item.item.modality
    text = case.order.note.casefold()
    enhanced = _mentions(_without(text, words["plain"]), words["enhanced"])
    if modality not in words["modalities"] or not (enhanced or _mentions(text, words["plain"])):
        return
    alike = [other.item for other in case.order.items if other.item.modality == modality]
    coded = {bool(item.attributes.get("contrast")) for item in alike}
    if enhanced not in coded:
        yield case.find("note_contradicts_order")


def _mentions(text: str, words: Sequence[str]) -> bool:
    return any(word in text for word in words)


def _without(text: str, words: Sequence[str]) -> str:
    for word in words:
        text = text.replace(word, " ")
    return text


SUBJECTS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    injection,
    kidneys,
    metformin,
    reaction,
    thyroid,
    pregnancy,
    note,
)
