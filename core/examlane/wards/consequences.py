"""What an admission, a transfer, a discharge or a death means for a patient's exams, and what its withdrawal gives back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from examlane.appointments import desk, visits
from examlane.domain import EncounterClass
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.outbound import order_items
from examlane.planning.judging import LEFT_TO_PEOPLE
from examlane.records import events
from examlane.records.audit import Actor
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, instant

OPEN_STATES = "'held', 'booked', 'tentative', 'checked_in', 'called', 'called_absent', 'deferred', 'suspended'"
VISITS = f"""SELECT DISTINCT a.id, a.number, a.version, a.state, a.department, a.start_at, a.preparation
FROM appointment a JOIN appointment_item ai ON ai.appointment_id = a.id AND (ai.active = 1 OR a.state = 'suspended')
JOIN order_item oi ON oi.id = ai.order_item_id JOIN exam_order o ON o.id = oi.order_id
WHERE a.state IN ({OPEN_STATES}) AND """
LEFT = ", ".join(f"'{reason}'" for reason in (*LEFT_TO_PEOPLE, "deceased"))
CLOSED_ITEMS = "'cancelled', 'fulfilled', 'withdrawn', 'replaced'"
STOP = f"""UPDATE order_item SET reason = ? WHERE state NOT IN ({CLOSED_ITEMS}, 'rejected')
AND reason NOT IN ({LEFT}) AND NOT EXISTS (SELECT 1 FROM appointment_item ai
WHERE ai.order_item_id = order_item.id AND ai.active = 1) AND """
OF_ENCOUNTER = "order_id IN (SELECT id FROM exam_order WHERE encounter_id = ?)"
OF_DISCHARGED = """order_id IN (SELECT o.id FROM exam_order o JOIN encounter e ON e.id = o.encounter_id
WHERE e.state = 'discharged')"""
ITEMS_TO_RELEASE = f"""SELECT oi.id, oi.key, oi.release, oi.payment, i.attributes FROM order_item oi
JOIN exam_item i ON i.id = oi.item_id WHERE oi.state NOT IN ({CLOSED_ITEMS}) AND oi.{OF_ENCOUNTER}
ORDER BY oi.id"""
UNPAID_VISITS = (
    """SELECT DISTINCT a.id, a.version, a.state, a.start_at FROM appointment a
JOIN appointment_item ai ON ai.appointment_id = a.id AND ai.active = 1 JOIN order_item oi ON oi.id = ai.order_item_id
WHERE a.state IN ('booked', 'tentative') AND oi.release = '' AND oi."""
    + OF_ENCOUNTER
)
TAKEN = """SELECT DISTINCT a.number, a.start_at FROM appointment a
JOIN appointment_version v ON v.appointment_id = a.id AND v.version = a.version
JOIN appointment_item ai ON ai.appointment_id = a.id JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_order o ON o.id = oi.order_id JOIN encounter e ON e.id = o.encounter_id
WHERE a.state = 'cancelled' AND e.state <> 'discharged' AND v.reason = ? AND a.start_at > ? AND """
PAYABLE = "SELECT 1 FROM gate WHERE order_item_id = ? AND state <> 'open' AND payable = 0"
LEAST_TO_PAY = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an encounter stands: its class, the bed, what the patient needs; whether he died.

    `state`: open, discharged, or converted: discharged, and going on as an outpatient.
    """

    encounter_class: str
    ward: str
    bed: str
    campus: str
    needs: tuple[str, ...]
    state: str
    died: bool

    @property
    def on_ward(self) -> bool:
        return bool(self.ward) and self.state == "open" and not self.died


@dataclass(frozen=True, slots=True)
class Change:
    """How an encounter stood before an event and after it; `moved` are orders with the encounters they came from."""

    number: str
    encounter: int
    patient: int
    event: str
    before: Standing
    after: Standing
    at: datetime | None = None
    moved: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenVisit:
    """A visit that is still to come, or that the patient is waiting for."""

    id: int
    number: str
    version: int
    state: str
    department: str
    starts_at: datetime
    preparation: tuple[Mapping[str, Any], ...]


