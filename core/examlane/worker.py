"""The worker's loop: plans that are due, holds that ended, no-shows, shadow questions, and events to peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from examlane.appointments import booking, changes
from examlane.arrival import noshow, repeated
from examlane.capacity import rosters
from examlane.capacity.availability import SlotCalendar
from examlane.capacity.calendar import days_from
from examlane.corrections import early, withdrawing
from examlane.extension import shadow
from examlane.golive import differences
from examlane.hospital import Hospital
from examlane.patients import merging
from examlane.planning.constraints import audiences
from examlane.reconciliation import comparing
from examlane.reconciliation.entries import Open
from examlane.records import events, inbox, jobs
from examlane.records.audit import SYSTEM
from examlane.records.events import Send
from examlane.reminders import reminders
from examlane.replanning import suspensions
from examlane.storage.fields import epoch
from examlane.visit import BookingRequest
from examlane.waiting import backfill

SWEEP_SECONDS = 60
PUBLISH_SECONDS = 3600
RESTRICTIONS_SECONDS = 600
INBOX_SECONDS = 600
COMPARE_SECONDS = 86_400
RECONCILE_SECONDS = 3600
FORGET_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class Round:
    """What one turn of the worker did."""

    settled: int
    expired: int
    no_shows: int
    suspended: int
    shadows: int
    backfilled: int
    reminded: int
    sent: int

    @property
    def idle(self) -> bool:
        done = (self.settled, self.expired, self.no_shows, self.suspended, self.shadows, self.backfilled, self.reminded)
        return not any((*done, self.sent))


def turn(hospital: Hospital, send: Send, open_lists: Open | None = None) -> Round:
    """Do once whatever is due now. Safe to run in any number of processes.

    `open_lists` reads what peers list of a day, for the nightly reconciliation.
    """
    now = epoch(hospital.clock.now())
    settled = booking.settle_due(hospital)
    expired = changes.expire_holds(hospital, SYSTEM) + changes.expire_tentative(hospital, SYSTEM)
    expired += withdrawing.expire(hospital)
    missed = noshow.sweep(hospital) if jobs.take_tick(hospital.database, "no_show", now, SWEEP_SECONDS) else 0
    merging.close_resolved(hospital, SYSTEM)
    suspended = suspensions.go_on(hospital)
    if jobs.take_tick(hospital.database, "restrictions", now, RESTRICTIONS_SECONDS):
        repeated.review(hospital)
    if jobs.take_tick(hospital.database, "publish", now, PUBLISH_SECONDS):
        publish(hospital)
    if jobs.take_tick(hospital.database, "external_differences", now, COMPARE_SECONDS):
        differences.compare_all(hospital)
    if open_lists is not None and jobs.take_tick(hospital.database, "reconciliation", now, RECONCILE_SECONDS):
        comparing.night(hospital, open_lists)
    if jobs.take_tick(hospital.database, "archive", now, FORGET_SECONDS):
        events.forget_deliveries(hospital.database, epoch(hospital.clock.now() - hospital.settings.archive))
    if jobs.take_tick(hospital.database, "inbox", now, INBOX_SECONDS):
        early.make_arrived(hospital, SYSTEM)
        inbox.give_up(hospital.database, hospital.clock.now())
    asked = _ask_shadows(hospital, now)
    backfilled = backfill.turn(hospital)
    reminded = reminders.turn(hospital)
    sent = events.deliver_due(hospital.database, send, now)
    return Round(settled, expired, missed, suspended, asked, backfilled, reminded, sent)


def run(hospital: Hospital, send: Send, wait: Callable[[float], bool], open_lists: Open | None = None) -> None:
    """Turn until `wait(seconds)` says stop; idle turns wait, busy ones go on at once."""
    while not wait(0.5 if turn(hospital, send, open_lists).idle else 0.0):
        continue


def publish(hospital: Hospital) -> int:
    """Publish the slots of the days of the horizon that have none yet; returns how many."""
    calendar = hospital.calendar
    days = days_from(calendar.day_of(hospital.clock.now()), hospital.settings.horizon_days)
    published = {row[0] for row in hospital.database.rows("SELECT DISTINCT day FROM slot WHERE day >= ?", str(days[0]))}
    missing = [day for day in days if day.isoformat() not in published]
    return rosters.publish(hospital.database, calendar, missing, epoch(hospital.clock.now()))


def _ask_shadows(hospital: Hospital, now: int) -> int:
    rollout_version = hospital.database.value("SELECT value FROM setting WHERE name = 'rollout'") or 0
    rollout = hospital.rollouts.at(rollout_version, hospital.clock.now())

    def availability(request: BookingRequest) -> SlotCalendar:
        catalogue = hospital.catalogues.current()
        first = catalogue.calendar.day_of(request.not_before)
        return SlotCalendar(
            hospital.database, catalogue, catalogue.calendar,
            audiences(request.encounter.encounter_class, hospital.settings, hospital.clock.now()),
            days_from(first, hospital.settings.horizon_days), request.not_before,
        )  # fmt: skip

    return shadow.ask_pending(hospital.database, hospital.dispatcher, rollout, availability, now)
