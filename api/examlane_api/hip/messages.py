"""What each document says, as plain values: still in the platform's codes, every field checked with its path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from marshmallow import ValidationError

from examlane.corrections.refunds import RefundData
from examlane.domain import Text
from examlane.orders.evidence import EvidenceData
from examlane.orders.patients import Identifier
from examlane.orders.release import PaymentData
from examlane.records.inbox import Missing
from examlane_api.hip.frame import MISSING, Part
from examlane_api.hip.profiles import Profile
from examlane_api.rest.fields import OrderNumber
from examlane_api.soap.booking.message import clinical

APPLICATION = "controlActProcess/subject/observationRequest"
PRIORITY, DEPARTMENT, ITEM, STATUS, STAFF = "priority", "department", "item", "status", "staff"
BAD_ORDER_NUMBER = Text("申请单号只能含字母、数字和 . _ : -", "an order number has ASCII letters, digits and . _ : -")
NO_PATIENT = Text("没有可识别的患者标识", "no patient identifier that is mapped")
DRAWING = "data:image/"
Reader = Callable[[Part, Profile], Any]
"""Reads a document; what is wrong in it is noted, not raised."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A code of the platform with the name that came with it."""

    code: str
    name: str = ""

    def missing(self, kind: str) -> Missing:
        return Missing(kind, self.code, self.name)


@dataclass(frozen=True, slots=True)
class Person:
    """A patient as a document names him."""

    identifiers: tuple[Identifier, ...]
    name: str
    sex: str = ""
    birth_date: date | None = None
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Encounter:
    """A visit to the hospital: its number, class, ward and bed."""

    number: str
    encounter_class: str
    patient: Person
    ward: str = ""
    bed: str = ""


@dataclass(frozen=True, slots=True)
class OrderedItem:
    """One exam of an application form; `placer` is its 医嘱号."""

    placer: str
    item: Coded
    site: str = ""


@dataclass(frozen=True, slots=True)
class Application:
    """An application form (检查申请单): placed, changed, or void."""

    number: str
    active: bool
    ordered_at: datetime
    doctor: str
    department: Coded
    priority: Coded
    verified: bool
    encounter: Encounter
    items: tuple[OrderedItem, ...]
    diagnosis: str = ""
    note: str = ""
    drawing: str = ""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What a department's system says happened to the exams of an application form."""

    order: str
    status: Coded
    at: datetime
    department: Coded


@dataclass(frozen=True, slots=True)
class MergeReport:
    """Two patients are one: who stays, who goes into him, and what he is called; `nullified`: they are not."""

    keep: Identifier
    merged: Identifier
    name: str = ""
    nullified: bool = False


