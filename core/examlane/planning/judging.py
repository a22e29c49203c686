"""Asking the rules about a patient's open items: validation, gates, and what follows for each item."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from examlane.domain import (
    BookingMode,
    DepartmentMode,
    EncounterClass,
    EvidenceView,
    Fact,
    Finding,
    FindingKind,
    GateAnswer,
    GateClosed,
    GateOpen,
    IntervalRule,
    OrderView,
    PatientView,
    Text,
)
from examlane.extension import answers, shadow
from examlane.extension.dispatch import Answer, Budget
from examlane.extension.rollout import Rollout
from examlane.hospital import Hospital
from examlane.orders import related
from examlane.orders.related import Ordered
from examlane.orders.snapshot import OpenItem, Snapshot
from examlane.reasons import REASONS

UNAVAILABLE_NEXT = Text("联系科室登记台", "contact the department's desk")
LEFT_TO_PEOPLE = ("cancelled", "no_show", "not_done", "suspended", "discharged", "group_day")
"""After these an item is booked again only when somebody asks for it."""
NOT_PAID = ("part_paid", "refund_requested", "refunded")
"""States of a payment that are reasons of their own."""
BOOKED_OUTSIDE = "external"
"""The release of items that another system booked without an order of ours: nothing is known that rules could judge."""
BOOKABLE_MODES = (BookingMode.AUTOMATIC, BookingMode.MANUAL)


@dataclass(frozen=True, slots=True)
class NamedGate:
    """A gate's answer with the plugin that gave it."""

    plugin: str
    answer: GateAnswer


@dataclass(frozen=True)
class Verdict:
    """What the rules say of one item now, and what follows: its state, reason, and whether it may be booked."""

    item: OpenItem
    state: str
    reason: str
    findings: tuple[Finding, ...] = ()
    fills: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[NamedGate, ...] = ()
    earliest: datetime | None = None
    bookable: bool = False
    desk: str = ""

    @property
    def gates_open(self) -> bool:
        return all(isinstance(gate.answer, GateOpen) for gate in self.gates)

    @property
    def payable(self) -> bool:
        return self.state == "accepted" and all(
            isinstance(gate.answer, GateOpen) or gate.answer.payable for gate in self.gates
        )

    def covers(self, starts_at: datetime) -> bool:
        """Whether a seat at a start is still right: the rules accept the item, its gates are open and stay so until then.

        An item whose rules are unavailable keeps its seat.
        """
        if self.state not in ("accepted", "unverified"):
            return False
        until = self.gate_until
        return self.gates_open and (until is None or starts_at <= until)

    @property
    def gate_until(self) -> datetime | None:
        return min(
            (gate.answer.until for gate in self.gates if isinstance(gate.answer, GateOpen) and gate.answer.until),
            default=None,
        )


@dataclass(frozen=True)
class _Heard:
    """What a department's plugins said of its items of one order, or why they count as closed."""

    items: Sequence[OpenItem]
    mode: DepartmentMode
    findings: Sequence[Finding] = ()
    gates: Sequence[NamedGate] = ()
    closed: str = ""


