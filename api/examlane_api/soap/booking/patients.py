"""Patients and their encounters: merged, updated, admitted, transferred, discharged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from examlane.orders.patients import Identifier
from examlane.patients import merging, updates
from examlane.wards import encounters
from examlane_api.rest.day import encounters as encounter_schemas
from examlane_api.rest.day import patients
from examlane_api.soap.booking.call import Answer, Call, Operation
from examlane_api.soap.booking.results import maybe_instant


def merge(call: Call) -> Answer:
    body = call.message.load(patients.MergeBody)
    act = partial(merging.merge, call.hospital, Identifier(**body["keep"]), Identifier(**body["merge"]), call.actor)
    return _merged(call, call.once(lambda key: call.answers.merge(act(key))))


def unmerge(call: Call) -> Answer:
    act = partial(merging.undo, call.hospital, call.payload["mergeNo"], call.actor)
    return _merged(call, call.once(lambda key: call.answers.merge(act(key))))


def update(call: Call) -> Answer:
    reported = patients.patient_update(call.message.load(patients.UpdateBody))
    act = partial(updates.update, call.hospital, reported, call.actor)
    return call.results.changed(call.once(lambda key: call.changes(act(key))))


def report_encounter(call: Call) -> Answer:
    data = encounter_schemas.encounter_report(call.message.load(encounter_schemas.Report))
    act = partial(encounters.report, call.hospital, data, call.actor)
    return _encounter(call.once(lambda key: call.answers.encounter(act(key))))


def withdraw_encounter(call: Call) -> Answer:
    body = call.message.load(encounter_schemas.Mistake)
    act = partial(encounters.withdraw, call.hospital, body["encounter"], body["event"], call.actor)
    return _encounter(call.once(lambda key: call.answers.encounter(act(key, reason=body["reason"]))))


def query_encounter(call: Call) -> Answer:
    return _encounter(call.answers.encounter(encounters.read(call.hospital, call.payload["encounterNo"])))


OPERATIONS: Mapping[str, Operation] = {
    "MergePatients": Operation("patient.merge", "merge", merge),
    "UnmergePatients": Operation("patient.merge", "unmerge", unmerge),
    "UpdatePatient": Operation("patient.update", "update", update),
    "ReportEncounter": Operation("encounter.report", "report", report_encounter),
    "WithdrawEncounter": Operation("encounter.withdraw", "withdrawal", withdraw_encounter),
    "QueryEncounter": Operation("encounter.read", "query", query_encounter),
}


def _merged(call: Call, answer: Answer) -> Answer:
    return {
        "mergeNo": answer["merge"], "state": answer["state"],
        "overlaps": [{"first": first, "second": second} for first, second in answer["overlaps"]],
        "items": call.results.evidence(answer)["items"],
    }  # fmt: skip


def _encounter(answer: Answer) -> Answer:
    return {
        "encounterNo": answer["encounter"], "encounterClass": answer["class"], "state": answer["state"],
        "ward": answer["ward"], "bed": answer["bed"], "campus": answer["campus"], "needs": answer["needs"],
        "died": answer["died"], "appointments": answer["appointments"],
        "events": [_event(each) for each in answer["events"]],
    }  # fmt: skip


def _event(event: Answer) -> Answer:
    return {
        "eventKind": event["event"], "at": datetime.fromisoformat(event["at"]), "ward": event["ward"],
        "bed": event["bed"], "recordedAt": datetime.fromisoformat(event["recorded_at"]),
        "recordedBy": event["recorded_by"], "withdrawnAt": maybe_instant(event["withdrawn_at"]),
        "withdrawnReason": event["withdrawn_reason"],
    }  # fmt: skip
