"""Planning one patient: verdicts → visits → times. Hooks are asked here, outside any transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from examlane.capacity.calendar import days_from
from examlane.domain import BookingMode, Examination, IntervalRule, Preparation
from examlane.extension import answers
from examlane.extension.dispatch import Answer, Budget
from examlane.extension.rollout import Link, Rollout
from examlane.extension.shadow import Question
from examlane.hospital import Hospital
from examlane.orders.snapshot import OpenItem, Snapshot
from examlane.orders.snapshot import Visit as BookedVisit
from examlane.planning import defaults
from examlane.planning.allocation import Allocator, Found
from examlane.planning.constraints import (
    Constraints,
    Occupied,
    lead,
    occupied,
    option_of,
)
from examlane.planning.judging import Judge, Verdict
from examlane.visit import Visit, VisitOption

REPLANNABLE = ("booked",)
First = Callable[["Planner", "Plan", list[Verdict]], list[Verdict]]


@dataclass(frozen=True)
class PlannedVisit:
    """A visit with its time and place, ready to be booked or moved there."""

    visit: Visit
    option: VisitOption
    starts_at: datetime
    ends_at: datetime
    items: tuple[OpenItem, ...]
    preparation: tuple[Preparation, ...]
    explanation: dict[str, Any]
    fallback: bool = False
    replaces: tuple[BookedVisit, ...] = ()
    segments: tuple[datetime, ...] = ()
    """The start of each segment; empty: the first that fit when it is booked."""
    occupied: tuple[Occupied, ...] = ()


@dataclass
class Plan:
    """What is to be written: verdicts on items, visits to book, and items for which no time was found."""

    snapshot: Snapshot
    verdicts: list[Verdict]
    visits: list[PlannedVisit] = field(default_factory=list)
    unplaced: dict[int, str] = field(default_factory=dict)
    rules: list[IntervalRule] = field(default_factory=list)
    trace: list[Answer] = field(default_factory=list)
    watched: list[Question] = field(default_factory=list)
    taken_over: dict[int, int] = field(default_factory=dict)
    """New order items with the withdrawn ones whose places they take."""
    reason: str = "planned_together"
    """Why booked visits are moved by it, as their versions say."""


class Planner:
    """Plans the bookable items of one snapshot, none of them before the business date `since` or after `until`."""

    def __init__(
        self, hospital: Hospital, snapshot: Snapshot, now: datetime, since: date | None = None, until: date | None = None
    ) -> None:
        self.hospital = hospital
        self.snapshot = snapshot
        self.now = now
        self.budget = Budget(hospital.settings.booking_seconds)
        self.rollout: Rollout = hospital.rollouts.at(snapshot.rollout_version, now)
        self.judge = Judge(hospital, self.rollout, self.budget, now)
        self.calendar = snapshot.catalogue.calendar
        today = self.calendar.day_of(now)
        first = max(today, since or today)
        last = (until - first).days + 1 if until else hospital.settings.horizon_days
        self.days = days_from(first, max(1, min(last, hospital.settings.horizon_days - (first - today).days)))
        self.not_before = self.calendar.midnight(first)
        self.allocator = Allocator(hospital, snapshot, self.rollout, self.judge, self.budget, self.days, now)

    def plan(self, first: First | None = None) -> Plan:
        """The patient's plan: everything that may be booked now, at its time; `first` plans some of it its own way."""
        verdicts = self.judge.verdicts(self.snapshot)
        plan = Plan(self.snapshot, verdicts, trace=self.budget.trace, watched=self.judge.watched)
        fresh = [verdict for verdict in verdicts if verdict.bookable and verdict.item.appointment is None]
        if first is not None:
            fresh = first(self, plan, fresh)
        for group in _together(fresh):
            self._plan_group(plan, group)
        return plan

    def plan_again(self, appointments: Collection[int]) -> Plan:
        """Booked visits planned together as if they had no time yet; none of them unless all find one."""
        verdicts = self.judge.verdicts(self.snapshot)
        plan = Plan(self.snapshot, verdicts, trace=self.budget.trace, watched=self.judge.watched)
        chosen = [verdict for verdict in verdicts if verdict.item.appointment in appointments]
        old = [visit for visit in self.snapshot.visits if visit.id in appointments and visit.state in REPLANNABLE]
        bookable = chosen and all(verdict.bookable for verdict in chosen)
        found = self.solve(plan, chosen, old) if bookable else None
        if found is not None and sum(len(visit.items) for visit in found) == len(chosen):
            self._accept(plan, found)
        return plan

    def _plan_group(self, plan: Plan, fresh: list[Verdict]) -> None:
        movable = self._movable(plan, fresh)
        if movable:
            trial = self.solve(plan, [*fresh, *(verdict for verdict, _ in movable)], [old for _, old in movable])
            if trial is not None and _nothing_later(trial):
                self._accept(plan, trial)
                return
        self._accept(plan, self.solve(plan, fresh, []) or [])
        placed = {item.id for visit in plan.visits for item in visit.items}
        for verdict in fresh:
            if verdict.item.id not in placed:
                plan.unplaced.setdefault(verdict.item.id, "no_time")

    def _movable(self, plan: Plan, fresh: Sequence[Verdict]) -> list[tuple[Verdict, BookedVisit]]:
        """Booked items that a new one may be planned together with: automatic, not moved, outside the freeze time."""
        free_from = self.now + self.hospital.settings.freeze
        visits = {
            visit.id: visit
            for visit in self.snapshot.visits
            if visit.state in REPLANNABLE and visit.automatic and not visit.moved and visit.starts_at > free_from
        }
        departments = {verdict.item.department for verdict in fresh}
        clusters = self._clusters(fresh[0].item)
        return [
            (verdict, visits[verdict.item.appointment])
            for verdict in plan.verdicts
            if verdict.item.appointment in visits
            and verdict.bookable
            and verdict.item.encounter_id == fresh[0].item.encounter_id
            and (clusters or verdict.item.department in departments)
        ]

    def _clusters(self, item: OpenItem) -> bool:
        department = item.order.ordering_department
        return bool(self.rollout.chain(department, "allocate", self.snapshot.patient.id))

    def _accept(self, plan: Plan, visits: list[PlannedVisit]) -> None:
        plan.visits += visits

    # Visits

    def solve(self, plan: Plan, verdicts: Sequence[Verdict], freed: Sequence[BookedVisit]) -> list[PlannedVisit] | None:
        """Times for some items, the seats of `freed` visits counting as free; None: no department makes visits of them."""
        items = {verdict.item.key: verdict.item for verdict in verdicts}
        visits = self._visits(plan, verdicts)
        if not visits:
            return None
        rules = self.rules(plan, verdicts)
        preparations = {visit.key: self.preparation([items[key] for key in visit.items]) for visit in visits}
        visits = [self.limited(visit, preparations[visit.key], verdicts) for visit in visits]
        waiting = self._waiting(plan, verdicts)
        known = {item.key: item for item in self.snapshot.items if any(item.key in one.items for one in waiting)} | items
        constraints = self.constraints(plan, rules, known, exclude={visit.id for visit in freed})
        visits = [visit for visit in visits if not any(items[key].id in plan.unplaced for key in visit.items)]
        self.allocator.waiting = waiting
        result = self.allocator.allocate(visits, known, constraints, freed)
        plan.unplaced.update(result.unplaced)
        return [self.planned(found, items, preparations[found.visit.key], freed) for found in result.found]

    def _waiting(self, plan: Plan, verdicts: Sequence[Verdict]) -> tuple[Visit, ...]:
        """The encounter's visits behind a closed gate, where a department may look ahead for them; no rule hangs on it."""
        departments = {verdict.item.department for verdict in verdicts}
        if not any(self.rollout.chain(one, "allocate", self.snapshot.patient.id) for one in departments):
            return ()
        closed = [
            verdict
            for verdict in plan.verdicts
            if verdict.reason == "awaiting_gate"
            and verdict.item.appointment is None
            and verdict.item.encounter_id == verdicts[0].item.encounter_id
        ]
        by_key = {verdict.item.key: verdict.item for verdict in closed}
        return tuple(
            self.limited(visit, self.preparation([by_key[key] for key in visit.items]), closed)
            for department in sorted({item.department for item in by_key.values()})
            for visit in self.requirements(department, [item for item in by_key.values() if item.department == department])
            or ()
            if visit.options
        )

    def _visits(self, plan: Plan, verdicts: Sequence[Verdict]) -> list[Visit]:
        by_department: dict[str, list[Verdict]] = defaultdict(list)
        for verdict in verdicts:
            by_department[verdict.item.department].append(verdict)
        visits = []
        for department, group in by_department.items():
            answer = self.requirements(department, [verdict.item for verdict in group])
            if answer is None:
                plan.unplaced.update({verdict.item.id: "rule_unavailable" for verdict in group})
                continue
            for visit in answer:
                if visit.options:
                    visits.append(visit)
                else:
                    plan.unplaced.update({v.item.id: "no_resource" for v in group if v.item.key in visit.items})
        return visits

    def requirements(self, department: str, items: Sequence[OpenItem]) -> list[Visit] | None:
        """A department's visits, each as long as the slots that hold it; None: its rules are unavailable (closed)."""
        made = self._required(department, items)
        return None if made is None else [defaults.whole_slots(visit, self.snapshot.catalogue.groups) for visit in made]

    def _required(self, department: str, items: Sequence[OpenItem]) -> list[Visit] | None:
        orders = _orders(items)
        groups = {group.code: group for group in self.snapshot.catalogue.groups_of(department)}
        keys = [item.key for item in items]
        check = answers.about(answers.requirements, keys, groups)
        arguments = {
            "orders": orders,
            "patient": self.snapshot.patient,
            "groups": tuple(groups.values()),
            "evidence": self.snapshot.evidence,
            "now": self.now,
        }
        for link in self.rollout.chain(department, "requirements", self.snapshot.patient.id):
            answer = self._ask(link, "requirements", department, arguments, check)
            if answer.failure:
                return None
            if answer.value is not None:
                self.judge.watch(department, "requirements", arguments, [answer.value])
                return list(answer.value)
        visits = defaults.visits(items, self.rollout.intervals)
        self.judge.watch(department, "requirements", arguments, [visits])
        return visits

    def limited(self, visit: Visit, preparations: Sequence[Preparation], verdicts: Sequence[Verdict]) -> Visit:
        """The visit with its earliest and latest start: preparation, findings that delay, gates that run out."""
        own = [verdict for verdict in verdicts if verdict.item.key in visit.items]
        fasting = any(verdict.item.order.known("fasting") is True for verdict in own)
        reachable = self.now + max(self.hospital.settings.notice, lead(preparations, fasting))
        earliest = [reachable, self.not_before, *(filter(None, (visit.earliest, *(verdict.earliest for verdict in own))))]
        latest = list(filter(None, (visit.latest, *(verdict.gate_until for verdict in own))))
        return replace(visit, earliest=max(earliest), latest=min(latest) if latest else None)

    def preparation(self, items: Sequence[OpenItem]) -> tuple[Preparation, ...]:
        """What the patient must do before a visit, in the department's words or else the core's."""
        views = [item.view for item in items]
        context = {name: fact for item in items for name, fact in item.order.context.items()}
        arguments = {
            "items": views,
            "patient": self.snapshot.patient,
            "context": context,
            "evidence": self.snapshot.evidence,
            "now": self.now,
        }
        steps: list[Preparation] = []
        for link in self.rollout.chain(items[0].department, "preparation", self.snapshot.patient.id):
            answer = self._ask(link, "preparation", items[0].department, arguments, answers.preparation)
            steps += answer.value or ()
        self.judge.watch(items[0].department, "preparation", arguments, [steps])
        return tuple(steps or defaults.preparation(views))

    # Constraints

    def rules(self, plan: Plan, verdicts: Sequence[Verdict]) -> list[IntervalRule]:
        """The rules between exams for some items, kept with the plan; items whose rules failed are left unplaced."""
        departments = {verdict.item.department for verdict in verdicts}
        departments |= {exam.item.department for exam in self.snapshot.exams}
        rules, failed = self.interval_rules(departments)
        for verdict in verdicts:
            if verdict.item.department in failed:
                plan.unplaced[verdict.item.id] = "rule_unavailable"
        plan.rules += [rule for rule in rules if rule not in plan.rules]
        return rules

    def interval_rules(self, departments: Iterable[str]) -> tuple[list[IntervalRule], set[str]]:
        """The rules between exams that hold for this patient, and the departments whose rules failed."""
        return self.judge.interval_rules(departments, self.snapshot.patient, self.snapshot.context())

    def constraints(
        self, plan: Plan, rules: Sequence[IntervalRule], items: dict[str, OpenItem], exclude: set[int]
    ) -> Constraints:
        kept = [visit for visit in self.snapshot.visits if visit.id not in exclude]
        left_out = {visit.number for visit in self.snapshot.visits if visit.id in exclude}
        stretches = [Occupied(start, end, visit.zone) for visit in kept for start, end in visit.segments]
        stretches += [stretch for visit in plan.visits for stretch in visit.occupied]
        exams = [exam for exam in self.snapshot.exams if exam.appointment not in left_out]
        exams += [exam for visit in plan.visits for exam in _exams(visit)]
        return Constraints(
            self.calendar,
            self.days,
            {key: item.view for key, item in items.items()},
            rules,
            exams,
            stretches,
            self.snapshot.catalogue.walking,
            {key: frozenset(rule.rule for rule in rules if item.waives(rule)) for key, item in items.items()},
        )

    def planned(
        self,
        found: Found,
        items: dict[str, OpenItem],
        preparation: tuple[Preparation, ...],
        freed: Sequence[BookedVisit],
    ) -> PlannedVisit:
        """A visit with the time that was found for it, ready to be written."""
        visit, placement, proposal = found.visit, found.placement, found.proposal
        option = option_of(visit, placement)
        kept = tuple(occupied(visit, placement))
        own = tuple(items[key] for key in visit.items)
        mine = {item.appointment for item in own}
        return PlannedVisit(
            visit,
            option,
            placement.starts_at,
            max(stretch.ends_at for stretch in kept),
            own,
            preparation,
            {
                "code": proposal.code,
                "why": {"zh": proposal.reason.zh, "en": proposal.reason.en},
                "not_before": visit.earliest.isoformat() if visit.earliest else None,
                "proven": proposal.proven,
            },
            found.fallback,
            tuple(old for old in freed if old.id in mine),
            placement.segments,
            kept,
        )

    def _ask(self, link: Link, hook: str, department: str, arguments: dict[str, Any], check: Any) -> Answer:
        return self.hospital.dispatcher.ask(
            link.plugin, hook, department, {**arguments, **link.handed}, check, self.budget, link.problem
        )


def _together(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """Items of one encounter and one ordering department are planned together."""
    groups: dict[tuple[int, str], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        groups[verdict.item.encounter_id, verdict.item.order.ordering_department].append(verdict)
    return list(groups.values())


def _orders(items: Iterable[OpenItem]) -> list[Any]:
    """The orders of some items, each with just those items and the services that are booked automatically."""
    grouped: dict[str, list[OpenItem]] = defaultdict(list)
    for item in items:
        grouped[item.order.number].append(item)
    return [replace(group[0].order, items=tuple(_automatic(item) for item in group)) for group in grouped.values()]


def _automatic(item: OpenItem) -> Any:
    services = tuple(service for service in item.view.services if service.mode is BookingMode.AUTOMATIC)
    return replace(item.view, services=services)


def _exams(visit: PlannedVisit) -> list[Examination]:
    return [Examination(item.view.item, visit.starts_at, visit.ends_at, visit.visit.key) for item in visit.items]


def _nothing_later(visits: Sequence[PlannedVisit]) -> bool:
    return all(visit.starts_at <= old.starts_at for visit in visits for old in visit.replaces)
