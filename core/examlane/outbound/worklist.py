"""What a queue system (ticket) and a department's own system (patient, exams, remark and drawing) are told of a visit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from examlane.orders import patients
from examlane.storage.database import Database
from examlane.storage.fields import instant

APPOINTMENT = """SELECT a.number, a.version, a.department, a.mode, a.start_at, a.end_at, a.period_start_at,
a.period_end_at, a.queue_number, g.code, g.name, g.name_en, c.code, p.id, p.name, p.sex, p.birth_date, e.number,
e.encounter_class, e.ward, e.bed, e.needs FROM appointment a JOIN resource_group g ON g.id = a.group_id
JOIN campus c ON c.id = g.campus_id JOIN patient p ON p.id = a.patient_id JOIN encounter e ON e.id = a.encounter_id
WHERE a.id = ?"""
PRIORITY = """SELECT o.priority FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_order o ON o.id = oi.order_id WHERE ai.appointment_id = ? ORDER BY oi.id LIMIT 1"""
IDENTIFIERS = "SELECT kind, value FROM patient_identifier WHERE patient_id = ? ORDER BY id"
ITEMS = """SELECT o.number, oi.line, coalesce(n.number, ''), i.code, i.name, i.modality, i.body_part, oi.fills
FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
JOIN exam_item i ON i.id = oi.item_id LEFT JOIN placer_number n ON n.order_number = o.number AND n.line = oi.line
WHERE ai.appointment_id = ? AND ai.active = 1 ORDER BY oi.id"""
ORDERS = """SELECT DISTINCT o.id, o.number, o.ordering_department, o.doctor, o.priority, o.note, o.drawing, o.context
FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
WHERE ai.appointment_id = ? AND ai.active = 1 ORDER BY o.id"""
RESOURCES = """SELECT DISTINCT r.code FROM claim c JOIN resource r ON r.id = c.resource_id
WHERE c.appointment_id = ? AND c.released_at IS NULL ORDER BY r.code"""


def ticket(database: Database, appointment: int) -> dict[str, Any]:
    """What a queue system needs of a patient who is here; his name is masked, as screens show it."""
    row = _row(database, appointment)
    return {
        "appointment": row["number"], "campus": row["campus"], "group": row["group"], "mode": row["mode"],
        "name": patients.masked(row["name"]), "period_ends_at": row["period_ends_at"],
        "period_starts_at": row["period_starts_at"], "place": row["place"],
        "priority": database.value(PRIORITY, appointment) or "routine", "queue_number": row["queue_number"],
        "version": row["version"],
    }  # fmt: skip


def entry(database: Database, appointment: int) -> dict[str, Any]:
    """What a department's system needs to register a patient and give an accession number."""
    row = _row(database, appointment)
    same = (
        "campus", "department", "encounter", "ends_at", "group", "mode", "place", "queue_number", "starts_at", "version",
    )  # fmt: skip
    patient = {
        "identifiers": [{"kind": kind, "value": value} for kind, value in database.rows(IDENTIFIERS, row["patient"])],
        "name": row["name"], "sex": row["sex"], "birth_date": row["birth_date"],
    }  # fmt: skip
    return {
        "appointment": row["number"],
        "items": [_item(*each) for each in database.rows(ITEMS, appointment)],
        "orders": [_order(*each) for each in database.rows(ORDERS, appointment)],
        "patient": patient,
        "resources": [code for (code,) in database.rows(RESOURCES, appointment)],
        **{name: row[name] for name in same},
    }


def _row(database: Database, appointment: int) -> Mapping[str, Any]:
    (number, version, department, mode, start, end, period_start, period_end, queue_number, group, name, english, campus,
     patient, person, sex, born, encounter, encounter_class, ward, bed, needs) = _found(database, appointment)  # fmt: skip
    return {
        "number": number, "version": version, "department": department, "mode": mode,
        "starts_at": instant(start).isoformat(), "ends_at": instant(end).isoformat(),
        "period_starts_at": instant(period_start).isoformat(), "period_ends_at": instant(period_end).isoformat(),
        "queue_number": queue_number, "group": group, "place": {"zh": name, "en": english or name}, "campus": campus,
        "patient": patient, "name": person, "sex": sex, "birth_date": born,
        "encounter": {
            "number": encounter, "class": encounter_class, "ward": ward, "bed": bed, "needs": json.loads(needs),
        },
    }  # fmt: skip


def _found(database: Database, appointment: int) -> Sequence[Any]:
    return database.rows(APPOINTMENT, appointment)[0]


def _item(
    order: str, line: int, placer: str, code: str, name: str, modality: str, body_part: str, fills: str
) -> dict[str, Any]:
    return {
        "order": order, "line": line, "placer_number": placer, "item": code, "name": name, "modality": modality,
        "body_part": body_part, "fills": json.loads(fills),
    }  # fmt: skip


def _order(
    _key: int, number: str, department: str, doctor: str, priority: str, note: str, drawing: str, context: str
) -> dict[str, Any]:
    return {
        "number": number, "ordering_department": department, "doctor": doctor, "priority": priority, "note": note,
        "drawing": drawing, "diagnosis": json.loads(context).get("diagnosis", {}).get("value", ""),
    }  # fmt: skip