@dataclass(frozen=True, slots=True)
class EncounterMessage:
    """A registration, an admission, a transfer, a discharge or a death; `update` of one that was told, or `nullified`."""

    event: str
    at: datetime
    encounter: Encounter
    update: bool = False
    nullified: bool = False


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Entries of a dictionary that the platform publishes: departments, staff, terms."""

    kind: str
    entries: tuple[Coded, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """The queue called a patient; `absent` if he was not there."""

    appointment: str
    absent: bool


# The standard's documents


def application(root: Part, profile: Profile) -> Application:
    """CheckAppInfoAdd and CheckAppInfoUpdate."""
    form = root.part(APPLICATION)
    verifier = form.part("verifier")
    text = form.raw("text", "value")
    drawn = profile.drawings and text.startswith(DRAWING)
    return Application(
        number=order_number(form, "id/item"),
        active=form.raw("statusCode", "code").lower() != "inactive",
        ordered_at=form.instant("author/time"),
        doctor=form.words("author/assignedEntity/assignedPerson/name/item/part"),
        department=_organization(form, "author/assignedEntity/representedOrganization"),
        priority=Coded(form.code("priorityCode", "code", required=False), form.words("priorityCode/displayName")),
        verified=profile.verifier_releases and verifier.maybe_instant("time") is not None,
        encounter=_encounter(form.part("componentOf1/encounter"), profile),
        items=tuple(_ordered_item(each.part("observationRequest")) for each in _some(form, "component2")),
        diagnosis=form.words("componentOf1/encounter/pertinentInformation1/observationDx/value/displayName"),
        note=form.words("subjectOf6/annotation/text", most=2000, lines=True) if profile.notes else "",
        drawing=text if drawn else "",
    )


def _ordered_item(request: Part) -> OrderedItem:
    item = Coded(request.code("code", "code"), request.words("code/displayName", most=128))
    return OrderedItem(request.code("id/item"), item, request.words("targetSiteCode/item/displayName"))


def status_reports(root: Part, profile: Profile) -> tuple[StatusReport, ...]:
    """CheckStatusInfoUpdate: one report for each application form in it."""
    group = root.part("controlActProcess/subject/placerGroup")
    return tuple(_status_report(each.part("observationRequest")) for each in _some(group, "component2"))


def _status_report(request: Part) -> StatusReport:
    code = "component1/processStep/code"
    return StatusReport(
        order_number(request, "id/item"),
        Coded(request.code(code, "code"), request.words(f"{code}/displayName")),
        request.instant("performer/time/low"),
        _organization(request, "location/serviceDeliveryLocation/serviceProviderOrganization", required=False),
    )


def person(root: Part, profile: Profile) -> Person:
    """PatientInfoRegister and PatientInfoUpdate: the first patient in the control act."""
    return _person(_first(root, "patient"), profile)


def merge(root: Part, profile: Profile) -> MergeReport:
    """PatientInfoMerge: the registered patient stays, the prior registration goes into him."""
    event = root.part("controlActProcess/subject/registrationEvent")
    prior = "replacementOf/priorRegistration/subject1/priorRegisteredRole"
    stays = event.part("subject1/patient")
    name = stays.words("patientPerson/name/item/part")
    return MergeReport(_identity(stays, profile), _identity(event.part(prior), profile), name, _nullified(event))


def _nullified(event: Part) -> bool:
    """HL7's word for what was reported by mistake."""
    return event.raw("statusCode", "code").lower() == "nullified"


def encounter(event: str, *, update: bool = False) -> Reader:
    """InPatientInfo (admission), TransferInfo, DischargeInfo and OutPatientInfo (registration)."""

    def reader(root: Part, profile: Profile) -> EncounterMessage:
        found = _first(root, "encounterEvent") or _first(root, "encounter")
        edge = "high" if event == "discharge" else "low"
        at = found.maybe_instant(f"effectiveTime/{edge}") or root.instant("creationTime")
        died = event == "discharge" and found.raw("dischargeDispositionCode", "code") == profile.death_code
        told = "death" if died else event
        return EncounterMessage(told, at, _encounter(found, profile), update, _nullified(found))

    return reader


def dictionary(kind: str, element: str) -> Reader:
    """OrganizationInfo, ProviderInfo and Terminology: every entry with its code and name."""

    def reader(root: Part, profile: Profile) -> Dictionary:
        act = root.part("controlActProcess")
        found = [] if act.element is None else act.parts(f".//{element}")
        entries = tuple(_entry(each) for each in found)
        if not entries:
            act.wrong(f".//{element}", "", MISSING)
        return Dictionary(kind, entries)

    return reader


def _entry(element: Part) -> Coded:
    """An entry is coded by `id/item/@extension`, or as a term by `code/@code`."""
    name = element.words("name/item/part", most=128) or element.words("assignedPerson/name/item/part", most=128)
    if element.part("id/item"):
        return Coded(element.code("id/item"), name)
    return Coded(element.code("code", "code"), element.words("code/displayName", most=128) or name)


# Our own documents


def payment(root: Part, profile: Profile) -> PaymentData:
    paid = root.part("payment")
    return PaymentData(
        order_number(paid, "orderNo", ""), paid.instant("paidAt", ""), _lines(paid),
        paid.raw("amount", ""), paid.words("settlementNo", ""),
    )  # fmt: skip


def refund(root: Part, profile: Profile) -> RefundData:
    found = root.part("refund")
    return RefundData(
        order_number(found, "orderNo", ""), found.raw("kind", ""), found.instant("at", ""), _lines(found),
        found.raw("amount", ""), found.words("settlementNo", ""),
    )  # fmt: skip


