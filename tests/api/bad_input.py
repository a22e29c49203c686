"""How bad input is sent, as JSON and as SOAP: sound messages, and changes to them. For test_bad_input.py."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree

NAMESPACE = "http://examlane.org/soap/v1"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
ABSENT = object()

BODIES: dict[str, dict[str, Any]] = {
    "/orders": {
        "number": "O1",
        "patient": {
            "identifiers": [{"kind": "card", "value": "P1"}], "name": "患者甲", "sex": "female",
            "birth_date": "1986-05-04", "phone": "13800001234",
        },
        "encounter": {"number": "V1", "encounter_class": "outpatient", "campus": "N"},
        "ordering_department": "CLINIC",
        "ordered_at": "2026-11-23T07:55:00+08:00",
        "items": [{"line": 1, "item": "US-THYROID"}],
        "note": "第一行",
    },
    "/payments": {"order": "O0", "lines": [1], "amount": "120.50", "paid_at": "2026-11-23T07:55:00+08:00"},
    "/evidence": {
        "patient": {"kind": "card", "value": "P0"}, "kind": "assessment", "outcome": "passed",
        "observed_at": "2026-11-23T07:00:00+08:00", "valid_until": "2026-12-23T07:00:00+08:00",
    },
    "/appointments": {"items": ["O0/1"], "group": "US-N", "starts_at": "2026-11-24T09:00:00+08:00"},
    "/appointments/CANCELLED/cancel": {"reason": "改期"},
    "/appointments/CANCELLED/check-in": {},
    "/appointments/DONE/reschedule": {"group": "US-N", "starts_at": "2026-11-24T09:00:00+08:00"},
    "/appointments/BOOKED/reschedule": {"group": "US-N", "starts_at": "2026-11-24T09:00:00+08:00", "version": 1},
}  # fmt: skip
MESSAGES = {
    "SubmitOrder": "<order><messageId>bad</messageId><orderNo>O1</orderNo><patient><identifiers><identifier>"
    "<kind>card</kind><value>P1</value></identifier></identifiers><name>患者甲</name><sex>female</sex>"
    "<birthDate>1986-05-04</birthDate><phone>13800001234</phone></patient><encounter><encounterNo>V1</encounterNo>"
    "<encounterClass>outpatient</encounterClass><campus>N</campus></encounter>"
    "<orderingDepartment>CLINIC</orderingDepartment><priority>routine</priority>"
    "<orderedAt>2026-11-23T07:55:00+08:00</orderedAt><items><item><line>1</line><itemCode>US-THYROID</itemCode></item>"
    "</items><note>第一行</note></order>",
    "ReportPayment": "<payment><messageId>bad</messageId><orderNo>O0</orderNo><lines><line>1</line></lines>"
    "<amount>120.50</amount><paidAt>2026-11-23T07:55:00+08:00</paidAt></payment>",
    "ReportAssessment": "<assessment><messageId>bad</messageId><patientIdentifier><kind>card</kind><value>P0</value>"
    "</patientIdentifier><kind>assessment</kind><outcome>passed</outcome><observedAt>2026-11-23T07:00:00+08:00"
    "</observedAt><validUntil>2026-12-23T07:00:00+08:00</validUntil></assessment>",
    "QuerySlots": "<query><orderNo>O0</orderNo><line>1</line><fromDate>2026-11-24</fromDate><days>7</days></query>",
    "CancelAppointment": "<cancellation><messageId>bad</messageId><appointmentNo>CANCELLED</appointmentNo>"
    "<reason>改期</reason></cancellation>",
    "CheckIn": "<checkIn><messageId>bad</messageId><appointmentNo>CANCELLED</appointmentNo></checkIn>",
    "RescheduleAppointment": "<reschedule><messageId>bad</messageId><appointmentNo>BOOKED</appointmentNo>"
    "<version>1</version><group>US-N</group><startAt>2026-11-24T09:00:00+08:00</startAt></reschedule>",
    "BookAppointment": "<booking><messageId>bad</messageId><items><item><orderNo>OG</orderNo><line>1</line></item></items>"
    "<group>US-N</group>"
    "<startAt>2026-11-24T09:00:00+08:00</startAt></booking>",
}


@dataclass(frozen=True)
class Json:
    """A REST request: a body changed at one place (`a/0/b`), or raw bytes; `pointer` is the place named in the answer."""

    path: str = "/orders"
    place: str = ""
    value: Any = None
    status: int = 422
    pointer: str = ""
    code: str = ""
    rule: str = ""
    raw: bytes | None = None
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()

    def body(self, numbers: Mapping[str, str]) -> bytes:
        if self.raw is not None:
            return self.raw
        return named(json.dumps(self._changed(), ensure_ascii=True), numbers).encode()

    def _changed(self) -> Any:
        made = copy.deepcopy(BODIES.get(self.path, {}))
        if not self.place:
            return made
        *steps, last = [int(step) if step.isdigit() else step for step in self.place.split("/")]
        parent: Any = made
        for step in steps:
            parent = parent[step]
        if self.value is ABSENT:
            del parent[last]
        else:
            parent[last] = self.value
        return made

    @property
    def named_pointer(self) -> str:
        return f"/{self.pointer or self.place}" if self.pointer != "-" and (self.pointer or self.place) else ""


@dataclass(frozen=True)
class Xml:
    """A SOAP request: a message with other XML inside the element at one place, or raw bytes.

    `field` is the field that the fault names, by default the place; "-" none. `after` stands behind the element.
    """

    operation: str = "SubmitOrder"
    place: str = ""
    value: Any = None
    field: str = ""
    code: str = ""
    rule: str = ""
    after: str = ""
    raw: bytes | None = None
    status: int = 500
    header: str = ""
    encoding: str = "utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    def body(self, numbers: Mapping[str, str]) -> bytes:
        if self.raw is not None:
            return self.raw
        message = etree.fromstring(f'<{self.operation} xmlns="{NAMESPACE}">{MESSAGES[self.operation]}</{self.operation}>')
        if self.place:
            element = message.find("/".join(f"{{{NAMESPACE}}}{step}" for step in self.place.split("/")))
            assert element is not None, self.place
            self._change(element)
        text = etree.tostring(message, encoding="unicode")
        text = text.replace("<AFTER/>", self.after).replace("VALUE", str(self.value))
        return enveloped(named(text, numbers), self.header).encode(self.encoding)

    def _change(self, element: etree._Element) -> None:
        around = element.getparent()
        assert around is not None
        if self.after:
            element.addnext(etree.Element("AFTER"))
        if self.value is ABSENT:
            around.remove(element)
        elif self.value is not None:
            for child in element:
                element.remove(child)
            element.text = "VALUE"

    @property
    def named_field(self) -> str:
        return (self.field or self.place) if self.field != "-" else ""


def named(text: str, numbers: Mapping[str, str]) -> str:
    """The text with the numbers of the appointments it speaks of."""
    for name, number in numbers.items():
        text = text.replace(name, number)
    return text


def enveloped(message: str, header: str = "") -> str:
    return f'<s:Envelope xmlns:s="{ENVELOPE}"><s:Header>{header}</s:Header><s:Body>{message}</s:Body></s:Envelope>'
