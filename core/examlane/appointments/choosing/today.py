"""Times for patients who are here, or come back: the next place of today, a seat that is added, the old time again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any

from examlane.appointments import evidence, places, visits
from examlane.appointments.changes import by_id, tried
from examlane.appointments.choosing.choice import (
    NO_PLACE,
    NOT_BOOKABLE,
    Choice,
    arrives,
    checked,
    choose,
    constraints_of,
    create,
    move,
    next_today,
    patient_of,
    written,
)
from examlane.appointments.status import AppointmentStatus
from examlane.capacity import slots
from examlane.capacity.availability import Window
from examlane.domain import Text
from examlane.errors import Conflict, Refused, SlotTaken
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.orders.snapshot import OpenItem
from examlane.planning.planner import Planner
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch, instant
from examlane.visit import Placement, Visit, VisitOption

CAME_TODAY: Mapping[str, Any] = {
    "code": "came_today", "why": {"zh": "到院后安排最近空位", "en": "came without a time: the next free place"},
}  # fmt: skip
ADD_ON: Mapping[str, Any] = {"code": "add_on", "why": {"zh": "登记台加号", "en": "an extra seat, given at the desk"}}
ADD_ONS = """SELECT count(*) FROM appointment a JOIN appointment_version v ON v.appointment_id = a.id AND v.version = 1
WHERE a.group_id = ? AND a.day = ? AND v.reason = 'add_on'"""
ADD_ONS_USED_UP = Text("今日加号已用完", "no more seats may be added here today")


def take_next(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None, *, explanation: Mapping[str, Any],
    allowed: Callable[[AppointmentStatus], None], arrived: bool,
) -> AppointmentStatus:  # fmt: skip
    """Move a visit to the next free start of its group today. Who has `arrived` needs no notice and is checked in.

    `allowed` raises `Refused` unless the visit may be moved; it is asked again whenever the patient has changed
    meanwhile. Raises `Conflict` when no place is left today.
    """

    def attempt() -> int:
        choice = choose(hospital, (), number, arrived=arrived)
        assert choice.appointment is not None
        allowed(choice.appointment)
        chosen = next_today(choice, choice.appointment.group)
        write = partial(
            move, hospital, choice, chosen, actor, key, str(explanation["code"]), not arrived, explanation, arrived
        )
        return hospital.database.write(write)

    return by_id(hospital, tried(attempt))


def book_today(
    hospital: Hospital, items: Sequence[str], actor: Actor, key: RequestKey | None, *, add_on: bool = False,
    reason: str = "", emergency: bool = False,
) -> AppointmentStatus:  # fmt: skip
    """Book items at the next free start today for a patient who is here, and check him in, in one transaction.

    With `add_on` a seat is added at the present slot (加号) where none is free, for a `reason`; for an `emergency`
    however many were added before. Raises `Refused` with the reason.
    """

    def attempt() -> int:
        choice = choose(hospital, items, "", arrived=True, desk=actor.desk or emergency)
        chosen = _today_anywhere(choice)
        added = _add_on_start(hospital, choice) if chosen is None and add_on else None

        def write() -> int:
            if chosen is not None:
                appointment = create(hospital, choice, chosen, actor, key, False, CAME_TODAY)
            elif added is not None:
                appointment = _add_on(hospital, choice, added, actor, key, reason, limited=not emergency)
            else:
                raise Conflict("no_place_today", NO_PLACE)
            return arrives(hospital, appointment, 1, actor)

        return hospital.database.write(write)

    return by_id(hospital, tried(attempt))


def as_visits(hospital: Hospital, items: Sequence[str]) -> list[list[str]]:
    """Order items of one patient, together as their departments would examine them. Raises `NotFound`."""
    state = snapshot.read(hospital.database, hospital.catalogues, patient_of(hospital, items), hospital.clock.now())
    planner = Planner(hospital, state, hospital.clock.now())
    by_place: dict[tuple[str, int], list[OpenItem]] = defaultdict(list)
    for item in state.items:
        if item.key in items:
            by_place[item.department, item.encounter_id].append(item)
    found: list[list[str]] = []
    for (department, _), own in by_place.items():
        made = planner.requirements(department, own) or ()
        together = [list(visit.items) for visit in made]
        known = {key for keys in together for key in keys}
        found += [*together, *([item.key] for item in own if item.key not in known)]
    return found


def come_back(hospital: Hospital, number: str, actor: Actor, *, reason: str) -> bool:
    """Give a cancelled visit its own place and time again, under its number; returns whether that was possible.

    Its rules are looked at anew, and its seats must still be free.
    """

    def attempt() -> int:
        choice = choose(hospital, (), number, arrived=True)
        current = choice.appointment
        assert current is not None
        booked = any(item.appointment is not None for item in choice.items)
        if current.state != "cancelled" or booked or len(choice.items) < len(current.items):
            raise Conflict("not_bookable", NOT_BOOKABLE)
        chosen = checked(choice, current.group, current.starts_at)
        return hospital.database.write(partial(move, hospital, choice, chosen, actor, None, reason, False))

    try:
        tried(attempt)
    except Refused:
        return False
    return True


def _today_anywhere(choice: Choice) -> Placement | None:
    found = []
    for option in choice.visit.options:
        try:
            found.append(next_today(choice, option.group))
        except Conflict:
            continue
    return min(found, key=lambda placement: placement.starts_at, default=None)


def _add_on(
    hospital: Hospital, choice: Choice, start: tuple[VisitOption, datetime], actor: Actor, key: RequestKey | None,
    reason: str, *, limited: bool,
) -> int:  # fmt: skip
    """A seat more at the slots that are running or next, audited, as often a day as the department allows."""
    database, state, now = hospital.database, choice.planner.snapshot, hospital.clock.now()
    option, starts_at = start
    number = visits.new_number()
    receipts.keep(database, key, "appointment", number, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    place = places.bind(database, state.catalogue, option, starts_at, None)
    visits.add_seats(database, place, actor, now, f"add-on: {reason}" if reason else "add-on")
    data = visits.Booking(
        state.patient.id, choice.items[0].encounter_id, choice.visit.department,
        tuple(item.id for item in choice.items), automatic=False, explanation=dump(dict(ADD_ON)), reason="add_on",
        preparation=dump(evidence.preparation_as_data(choice.planner.preparation(choice.items))),
    )  # fmt: skip
    appointment, _ = visits.create(database, state.catalogue, place, data, actor, now, number=number)
    written(hospital, choice, appointment, actor)
    # Counted behind the place's queue number, which one booking at a time is given: two desks do not add the last seat.
    day = state.catalogue.calendar.day_of(now).isoformat()
    given = database.value(ADD_ONS, state.catalogue.group_ids[option.group], day)
    if limited and given > state.catalogue.department(choice.visit.department).policy.add_ons_a_day:
        raise Conflict("add_ons_used_up", ADD_ONS_USED_UP)
    return appointment


def _add_on_start(hospital: Hospital, choice: Choice) -> tuple[VisitOption, datetime] | None:
    """The first rostered start from now on today at which only seats are missing: every rule of time is kept."""
    now, catalogue = hospital.clock.now(), choice.planner.snapshot.catalogue
    today = catalogue.calendar.day_of(now)
    end = catalogue.calendar.midnight(today + timedelta(days=1))
    constraints = constraints_of(choice)
    for option in choice.visit.options:
        forbidden = constraints.forbidden(choice.visit, option)
        resources = catalogue.resources(option.segments[0].needs[0].group)
        for slot in slots.rostered_between(hospital.database, resources, epoch(now), epoch(end)):
            start = instant(slot.start_at)
            if _outside(choice.visit, start, catalogue.calendar.local(start).time(), forbidden):
                continue
            try:
                places.bind(hospital.database, catalogue, option, start, None)
            except SlotTaken:
                continue
            return option, start
    return None


def _outside(visit: Visit, start: datetime, local: time, forbidden: Sequence[Window]) -> bool:
    """Whether a visit may not start then, by its own limits or the patient's other exams."""
    early, late = visit.earliest is not None and start < visit.earliest, visit.latest is not None and start > visit.latest
    over = visit.starts_until is not None and local > visit.starts_until
    return early or late or over or any(since < start < until for since, until in forbidden)
