"""Offers of freed times: made with an end, accepted by the first, declined or let pass, gone when another was first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from examlane.appointments import choosing
from examlane.appointments.status import AppointmentStatus
from examlane.capacity import withheld
from examlane.domain import Text
from examlane.errors import Conflict, NotFound, Refused
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.records import audit, events, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.reminders import gateway
from examlane.storage.daily import Offer
from examlane.storage.database import Database
from examlane.storage.fields import epoch, instant
from examlane.waiting import waitlist
from examlane.waiting.waitlist import Entry

FIND = """SELECT o.id, o.entry_id, o.freed_id, o.group_code, o.start_at, o.state, o.made_at, o.expires_at
FROM offer o WHERE {where} ORDER BY o.id"""
ANSWER = "UPDATE offer SET state = ?, answered_at = ? WHERE id = ? AND state = 'open' AND expires_at > ? RETURNING id"
OTHERS = "UPDATE offer SET state = 'gone', answered_at = ? WHERE freed_id = ? AND state = 'open' RETURNING id, entry_id"
TOUCH = "UPDATE freed_time SET due_at = ? WHERE id = ? AND state = 'open' RETURNING id"
SEATS = "SELECT slot_id, seats FROM withheld_seat WHERE freed_id = ? AND ended_at IS NULL"
LOG = "UPDATE waiting_log SET outcome = ?, at = ? WHERE freed_id = ? AND entry_id = ? RETURNING id"
GONE = Text("该时间已被他人先接受或已过期", "this time is gone: somebody was faster, or the offer has expired")


@dataclass(frozen=True, slots=True)
class OfferView:
    """An offer as it stands: to which entry, when and where, until when."""

    id: int
    entry: int
    freed: int
    group: str
    starts_at: datetime
    state: str
    made_at: datetime
    expires_at: datetime


def of_entry(database: Database, entry: int) -> list[OfferView]:
    """What was offered to an entry, oldest first."""
    return [_view(*row) for row in database.rows(FIND.format(where="o.entry_id = ?"), entry)]


def find(database: Database, offer: int) -> OfferView:
    """One offer. Raises `NotFound`."""
    row = database.row(FIND.format(where="o.id = ?"), offer)
    if row is None:
        raise NotFound("offer", str(offer))
    return _view(*row)


def seats_of(database: Database, freed: int) -> dict[int, int]:
    """The seats that are withheld of a freed time."""
    return dict(database.rows(SEATS, freed))


def make(hospital: Hospital, freed: int, entry: Entry, group: str, starts_at: datetime, expires_at: datetime) -> int:
    """Offer a freed time to an entry and tell the patient; inside the transaction that chose him."""
    database, now = hospital.database, epoch(hospital.clock.now())
    patient = waitlist.patient_of(database, entry.id)
    told = gateway.send(database, patient, entry.channel, _words(hospital, entry, group, starts_at, expires_at), now)
    offer = database.insert(
        Offer, freed=freed, entry=entry.id, group_code=group, start_at=epoch(starts_at), made_at=now,
        expires_at=epoch(expires_at), message=told.message,
    )  # fmt: skip
    period = hospital.calendar.period(starts_at)
    payload = {
        "offer": offer, "entry": entry.id, "appointment": entry.appointment, "items": list(entry.items), "group": group,
        "period_starts_at": period[0].isoformat(), "expires_at": expires_at.isoformat(),
    }  # fmt: skip
    events.emit(database, "offer", str(offer), "offer.made", payload, now)
    return offer


def accept(hospital: Hospital, offer: int, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """Book or move to an offered time: the first to accept has it, and his old time is freed in turn.

    Raises `NotFound`, and `Refused` when it is gone or the rules no longer allow it.
    """
    found = find(hospital.database, offer)
    if found.state != "open" or found.expires_at <= hospital.clock.now():
        raise Conflict("offer_gone", GONE)
    entry = waitlist.entry_of(hospital.database, found.entry)
    try:
        return choosing.take_offered(
            hospital, entry.waiting, found.group, found.starts_at, seats_of(hospital.database, found.freed),
            partial(_accepted, hospital, found, actor), actor, key, by_patient=True,
        )  # fmt: skip
    except Refused as refusal:
        # Whoever was faster has taken the seats: then it is not the rules that forbid this time.
        if refusal.code != "offer_gone" and find(hospital.database, offer).state != "open":
            raise Conflict("offer_gone", GONE) from refusal
        raise


def _accepted(hospital: Hospital, found: OfferView, actor: Actor) -> None:
    database, now = hospital.database, hospital.clock.now()
    if not withheld.end(database, found.freed, "given", now):
        raise Conflict("offer_gone", GONE)
    if not database.rows(ANSWER, "accepted", epoch(now), found.id, epoch(now)):
        raise Conflict("offer_gone", GONE)
    given(database, found.freed, found.entry, now)
    audit.record(database, actor, "offer.accept", "offer", str(found.id), epoch(now))


def given(database: Database, freed: int, entry: int, now: datetime) -> None:
    """Somebody has a freed time: his entry ends, and the others are told that it is gone. In his transaction."""
    for offer, other in database.rows(OTHERS, epoch(now), freed):
        tell_gone(database, offer, other, epoch(now))
        database.rows(LOG, "gone", epoch(now), freed, other)
    database.rows(LOG, "got", epoch(now), freed, entry)
    waitlist.end(database, entry, "booked", now)


def decline(hospital: Hospital, offer: int, actor: Actor, key: RequestKey | None = None) -> OfferView:
    """The patient does not want the time: it goes to the next. Raises `NotFound`, `Conflict`."""
    found = find(hospital.database, offer)
    patient = waitlist.patient_of(hospital.database, found.entry)

    def write() -> None:
        database, now = hospital.database, epoch(hospital.clock.now())
        receipts.keep(database, key, "offer", str(offer), now)
        patients.touch(database, patient)
        database.rows(TOUCH, now, found.freed)
        if not database.rows(ANSWER, "declined", now, offer, now):
            raise Conflict("offer_gone", GONE)
        waitlist.not_taken(database, found.entry)
        database.rows(LOG, "declined", now, found.freed, found.entry)
        audit.record(database, actor, "offer.decline", "offer", str(offer), now)

    hospital.database.write(write)
    return find(hospital.database, offer)


def expire(database: Database, freed: int, now: datetime) -> None:
    """End the offers of a freed time that nobody answered; its row is held by the caller's transaction."""
    late = database.rows(
        "UPDATE offer SET state = 'expired', answered_at = ? WHERE freed_id = ? AND state = 'open' AND expires_at <= ? "
        "RETURNING id, entry_id",
        epoch(now), freed, epoch(now),
    )  # fmt: skip
    for offer, entry in late:
        tell_gone(database, offer, entry, epoch(now))
        waitlist.not_taken(database, entry)
        database.rows(LOG, "expired", epoch(now), freed, entry)


def tell_gone(database: Database, offer: int, entry: int, now: int) -> None:
    """Tell peers that an offer can no longer be accepted."""
    events.emit(database, "offer", str(offer), "offer.gone", {"offer": offer, "entry": entry}, now)


def _view(
    key: int, entry: int, freed: int, group: str, start_at: int, state: str, made_at: int, expires_at: int
) -> OfferView:
    return OfferView(key, entry, freed, group, instant(start_at), state, instant(made_at), instant(expires_at))


def _words(hospital: Hospital, entry: Entry, group: str, starts_at: datetime, expires_at: datetime) -> Text:
    local, place = hospital.calendar.local, hospital.catalogues.current().group_names[group]
    begins, ends = (local(at) for at in hospital.calendar.period(starts_at))
    period, until = f"{begins:%Y-%m-%d %H:%M}–{ends:%H:%M}", f"{local(expires_at):%H:%M}"
    old = entry.appointment
    now = Text(f"（现预约 {old}）", f" (instead of {old})") if old else Text("", "")
    return Text(
        f"有空出的检查时间：{period}，{place.zh}{now.zh}。请在 {until} 前确认，先确认者得。",
        f"A time for your exam came free: {period}, {place.en}{now.en}. Please answer by {until}: the first has it.",
    )
