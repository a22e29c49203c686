"""Asking for times: the ordering department with everything, executing departments, at last the core's earliest.

Every proposal is checked against requirements, free seats, distances and overlaps, whoever made it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from examlane.capacity import slots
from examlane.capacity.availability import Foreseen, SlotCalendar
from examlane.domain import EncounterClass, Examination, IntervalRule, Relation
from examlane.errors import StalePlan
from examlane.extension import answers
from examlane.extension.dispatch import Answer, Budget
from examlane.extension.rollout import CORE, Link, Rollout
from examlane.hospital import Hospital
from examlane.orders import intervals
from examlane.orders.snapshot import OpenItem, Snapshot
from examlane.orders.snapshot import Visit as BookedVisit
from examlane.planning.constraints import Constraints, audiences, occupied, option_of
from examlane.planning.judging import Judge
from examlane.reasons import REASONS
from examlane.storage.fields import epoch, instant
from examlane.visit import TICK_MINUTES, BookingRequest, Infeasible, Placement, Proposal, Visit

EXTRA = "emergency_extra"
TOGETHER = "together"
TRIES = 150
"""How many starts of the first of several visits are tried before each is left to itself."""


@dataclass(frozen=True, slots=True)
class Found:
    """A time for a visit, the proposal it came with, and whether a plugin failed on the way (fallback)."""

    visit: Visit
    placement: Placement
    proposal: Proposal
    fallback: bool


@dataclass
class Allocation:
    """What came of asking: times, and the visits' items for which there is none, with the reason."""

    found: list[Found] = field(default_factory=list)
    unplaced: dict[int, str] = field(default_factory=dict)
    failed: bool = False


