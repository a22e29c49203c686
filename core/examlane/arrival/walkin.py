"""Patients who come without a time: a queue number, the next free place, a seat that is added; emergencies at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from examlane.appointments import booking, changes, choosing, desk, status, visits
from examlane.appointments.choosing.today import CAME_TODAY
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import noshow
from examlane.domain import BookingMode, EncounterClass, Priority, Sex, Text
from examlane.errors import Conflict, InvalidInput, Refused, StalePlan
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
from examlane.storage.fields import dump, epoch, instant

TEMPORARY = "temporary"
NOTHING = Text("没有今天可以办理的检查", "nothing can be done for this patient today")
NOT_THIS_PATIENT = Text("不是该患者的待检项目", "no open exam of this patient")
BY_DESK_ONLY = Text("只有登记台可以加号", "only the desk may add a seat")
NOT_RELEASED = Text("尚未缴费或确认", "not paid or verified yet")
UNKNOWN_DEPARTMENT = Text("未知的科室", "unknown department")
BOOKED = """SELECT a.number, a.day, a.start_at, oi.key FROM appointment a
JOIN appointment_item ai ON ai.appointment_id = a.id AND ai.active = 1 JOIN order_item oi ON oi.id = ai.order_item_id
WHERE a.patient_id = ? AND (a.day = ? AND a.state IN ('booked', 'tentative', 'no_show', 'called_absent')
OR a.day > ? AND a.state IN ('booked', 'tentative')) ORDER BY a.start_at, a.id"""
PROVISIONAL = "SELECT patient_id, ordering_department, note FROM exam_order WHERE number = ?"
GIVEN_UP = ("cancelled", "not_done")
"""What ended so is done today only when it is named."""
TICKET = {"code": "walk_in", "why": {"zh": "到院取号", "en": "a queue number on arrival"}}


Act = tuple[str, Callable[[RequestKey | None], AppointmentStatus]]
"""One visit that an arrival may lead to, named for the answer where it is refused."""


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
    number: str = ""
    """The temporary number on the patient's wristband; without one the provisional order's is his."""
    ward: str = ""


def come(
    hospital: Hospital, identifier: Identifier, items: Sequence[str], actor: Actor, key: RequestKey | None = None, *,
    add_on: bool = False, reason: str = "", move: bool = False,
) -> Arrived:  # fmt: skip
    """A patient is here: he is checked in for what he has today, and gets a number or the next free place for the rest.

    `items` names the order items he came for; none: everything that may be done today. With `add_on` the desk adds a
    seat where none is free, for a `reason`; with `move` what is booked on a later day is done today where a place is
    free. Raises `NotFound` for an unknown patient, `InvalidInput` for items that are not his, and `Refused` when nothing
    at all is possible.
    """
    if add_on and not actor.desk:
        raise Refused("desk_only", BY_DESK_ONLY, "/add_on")
    patient = patients.get(hospital.database, identifier)
    state = snapshot.read(hospital.database, hospital.catalogues, patient, hospital.clock.now())
    wanted = _wanted(state, items)
    today, later = _booked(hospital, patient, items)
    acts: list[Act] = [(number, partial(noshow.arrive, hospital, number, actor)) for number in today]
    acts += [(number, partial(_move_to_today, hospital, number, actor)) for number in later if move]
    here, refused = _each([*acts, *_new(hospital, wanted, actor, add_on=add_on, reason=reason)], key)
    if not here:
        if later and not move:
            refused.append((next(iter(later)), _another_day(hospital, min(later.values()))))
        raise refused[0][1] if len(refused) == 1 else Conflict("nothing_today", NOTHING)
    return Arrived(patient, tuple(here), tuple(refused))


def _each(acts: Sequence[Act], key: RequestKey | None) -> tuple[list[AppointmentStatus], list[tuple[str, Refused]]]:
    """Do what can be done, each in a transaction of its own; the first one keeps the request's key."""
    here: list[AppointmentStatus] = []
    refused: list[tuple[str, Refused]] = []
    for label, act in acts:
        try:
            here.append(act(key))
        except Refused as refusal:
            if refusal.code == "request_in_flight":
                raise
            refused.append((label, refusal))
        else:
            key = None
    return here, refused


def _new(
    hospital: Hospital, wanted: Sequence[OpenItem], actor: Actor, *, add_on: bool, reason: str, emergency: bool = False
) -> list[Act]:
    """A queue number or a place today for exams that have neither; together what belongs into one visit."""
    tickets = [item for item in wanted if _modes(item) == {BookingMode.WALK_IN}]
    places = [item for item in wanted if item not in tickets and not _modes(item) <= {BookingMode.BEDSIDE, BookingMode.NONE}]
    ready = [item.key for item in places if item.release and item.state == "accepted"]
    visits_today = choosing.as_visits(hospital, ready) if ready else []
    visits_today += [[item.key] for item in places if item.key not in ready]
    book = partial(choosing.book_today, hospital, add_on=add_on, reason=reason, emergency=emergency)
    return [
        *((item.key, partial(_ticket, hospital, item.key, actor)) for item in tickets),
        *(("+".join(keys), partial(_at_once, book, keys, actor)) for keys in visits_today),
    ]


def _at_once(
    book: Callable[..., AppointmentStatus], keys: Sequence[str], actor: Actor, key: RequestKey | None
) -> AppointmentStatus:
    return book(keys, actor, key)


