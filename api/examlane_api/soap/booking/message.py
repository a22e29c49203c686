"""A message of the contract as the plain body that REST takes too, so that one set of schemas judges both.

It remembers where each value stood: a JSON pointer of a schema or of the core becomes the path of an element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from marshmallow import Schema, ValidationError

from examlane import Text
from examlane.errors import InvalidInput
from examlane_api.problems import CHINESE
from examlane_api.soap.faults import SoapRefusal

_ENTRIES = {
    "identifiers": "identifier", "needs": "need", "items": "item", "confirmed": "code", "lines": "line",
    "facts": "fact", "data": "entry", "orders": "code", "departments": "code",
}  # fmt: skip
_ORDER = {"orderNo": "number", "encounterNo": "number", "itemCode": "item", "facts": "context", "drawing": ""}
_NAMES = {
    "order": _ORDER,
    "change": {**_ORDER, "orderNo": ""},
    "cancellation": {"orderNo": ""},
    "orderReturn": {"orderNo": ""},
    "payment": {"orderNo": "order", "settlementNo": "settlement"},
    "refund": {"orderNo": "order", "settlementNo": "settlement"},
    "assessment": {"patientIdentifier": "patient"},
    "hold": {"startAt": "starts_at"},
    "booking": {"startAt": "starts_at"},
    "reschedule": {"startAt": "starts_at"},
    "arrival": {"patientIdentifier": "patient"},
    "emergency": {"wristbandNo": "number"},
    "merge": {"merged": "merge"},
    "update": {"patientIdentifier": "patient"},
    "report": {"encounterNo": "encounter", "eventKind": "event"},
    "withdrawal": {"encounterNo": "encounter", "eventKind": "event"},
    "suspension": {
        "fromAt": "from", "untilAt": "until", "opensAt": "opens", "closesAt": "closes", "otherResource": "other",
        "preview": "",
    },
    "resumption": {"suspensionNo": ""},
}  # fmt: skip
"""The names of elements in REST's body, by the message; without a name an element is no part of the body."""
_NEVER_IN_BODY = {"messageId": "", "appointmentNo": ""}
_CAPITAL = re.compile("[A-Z]")
_WHOLE = re.compile(r"-?\d+", re.ASCII)
_DECIMAL = re.compile(r"-?\d+\.\d+", re.ASCII)


class Message:
    """The one child of a request; `root` is its element name."""

    def __init__(self, root: str, payload: Mapping[str, Any]) -> None:
        self._names = _NEVER_IN_BODY | _NAMES.get(root, {})
        self._paths = {"": root}
        self.root = root
        self.payload = payload
        self.body: dict[str, Any] = self._object(payload, "", root)

    def load(self, schema: type[Schema]) -> dict[str, Any]:
        """The body as a schema reads it. Raises `InvalidInput` with every problem at once."""
        return load(schema, self.body)

    def path(self, pointer: str) -> str:
        """The path of the element that a pointer names, or of the nearest one around it."""
        while pointer not in self._paths:
            pointer = pointer.rpartition("/")[0]
        return self._paths[pointer]

    def _object(self, value: Mapping[str, Any], pointer: str, path: str) -> dict[str, Any]:
        return {
            self._name(element): self._member(element, each, f"{pointer}/{self._name(element)}", f"{path}/{element}")
            for element, each in value.items()
            if self._name(element)
        }

    def _name(self, element: str) -> str:
        return self._names.get(element, _CAPITAL.sub(lambda letter: f"_{letter[0].lower()}", element))

    def _member(self, element: str, value: Any, pointer: str, path: str) -> Any:
        self._paths[pointer] = path
        if isinstance(value, list):
            return self._list(element, value, pointer, path)
        if isinstance(value, Mapping):
            return _key(value) if value.keys() == {"orderNo", "line"} else self._object(value, pointer, path)
        if isinstance(value, date):
            return value.isoformat()
        return f"{value:.2f}" if isinstance(value, Decimal) else value

    def _list(self, element: str, values: Sequence[Any], pointer: str, path: str) -> Any:
        paths = [f"{path}/{_ENTRIES[element]}[{number}]" for number in range(1, len(values) + 1)]
        if element in ("facts", "data"):
            return self._by_name(element, values, pointer, paths)
        return [
            self._member(_ENTRIES[element], value, f"{pointer}/{index}", paths[index]) for index, value in enumerate(values)
        ]

    def _by_name(self, element: str, facts: Sequence[Any], pointer: str, paths: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for fact, path in zip(facts, paths, strict=True):
            name = fact["name"]
            if name in found:
                words = Text(f"{name} 出现两次", f"{name} is given twice")
                raise SoapRefusal("invalid_input", words, fields=[path])
            rest = {key: value for key, value in fact.items() if key != "name"} | {"value": clinical(fact["value"])}
            told = self._member(element, rest, f"{pointer}/{name}", path)
            found[name] = told if element == "facts" else told["value"]
        return found


def load(schema: type[Schema], body: Mapping[str, Any]) -> dict[str, Any]:
    """A body as a schema reads it. Raises `InvalidInput` with every problem at once."""
    try:
        loaded: dict[str, Any] = _made(schema).load(body)
    except ValidationError as error:
        raise InvalidInput(list(_problems(error.messages))) from error
    return loaded


@cache
def _made(schema: type[Schema]) -> Schema:
    """One of each: making a schema costs more than reading with it."""
    return schema()


def _key(item: Mapping[str, Any]) -> str:
    """The key of an order item."""
    return f"{item['orderNo']}/{item['line']}"


def clinical(value: str) -> bool | int | float | str:
    """A clinical value from its text: true and false, a number, else the text itself."""
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if _WHOLE.fullmatch(value):
        return int(value)
    return float(value) if _DECIMAL.fullmatch(value) else value


def _problems(messages: Any, pointer: str = "") -> Iterator[tuple[str, Text]]:
    """Marshmallow's nested messages, each with its pointer."""
    if isinstance(messages, Mapping):
        for name, each in messages.items():
            yield from _problems(each, f"{pointer}/{name}")
    else:
        for words in messages:
            yield pointer, Text(CHINESE.get(words, words), words)
