"""What we tell a platform, as its documents: appointments, states of exams, rosters, application forms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from lxml import etree

from examlane.orders.patients import Identifier
from examlane_api.hip.frame import PRIVATE, UNSPECIFIED, frame, make, stamp
from examlane_api.hip.outbound.reading import Exam, Form, FormItem, Frame, Head, Named, ResourceDay
from examlane_api.hip.profiles import Profile, StatusCode
from examlane_api.soap.faults import printable

APPLICATION_ROOT = "2.16.156.10011.1.24"
PLACER_ROOT = "2.16.156.10011.1.28"
STAFF_ROOT = "2.16.156.10011.1.4"
DEPARTMENT_ROOT = "2.16.156.10011.1.26"
PATIENT_ROOT = "2.16.156.10011.2.5.1.4"
CITIZEN_ROOT = "2.16.156.10011.1.3"
SCHEDULE_ROOT = "2.16.156.10011.2.5.1.20"
CLASS_SYSTEM = "2.16.156.10011.2.3.1.271"
SEX_SYSTEM = "2.16.156.10011.2.3.3.4"
DIAGNOSIS_SYSTEM = "2.16.156.10011.2.3.3.11"
STATUS_SYSTEM = "2.16.156.10011.2.3.2.53"
CLASSES = {"1": "门诊", "2": "急诊", "3": "住院", "9": "其他"}
NOT_GIVEN = "未提供"
ORGANIZATION = {"classCode": "ORG", "determinerCode": "INSTANCE"}
MOST_IN_FRAME, MOST_IN_SCHEDULE = 100, 1000


# Whole documents


def appointment(profile: Profile, head: Head, exam: Exam, *, new: bool, active: bool) -> etree._Element:
    """CheckAppointStatusInfoAdd (`new`) or Update: booked or rescheduled while `active`, else cancelled."""
    root = "PRSC_IN010101UV01" if new else "PRSC_IN010201UV01"
    return _document(profile, head, root, appointment_subject(profile, exam, active=active))


def status(profile: Profile, head: Head, exams: Sequence[Exam], said: StatusCode) -> etree._Element:
    """CheckStatusInfoUpdate: the same step for the exams of one visit."""
    return _document(profile, head, "POOR_IN200902UV", status_subject(profile, exams, said, head.at))


def schedule(profile: Profile, head: Head, days: Sequence[ResourceDay], *, new: bool) -> etree._Element:
    """SourceAndScheduleInfoAdd (`new`) or Update: what resources offer on a day. A day without seats says nothing."""
    root = "PRSC_IN030101UV" if new else "PRSC_IN030102UV"
    found = _document(profile, head, root, schedule_subject(profile, days))
    enterer = make("assignedPerson", _id(STAFF_ROOT, "examlane"), _person("examlane"), classCode="ASSIGNED")
    found[-1].insert(0, make("dataEnterer", enterer, typeCode="ENT"))
    return found


def application(profile: Profile, head: Head, form: Form, *, new: bool) -> etree._Element:
    """CheckAppInfoAdd (`new`) or Update: an application form as a platform sends it, too."""
    return _document(profile, head, "POOR_IN200901UV" if new else "POOR_IN200902UV", application_subject(profile, form))


def no_show(profile: Profile, head: Head, appointment: str) -> etree._Element:
    """Our own NoShowInfoAdd: the standard has no service for it."""
    found = etree.Element(etree.QName(PRIVATE, "NoShowInfoAdd"), nsmap={None: PRIVATE})  # type: ignore[dict-item]
    at = stamp(head.at, profile.timezone)
    for name, text in (("messageId", head.message_id), ("createdAt", at), ("sender", profile.sender)):
        etree.SubElement(found, etree.QName(PRIVATE, name)).text = text
    missed = etree.SubElement(found, etree.QName(PRIVATE, "noShow"))
    etree.SubElement(missed, etree.QName(PRIVATE, "appointmentNo")).text = appointment
    return found


def _document(profile: Profile, head: Head, root: str, subject: etree._Element) -> etree._Element:
    found = frame(root, head.message_id, stamp(head.at, profile.timezone), profile.sender, profile.receiver)
    found.append(make("controlActProcess", subject, classCode="ACTN", moodCode="EVN"))
    return found


# Their subjects, which answers to queries hold as well


def appointment_subject(profile: Profile, exam: Exam, *, active: bool) -> etree._Element:
    device = make("manufacturedDevice", make("id", extension=exam.device.code), make("name", _text(exam.device.name)),
                  classCode="DEV", determinerCode="INSTANCE")  # fmt: skip
    clerk = make("assignedPerson", _id(STAFF_ROOT, exam.clerk.code), _person(exam.clerk.name), classCode="ASSIGNED")
    place = make("serviceDeliveryLocation", _id(DEPARTMENT_ROOT, profile.department_code(exam.department.code)),
                 make("addr", _text(exam.department.name)), classCode="SDLOC")  # fmt: skip
    found = make(
        "actAppointment",
        make("id", extension=exam.appointment),
        _class(profile, exam.encounter_class),
        make("statusCode", code="active" if active else "inactive"),
        make("effectiveTime", make("any", value=stamp(exam.starts_at, profile.timezone))),
        make("subject", _appointed_patient(profile, exam), typeCode="SBJ"),
        make("reusableDevice", make("manufacturedDevice", device, classCode="MANU"), typeCode="RDV"),
        make("performer", clerk, typeCode="PRF"),
        make("location", place, typeCode="LOC"),
        _reference(APPLICATION_ROOT, exam.application),
        _reference(PLACER_ROOT, exam.placer),
        classCode="ACT",
        moodCode="APT",
    )  # fmt: skip
    return make("subject", found, typeCode="SUBJ")


def _appointed_patient(profile: Profile, exam: Exam) -> etree._Element:
    items = _patient_items(profile, exam.patient)
    items += [_item(profile.visit_root, exam.encounter), _item(profile.queue_root, str(exam.queue_number))]
    ordering = exam.ordering_department
    organization = make(
        "providerOrganization", _id(DEPARTMENT_ROOT, profile.department_code(ordering.code)),
        make("name", _text(ordering.name)), make("contactParty", classCode="CON"),
        classCode="ORG", determinerCode="INSTANCE",
    )  # fmt: skip
    person = make("patientPerson", make("name", _text(exam.patient_name)))
    return make("patient", make("id", *items), person, organization, classCode="PAT")


def _reference(root: str, number: str) -> etree._Element:
    order = make("actOrder", make("id", root=root, extension=printable(number)), classCode="ACT", moodCode="RQO")
    return make("referencedOrder", order, typeCode="REFR")


def status_subject(profile: Profile, exams: Sequence[Exam], said: StatusCode, at: datetime) -> etree._Element:
    first = exams[0]
    by_application = {exam.application: exam for exam in exams}
    parts = [make("component2", _step(profile, exam, said, at)) for exam in by_application.values()]
    encounter = _encounter(
        profile, first.encounter, first.encounter_class, make("statusCode", code="active"),
        _status_patient(profile, first), _location(profile, first.ordering_department, first.ward),
    )  # fmt: skip
    inside = make("componentOf1", encounter, contextConductionInd="false", typeCode="COMP")
    return make("subject", make("placerGroup", *parts, inside), typeCode="SUBJ")


def _step(profile: Profile, exam: Exam, said: StatusCode, at: datetime) -> etree._Element:
    clerk = make("assignedEntity", _id(STAFF_ROOT, exam.clerk.code), _person(exam.clerk.name), classCode="ASSIGNED")
    code = make("code", _display(said.name), code=said.code, codeSystem=STATUS_SYSTEM)
    step = make("processStep", code, classCode="PROC")
    return make(
        "observationRequest",
        _id(APPLICATION_ROOT, exam.application),
        make("code"),
        make("statusCode"),
        make("effectiveTime"),
        make("performer", make("time", make("low", value=stamp(at, profile.timezone))), clerk, typeCode="PRF"),
        make("location", make("time"), _provider(profile, exam.department), typeCode="LOC"),
        make("component1", step, contextConductionInd="false"),
        classCode="OBS",
    )


def _status_patient(profile: Profile, exam: Exam) -> etree._Element:
    name = make("name", _text(exam.patient_name))
    person = make("patientPerson", name, classCode="PSN", determinerCode="INSTANCE")
    return make("patient", make("id", *_patient_items(profile, exam.patient)), person, classCode="PAT")


def schedule_subject(profile: Profile, days: Sequence[ResourceDay]) -> etree._Element:
    found = [make("schedule", _slot(profile, day), classCode="SCH", moodCode="EVN") for day in days if day.frames]
    return make("subject", *found, typeCode="SUBJ")


def _slot(profile: Profile, day: ResourceDay) -> etree._Element:
    known = profile.professions.get(day.department.code)
    profession = make("profession", _display(known.name if known else "医学影像科"), code=known.code if known else "A32",
                      codeSystem="2.16.156.10011.2.3.2.62", codeSystemName="诊疗科目代码表")  # fmt: skip
    total = min(sum(each.seats for each in day.frames), MOST_IN_SCHEDULE)
    person = make("Person", _id(CITIZEN_ROOT, ""), make("name", _text(day.resource.name)), classCode="PSN",
                  determinerCode="INSTANCE")  # fmt: skip
    grade = make("code", _display("待聘"), code="6", codeSystem="2.16.156.10011.2.3.2.40", codeSystemName="专业技术职务")
    entity = make("IdentifiedEntity", _id(STAFF_ROOT, day.resource.code), grade, person, classCode="IDENT")
    return make(
        "resourceSlot",
        _id(SCHEDULE_ROOT, schedule_id(day)),
        profession,
        make("totalNumber", value=str(total)),
        make("deptId", _item(DEPARTMENT_ROOT, profile.department_code(day.department.code))),
        make("code", _display("普通号"), code="1", codeSystem="2.16.156.10011.2.3.2.60", codeSystemName="号别"),
        _words("statusCode", "inactive" if day.shut else ""),
        make("effectiveTime"),
        make("priorityCode"),
        make("directTarget", entity, typeCode="DIR"),
        *(_time_frame(profile, each) for each in day.frames),
        classCode="ACT",
        moodCode="SLOT",
    )


def schedule_id(day: ResourceDay) -> str:
    """The number of a resource's day: what SourceAndScheduleInfoQuery asks by."""
    return f"{day.resource.code}:{day.day:%Y%m%d}"


