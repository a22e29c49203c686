"""The hospital that the streams are played through: the demonstration's, in a file of its own, at the stream's time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from examlane import Finding, FindingKind, reporting
from examlane.appointments import booking, status
from examlane.appointments.status import ItemStatus
from examlane.arrival import noshow
from examlane.clock import SetClock
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import OrderData
from examlane.orders.release import PaymentData
from examlane.records.audit import Actor
from examlane.reporting import Judgement
from examlane.storage.fields import epoch
from examlane.storage.ledger import PastExamination
from examlane.worker import publish
from examlane_api.demo import hospital as demonstration

PLAYER = Actor("simulation", "command")
NOBODY = dict.fromkeys(demonstration.TOLD, "http://127.0.0.1:9/")
"""Where events would be sent: no worker sends them here."""
ORDERING, CAMPUS = "GAS", "NORTH"
Progress = Callable[[str], None]


@dataclass
class Stage:
    """The hospital, its clock, and short ways to send what a hospital information system sends."""

    hospital: Hospital
    clock: SetClock
    published: date

    def at(self, instant: datetime) -> None:
        """Let it be this instant, never an earlier one; what became due is done, and new days are opened."""
        self.clock.set(max(instant, self.clock.now()))
        day = self.hospital.calendar.day_of(self.clock.now())
        if day != self.published:
            publish(self.hospital)
            self.published = day
        booking.settle_due(self.hospital)

    def dry_run(self, order: OrderData) -> Judgement:
        return reporting.validate_order(self.hospital, order)[0]

    def submit(self, order: OrderData) -> ItemStatus:
        return reporting.submit_order(self.hospital, order, PLAYER)[0]

    def pay(self, order: str) -> ItemStatus:
        reporting.report_payment(self.hospital, PaymentData(order, self.clock.now()), PLAYER)
        return self.status(order)

    def report(self, evidence: EvidenceData) -> None:
        reporting.report_evidence(self.hospital, evidence, PLAYER)

    def status(self, order: str) -> ItemStatus:
        return status.of_order(self.hospital, order)[0]

    def sweep(self) -> None:
        """Mark who did not come, as the worker does every minute."""
        noshow.sweep(self.hospital)

    def remember(self, order: OrderData, starts_at: datetime, ends_at: datetime) -> None:
        """An exam of the patient that was held elsewhere, or before this hospital's records begin."""
        database = self.hospital.database

        def write() -> None:
            item = self.hospital.catalogues.current().item_id(order.lines[0].item)
            patient = patients.register(database, order.patient)
            database.insert(
                PastExamination, patient=patient, item=item, start_at=epoch(starts_at), end_at=epoch(ends_at),
                source="simulation",
            )  # fmt: skip

        database.write(write)


def opened(folder: Path, start: datetime) -> Stage:
    """A new demonstration hospital with its master data, five plugins and their rules as they are shipped."""
    clock = SetClock(start)
    built = demonstration.build(folder / "simulation.sqlite", clock, NOBODY)
    return Stage(built.hospital, clock, built.hospital.calendar.day_of(clock.now()))


def confirming(order: OrderData, findings: Sequence[Finding]) -> OrderData:
    """The same order, with everything confirmed that the doctor may confirm."""
    codes = tuple(sorted({each.code for each in findings if each.kind is FindingKind.CONFIRM}))
    lines = tuple(replace(each, confirmed=codes, confirm_reason="已核对") for each in order.lines)
    return replace(order, lines=lines)


def approvals(order: OrderData, findings: Sequence[Finding], at: datetime) -> list[EvidenceData]:
    """The specialist's approvals that the findings ask for."""
    patient = order.patient.identifiers[0]
    item = f"{order.number}/{order.lines[0].line}"
    codes = sorted({each.code for each in findings if each.kind is FindingKind.APPROVE})
    return [EvidenceData(patient, "approval", "passed", at, scope=item, data={"code": code}) for code in codes]


def ready(start: datetime) -> datetime:
    """An hour before the first message: the hospital is open when it comes."""
    return start - timedelta(hours=1)
