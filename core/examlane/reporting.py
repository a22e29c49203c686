"""What the hospital's systems report: stored first, then settled in the same request, then answered from what is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from examlane.appointments import booking, desk, status
from examlane.appointments.status import ItemStatus
from examlane.capacity.catalogue import Catalogue
from examlane.corrections import early, withdrawing
from examlane.domain import (
    EncounterView,
    EvidenceView,
    Examination,
    Finding,
    GateOpen,
    OrderItemView,
    OrderView,
    PatientView,
)
from examlane.errors import NotFound, Refused
from examlane.extension.dispatch import Budget
from examlane.hospital import Hospital
from examlane.orders import context, evidence, intake, patients, related, release, snapshot
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import OrderData
from examlane.orders.related import Ordered
from examlane.orders.release import Notice, Payable, PaymentData
from examlane.patients import people
from examlane.planning.judging import Judge, NamedGate, state_of
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import Replay, RequestKey
from examlane.records.versions import versions
from examlane.storage.database import Database


@dataclass(frozen=True, slots=True)
class Judgement:
    """The dry run's word on one item: what would become of it, before anything is stored."""

    key: str
    item: str
    state: str
    payable: bool
    findings: tuple[Finding, ...]
    gates: tuple[NamedGate, ...]


@dataclass(frozen=True, slots=True)
class PaymentAnswer:
    """What a payment led to: booked, pending (planned shortly), or desk; with the items of its order."""

    state: str
    items: tuple[ItemStatus, ...]


def submit_order(hospital: Hospital, order: OrderData, actor: Actor, key: RequestKey | None = None) -> list[ItemStatus]:
    """Store an order, ask the rules, book what may be booked at once. Raises `InvalidInput`, `Conflict`."""
    catalogue = hospital.catalogues.current()
    intake.check(catalogue, order, hospital.clock.now())
    if order.replaces:
        _make_way(hospital, order, actor, key)
    patient = intake.record(
        hospital.database, catalogue, hospital.settings, order, actor, hospital.clock.now(), key, _notice(hospital)
    )
    if intake.was_voided(hospital.database, order.number):
        withdrawing.settle_early(hospital, order.number, actor)
    if order.replaces and _is_provisional(hospital, order.replaces):
        withdrawing.relink(hospital, order.replaces, order.number, actor)
    people.notice_duplicates(hospital, patient)
    booking.settle(hospital, patient, actor)
    early.make_all(hospital, order.number, actor)
    return status.of_order(hospital, order.number)


def _is_provisional(hospital: Hospital, order: str) -> bool:
    return bool(hospital.database.value("SELECT provisional FROM exam_order WHERE number = ?", order))


def _notice(hospital: Hospital) -> Notice:
    """Hands a payment that somebody must look at to the desk."""

    def open_task(item: Payable, code: str) -> None:
        desk.open_task(
            hospital.database, code, item.department, item.patient, item.id, hospital.clock.now(),
            hospital.settings.desk_deadline,
        )  # fmt: skip

    return open_task


def _make_way(hospital: Hospital, order: OrderData, actor: Actor, key: RequestKey | None) -> None:
    """The order that is replaced is voided, if it was not: its places are kept for this one. Raises `Refused`."""
    database = hospital.database
    if key is not None and receipts.find(database, key) is not None:
        return
    patient = patients.find(database, order.patient.identifiers)
    intake.check_replaced(database, order, patient)
    if patient is not None and not _is_provisional(hospital, order.replaces):
        withdrawing.make_way(hospital, order.replaces, patient, actor)


