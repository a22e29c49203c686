"""Writing visits: resources bound, seats claimed, and one version, audit row and event for every change."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from examlane.appointments import states
from examlane.appointments.places import Place
from examlane.capacity import slots
from examlane.capacity.calendar import Calendar
from examlane.capacity.catalogue import Catalogue
from examlane.errors import SlotTaken
from examlane.outbound import visits as outbound
from examlane.records import audit, events
from examlane.records.audit import Actor
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch, instant
from examlane.storage.ledger import (
    Appointment,
    AppointmentItem,
    AppointmentSegment,
    AppointmentVersion,
    Claim,
)

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
TAKEN_OVER = "taken_over"
QUEUE = """INSERT INTO queue_counter (group_id, day, last) VALUES (?, ?, 1)
ON CONFLICT (group_id, day) DO UPDATE SET last = queue_counter.last + 1 RETURNING last"""
CHANGE = """UPDATE appointment SET state = ?, version = version + 1 WHERE id = ? AND version = ?
RETURNING version, number, start_at, end_at, department"""


HAND_OVER = """UPDATE appointment SET state = 'booked', version = version + 1, hold_expires_at = NULL, preparation = ?,
explanation = ? WHERE id = ? AND version = ? RETURNING version, number, start_at, end_at, department"""
GIVE_UP = """UPDATE claim SET released_at = ? WHERE appointment_id = ? AND segment = ? AND released_at IS NULL
AND EXISTS (SELECT 1 FROM slot s WHERE s.id = claim.slot_id AND s.start_at >= ?) RETURNING slot_id, seats"""
HELD_SEATS = "SELECT slot_id, seats FROM claim WHERE appointment_id = ? AND released_at IS NULL ORDER BY id"
TICKET = """SELECT a.queue_number, g.code, a.mode FROM appointment a JOIN resource_group g ON g.id = a.group_id
WHERE a.id = ?"""
LEAVE_QUEUE = """UPDATE appointment SET queue_at = NULL, queue_places = '[]', absences = 0, ready_at = NULL
WHERE id = ? RETURNING id"""
RETURN_ITEMS = "UPDATE appointment_item SET active = 1 WHERE appointment_id = ? AND outcome = '' RETURNING id"
"""What left a visit for good, or was replaced in it, says so in its outcome and does not come back."""


@dataclass(frozen=True, slots=True)
class Booking:
    """What to write of a new visit beside its place."""

    patient: int
    encounter: int
    department: str
    items: tuple[int, ...]
    state: str = "booked"
    automatic: bool = True
    fallback: bool = False
    hold_expires_at: int | None = None
    itinerary: int | None = None
    preparation: str = "[]"
    explanation: str = "{}"
    evidence: str = "{}"
    reason: str = ""
    mode: str = "slot"


def add_seats(database: Database, place: Place, actor: Actor, now: datetime, reason: str) -> None:
    """Open the extra seats a place lacks, each with its audit row; inside the transaction that takes them."""
    for segment in place.segments:
        for need, rows in segment.claims:
            for slot in slots.add_extra(database, rows, need.seats):
                audit.record(database, actor, "slot.extra", "slot", str(slot), epoch(now), seats=need.seats, reason=reason)


def create(
    database: Database,
    catalogue: Catalogue,
    place: Place,
    booking: Booking,
    actor: Actor,
    now: datetime,
    *,
    number: str = "",
) -> tuple[int, str]:
    """Claim the seats and write a new appointment; returns its id and number. Inside a write transaction."""
    slots.take(database, place.seats())
    group = catalogue.group_ids[place.option.group]
    number = number or new_number()
    appointment = database.insert(
        Appointment, number=number, patient=booking.patient, encounter=booking.encounter,
        department=booking.department, group=group, mode=booking.mode, state=booking.state,
        automatic=int(booking.automatic), fallback=int(booking.fallback),
        hold_expires_at=booking.hold_expires_at, itinerary=booking.itinerary,
        preparation=booking.preparation, explanation=booking.explanation, created_at=epoch(now),
        **_times(database, catalogue.calendar, group, place),
    )  # fmt: skip
    for item in booking.items:
        database.insert(AppointmentItem, appointment=appointment, order_item=item)
    _write_claims(database, appointment, place)
    _version(database, appointment, number, 1, states.START, booking.state, place, booking.evidence, booking.reason,
             booking.department, actor, now)  # fmt: skip
    return appointment, number


def admit(
    database: Database, catalogue: Catalogue, group: str, mode: str, state: str, booking: Booking, minutes: int,
    actor: Actor, now: datetime, *, number: str = "",
) -> tuple[int, str]:  # fmt: skip
    """Write a visit that takes no seat: a walk-in with a queue number, or an exam at the bedside. Returns id, number."""
    number = number or new_number()
    group_id, start = catalogue.group_ids[group], epoch(now)
    period_start, period_end = catalogue.calendar.period(now)
    day = catalogue.calendar.day_of(now).isoformat()
    appointment = database.insert(
        Appointment, number=number, patient=booking.patient, encounter=booking.encounter,
        department=booking.department, group=group_id, mode=mode, state=state, day=day, start_at=start,
        end_at=start + 60 * minutes, period_start_at=epoch(period_start), period_end_at=epoch(period_end),
        queue_number=database.value(QUEUE, group_id, day), queue_at=start, automatic=0,
        preparation=booking.preparation, explanation=booking.explanation, created_at=start,
    )  # fmt: skip
    for item in booking.items:
        database.insert(AppointmentItem, appointment=appointment, order_item=item)
    database.insert(
        AppointmentSegment, appointment=appointment, position=0, name="exam", start_at=start, end_at=start + 60 * minutes
    )
    _version(
        database, appointment, number, 1, states.START, state, (start, start + 60 * minutes), booking.evidence,
        booking.reason, booking.department, actor, now,
    )  # fmt: skip
    return appointment, number


def move(
    database: Database, catalogue: Catalogue, appointment: int, version: int, place: Place, before: str, actor: Actor,
    now: datetime, *, reason: str, evidence: str = "{}", add_items: Iterable[int] = (), by_patient: bool = False,
    preparation: str | None = None, explanation: str | None = None,
) -> None:  # fmt: skip
    """Hold a visit elsewhere: the same number, the next version, seats swapped in this transaction.

    One that another system booked is ours from then on, unless that system moved it (the reason `external`).
    """
    states.check(before, "booked")
    release_claims(database, appointment, now)
    slots.take(database, place.seats())
    group = catalogue.group_ids[place.option.group]
    times = _times(database, catalogue.calendar, group, place)
    row = database.row(
        """UPDATE appointment SET state = 'booked', version = version + 1, group_id = ?, day = ?, start_at = ?,