def visits_of(database: Database, encounter: int, since: datetime) -> list[OpenVisit]:
    """The open visits of an encounter's orders from an instant on, earliest first."""
    return _visits(database, "o.encounter_id = ? AND a.start_at >= ?", encounter, epoch(since))


def _visits(database: Database, where: str, *values: Any) -> list[OpenVisit]:
    return [
        OpenVisit(key, number, version, state, department, instant(start), tuple(json.loads(preparation)))
        for key, number, version, state, department, start, preparation in database.rows(
            f"{VISITS} {where} ORDER BY a.start_at, a.id", *values
        )
    ]


def belong(database: Database, order: int, encounter: int) -> None:
    """Let an order and its visits belong to another encounter of the patient."""
    database.rows("UPDATE exam_order SET encounter_id = ? WHERE id = ? RETURNING id", encounter, order)
    database.rows(
        "UPDATE appointment SET encounter_id = ? WHERE id IN (SELECT ai.appointment_id FROM appointment_item ai "
        "JOIN order_item oi ON oi.id = ai.order_item_id WHERE oi.order_id = ?) RETURNING id",
        encounter, order,
    )  # fmt: skip


def apply(hospital: Hospital, change: Change, actor: Actor) -> dict[str, Any]:
    """Let a patient's exams follow a change; returns what its withdrawal must put back. Inside a write transaction."""
    database, before, after = hospital.database, change.before, change.after
    known = visits_of(database, change.encounter, hospital.clock.now())
    database.rows(
        "UPDATE encounter SET encounter_class = ?, ward = ?, bed = ?, campus = ?, needs = ?, state = ? WHERE id = ? "
        "RETURNING id",
        after.encounter_class, after.ward, after.bed, after.campus, dump(list(after.needs)), after.state,
        change.encounter,
    )  # fmt: skip
    unreleased: dict[int, str] = {}
    if before.encounter_class != after.encounter_class or change.moved:
        unreleased = _release(hospital, change.encounter, after.encounter_class)
        _ask_payment(hospital, change.encounter, unreleased, actor)
    if after.died and not before.died:
        _die(hospital, change, actor)
    elif before.died and not after.died:
        _start(database, "deceased", "patient_id = ?", change.patient)
        database.rows(f"{STOP} patient_id = ? AND {OF_DISCHARGED} RETURNING id", "discharged", change.patient)
        database.rows("UPDATE patient SET died_at = NULL WHERE id = ? RETURNING id", change.patient)
    elif before.state != "discharged" and after.state == "discharged":
        _discharge(hospital, change, actor)
    if before.state == "discharged" and after.state != "discharged":
        _start(database, "discharged", OF_ENCOUNTER, change.encounter)
    _tell(hospital, change, known)
    return {"orders": dict(change.moved), "unreleased": unreleased}


def put_back(hospital: Hospital, change: Change, effects: Mapping[str, Any], actor: Actor) -> None:
    """What an event did is undone, as far as nothing has happened since. Inside a write transaction."""
    database = hospital.database
    for order, encounter in effects.get("orders", {}).items():
        belong(database, int(order), encounter)
        encounter_class = database.value("SELECT encounter_class FROM encounter WHERE id = ?", encounter)
        _ask_payment(hospital, encounter, _release(hospital, encounter, encounter_class), actor)
    apply(hospital, change, actor)
    for item, release in effects.get("unreleased", {}).items():
        database.rows(
            "UPDATE order_item SET release = ? WHERE id = ? AND release = '' AND state <> 'cancelled' RETURNING id",
            release, int(item),
        )  # fmt: skip


