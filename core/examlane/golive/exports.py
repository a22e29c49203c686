"""The way back: every future appointment of a department, as an external system can take it over."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from examlane.errors import NotFound
from examlane.hospital import Hospital
from examlane.storage.fields import epoch

COLUMNS = (
    "appointment", "number", "patient", "items", "orders", "resource", "group", "starts_at", "ends_at", "state",
    "preparation",
)  # fmt: skip
"""Called as the columns of an import."""
FUTURE = """SELECT a.id, a.number, a.patient_id, a.start_at, a.end_at, a.state, a.preparation, g.code
FROM appointment a JOIN resource_group g ON g.id = a.group_id
WHERE a.department = ? AND a.start_at > ? AND a.state IN ('booked', 'tentative') ORDER BY a.start_at, a.id"""
OF_FUTURE = "a.department = ? AND a.start_at > ? AND a.state IN ('booked', 'tentative')"
IDENTIFIERS = f"""SELECT DISTINCT p.patient_id, p.kind, p.value FROM patient_identifier p
JOIN appointment a ON a.patient_id = p.patient_id WHERE {OF_FUTURE} ORDER BY p.kind, p.value"""
ITEMS = f"""SELECT ai.appointment_id, i.code, oi.key, oi.release FROM appointment_item ai
JOIN appointment a ON a.id = ai.appointment_id JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_item i ON i.id = oi.item_id WHERE ai.active = 1 AND {OF_FUTURE} ORDER BY oi.id"""
RESOURCES = f"""SELECT DISTINCT c.appointment_id, r.code FROM claim c JOIN appointment a ON a.id = c.appointment_id
JOIN resource r ON r.id = c.resource_id WHERE c.released_at IS NULL AND {OF_FUTURE} ORDER BY r.code"""
NUMBERS = f"""SELECT e.appointment_id, e.number FROM external_appointment e
JOIN appointment a ON a.id = e.appointment_id WHERE {OF_FUTURE}"""


def future(hospital: Hospital, department: str) -> list[dict[str, Any]]:
    """Every future appointment of a department: numbers, patient's identifiers, exams, place and time, state, preparation.

    Raises `NotFound`.
    """
    if department not in hospital.catalogues.current().departments:
        raise NotFound("department", department)
    database, since = hospital.database, epoch(hospital.clock.now())

    def grouped(sql: str) -> Mapping[int, list[Sequence[Any]]]:
        found: dict[int, list[Sequence[Any]]] = defaultdict(list)
        for key, *rest in database.rows(sql, department, since):
            found[key].append(rest)
        return found

    identifiers, items, resources, numbers = map(grouped, (IDENTIFIERS, ITEMS, RESOURCES, NUMBERS))
    return [
        {
            "appointment": number,
            "number": numbers[key][0][0] if key in numbers else "",
            "patient": [{"kind": kind, "value": value} for kind, value in identifiers.get(patient, ())],
            "items": [code for code, _, _ in items.get(key, ())],
            "orders": [order for _, order, release in items.get(key, ()) if release != "external"],
            "resource": [code for (code,) in resources.get(key, ())],
            "group": group,
            "starts_at": _local(hospital, start),
            "ends_at": _local(hospital, end),
            "state": state,
            "preparation": [step["text"] for step in json.loads(preparation)],
        }
        for key, number, patient, start, end, state, preparation, group in database.rows(FUTURE, department, since)
    ]


def _local(hospital: Hospital, seconds: int) -> str:
    return datetime.fromtimestamp(seconds, hospital.settings.zone).isoformat()


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same as CSV with a header; lists are joined by `;`, and nothing in it counts as a formula in a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row[name]) for name in COLUMNS] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, list):
        value = ";".join(_cell(each) for each in value)
    elif isinstance(value, dict):
        value = f"{value['kind']}={value['value']}" if "kind" in value else value["zh"]
    text = str(value).replace("\r", " ").replace("\n", " ")
    return f"'{text}" if text[:1] in "=+-@\t" and text else text
