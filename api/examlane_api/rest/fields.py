"""Strict input: JSON without surprises, text without control characters, aware instants within this century."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from marshmallow import ValidationError, fields, validate
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from examlane.orders.patients import Identifier

MAX_DEPTH = 32
LARGEST_KEY = 2**62
FIRST_YEAR, LAST_YEAR = 2000, 2100
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]*", re.ASCII)
PATIENT_KEY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._/#-]{0,31}):([A-Za-z0-9][A-Za-z0-9._:/#-]{0,63})$", re.ASCII)
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?", re.ASCII)
HIDDEN = re.compile("[\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
# Mobile, +86, abroad, area code with a landline and its extension, landline: without the blanks and hyphens between.
PHONE = re.compile(
    r"1[0-9]{10}|(?:\+|00)86(?!86)[1-9][0-9]{7,10}|(?:\+|00)(?!86)[1-9][0-9]{5,14}|0[0-9]{9,17}|[2-9][0-9]{6,7}"
)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class BadJson(ValueError):
    """A body that is not the JSON we accept, with the reason in words."""


def strict_json(body: bytes) -> Any:
    """JSON of a body. Raises `BadJson` on bad UTF-8, NaN, double names, surrogates, or deep nesting."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson("the body is not UTF-8") from error
    _shallow(text)
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as error:
        raise BadJson(str(error) if isinstance(error, BadJson) else "the body is not JSON") from error
    if re.search(r"\\u[dD][89a-fA-F]", text):
        _no_surrogates(value)
    return value


def _shallow(text: str) -> None:
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise BadJson("the body is nested too deeply")


def _no_constant(name: str) -> Any:
    raise BadJson(f"{name} is not a number")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise BadJson("a name stands twice in one object")
    return names


def _no_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadJson("the body has half a character") from error


class StrictParser(FlaskParser):
    """The request parser of every endpoint: strict JSON, unknown names refused everywhere."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {  # noqa: RUF012 - as webargs declares it
        **dict.fromkeys(FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "raise"),
        "headers": "exclude",
    }

    def _raw_load_json(self, req: Any) -> Any:
        if req.mimetype != "application/json":
            raise UnsupportedMediaType
        return strict_json(req.get_data())


class CleanText(fields.String):
    """Text for people: no control or invisible characters, trimmed, normalised, limited, by default on one line."""

    def __init__(self, maximum: int, *, minimum: int = 1, lines: bool = False, **options: Any) -> None:
        super().__init__(validate=validate.Length(minimum, maximum), **options)
        self._breaks = "\n\t" if lines else ""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        text = unicodedata.normalize("NFC", super()._deserialize(value, attr, data, **options)).strip()
        hidden = any(unicodedata.category(c) in ("Cc", "Cs") and c not in self._breaks for c in text)
        if hidden or HIDDEN.search(text):
            raise ValidationError("Not a printable text.")
        return text


class Phone(CleanText):
    """A telephone number as people write it, with blanks and hyphens."""

    def __init__(self, **options: Any) -> None:
        super().__init__(32, minimum=0, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options)
        if text and not PHONE.fullmatch(re.sub(r"(?<=.)[ ()-]", "", text)):
            raise ValidationError("Not a telephone number.")
        return text


class Code(fields.String):
    """A number or code of another system: ASCII letters, digits and . _ : / # -"""

    def __init__(self, maximum: int = 64, **options: Any) -> None:
        super().__init__(validate=[validate.Length(1, maximum), self._plain], **options)

    @staticmethod
    def _plain(value: str) -> None:
        if not CODE.fullmatch(value):
            raise ValidationError("Only ASCII letters, digits and . _ : / # - are allowed.")


class OrderNumber(Code):
    """An order's number: it stands in addresses, and `#` and `/` mark its versions and lines."""

    @staticmethod
    def _plain(value: str) -> None:
        Code._plain(value)
        if "/" in value or "#" in value:
            raise ValidationError("An order number has neither / nor #.")