def assessment(root: Part, profile: Profile) -> EvidenceData:
    found = root.part("assessment")
    identifier = found.part("patient")
    return EvidenceData(
        patient=Identifier(identifier.code("", "kind", most=32), identifier.code("", "")),
        kind=found.code("kind", ""), outcome=found.code("outcome", "", most=32),
        observed_at=found.instant("observedAt", ""), valid_until=found.maybe_instant("validUntil", ""),
        scope=found.words("scope", "", most=80), source=found.words("source", ""),
        data={each.code("", "name", most=48): clinical(each.words("", "", most=200)) for each in found.parts("data")},
    )  # fmt: skip


def call(root: Part, profile: Profile) -> Call:
    found = root.part("call")
    return Call(found.code("appointmentNo", "", most=16), found.raw("absent", "") in ("true", "1"))


def no_show(root: Part, profile: Profile) -> str:
    """The number of the appointment that was missed."""
    return root.part("noShow").code("appointmentNo", "", most=16)


def order_asked(root: Part, profile: Profile) -> str:
    """PayableInfoQuery and RefundableInfoQuery: the number of an order."""
    return order_number(root, "orderNo", "")


def _lines(found: Part) -> tuple[int, ...]:
    return tuple(int(text) for each in found.parts("line") if (text := each.raw("", "")).isascii() and text.isdigit())


# Parts of documents


def order_number(part: Part, path: str, attribute: str = "extension") -> str:
    """The number of an application form; `/` and `#` have a meaning here."""
    text = part.code(path, attribute)
    try:
        return str(OrderNumber().deserialize(text)) if text else ""
    except ValidationError:
        part.wrong(path, attribute, BAD_ORDER_NUMBER)
        return ""


def _encounter(found: Part, profile: Profile) -> Encounter:
    place = found.part("location/serviceDeliveryLocation")
    ward = "serviceProviderOrganization/asOrganizationPartOf/wholeOrganization"
    return Encounter(
        number=_visit_number(found, profile),
        encounter_class=found.code("code", "code", most=8),
        patient=_person(found.part("subject/patient"), profile),
        ward=place.words(f"{ward}/id/item", "extension") or place.words("serviceProviderOrganization/id/item", "extension"),
        bed=place.words("location/id/item", "extension"),
    )


def _visit_number(found: Part, profile: Profile) -> str:
    """The number of the visit: the one under the profile's OID, else the last that is given."""
    items = [each for each in found.parts("id/item") if each.raw("")]
    if not items:
        return found.code("id/item")
    own = [each for each in items if each.raw("", "root") == profile.visit_root]
    return (own or items)[-1].code("")


def _person(patient: Part, profile: Profile) -> Person:
    who = patient.part("patientPerson")
    known = identifiers([*patient.parts("id/item"), *who.parts("id/item")], profile)
    if not known:
        patient.wrong("id/item", "extension", NO_PATIENT)
    return Person(
        known,
        who.words("name/item/part", required=True),
        who.code("administrativeGenderCode", "code", most=8, required=False),
        who.day("birthTime"),
        who.words("telecom/item", most=32),
    )


def _identity(patient: Part, profile: Profile) -> Identifier:
    found = identifiers(patient.parts("id/item"), profile)
    if not found:
        patient.wrong("id/item", "extension", NO_PATIENT)
    return found[0] if found else Identifier("", "")


def identifiers(items: list[Part], profile: Profile) -> tuple[Identifier, ...]:
    known = [(profile.identifiers.get(each.raw("", "root")), each) for each in items if each.raw("")]
    return tuple(dict.fromkeys(Identifier(kind, value) for kind, each in known if kind and (value := each.code(""))))


def _organization(part: Part, path: str, *, required: bool = True) -> Coded:
    code = part.code(f"{path}/id/item", required=required, most=36)
    return Coded(code, part.words(f"{path}/name/item/part"))


def _some(part: Part, path: str) -> list[Part]:
    """At least one; at most as many as an order may have."""
    found = part.parts(path)
    if not found:
        part.wrong(path, "", MISSING)
    if len(found) > 50:
        part.wrong(path, "", Text("最多 50 项", "at most 50"))
    return found[:50]


def _first(root: Part, element: str) -> Part:
    return root.part(f"controlActProcess//{element}")
