"""A day of the ECG department: booking, check-in in time and late, the kiosk, and the desk's tasks."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from examlane.appointments import changes, choosing
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import noshow
from examlane.errors import Refused
from simulation import intake
from simulation.no_shows import OPENING, SLOT_MINUTES, EcgPatient, day
from simulation.playing import ORDERING, PLAYER, Progress, Stage, opened

CAMPUSES = ("NORTH", "NORTH", "SOUTH", "EAST")
SENT = timedelta(hours=12)
"""Orders written earlier than this are sent now, so that all are booked for the same day as far as there is room."""
SLICE_MINUTES = 15
"""The grid of the demonstration's ECG."""
SEATS = 3
"""So many times the demonstration's ECG seats, which are for 280 a day: the published department examines 720."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One patient of the day and how he was received: checked in, given a new place, or sent to the desk."""

    patient: EcgPatient
    received: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class DayOfEcgs:
    """The figures of the ECG."""

    arrived: tuple[Arrived, ...]

    @property
    def late(self) -> list[Arrived]:
        return [each for each in self.arrived if each.patient.late]

    @property
    def at_check_in(self) -> int:
        """Late patients who need a window when the check-in that everybody passes gives them a new place."""
        return sum(each.received == "desk" for each in self.late)

    @property
    def by_kiosk_alone(self) -> int:
        """Late patients who need a window when they must ask the kiosk for a new place themselves."""
        return sum(each.received == "desk" or not each.patient.kiosk_works for each in self.late)


def play(orders: int, seed: int, progress: Progress) -> DayOfEcgs:
    """Play a day through a new hospital."""
    made = day(seed, orders)
    with tempfile.TemporaryDirectory() as folder:
        stage = opened(Path(folder), OPENING - SENT)
        try:
            _enlarge(stage)
            return DayOfEcgs(tuple(_play(stage, made, progress)))
        finally:
            stage.hospital.close()


def _play(stage: Stage, made: Sequence[EcgPatient], progress: Progress) -> list[Arrived]:
    arrived: list[Arrived] = []
    coming: list[tuple[datetime, int, EcgPatient, str]] = []
    for index, patient in enumerate(sorted(made, key=lambda each: each.ordered_at)):
        stage.at(patient.ordered_at)
        appointment = _booked(stage, patient, CAMPUSES[index % len(CAMPUSES)])
        if appointment is None:
            arrived.append(Arrived(patient, "not booked"))
        elif patient.arrives_at is None:
            arrived.append(Arrived(patient, "never comes"))
        else:
            heapq.heappush(coming, (_arrival(stage, patient, appointment), index, patient, appointment.number))
        if index % 100 == 0:
            progress(f"ECG: {index}/{len(made)} booked")
    while coming:
        at, _, patient, number = heapq.heappop(coming)
        stage.at(at)
        stage.sweep()
        arrived.append(_received(stage, patient, number))
    return arrived


def _enlarge(stage: Stage) -> None:
    database = stage.hospital.database
    rooms = "SELECT r.id FROM resource r JOIN resource_group g ON g.id = r.group_id WHERE g.code LIKE 'ECG-%-REST'"
    database.write(
        lambda: database.rows(f"UPDATE slot SET capacity = capacity * {SEATS} WHERE resource_id IN ({rooms}) RETURNING id")
    )


def _booked(stage: Stage, patient: EcgPatient, campus: str) -> AppointmentStatus | None:
    """Paid, booked, and moved to the time that the patient wants, if that is free."""
    stage.submit(intake.ecg_order(patient, ORDERING, campus))
    booked = stage.pay(patient.number).appointment
    if booked is None:
        return None
    wanted = patient.wanted_at - timedelta(minutes=patient.wanted_at.minute % SLICE_MINUTES)
    with suppress(Refused):
        return choosing.reschedule(stage.hospital, booked.number, booked.group, wanted, PLAYER)
    return booked


def _arrival(stage: Stage, patient: EcgPatient, appointment: AppointmentStatus) -> datetime:
    """As late or early against the booked time as the stream has it against the wanted one.

    A late one is as long behind the end of his visit and the grace as he is in the stream, whose slots are shorter.
    """
    assert patient.arrives_at is not None
    delay = patient.arrives_at - patient.wanted_at
    if patient.late:
        return appointment.ends_at + delay - timedelta(minutes=SLOT_MINUTES)
    return appointment.starts_at + delay


def _received(stage: Stage, patient: EcgPatient, number: str) -> Arrived:
    try:
        now = noshow.arrive(stage.hospital, number, PLAYER)
    except Refused as refusal:
        return Arrived(patient, "desk", refusal.code)
    if now.state != "checked_in":
        return Arrived(patient, "desk", str(now.no_show.get("code", "")))
    _examined(stage, number)
    return Arrived(patient, "new place" if now.explanation.get("code") == "late_arrival" else "checked in")


def _examined(stage: Stage, number: str) -> None:
    for state in ("started", "finished"):
        changes.execution(stage.hospital, number, state, PLAYER)