def verify_order(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> list[ItemStatus]:
    """The ward has verified an inpatient's order."""
    patient = release.verify(hospital.database, number, actor, hospital.clock.now(), key)
    booking.settle(hospital, patient, actor)
    return status.of_order(hospital, number)


def report_evidence(hospital: Hospital, data: EvidenceData, actor: Actor, key: RequestKey | None = None) -> list[ItemStatus]:
    """Store a fact about a patient and re-judge all open items and booked visits it may concern."""
    patient = evidence.record(hospital.database, data, actor, hospital.clock.now(), key)
    booking.settle(hospital, patient, actor)
    return status.of_patient(hospital, patient)


def report_payment(hospital: Hospital, payment: PaymentData, actor: Actor, key: RequestKey | None = None) -> PaymentAnswer:
    """Store a payment, never refused; book at once unless others of the encounter are on their way."""
    notice = _notice(hospital)
    recorded = release.pay(hospital.database, hospital.settings, payment, actor, hospital.clock.now(), key, notice)
    if recorded.patient is None:
        return PaymentAnswer("stored", ())
    if not recorded.awaits_others:
        booking.settle(hospital, recorded.patient, actor)
    return payment_answer(hospital, payment.order)


def payment_answer(hospital: Hospital, order: str) -> PaymentAnswer:
    """How a payment stands now."""
    try:
        items = tuple(status.of_order(hospital, order))
    except NotFound:
        return PaymentAnswer("stored", ())
    if all(item.appointment is not None for item in items):
        return PaymentAnswer("booked", items)
    waiting = any(item.appointment is None and item.reason in ("awaiting_payment", "pending") for item in items)
    return PaymentAnswer("pending" if waiting else "desk", items)


def validate_order(hospital: Hospital, order: OrderData) -> list[Judgement]:
    """What the rules would say of an order, for the doctor's station; nothing is stored."""
    now = hospital.clock.now()
    catalogue_version, rollout_version = versions(hospital.database)
    catalogue = hospital.catalogues.at(catalogue_version)
    intake.check(catalogue, order, now)
    rollout = hospital.rollouts.at(rollout_version, now)
    judge = Judge(hospital, rollout, Budget(hospital.settings.booking_seconds), now)
    patient, known = _patient(hospital.database, order)
    order, past = _completed(hospital, order, patient.id)
    view = _view(catalogue, order, patient, now.date())
    others = _related(hospital, judge, view, patient, past)
    found: list[Judgement] = []
    for department in sorted({item.item.department for item in view.items}):
        part = replace(view, items=tuple(item for item in view.items if item.item.department == department))
        findings, failed = judge.findings(department, part, patient, known)
        gates = judge.gates(department, part, patient, known)
        findings += others
        failed = failed or bool(rollout.missing(department, patient.id))
        found += [_judgement(item, findings, gates, known, failed) for item in part.items]
    return sorted(found, key=lambda judgement: judgement.key)


def _completed(hospital: Hospital, order: OrderData, patient: int) -> tuple[OrderData, list[Examination]]:
    """The order with what else is known of the patient, and exams that only other systems know; nothing is stored."""
    now, catalogue = hospital.clock.now(), hospital.catalogues.current()
    stored = context.known_facts(hospital.database, patient) if patient else {}
    told = context.newest(order.context, stored, order.ordered_at)
    found = hospital.context.look_up(hospital.database, patient, order.patient.identifiers, told, now)
    past = [
        Examination(catalogue.item(exam.item), exam.starts_at, exam.ends_at)
        for exams in found.exams.values()
        for exam in exams
        if catalogue.knows(exam.item)
    ]
    return replace(order, context=context.newest(told, found.known, order.ordered_at)), past


def _related(
    hospital: Hospital, judge: Judge, order: OrderView, patient: PatientView, past: Sequence[Examination]
) -> list[Finding]:
    """What the patient's other orders and exams mean for the items of an order that is being written."""
    now = hospital.clock.now()
    earlier, exams, facts = [], list(past), dict(order.context)
    if patient.id:
        state = snapshot.read(hospital.database, hospital.catalogues, patient.id, now)
        others = [item for item in state.items if item.appointment is None and item.state != "rejected"]
        earlier = [Ordered(item.key, item.view.item) for item in others if item.order.number != order.number]
        exams, facts = [*exams, *state.exams], {**state.context(), **facts}
    departments = {item.item.department for item in order.items} | {exam.item.department for exam in exams}
    rules, _failed = judge.interval_rules(departments, patient, facts)
    found: list[Finding] = []
    for item in order.items:
        new = Ordered(item.key, item.item)
        found += related.findings(rules, new, earlier, exams, now, urgent=order.urgent)
        earlier.append(new)
    return found


def _judgement(
    item: OrderItemView, findings: list[Finding], gates: list[NamedGate], known: tuple[EvidenceView, ...], failed: bool
) -> Judgement:
    own = tuple(finding for finding in findings if finding.item == item.key)
    mine = tuple(gate for gate in gates if gate.answer.item == item.key)
    state = "unverified" if failed else state_of(own, item.confirmed, known)
    payable = state == "accepted" and all(isinstance(gate.answer, GateOpen) or gate.answer.payable for gate in mine)
    return Judgement(item.key, item.item.code, state, payable, own, mine)


def _patient(database: Database, order: OrderData) -> tuple[PatientView, tuple[EvidenceView, ...]]:
    known = patients.find(database, order.patient.identifiers)
    data = order.patient
    view = PatientView(known or 0, data.sex, data.birth_date, data.out_of_town)
    return view, snapshot.evidence_of(database, known) if known else ()


def _view(catalogue: Catalogue, order: OrderData, patient: PatientView, day: Any) -> OrderView:
    data = order.encounter
    encounter = EncounterView(data.number, data.encounter_class, data.ward, data.campus, frozenset(data.needs))
    weight = order.context["weight_kg"].value if "weight_kg" in order.context else None
    items = tuple(
        OrderItemView(
            f"{order.number}/{line.line}",
            catalogue.item(line.item),
            catalogue.offered(line.item, patient, encounter, weight, day),
            confirmed=line.confirmations,
        )
        for line in order.lines
    )
    return OrderView(
        order.number, encounter, order.ordering_department, order.priority, order.ordered_at, items, order.context,
        order.note,
    )  # fmt: skip


def once(
    hospital: Hospital,
    key: RequestKey,
    act: Callable[[RequestKey], Mapping[str, Any]],
    again: Callable[[Replay], Mapping[str, Any]],
) -> tuple[Mapping[str, Any], bool]:
    """Do a write once for a client's key; returns its answer and whether it is a replay.

    A repeated request gets the stored answer; if the first one died before answering, the answer is made anew
    from what its effect led to. Raises `Refused` when the key comes with another body.
    """
    seen = receipts.find(hospital.database, key)
    replayed = seen is not None
    if seen is None:
        try:
            body = act(key)
        except Refused:
            # The same request may have won meanwhile: then its effect is what stands in our way, and it is ours.
            seen = receipts.find(hospital.database, key)
            if seen is None:
                raise
            replayed = True
    if seen is not None:
        if seen.answer is not None:
            return seen.answer, True
        body = again(seen)
    return receipts.answer(hospital.database, key, body), replayed
