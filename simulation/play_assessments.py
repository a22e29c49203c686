"""Painless endoscopies through gate, assessment, payment, booking and the day of the exam."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

from examlane import EncounterClass
from examlane.appointments import changes
from examlane.errors import Refused
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import OrderData
from simulation import intake
from simulation.assessments import MONDAY, SedationOrder, stream
from simulation.playing import CAMPUS, ORDERING, PLAYER, Progress, Stage, confirming, opened, ready

KIND = "anaesthesia_assessment"
PAYS_AFTER = timedelta(minutes=30)
"""From the moment an item may be paid to its payment: our assumption, the stream names none."""
COMES_BEFORE = timedelta(minutes=20)
Step = Callable[[], None]


@dataclass
class Followed:
    """What became of one order: when it was passed and booked, and how the day of the exam went."""

    order: SedationOrder
    passed_at: datetime | None = None
    booked_at: datetime | None = None
    starts_at: datetime | None = None
    reason: str = ""
    cancelled_on_the_day: bool = False
    outside: bool = False
    """Booked for a time outside the assessment."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """The figures of the endoscopy."""

    followed: tuple[Followed, ...]

    @property
    def booked(self) -> list[Followed]:
        return [each for each in self.followed if each.starts_at is not None]

    @property
    def before(self) -> float:
        """Cancellations on the day without a gate, by construction of the stream."""
        return sum(each.order.held_before is None for each in self.followed) / len(self.followed)

    @property
    def cancelled(self) -> int:
        return sum(each.cancelled_on_the_day or each.outside for each in self.booked)

    @property
    def hours_to_booking(self) -> float:
        waits = [each.booked_at - each.passed_at for each in self.booked if each.booked_at and each.passed_at]
        return median(wait / timedelta(hours=1) for wait in waits) if waits else 0.0

    @property
    def hours_to_exam(self) -> float:
        waits = [each.starts_at - each.passed_at for each in self.booked if each.starts_at and each.passed_at]
        return median(wait / timedelta(hours=1) for wait in waits) if waits else 0.0

    def waiting(self) -> dict[str, int]:
        """Who has no appointment, by reason and by what became of the assessment."""
        found: dict[str, int] = {}
        for each in self.followed:
            if each.starts_at is None:
                name = f"{each.order.fate.value}: {each.reason}"
                found[name] = found.get(name, 0) + 1
        return dict(sorted(found.items()))


@dataclass
class _Day:
    stage: Stage
    due: list[tuple[datetime, int, Step]] = field(default_factory=list)
    steps: int = 0

    def at(self, instant: datetime, step: Step) -> None:
        self.steps += 1
        heapq.heappush(self.due, (instant, self.steps, step))

    def run(self) -> Iterator[int]:
        done = 0
        while self.due:
            instant, _, step = heapq.heappop(self.due)
            self.stage.at(instant)
            step()
            done += 1
            yield done


def play(orders: int, seed: int, progress: Progress) -> Assessed:
    """Play a stream of orders for painless endoscopy through a new hospital."""
    made = stream(seed, orders)
    with tempfile.TemporaryDirectory() as folder:
        stage = opened(Path(folder), ready(MONDAY))
        try:
            return Assessed(tuple(_play(stage, made, progress)))
        finally:
            stage.hospital.close()


def _play(stage: Stage, made: Sequence[SedationOrder], progress: Progress) -> list[Followed]:
    day = _Day(stage)
    followed = [_Patient(day, Followed(order)) for order in made]
    for done in day.run():
        if done % 200 == 0:
            progress(f"endoscopy: {done} messages")
    for each in followed:
        each.close()
    return [each.followed for each in followed]


class _Patient:
    """Sends what is sent for one order, each at its time."""

    def __init__(self, day: _Day, followed: Followed) -> None:
        self.day, self.followed = day, followed
        self.order = followed.order
        self.data: OrderData = intake.sedation_order(self.order, ORDERING, CAMPUS)
        day.at(self.order.ordered_at, self._submit)
        for each in intake.evidence(self.order, KIND):
            day.at(each.observed_at, lambda each=each: self._assessed(each))  # type: ignore[misc]

    @property
    def stage(self) -> Stage:
        return self.day.stage

    def _submit(self) -> None:
        """The doctor answers what he is asked; a refused order is sent again when the assessment has come."""
        self.data = confirming(self.data, self.stage.dry_run(self.data).findings)
        self.stage.submit(self.data)
        self._look()

    def _assessed(self, evidence: EvidenceData) -> None:
        self.stage.report(evidence)
        if evidence.outcome.startswith("passed"):
            self.followed.passed_at = evidence.observed_at
        if self.stage.status(self.order.number).state == "rejected":
            self._submit()
        self._look()

    def _look(self) -> None:
        """Pay what may be paid, in a while; note what was booked."""
        item = self.stage.status(self.order.number)
        outpatient = self.order.encounter_class is EncounterClass.OUTPATIENT
        if outpatient and item.payable and item.payment == "unpaid":
            self.day.at(self.stage.clock.now() + PAYS_AFTER, self._pay)
        self._note()

    def _pay(self) -> None:
        if self.stage.status(self.order.number).payment == "unpaid":
            self.stage.pay(self.order.number)
        self._note()

    def _note(self) -> None:
        appointment = self.stage.status(self.order.number).appointment
        if appointment is None or self.followed.booked_at is not None:
            return
        self.followed.booked_at = self.stage.clock.now()
        self.followed.starts_at = appointment.starts_at
        self.followed.outside = not self.order.may_be_held(appointment.starts_at)
        self.day.at(appointment.starts_at - COMES_BEFORE, lambda: self._come(appointment.number))

    def _come(self, number: str) -> None:
        try:
            changes.check_in(self.stage.hospital, number, PLAYER)
        except Refused as refusal:
            self.followed.cancelled_on_the_day = refusal.code in ("awaiting_gate", "not_ready")
            self.followed.reason = refusal.code

    def close(self) -> None:
        item = self.stage.status(self.order.number)
        self.followed.reason = self.followed.reason or item.reason or item.state