def _wanted(state: Snapshot, items: Sequence[str]) -> list[OpenItem]:
    own = {item.key: item for item in state.items}
    if odd := [(f"/items/{place}", NOT_THIS_PATIENT) for place, item in enumerate(items) if item not in own]:
        raise InvalidInput(odd)
    if items:
        return [own[item] for item in items if own[item].appointment is None]
    unbooked = [item for item in state.items if item.appointment is None and item.reason not in GIVEN_UP]
    return [item for item in unbooked if item.state == "accepted" and item.release]


def _modes(item: OpenItem) -> set[BookingMode]:
    return {service.mode for service in item.view.services}


def _booked(hospital: Hospital, patient: int, items: Sequence[str]) -> tuple[list[str], dict[str, datetime]]:
    """The visits he came for: those of today, and those of later days with their starts."""
    today = hospital.calendar.day_of(hospital.clock.now()).isoformat()
    rows = [row for row in hospital.database.rows(BOOKED, patient, today, today) if not items or row[3] in items]
    now = dict.fromkeys(number for number, day, _, _ in rows if day == today)
    return list(now), {number: instant(start) for number, day, start, _ in rows if day != today}


def _move_to_today(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None) -> AppointmentStatus:
    def allowed(current: AppointmentStatus) -> None:
        if current.state not in ("booked", "tentative"):
            raise Conflict("state_conflict", NOTHING)

    return choosing.take_next(hospital, number, actor, key, explanation=CAME_TODAY, allowed=allowed, arrived=True)


def _another_day(hospital: Hospital, starts_at: datetime) -> Conflict:
    when = f"{starts_at.astimezone(hospital.settings.zone):%Y-%m-%d %H:%M}"
    return Conflict("another_day", Text(f"预约时间为 {when}", f"the appointment is on {when}"))


def _ticket(hospital: Hospital, item: str, actor: Actor, key: RequestKey | None) -> AppointmentStatus:
    return changes.by_id(hospital, changes.tried(partial(_admit, hospital, item, actor, key)))


def _admit(hospital: Hospital, key_of_item: str, actor: Actor, key: RequestKey | None) -> int:
    now, database = hospital.clock.now(), hospital.database
    patient = database.value("SELECT patient_id FROM order_item WHERE key = ?", key_of_item)
    state = snapshot.read(database, hospital.catalogues, patient, now)
    item = next((one for one in state.items if one.key == key_of_item), None)
    if item is None or item.appointment is not None:
        raise Conflict("already_booked", text("booked"))
    if item.state != "accepted":
        raise Refused(item.state, text(item.state))
    if not item.release:
        raise Refused("not_released", NOT_RELEASED)
    seen = gates.must_be_open(hospital, patient, (key_of_item,), "checked_in")
    if seen != state.version:
        raise StalePlan("the patient changed meanwhile")
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


def emergency(hospital: Hospital, data: EmergencyData, actor: Actor, key: RequestKey | None = None) -> tuple[str, Arrived]:
    """Examine a patient before order, payment and identity: a provisional order that the real one later replaces.

    Returns the provisional order's number. It has a temporary patient, is released at once, and takes the next place, a
    queue number, or a seat that is added. Raises `InvalidInput`.
    """
    number = f"E-{secrets.token_hex(4).upper()}"
    catalogue, now = hospital.catalogues.current(), hospital.clock.now()
    order = OrderData(
        number=number,
        patient=PatientData((Identifier(TEMPORARY, data.number or number),), data.name, data.sex),
        encounter=EncounterData(number, EncounterClass.EMERGENCY, data.ward, data.campus, data.needs),
        ordering_department=data.department,
        ordered_at=now,
        lines=tuple(OrderLine(line, item) for line, item in enumerate(data.items, 1)),
        priority=Priority.STAT,
        note=data.reason,
        provisional=True,
    )
    intake.check(catalogue, order, now)
    intake.record(hospital.database, catalogue, hospital.settings, order, actor, now, key)
    return number, take_in(hospital, number, actor)


def take_in(hospital: Hospital, order: str, actor: Actor) -> Arrived:
    """What follows from a provisional order once it is stored: booked, checked in, known to the desk.

    A place, a queue number or an added seat; only rules still keep the patient out. Done again, it changes nothing.
    """
    patient, department, reason = hospital.database.rows(PROVISIONAL, order)[0]
    booking.settle(hospital, patient, actor)
    _tell_desk(hospital, department, order, patient)
    state = snapshot.read(hospital.database, hospital.catalogues, patient, hospital.clock.now())
    own = [item for item in state.items if item.order.number == order]
    numbers = {visit.id: visit.number for visit in state.visits}
    booked = dict.fromkeys(numbers[item.appointment] for item in own if item.appointment in numbers)
    acts: list[Act] = [(number, partial(_here, hospital, number, actor)) for number in booked]
    unbooked = [item for item in own if item.appointment is None]
    acts += _new(hospital, unbooked, actor, add_on=True, reason=reason, emergency=True)
    here, refused = _each(acts, None)
    return Arrived(patient, tuple(here), tuple(refused))


def _here(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None) -> AppointmentStatus:
    current = status.appointment(hospital, number)
    waiting = current.state in ("booked", "tentative")
    return changes.check_in(hospital, number, actor, key) if waiting else current


def _tell_desk(hospital: Hospital, department: str, order: str, patient: int) -> None:
    """Somebody has the order written and finds out who it is."""
    database, now = hospital.database, hospital.clock.now()
    item = database.value("SELECT min(id) FROM order_item WHERE key LIKE ?", f"{order}/%")
    database.write(
        lambda: desk.open_task(
            database, "provisional_order", department, patient, item, now, hospital.settings.desk_deadline
        )
    )