class Judge:
    """Asks each executing department's chain about its items of one snapshot."""

    def __init__(self, hospital: Hospital, rollout: Rollout, budget: Budget, now: datetime) -> None:
        self._hospital = hospital
        self._rollout = rollout
        self._budget = budget
        self._now = now
        self.watched: list[shadow.Question] = []
        self._intervals: dict[str, list[Answer]] = {}

    def ask(
        self, department: str, hook: str, patient: PatientView, arguments: Mapping[str, Any], check: Any
    ) -> list[Answer]:
        """The answers of every plugin of a department's chain at one hook."""
        said = [
            self._hospital.dispatcher.ask(
                link.plugin, hook, department, {**arguments, **link.handed}, check, self._budget, link.problem
            )
            for link in self._rollout.chain(department, hook, patient.id)
        ]
        self.watch(department, hook, arguments, [answer.value for answer in said])
        return said

    def watch(self, department: str, hook: str, arguments: Mapping[str, Any], live: Sequence[Any]) -> None:
        """Keep a question for the plugins that only watch in this department."""
        asked = shadow.question(self._rollout, department, hook, arguments, live)
        if asked is not None:
            self.watched.append(asked)

    def verdicts(self, snapshot: Snapshot) -> list[Verdict]:
        """One verdict an open item, in order."""
        if snapshot.died:
            return [_of_the_dead(item) for item in snapshot.items]
        heard = [
            self._heard(department, number, items, snapshot)
            for (number, department), items in _by_order(snapshot.items).items()
        ]
        departments = {item.department for item in snapshot.items} | {exam.item.department for exam in snapshot.exams}
        rules, _failed = self.interval_rules(departments, snapshot.patient, snapshot.context())
        found: dict[int, Verdict] = {}
        for one in heard:
            others = _related(rules, one.items, snapshot, self._now)
            found.update({item.id: self._verdict(one, item, others, snapshot) for item in one.items})
        return [found[item.id] for item in snapshot.items]

    def _heard(self, department: str, number: str, items: Sequence[OpenItem], snapshot: Snapshot) -> _Heard:
        """What a department says of its items of one order; nothing where it is not asked."""
        mode = self._rollout.mode(department)
        if mode is DepartmentMode.EXTERNAL or items[0].release == BOOKED_OUTSIDE:
            return _Heard(items, DepartmentMode.EXTERNAL)
        if self._rollout.missing(department, snapshot.patient.id):
            return _Heard(items, mode, closed="required_plugin_missing")
        order = replace(items[0].order, number=number, items=tuple(item.view for item in items))
        findings, failed = self.findings(department, order, snapshot.patient, snapshot.evidence)
        if failed:
            return _Heard(items, mode, closed="unverified")
        return _Heard(items, mode, findings, self.gates(department, order, snapshot.patient, snapshot.evidence))

    def _verdict(self, heard: _Heard, item: OpenItem, others: Sequence[Finding], snapshot: Snapshot) -> Verdict:
        if heard.mode is DepartmentMode.EXTERNAL:
            return Verdict(item, "accepted", "department_external")
        if heard.closed:
            return _closed(item, heard.closed)
        return _verdict(
            item,
            [finding for finding in (*heard.findings, *others) if finding.item == item.key],
            [gate for gate in heard.gates if gate.answer.item == item.key],
            snapshot.evidence,
            heard.mode,
            self._hospital.settings.release[item.order.encounter.encounter_class],
            restricted=item.department in snapshot.restricted and may_be_restricted(item),
        )

    def findings(
        self, department: str, order: OrderView, patient: PatientView, evidence: Sequence[EvidenceView]
    ) -> tuple[list[Finding], bool]:
        """All findings of a department about its items, and whether a plugin failed (closed)."""
        keys = [item.key for item in order.items]
        said = self.ask(
            department,
            "validate_order",
            patient,
            {"order": order, "patient": patient, "evidence": evidence, "now": self._now},
            answers.about(answers.findings, keys),
        )
        return [finding for answer in said for finding in answer.value or ()], any(answer.failure for answer in said)

    def interval_rules(
        self, departments: Iterable[str], patient: PatientView, context: Mapping[str, Fact]
    ) -> tuple[list[IntervalRule], set[str]]:
        """The hospital's rules between exams and those of these departments, and the departments whose rules failed."""
        rules = list(self._rollout.intervals)
        failed: set[str] = set()
        arguments = {"patient": patient, "context": MappingProxyType(dict(context)), "now": self._now}
        for department in sorted(departments):
            if department not in self._intervals:
                self._intervals[department] = self.ask(
                    department, "interval_rules", patient, arguments, answers.interval_rules
                )
            for answer in self._intervals[department]:
                # One plugin may be on in many departments: it says the same in each.
                rules += [rule for rule in answer.value or () if rule not in rules]
                if answer.failure:
                    failed.add(department)
        return rules, failed

    def gates(
        self, department: str, order: OrderView, patient: PatientView, evidence: Sequence[EvidenceView]
    ) -> list[NamedGate]:
        """All gates of a department's items; a plugin that fails closes its own, unpayable."""
        keys = [item.key for item in order.items]
        said = self.ask(
            department,
            "pre_booking_gate",
            patient,
            {"order": order, "patient": patient, "evidence": evidence, "now": self._now},
            answers.about(answers.gates, keys),
        )
        gates = [NamedGate(answer.plugin, gate) for answer in said for gate in answer.value or ()]
        for answer in said:
            if answer.failure:
                gates += [NamedGate(answer.plugin, _unavailable(answer.plugin, key)) for key in keys]
        return gates


def _related(rules: Sequence[IntervalRule], items: Sequence[OpenItem], snapshot: Snapshot, now: datetime) -> list[Finding]:
    """What the patient's other exams mean for some items; of two unbooked orders the later one is spoken of."""
    found: list[Finding] = []
    for item in items:
        own = next((visit.number for visit in snapshot.visits if visit.id == item.appointment), None)
        earlier = [
            Ordered(other.key, other.view.item)
            for other in snapshot.items
            if other.id < item.id and other.appointment is None and other.state != "rejected"
        ]
        exams = [exam for exam in snapshot.exams if own is None or exam.appointment != own]
        new = Ordered(item.key, item.view.item)
        found += related.findings(rules, new, earlier, exams, now, urgent=item.order.urgent)
    return found


