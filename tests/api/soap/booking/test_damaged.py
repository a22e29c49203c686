"""Damaged messages of every operation are the sender's fault and write nothing: never our own mistake, never half done."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from examlane_api.soap import Contract, SoapVersion
from examlane_api.soap.wsdl import BOOKING
from tests.api.bad_input import NAMESPACE, enveloped
from tests.api.conftest import opened
from tests.api.soap.conftest import Samples

CONTRACT = Contract(BOOKING, ZoneInfo("Asia/Shanghai"))
SENDERS = {"Client", "Sender", "MustUnderstand", "VersionMismatch"}
ODD = ["", " ", "0", "-1", "1.5", "99999999999999", "2026-01-01", "2026-02-30", "9999-12-31T23:59:59-12:00", "NaN", "true"]
ODD += ["' OR 1=1--", "%", "{{7*7}}", "%s", "../x", "\u200b", "\u202e", "a\r\nb", "𠮷", "9" * 300, "2026-11-24T09:00:00"]
# Samples that the hospital knows; the rest are of the right form and known to nobody.
KNOWN = {
    "kind": "card", "itemCode": "US-THYROID", "department": "US", "group": "US-N",
    "orderingDepartment": "CLINIC", "campus": "N", "startAt": "2026-11-24T09:00:00+08:00",
    "orderedAt": "2026-11-23T07:55:00+08:00", "paidAt": "2026-11-23T07:55:00+08:00", "birthDate": "1986-05-04",
    "observedAt": "2026-11-23T07:00:00+08:00", "version": "1", "resource": "US-N-1", "phone": "13800001234",
}  # fmt: skip


@dataclass(frozen=True)
class Damage:
    """What is done to one element, counted from the first."""

    kind: str
    element: int
    text: str

    def apply(self, message: etree._Element) -> None:
        found = list(message.iter())
        element = found[self.element % len(found)]
        parent = element.getparent()
        if self.kind == "text":
            element.text = self.text
        elif self.kind == "attribute":
            element.set("odd", "1")
        elif self.kind == "name":
            element.tag = "odd"
        elif parent is not None:
            self._move(element, parent)

    def _move(self, element: etree._Element, parent: etree._Element) -> None:
        if self.kind == "drop":
            parent.remove(element)
        elif self.kind == "double":
            parent.append(etree.fromstring(etree.tostring(element)))
        else:
            parent.insert(0, element)


def written(parent: etree._Element, name: str, value: Any) -> None:
    """Add a sample to the message."""
    if isinstance(value, list):
        for each in value:
            written(parent, name, each)
        return
    element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    if isinstance(value, Mapping):
        for part, each in value.items():
            written(element, part, each)
    else:
        text = text_of(value)
        element.text = KNOWN.get(name, text) if not isinstance(value, str) or text.endswith("-1") else text


def text_of(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


def required(value: Any, kind: Any) -> Any:
    """The sample without the elements that need not be sent."""
    if isinstance(value, list):
        return [required(each, kind) for each in value]
    if not isinstance(value, Mapping):
        return value
    found = {name: each for name, each in kind.elements if not each.is_optional or isinstance(value[name], list)}
    return {name: required(value[name], element.type) for name, element in found.items()}


@dataclass(frozen=True)
class Booked:
    """An order and its appointment in a hospital, of which messages speak."""

    site: Any
    order: str
    appointment: str
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def sound(self, operation: str, *, whole: bool) -> etree._Element:
        """A message under an id of its own with every element of the contract, or with those that it requires."""
        request = CONTRACT.operation(SoapVersion.V11, f"{{{NAMESPACE}}}{operation}").request
        message = etree.Element(f"{{{NAMESPACE}}}{operation}", nsmap={None: NAMESPACE})
        sample = Samples(CONTRACT).sent(request.type)
        written(message, request.name, sample if whole else required(sample, request.type))
        names = {
            "messageId": f"{operation}-{self.order}-{next(self.numbers)}", "orderNo": self.order,
            "value": f"P-{self.order}", "encounterNo": f"V-P-{self.order}", "appointmentNo": self.appointment,
        }  # fmt: skip
        for element in message.iter():
            element.text = names.get(etree.QName(element).localname, element.text)
        return message


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with opened(f"sqlite:///{tmp_path_factory.mktemp('damaged') / 'hospital.db'}") as found:
        yield found


@pytest.fixture
def booked(site: Any) -> Booked:
    order = f"O-{next(site.keys)}"
    return Booked(site, order, site.booked(order)["number"])


def bytes_of(message: etree._Element) -> bytes:
    return enveloped(etree.tostring(message, encoding="unicode")).encode()


def send(site: Any, body: bytes) -> Any:
    key = base64.b64encode(f"his:{site.secrets['his']}".encode()).decode()
    headers = {"Content-Type": "text/xml; charset=utf-8", "Authorization": f"Basic {key}"}
    return site.app.test_client().post("/soap/booking", data=body, headers=headers)


def refused_or_done(site: Any, body: bytes) -> None:
    before = site.counts()
    answer = send(site, body)
    fault = etree.fromstring(answer.data).find(".//{*}Fault")
    if fault is None:
        assert answer.status_code == 200
        return
    code = fault.findtext("faultcode") or fault.findtext("{*}Code/{*}Value") or ""
    assert code.partition(":")[2] in SENDERS, answer.text
    assert fault.findtext(f".//{{{NAMESPACE}}}code"), answer.text
    assert site.counts() == before, answer.text


damages = st.lists(
    st.builds(
        Damage,
        st.sampled_from(["text", "attribute", "name", "drop", "double", "first"]),
        st.integers(0, 80),
        st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")),
    ),
    min_size=1,
    max_size=3,
)
once = settings(max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("operation", sorted(CONTRACT.operations))
@once
@given(damage=damages, whole=st.booleans())
def test_a_damaged_message_is_the_senders_fault_or_harmless(
    booked: Booked, operation: str, damage: list[Damage], whole: bool
) -> None:
    message = booked.sound(operation, whole=whole)
    for each in damage:
        each.apply(message)
    refused_or_done(booked.site, bytes_of(message))


@pytest.mark.parametrize("operation", sorted(CONTRACT.operations))
@once
@given(at=st.integers(0, 4000), lost=st.integers(0, 40), put=st.binary(max_size=6))
def test_damaged_bytes_of_an_envelope_are_the_senders_fault_or_harmless(
    booked: Booked, operation: str, at: int, lost: int, put: bytes
) -> None:
    sent = bytes_of(booked.sound(operation, whole=False))
    start = at % len(sent)
    refused_or_done(booked.site, sent[:start] + put + sent[start + lost :])


@pytest.mark.parametrize("operation", sorted(CONTRACT.operations))
@pytest.mark.parametrize("whole", [False, True])
def test_an_undamaged_message_keeps_the_contract(booked: Booked, operation: str, whole: bool) -> None:
    answer = send(booked.site, bytes_of(booked.sound(operation, whole=whole)))

    assert "invalid_message" not in answer.text
    assert "idempotency_key" not in answer.text
    assert "<faultcode>soap:Server" not in answer.text
