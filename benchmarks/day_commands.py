"""The commands that `day.py` measures: what each needs beforehand, and the call itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from reference import CLIENT, DEPARTMENTS

from examlane import EncounterClass, Sex, reporting
from examlane.appointments import changes, choosing
from examlane.arrival import attendance, calling, executing, noshow, walkin
from examlane.arrival.executing import ExecutionReport
from examlane.checkups import contracts, group_days
from examlane.corrections import order_changes, refunds, withdrawing
from examlane.corrections.order_changes import OrderChange
from examlane.corrections.refunds import RefundData
from examlane.domain import Fact
from examlane.golive import received
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.patients import merging, updates
from examlane.patients.updates import PatientUpdate
from examlane.replanning import closing, suspensions
from examlane.testing import World
from examlane.waiting import waitlist
from examlane.wards import encounters, ward_list
from examlane.wards.encounters import EncounterReport

DESK = replace(CLIENT, desk=True)


@dataclass
class Stage:
    """The hospital, and fresh numbers for what is made in it."""

    world: World
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def hospital(self) -> Any:
        return self.world.hospital

    def patient(self) -> str:
        return f"N{next(self.numbers)}"

    def order(self, items: int = 1, patient: str = "", **more: Any) -> str:
        """A patient's order in departments one after the other; returns its number."""
        number = next(self.numbers)
        codes = [f"D{1 + (number + each) % DEPARTMENTS:02}-0001" for each in range(items)]
        return self.world.order(*codes, patient=patient or f"N{number}", **more)

    def booked(self, patient: str = "") -> str:
        """The number of a patient's appointment, booked and paid."""
        return self.appointment(self.paid(patient=patient))

    def paid(self, items: int = 1, patient: str = "") -> str:
        """The number of an order that is paid and booked."""
        order = self.order(items, patient)
        self.world.pay(order)
        return order

    def appointment(self, order: str) -> str:
        return str(self.world.item(f"{order}/1").appointment)

    def arrived(self) -> str:
        number = self.booked()
        changes.check_in(self.hospital, number, DESK)
        return number

    def shared(self) -> tuple[str, str]:
        """An order of one department's two exams that became one visit, or two where its plugin merges none."""
        department = f"D{1 + next(self.numbers) % DEPARTMENTS:02}"
        order = self.world.order(f"{department}-0001", f"{department}-0003", patient=self.patient())
        self.world.pay(order)
        return order, self.appointment(order)


@dataclass(frozen=True)
class Command:
    """`whole_day`: it goes visit by visit, so that only each of its locks is bounded."""

    name: str
    prepare: Callable[[Stage], Any]
    act: Callable[[Stage, Any], Any]
    whole_day: bool = False
    calls: int = 0


def _moved(stage: Stage, number: str) -> None:
    time = choosing.times(stage.hospital, appointment=number, limit=30)[-1]
    choosing.reschedule(stage.hospital, number, time.group, time.starts_at, CLIENT)


# Orders and refunds


def _sent_back(stage: Stage) -> str:
    order = stage.paid()
    withdrawing.send_back(stage.hospital, order, (), DESK, reason="facts missing")
    return order


def _reissue(stage: Stage, old: str) -> None:
    patient, code = stage.hospital.database.row(
        "SELECT pi.value, i.code FROM exam_order o JOIN patient_identifier pi ON pi.patient_id = o.patient_id "
        "JOIN order_item oi ON oi.order_id = o.id JOIN exam_item i ON i.id = oi.item_id WHERE o.number = ?",
        old,
    )
    order = OrderData(
        number=f"R-{old}",
        patient=PatientData((Identifier("card", patient),), "患者", Sex.FEMALE),
        encounter=EncounterData(f"V-{patient}", EncounterClass.OUTPATIENT, campus="N"),
        ordering_department="CLINIC",
        ordered_at=stage.world.clock.now(),
        lines=(OrderLine(1, code),),
        replaces=old,
    )
    reporting.submit_order(stage.hospital, order, CLIENT)


def _refund(kind: str, order: str) -> Callable[[Stage], Any]:
    return lambda stage: refunds.report(stage.hospital, RefundData(order, kind, stage.world.clock.now(), (1,)), CLIENT)


def _refunded(stage: Stage) -> str:
    order = stage.paid(2)
    _refund(refunds.REQUESTED, order)(stage)
    return order