def _by_order(items: Iterable[OpenItem]) -> dict[tuple[str, str], list[OpenItem]]:
    groups: dict[tuple[str, str], list[OpenItem]] = defaultdict(list)
    for item in items:
        groups[item.order.number, item.department].append(item)
    return groups


def may_be_restricted(item: OpenItem) -> bool:
    """Whether missed visits may lead an item to the desk: never what is urgent, nor what a ward has ordered."""
    return not item.order.urgent and item.order.encounter.encounter_class is not EncounterClass.INPATIENT


def _of_the_dead(item: OpenItem) -> Verdict:
    reason = item.reason if item.reason in LEFT_TO_PEOPLE else "deceased"
    return Verdict(item, item.state, reason)


def _closed(item: OpenItem, reason: str) -> Verdict:
    return Verdict(item, "unverified", reason, desk=reason)


def _unavailable(plugin: str, key: str) -> GateClosed:
    return GateClosed(plugin, key, "rule_unavailable", REASONS["rule_unavailable"], UNAVAILABLE_NEXT, owner="registrar")


def _verdict(
    item: OpenItem,
    findings: Sequence[Finding],
    gates: Sequence[NamedGate],
    evidence: Sequence[EvidenceView],
    mode: DepartmentMode,
    release: str,
    restricted: bool,
) -> Verdict:
    state = state_of(findings, item.view.confirmed, evidence)
    verdict = Verdict(
        item,
        state,
        state,
        findings=tuple(findings),
        fills={finding.field: finding.value for finding in findings if finding.kind is FindingKind.FILL},
        gates=tuple(gates) if state == "accepted" else (),
        earliest=max((finding.until for finding in findings if finding.until is not None), default=None),
        desk="needs_approval" if state == "needs_approval" else "",
    )
    return _followed(verdict, mode, release, restricted)


def state_of(findings: Sequence[Finding], confirmed: Mapping[str, str], evidence: Sequence[EvidenceView]) -> str:
    """What the findings make of an item: rejected, needs_confirmation, needs_approval or accepted."""
    kinds = {
        finding.kind
        for finding in findings
        if not (finding.kind is FindingKind.CONFIRM and _confirmed(finding, confirmed))
        and not (finding.kind is FindingKind.APPROVE and _approved(finding, evidence))
    }
    if FindingKind.BLOCK in kinds:
        return "rejected"
    if FindingKind.CONFIRM in kinds:
        return "needs_confirmation"
    return "needs_approval" if FindingKind.APPROVE in kinds else "accepted"


def _confirmed(finding: Finding, confirmed: Mapping[str, str]) -> bool:
    return finding.code in confirmed and (bool(confirmed[finding.code]) or not finding.needs_reason)


def _approved(finding: Finding, evidence: Sequence[EvidenceView]) -> bool:
    return any(
        fact.kind == "approval"
        and fact.outcome == "passed"
        and fact.scope == finding.item
        and fact.data.get("code") == finding.code
        for fact in evidence
    )


def _followed(verdict: Verdict, mode: DepartmentMode, release: str, restricted: bool) -> Verdict:
    """The reason of an accepted item: what it waits for, or that it may be booked."""
    if verdict.state != "accepted":
        return verdict
    if verdict.item.appointment is None and verdict.item.reason in LEFT_TO_PEOPLE:
        return replace(verdict, reason=verdict.item.reason)
    services = {service.mode for service in verdict.item.view.services}
    if any(isinstance(gate.answer, GateClosed) and gate.answer.code == "rule_unavailable" for gate in verdict.gates):
        return replace(verdict, reason="rule_unavailable", desk="rule_unavailable")
    if not verdict.gates_open:
        return replace(verdict, reason="awaiting_gate")
    if not services:
        return replace(verdict, reason="no_service", desk="no_service")
    if not verdict.item.release:
        owed = verdict.item.payment if verdict.item.payment in NOT_PAID else "awaiting_payment"
        return replace(verdict, reason=owed if release == "paid" else "awaiting_release")
    if not services.intersection(BOOKABLE_MODES):
        mode_of_service = next(iter(sorted(services)))
        reason = mode_of_service.value if mode_of_service is not BookingMode.NONE else "not_bookable"
        return replace(verdict, reason=reason)
    if restricted and verdict.item.appointment is None:
        return replace(verdict, reason="restricted", desk="restricted")
    if mode is DepartmentMode.MANUAL or BookingMode.AUTOMATIC not in services:
        return replace(verdict, reason="department_manual", desk="department_manual")
    return replace(verdict, reason="pending", bookable=True)
