"""What every channel answers: the state of order items and appointments, in one shape with codes and words."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from examlane.domain import Text
from examlane.errors import NotFound
from examlane.hospital import Hospital
from examlane.orders.patients import masked
from examlane.reasons import text
from examlane.storage.database import Database, where
from examlane.storage.fields import instant, maybe_instant

ITEMS = """SELECT oi.id, oi.key, oi.line, i.code, i.name, i.name_en, oi.state, oi.reason, oi.payment, oi.findings,
oi.fills, o.number, o.ordering_department, d.code, ai.appointment_id
FROM order_item oi JOIN exam_order o ON o.id = oi.order_id JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id
LEFT JOIN appointment_item ai ON ai.order_item_id = oi.id AND ai.active = 1"""
GATES = """SELECT g.order_item_id, g.kind, g.state, g.code, g.reason, g.next_action, g.owner, g.payable, g.valid_until
FROM gate g JOIN order_item oi ON oi.id = g.order_item_id"""
APPOINTMENT_AHEAD = """SELECT i.attributes, a.period_start_at, a.period_end_at, g.name, g.name_en
FROM appointment a JOIN appointment_item ai ON ai.appointment_id = a.id AND ai.active = 1
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_item i ON i.id = oi.item_id
JOIN resource_group g ON g.id = a.group_id
WHERE a.patient_id = ? AND a.state IN ('booked', 'checked_in', 'called', 'in_progress') ORDER BY a.start_at"""
OF_APPOINTMENT = """WHERE oi.id IN (SELECT s.order_item_id FROM appointment_item s
JOIN appointment b ON b.id = s.appointment_id WHERE b.number = ?)"""
APPOINTMENT = """SELECT a.id, a.number, a.version, a.state, a.department, a.start_at, a.end_at, a.period_start_at,
a.period_end_at, a.queue_number, a.automatic, a.fallback, a.preparation, a.explanation, a.no_show, a.hold_expires_at,
g.code, g.name, g.name_en, c.code, a.patient_id, a.mode, p.name
FROM appointment a JOIN resource_group g ON g.id = a.group_id JOIN campus c ON c.id = g.campus_id
JOIN patient p ON p.id = a.patient_id"""


@dataclass(frozen=True, slots=True)
class AppointmentStatus:
    """An appointment as a peer or a patient sees it: a period and a place, not a room; the name is masked."""

    id: int
    number: str
    version: int
    state: str
    department: str
    starts_at: datetime
    ends_at: datetime
    period_starts_at: datetime
    period_ends_at: datetime
    queue_number: int
    automatic: bool
    fallback: bool
    group: str
    place: Text
    campus: str
    preparation: tuple[dict[str, Any], ...]
    explanation: dict[str, Any]
    no_show: dict[str, Any]
    hold_expires_at: datetime | None
    patient: int
    mode: str = "slot"
    patient_name: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """An order item: its state, the reason in words, whether it may be paid, findings, gates, appointment."""

    order: str
    key: str
    line: int
    item: str
    name: Text
    department: str
    state: str
    reason: str
    message: Text
    payable: bool
    payment: str
    findings: tuple[dict[str, Any], ...]
    fills: dict[str, Any]
    gates: tuple[dict[str, Any], ...]
    appointment: AppointmentStatus | None


def of_order(hospital: Hospital, number: str) -> list[ItemStatus]:
    """Every item of an order. Raises `NotFound`."""
    found = _items(hospital, "WHERE o.number = ?", number)
    if not found:
        raise NotFound("order", number)
    return found


def of_appointment(hospital: Hospital, number: str) -> list[ItemStatus]:
    """Every item that an appointment serves or served. Raises `NotFound`."""
    found = _items(hospital, OF_APPOINTMENT, number)
    if not found:
        raise NotFound("appointment", number)
    return found


def of_patient(hospital: Hospital, patient: int) -> list[ItemStatus]:
    """Every open item of a patient."""
    return _items(hospital, "WHERE oi.patient_id = ? AND oi.state NOT IN ('cancelled', 'replaced')", patient)


def appointment(hospital: Hospital, number: str) -> AppointmentStatus:
    """One appointment by its number. Raises `NotFound`."""
    found = _appointments(hospital.database, "WHERE a.number = ?", number)
    if not found:
        raise NotFound("appointment", number)
    return next(iter(found.values()))


def appointments(
    hospital: Hospital, *, department: str = "", departments: Sequence[str] = (), day: str = "",
    since: str = "", until: str = "", group: str = "", states: Sequence[str] = (), patient: int | None = None,
    after: int = 0, limit: int = 50,
) -> list[AppointmentStatus]:  # fmt: skip
    """Appointments of departments, days, a place, states or a patient, in order of their ids, after one of them."""
    condition, values = where(
        ("a.id > ?", after), ("a.department = ?", department), ("a.department IN", tuple(departments)),
        ("a.day = ?", day), ("a.day >= ?", since), ("a.day <= ?", until), ("g.code = ?", group),
        ("a.state IN", tuple(states)), ("a.patient_id = ?", patient),
    )  # fmt: skip
    return list(_appointments(hospital.database, f"WHERE {condition} ORDER BY a.id LIMIT ?", *values, limit).values())


def _items(hospital: Hospital, clause: str, value: Any) -> list[ItemStatus]:
    database = hospital.database
    rows = database.rows(f"{ITEMS} {clause} ORDER BY oi.id", value)
    if not rows:
        return []
    marks = ", ".join("?" for _ in rows)
    gates: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for key, *gate in database.rows(f"{GATES} WHERE oi.id IN ({marks})", *(row[0] for row in rows)):
        gates[key].append(_gate(*gate))
    if any(gate["state"] == "closed" for own in gates.values() for gate in own):
        _name_appointments(hospital, rows[0][0], [gate for own in gates.values() for gate in own])
    wanted = [row[-1] for row in rows if row[-1] is not None]
    marks = ", ".join("?" for _ in wanted)
    booked = _appointments(database, f"WHERE a.id IN ({marks})", *wanted) if wanted else {}
    return [_item(row, gates[row[0]], booked.get(row[-1])) for row in rows]


def _name_appointments(hospital: Hospital, item: int, gates: Sequence[dict[str, Any]]) -> None:
    """Where an item is booked that is there to open a closed gate (its attribute `opens`), the next action names it."""
    database = hospital.database
    patient = database.value("SELECT patient_id FROM order_item WHERE id = ?", item)
    booked: dict[str, Text] = {}
    for attributes, begins, ends, name, english in database.rows(APPOINTMENT_AHEAD, patient):
        since, until = (instant(at).astimezone(hospital.settings.zone) for at in (begins, ends))
        period = f"{since:%Y-%m-%d %H:%M}–{until:%H:%M}"
        words = Text(f"（已约 {period}，{name}）", f" (booked: {period}, {english or name})")
        booked.setdefault(json.loads(attributes).get("opens", ""), words)
    for gate in gates:
        if gate["state"] == "closed" and (where := booked.get(gate["kind"])):
            action = gate["next_action"]
            gate["next_action"] = {"zh": action["zh"] + where.zh, "en": action["en"] + where.en}


def _item(row: Sequence[Any], gates: list[dict[str, Any]], booked: AppointmentStatus | None) -> ItemStatus:
    _, key, line, code, name, english, state, reason, payment, findings, fills, order, _ordering, department, _ = row
    said = json.loads(findings)
    # An active appointment's own state says more than the item's: checked in, examined, not come.
    code_of_state = (booked.state if booked else "") or reason or state
    return ItemStatus(
        order=order, key=key, line=line, item=code, name=Text(name, english or name), department=department,
        state=state, reason=code_of_state, message=_message(code_of_state, said, gates),
        payable=state == "accepted" and all(gate["payable"] for gate in gates), payment=payment,
        findings=tuple(said), fills=json.loads(fills), gates=tuple(gates), appointment=booked,
    )  # fmt: skip


def _message(code: str, findings: Sequence[dict[str, Any]], gates: Sequence[dict[str, Any]]) -> Text:
    """The most telling words: of the finding or the gate that stops the item, else of the reason."""
    kinds = {"rejected": "block", "needs_confirmation": "confirm", "needs_approval": "approve"}
    said = [finding["text"] for finding in findings if finding["kind"] == kinds.get(code)]
    if code == "awaiting_gate":
        said = [gate["reason"] for gate in gates if gate["state"] == "closed"]
    if not said:
        return text(code)
    return Text("；".join(words["zh"] for words in said), "; ".join(words["en"] for words in said))


def _gate(
    kind: str, state: str, code: str, reason: str, next_action: str, owner: str, payable: int, valid_until: int | None
) -> dict[str, Any]:
    return {
        "kind": kind, "state": state, "code": code, "reason": json.loads(reason),
        "next_action": json.loads(next_action), "owner": owner, "payable": bool(payable),
        "valid_until": maybe_instant(valid_until),
    }  # fmt: skip


def _appointments(database: Database, clause: str, *values: Any) -> dict[int, AppointmentStatus]:
    rows = database.rows(f"{APPOINTMENT} {clause}", *values)
    if not rows:
        return {}
    marks = ", ".join("?" for _ in rows)
    items: dict[int, list[str]] = defaultdict(list)
    for key, item in database.rows(
        "SELECT ai.appointment_id, oi.key FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id "
        f"WHERE ai.appointment_id IN ({marks}) AND ai.outcome NOT IN ('left', 'replaced') ORDER BY oi.id",
        *(row[0] for row in rows),
    ):
        items[key].append(item)
    return {row[0]: _appointment(row, tuple(items[row[0]])) for row in rows}


def _appointment(row: Sequence[Any], items: tuple[str, ...]) -> AppointmentStatus:
    return AppointmentStatus(
        id=row[0], number=row[1], version=row[2], state=row[3], department=row[4], starts_at=instant(row[5]),
        ends_at=instant(row[6]), period_starts_at=instant(row[7]), period_ends_at=instant(row[8]), queue_number=row[9],
        automatic=bool(row[10]), fallback=bool(row[11]), preparation=tuple(json.loads(row[12])),
        explanation=json.loads(row[13]), no_show=json.loads(row[14] or "{}"), hold_expires_at=maybe_instant(row[15]),
        group=row[16], place=Text(row[17], row[18] or row[17]), campus=row[19], patient=row[20], mode=row[21],
        patient_name=masked(row[22]),
        items=items,
    )  # fmt: skip