def to_come_back(hospital: Hospital, change: Change) -> list[str]:
    """The visits that a withdrawn discharge or death had cancelled and that are still to come, earliest first."""
    now = epoch(hospital.clock.now())
    found: list[tuple[str, int]] = []
    if change.before.died and not change.after.died:
        found = hospital.database.rows(f"{TAKEN} a.patient_id = ? ORDER BY a.start_at", "deceased", now, change.patient)
    elif change.before.state == "discharged" and change.after.state != "discharged":
        found = hospital.database.rows(
            f"{TAKEN} o.encounter_id = ? ORDER BY a.start_at", "discharged", now, change.encounter
        )
    return [number for number, _ in found]


def recheck_places(hospital: Hospital, patient: int) -> None:
    """Where a booked exam no longer suits the patient's place or class the desk is asked; where it does, no longer."""
    database, now = hospital.database, hospital.clock.now()
    state = snapshot.read(database, hospital.catalogues, patient, now)
    places = {visit.id: visit for visit in state.visits if visit.state in ("booked", "tentative") and visit.starts_at > now}

    def write() -> None:
        patients.touch(database, patient)
        for item in state.items:
            visit = places.get(item.appointment or 0)
            database.rows(
                "UPDATE desk_task SET closed_at = ?, closed_by = 'system' WHERE order_item_id = ? "
                "AND code = 'recheck_place' AND closed_at IS NULL RETURNING id",
                epoch(now), item.id,
            )  # fmt: skip
            if visit is None:
                continue
            campus = item.order.encounter.campus
            elsewhere = bool(campus) and state.catalogue.groups[visit.group].campus != campus
            if elsewhere or visit.group not in {service.group for service in item.view.services}:
                desk.open_task(
                    database, "recheck_place", item.department, patient, item.id, now,
                    hospital.settings.desk_deadline, appointment=visit.id,
                )  # fmt: skip

    database.write(write)


def _release(hospital: Hospital, encounter: int, encounter_class: str) -> dict[int, str]:
    """What lets items be booked follows the class: what was paid stays released; returns what is no longer."""
    rule, now = hospital.settings.release[encounter_class], epoch(hospital.clock.now())
    lost: dict[int, str] = {}
    for item, _key, release, payment, attributes in hospital.database.rows(ITEMS_TO_RELEASE, encounter):
        free = json.loads(attributes).get("zero_fee") is True
        wanted = release
        if rule == "paid":
            wanted = "paid" if payment == "paid" else "zero_fee" if free else ""
        elif not release and rule != "verified":
            wanted = rule
        if release and not wanted:
            lost[item] = release
        hospital.database.rows(
            "UPDATE order_item SET release = ?, released_at = CASE WHEN ? = '' THEN NULL ELSE coalesce(released_at, ?) END "
            "WHERE id = ? AND release <> ? RETURNING id",
            wanted, wanted, now, item, wanted,
        )  # fmt: skip
    return lost


def _ask_payment(hospital: Hospital, encounter: int, unpaid: Mapping[int, str], actor: Actor) -> None:
    """Seats of what must be paid now are kept tentatively until the cut-off, and the cashier hears of it."""
    database, now = hospital.database, hospital.clock.now()
    if not unpaid:
        return
    for key, version, state, start_at in database.rows(UNPAID_VISITS, encounter):
        starts_at = instant(start_at)
        until = min(starts_at, max(starts_at - hospital.settings.tentative_cutoff, now + LEAST_TO_PAY))
        database.rows("UPDATE appointment SET hold_expires_at = ? WHERE id = ? RETURNING id", epoch(until), key)
        if state == "booked":
            visits.change_state(database, key, version, state, "tentative", actor, now, reason="must be paid now")
    for item in unpaid:
        key, state = database.rows("SELECT key, state FROM order_item WHERE id = ?", item)[0]
        payable = state == "accepted" and not database.value(PAYABLE, item)
        order_items.changed(database, key, state, "awaiting_payment", epoch(now), payable=payable)


