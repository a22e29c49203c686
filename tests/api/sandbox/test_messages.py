"""Every message goes over every channel that knows it; what the systems hear is genuine; bad input is told."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import requests

from examlane_api.hip import frame
from examlane_api.sandbox.channels import OPERATIONS
from examlane_api.sandbox.documents import DOCUMENTS
from examlane_api.sandbox.messages import MESSAGES

TAKEN = {"rest": "200", "soap": "answered", "hip": "AA"}


def says(trial: Any, message: str) -> dict[str, Any]:
    """What a message says that examlane can take, after what must have happened before it."""
    if message in ("order", "assessment", "admission", "transfer", "discharge", "death"):
        number = next(trial.numbers)
        return {"number": f"M{number}"} if message == "order" else {"patient": f"C{trial.ordered()}"}
    if message in ("payment", "change", "void", "refund"):
        return {"order": trial.ordered()} | ({"note": "空腹"} if message == "change" else {})
    if message == "merge":
        return {"keep": f"C{trial.ordered()}", "merge": f"C{trial.ordered()}"}
    if message == "delivery":
        return {"message": "no-such-message"}
    order = trial.ordered()
    trial.send("payment", order=order)
    number = trial.item(order)["appointment"]["number"]
    trial.until(number)
    if message in ("call", "execution"):
        trial.send("checkin", appointment=number)
    names = {"appointment": number, "order": order}
    return {name: names[name] for name in MESSAGES[message].schema().fields if name in names}


@pytest.mark.parametrize("message", [name for name in MESSAGES if name != "delivery"])
def test_rest_takes_every_message(trial: Any, message: str) -> None:
    assert trial.send(message, **says(trial, message))["status"] == TAKEN["rest"]


@pytest.mark.parametrize("message", OPERATIONS)
def test_soap_takes_every_message_of_its_contract(trial: Any, message: str) -> None:
    assert trial.send(message, "soap", **says(trial, message))["status"] == TAKEN["soap"]


@pytest.mark.parametrize("message", DOCUMENTS)
def test_the_platforms_endpoint_acknowledges_every_document(trial: Any, message: str) -> None:
    said = trial.send(message, "hip", **says(trial, message))
    assert said["status"] == TAKEN["hip"], said["answer"]


def messages(trial: Any) -> list[Any]:
    return [each for each in trial.received("gateway") if each["subject"] == "message"]


def test_the_gateway_is_told_of_a_booking_and_reports_its_delivery(trial: Any) -> None:
    trial.booked(phone="13800000000")
    trial.turn()
    message = messages(trial)[-1]
    assert (message["kind"], message["content"]["phone"]) == ("sms", "13800000000")
    [said] = trial.told("/send/delivery", {"message": message["key"]})["said"]
    assert said["status"] == TAKEN["rest"]


def test_a_gateway_that_cannot_reach_a_patient_says_so_at_once(trial: Any) -> None:
    number = trial.booked(phone="01065201234")
    trial.turn()
    state = "SELECT r.state FROM reminder r JOIN appointment a ON a.id = r.appointment_id WHERE a.number = ?"
    assert trial.sandbox.hospital.database.value(state, number) == "failed"


def test_the_queue_system_gets_a_ticket_and_hears_that_it_is_void(trial: Any) -> None:
    number = trial.booked()
    trial.until(number)
    trial.send("checkin", appointment=number)
    trial.client(f"/appointments/{number}/undo", {"reason": "误操作"})
    trial.work()
    assert [each["kind"] for each in trial.received("queue") if each["key"] == number] == ["ticket.issued", "ticket.void"]


def test_the_ris_has_the_visit_on_its_worklist_with_remark_and_patient(trial: Any) -> None:
    number = trial.booked(note="造影剂过敏史")
    trial.until(number)
    trial.send("checkin", appointment=number)
    trial.work()
    scheduled, registered = [each for each in trial.received("ris") if each["key"] == number]
    assert (scheduled["kind"], registered["kind"]) == ("worklist.scheduled", "worklist.registered")
    assert scheduled["content"]["payload"]["orders"][0]["note"] == "造影剂过敏史"


def test_the_his_hears_what_may_be_paid_and_what_was_refunded(trial: Any) -> None:
    order = trial.ordered()
    trial.send("payment", order=order)
    trial.send("refund", order=order)
    trial.work()
    told = [each["kind"] for each in trial.received("his") if each["key"].startswith(order)]
    assert {"order.answered", "order_item.payable", "order_item.changed", "order.refund"} <= set(told)


def test_the_same_key_is_the_same_message(trial: Any) -> None:
    order = trial.ordered()
    first, again = (trial.send("payment", order=order, key=f"pay-{order}") for _ in range(2))
    assert first["answer"] == again["answer"]


# What is wrong


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/send/order", {}, "/number"),
        ("/send/order", {"number": "A/1"}, "/number"),
        ("/send/order", {"number": "A1", "sex": "other"}, "/sex"),
        ("/send/order", {"number": "A1", "colour": "red"}, "/colour"),
        ("/send/order", {"number": "A1", "via": "fax"}, "/via"),
        ("/send/payment", {"order": "A1", "line": "one"}, "/line/0"),
        ("/fault", {"system": "ris", "fault": "tired"}, "/fault"),
        ("/fault", {"system": "ris", "fault": "slow", "seconds": 1e9}, "/seconds"),
        ("/facts", {"patient": "C1"}, "/facts"),
        ("/clock", {"minutes": -5}, "/minutes"),
    ],
)
def test_a_wrong_field_is_named(trial: Any, path: str, body: Any, pointer: str) -> None:
    answer = trial.post(path, body)
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, [pointer])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/send/letter", {}, 404),
        ("/fault", {"system": "lis", "fault": "down"}, 404),
        ("/clock", {"to": "2026-01-01T00:00:00+08:00"}, 409),
        ("/send/checkin", {"via": "rest"}, 409),
        ("/send/checkin", {"via": "hip"}, 409),
        ("/send/delivery", {"message": "A", "via": "soap"}, 409),
        ("/send/void", {"order": "UNSENT", "via": "hip"}, 409),
        ("/send/order", ["no object"], 400),
    ],
)
def test_what_cannot_be_done_is_refused_with_words(trial: Any, path: str, body: Any, status: int) -> None:
    answer = trial.post(path, body)
    assert answer.status_code == status
    assert answer.json()["message"]["zh"]


def test_steering_wants_the_key(trial: Any) -> None:
    assert [trial.post("/clock", {}, key=key).status_code for key in ("", "guessed")] == [401, 401]


def test_examlane_says_what_is_wrong_in_a_message(trial: Any) -> None:
    said = trial.send("order", number="8001", item=["NO-SUCH-ITEM"])
    assert said["status"] == "422"
    assert said["answer"]["errors"][0]["pointer"] == "/items/0/item"


# What is genuine


@pytest.mark.parametrize("signature", ["", "t=now,v1=00", "t=2026-11-23T07:30:00+08:00,v1=00"])
def test_an_event_that_is_not_signed_is_not_kept(trial: Any, signature: str) -> None:
    event = {"event_id": "1", "kind": "appointment.booked", "subject": "appointment", "subject_key": "A", "sequence": 1}
    address = trial.sandbox.systems["ris"].address
    answer = requests.post(f"{address}/events", json=event, headers={"X-Examlane-Signature": signature}, timeout=10)
    assert answer.status_code == 401
    assert all(each["id"] != "1" for each in trial.received("ris"))


def told_platform(trial: Any, action: str, document: str, password: str) -> requests.Response:
    envelope = f"""<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
