"""The gate every message passes, in both directions: XSD validation, after harmless oddities are tidied away."""

from __future__ import annotations

import copy
import itertools
import re
import threading
from typing import Any

from lxml import etree

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_NAMESPACE = re.compile(r"\{\w+:[^{}]*\}")
_PREFIXED = re.compile(r"[^/:\[\]]+:([^/:\[\]]+)")
_MISSING_CHILD = re.compile(r"Missing child element\(s\)\. Expected is (?:one of )?\( (\w+)")
_EARLIER_CHILD = re.compile(r"not expected\. Expected is (?:one of )?\( (?:\w+, )*(\w+) \)")
_XS = "{http://www.w3.org/2001/XMLSchema}"
_SHOWN_PROBLEMS = 10
Problem = tuple[str, str]
"""(the field, what is wrong with it)"""


class Schema:
    """An XSD that says what is wrong and where."""

    def __init__(self, element: etree._Element) -> None:
        self._text = etree.tostring(element)
        self._sequences = [list(each.iterfind(f"{_XS}element")) for each in element.iter(f"{_XS}sequence")]
        self._per_thread = threading.local()

    def problems(self, message: etree._Element) -> list[Problem]:
        """What is wrong with a message that is the root of its document; empty if nothing."""
        schema = self._compiled()
        if schema.validate(message):
            return []
        log: Any = schema.error_log
        return [self._problem(message, entry) for entry in itertools.islice(log, _SHOWN_PROBLEMS)]

    def _compiled(self) -> etree.XMLSchema:
        """One per thread: a shared one mixes up the error logs of concurrent messages."""
        if not hasattr(self._per_thread, "schema"):
            self._per_thread.schema = etree.XMLSchema(etree.fromstring(self._text))
        schema: etree.XMLSchema = self._per_thread.schema
        return schema

    def _problem(self, root: etree._Element, entry: Any) -> Problem:
        words = _NAMESPACE.sub("", entry.message)
        field = _field(root, entry.path or "")
        if missing := _MISSING_CHILD.search(words):
            return f"{field}/{missing[1]}".lstrip("/"), words
        around, _, name = field.rpartition("/")
        expected = _EARLIER_CHILD.search(words)
        if expected and self._requires(expected[1], before=name.partition("[")[0]):
            return f"{around}/{expected[1]}".lstrip("/"), words
        return field, words

    def _requires(self, name: str, *, before: str) -> bool:
        """Whether what stands at `before` is in order, and the required element `name` is missing ahead of it."""
        return any(
            each.get("name") == name and each.get("minOccurs") != "0" and before in {late.get("name") for late in later}
            for elements in self._sequences
            for each, later in ((each, elements[place:]) for place, each in enumerate(elements, 1))
        )


def tidied(message: etree._Element) -> etree._Element:
    """A copy as its own document: no xsi:type or encodingStyle, no blanks around values."""
    root = copy.deepcopy(message)
    root.tail = None
    for element in root.iter(etree.Element):
        for name in [each for each in element.attrib if etree.QName(each).localname == "encodingStyle"]:
            del element.attrib[name]
        element.attrib.pop(f"{_XSI}type", "")
        element.text = element.text.strip() or None if element.text else None
    return root


def prune(root: etree._Element) -> None:
    """Take out empty and nil leaves without attributes: many toolkits send them for "absent"."""
    for element in list(root.iterdescendants()):
        nil = element.attrib.pop(f"{_XSI}nil", "false") in {"true", "1"}
        parent = element.getparent()
        if parent is not None and not len(element) and not element.attrib and (nil or not element.text):
            parent.remove(element)


def _field(root: etree._Element, path: str) -> str:
    """The path in element names, numbered where a name repeats; libxml2 itself says only `/*/*[2]`."""
    try:
        found = root.xpath(_PREFIXED.sub(r"*[local-name()='\1']", path))
    except etree.XPathError:
        return path
    element = found[0] if isinstance(found, list) and found else None
    if not isinstance(element, etree._Element):
        return path
    return "/".join(_step(each) for each in [*reversed(list(element.iterancestors())), element][1:])


def _step(element: etree._Element) -> str:
    name = etree.QName(element).localname
    before = sum(1 for _ in element.itersiblings(element.tag, preceding=True))
    alone = not before and next(element.itersiblings(element.tag), None) is None
    return name if alone else f"{name}[{before + 1}]"
