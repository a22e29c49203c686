"""From the door to the end of the exam over SOAP: arrivals, calls, the queue, exams done one by one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

CARD = {"kind": "card", "value": "P1"}
EIGHT = "2026-11-23T08:00:00+08:00"
WEIGHT = {"fact": [{"name": "weight_kg", "value": "60.5"}, {"name": "metformin", "value": "false"}]}


def test_a_patient_arrives_waits_is_called_and_examined(peer_on_each: Any) -> None:
    peer = peer_on_each
    number = peer.book()
    came = peer.say("ReportArrival", patientIdentifier=CARD)
    assert [each["appointmentNo"] for each in came["appointments"]["appointment"]] == [number]
    queue = peer.say("QueryWaiting", group="US-N")
    [waiting] = queue["waiting"]["patient"]
    assert (waiting["appointmentNo"], waiting["ahead"], waiting["queueNo"]) == (number, 0, "1")
    assert "*" in waiting["patient"]
    assert waiting["expectedAt"].utcoffset() == timedelta(hours=8)
    assert peer.say("QueryWaiting", appointmentNo=number)["waiting"] == queue["waiting"]

    assert peer.say("CallNext", group="US-N")["state"] == "called"
    assert peer.refused("CallNext", group="US-N").code == "nobody_waiting"
    later = peer.say("QueryWaiting", appointmentNo=number)
    assert (later["waiting"], later["busy"]["patient"][0]["state"]) == (None, "called")
    started = peer.say("ReportExecution", appointmentNo=number, state="started", at=EIGHT)
    assert started["state"] == "in_progress"


def test_two_who_wait_are_told_how_many_are_ahead(peer: Any) -> None:
    first, second = (peer.paid(f"O{n}", "US-THYROID", card=f"P{n}") for n in (1, 2))
    for number in (first, second):
        peer.say("CheckIn", appointmentNo=number)
    waiting = peer.say("QueryWaiting", group="US-N")["waiting"]["patient"]
    assert [(each["appointmentNo"], each["ahead"]) for each in waiting] == [(first, 0), (second, 1)]
    [own] = peer.say("QueryWaiting", appointmentNo=second)["waiting"]["patient"]
    assert own["ahead"] == 1


def test_a_queue_is_read_within_the_callers_departments(peer: Any) -> None:
    ct = peer.member("ct", "registrar", "CT")
    assert peer.refused("QueryWaiting", ct, group="US-N").code == "forbidden"
    assert peer.refused("QueryWaiting", ct, appointmentNo=peer.book()).code == "forbidden"
    assert peer.refused("CallNext", ct, group="US-N").code == "forbidden"
    assert peer.say("QueryWaiting", ct, group="CT-N")["waiting"] is None
    assert peer.refused("QueryWaiting", group="XX").code == "not_found"
    assert peer.refused("QueryWaiting").field == ["query/group", "query/appointmentNo"]


def test_a_call_a_deferral_and_mistakes_taken_back(peer: Any) -> None:
    number = peer.book()
    peer.say("CheckIn", appointmentNo=number)
    assert peer.say("DeferAppointment", appointmentNo=number, reason="has_eaten")["state"] == "deferred"
    assert peer.say("ReportReady", appointmentNo=number)["state"] == "checked_in"
    assert peer.refused("ReportReady", appointmentNo=number).code == "not_here"
    assert peer.say("ReportCall", appointmentNo=number, absent=True)["state"] == "called_absent"
    assert peer.say("UndoReport", appointmentNo=number, reason="误操作")["state"] == "checked_in"
    assert peer.say("ReportCall", appointmentNo=number)["state"] == "called"
    fault = peer.refused("DeferAppointment", appointmentNo=number, reason="unwell", readyAt="2026-11-22T08:00:00+08:00")
    assert (fault.code, fault.field) == ("invalid_input", ["deferral/readyAt"])


def test_exams_of_one_visit_are_settled_one_by_one(peer: Any) -> None:
    number = peer.book()
    other = peer.paid("O2", "CT-HEAD", facts=WEIGHT)
    for each in (number, other):
        peer.say("CheckIn", appointmentNo=each)
    item = {"item": [{"orderNo": "O1", "line": 1}]}
    done = {"appointmentNo": number, "state": "not_done", "at": EIGHT, "items": item}
    assert peer.say("ReportExecution", **done, reasonCode="unwell", rebook=False)["state"] == "not_done"
    fault = peer.refused("ReportExecution", **{**done, "appointmentNo": other})
    assert (fault.code, fault.field) == ("invalid_input", ["execution/items/item[1]"])
    finished = peer.say("ReportExecution", appointmentNo=other, state="finished", at=EIGHT)
    assert finished["state"] == "fulfilled"


def test_who_did_not_come_is_reported(peer: Any) -> None:
    number = peer.book()
    peer.world.later(hours=3)
    assert peer.say("ReportNoShow", appointmentNo=number)["state"] == "no_show"


def test_an_emergency_is_examined_before_its_order(peer: Any) -> None:
    report = {"department": "CLINIC", "items": {"item": ["US-THYROID"]}, "reason": "车祸，昏迷", "messageId": "e"}
    answer = peer.say("ReportEmergency", **report)
    assert answer["orderNo"].startswith("E-")
    assert [each["state"] for each in answer["appointments"]["appointment"]] == ["checked_in"]
    peer.world.database.write(lambda: peer.world.database.rows("UPDATE receipt SET answer = NULL RETURNING id"))
    assert peer.say("ReportEmergency", **report)["orderNo"] == answer["orderNo"]
    unknown = {**report, "items": {"item": ["NONE"]}, "messageId": "e2"}
    assert peer.refused("ReportEmergency", **unknown).field == ["emergency/items/item[1]"]


def test_an_unknown_patient_cannot_arrive(peer: Any) -> None:
    assert peer.refused("ReportArrival", patientIdentifier={"kind": "card", "value": "P9"}).code == "not_found"
    peer.book()
    odd = {"item": [{"orderNo": "O9", "line": 1}]}
    fault = peer.refused("ReportArrival", patientIdentifier=CARD, items=odd)
    assert (fault.code, fault.field) == ("invalid_input", ["arrival/items/item[1]"])