end_at = ?, period_start_at = ?, period_end_at = ?, queue_number = ?, no_show = '', hold_expires_at = NULL,
mode = CASE WHEN mode = 'external' AND ? <> 'external' THEN 'slot' ELSE mode END,
queue_at = NULL, queue_places = '[]', absences = 0, ready_at = NULL,
moved_by_patient = CASE WHEN ? = 1 THEN 1 ELSE moved_by_patient END,
preparation = coalesce(?, preparation), explanation = coalesce(?, explanation)
WHERE id = ? AND version = ? RETURNING version, number, department""",
        group, times["day"], times["start_at"], times["end_at"], times["period_start_at"], times["period_end_at"],
        times["queue_number"], reason, int(by_patient), preparation, explanation, appointment, version,
    )  # fmt: skip
    if row is None:
        raise SlotTaken("the appointment changed meanwhile")
    database.rows("DELETE FROM appointment_segment WHERE appointment_id = ? RETURNING id", appointment)
    database.rows(RETURN_ITEMS, appointment)
    for item in add_items:
        database.insert(AppointmentItem, appointment=appointment, order_item=item)
    _write_claims(database, appointment, place)
    _version(database, appointment, row[1], row[0], before, "booked", place, evidence, reason, row[2], actor, now)


def hand_over(
    database: Database, appointment: int, version: int, before: str, items: Iterable[int], actor: Actor, now: datetime, *,
    evidence: str, preparation: str, explanation: str,
) -> None:  # fmt: skip
    """Let other items take a visit over as it stands: the same number and seats, the next version."""
    states.check(before, "booked")
    row = database.row(HAND_OVER, preparation, explanation, appointment, version)
    if row is None:
        raise SlotTaken("the appointment changed meanwhile")
    for item in items:
        database.insert(AppointmentItem, appointment=appointment, order_item=item)
    _version(
        database, appointment, row[1], row[0], before, "booked", (row[2], row[3]), evidence, TAKEN_OVER, row[4], actor, now
    )


def shrink(
    database: Database, appointment: int, version: int, state: str, ends: Sequence[int], actor: Actor, now: datetime, *,
    reason: str,
) -> None:  # fmt: skip
    """Give back the seats of a visit beyond the new ends of its segments; start, state and number stay."""
    row = database.row(CHANGE, state, appointment, version) if state in states.STAYS else None
    if row is None:
        raise SlotTaken("the appointment changed meanwhile")
    for position, end in enumerate(ends):
        slots.give_back(database, database.rows(GIVE_UP, epoch(now), appointment, position, end))
        database.rows(
            "UPDATE appointment_segment SET end_at = ? WHERE appointment_id = ? AND position = ? AND end_at > ? "
            "RETURNING id",
            end, appointment, position, end,
        )  # fmt: skip
    times = database.rows(
        "UPDATE appointment SET end_at = ? WHERE id = ? RETURNING start_at, end_at", max(ends), appointment
    )
    held = database.rows(HELD_SEATS, appointment)
    _version(database, appointment, row[1], row[0], state, state, times[0], "{}", reason, row[4], actor, now,
             claims=dump(held))  # fmt: skip


def change_state(
    database: Database, appointment: int, version: int, before: str, after: str, actor: Actor, now: datetime,
    *, reason: str = "", evidence: str = "{}", release: bool | None = None, silent: bool = False,
) -> int:  # fmt: skip
    """Move an appointment to another state as its next version; returns that version.

    Seats are given back by the releasing states, or when `release` says so. Of what is `silent` no patient is told.
    Raises `Conflict` or `SlotTaken`.
    """
    states.check(before, after)
    row = database.row(CHANGE, after, appointment, version)
    if row is None:
        raise SlotTaken("the appointment changed meanwhile")
    if after in states.RELEASING or release:
        release_claims(database, appointment, now)
        database.rows("UPDATE appointment_item SET active = 0 WHERE appointment_id = ? RETURNING id", appointment)
    _version(
        database, appointment, row[1], row[0], before, after, (row[2], row[3]), evidence, reason, row[4], actor, now,
        silent,
    )  # fmt: skip
    return int(row[0])


def release_claims(database: Database, appointment: int, now: datetime) -> None:
    """Give back every seat an appointment holds."""
    held = database.rows(
        "UPDATE claim SET released_at = ? WHERE appointment_id = ? AND released_at IS NULL RETURNING slot_id, seats",
        epoch(now), appointment,
    )  # fmt: skip
    slots.give_back(database, ((slot, seats) for slot, seats in held))


def _times(database: Database, calendar: Calendar, group: int, place: Place) -> dict[str, Any]:
    starts_at = instant(place.start_at)
    day = calendar.day_of(starts_at).isoformat()
    period_start, period_end = calendar.period(starts_at)
    return {
        "day": day,
        "start_at": place.start_at,
        "end_at": place.end_at,
        "period_start_at": epoch(period_start),
        "period_end_at": epoch(max(period_end, starts_at + timedelta(minutes=1))),
        "queue_number": database.value(QUEUE, group, day),
    }


def _write_claims(database: Database, appointment: int, place: Place) -> None:
    for position, bound in enumerate(place.segments):
        database.insert(
            AppointmentSegment, appointment=appointment, position=position, name=bound.segment.name,
            start_at=bound.start_at, end_at=bound.end_at,
        )  # fmt: skip
        for need, rows in bound.claims:
            for slot in rows:
                database.insert(
                    Claim, appointment=appointment, segment=position, slot=slot.id, resource=slot.resource,
                    role=need.role, seats=need.seats,
                )  # fmt: skip


def _version(
    database: Database, appointment: int, number: str, version: int, before: str, after: str,
    place: Place | tuple[int, int], evidence: str, reason: str, department: str, actor: Actor, now: datetime,
    silent: bool = False, *, claims: str = "[]",
) -> None:  # fmt: skip
    start, end = (place.start_at, place.end_at) if isinstance(place, Place) else place
    claims = dump(place.seats()) if isinstance(place, Place) else claims
    at = epoch(now)
    database.insert(
        AppointmentVersion, appointment=appointment, version=version, from_state=before, state=after, start_at=start,
        end_at=end, claims=claims, evidence=evidence, actor=actor.name, channel=actor.channel, reason=reason, at=at,
    )  # fmt: skip
    kind = event_kind(before, after)
    audit.record(database, actor, kind, "appointment", number, at, version=version, reason=reason)
    payload = (
        {
            "appointment": number,
            "version": version,
            "state": after,
            "department": department,
            "starts_at": instant(start).isoformat(),
            "ends_at": instant(end).isoformat(),
            "reason": reason,
        }
        | ({"silent": True} if silent else {})
        | _in_queue(database, appointment, after)
    )
    events.emit(database, "appointment", number, kind, payload, at)
    outbound.told(database, outbound.Change(appointment, number, version, before, after, department, reason), at)


def _in_queue(database: Database, appointment: int, state: str) -> dict[str, Any]:
    """What a queue system must hear of a patient who is here: his number, and where he waits."""
    if state not in ("checked_in", "called", "called_absent", "deferred"):
        return {}
    queue_number, group, mode = database.rows(TICKET, appointment)[0]
    return {"queue_number": queue_number, "group": group, "mode": mode}


def event_kind(before: str, after: str) -> str:
    """The name of a change, as events and audit rows carry it."""
    moved = after == "booked" and before in ("booked", "no_show", "suspended")
    return "appointment.rescheduled" if moved else f"appointment.{after}"


def new_number() -> str:
    """A number for an appointment: short, and without letters that are mistaken for others."""
    digits = "".join(secrets.choice(ALPHABET) for _ in range(8))
    return f"{digits[:4]}-{digits[4:]}"
