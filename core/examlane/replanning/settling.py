"""One visit of a suspension at a time: moved, kept for a person, given to the desk; and put back when it has ended.

Each in a write transaction of its own that also notes the outcome, so that a killed process loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from examlane.appointments import booking, changes, choosing, desk, status, visits
from examlane.appointments.choosing import Moving
from examlane.appointments.status import AppointmentStatus
from examlane.domain import Text
from examlane.errors import Refused, StalePlan
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.outbound import order_items
from examlane.reasons import text
from examlane.records.audit import Actor
from examlane.replanning import affected, proposals
from examlane.replanning.reading import SuspensionStatus, VisitOutcome
from examlane.storage.daily import SuspensionVisit
from examlane.storage.fields import dump, epoch

ATTEMPTS = 4
SUSPENDED, HERE, ELSEWHERE = "suspended", "suspended_here", "suspended_elsewhere"
BACK = "back_in_place"
NOTE = """UPDATE suspension_visit SET outcome = ?, version = ?, new_start_at = ?, new_group = ?, code = ?, reason = ?
WHERE id = ? AND outcome = 'pending'
AND (SELECT s.state FROM suspension s WHERE s.id = suspension_visit.suspension_id) = ? RETURNING id"""
NOTE_UNDONE = "UPDATE suspension_visit SET undone = ?, version = ? WHERE id = ? AND undone = '' RETURNING id"
PENDING = "SELECT id FROM suspension_visit WHERE suspension_id = ? AND appointment_id = ? AND outcome = 'pending'"
PLACE = """SELECT a.version, a.start_at, g.code FROM appointment a JOIN resource_group g ON g.id = a.group_id
WHERE a.id = ?"""
LEAVE = """UPDATE order_item SET reason = ? WHERE key = ?
AND state NOT IN ('cancelled', 'fulfilled', 'withdrawn', 'replaced') RETURNING id, state"""
CLOSE_TASKS = """UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE appointment_id = ? AND code = ?
AND closed_at IS NULL RETURNING id"""


class Settling:
    """What is done with the visits of one suspension, by its actor."""

    def __init__(self, hospital: Hospital, suspension: SuspensionStatus, actor: Actor) -> None:
        self._hospital = hospital
        self._database = hospital.database
        self.suspension = suspension
        self._actor = actor
        self._state = suspension.state

    # While it is applied

    def settle(self, visit: VisitOutcome) -> None:
        """Do what is due for a visit. One that somebody changed meanwhile is looked at again; at last the desk has it."""
        for _ in range(ATTEMPTS):
            try:
                return self._settle(visit)
            except StalePlan:
                if not self._is_pending(visit):
                    return None
        return self._give_up(visit)

    def _give_up(self, visit: VisitOutcome) -> None:
        """Nothing could be planned for it in peace: the desk has it, or it is looked at again in the next turn."""
        code = "conflict_repeated"
        with suppress(StalePlan):
            self._database.write(partial(self._suspend, [visit.appointment_id], code, text(code)))

    def _settle(self, visit: VisitOutcome) -> None:
        self._state = self._database.value("SELECT state FROM suspension WHERE id = ?", self.suspension.id)
        current = status.appointment(self._hospital, visit.appointment)
        if not affected.is_affected(self._database, self.suspension.id, current.id):
            return self._database.write(partial(self._note, visit.id, "gone", current.version))
        if current.state in affected.HERE:
            return self._database.write(partial(self._keep, visit, current, HERE))
        if current.state == "held":
            return self._database.write(partial(self._release, visit, current))
        if current.state in ("booked", "tentative"):
            if changes.is_kept_elsewhere(self._hospital, current):
                return self._database.write(partial(self._keep, visit, current, ELSEWHERE))
            return self._move(visit, current)
        return self._database.write(partial(self._note, visit.id, "gone", current.version))

    def _move(self, visit: VisitOutcome, current: AppointmentStatus) -> None:
        """Move it, with those it must stay together with; where that is impossible, all of them go to the desk."""
        others = affected.companions(self._database, current.id, self._hospital.clock.now())
        together = [current.id, *others]
        try:
            return self._move_together(together, current) if others else self._move_alone(visit, current)
        except Refused as problem:
            self._database.write(partial(self._suspend, together, problem.code, problem.text))

    def _move_alone(self, visit: VisitOutcome, current: AppointmentStatus) -> None:
        found = proposals.propose(self._hospital, current.number)
        number = self.suspension.number
        explanation = proposals.explanation(found.how, number, current.starts_at)

        def write() -> None:
            version = found.moving.write(found.placement, self._actor, proposals.reason(number), explanation)
            place = found.placement
            self._note(visit.id, "moved", version, epoch(place.starts_at), place.group, found.how)

        self._database.write(write)

    def _move_together(self, appointments: list[int], current: AppointmentStatus) -> None:
        found = proposals.together(self._hospital, appointments, current.number, self.suspension.number)

        def note() -> None:
            for old in found.old:
                version, start, group = self._database.rows(PLACE, old.id)[0]
                pending = self._database.value(PENDING, self.suspension.id, old.id)
                if pending:
                    self._note(pending, "moved", version, start, group, proposals.TOGETHER)
                elif version != old.version:
                    self._note_along(old.id, current.id, version, (epoch(old.starts_at), old.group), (start, group))

        booking.write_plan(self._hospital, found.plan, self._actor, note)

    def _note_along(self, appointment: int, beside: int, version: int, old: tuple[int, str], new: tuple[int, str]) -> None:
        """A visit that the suspension did not concern was moved along with one that it did."""
        known = "SELECT position, id FROM suspension_visit WHERE suspension_id = ? AND appointment_id = ?"
        if (row := self._database.row(known, self.suspension.id, appointment)) is not None:
            self._database.rows(
                "UPDATE suspension_visit SET version = ?, new_start_at = ?, new_group = ? WHERE id = ? RETURNING id",
                version, *new, row[1],
            )  # fmt: skip
            return
        position = self._database.rows(known, self.suspension.id, beside)[0][0]
        self._database.insert(
            SuspensionVisit, suspension=self.suspension.id, appointment=appointment, position=position, rank="usual",
            outcome="moved_along", old_start_at=old[0], old_group=old[1], new_start_at=new[0], new_group=new[1],
            version=version, code=proposals.TOGETHER,
        )  # fmt: skip

    def _suspend(self, appointments: list[int], code: str, why: Text) -> None:
        """Give the seats back and leave the visits of one patient to the desk, in one transaction."""
        first, *_ = appointments
        patients.touch(self._database, self._database.value("SELECT patient_id FROM appointment WHERE id = ?", first))
        for appointment in appointments:
            pending = self._database.value(PENDING, self.suspension.id, appointment)
            if pending:
                self._suspend_one(pending, appointment, code, why)

    def _suspend_one(self, row: int, appointment: int, code: str, why: Text) -> None:
        database, now = self._database, self._hospital.clock.now()
        number = database.value("SELECT number FROM appointment WHERE id = ?", appointment)
        current = status.appointment(self._hospital, number)
        if current.state not in ("booked", "tentative"):
            raise StalePlan("the appointment changed meanwhile")
        version = visits.change_state(
            database, current.id, current.version, current.state, SUSPENDED, self._actor, now,
            reason=proposals.reason(self.suspension.number),
        )  # fmt: skip
        self._explain(current.id, SUSPENDED, why)
        for key in current.items:
            for item, state in database.rows(LEAVE, SUSPENDED, key):
                desk.close_tasks(database, item, SUSPENDED, self._actor.name, now)
                self._open_task(SUSPENDED, current, item, why)
                order_items.changed(database, key, state, SUSPENDED, epoch(now))
        self._note(row, SUSPENDED, version, code=code, why=why)

    def _open_task(self, code: str, current: AppointmentStatus, item: int, why: Text | None) -> None:
        """A task for the desk, to be done before the old start."""
        now, settings = self._hospital.clock.now(), self._hospital.settings
        deadline = max(timedelta(), min(settings.desk_deadline, current.starts_at - now))
        desk.open_task(
            self._database, code, current.department, current.patient, item, now, deadline, appointment=current.id,
            reason=why,
        )  # fmt: skip

    def _keep(self, visit: VisitOutcome, current: AppointmentStatus, code: str) -> None:
        """Who is here, and whose place another system gives, keeps his place until a person has decided."""
        patients.touch(self._database, current.patient)
        if self._state_of(current.id) != current.state:
            raise StalePlan("the appointment changed meanwhile")
        for key in current.items:
            item = self._database.value("SELECT id FROM order_item WHERE key = ?", key)
            self._open_task(code, current, item, None)
        self._note(visit.id, "kept", current.version, code=code, why=text(code))

    def _release(self, visit: VisitOutcome, current: AppointmentStatus) -> None:
        """What is only held is given up: who holds it is choosing, and chooses again."""
        patients.touch(self._database, current.patient)
        version = visits.change_state(
            self._database, current.id, current.version, current.state, "expired", self._actor,
            self._hospital.clock.now(), reason=proposals.reason(self.suspension.number),
        )  # fmt: skip
        for key in current.items:
            self._database.rows(LEAVE, "cancelled", key)
        self._note(visit.id, "released", version)

    # When it has ended

    def undo(self, visit: VisitOutcome) -> None:
        """Put a visit back where it was, if that is still possible and nobody has settled it meanwhile."""
        for _ in range(ATTEMPTS):
            try:
                return self._undo(visit)
            except StalePlan:
                continue
        return self._database.write(partial(self._note_undone, visit, "stays", visit.version))

    def _undo(self, visit: VisitOutcome) -> None:
        current = status.appointment(self._hospital, visit.appointment)
        untouched = current.version == visit.version
        if visit.outcome == "kept":
            return self._database.write(partial(self._stays_here, visit, current))
        if untouched and (back := self._way_back(visit, current)) is not None:
            return self._database.write(back)
        return self._database.write(partial(self._note_undone, visit, "stays", visit.version))

    def _way_back(self, visit: VisitOutcome, current: AppointmentStatus) -> Callable[[], None] | None:
        """What puts a visit at its old time, or none when that is not possible any more."""
        if current.state not in (SUSPENDED, "booked") or visit.code == proposals.TOGETHER:
            return None
        try:
            moving = choosing.moving(self._hospital, current.number)
        except Refused:
            return None
        option = next((one for one in moving.options if one.group == visit.old_group), None)
        if option is None or not self._reachable(visit, moving):
            return None
        if visit.old_starts_at not in moving.starts(option, moving.day_of(visit.old_starts_at)):
            return None
        words, number = text(BACK), self.suspension.number
        explanation = {"code": BACK, "suspension": number, "why": {"zh": words.zh, "en": words.en}}

        def write() -> None:
            placement = moving.placed(option, visit.old_starts_at)
            version = moving.write(placement, self._actor, f"{proposals.reason(number)} ended", explanation)
            self._note_undone(visit, "restored" if visit.outcome == SUSPENDED else "moved_back", version)

        return write

    def _reachable(self, visit: VisitOutcome, moving: Moving) -> bool:
        """Who was told another time must be able to prepare for the old one; who waits for the desk was told of none."""
        return visit.outcome == SUSPENDED or visit.old_starts_at >= min(moving.appointment.starts_at, moving.prepared_from)

    def _stays_here(self, visit: VisitOutcome, current: AppointmentStatus) -> None:
        patients.touch(self._database, current.patient)
        if not self._database.rows(booking.ON_CLOSED_SLOTS, current.id):
            now = epoch(self._hospital.clock.now())
            for code in (HERE, ELSEWHERE):
                self._database.rows(CLOSE_TASKS, now, self._actor.name, current.id, code)
        self._note_undone(visit, "stays", visit.version)

    # Notes

    def _note(
        self, row: int, outcome: str, version: int, new_start: int | None = None, new_group: str = "", code: str = "",
        why: Text | None = None,
    ) -> None:  # fmt: skip
        """Note what became of a visit. Raises `StalePlan` when another process was faster, or the suspension has ended."""
        words: dict[str, Any] = {"zh": why.zh, "en": why.en} if why else {}
        values = (outcome, version, new_start, new_group, code, dump(words))
        if not self._database.rows(NOTE, *values, row, self._state):
            raise StalePlan("this visit was looked at already")

    def _note_undone(self, visit: VisitOutcome, undone: str, version: int) -> None:
        if not self._database.rows(NOTE_UNDONE, undone, version, visit.id):
            raise StalePlan("this visit was looked at already")

    def _explain(self, appointment: int, code: str, why: Text) -> None:
        words = {"code": code, "suspension": self.suspension.number, "why": {"zh": why.zh, "en": why.en}}
        self._database.rows("UPDATE appointment SET explanation = ? WHERE id = ? RETURNING id", dump(words), appointment)

    def _is_pending(self, visit: VisitOutcome) -> bool:
        return bool(self._database.value(PENDING, self.suspension.id, visit.appointment_id))

    def _state_of(self, appointment: int) -> str:
        return str(self._database.value("SELECT state FROM appointment WHERE id = ?", appointment))
