"""Lists of appointments and of exams done elsewhere, as CSV or JSON: read line by line, each understood on its own."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from examlane.domain import Sex, Text
from examlane.errors import InvalidInput, Refused
from examlane.golive.received import STATES, Report
from examlane.orders.patients import Identifier, PatientData
from examlane.reasons import text

COLUMNS = (
    "number", "patient", "patient_name", "sex", "birth_date", "items", "orders", "resource", "group", "starts_at",
    "ends_at", "state", "encounter", "sequence", "sent_at", "appointment",
)  # fmt: skip
"""What a line of appointments may hold; `patient` is `kind=value`, several of one kind or list joined by `;`."""
HISTORY_COLUMNS = ("number", "patient", "patient_name", "sex", "birth_date", "items", "starts_at", "ends_at")
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]*", re.ASCII)
WIDEST = {"number": 40, "patient": 400, "items": 2000, "orders": 2000}
WIDTH = 64
NOT_A_LIST = Text("须为对象的列表", "must be a list of objects")
EXPORTED_ONLY = ("preparation",)


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its number in the file, its cells as text."""

    number: int
    cells: Mapping[str, str]


def from_csv(content: str) -> list[Line]:
    """The lines of a CSV text with a header; the header is line 1. Raises `InvalidInput` without one."""
    reader = csv.DictReader(io.StringIO(content))
    names = [(name or "").strip() for name in reader.fieldnames or ()]
    unknown = [name for name in names if name not in (*COLUMNS, *EXPORTED_ONLY)]
    if "number" not in names or "patient" not in names or unknown:
        wanted = ", ".join(COLUMNS)
        raise InvalidInput([("/header", Text(f"表头只能有：{wanted}", f"the header has number and patient, of: {wanted}"))])
    reader.fieldnames = names
    lines = []
    for row in reader:
        spare = row.pop(None, None)
        cells = {name: value or "" for name, value in row.items()}
        lines.append(Line(reader.line_num, {**cells, "?": "spare cells"} if spare else cells))
    return lines


def from_json(content: str) -> list[Line]:
    """The objects of a JSON list, counted from 1. Raises `InvalidInput` for anything else."""
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidInput([("", Text("不是有效的 JSON", "not JSON"))]) from error
    return from_objects(rows)


def from_objects(rows: Any) -> list[Line]:
    """Plain objects, counted from 1; lists may be real lists."""
    if not isinstance(rows, list):
        raise InvalidInput([("/lines", NOT_A_LIST)])
    return [Line(number, _cells(row)) for number, row in enumerate(rows, 1)]


def _cells(row: Any) -> Mapping[str, str]:
    if not isinstance(row, dict):
        return {"?": "not an object"}
    return {str(name): _cell(value) for name, value in row.items() if value is not None}


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ";".join(_cell(each) for each in value)
    if isinstance(value, dict):
        return f"{value.get('kind', '')}={value.get('value', '')}"
    return str(value)


class Wrong(Refused):
    """A line that cannot be taken, with the code of the reason and the field at fault."""

    def __init__(self, code: str, field: str) -> None:
        super().__init__(code, text(code), f"/{field}")


def report(line: Line, system: str, zone: ZoneInfo, as_of: datetime) -> Report:
    """A line of appointments as a report of its system. Raises `Wrong`."""
    cells = _clean(line, COLUMNS)
    state = cells.get("state") or "booked"
    sequence = cells.get("sequence") or ""
    if state not in STATES or not re.fullmatch(r"\d{0,9}", sequence, re.ASCII):
        raise Wrong("bad_line", "sequence" if state in STATES else "state")
    return Report(
        system=system, number=_code(cells, "number"), state=state, patient=patient(cells),
        sequence=int(sequence) if sequence else None, sent_at=_instant(cells, "sent_at", zone) or as_of,
        starts_at=_instant(cells, "starts_at", zone), ends_at=_instant(cells, "ends_at", zone),
        items=_codes(cells, "items"), orders=_codes(cells, "orders"),
        resource=_code(cells, "resource", True), group=_code(cells, "group", True),
        encounter=_code(cells, "encounter", True), appointment=_code(cells, "appointment", True),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Done:
    """One exam that a patient has had elsewhere; without an end it lasted as long as it usually does."""

    number: str
    patient: PatientData
    items: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime | None


def done(line: Line, zone: ZoneInfo) -> Done:
    """A line of a history of exams. Raises `Wrong`."""
    cells = _clean(line, HISTORY_COLUMNS)
    starts_at = _instant(cells, "starts_at", zone)
    items = _codes(cells, "items")
    if starts_at is None:
        raise Wrong("bad_time", "starts_at")
    if not items:
        raise Wrong("unknown_item", "items")
    return Done(_code(cells, "number"), patient(cells), items, starts_at, _instant(cells, "ends_at", zone))


def patient(cells: Mapping[str, str]) -> PatientData:
    """Who a line is about."""
    identifiers = []
    for part in filter(None, cells.get("patient", "").split(";")):
        kind, equals, value = part.strip().partition("=")
        if not equals or not (CODE.fullmatch(kind) and CODE.fullmatch(value)) or len(kind) > 32 or len(value) > WIDTH:
            raise Wrong("unknown_patient", "patient")
        identifiers.append(Identifier(kind, value))
    if not identifiers:
        raise Wrong("unknown_patient", "patient")
    sex = cells.get("sex") or Sex.UNKNOWN
    try:
        born = date.fromisoformat(cells["birth_date"]) if cells.get("birth_date") else None
        return PatientData(tuple(identifiers), cells.get("patient_name", ""), Sex(sex), born)
    except ValueError as error:
        raise Wrong("bad_line", "sex" if sex not in list(Sex) else "birth_date") from error


def _clean(line: Line, columns: Sequence[str]) -> dict[str, str]:
    """The cells without blanks around them. Raises `Wrong` for unknown names, and for what is no plain text of its width."""
    cells = {}
    for name, value in line.cells.items():
        if name in EXPORTED_ONLY:
            continue
        plain = unicodedata.normalize("NFC", value).strip()
        hidden = any(unicodedata.category(each) in ("Cc", "Cs", "Cf") for each in plain)
        if name not in columns or hidden or len(plain) > WIDEST.get(name, WIDTH):
            raise Wrong("bad_line", name if name in COLUMNS else "")
        cells[name] = plain
    return cells


def _code(cells: Mapping[str, str], name: str, may_miss: bool = False) -> str:
    value = cells.get(name, "")
    if not (value or may_miss) or (value and not CODE.fullmatch(value)):
        raise Wrong("bad_line", name)
    return value


def _codes(cells: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in cells.get(name, "").split(";") if part.strip())
    if not all(CODE.fullmatch(code) for code in found):
        raise Wrong("unknown_item", name)
    return found


def _instant(cells: Mapping[str, str], name: str, zone: ZoneInfo) -> datetime | None:
    """An instant; without an offset it is the hospital's local time."""
    value = cells.get(name, "")
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise Wrong("bad_time", name) from error
    found = found.replace(microsecond=0, tzinfo=found.tzinfo or zone)
    if not 2000 < found.year < 2099 or "T" not in value.replace(" ", "T"):
        raise Wrong("bad_time", name)
    return found