<HIPMessageServer xmlns="urn:hl7-org:v3"><action>{action}</action><message><![CDATA[{document}]]></message>
</HIPMessageServer></s:Body></s:Envelope>"""
    url = f"{trial.sandbox.systems['platform'].address}/hip"
    headers = {"Content-Type": "text/xml; charset=utf-8"}
    return requests.post(url, data=envelope.encode(), headers=headers, auth=("examlane", password), timeout=10)


@pytest.mark.parametrize(
    ("action", "document", "code"),
    [
        ("PaymentInfoAdd", '<PaymentInfoAdd xmlns="urn:examlane:hip:1"/>', "unknown_action"),
        ("CheckStatusInfoUpdate", '<POOR_IN200902UV xmlns="urn:hl7-org:v3"/>', "invalid_input"),
        ("CheckStatusInfoUpdate", "no document", "malformed_xml"),
    ],
)
def test_the_platform_refuses_what_it_does_not_understand(trial: Any, action: str, document: str, code: str) -> None:
    answer = told_platform(trial, action, document, trial.sandbox.shown["PLATFORM_KEY"])
    start, end = answer.text.index("<MCCI"), answer.text.index("]]>")
    ack = frame.read_ack(answer.text[start:end])
    assert (ack.taken, ack.details[0].code) == (False, code)


def test_the_platform_takes_documents_only_of_examlane(trial: Any) -> None:
    assert told_platform(trial, "CheckStatusInfoUpdate", "", "guessed").status_code == 401


def test_facts_are_told_only_to_examlane(trial: Any) -> None:
    trial.told("/facts", {"patient": "C9", "facts": {"egfr": "92"}})
    question = {"patient": {"identifiers": [{"kind": "card", "value": "C9"}]}, "facts": ["egfr"]}
    url = f"{trial.sandbox.systems['his'].address}/context/facts"
    assert requests.post(url, json=question, timeout=10).status_code == 401


def test_the_page_shows_what_came_without_names_and_telephones(trial: Any) -> None:
    number = trial.booked(name="张三丰", phone="13900000000")
    trial.turn()
    pages = [requests.get(each.address, timeout=10).text for each in trial.sandbox.systems.values()]
    assert number in pages[0]
    assert not any(word in page for page in pages for word in ("张三丰", "13900000000"))


def test_keys_are_in_files_that_only_their_owner_reads(trial: Any) -> None:
    folder = Path(trial.sandbox.shown["FOLDER"])
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("sandbox.env", "sandbox.key")] == [0o600, 0o600]
    text = (folder / "sandbox.env").read_text("utf-8")
    assert f"export TOKEN={trial.sandbox.shown['TOKEN']}" in text
