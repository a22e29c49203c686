"""A visit that is to be given a time by hand: whether it may be, which times keep its rules, and how one is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from examlane.appointments import desk, distances, evidence, places, status, visits
from examlane.appointments.changes import ENTER_QUEUE, keep_back
from examlane.appointments.status import AppointmentStatus, ItemStatus
from examlane.capacity import withheld
from examlane.capacity.availability import SlotCalendar
from examlane.domain import FindingKind, Text
from examlane.errors import Conflict, NotFound, Objection, Refused
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.orders.snapshot import OpenItem, Snapshot
from examlane.orders.snapshot import Visit as BookedVisit
from examlane.planning import gates
from examlane.planning.constraints import Constraints, audiences, option_of
from examlane.planning.judging import BOOKED_OUTSIDE, LEFT_TO_PEOPLE, Verdict, may_be_restricted
from examlane.planning.planner import Plan, Planner
from examlane.reasons import text
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch
from examlane.visit import Placement, Visit, VisitOption

NOT_BOOKABLE = Text("该项目目前不能预约", "this item cannot be booked now")
ALREADY_BOOKED = Text("该项目已预约", "this item is booked already")
NOT_POSSIBLE = Text("该时间不符合检查要求，请另选", "this time does not meet the exam's requirements: choose another")
NO_PLACE = Text("今天已无空位，请到登记台", "no place is left today: please go to the desk")
STOPPED = {"rejected": FindingKind.BLOCK, "needs_confirmation": FindingKind.CONFIRM}
"""What was found of an item that is in a state in which it gets no time."""
BY_HAND = ("department_manual", "restricted", *LEFT_TO_PEOPLE)


@dataclass(frozen=True)
class Choice:
    """A visit that is to be given a time by hand, with everything needed to check and write it.

    `offered` seats are withheld for it; `claim` gives them out, in the transaction and after the patient is taken.
    """

    planner: Planner
    plan: Plan
    visit: Visit
    items: tuple[OpenItem, ...]
    appointment: AppointmentStatus | None
    offered: Mapping[int, int] = field(default_factory=dict)
    claim: Callable[[], None] = lambda: None


def choose(
    hospital: Hospital,
    keys: Sequence[str],
    number: str,
    *,
    arrived: bool = False,
    prepared: bool = False,
    desk: bool = False,
) -> Choice:
    """Order items, or an appointment by its number, as one visit. Raises `Refused` where it may not be given a time.

    Who has `arrived` needs no notice; who is `prepared` need not begin anew; the `desk` may book what patients may not.
    """
    if arrived:  # he was told long ago and stands here
        hospital = replace(hospital, settings=replace(hospital.settings, notice=timedelta()))
    current = status.appointment(hospital, number) if number else None
    keys = current.items if current else keys
    patient = current.patient if current else patient_of(hospital, keys)
    state = snapshot.read(hospital.database, hospital.catalogues, patient, hospital.clock.now())
    planner = Planner(hospital, state, hospital.clock.now())
    own = tuple(item for item in state.items if item.key in keys)
    plan = Plan(state, [verdict for verdict in planner.judge.verdicts(state) if verdict.item in own])
    places = {} if current else {key: f"/items/{index}" for index, key in enumerate(keys)}
    missing = set(keys) - {item.key for item in own}
    absent = _absent(hospital, patient, missing, places) if missing and not (current and own) else []
    _must_be_bookable(plan, own, places, absent, desk=desk)
    visit = _visit(planner, plan, own, arrived or prepared)
    return Choice(planner, plan, visit, own, current)


def at_the_desk_only(snapshot: Snapshot, items: Sequence[OpenItem]) -> bool:
    """Whether the patient missed visits so often that only the desk books some of these items."""
    return any(item.department in snapshot.restricted and may_be_restricted(item) for item in items)


def patient_of(hospital: Hospital, keys: Sequence[str]) -> int:
    """The patient of order items by their keys. Raises `NotFound`, and `Refused` for none."""
    for index, key in enumerate(keys):
        if not hospital.database.row("SELECT 1 FROM order_item WHERE key = ?", key):
            raise NotFound("order item", keys[index])
    if not keys:
        raise Refused("no_items", Text("未指定检查项目", "no order item named"), "/items")
    return int(hospital.database.value("SELECT patient_id FROM order_item WHERE key = ?", keys[0]))


def _absent(hospital: Hospital, patient: int, missing: Set[str], places: Mapping[str, str]) -> list[Objection]:
    """What keeps items from a time that are not open: a rule stopped them, they are over, or they are another patient's."""
    stopped = {
        item.key: _stopped(item, places.get(item.key, ""))
        for item in status.of_patient(hospital, patient)
        if item.key in missing and item.state in STOPPED
    }
    over = [
        Objection("not_bookable", NOT_BOOKABLE, place) for key, place in places.items() if key in missing - stopped.keys()
    ]
    return [*(each for said in stopped.values() for each in said), *over]


