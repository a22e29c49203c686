"""Patients who come without a time: a queue number, the next free place, a seat that is added; emergencies at once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from examlane.appointments import booking, changes, choosing, desk, status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import noshow
from examlane.domain import BookingMode, EncounterClass, Priority, Sex, Text
from examlane.errors import Conflict, InvalidInput, Refused
from examlane.hospital import Hospital
from examlane.orders import intake, patients, snapshot
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.orders.snapshot import OpenItem, Snapshot
from examlane.planning import gates
from examlane.reasons import text
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch

TEMPORARY = "temporary"
NOTHING = Text("没有今天可以办理的检查", "nothing can be done for this patient today")
NOT_THIS_PATIENT = Text("不是该患者的待检项目", "no open exam of this patient")
BY_DESK_ONLY = Text("只有登记台可以加号", "only the desk may add a seat")
NOT_RELEASED = Text("尚未缴费或确认", "not paid or verified yet")
UNKNOWN_DEPARTMENT = Text("未知的科室", "unknown department")
TODAY = """SELECT number, state FROM appointment WHERE patient_id = ? AND day = ? AND state IN ('booked', 'tentative')
ORDER BY start_at"""
TICKET = {"code": "walk_in", "why": {"zh": "到院取号", "en": "a queue number on arrival"}}


@dataclass(frozen=True, slots=True)
class Arrived:
    """What an arrival led to: the visits he is here for now, and why others were not possible, by order item."""

    patient: int
    appointments: tuple[AppointmentStatus, ...]
    refused: tuple[tuple[str, Refused], ...]


@dataclass(frozen=True, slots=True)
class EmergencyData:
    """A patient who must be examined before anything is known: what is needed, where, and what he is called till then."""

    department: str
    items: tuple[str, ...]
    reason: str
    name: str = "无名氏"
    sex: Sex = Sex.UNKNOWN
    campus: str = ""
    needs: tuple[str, ...] = ()


def come(
    hospital: Hospital, identifier: Identifier, items: Sequence[str], actor: Actor, key: RequestKey | None = None, *,
    add_on: bool = False,
) -> Arrived:  # fmt: skip
    """A patient is here: he is checked in for what he has today, and gets a number or the next free place for the rest.

    `items` names the order items he came for; none: everything that may be done today. With `add_on` the desk adds a
    seat where none is free. Raises `NotFound` for an unknown patient, `InvalidInput` for items that are not his, and
    `Refused` when nothing at all is possible.
    """
    if add_on and not actor.desk:
        raise Refused("desk_only", BY_DESK_ONLY, "/add_on")
    patient = patients.get(hospital.database, identifier)
    state = snapshot.read(hospital.database, hospital.catalogues, patient, hospital.clock.now())
    wanted = _wanted(state, items)
    tickets = [item for item in wanted if _modes(item) == {BookingMode.WALK_IN}]
    places = [item for item in wanted if item not in tickets and not _modes(item) <= {BookingMode.BEDSIDE, BookingMode.NONE}]
    here: list[AppointmentStatus] = []
    refused: list[tuple[str, Refused]] = []
    left: list[RequestKey | None] = [key]

    def one(label: str, act: partial[AppointmentStatus]) -> None:
        try:
            here.append(act(key=left[0]))
        except Refused as refusal:
            if refusal.code == "request_in_flight":
                raise
            refused.append((label, refusal))
        else:
            left[0] = None  # the first visit keeps the request's key

    for number in _booked_today(hospital, patient) if not items else ():
        one(number, partial(noshow.arrive, hospital, number, actor))
    for item in tickets:
        one(item.key, partial(_ticket, hospital, item.key, actor))
    for item in places:
        one(item.key, partial(choosing.book_today, hospital, [item.key], actor, add_on=add_on))
    if not here:
        raise refused[0][1] if len(refused) == 1 else Conflict("nothing_today", NOTHING)
    return Arrived(patient, tuple(here), tuple(refused))


def _wanted(state: Snapshot, items: Sequence[str]) -> list[OpenItem]:
    own = {item.key: item for item in state.items}
    if odd := [(f"/items/{place}", NOT_THIS_PATIENT) for place, item in enumerate(items) if item not in own]:
        raise InvalidInput(odd)
    if items:
        return [own[item] for item in items if own[item].appointment is None]
    return [item for item in state.items if item.appointment is None and item.state == "accepted" and item.release]


def _modes(item: OpenItem) -> set[BookingMode]:
    return {service.mode for service in item.view.services}


def _booked_today(hospital: Hospital, patient: int) -> list[str]:
    today = hospital.calendar.day_of(hospital.clock.now()).isoformat()
    return [number for number, _ in hospital.database.rows(TODAY, patient, today)]


def _ticket(hospital: Hospital, item: str, actor: Actor, *, key: RequestKey | None) -> AppointmentStatus:
    return changes.by_id(hospital, changes.tried(partial(_admit, hospital, item, actor, key)))


def _admit(hospital: Hospital, key_of_item: str, actor: Actor, key: RequestKey | None) -> int:
    now, database = hospital.clock.now(), hospital.database
    patient = database.value("SELECT patient_id FROM order_item WHERE key = ?", key_of_item)
    state = snapshot.read(database, hospital.catalogues, patient, now)
    item = next(one for one in state.items if one.key == key_of_item)
    if item.appointment is not None:
        raise Conflict("already_booked", text("booked"))
    if item.state != "accepted":
        raise Refused(item.state, text(item.state))
    if not item.release:
        raise Refused("not_released", NOT_RELEASED)
    seen = gates.must_be_open(hospital, patient, (key_of_item,), "checked_in")
    service = next(one for one in item.view.services if one.mode is BookingMode.WALK_IN)

    def write() -> int:
        number = visits.new_number()
        receipts.keep(database, key, "appointment", number, epoch(now))
        patients.bump(database, patient, seen)
        data = visits.Booking(
            patient, item.encounter_id, item.department, (item.id,), explanation=dump(TICKET), reason="walk_in"
        )
        found = visits.admit(
            database, state.catalogue, service.group, "walk_in", "checked_in", data, service.minutes, actor, now,
            number=number,
        )  # fmt: skip
        database.rows("UPDATE order_item SET reason = 'booked' WHERE id = ? RETURNING id", item.id)
        desk.close_tasks(database, item.id, "", actor.name, now)
        return found[0]

    return int(database.write(write))


# Emergencies


def emergency(
    hospital: Hospital, data: EmergencyData, actor: Actor, key: RequestKey | None = None
) -> tuple[str, Arrived]:
    """Examine a patient before order, payment and identity: a provisional order that the real one later replaces.

    Returns the provisional order's number. It has a temporary patient, is released at once, and takes the next place,
    or a seat that is added. Raises `InvalidInput`.
    """
    number = f"E-{secrets.token_hex(4).upper()}"
    known = Identifier(TEMPORARY, number)
    catalogue, now = hospital.catalogues.current(), hospital.clock.now()
    order = OrderData(
        number=number,
        patient=PatientData((known,), data.name, data.sex),
        encounter=EncounterData(number, EncounterClass.EMERGENCY, campus=data.campus, needs=data.needs),
        ordering_department=data.department,
        ordered_at=now,
        lines=tuple(OrderLine(line, item) for line, item in enumerate(data.items, 1)),
        priority=Priority.STAT,
        note=data.reason,
        provisional=True,
    )
    intake.check(catalogue, order, now)
    patient = intake.record(hospital.database, catalogue, hospital.settings, order, actor, now, key)
    booking.settle(hospital, patient, actor)
    _tell_desk(hospital, data.department, number, patient)
    return number, _arrived(hospital, known, number, actor)


def _arrived(hospital: Hospital, known: Identifier, number: str, actor: Actor) -> Arrived:
    booked = [item.appointment for item in status.of_order(hospital, number) if item.appointment is not None]
    here, refused = [], []
    for each in dict.fromkeys(one.number for one in booked):
        try:
            here.append(noshow.arrive(hospital, each, actor))
        except Refused as refusal:
            refused.append((each, refusal))
    patient = patients.get(hospital.database, known)
    return Arrived(patient, tuple(here), tuple(refused))


def _tell_desk(hospital: Hospital, department: str, order: str, patient: int) -> None:
    """Somebody has the order written and finds out who it is."""
    database, now = hospital.database, hospital.clock.now()
    item = database.value("SELECT min(id) FROM order_item WHERE key LIKE ?", f"{order}/%")
    database.write(
        lambda: desk.open_task(
            database, "provisional_order", department, patient, item, now, hospital.settings.desk_deadline
        )
    )