def _time_frame(profile: Profile, stretch: Frame) -> etree._Element:
    zone = profile.timezone
    low, high = make("low", value=stamp(stretch.starts_at, zone)), make("high", value=stamp(stretch.ends_at, zone))
    # The schema allows no 0: a stretch that is full has no number of free seats.
    free = {"value": str(min(stretch.free, MOST_IN_FRAME))} if stretch.free > 0 else {}
    return make(
        "timeFrame",
        make("code", _display("分时段"), code="1", codeSystem="2.16.156.10011.2.3.2.61", codeSystemName="分时段资源类型"),
        make("totalFrameNumber", value=str(min(stretch.seats, MOST_IN_FRAME))),
        make("effectiveTime", low, high),
        make("remainNumber", **free),
    )


def application_subject(profile: Profile, form: Form) -> etree._Element:
    ordered_at = stamp(form.ordered_at, profile.timezone)
    ordering = _organization("representedOrganization", profile, form.ordering_department)
    doctor = make("assignedEntity", _id(STAFF_ROOT, "-"), _person(form.doctor or NOT_GIVEN), ordering, classCode="ASSIGNED")
    author = make("author", make("time", value=ordered_at), make("signatureText", value="-"), doctor, typeCode="AUT")
    verifier = make("assignedEntity", _id(STAFF_ROOT, "-"), _person(NOT_GIVEN), classCode="ASSIGNED")
    priority = next((code for code, ours in profile.priorities.items() if ours == form.priority), form.priority)
    note = make("annotation", make("text", value=printable(form.note)), make("statusCode", code="completed"),
                make("author", make("assignedEntity", classCode="ASSIGNED")))  # fmt: skip
    encounter = _encounter(
        profile, form.encounter, form.encounter_class, make("statusCode"), _form_patient(profile, form),
        _location(profile, form.ordering_department, form.ward), _diagnosis(form), named=True,
    )  # fmt: skip
    found = make(
        "observationRequest",
        _id(APPLICATION_ROOT, form.number),
        make("code"),
        make("text", value=""),
        make("statusCode", code="active" if form.active else "inactive"),
        make("effectiveTime"),
        make("priorityCode", _display(form.priority), code=priority),
        author,
        make("verifier", make("time", value=ordered_at if form.verified else UNSPECIFIED), verifier, typeCode="VRF"),
        *(make("component2", _form_item(profile, item)) for item in form.items),
        make("subjectOf6", make("seperatableInd", value="false"), note, contextConductionInd="false"),
        make("componentOf1", encounter, contextConductionInd="false", typeCode="COMP"),
        classCode="OBS",
        moodCode="RQO",
    )
    return make("subject", found, typeCode="SUBJ")