def _stopped(item: ItemStatus, pointer: str) -> list[Objection]:
    said = [
        Objection(item.state, Text(**finding["text"]), pointer, finding["rule"] or finding["code"])
        for finding in item.findings
        if finding["kind"] == STOPPED[item.state]
    ]
    return said or [Objection(item.state, item.message, pointer)]


def _must_be_bookable(
    plan: Plan, items: Sequence[OpenItem], places: Mapping[str, str], absent: Sequence[Objection], *, desk: bool
) -> None:
    """Raise `Refused` with everything that keeps items from a time; `places` of those named, none of a visit that moves."""
    if plan.snapshot.died or not (items or absent):
        raise Conflict("not_bookable", NOT_BOOKABLE, "/items")
    if places and not desk and at_the_desk_only(plan.snapshot, items):
        raise Refused("restricted", text("restricted"), "/items")
    against = (each for verdict in plan.verdicts for each in _against(verdict, places.get(verdict.item.key, "")))
    if found := [*absent, *against]:
        raise Refused.by(found)
    for verdict in plan.verdicts:
        if verdict.item.appointment is not None and places:
            raise Conflict("already_booked", ALREADY_BOOKED, places[verdict.item.key])


def _against(verdict: Verdict, pointer: str) -> list[Objection]:
    """What keeps an item from a time; one that has no pointer is not named, but moves with its visit."""
    if verdict.item.release == BOOKED_OUTSIDE:  # no rule knows anything of it
        return [Objection("without_order", text("without_order"), pointer)]
    if closed := gates.objections([gate.answer for gate in verdict.gates], pointer):
        return closed
    if verdict.bookable or verdict.reason in BY_HAND or (not pointer and verdict.state == "accepted"):
        return []
    kind = STOPPED.get(verdict.reason)
    said = [
        Objection(verdict.reason, finding.text, pointer, finding.rule or finding.code)
        for finding in verdict.findings
        if finding.kind == kind
    ]
    return said or [Objection(verdict.reason, text(verdict.reason), pointer)]


def _visit(planner: Planner, plan: Plan, items: Sequence[OpenItem], prepared: bool) -> Visit:
    made = planner.requirements(items[0].department, items)
    if made is None or len(made) != 1 or not made[0].options:
        raise Refused("not_one_visit", Text("这些项目不能一次完成", "these items cannot be done in one visit"), "/items")
    return planner.limited(made[0], () if prepared else planner.preparation(items), plan.verdicts)


def constraints_of(choice: Choice) -> Constraints:
    """What the patient's other exams forbid; the visit's own present time does not count."""
    planner, plan = choice.planner, choice.plan
    rules, _failed = planner.interval_rules(
        {item.department for item in choice.items} | {exam.item.department for exam in planner.snapshot.exams}
    )
    plan.rules = rules
    return planner.constraints(plan, rules, {item.key: item for item in choice.items}, {v.id for v in _own(choice)})


def _own(choice: Choice) -> list[BookedVisit]:
    current = choice.appointment
    return [visit for visit in choice.planner.snapshot.visits if current and visit.id == current.id]


def availability_of(choice: Choice) -> SlotCalendar:
    """The free starts; the seats that the visit has now, and those it is offered, count as free."""
    constraints, allocator = constraints_of(choice), choice.planner.allocator
    encounter = choice.items[0].order.encounter.encounter_class
    seats = Counter(allocator.seats_of(_own(choice))) + Counter(choice.offered)
    return allocator.availability(encounter, constraints, seats)


def checked(choice: Choice, group: str, starts_at: datetime) -> Placement:
    """The chosen time with the starts of its segments; raises `Refused` when it does not meet the requirements."""
    option = next((option for option in choice.visit.options if option.group == group), None)
    if option is None:
        raise Refused("unknown_group", NOT_POSSIBLE, "/group")
    calendar = choice.planner.calendar
    day = calendar.day_of(starts_at)
    availability = availability_of(choice)
    tick = calendar.tick(day, starts_at)
    on_grid = availability.instant(day, tick) == starts_at
    if not on_grid or day not in choice.planner.days or not availability.starts(choice.visit, option, day) >> tick & 1:
        raise _not_possible(choice, option, starts_at)
    return availability.settled(choice.visit, option, Placement(choice.visit.key, group, starts_at))


