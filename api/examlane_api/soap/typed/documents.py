"""WSDL documents: read with their schemas in one piece, completed for SOAP 1.2, and shown for the versions asked for."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

from lxml import etree

from examlane_api.soap.faults import SoapVersion

_WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
_XS = "{http://www.w3.org/2001/XMLSchema}"
_EXTENSION = {
    SoapVersion.V11: "http://schemas.xmlsoap.org/wsdl/soap/",
    SoapVersion.V12: "http://schemas.xmlsoap.org/wsdl/soap12/",
}


def read(wsdl: Path) -> etree._Element:
    """A WSDL in one document: the schemas it includes stand in its own, and SOAP 1.2 has a binding like SOAP 1.1."""
    tree = _parsed(wsdl)
    own = schema(tree)
    for included in _included(own, wsdl.parent, set()):
        own.append(included)
    for include in list(own.iter(f"{_XS}include")):
        own.remove(include)
    return _with_soap_12(tree)


def schema(tree: etree._Element) -> etree._Element:
    """The inline schema of a WSDL."""
    found = tree.find(f"{_WSDL}types/{_XS}schema")
    if found is None:
        raise ValueError("the WSDL has no inline schema")
    return found


def shown(tree: etree._Element, versions: frozenset[SoapVersion], location: str) -> bytes:
    """The WSDL with its address, and the bindings of these versions only: old tools stumble over the others."""
    tree = copy.deepcopy(tree)
    for version, extension in _EXTENSION.items():
        addresses = list(tree.iter(f"{{{extension}}}address"))
        for address in addresses:
            address.set("location", location)
        if version not in versions:
            _drop_parents([*addresses, *tree.iter(f"{{{extension}}}binding")])
    return etree.tostring(tree, xml_declaration=True, encoding="utf-8")


def _parsed(path: Path) -> etree._Element:
    return etree.fromstring(path.read_bytes(), etree.XMLParser(no_network=True, resolve_entities=False))


def _included(including: etree._Element, folder: Path, seen: set[str]) -> Iterator[etree._Element]:
    """What the included schemas define, each file once, what it builds on before it."""
    for include in including.findall(f"{_XS}include"):
        name = str(include.get("schemaLocation"))
        if name not in seen:
            seen.add(name)
            content = _parsed(folder / name)
            yield from _included(content, folder, seen)
            yield from (copy.deepcopy(each) for each in content if each.tag != f"{_XS}include")


def _with_soap_12(tree: etree._Element) -> etree._Element:
    """Whatever is said of SOAP 1.1 holds for SOAP 1.2 under the name with 12 for 11."""
    old, new = (f"{{{_EXTENSION[version]}}}" for version in (SoapVersion.V11, SoapVersion.V12))
    bindings = [each for each in tree.findall(f"{_WSDL}binding") if each.find(f"{old}binding") is not None]
    ports = [each for each in tree.iter(f"{_WSDL}port") if each.find(f"{old}address") is not None]
    for described in (*bindings, *ports):
        twin = copy.deepcopy(described)
        for element in twin.iter(f"{old}*"):
            element.tag = str(element.tag).replace(old, new)
        for name in ("name", "binding"):
            if name in twin.attrib:
                twin.set(name, str(twin.get(name)).replace("Soap11", "Soap12"))
        described.addnext(twin)
    return _prefixed(tree)


def _prefixed(tree: etree._Element) -> etree._Element:
    """The same document with a prefix of its own for SOAP 1.2, declared once, at the top."""
    prefixes = {str(prefix): name for prefix, name in tree.nsmap.items()} | {"soap12": _EXTENSION[SoapVersion.V12]}
    root = etree.Element(tree.tag, nsmap=prefixes)
    root.attrib.update(tree.attrib)
    root.extend(list(tree))
    etree.cleanup_namespaces(root, keep_ns_prefixes=list(prefixes))
    return root


def _drop_parents(elements: Sequence[etree._Element]) -> None:
    """Remove the ports and bindings that these addresses and SOAP bindings belong to."""
    for element in elements:
        owner = element.getparent()
        home = None if owner is None else owner.getparent()
        if owner is not None and home is not None:
            home.remove(owner)
