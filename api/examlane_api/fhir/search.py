"""FHIR search: what parameters say in SQL. Every problem of a question is told at once; nothing is guessed or left out."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from examlane.domain import Text
from examlane.errors import ExamlaneError
from examlane.storage.fields import epoch
from examlane_api.fhir.systems import Systems

DATE = re.compile(
    r"(?P<prefix>[a-z]{2})?(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<time>\d\d:\d\d)(:(?P<second>\d\d)(\.\d{1,9})?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)  # fmt: skip
REFERENCE = re.compile(r"(?:https?://[^\s?#]+/)?(?:(?P<type>[A-Za-z]+)/)?(?P<id>[0-9]{1,18})", re.ASCII)
NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
PATIENT = """{column} IN (SELECT coalesce(m.merged_into_id, m.id) FROM patient_identifier n
JOIN patient m ON m.id = n.patient_id WHERE n.kind = ? AND n.value = ?)"""
CURSOR = "_cursor"
OURS = frozenset({"_count", CURSOR})
COUNT, MOST = 50, 200
LONGEST, MOST_VALUES = 300, 100
FORMATTING = frozenset({"_format", "_pretty"})
"""Said about the answer, not about what is sought."""

NOT_A_DATE = Text(
    "日期格式应为 2026-11-23 或 2026-11-23T08:00:00+08:00，可加前缀 eq、ge、gt、le、lt、sa、eb",
    "a date is 2026-11-23 or 2026-11-23T08:00:00+08:00, with eq, ge, gt, le, lt, sa or eb before it",
)
NOT_A_CODE = Text("该参数没有这个取值", "no such code")
NOT_A_REFERENCE = Text("引用应为 类型/编号", "a reference is Type/id")
NOT_A_COUNT = Text("应为 0 或正整数", "must be a whole number, 0 or more")
NOT_A_CURSOR = Text("分页游标无效，请重新查询", "no cursor of this server: ask from the start")
NO_SYSTEM = Text("患者标识应写为 系统|号码", "a patient is asked for as system|value")
NOT_PRINTABLE = Text(f"须为 1–{LONGEST} 个可见字符", f"must be 1 to {LONGEST} printable characters")
UNKNOWN = Text("不支持该查询参数", "this search parameter is not supported")
TOO_MANY = Text(f"取值不能超过 {MOST_VALUES} 个", f"at most {MOST_VALUES} values")


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of SQL with its values."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What values mean in this hospital."""

    systems: Systems
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter as the CapabilityStatement tells it, and how one value of it is read."""

    type: str
    says: str
    read: Callable[[str, Terms], Condition]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one parameter; `code` is FHIR's issue type."""

    parameter: str
    code: str
    text: Text


class BadSearch(ExamlaneError):
    """A question that cannot be answered, with all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{each.parameter}: {each.text.en}" for each in problems))
        self.problems = tuple(problems)


class BadValue(ValueError):
    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


@dataclass(frozen=True, slots=True)
class Search:
    """A question as it was understood: `used` is what its links repeat, `after` the last row of the page before."""

    conditions: tuple[Condition, ...]
    count: int
    after: tuple[int, ...]
    used: tuple[tuple[str, str], ...]


NOTHING = Condition("1 = 0")


# Reading one value


def coded(sql: str, system: str) -> Callable[[str, Terms], Condition]:
    """A token of ours: `code`, or `system|code` with the system that this hospital tells it under."""

    def read(text: str, terms: Terms) -> Condition:
        named, bar, value = text.rpartition("|")
        return NOTHING if bar and named != getattr(terms.systems, system) else Condition(sql, (value,))

    return read


def chosen(conditions: Mapping[str, Condition], system: str) -> Callable[[str, Terms], Condition]:
    """A token of one of FHIR's own fixed lists."""

    def read(text: str, _terms: Terms) -> Condition:
        named, bar, value = text.rpartition("|")
        if value not in conditions or (bar and named != system):
            raise BadValue(NOT_A_CODE)
        return conditions[value]

    return read


def identity(sql: str) -> Callable[[str, Terms], Condition]:
    """A resource's own number; another text is nobody's."""
    return lambda text, _terms: Condition(sql, (int(text),)) if NUMBER.fullmatch(text) else NOTHING


def plain(sql: str) -> Callable[[str, Terms], Condition]:
    return lambda text, _terms: Condition(sql, (text,))


def reference(sql: str, resource: str) -> Callable[[str, Terms], Condition]:
    """`12`, `Schedule/12`, or the whole address."""

    def read(text: str, _terms: Terms) -> Condition:
        found = REFERENCE.fullmatch(text)
        if found is None or found["type"] not in (None, resource):
            raise BadValue(NOT_A_REFERENCE)
        return Condition(sql, (int(found["id"]),))

    return read


def patient(column: str) -> Callable[[str, Terms], Condition]:
    """A patient by an identifier that may be told; merged records are followed."""

    def read(text: str, terms: Terms) -> Condition:
        system, bar, value = text.rpartition("|")
        if not bar or not system or not value:
            raise BadValue(NO_SYSTEM)
        kind = terms.systems.patient_kind(system)
        return Condition(PATIENT.format(column=column), (kind, value)) if kind else NOTHING

    return read


