"""A contract loaded from a WSDL file: its operations, its messages, and the documents it shows to clients."""

from __future__ import annotations

import copy
import io
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
from examlane_api.soap.faults import SoapRefusal, SoapVersion
from examlane_api.soap.schema import Problem, Schema, prune, tidied
from examlane_api.soap.typed import documents, shapes


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation in one SOAP version, as zeep understood the contract."""

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
        self._source = documents.read(wsdl)
        self.namespace = str(self._source.get("targetNamespace"))
        self._settings = Settings(forbid_dtd=True, forbid_external=True)
        whole: Any = io.BytesIO(etree.tostring(self._source))
        self._document: Any = Document(whole, Transport(), settings=self._settings)  # type: ignore[no-untyped-call, arg-type]
        self._schema = Schema(documents.schema(self._source))
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
        given = value[child.attr_name]  # zeep reads an element with nothing in it as None
        plain: dict[str, Any] = {} if given is None else shapes.to_plain(given, child.type, self._timezone)
        if holes := shapes.missing(plain, child.type, child.attr_name):
            raise _invalid([(field, f"{field} is missing.") for field in holes])
        return plain

    def write(self, operation: Operation, answer: Mapping[str, Any]) -> etree._Element:
        """The envelope of the answer. One that breaks the contract is our own mistake: ValueError."""
        output = operation.binding.output
        soap = output.nsmap["soap-env"]
        envelope = etree.Element(f"{{{soap}}}Envelope", nsmap={"soap-env": soap})
        body = etree.SubElement(envelope, f"{{{soap}}}Body")
        response = etree.SubElement(body, output.body.qname)
        shapes.render(response, operation.response, answer, self._timezone)
        if problems := self._schema.problems(copy.deepcopy(envelope[-1][0])):
            raise ValueError(f"{operation.name} answered against its contract: {problems}")
        return envelope

    def wsdl(self, versions: frozenset[SoapVersion], location: str) -> bytes:
        """The WSDL with the bindings of these versions only: old tools stumble over the others."""
        return documents.shown(self._source, versions, location)

    def _load(self, version: SoapVersion) -> dict[str, Operation]:
        bindings: list[Any] = [each for each in self._document.bindings.values() if isinstance(each, SoapBinding)]
        spoken = [each for each in bindings if each.nsmap["soap-env"] == version.value]
        found = [each for binding in spoken for each in binding.all().values()]
        return {each.input.body.qname.text: Operation(each.name, each) for each in found}


def _invalid(problems: Sequence[Problem]) -> SoapRefusal:
    fields = tuple(dict.fromkeys(field for field, _ in problems))
    details = " ".join(dict.fromkeys(words for _, words in problems))
    words = Text(f"消息不符合接口约定：{details}", f"The message does not fit the contract: {details}")
    return SoapRefusal("invalid_message", words, fields=fields)