def _form_item(profile: Profile, item: FormItem) -> etree._Element:
    time = make("time", make("any", value=UNSPECIFIED))
    return make(
        "observationRequest",
        _id(PLACER_ROOT, item.placer),
        make("code", _display(item.item.name), code=profile.item_code(item.item.code)),
        make("statusCode"),
        make("methodCode", make("item", _display(""), code="")),
        make("targetSiteCode", make("item", _display(""), code="")),
        make("location", time, _provider(profile, item.department), typeCode="LOC"),
        classCode="OBS",
        moodCode="RQO",
    )


def _form_patient(profile: Profile, form: Form) -> etree._Element:
    born = form.birth_date
    age = max(0, min(127, (form.ordered_at.astimezone(UTC).date() - born).days // 365)) if born else 0
    sex = next((code for code, ours in profile.sexes.items() if ours == form.sex), "0")
    telecom = {"value": form.phone} if form.phone.isascii() and form.phone.isdigit() else {}
    citizen = [each.value for each in form.patient if profile.root_of(each.kind) == CITIZEN_ROOT]
    person = make(
        "patientPerson",
        make("id", _item(CITIZEN_ROOT, citizen[0] if citizen else "")),
        make("name", _text(form.patient_name)),
        make("telecom", make("item", **telecom)),
        make("administrativeGenderCode", code=sex, codeSystem=SEX_SYSTEM),
        make("birthTime", make("originalText", value=str(age)), value=f"{born:%Y%m%d}" if born else "0"),
        make("addr"),
        classCode="PSN",
    )
    return make("patient", make("id", *_patient_items(profile, form.patient)), person, classCode="PAT")


def _diagnosis(form: Form) -> etree._Element:
    words = printable(form.diagnosis)[:36] or NOT_GIVEN
    found = make(
        "observationDx",
        make("code", _display("诊断"), code="-", codeSystem=DIAGNOSIS_SYSTEM),
        make("statusCode", code="active"),
        make("effectiveTime", make("any", value=f"{form.ordered_at:%Y%m%d%H%M%S}")),
        make("value", _display(words), code="-", codeSystem=DIAGNOSIS_SYSTEM),
        classCode="OBS",
        moodCode="DEF",
    )
    return make("pertinentInformation1", found, typeCode="PERT")


# Parts


def _encounter(
    profile: Profile, number: str, ours: str, state: etree._Element, patient: etree._Element, *parts: etree._Element,
    named: bool = False,
) -> etree._Element:  # fmt: skip
    return make(
        "encounter", _id(profile.visit_root, number), _class(profile, ours, named=named), state,
        make("subject", patient, typeCode="SBJ"), *parts, classCode="ENC", moodCode="EVN",
    )  # fmt: skip


def _location(profile: Profile, department: Named, ward: str) -> etree._Element:
    """Where a patient lies: here the schemas want identifiers without a root."""
    inner = make("location", _plain(""), make("name"), classCode="PLC", determinerCode="INSTANCE")
    room = make("asLocatedEntityPartOf", inner, classCode="LOCE")
    bed = make("location", _plain(""), make("name"), room, classCode="PLC", determinerCode="INSTANCE")
    whole = make("wholeOrganization", _plain(ward[:36]), make("name", _text(ward)), **ORGANIZATION)
    code, name = _plain(profile.department_code(department.code)), make("name", _text(department.name))
    above = make("asOrganizationPartOf", whole, classCode="PART")
    provider = make("serviceProviderOrganization", code, name, above, **ORGANIZATION)
    return make("location", make("time"), make("serviceDeliveryLocation", bed, provider, classCode="SDLOC"), typeCode="LOC")


def _provider(profile: Profile, department: Named) -> etree._Element:
    organization = _organization("serviceProviderOrganization", profile, department)
    return make("serviceDeliveryLocation", organization, classCode="SDLOC")


def _organization(name: str, profile: Profile, department: Named) -> etree._Element:
    code = _id(DEPARTMENT_ROOT, profile.department_code(department.code))
    return make(name, code, make("name", _text(department.name)), **ORGANIZATION)


def _class(profile: Profile, ours: str, *, named: bool = False) -> etree._Element:
    code = profile.class_code(ours)
    more = {"codeSystemName": "就诊类别代码表"} if named else {}
    return make("code", _display(CLASSES.get(code, CLASSES["9"])), code=code, codeSystem=CLASS_SYSTEM, **more)


def _patient_items(profile: Profile, identifiers: Sequence[Identifier]) -> list[etree._Element]:
    known = [(profile.root_of(each.kind), each.value) for each in identifiers]
    return [_item(root, value) for root, value in known if root] or [_item(PATIENT_ROOT, "")]


def _person(name: str) -> etree._Element:
    return make("assignedPerson", make("name", _text(name)), determinerCode="INSTANCE", classCode="PSN")


def _id(root: str, extension: str) -> etree._Element:
    return make("id", _item(root, extension))


def _plain(extension: str) -> etree._Element:
    return make("id", make("item", extension=printable(extension)))


def _item(root: str, extension: str) -> etree._Element:
    return make("item", root=root, extension=printable(extension))


def _words(name: str, text: str) -> etree._Element:
    found = make(name)
    found.text = text or None
    return found


def _display(words: str) -> etree._Element:
    return make("displayName", value=printable(words))


def _text(words: str) -> etree._Element:
    """A name or an address: one item with one part."""
    return make("item", make("part", value=printable(words)))
