"""Refusals and how they are written as SOAP 1.1 and SOAP 1.2 faults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from lxml import etree

from examlane import Text

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class SoapVersion(StrEnum):
    """A SOAP version is the namespace of its envelope."""

    V11 = "http://schemas.xmlsoap.org/soap/envelope/"
    V12 = "http://www.w3.org/2003/05/soap-envelope"

    @property
    def content_type(self) -> str:
        media = "text/xml" if self is SoapVersion.V11 else "application/soap+xml"
        return f"{media}; charset=utf-8"


class FaultKind(Enum):
    """Who has to act, in the words of SOAP 1.1 and of SOAP 1.2."""

    SENDER = ("Client", "Sender")
    RECEIVER = ("Server", "Receiver")
    MUST_UNDERSTAND = ("MustUnderstand", "MustUnderstand")
    VERSION_MISMATCH = ("VersionMismatch", "VersionMismatch")


@dataclass(eq=False)
class SoapRefusal(Exception):
    """A message is refused. Handlers raise it with a code, words for people, the fields at fault, and the rules.

    `retryable` says that the same message may be sent again later as it is.
    """

    code: str
    message: Text | str
    retryable: bool = False
    fields: Sequence[str] = ()
    rules: Sequence[str] = ()
    kind: FaultKind = FaultKind.SENDER
    status: int = 500

    def words(self, language: str) -> str:
        if isinstance(self.message, str):
            return self.message
        return self.message.zh if language == "zh" else self.message.en


def printable(text: str) -> str:
    """The text without the characters that XML cannot carry."""
    return _ILLEGAL.sub("", text)


def render_fault(refusal: SoapRefusal, version: SoapVersion, namespace: str, language: str) -> etree._Element:
    """A whole envelope with the fault. Code and words are repeated in its reason: some clients never see details."""
    envelope = etree.Element(etree.QName(version, "Envelope"), nsmap={"soap": version.value})
    fault = _child(_child(envelope, version, "Body"), version, "Fault")
    words = printable(refusal.words(language))
    if version is SoapVersion.V11:
        detail = _reason_11(fault, refusal.kind, f"{refusal.code}: {words}")
    else:
        detail = _reason_12(fault, refusal.kind, f"{refusal.code}: {words}", language)
    _booking_fault(detail, refusal, namespace, words)
    return envelope


def _reason_11(fault: etree._Element, kind: FaultKind, reason: str) -> etree._Element:
    _child(fault, "", "faultcode").text = f"soap:{kind.value[0]}"
    _child(fault, "", "faultstring").text = reason
    return _child(fault, "", "detail")


def _reason_12(fault: etree._Element, kind: FaultKind, reason: str, language: str) -> etree._Element:
    version = SoapVersion.V12
    _child(_child(fault, version, "Code"), version, "Value").text = f"soap:{kind.value[1]}"
    text = _child(_child(fault, version, "Reason"), version, "Text")
    text.set(_XML_LANG, language)
    text.text = reason
    return _child(fault, version, "Detail")


def _booking_fault(detail: etree._Element, refusal: SoapRefusal, namespace: str, words: str) -> None:
    typed = etree.SubElement(detail, etree.QName(namespace, "BookingFault"), nsmap={"tns": namespace})
    _child(typed, namespace, "code").text = refusal.code
    _child(typed, namespace, "message").text = words
    _child(typed, namespace, "retryable").text = str(refusal.retryable).lower()
    for name in refusal.fields:
        _child(typed, namespace, "field").text = printable(name)
    for name in refusal.rules:
        _child(typed, namespace, "rule").text = printable(name)


def _child(parent: etree._Element, namespace: str, name: str) -> etree._Element:
    return etree.SubElement(parent, etree.QName(namespace or None, name))