def _not_possible(choice: Choice, option: VisitOption, starts_at: datetime) -> Refused:
    rules = constraints_of(choice).against(choice.visit, option, starts_at)
    said = [Objection("time_not_possible", rule.text, "/starts_at", rule.rule) for rule in rules]
    return Refused.by(said or [Objection("time_not_possible", NOT_POSSIBLE, "/starts_at")])


def next_today(choice: Choice, group: str) -> Placement:
    """The next start of a group today. Raises `Conflict` when there is none."""
    calendar = choice.planner.calendar
    today = calendar.day_of(choice.planner.now)
    availability = availability_of(choice)
    for option in choice.visit.options:
        bits = availability.starts(choice.visit, option, today) if option.group == group else 0
        if bits:
            starts_at = availability.instant(today, (bits & -bits).bit_length() - 1)
            return availability.settled(choice.visit, option, Placement(choice.visit.key, group, starts_at))
    raise Conflict("no_place_today", NO_PLACE)


def create(
    hospital: Hospital, choice: Choice, chosen: Placement, actor: Actor, key: RequestKey | None, hold: bool,
    explanation: Mapping[str, Any],
) -> int:  # fmt: skip
    """Write a new appointment, in the caller's write transaction; returns its id."""
    database, state, now = hospital.database, choice.planner.snapshot, hospital.clock.now()
    number = visits.new_number()
    receipts.keep(database, key, "appointment", number, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    choice.claim()
    seats = audiences(choice.items[0].order.encounter.encounter_class, hospital.settings, now)
    option = option_of(choice.visit, chosen)
    place = places.bind(database, state.catalogue, option, chosen.starts_at, seats, chosen.segments)
    data = visits.Booking(
        patient=state.patient.id,
        encounter=choice.items[0].encounter_id,
        department=choice.visit.department,
        items=tuple(item.id for item in choice.items),
        state="held" if hold else "booked",
        automatic=False,
        hold_expires_at=epoch(now + hospital.settings.hold) if hold else None,
        preparation=dump(evidence.preparation_as_data(choice.planner.preparation(choice.items))),
        explanation=dump(dict(explanation)),
        evidence=dump({"rollout": state.rollout_version, "chosen_by": actor.name}),
        reason=explanation["code"],
    )
    appointment, _ = visits.create(database, state.catalogue, place, data, actor, now, number=number)
    written(hospital, choice, appointment, actor)
    return appointment


def written(hospital: Hospital, choice: Choice, appointment: int, actor: Actor) -> None:
    """What follows once items have their time: the desk has nothing to do for them, their distances are owed."""
    database, now = hospital.database, hospital.clock.now()
    for item in choice.items:
        desk.close_tasks(database, item.id, "", actor.name, now)
        database.rows("UPDATE order_item SET reason = 'booked' WHERE id = ? RETURNING id", item.id)
    distances.store(hospital, choice.plan, [(appointment, choice.items)])


def move(
    hospital: Hospital, choice: Choice, chosen: Placement, actor: Actor, key: RequestKey | None, reason: str,
    by_patient: bool, explanation: Mapping[str, Any] | None = None, arrived: bool = False, *, at_once: bool = False,
) -> int:  # fmt: skip
    """Write an appointment's new time, in the caller's write transaction; returns its id. Raises `StalePlan`."""
    database, state, now = hospital.database, choice.planner.snapshot, hospital.clock.now()
    current = choice.appointment
    assert current is not None
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    choice.claim()
    held = withheld.seats_of(database, current.id)
    visits.release_claims(database, current.id, now)
    seats = audiences(choice.items[0].order.encounter.encounter_class, hospital.settings, now)
    option = option_of(choice.visit, chosen)
    place = places.bind(database, state.catalogue, option, chosen.starts_at, seats, chosen.segments)
    visits.move(
        database, state.catalogue, current.id, current.version, place, current.state, actor, now, reason=reason,
        by_patient=by_patient, evidence=dump({"rollout": state.rollout_version}),
        explanation=dump(dict(explanation)) if explanation else None,
    )  # fmt: skip
    keep_back(hospital, current, held, "moved", delayed=by_patient and not at_once)
    written(hospital, choice, current.id, actor)
    return arrives(hospital, current.id, current.version + 1, actor) if arrived else current.id


def arrives(hospital: Hospital, appointment: int, version: int, actor: Actor) -> int:
    """Check in whoever was given his time because he is here."""
    database, now = hospital.database, hospital.clock.now()
    visits.change_state(database, appointment, version, "booked", "checked_in", actor, now, reason="arrived")
    database.rows(ENTER_QUEUE, epoch(now), appointment)
    return appointment