class Instant(fields.AwareDateTime):
    """An instant with its offset, from 2000 to the end of 2099."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format="iso", **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> datetime:
        if not isinstance(value, str) or not INSTANT.fullmatch(value):
            raise ValidationError("Not an instant such as 2026-11-23T08:00:00+08:00.")
        found: datetime = super()._deserialize(value, attr, data, **options)
        # The local year first: an instant of the year 1 has no UTC.
        if not (FIRST_YEAR <= found.year <= LAST_YEAR and FIRST_YEAR <= found.astimezone(UTC).year < LAST_YEAR):
            raise ValidationError("Not within 2000 to 2099.")
        return found.replace(microsecond=0)


class Day(fields.Date):
    """A date YYYY-MM-DD between 1900 and 2100."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> date:
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            raise ValidationError("Not a date such as 2026-11-23.")
        found: date = super()._deserialize(value, attr, data, **options)
        if not 1900 <= found.year <= LAST_YEAR:
            raise ValidationError("Not within 1900 to 2100.")
        return found


class Whole(fields.Integer):
    """A whole number, written as a JSON number."""

    def __init__(self, minimum: int, maximum: int, **options: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(minimum, maximum), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("Not a whole number.")
        return int(super()._deserialize(value, attr, data, **options))


class Count(Whole):
    """A whole number in an address: plain digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        digits = isinstance(value, str) and re.fullmatch(r"\d{1,18}", value, re.ASCII)
        return super()._deserialize(int(value) if digits else None, attr, data, **options)


class Cursor(fields.Field[Any]):
    """Where a page of a list ended: as the list gave it, and of no meaning outside."""

    def __init__(self, first: int | str = 0) -> None:
        super().__init__(load_default=lambda: first, metadata={"type": "string", "minLength": 1, "maxLength": 200})
        self._kind = type(first)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int | str:
        try:
            found = json.loads(base64.b64decode(str(value)[:200], altchars=b"-_", validate=True))
        except ValueError:
            found = None
        if type(found) is not self._kind or not _is_key(found):
            raise ValidationError("Not a cursor of this list.")
        key: int | str = found
        return key


def _is_key(found: int | str) -> bool:
    return found.isprintable() if isinstance(found, str) else 0 <= found < LARGEST_KEY


def internal(path: str) -> int:
    """The internal number in an address; what is none finds nothing."""
    return int(path) if re.fullmatch(r"\d{1,15}", path, re.ASCII) else 0


def cursor(last: int | str) -> str:
    """The cursor of a page that ended with this key."""
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode()


class PatientKey(fields.String):
    """A patient in an address: the kind of an identifier, a colon, its value."""

    def __init__(self, **options: Any) -> None:
        described = {"pattern": PATIENT_KEY.pattern, "minLength": 3, "maxLength": 97}
        super().__init__(metadata=described, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        found = PATIENT_KEY.fullmatch(super()._deserialize(value, attr, data, **options))
        if not found:
            raise ValidationError("Not an identifier such as card:1234.")
        return Identifier(found[1], found[2])


class YesNo(fields.Boolean):
    """true or false, nothing else."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Not true or false.")
        return value


class Flag(fields.Boolean):
    """true or false in an address."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> bool:
        if value not in ("true", "false"):
            raise ValidationError("Not true or false.")
        return bool(value == "true")


class Several(fields.List[Any]):
    """A list within bounds, which are checked before its members are read."""

    def __init__(self, member: fields.Field[Any], minimum: int, maximum: int, **options: Any) -> None:
        super().__init__(member, metadata={"minItems": minimum, "maxItems": maximum}, **options)
        self._bounds = validate.Length(minimum, maximum)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> list[Any]:
        if isinstance(value, list):
            self._bounds(value)
        return super()._deserialize(value, attr, data, **options)


class ByName(fields.Dict):
    """An object with so many free names at most; problems stand at the name, as pointers need them."""

    def __init__(self, name: fields.Field[Any], member: fields.Field[Any], maximum: int, **options: Any) -> None:
        super().__init__(name, member, metadata={"maxProperties": maximum}, **options)
        self._bounds = validate.Length(0, maximum)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if isinstance(value, dict):
            self._bounds(value)
        try:
            return super()._deserialize(value, attr, data, **options)
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            found = {name: each.get("value", each.get("key")) for name, each in error.messages.items()}
            raise ValidationError(found) from error


class ClinicalValue(fields.Field[Any]):
    """The value of a clinical fact: a finite number, true or false, or a short text."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float) and abs(value) < 1_000_000:
            return value
        if isinstance(value, str) and 0 < len(value) <= 200:
            return CleanText(200).deserialize(value)
        raise ValidationError("Not a number, true or false, or a short text.")