ORDERS = (
    Command("order submitted", lambda stage: None, lambda stage, _: stage.order()),
    Command("order sent back", Stage.paid,
            lambda stage, order: withdrawing.send_back(stage.hospital, order, (), DESK, reason="facts missing")),
    Command("order voided for good", Stage.paid,
            lambda stage, order: withdrawing.void(stage.hospital, order, (), CLIENT, reason="x", reissue=False)),
    Command("order re-issued, place taken over", _sent_back, _reissue),
    Command("note of an order changed", Stage.paid,
            lambda stage, order: order_changes.change(stage.hospital, OrderChange(order, note="left"), CLIENT)),
    Command("payment, booked", Stage.order, lambda stage, order: stage.world.pay(order)),
    Command("payment of three exams, booked", lambda stage: stage.order(3), lambda stage, order: stage.world.pay(order)),
    Command("refund of one exam requested", lambda stage: stage.paid(2),
            lambda stage, order: _refund(refunds.REQUESTED, order)(stage)),
    Command("refund withdrawn", _refunded, lambda stage, order: _refund(refunds.WITHDRAWN, order)(stage)),
    Command("refund paid out", _refunded, lambda stage, order: _refund(refunds.REFUNDED, order)(stage)),
    Command("refund out of a shared visit", Stage.shared, lambda stage, found: _refund(refunds.REQUESTED, found[0])(stage)),
)  # fmt: skip


# Appointments, arrival, execution


def _walk_in(stage: Stage) -> Identifier:
    """A patient whose appointment is far off, and who is here now."""
    patient = stage.patient()
    _moved(stage, stage.booked(patient))
    return Identifier("card", patient)


def _unbooked(stage: Stage) -> Identifier:
    patient = stage.patient()
    stage.world.pay(stage.order(patient=patient), settle=False)
    return Identifier("card", patient)


def _called(stage: Stage) -> str:
    number = stage.arrived()
    calling.call(stage.hospital, number, DESK)
    return number


def _started(stage: Stage) -> str:
    number = _called(stage)
    executing.report(stage.hospital, number, ExecutionReport("started"), CLIENT)
    return number


def _missed(stage: Stage) -> str:
    number = stage.booked()
    noshow.mark(stage.hospital, number, DESK)
    return number


def _done(state: str, **more: Any) -> Callable[[Stage, str], Any]:
    return lambda stage, number: executing.report(stage.hospital, number, ExecutionReport(state, **more), CLIENT)


def _emergency(stage: Stage, _: None) -> None:
    number = next(stage.numbers)
    data = walkin.EmergencyData("CLINIC", (f"D{1 + number % DEPARTMENTS:02}-0001",), "trauma", campus="N")
    walkin.emergency(stage.hospital, data, DESK)


ARRIVAL = (
    Command("rescheduled", Stage.booked, _moved),
    Command("cancelled", Stage.booked,
            lambda stage, number: changes.cancel(stage.hospital, number, CLIENT, reason="patient")),
    Command("checked in", Stage.booked, lambda stage, number: noshow.arrive(stage.hospital, number, DESK)),
    Command("here on another day, moved to today", _walk_in,
            lambda stage, who: walkin.come(stage.hospital, who, (), DESK, move=True)),
    Command("here without an appointment, next place", _unbooked,
            lambda stage, who: walkin.come(stage.hospital, who, (), DESK, add_on=True, reason="from afar")),
    Command("emergency without an order", lambda stage: None, _emergency),
    Command("called", Stage.arrived, lambda stage, number: calling.call(stage.hospital, number, DESK)),
    Command("called in vain", _called, lambda stage, number: calling.absent(stage.hospital, number, DESK)),
    Command("deferred", _called,
            lambda stage, number: calling.defer(stage.hospital, number, DESK, reason="bladder_not_full")),
    Command("check-in taken back", Stage.arrived,
            lambda stage, number: calling.undo(stage.hospital, number, DESK, reason="mistake")),
    Command("started", _called, _done("started")),
    Command("finished", _started, _done("finished")),
    Command("not done, booked again", _started, _done("not_done", reason="device failed", rebook=True)),
    Command("no-show", Stage.booked, lambda stage, number: noshow.mark(stage.hospital, number, DESK)),
    Command("no-show withdrawn", _missed,
            lambda stage, number: noshow.withdraw(stage.hospital, number, DESK, reason="was here")),
    Command("check-in source offline", lambda stage: f"D{1 + next(stage.numbers) % DEPARTMENTS:02}",
            lambda stage, code: attendance.declare(stage.hospital, code, "offline", DESK)),
)  # fmt: skip


# Patients and wards


def _two(stage: Stage) -> tuple[Identifier, Identifier]:
    first, second = stage.patient(), stage.patient()
    stage.paid(2, first)
    stage.paid(2, second)
    return Identifier("card", first), Identifier("card", second)


def _one_again(stage: Stage) -> int:
    return merging.merge(stage.hospital, *_two(stage), CLIENT).id


def _known(stage: Stage) -> str:
    patient = stage.patient()
    stage.paid(2, patient)
    return patient