def dated(column: str, day: str = "") -> Callable[[str, Terms], Condition]:
    """An instant within, before or after what is named. `day` is a column that narrows the search by an index."""

    def read(text: str, terms: Terms) -> Condition:
        prefix, low, high = _span(text, terms.zone)
        after = {"eq": low, "ge": low, "gt": high, "sa": high}.get(prefix)
        before = {"eq": high, "le": high, "lt": low, "eb": low}.get(prefix)
        if after is None and before is None:
            raise BadValue(NOT_A_DATE)
        bounds = [*_bound(column, day, ">=", after, -1, terms.zone), *_bound(column, day, "<", before, 1, terms.zone)]
        return Condition(" AND ".join(sql for sql, _ in bounds), tuple(value for _, value in bounds))

    return read


def _bound(
    column: str, day: str, sign: str, at: datetime | None, days: int, zone: tzinfo
) -> Iterator[tuple[str, int | str]]:
    if at is None:
        return
    yield f"{column} {sign} ?", epoch(at)
    if day:
        # A shift over midnight belongs to the day it began on.
        yield f"{day} {sign[0]}= ?", (at.astimezone(zone) + timedelta(days=days)).date().isoformat()


def _span(text: str, zone: tzinfo) -> tuple[str, datetime, datetime]:
    """The prefix, and the stretch of time that a date of any precision names."""
    found = DATE.fullmatch(text)
    if found is None or not 1900 <= int(found["year"]) <= 2100:
        raise BadValue(NOT_A_DATE)
    try:
        low = _instant(found, zone)
        return found["prefix"] or "eq", low, _end(found, low)
    except ValueError as error:
        raise BadValue(NOT_A_DATE) from error


def _instant(found: re.Match[str], zone: tzinfo) -> datetime:
    hour, minute = (int(part) for part in (found["time"] or "00:00").split(":"))
    year, month, day = int(found["year"]), int(found["month"] or 1), int(found["day"] or 1)
    named = found["zone"]
    here = zone if named is None else datetime.fromisoformat(f"2000-01-01T00:00:00{named}").tzinfo
    return datetime(year, month, day, hour, minute, int(found["second"] or 0), tzinfo=here)


def _end(found: re.Match[str], low: datetime) -> datetime:
    if found["time"]:
        return low.astimezone(UTC) + timedelta(seconds=1 if found["second"] else 60)
    if found["day"]:
        return low + timedelta(days=1)
    if found["month"]:
        return low.replace(year=low.year + low.month // 12, month=low.month % 12 + 1)
    return low.replace(year=low.year + 1)


# Reading a question


def read(
    known: Mapping[str, Parameter], sent: Sequence[tuple[str, str]], terms: Terms, *, strict: bool, width: int
) -> Search:
    """What is asked. Several values of a parameter with commas: one of them; the parameter again: that too.

    A parameter that is not known is a problem, or left out where the caller is not `strict`. `width`: how many numbers
    a cursor has. Raises `BadSearch`.
    """
    understood = [each for each in sent if each[0] in known or each[0] in OURS]
    problems = [Problem("_count", "too-costly", TOO_MANY)] if len(sent) > MOST_VALUES else []
    problems += [_unknown(name) for name, _ in sent if strict and name not in known and name not in OURS | FORMATTING]
    conditions: list[Condition] = []
    count, after = COUNT, tuple[int, ...]()
    for name, text in understood[:MOST_VALUES]:
        try:
            if name == "_count":
                count = _count(text)
            elif name == CURSOR:
                after = _after(text, width)
            else:
                conditions.append(_one_of(known[name], text, terms))
        except BadValue as error:
            problems.append(Problem(name, "invalid", error.text))
    if problems:
        raise BadSearch(problems[:MOST_VALUES])
    return Search(tuple(conditions), count, after, tuple(each for each in understood if each[0] != CURSOR))


def _unknown(name: str) -> Problem:
    return Problem(name[:LONGEST] if name.isprintable() else "", "not-supported", UNKNOWN)


def _one_of(parameter: Parameter, text: str, terms: Terms) -> Condition:
    values = text.split(",")
    if len(values) > MOST_VALUES:
        raise BadValue(TOO_MANY)
    if not all(value and value.isprintable() and len(value) <= LONGEST for value in values):
        raise BadValue(NOT_PRINTABLE)
    found = [parameter.read(value, terms) for value in values]
    sql = " OR ".join(f"({each.sql})" for each in found)
    return Condition(f"({sql})", tuple(value for each in found for value in each.values))


def _count(text: str) -> int:
    if not NUMBER.fullmatch(text):
        raise BadValue(NOT_A_COUNT)
    return min(MOST, int(text))


def cursor(row: Sequence[int]) -> str:
    """Where the next page begins, as nobody needs to read it."""
    return base64.urlsafe_b64encode(json.dumps(list(row)).encode()).decode().rstrip("=")


def _after(text: str, width: int) -> tuple[int, ...]:
    try:
        found = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise BadValue(NOT_A_CURSOR) from error
    good = isinstance(found, list) and all(type(one) is int and 0 <= one < 2**62 for one in found)
    if not good or len(found) != width:
        raise BadValue(NOT_A_CURSOR)
    return tuple(found)
