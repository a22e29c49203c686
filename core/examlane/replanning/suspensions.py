"""Suspensions: shown before, laid down at once, applied visit by visit, and ended; the worker finishes what is left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from examlane.appointments import changes, status, visits
from examlane.capacity.calendar import days_from
from examlane.capacity.foreseen import Slots
from examlane.capacity.rosters import Closure
from examlane.domain import Text
from examlane.errors import Refused, StalePlan
from examlane.hospital import Hospital
from examlane.planning.constraints import audiences
from examlane.reasons import text
from examlane.records import audit, events, receipts
from examlane.records.audit import SYSTEM, Actor
from examlane.records.receipts import RequestKey
from examlane.records.versions import bump
from examlane.replanning import affected, closing, proposals, reading
from examlane.replanning.affected import Affected
from examlane.replanning.closing import OF_THE_CALENDAR, Planned
from examlane.replanning.reading import SuspensionStatus
from examlane.replanning.settling import ELSEWHERE, HERE, SUSPENDED, Settling
from examlane.storage.daily import SuspensionVisit
from examlane.storage.fields import dump, epoch, instant

PENDING = "v.outcome = 'pending'"
TO_UNDO = "v.undone = '' AND v.outcome IN ('suspended', 'kept')"
TO_UNDO_ALL = "v.undone = '' AND v.outcome IN ('suspended', 'kept', 'moved')"
END = """UPDATE suspension SET state = 'ending', ended_at = ?, ended_by = ?, move_back = ?
WHERE id = ? AND ended_at IS NULL RETURNING id"""
# What was closed until now stays so: it could not be used. What was to come opens.
CUT = (
    "UPDATE suspension_scope SET closes = 0 WHERE suspension_id = ? AND start_at >= ? RETURNING id",
    "UPDATE suspension_scope SET end_at = ? WHERE suspension_id = ? AND closes = 1 AND end_at > ? RETURNING id",
)
OUTCOMES = "SELECT appointment_id, outcome FROM suspension_visit WHERE suspension_id = ?"
AGAIN = """UPDATE suspension_visit SET outcome = 'pending', old_start_at = ?, old_group = ?, new_start_at = NULL,
new_group = '' WHERE suspension_id = ? AND appointment_id = ? RETURNING id"""
STAY = """UPDATE suspension_visit SET undone = 'stays' WHERE suspension_id = ? AND undone = ''
AND outcome IN ('moved', 'moved_along') RETURNING id"""
FINISHES = {"applying": "applied", "ending": "ended"}
FINISHED = "UPDATE suspension SET state = ?, applied_at = coalesce(applied_at, ?) WHERE id = ? AND state = ? RETURNING id"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would become of one visit: `outcome` is empty when time was up before it was looked at."""

    visit: Affected
    outcome: str
    new_starts_at: datetime | None = None
    new_group: str = ""
    code: str = ""
    reason: Text | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a suspension would do; `complete` is false when time was up before all visits were looked at."""

    seats_lost: int
    visits: tuple[Foreseen, ...]
    complete: bool


def preview(hospital: Hospital, planned: Planned) -> Preview:
    """Which visits a suspension would concern and where each would go, in the order they are served. Writes nothing."""
    change = closing.foreseen(hospital, planned)
    found = affected.visits(
        hospital.database, planned.scope, hospital.clock.now(), hospital.settings.freeze, change.to_close
    )
    looking = _Looking(hospital, Slots(hospital.database, hospital.catalogues.current(), change), found)
    until = time.monotonic() + hospital.settings.suspension_seconds
    shown = [looking.at(one) if time.monotonic() < until else Foreseen(one, "") for one in found]
    return Preview(sum(change.to_close.values()), tuple(shown), all(one.outcome for one in shown))


class _Looking:
    """Proposals one after the other, each on the slots that the earlier ones leave."""

    def __init__(self, hospital: Hospital, slots: Slots, found: Sequence[Affected]) -> None:
        self._hospital = hospital
        self._slots = slots
        self._known = {one.appointment: one for one in found}
        self._seen: dict[int, Foreseen] = {}

    def at(self, one: Affected) -> Foreseen:
        if one.appointment not in self._seen:
            self._seen[one.appointment] = self._look(one)
        return self._seen[one.appointment]

    def _look(self, one: Affected) -> Foreseen:
        if one.state in affected.HERE:
            return Foreseen(one, "kept", code=HERE, reason=text(HERE))
        if one.state == "held":
            return Foreseen(one, "released")
        number = self._hospital.database.value("SELECT number FROM appointment WHERE id = ?", one.appointment)
        if changes.is_kept_elsewhere(self._hospital, status.appointment(self._hospital, number)):
            return Foreseen(one, "kept", code=ELSEWHERE, reason=text(ELSEWHERE))
        others = affected.companions(self._hospital.database, one.appointment, self._hospital.clock.now())
        try:
            return self._together(one, others) if others else self._alone(one)
        except Refused as problem:
            for other in filter(self._known.get, others):
                self._seen[other] = Foreseen(self._known[other], SUSPENDED, code=problem.code, reason=problem.text)
            return Foreseen(one, SUSPENDED, code=problem.code, reason=problem.text)
        except StalePlan:
            return Foreseen(one, "")

    def _alone(self, one: Affected) -> Foreseen:
        found = proposals.propose(self._hospital, one.number, self._slots)
        seats = audiences(found.moving.encounter_class, self._hospital.settings, self._hospital.clock.now())
        place = found.placement
        self._slots.move(one.appointment, found.option, place, seats, found.moving.day_of(place.starts_at))
        return Foreseen(one, "moved", place.starts_at, place.group, found.how, proposals.WHY[found.how])

    def _together(self, one: Affected, others: Sequence[int]) -> Foreseen:
        found = proposals.together(self._hospital, [one.appointment, *others], one.number, "", self._slots)
        for visit in found.plan.visits:
            for old in (old for old in visit.replaces if old.id in self._known):
                how = proposals.TOGETHER
                self._seen[old.id] = Foreseen(
                    self._known[old.id], "moved", visit.starts_at, visit.option.group, how, proposals.WHY[how]
                )
        return self._seen[one.appointment]


def apply(hospital: Hospital, planned: Planned, actor: Actor, key: RequestKey | None = None) -> SuspensionStatus:
    """Close what falls away, then go visit by visit as long as the time limit allows; the worker does the rest."""
    number = f"S{visits.new_number()}"
    hospital.database.write(partial(_lay_down, hospital, planned, number, actor, key))
    go_on_with(hospital, number, actor)
    return reading.get(hospital, number)


def _lay_down(hospital: Hospital, planned: Planned, number: str, actor: Actor, key: RequestKey | None) -> None:
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "suspension", number, epoch(now))
    suspension = closing.lay_down(hospital, planned, number, actor)
    found = affected.visits(database, planned.scope, now, hospital.settings.freeze)
    _list(hospital, suspension, found, 0)
    _tell(hospital, number, "suspension.applied", actor, visits=len(found))


def _list(hospital: Hospital, suspension: int, found: Sequence[Affected], after: int) -> None:
    """Note whom it concerns, in the order they are served."""
    for place, one in enumerate(found, after + 1):
        hospital.database.insert(
            SuspensionVisit, suspension=suspension, appointment=one.appointment, position=place, rank=one.rank,
            old_start_at=one.start_at, old_group=one.group, flags=dump(one.flags),
        )  # fmt: skip


def end(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, move_back: bool = False
) -> SuspensionStatus:
    """The device is back, the holiday is taken back: open what was closed, and put back who waits for the desk.

    With `move_back` also those who were moved and whom nobody has touched since. One that has ended stays as it is.
    """
    found = reading.get(hospital, number)
    hospital.database.write(partial(_end, hospital, found, actor, key, move_back))
    go_on_with(hospital, number, actor)
    return reading.get(hospital, number)


def _end(hospital: Hospital, found: SuspensionStatus, actor: Actor, key: RequestKey | None, move_back: bool) -> None:
    database, now = hospital.database, epoch(hospital.clock.now())
    receipts.keep(database, key, "suspension", found.number, now)
    if not database.rows(END, now, actor.name, int(move_back), found.id):
        return
    days, resources = _concerned(hospital, found)
    database.rows(CUT[0], found.id, now)
    database.rows(CUT[1], now, found.id, now)
    if found.kind in OF_THE_CALENDAR:
        bump(database, "catalogue")
    closing.align(hospital, days, resources)
    _list_again(hospital, found.id)
    _tell(hospital, found.number, "suspension.ended", actor, move_back=move_back)


def _list_again(hospital: Hospital, suspension: int) -> None:
    """What it had opened is closed now: who was booked there, or moved there, is concerned as well."""
    database = hospital.database
    scope = [Closure(*row) for row in database.rows(affected.SCOPE, suspension)]
    found = affected.visits(database, scope, hospital.clock.now(), hospital.settings.freeze)
    known: dict[int, str] = dict(database.rows(OUTCOMES, suspension))
    for one in found:
        if known.get(one.appointment) in ("moved", "moved_along"):
            database.rows(AGAIN, one.start_at, one.group, suspension, one.appointment)
    last = database.value("SELECT coalesce(max(position), 0) FROM suspension_visit WHERE suspension_id = ?", suspension)
    _list(hospital, suspension, [one for one in found if one.appointment not in known], last)


def _concerned(hospital: Hospital, found: SuspensionStatus) -> tuple[list[date], list[int]]:
    """The business dates and the resources that a suspension is about."""
    rows = hospital.database.rows(
        "SELECT resource_id, day FROM suspension_scope WHERE suspension_id = ? ORDER BY resource_id", found.id
    )
    resources = list(dict.fromkeys(row[0] for row in rows))
    if rows[0][1]:
        return [date.fromisoformat(rows[0][1])], resources
    day_of = hospital.calendar.day_of
    first = day_of(found.starts_at) - timedelta(days=1)
    return list(days_from(first, (day_of(found.ends_at) - first).days + 1)), resources


def _tell(hospital: Hospital, number: str, kind: str, actor: Actor, **detail: Any) -> None:
    database, now = hospital.database, epoch(hospital.clock.now())
    found = reading.get(hospital, number)
    audit.record(database, actor, kind, "suspension", number, now, reason=found.reason, **detail)
    payload = {
        "suspension": number, "kind": found.kind, "department": found.department,
        "resources": found.request.get("resources", []), "day": found.request.get("day"),
        "from": instant(epoch(found.starts_at)).isoformat(), "until": instant(epoch(found.ends_at)).isoformat(),
    }  # fmt: skip
    events.emit(database, "suspension", number, kind, payload, now)


def go_on(hospital: Hospital) -> int:
    """The worker's part: go on with every suspension that has visits left; returns how many were looked at."""
    return sum(go_on_with(hospital, one.number, SYSTEM) for one in reading.unfinished(hospital))


def go_on_with(hospital: Hospital, number: str, actor: Actor) -> int:
    """Look at the visits of a suspension until the time limit is over; returns how many."""
    until = time.monotonic() + hospital.settings.suspension_seconds
    settling = Settling(hospital, reading.get(hospital, number), actor)
    done = 0
    while time.monotonic() < until and _step(hospital, settling):
        done += 1
    return done


def _step(hospital: Hospital, settling: Settling) -> bool:
    """Look at the next visit; whether there may be more."""
    key = settling.suspension.id
    state, move_back = hospital.database.rows("SELECT state, move_back FROM suspension WHERE id = ?", key)[0]
    if state not in FINISHES:
        return False
    if visit := reading.next_visit(hospital, key, PENDING):
        settling.settle(visit)
        return True
    if state == "ending" and (visit := reading.next_visit(hospital, key, TO_UNDO_ALL if move_back else TO_UNDO)):
        settling.undo(visit)
        return True
    hospital.database.write(partial(_finish, hospital, key, state))
    return False


def _finish(hospital: Hospital, key: int, state: str) -> None:
    if state == "ending":
        hospital.database.rows(STAY, key)
    hospital.database.rows(FINISHED, FINISHES[state], epoch(hospital.clock.now()), key, state)
