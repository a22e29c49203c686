"""Patients and encounters over SOAP: merged and parted, updated, admitted and discharged; devices suspended."""

from __future__ import annotations

from datetime import date
from typing import Any

ONE, TWO = {"kind": "card", "value": "P1"}, {"kind": "card", "value": "P2"}
EARLIER, LATER = "2026-11-23T07:40:00+08:00", "2026-11-23T07:50:00+08:00"
WARD = "内科一病区"
DOWN = {
    "kind": "device_down", "group": "US-N", "fromAt": "2026-11-23T08:00:00+08:00",
    "untilAt": "2026-11-23T12:00:00+08:00", "reason": "球管故障",
}  # fmt: skip


def test_two_records_become_one_person_and_two_again(peer_on_each: Any) -> None:
    peer = peer_on_each
    peer.book()
    peer.say("SubmitOrder", **peer.order("O2", "US-HEART", card="P2"))
    merged = peer.say("MergePatients", keep=ONE, merged=TWO, messageId="m")
    assert (merged["state"], {each["orderNo"] for each in merged["items"]["item"]}) == ("merged", {"O1", "O2"})
    assert peer.say("MergePatients", keep=ONE, merged=TWO, messageId="m") == merged
    parted = peer.say("UnmergePatients", mergeNo=merged["mergeNo"])
    assert parted["state"] == "undone"
    assert peer.refused("UnmergePatients", mergeNo=999).code == "not_found"
    assert peer.refused("MergePatients", keep=ONE, merged=ONE).code == "same_patient"
    assert peer.refused("MergePatients", keep=ONE, merged={"kind": "card", "value": "P9"}).code == "not_found"


def test_an_update_asks_everything_open_anew(peer: Any) -> None:
    peer.book()
    facts = {"fact": [{"name": "weight_kg", "value": "60.5"}, {"name": "metformin", "value": "false"}]}
    [item] = peer.say("UpdatePatient", patientIdentifier=ONE, birthDate=date(1980, 2, 29), facts=facts)["item"]
    assert (item["orderNo"], item["code"], item["outcome"]) == ("O1", "booked", "kept")
    fault = peer.refused("UpdatePatient", patientIdentifier=ONE, birthDate=date(2030, 1, 1))
    assert (fault.code, fault.field) == ("invalid_input", ["update/birthDate"])


def test_an_encounter_is_reported_read_and_withdrawn(peer_on_each: Any) -> None:
    peer = peer_on_each
    number = peer.book()
    come = {"encounterNo": "V-P1", "eventKind": "admission", "at": EARLIER, "ward": WARD, "bed": "12"}
    admitted = peer.say("ReportEncounter", **come, needs={"need": ["stretcher"]})
    assert (admitted["encounterClass"], admitted["ward"], admitted["bed"]) == ("inpatient", WARD, "12")
    assert (admitted["needs"]["need"], admitted["appointments"]["code"]) == (["stretcher"], [number])
    gone = peer.say("ReportEncounter", encounterNo="V-P1", eventKind="discharge", at=LATER)
    assert (gone["state"], gone["appointments"]) == ("discharged", None)
    back = peer.say("WithdrawEncounter", encounterNo="V-P1", eventKind="discharge", reason="误操作")
    assert (back["state"], back["appointments"]["code"]) == ("open", [number])
    events = peer.say("QueryEncounter", encounterNo="V-P1")["events"]["entry"]
    assert [each["eventKind"] for each in events] == ["admission", "discharge"]
    assert [each["withdrawnReason"] for each in events] == [None, "误操作"]
    again = peer.refused("WithdrawEncounter", encounterNo="V-P1", eventKind="discharge", reason="误操作")
    assert again.code == "not_found"


def test_a_transfer_and_a_death_are_reported(peer: Any) -> None:
    peer.book()
    moved = peer.say("ReportEncounter", encounterNo="V-P1", eventKind="transfer", at=EARLIER, ward=WARD)
    assert moved["ward"] == WARD
    died = peer.say("ReportEncounter", encounterNo="V-P1", eventKind="death", at=LATER)
    assert (died["died"], died["appointments"]) == (True, None)


def test_a_new_encounter_names_its_patient(peer: Any) -> None:
    new = {"encounterNo": "IP-1", "eventKind": "admission", "at": LATER, "ward": WARD}
    assert peer.refused("ReportEncounter", **new).code == "not_found"
    patient = {"identifiers": {"identifier": [{"kind": "card", "value": "P7"}]}, "name": "患者乙", "sex": "male"}
    assert peer.say("ReportEncounter", **new, patient=patient)["ward"] == WARD
    odd = {**patient, "identifiers": {"identifier": [{"kind": "卡", "value": "P7"}]}}
    fault = peer.refused("ReportEncounter", **new, patient=odd)
    assert fault.field == ["report/patient/identifiers/identifier[1]/kind"]


def test_a_device_that_is_down_is_shown_applied_read_and_ended(peer_on_each: Any) -> None:
    peer = peer_on_each
    number = peer.paid("O1", "US-THYROID")
    shown = peer.say("SuspendResource", **DOWN, preview=True)
    assert (shown["state"], shown["affected"], shown["suspensionNo"]) == ("preview", 1, None)
    [visit] = shown["visits"]["visit"]
    assert (visit["appointmentNo"], visit["outcome"], visit["oldGroup"]) == (number, "moved", "US-N")
    assert "*" in visit["patient"]
    assert peer.world.database.value("SELECT count(*) FROM suspension") == 0

    made = peer.say("SuspendResource", **DOWN, messageId="s")
    assert (made["state"], made["affected"], made["outcomes"]["count"]) == (
        "applied", 1, [{"outcome": "moved", "visits": 1}],
    )  # fmt: skip
    assert peer.say("SuspendResource", **DOWN, messageId="s") == made
    read = peer.say("QuerySuspension", suspensionNo=made["suspensionNo"])
    assert read["visits"]["visit"][0]["newStartAt"] == visit["newStartAt"]
    ended = peer.say("ResumeResource", suspensionNo=made["suspensionNo"], moveBack=True)
    assert ended["state"] == "ended"


def test_a_suspension_that_makes_no_sense_names_its_elements(peer: Any) -> None:
    fault = peer.refused("SuspendResource", kind="shortened", resource="US-N-1", reason="培训", fromAt=EARLIER)
    assert fault.code == "invalid_input"
    assert {"suspension/day", "suspension/fromAt"} & set(fault.field)
    unknown = peer.refused("SuspendResource", **{**DOWN, "group": "XX"})
    assert (unknown.code, unknown.field) == ("invalid_input", ["suspension/group"])


def test_days_of_the_calendar_and_other_departments_are_not_every_clients(peer: Any) -> None:
    holiday = {"kind": "holiday", "day": date(2026, 11, 24), "reason": "放假"}
    assert peer.refused("SuspendResource", **holiday).code == "forbidden"
    assert peer.refused("SuspendResource", **holiday, preview=True).code == "forbidden"
    ct = peer.member("ct", "registrar", "CT")
    assert peer.refused("SuspendResource", ct, **DOWN).code == "forbidden"
    made = peer.say("SuspendResource", **DOWN)
    assert peer.refused("ResumeResource", ct, suspensionNo=made["suspensionNo"]).code == "forbidden"
    assert peer.refused("QuerySuspension", ct, suspensionNo=made["suspensionNo"]).code == "forbidden"
    console = peer.member("console", "administrator")
    assert peer.say("SuspendResource", console, **holiday)["state"] in ("applied", "applying")