def _update(stage: Stage, patient: str) -> None:
    facts = {"weight_kg": Fact(61, stage.world.clock.now(), "EMR")}
    updates.update(stage.hospital, PatientUpdate(Identifier("card", patient), facts=facts), CLIENT)


def _event(stage: Stage, patient: str, event: str, **more: Any) -> None:
    report = EncounterReport(f"V-{patient}", event, stage.world.clock.now(), **more)
    encounters.report(stage.hospital, report, CLIENT)


def _inpatient(stage: Stage) -> str:
    patient = _known(stage)
    _event(stage, patient, "admission", ward="W1", bed="3")
    return patient


def _ward_exam(stage: Stage) -> str:
    patient = stage.patient()
    number = stage.booked(patient)
    _event(stage, patient, "admission", ward="W1", bed="3")
    return number


PATIENTS = (
    Command("patients merged", _two, lambda stage, pair: merging.merge(stage.hospital, *pair, CLIENT)),
    Command("merge undone", _one_again, lambda stage, number: merging.undo(stage.hospital, number, CLIENT)),
    Command("weight corrected", _known, _update),
    Command("admitted", _known, lambda stage, patient: _event(stage, patient, "admission", ward="W1", bed="3")),
    Command("transferred", _inpatient, lambda stage, patient: _event(stage, patient, "transfer", ward="W2", bed="1")),
    Command("discharged", _inpatient, lambda stage, patient: _event(stage, patient, "discharge")),
    Command("died", _inpatient, lambda stage, patient: _event(stage, patient, "death")),
    Command("not coming from the ward", _ward_exam,
            lambda stage, number: ward_list.answer(stage.hospital, number, "not_coming", DESK, reason="condition")),
)  # fmt: skip


# What falls away and what comes free, groups, other systems


def _resource(stage: Stage) -> tuple[str, date]:
    """A room that nobody has shut yet, and one of its full days."""
    number = next(stage.numbers)
    day = stage.hospital.calendar.day_of(stage.world.clock.now()) + timedelta(days=2)
    return f"D{1 + number % DEPARTMENTS:02}-G{1 + number // DEPARTMENTS % 2}-1", day


def _suspend(stage: Stage, found: tuple[str, date]) -> None:
    resource, day = found
    midnight = stage.hospital.calendar.midnight(day)
    asked = closing.Asked("device_down", "repair", resource=resource, since=midnight, until=midnight + timedelta(days=1))
    suspensions.apply(stage.hospital, closing.plan(stage.hospital, asked), DESK)


def _join(stage: Stage, number: str) -> None:
    today = stage.hospital.calendar.day_of(stage.world.clock.now())
    data = waitlist.EntryData(today, today + timedelta(days=14), appointment=number)
    waitlist.join(stage.hospital, data, DESK)


def _contract(stage: Stage) -> tuple[str, Sequence[int]]:
    """A unit's contract with one exam for two listed people."""
    number, today = f"C{next(stage.numbers)}", stage.hospital.calendar.day_of(stage.world.clock.now())
    data = contracts.ContractData(
        number, "unit", (("D01-0001", ""),), {"N": 20}, today + timedelta(days=2), today + timedelta(days=12)
    )
    contracts.create(stage.hospital, data, DESK)
    people = [PatientData((Identifier("card", stage.patient()),), "患者", Sex.FEMALE) for _ in range(2)]
    found = contracts.add_people(stage.hospital, number, people, DESK)
    return number, [int(each.person or 0) for each in found]


def _group_day(stage: Stage, found: tuple[str, Sequence[int]]) -> None:
    number, (person, _) = found
    day = stage.hospital.calendar.day_of(stage.world.clock.now()) + timedelta(days=3)
    group_days.book(stage.hospital, number, DESK, chosen={person: ("N", day)})


def _told(stage: Stage) -> received.Report:
    number, now = next(stage.numbers), stage.world.clock.now()
    start = now.replace(hour=2, minute=0) + timedelta(days=3)
    patient = PatientData((Identifier("card", stage.patient()),), "患者", Sex.FEMALE)
    return received.Report(
        "RIS", f"X{number}", "booked", patient, now, start, start + timedelta(minutes=10),
        items=(f"D{1 + number % DEPARTMENTS:02}-0001",), group=f"D{1 + number % DEPARTMENTS:02}-G2",
    )  # fmt: skip


REST = (
    Command("room shut for a day, visit by visit", _resource, _suspend, whole_day=True, calls=10),
    Command("on the waiting list", Stage.booked, _join),
    Command("one person's group day", _contract, _group_day),
    Command("appointment of another system", _told,
            lambda stage, report: received.receive(stage.hospital, report, CLIENT)),
)  # fmt: skip

COMMANDS: tuple[Command, ...] = (*ORDERS, *ARRIVAL, *PATIENTS, *REST)