class Allocator:
    """Asks the chains of one snapshot for times."""

    def __init__(
        self,
        hospital: Hospital,
        snapshot: Snapshot,
        rollout: Rollout,
        judge: Judge,
        budget: Budget,
        days: Sequence[date],
        now: datetime,
    ) -> None:
        self._hospital = hospital
        self._snapshot = snapshot
        self._rollout = rollout
        self._judge = judge
        self._budget = budget
        self._days = days
        self._now = now
        self._calendar = snapshot.catalogue.calendar
        self.waiting: tuple[Visit, ...] = ()
        """Visits behind a closed gate, for whoever looks ahead."""
        self.foreseen: Foreseen | None = None
        """How slots would look, for a plan that is only shown."""

    def allocate(
        self,
        visits: Sequence[Visit],
        items: Mapping[str, OpenItem],
        constraints: Constraints,
        freed: Sequence[BookedVisit],
    ) -> Allocation:
        """Times for visits of one encounter; what `freed` holds counts as free."""
        result = Allocation()
        seats = self.seats_of(freed)
        waiting = self._ask_whole(result, visits, items, constraints, seats)
        whole_failed = result.failed
        for group in _linked(_in_order(waiting, constraints, constraints.rules), constraints):
            result.failed = whole_failed
            found = self._together(group, items, self._with(result, constraints), seats) if len(group) > 1 else []
            result.found += found
            for visit in () if found else group:
                result.failed = whole_failed
                self._ask_single(result, visit, items, self._with(result, constraints), seats)
        return result

    def _with(self, result: Allocation, constraints: Constraints) -> Constraints:
        return _after(constraints, result.found, self.availability(EncounterClass.OUTPATIENT, constraints))

    def _together(
        self,
        visits: Sequence[Visit],
        items: Mapping[str, OpenItem],
        constraints: Constraints,
        seats: Mapping[int, int],
    ) -> list[Found]:
        """Times for visits that a rule draws together: the first one's earliest that the others can follow, or none."""
        first, *others = visits
        encounter = items[first.items[0]].order.encounter.encounter_class
        availability = self.availability(encounter, constraints, seats)
        lower = self._now + self._hospital.settings.notice
        for _ in range(TRIES):
            head = availability.earliest(first, lower)
            if head is None:
                return []
            placed = [(first, head)]
            for visit in others:
                following = self._following(visit, placed, constraints, encounter, seats)
                if following is None:
                    break
                placed.append((visit, following))
            if len(placed) == len(visits) and self._keeps_rules(placed, availability, constraints):
                proposal = Proposal(tuple(one for _, one in placed), REASONS[TOGETHER], TOGETHER)
                return [Found(visit, one, proposal, False) for visit, one in placed]
            lower = self._next_try(head, constraints)
        return []

    def _next_try(self, head: Placement, constraints: Constraints) -> datetime:
        """The next start where a lag may fit at another hour, the next day where only the day counts."""
        if any(rule.relation is Relation.LAG for rule in constraints.rules):
            return head.starts_at + timedelta(minutes=TICK_MINUTES)
        return self._calendar.midnight(self._calendar.day_of(head.starts_at) + timedelta(days=1))

    def _following(
        self,
        visit: Visit,
        placed: Sequence[tuple[Visit, Placement]],
        constraints: Constraints,
        encounter: EncounterClass,
        seats: Mapping[int, int],
    ) -> Placement | None:
        proposal = Proposal((), REASONS[TOGETHER], TOGETHER)
        found = [Found(each, one, proposal, False) for each, one in placed]
        later = _after(constraints, found, self.availability(encounter, constraints))
        availability = self.availability(encounter, later, seats)
        return availability.earliest(visit, self._now + self._hospital.settings.notice)

    def availability(
        self, encounter: EncounterClass, constraints: Constraints, freed: Mapping[int, int] | None = None
    ) -> SlotCalendar:
        """The read-only calendar for one class of patients under some constraints."""
        return SlotCalendar(
            self._hospital.database,
            self._snapshot.catalogue,
            self._calendar,
            audiences(encounter, self._hospital.settings, self._now),
            self._days,
            self._now + self._hospital.settings.notice,
            constraints.forbidden,
            freed,
            self.foreseen,
        )

    def _ask_whole(
        self,
        result: Allocation,
        visits: Sequence[Visit],
        items: Mapping[str, OpenItem],
        constraints: Constraints,
        seats: Mapping[int, int],
    ) -> Sequence[Visit]:
        """Ask the ordering department with everything; what it declines is left for the others."""
        if not visits:
            return []
        first = items[visits[0].items[0]]
        links = self._rollout.chain(first.order.ordering_department, "allocate", self._snapshot.patient.id)
        for link in links:
            request = self._request(visits, items, constraints, link)
            said = self._proposal(result, link, first.order.ordering_department, request, constraints, seats)
            if isinstance(said, Infeasible):
                result.unplaced.update({items[key].id: said.code for visit in visits for key in visit.items})
                return []
            if said is not None:
                placed = {placement.visit: placement for placement in said.placements}
                result.found += [
                    Found(visit, placed[visit.key], said, result.failed) for visit in visits if visit.key in placed
                ]
                return [visit for visit in visits if visit.key not in placed]
        return visits

    def _ask_single(
        self,
        result: Allocation,
        visit: Visit,
        items: Mapping[str, OpenItem],
        constraints: Constraints,
        seats: Mapping[int, int],
    ) -> None:
        core = Link(self._hospital.plugins.loaded[CORE])
        for link in [*self._rollout.chain(visit.department, "allocate", self._snapshot.patient.id), core]:
            request = self._request([visit], items, constraints, link)
            said = self._proposal(result, link, visit.department, request, constraints, seats)
            if isinstance(said, Infeasible):
                break
            if said is not None and not self._too_late(said.placements[0], request):
                self._judge.watch(visit.department, "allocate", {"request": request}, [[said]])
                result.found.append(Found(visit, said.placements[0], said, result.failed))
                return
        if (extra := self._extra_place(visit, items, constraints)) is not None:
            proposal = Proposal((extra,), REASONS[EXTRA], EXTRA)
            result.found.append(Found(visit, extra, proposal, result.failed))
            return
        code = said.code if isinstance(said, Infeasible) else "no_time"
        result.unplaced.update({items[key].id: code for key in visit.items})

    def _too_late(self, placement: Placement, request: BookingRequest) -> bool:
        """An emergency does not wait for the next free seat."""
        emergency = request.encounter.encounter_class is EncounterClass.EMERGENCY
        return emergency and placement.starts_at > self._soon(request.visits[0])

    def _soon(self, visit: Visit) -> datetime:
        """Until when an emergency can be held: some hours from when its preparation allows it."""
        return max(filter(None, (self._now, visit.earliest))) + self._hospital.settings.emergency_within

    def _extra_place(self, visit: Visit, items: Mapping[str, OpenItem], constraints: Constraints) -> Placement | None:
        """The first rostered start for an emergency, full or not: it gets an audited extra seat, nobody is moved."""
        if items[visit.items[0]].order.encounter.encounter_class is not EncounterClass.EMERGENCY:
            return None
        lower = max(filter(None, (self._now, visit.earliest)))
        upper = self._soon(visit)
        found = []
        for option in visit.options:
            resources = self._snapshot.catalogue.resources(option.group)
            windows = constraints.forbidden(visit, option)
            rows = slots.rostered_between(self._hospital.database, resources, epoch(lower), epoch(upper))
            starts = (instant(row.start_at) for row in rows)
            free = (start for start in starts if not any(since < start < until for since, until in windows))
            found += [Placement(visit.key, option.group, start) for start in free][:1]
        return min(found, key=lambda placement: placement.starts_at, default=None)

    def _proposal(
        self,
        result: Allocation,
        link: Link,
        department: str,
        request: BookingRequest,
        constraints: Constraints,
        seats: Mapping[int, int],
    ) -> Proposal | Infeasible | None:
        """The first proposal of a plugin that keeps every rule, its refusal, or None; failures are noted."""
        availability = self.availability(request.encounter.encounter_class, constraints, seats)
        arguments = {"request": request, "availability": availability, **link.handed}
        answer = self._ask(link, department, arguments, answers.about(answers.proposals, request))
        if isinstance(answer.value, Infeasible):
            return answer.value
        for proposal in answer.value or ():
            placed = self._placed(proposal, request, availability)
            if self._keeps_rules(placed, availability, constraints):
                return replace(proposal, placements=tuple(placement for _, placement in placed))  # type: ignore[no-any-return]
        if link.plugin.trusted and answer.value:
            raise StalePlan("a seat was lost while its time was checked")
        result.failed |= bool(answer.failure) or answer.value is not None
        return None

    def _placed(
        self, proposal: Proposal, request: BookingRequest, availability: SlotCalendar
    ) -> list[tuple[Visit, Placement]]:
        """The visits of a proposal with their placements, segments with free gaps at fixed times."""
        visits = {visit.key: visit for visit in request.visits}
        pairs = [(visits[placement.visit], placement) for placement in proposal.placements]
        return [(visit, availability.settled(visit, option_of(visit, one), one)) for visit, one in pairs]

    def _keeps_rules(
        self, placed: Sequence[tuple[Visit, Placement]], availability: SlotCalendar, constraints: Constraints
    ) -> bool:
        """Check a proposal, the core's own included: free seats, limits, distances, overlaps and walking."""
        return all(
            availability.allows(visit, option_of(visit, placement), placement) for visit, placement in placed
        ) and self._apart(placed, availability, constraints)

    def _apart(
        self, placed: Sequence[tuple[Visit, Placement]], availability: SlotCalendar, constraints: Constraints
    ) -> bool:
        stretches = sorted(
            (stretch for visit, placement in placed for stretch in occupied(visit, placement)),
            key=lambda stretch: stretch.starts_at,
        )
        for one, two in pairwise(stretches):
            if two.starts_at - one.ends_at < timedelta(minutes=constraints.walking.get((one.zone, two.zone), 0)):
                return False
        exams = [
            Examination(item, placement.starts_at, availability.ends_at(visit, placement), visit.key)
            for visit, placement in placed
            for item in constraints.exam_items(visit)
        ]
        found = intervals.broken(constraints.rules, exams, self._calendar)
        found += intervals.crowded(constraints.rules, [*constraints.exams, *exams], {visit.key for visit, _ in placed})
        return not any(
            first.appointment != second.appointment and not constraints.sets_aside(rule, first, second)
            for rule, first, second in found
        )

    def _request(
        self, visits: Sequence[Visit], items: Mapping[str, OpenItem], constraints: Constraints, link: Link
    ) -> BookingRequest:
        first = items[visits[0].items[0]]
        department = self._snapshot.catalogue.departments.get(first.order.ordering_department)
        encounter = first.order.encounter
        if not encounter.campus and department is not None:
            encounter = replace(encounter, campus=department.campus)
        waived = frozenset[str]().union(*(constraints.waived(visit.key) for visit in visits))
        return BookingRequest(
            patient=self._snapshot.patient,
            encounter=encounter,
            ordering_department=first.order.ordering_department,
            visits=tuple(visits),
            fixed=tuple(constraints.exams),
            not_before=self._now + self._hospital.settings.notice,
            horizon=self._days[-1],
            items={key: items[key].view for visit in (*visits, *self.waiting) for key in visit.items},
            waiting=self.waiting,
            walking=constraints.walking,
            settings={"other_campus_days": self._hospital.settings.other_campus_days, **link.settings},
            intervals=tuple(intervals.enforced(constraints.rules, waived)),
        )

    def seats_of(self, visits: Sequence[BookedVisit]) -> dict[int, int]:
        """The seats that some of the patient's visits hold."""
        seats: dict[int, int] = defaultdict(int)
        for visit in visits:
            for slot, number in self._hospital.database.rows(
                "SELECT slot_id, seats FROM claim WHERE appointment_id = ? AND released_at IS NULL", visit.id
            ):
                seats[slot] += number
        return dict(seats)

    def _ask(self, link: Link, department: str, arguments: dict[str, Any], check: Any) -> Answer:
        return self._hospital.dispatcher.ask(
            link.plugin, "allocate", department, arguments, check, self._budget, link.problem
        )


