"""`HIPMessageServer(action, message)` as each platform spells it: its WSDL, its names, tolerant of its namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from lxml import etree

from examlane.domain import Text
from examlane_api.hip.profiles import Profile
from examlane_api.soap.faults import SoapRefusal, SoapVersion, printable

NAMES = ("HIPMessageServer", "PrivateHIPMessageServer")
BINDINGS = {SoapVersion.V11: ("soap", "HIPServiceSoap"), SoapVersion.V12: ("soap12", "HIPServiceSoap12")}


@dataclass(frozen=True, slots=True)
class Operation:
    """The operation as the caller named it: he is answered in his own namespace."""

    name: str
    version: SoapVersion
    namespace: str


class HipContract:
    """Two parameters of text, found by name or else by position, in any namespace or none; one text back."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.namespace = profile.namespace

    @property
    def operations(self) -> frozenset[str]:
        return frozenset((*NAMES, self._profile.operation))

    def operation(self, version: SoapVersion, tag: str) -> Operation:
        """The operation by its local name; its namespace is the caller's affair."""
        name = etree.QName(tag)
        if name.localname not in self.operations:
            raise SoapRefusal("unknown_operation", Text(f"未知操作：{tag}", f"Unknown operation: {tag}"))
        return Operation(name.localname, version, name.namespace or "")

    def read(self, operation: Operation, message: etree._Element) -> dict[str, Any]:
        """`action`, `message`, and the namespace in which the parameters stood."""
        given = list(message)
        named = {etree.QName(each).localname: each for each in reversed(given)}
        first, second = self._profile.parameters
        if first in named and second in named:
            chosen = [named[first], named[second]]
        elif {"action", "message"} <= set(named):
            chosen = [named["action"], named["message"]]
        else:
            chosen = given[:2]
        if len(chosen) < 2:
            words = Text(f"需要两个参数：{first}、{second}", f"Two parameters are needed: {first}, {second}")
            raise SoapRefusal("invalid_message", words, fields=[first, second])
        action, content = chosen
        inner = etree.tostring(content[0], encoding="unicode", with_tail=False) if len(content) else content.text
        return {
            "action": (action.text or "").strip(),
            "message": inner or "",
            "namespace": etree.QName(action).namespace or "",
        }

    def write(self, operation: Operation, answer: Mapping[str, Any]) -> etree._Element:
        """The envelope; `text` is the document that is answered."""
        envelope = etree.Element(etree.QName(operation.version, "Envelope"), nsmap={"soap": operation.version.value})
        body = etree.SubElement(envelope, etree.QName(operation.version, "Body"))
        prefixes = {"hip": operation.namespace} if operation.namespace else {}
        name = etree.QName(operation.namespace or None, f"{operation.name}Response")
        response = etree.SubElement(body, name, nsmap=prefixes)
        result = etree.SubElement(response, etree.QName(answer["namespace"] or None, self._profile.result))
        text = printable(answer["text"])
        result.text = etree.CDATA(text) if self._profile.cdata else text
        return envelope

    def wsdl(self, versions: frozenset[SoapVersion], location: str) -> bytes:
        return render(self._profile, versions, location)


def render(profile: Profile, versions: frozenset[SoapVersion], location: str) -> bytes:
    """A platform's WSDL from our template: what its clients read here, and what we call it by."""
    return (
        _template()
        .render(
            namespace=profile.namespace,
            form="qualified" if profile.qualified else "unqualified",
            operations=list(dict.fromkeys((profile.operation, *NAMES))),
            parameters=profile.parameters,
            result=profile.result,
            bindings=[BINDINGS[version] for version in SoapVersion if version in versions],
            location=location,
        )
        .encode()
    )


@cache
def _template() -> jinja2.Template:
    text = files("examlane_api.hip").joinpath("platform.wsdl").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True).from_string(text)
