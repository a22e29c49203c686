"""What the hospital's platform sends: each message as a document of the standard, or of our own actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lxml import etree

from examlane.orders.patients import Identifier
from examlane_api.hip import frame
from examlane_api.hip.frame import PRIVATE, make, stamp
from examlane_api.hip.outbound import documents
from examlane_api.hip.outbound.reading import Form, FormItem, Head, Named
from examlane_api.hip.profiles import Profile
from examlane_api.sandbox.messages import KIND, Sending

Document = etree._Element
DOCTOR = "测试医生"


def _order(sent: Sending, profile: Profile) -> Document:
    return documents.application(profile, Head(sent.key, sent.at), _form(sent), new=True)


def _change(sent: Sending, profile: Profile) -> Document:
    return documents.application(profile, Head(sent.key, sent.at), _form(sent), new=False)


def _void(sent: Sending, profile: Profile) -> Document:
    return documents.application(profile, Head(sent.key, sent.at), _form(sent, active=False), new=False)


def _form(sent: Sending, *, active: bool = True) -> Form:
    """The whole application form: a change repeats it as it shall be."""
    says = sent.says
    department = Named(says["department"], says["department"])
    items = tuple(
        FormItem(f"{says['number']}-{line}", Named(item, item), department) for line, item in enumerate(says["item"], 1)
    )
    return Form(
        number=says["number"], active=active, ordered_at=sent.at, verified=says["verified"], doctor=DOCTOR,
        ordering_department=department, priority=says["priority"].value, encounter=says["encounter"],
        encounter_class=says["encounter_class"].value, ward=says["ward"], patient=(Identifier(KIND, says["patient"]),),
        patient_name=says["name"], sex=says["sex"].value, birth_date=says["birth_date"], phone=says["phone"], items=items,
        diagnosis="", note=says["note"],
    )  # fmt: skip


def _step(name: str) -> Callable[[Sending, Profile], Document]:
    """CheckStatusInfoUpdate; `name` is a step, or the field that says which."""

    def build(sent: Sending, profile: Profile) -> Document:
        said = profile.status_code(sent.says.get(name, name), "")
        step = make("processStep", make("code", make("displayName", value=said.name if said else ""),
                                        code=said.code if said else name))  # fmt: skip
        request = make(
            "observationRequest",
            make("id", make("item", root=documents.APPLICATION_ROOT, extension=sent.says["order"])),
            make("performer", make("time", make("low", value=stamp(sent.at, profile.timezone)))),
            make("component1", step),
        )
        return _document("POOR_IN200902UV", sent, profile, make("placerGroup", make("component2", request)))

    return build


def _merge(sent: Sending, profile: Profile) -> Document:
    prior = make("priorRegistration", make("subject1", make("priorRegisteredRole", _patient(sent.says["merge"], profile))))
    kept = make("subject1", make("patient", _patient(sent.says["keep"], profile)))
    event = make("registrationEvent", kept, make("replacementOf", prior))
    return _document("PRPA_IN201304UV02", sent, profile, event)


def _movement(sent: Sending, profile: Profile) -> Document:
    says, at = sent.says, stamp(sent.at, profile.timezone)
    person = make("patientPerson", make("name", make("item", make("part", value=says["name"]))))
    subject = make("subject", make("patient", _patient(says["patient"], profile), person))
    whole = make("wholeOrganization", make("id", make("item", extension=says["ward"])))
    provider = make("serviceProviderOrganization", make("asOrganizationPartOf", whole))
    bed = make("location", make("id", make("item", extension=says["bed"])))
    place = make("location", make("serviceDeliveryLocation", bed, provider))
    event = make(
        "encounterEvent",
        make("id", make("item", root=profile.visit_root, extension=says["encounter"])),
        make("code", code=profile.class_code("inpatient")),
        make("effectiveTime", make("low", value=at), make("high", value=at)),
        subject,
        place,
    )
    return _document("PRPA_IN400001UV", sent, profile, event)


def _patient(number: str, profile: Profile) -> Document:
    return make("id", make("item", root=profile.root_of(KIND), extension=number))


def _document(root: str, sent: Sending, profile: Profile, content: Document) -> Document:
    found = frame.frame(root, sent.key, stamp(sent.at, profile.timezone), profile.sender, profile.receiver)
    found.append(make("controlActProcess", make("subject", content)))
    return found


# Our own actions

Content = Callable[[Mapping[str, Any], str], Mapping[str, Any]]
"""Of what is said and the hospital's time: the elements of a document of ours. What is empty is left out."""


def _private(action: str, name: str, content: Content) -> Callable[[Sending, Profile], Document]:
    def build(sent: Sending, profile: Profile) -> Document:
        at = stamp(sent.at, profile.timezone)
        found = etree.Element(etree.QName(PRIVATE, action), nsmap={None: PRIVATE})  # type: ignore[dict-item]
        _fill(found, {"messageId": sent.key, "createdAt": at, "sender": profile.sender})
        _fill(etree.SubElement(found, etree.QName(PRIVATE, name)), content(sent.says, at))
        return found

    return build


def _fill(parent: Document, content: Mapping[str, Any]) -> None:
    for name, said in content.items():
        for value in said if isinstance(said, list) else [said]:
            if value not in ("", None):
                _add(parent, name, str(value).lower() if isinstance(value, bool) else str(value))


def _add(parent: Document, name: str, text: str) -> Document:
    element = etree.SubElement(parent, etree.QName(PRIVATE, name))
    element.text = text
    return element


def _assessment(sent: Sending, profile: Profile) -> Document:
    found = _private("AssessmentInfoAdd", "assessment", _assessed)(sent, profile)
    found[-1][0].set("kind", KIND)
    for name, value in sent.says["data"].items():
        _add(found[-1], "data", str(value)).set("name", name)
    return found


def _assessed(says: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    return {"patient": says["patient"], "kind": says["kind"], "outcome": says["outcome"], "observedAt": at,
            "scope": says["scope"]}  # fmt: skip


def _paid(says: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    return {"orderNo": says["order"], "line": says["line"], "amount": says["amount"], "paidAt": at}


def _refunded(says: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    return {"orderNo": says["order"], "line": says["line"], "kind": says["kind"], "at": at}


def _called(says: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    return {"appointmentNo": says["appointment"], "absent": says["absent"]}


def _missed(says: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    return {"appointmentNo": says["appointment"]}


DOCUMENTS: Mapping[str, tuple[str, Callable[[Sending, Profile], Document]]] = {
    "order": ("CheckAppInfoAdd", _order),
    "change": ("CheckAppInfoUpdate", _change),
    "void": ("CheckAppInfoUpdate", _void),
    "merge": ("PatientInfoMerge", _merge),
    "admission": ("InPatientInfoAdd", _movement),
    "transfer": ("TransferInfoAdd", _movement),
    "discharge": ("DischargeInfoAdd", _movement),
    "checkin": ("CheckStatusInfoUpdate", _step("registered")),
    "execution": ("CheckStatusInfoUpdate", _step("state")),
    "assessment": ("AssessmentInfoAdd", _assessment),
    "payment": ("PaymentInfoAdd", _private("PaymentInfoAdd", "payment", _paid)),
    "refund": ("RefundInfoAdd", _private("RefundInfoAdd", "refund", _refunded)),
    "call": ("CallInfoAdd", _private("CallInfoAdd", "call", _called)),
    "noshow": ("NoShowInfoAdd", _private("NoShowInfoAdd", "noShow", _missed)),
}
"""The action of each message, and how its document is made."""