def _after(constraints: Constraints, found: Sequence[Found], availability: SlotCalendar) -> Constraints:
    exams, stretches = [], []
    for visit, placement in ((each.visit, each.placement) for each in found):
        end = availability.ends_at(visit, placement)
        exams += [Examination(item, placement.starts_at, end, visit.key) for item in constraints.exam_items(visit)]
        stretches += occupied(visit, placement)
    return constraints.with_exams(exams, stretches)


def _in_order(visits: Iterable[Visit], constraints: Constraints, rules: Sequence[IntervalRule]) -> list[Visit]:
    """Fasting visits first, and the ones that a rule puts before others before them."""
    waiting = sorted(visits, key=lambda visit: not visit.fasting)
    ordered: list[Visit] = []
    while waiting:
        free = next((v for v in waiting if not any(_precedes(o, v, constraints, rules) for o in waiting)), waiting[0])
        waiting.remove(free)
        ordered.append(free)
    return ordered


def _linked(visits: Sequence[Visit], constraints: Constraints) -> list[list[Visit]]:
    """The visits in their order, those that a rule draws together in one group."""
    groups: list[list[Visit]] = []
    for visit in visits:
        drawn = [group for group in groups if any(_drawn(visit, other, constraints) for other in group)]
        merged = [other for group in drawn for other in group] + [visit]
        kept = [group for group in groups if group not in drawn]
        groups = [*kept, merged]
    return groups


def _drawn(one: Visit, two: Visit, constraints: Constraints) -> bool:
    rules = intervals.enforced(constraints.rules, constraints.waived(one.key) | constraints.waived(two.key))
    drawing = [rule for rule in rules if rule.relation in intervals.TOGETHER]
    return bool(intervals.distances(drawing, constraints.exam_items(one), constraints.exam_items(two)))


def _precedes(first: Visit, second: Visit, constraints: Constraints, rules: Sequence[IntervalRule]) -> bool:
    return first is not second and any(
        any(rule.first.matches(item) for item in constraints.exam_items(first))
        and any(rule.second.matches(item) for item in constraints.exam_items(second))
        for rule in rules
        if rule.relation in (Relation.EXCLUDE, Relation.BEFORE, Relation.LAG) and rule.first != rule.second
    )
