"""Patients made known, changed and merged, where their encounters stand, and the dictionaries that name things."""

from __future__ import annotations

from examlane.domain import Sex, Text
from examlane.errors import NotFound, Refused
from examlane.orders import patients
from examlane.orders.patients import Identifier, PatientData
from examlane.patients import merging, updates
from examlane.patients.updates import PatientUpdate
from examlane.records import audit, inbox, receipts
from examlane.storage.fields import epoch
from examlane.wards import encounters
from examlane.wards.encounters import EncounterReport
from examlane_api.hip import messages
from examlane_api.hip.codes import Call, Codes, patient_data
from examlane_api.hip.frame import Ack, Detail
from examlane_api.hip.handlers.answers import ACCEPTED, SUPERSEDED, heard, is_late, item_detail, noted
from examlane_api.hip.messages import Dictionary, EncounterMessage, MergeReport, Person

ONE_ALREADY = Detail("noted", "两个标识已属于同一患者")
NOBODY = Text("两个标识均未登记，且消息中没有患者姓名", "neither identifier is known, and the message names nobody")
MISTAKE = "withdrawn by the platform"


def register_patient(call: Call, who: Person) -> Ack:
    """Make a patient known, with every identifier that is mapped."""
    return _register(call, patient_data(Codes(call.hospital, call.profile), who))


def _register(call: Call, data: PatientData) -> Ack:
    database, now = call.hospital.database, epoch(call.hospital.clock.now())

    def store() -> None:
        patient = patients.register(database, data)
        receipts.keep(database, call.key, "patient", str(patient), now)
        patients.touch(database, patient)
        audit.record(database, call.actor, "patient.register", "patient", str(patient), now)

    database.write(store)
    return Ack(True, (ACCEPTED,))


def update_patient(call: Call, who: Person) -> Ack:
    """Change what is said of a patient; one who is not known yet is registered. An older change that comes late is noted."""
    database = call.hospital.database
    data = patient_data(Codes(call.hospital, call.profile), who)
    patient = patients.find(database, data.identifiers)
    if patient is not None and is_late(call, "patient", str(patient)):
        return noted(call, SUPERSEDED)
    if patient is None:
        _register(call, data)
        return updated(call, who)
    by = next(each for each in data.identifiers if patients.find(database, [each]) is not None)
    found = updates.update(call.hospital, _update(data, by), call.actor, call.key)
    concerned = [each.item for each in found if each.outcome != "kept"]
    return Ack(True, (*updated(call, who).details, *(item_detail(call, item) for item in concerned)))


def updated(call: Call, who: Person) -> Ack:
    """Add the identifiers that are new, and remember how new what is known of the patient is."""
    database, data = call.hospital.database, patient_data(Codes(call.hospital, call.profile), who)
    heard(call, "patient", str(database.write(lambda: patients.register(database, data))))
    return Ack(True, (ACCEPTED,))


def _update(data: PatientData, by: Identifier) -> PatientUpdate:
    """What a document leaves out stays."""
    sex = data.sex if data.sex is not Sex.UNKNOWN else None
    return PatientUpdate(by, data.name or None, sex, data.birth_date, data.phone or None)


def merge_patients(call: Call, told: MergeReport) -> Ack:
    """Make one patient of two; undo it where the registration is nullified.

    Where only one of them is known here, he gets the other's identifier: whatever comes under either is his.
    """
    if told.nullified:
        return _part(call, told.keep, told.merged)
    keep, merged = (patients.find(call.hospital.database, [each]) for each in (told.keep, told.merged))
    if keep is None or merged is None:
        if keep is None and merged is None and not told.name:
            raise Refused("unknown_patient", NOBODY)
        return _register(call, PatientData((told.keep, told.merged), told.name))
    try:
        merging.merge(call.hospital, told.keep, told.merged, call.actor, call.key)
    except Refused as refused:
        if refused.code != "same_patient":
            raise
        return noted(call, ONE_ALREADY)
    return Ack(True, (ACCEPTED,))


def _part(call: Call, keep: Identifier, merged: Identifier) -> Ack:
    number = merging.between(call.hospital.database, keep, merged)
    if number is None:
        raise NotFound("merge", merged.kind)
    merging.undo(call.hospital, number, call.actor, call.key)
    return Ack(True, (ACCEPTED,))


def move_encounter(call: Call, told: EncounterMessage) -> Ack:
    """An admission, a transfer, a discharge or a death, or that it was none."""
    number = told.encounter.number
    if told.nullified:
        call.allow("encounter.withdraw")
        encounters.withdraw(call.hospital, number, told.event, call.actor, call.key, reason=MISTAKE)
    else:
        encounters.report(call.hospital, _report(call, told), call.actor, call.key)
    return moved(call, told)


def moved(call: Call, told: EncounterMessage) -> Ack:
    found = encounters.read(call.hospital, told.encounter.number)
    return Ack(True, (Detail("accepted", f"已受理：就诊 {found.number} 尚有 {len(found.appointments)} 个待检预约"),))


def _report(call: Call, told: EncounterMessage) -> EncounterReport:
    """An update of what was reported for the same instant tells where the patient is since the message was made."""
    event, at = told.event, told.at
    if told.update and event in ("admission", "transfer") and _is_known(call, told):
        event, at = "transfer", call.made_at
    return EncounterReport(
        told.encounter.number, event, at, patient_data(Codes(call.hospital, call.profile), told.encounter.patient),
        ward=told.encounter.ward or None, bed=told.encounter.bed or None,
    )  # fmt: skip


def _is_known(call: Call, told: EncounterMessage) -> bool:
    try:
        facts = encounters.read(call.hospital, told.encounter.number).events
    except NotFound:
        return False
    return any((each.event, each.at) == (told.event, told.at) and not each.withdrawn_at for each in facts)


def register_visit(call: Call, told: EncounterMessage) -> Ack:
    """A registration at a clinic makes its patient known; its orders bring the encounter."""
    return register_patient(call, told.encounter.patient)


def record_dictionary(call: Call, found: Dictionary) -> Ack:
    """Note a dictionary's entries; those without one of our codes wait in the inbox for a person."""
    codes, database = Codes(call.hospital, call.profile), call.hospital.database
    for entry in found.entries:
        if found.kind == messages.ITEM:
            codes.item(entry)
        elif found.kind == messages.DEPARTMENT:
            codes.department(entry)
    now = call.hospital.clock.now()

    def store() -> None:
        receipts.keep(database, call.key, "hip", found.kind, epoch(now))
        inbox.note(database, call.profile.code, codes.missing, now)

    database.write(store)
    words = f"收到 {len(found.entries)} 条，{len(codes.missing)} 条待对照"
    return Ack(True, (Detail("accepted", words),))
