"""Between the messages of a contract and plain Python: dicts, lists, str, int, bool, Decimal, date and aware datetime.

The contract wraps each list in a type `…List` with one repeated element; in Python it is simply a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, tzinfo
from typing import Any

from lxml import etree
from zeep.xsd import ComplexType

from examlane_api.soap.faults import printable

# What toolkits send for "no date": .NET's smallest and Delphi's zero.
_NO_DATE = {date(1, 1, 1), date(1899, 12, 30)}


def to_plain(value: Any, kind: Any, timezone: tzinfo) -> Any:
    """A value zeep parsed, as plain Python. What was not sent has no key; a naive instant is local time."""
    if not isinstance(kind, ComplexType):
        return _plain_scalar(value, timezone)
    if (entry := _list_entry(kind)) is not None:
        entries = (to_plain(each, entry.type, timezone) for each in value[entry.attr_name])
        return [each for each in entries if each is not None]
    given = [(name, element.type) for name, element in kind.elements if value[name] is not None]
    fields = {name: to_plain(value[name], each, timezone) for name, each in given}
    return {name: each for name, each in fields.items() if each is not None}


def missing(plain: Any, kind: Any, path: str = "") -> list[str]:
    """The required fields that a plain value lacks: the toolkits' "no date" leaves such holes behind the schema."""
    if not isinstance(kind, ComplexType):
        return []
    if (entry := _list_entry(kind)) is not None:
        numbered = enumerate(plain, start=1)
        return [hole for n, each in numbered for hole in missing(each, entry.type, f"{path}/{entry.attr_name}[{n}]")]
    holes = [f"{path}/{name}" for name, element in kind.elements if name not in plain and not element.is_optional]
    for name, element in kind.elements:
        if name in plain:
            holes += missing(plain[name], element.type, f"{path}/{name}")
    return holes


def render(parent: etree._Element, element: Any, value: Any, timezone: tzinfo) -> None:
    """Append a plain value as an element of the contract; only an unknown key is noticed here, the rest by the schema."""
    node = etree.SubElement(parent, element.qname)
    if not isinstance(element.type, ComplexType):
        node.text = element.type.xmlvalue(_wire_scalar(value, timezone))
    elif (entry := _list_entry(element.type)) is not None:
        for each in value:
            render(node, entry, each, timezone)
    else:
        _render_fields(node, element.type, value, timezone)


def _render_fields(node: etree._Element, kind: ComplexType, value: Mapping[str, Any], timezone: tzinfo) -> None:
    given = {name: each for name, each in value.items() if each is not None}
    for name, element in kind.elements:
        if name in given:
            render(node, element, given.pop(name), timezone)
    if given:
        raise ValueError(f"{kind.name} knows no {', '.join(given)}")


def _list_entry(kind: ComplexType) -> Any | None:
    """The repeated element of a list type, or None for any other type."""
    elements = [element for _, element in kind.elements]
    is_list = str(kind.name).endswith("List") and len(elements) == 1 and elements[0].accepts_multiple
    return elements[0] if is_list else None


def _plain_scalar(value: Any, timezone: tzinfo) -> Any:
    if isinstance(value, datetime):
        if value.date() in _NO_DATE:
            return None
        return value if value.tzinfo else value.replace(tzinfo=timezone)
    if isinstance(value, date) and value in _NO_DATE:
        return None
    return value


def _wire_scalar(value: Any, timezone: tzinfo) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, datetime):
        local = value.astimezone(timezone) if value.tzinfo else value.replace(tzinfo=timezone)
        return local.replace(microsecond=0)
    return value
