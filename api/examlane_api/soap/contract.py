"""A contract loaded from a WSDL file: its operations, its messages, and the documents it shows to clients."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any

from lxml import etree
from zeep import Settings, Transport
from zeep.wsdl import Document
from zeep.wsdl.bindings.soap import SoapBinding
from zeep.xsd.context import XmlParserContext

from examlane import Text
from examlane_api.soap import shapes
from examlane_api.soap.faults import SoapRefusal, SoapVersion
from examlane_api.soap.schema import Problem, Schema, prune, tidied

_WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
_XS = "{http://www.w3.org/2001/XMLSchema}"
_WSDL_EXTENSION = {
    SoapVersion.V11: "{http://schemas.xmlsoap.org/wsdl/soap/}",
    SoapVersion.V12: "{http://schemas.xmlsoap.org/wsdl/soap12/}",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation in one SOAP version; zeep's own object does the reading and writing."""

    name: str
    binding: Any

    @property
    def request(self) -> Any:
        """The one child of the request's wrapper."""
        return self.binding.input.body.type.elements[0][1]

    @property
    def response(self) -> Any:
        """The one child of the response's wrapper."""
        return self.binding.output.body.type.elements[0][1]


class Contract:
    """Reads requests into plain dicts and writes answers from them, both checked against the schema.

    An instant sent without offset is taken in `timezone`, and answers are given in it.
    """

    def __init__(self, wsdl: Path, timezone: tzinfo) -> None:
        self._timezone = timezone
        self._source = etree.fromstring(wsdl.read_bytes(), etree.XMLParser(no_network=True, resolve_entities=False))
        self.namespace = str(self._source.get("targetNamespace"))
        self._settings = Settings(forbid_dtd=True, forbid_external=True)
        self._document: Any = Document(str(wsdl), Transport(), settings=self._settings)  # type: ignore[no-untyped-call, arg-type]
        schema = self._source.find(f"{_WSDL}types/{_XS}schema")
        if schema is None:
            raise ValueError(f"{wsdl} has no inline schema")
        self._schema = Schema(schema)
        self._operations = {version: self._load(version) for version in SoapVersion}

    @property
    def operations(self) -> frozenset[str]:
        return frozenset(each.name for found in self._operations.values() for each in found.values())

    def operation(self, version: SoapVersion, tag: str) -> Operation:
        """The operation whose request has this name; what SOAPAction says is not asked."""
        found = self._operations[version].get(tag)
        if found is None:
            raise SoapRefusal("unknown_operation", Text(f"未知操作：{tag}", f"Unknown operation: {tag}"))
        return found

    def read(self, operation: Operation, message: etree._Element) -> dict[str, Any]:
        """The request's one child as a plain dict; the refusal names every field at fault."""
        root = tidied(message)
        if self._schema.problems(root):
            prune(root)
        if problems := self._schema.problems(root):
            raise _invalid(problems)
        context = XmlParserContext(settings=self._settings)  # type: ignore[no-untyped-call]
        value = operation.binding.input.body.parse(root, self._document.types, context=context)
        child = operation.request
        plain: dict[str, Any] = shapes.to_plain(value[child.attr_name], child.type, self._timezone)
        if holes := shapes.missing(plain, child.type, child.attr_name):
            raise _invalid([(field, f"{field} is missing.") for field in holes])
        return plain

    def write(self, operation: Operation, answer: Mapping[str, Any]) -> etree._Element:
        """The envelope of the answer. One that breaks the contract is our own mistake: ValueError."""
        child = operation.response
        value = shapes.from_plain(answer, child.type, self._timezone)
        envelope: etree._Element = operation.binding.output.serialize(**{child.attr_name: value}).content
        if problems := self._schema.problems(copy.deepcopy(envelope[-1][0])):
            raise ValueError(f"{operation.name} answered against its contract: {problems}")
        return envelope

    def wsdl(self, versions: frozenset[SoapVersion], location: str) -> bytes:
        """The WSDL with the bindings of these versions only: old tools stumble over the others."""
        tree = copy.deepcopy(self._source)
        for version, extension in _WSDL_EXTENSION.items():
            addresses = list(tree.iter(f"{extension}address"))
            for address in addresses:
                address.set("location", location)
            if version not in versions:
                _drop_parents([*addresses, *tree.iter(f"{extension}binding")])
        return etree.tostring(tree, xml_declaration=True, encoding="utf-8")

    def _load(self, version: SoapVersion) -> dict[str, Operation]:
        bindings: list[Any] = [each for each in self._document.bindings.values() if isinstance(each, SoapBinding)]
        spoken = [each for each in bindings if each.nsmap["soap-env"] == version.value]
        found = [each for binding in spoken for each in binding.all().values()]
        return {each.input.body.qname.text: Operation(each.name, each) for each in found}


def _drop_parents(elements: Sequence[etree._Element]) -> None:
    """Remove the ports and bindings that these addresses and SOAP bindings belong to."""
    for element in elements:
        owner = element.getparent()
        home = None if owner is None else owner.getparent()
        if owner is not None and home is not None:
            home.remove(owner)


def _invalid(problems: Sequence[Problem]) -> SoapRefusal:
    fields = tuple(dict.fromkeys(field for field, _ in problems))
    details = " ".join(dict.fromkeys(words for _, words in problems))
    words = Text(f"消息不符合接口约定：{details}", f"The message does not fit the contract: {details}")
    return SoapRefusal("invalid_message", words, fields=fields)
