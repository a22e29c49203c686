"""Documents with pieces lost or replaced are acknowledged with a reason: never a fault, never half done."""

from __future__ import annotations

import random
from typing import Any

import pytest
from lxml import etree

from examlane_api.hip.frame import read_ack
from tests.api.hip.test_corrections import encounter, merge, person, refund

ODD = ["", " ", "0", "-1", "99999999999999", "2026-01-01", "NaN", "' OR 1=1--", "{{7*7}}", "%s", "../x", "<b>"]
ODD += ["\u200b", "𠮷", "9" * 300]
TABLES = (
    "exam_order", "patient", "encounter", "appointment", "payment", "evidence", "parked_message", "receipt", "order_item",
    "patient_identifier", "encounter_event", "patient_merge", "voided_order", "audit",
)  # fmt: skip


def damaged(text: str, luck: random.Random) -> str:
    """The document with a few elements or attributes taken out, doubled, or given an odd value."""
    root = etree.fromstring(text)
    for _ in range(luck.randint(1, 3)):
        element = luck.choice(list(root.iter()))
        parent = element.getparent()
        kind = luck.choice(["drop", "double", "attribute", "forget", "text"])
        if kind == "drop" and parent is not None:
            parent.remove(element)
        elif kind == "double" and parent is not None:
            parent.append(etree.fromstring(etree.tostring(element)))
        elif kind == "attribute" and element.attrib:
            element.set(luck.choice(sorted(element.attrib)), luck.choice(ODD))
        elif kind == "forget" and element.attrib:
            del element.attrib[luck.choice(sorted(element.attrib))]
        elif not len(element):
            element.text = luck.choice(ODD)
    return str(etree.tostring(root, encoding="unicode"))


@pytest.mark.parametrize("seed", range(4))
def test_no_damage_makes_a_fault_and_a_refusal_writes_nothing(hip_on_sqlite: Any, seed: int) -> None:
    hip, luck = hip_on_sqlite, random.Random(seed)
    number = hip.booked("1001", "US001", "CT001")
    sound = {
        "CheckAppInfoAdd": lambda: hip.order(f"{luck.randint(2000, 9999)}", "US001", patient=f"P{luck.randint(2, 99)}"),
        "CheckAppInfoUpdate": lambda: hip.order(
            luck.choice(["1001", "404"]), luck.choice(["US001", "US002"]), active=luck.random() < 0.7, new=False
        ),
        "CheckStatusInfoUpdate": lambda: hip.status("1001", luck.choice(["SC06", "SC08", "SC09", "SC13"])),
        "PatientInfoUpdate": lambda: person(hip, name="李四", phone="13900000000"),
        "PatientInfoMerge": lambda: merge("P1", f"P{luck.randint(2, 9)}", state=luck.choice(["active", "nullified"])),
        "InPatientInfoAdd": lambda: encounter(),
        "DischargeInfoUpdate": lambda: encounter(f"V{luck.randint(2, 9)}", patient=f"P{luck.randint(2, 9)}"),
        "RefundInfoAdd": lambda: refund(hip, "1001", luck.choice(["requested", "withdrawn", "refunded"])),
        "CheckAppInfoQuery": lambda: hip.order("1001"),
        "PatientInfoRegister": lambda: hip.order("1001", patient=f"P{luck.randint(100, 199)}"),
        "PaymentInfoAdd": lambda: hip.private(
            "PaymentInfoAdd", "<payment><orderNo>1001</orderNo><line>1</line><paidAt>20261123080000</paidAt></payment>"
        ),
        "CallInfoAdd": lambda: hip.private("CallInfoAdd", f"<call><appointmentNo>{number}</appointmentNo></call>"),
    }
    taken = 0
    for _ in range(90):
        action = luck.choice(sorted(sound))
        document = damaged(sound[action](), luck)
        before = [hip.count(name) for name in TABLES]
        response = hip.post(hip.envelope(action, document, cdata=False))
        assert response.status_code == 200, (action, document, response.text)
        ack = read_ack(etree.fromstring(response.data)[-1][0][0].text or "")
        assert ack.details
        taken += ack.taken
        stopped = {each.code for each in ack.details} & {"rejected", "needs_confirmation"}
        if not ack.taken and not stopped:
            assert [hip.count(name) for name in TABLES] == before, (action, ack.details)
    assert taken