def _discharge(hospital: Hospital, change: Change, actor: Actor) -> None:
    database, now = hospital.database, hospital.clock.now()
    for visit in visits_of(database, change.encounter, change.at or now):
        if visit.state in ("held", "booked", "tentative", "suspended"):
            _cancel(hospital, visit, "discharged", actor)
    database.rows(f"{STOP} {OF_ENCOUNTER} RETURNING id", "discharged", change.encounter)
    items = database.rows(f"SELECT id FROM order_item WHERE reason = 'discharged' AND {OF_ENCOUNTER}", change.encounter)
    for (item,) in items:
        desk.close_tasks(database, item, "", actor.name, now)


def _die(hospital: Hospital, change: Change, actor: Actor) -> None:
    """Everything that is open ends without a word to anybody but wards and departments."""
    database, now = hospital.database, hospital.clock.now()
    at = epoch(change.at or now)
    database.rows("UPDATE patient SET died_at = ? WHERE id = ? RETURNING id", at, change.patient)
    for visit in _visits(database, "a.patient_id = ?", change.patient):
        _cancel(hospital, visit, "deceased", actor, silent=True)
    database.rows(f"{STOP} patient_id = ? RETURNING id", "deceased", change.patient)
    database.rows(
        "UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE patient_id = ? AND closed_at IS NULL RETURNING id",
        epoch(now), actor.name, change.patient,
    )  # fmt: skip


def _cancel(hospital: Hospital, visit: OpenVisit, reason: str, actor: Actor, *, silent: bool = False) -> None:
    visits.change_state(
        hospital.database, visit.id, visit.version, visit.state, "cancelled", actor, hospital.clock.now(),
        reason=reason, silent=silent,
    )  # fmt: skip


def _start(database: Database, reason: str, where: str, value: int) -> None:
    database.rows(f"UPDATE order_item SET reason = '' WHERE reason = ? AND {where} RETURNING id", reason, value)


def _tell(hospital: Hospital, change: Change, known: Sequence[OpenVisit]) -> None:
    """Departments hear of the encounter, its old and its new ward of each exam."""
    database, now = hospital.database, epoch(hospital.clock.now())
    before, after = change.before, change.after
    payload: dict[str, Any] = {
        "encounter": change.number, "class": after.encounter_class, "state": after.state, "ward": after.ward,
        "departments": sorted({visit.department for visit in known}),
        "appointments": [visit.number for visit in known],
    }  # fmt: skip
    silent = after.died
    if silent:
        payload["silent"] = True
    events.emit(database, "encounter", change.number, f"encounter.{change.event}", payload, now)
    entered = after.encounter_class == EncounterClass.INPATIENT and (
        before.encounter_class != after.encounter_class or bool(change.moved)
    )
    for visit in known:
        if before.on_ward and (before.ward != after.ward or not after.on_ward):
            _tell_ward(database, before.ward, "ward.exam_removed", change, visit, now, silent)
        if after.on_ward and (not before.on_ward or before.ward != after.ward or entered):
            _tell_ward(database, after.ward, "ward.exam_added", change, visit, now, silent)
        elif after.on_ward and (before.bed, before.needs) != (after.bed, after.needs):
            _tell_ward(database, after.ward, "ward.exam_changed", change, visit, now, silent)


def _tell_ward(database: Database, ward: str, kind: str, change: Change, visit: OpenVisit, now: int, silent: bool) -> None:
    payload: dict[str, Any] = {
        "ward": ward, "encounter": change.number, "appointment": visit.number, "department": visit.department,
        "starts_at": visit.starts_at.isoformat(),
        "preparation": [step["code"] for step in visit.preparation],
        "fasting_hours": max((step["fasting_hours"] for step in visit.preparation), default=0),
    }  # fmt: skip
    if silent:
        payload["silent"] = True
    events.emit(database, "ward", ward, kind, payload, now)
