"""Times by hand: starts to choose from, to book, to hold or to move an appointment to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from examlane.appointments import booking, desk, states, status, visits
from examlane.appointments.changes import by_id, fresh, may_change, tried
from examlane.appointments.status import AppointmentStatus
from examlane.capacity.availability import SlotCalendar
from examlane.domain import Text
from examlane.errors import Conflict, NotFound, Refused
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.orders.snapshot import OpenItem
from examlane.planning import gates
from examlane.planning.constraints import audiences, option_of
from examlane.planning.judging import BOOKED_OUTSIDE, LEFT_TO_PEOPLE
from examlane.planning.planner import Plan, Planner
from examlane.reasons import text
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch
from examlane.visit import Placement, Visit

NOT_BOOKABLE = Text("该项目目前不能预约", "this item cannot be booked now")
NOT_POSSIBLE = Text("该时间不符合检查要求，请另选", "this time does not meet the exam's requirements: choose another")
NO_PLACE = Text("今天已无空位，请到登记台", "no place is left today: please go to the desk")
BEFORE_START = Text("检查已开始，不能更改", "the exam has begun and can no longer be changed")
BY_HAND = ("department_manual", *LEFT_TO_PEOPLE)


@dataclass(frozen=True, slots=True)
class Time:
    """A start a visit may be given: the period shown, the place, and the start behind it."""

    starts_at: datetime
    period_starts_at: datetime
    period_ends_at: datetime
    group: str
    place: Text
    campus: str


@dataclass(frozen=True)
class _Choice:
    """A visit that is to be given a time by hand, with everything needed to check and write it."""

    planner: Planner
    plan: Plan
    visit: Visit
    items: tuple[OpenItem, ...]
    appointment: AppointmentStatus | None


def times(
    hospital: Hospital, *, items: Sequence[str] = (), appointment: str = "", days: int = 7, limit: int = 20,
    since: datetime | None = None,
) -> list[Time]:  # fmt: skip
    """The earliest starts for order items, or for moving an appointment: one a period and place."""
    choice = _choose(hospital, items, appointment)
    calendar = choice.planner.calendar
    availability = _availability(choice)
    found: dict[tuple[datetime, str], Time] = {}
    first = calendar.day_of(since or hospital.clock.now())
    for day in [day for day in choice.planner.days if day >= first][:days]:
        for option in choice.visit.options:
            bits = availability.starts(choice.visit, option, day)
            while bits:
                start = availability.instant(day, (bits & -bits).bit_length() - 1)
                bits &= bits - 1
                begins, ends = calendar.period(start)
                place = choice.planner.snapshot.catalogue.group_names[option.group]
                found.setdefault((begins, option.group), Time(start, begins, ends, option.group, place, option.campus))
    return sorted(found.values(), key=lambda time: time.starts_at)[:limit]


def book(
    hospital: Hospital, items: Sequence[str], group: str, starts_at: datetime, actor: Actor,
    key: RequestKey | None = None, *, hold: bool = False,
) -> AppointmentStatus:  # fmt: skip
    """Book order items at a chosen time, or hold it for some minutes. Raises `Refused` with the reason."""

    def attempt() -> int:
        choice = _choose(hospital, items, "")
        chosen = _checked(choice, group, starts_at)
        return hospital.database.write(partial(_create, hospital, choice, chosen, actor, key, hold))

    return by_id(hospital, tried(attempt))


def reschedule(
    hospital: Hospital, number: str, group: str, starts_at: datetime, actor: Actor, key: RequestKey | None = None, *,
    version: int | None = None, reason: str = "", by_patient: bool = True,
) -> AppointmentStatus:  # fmt: skip
    """Move an appointment: the same number, the next version, seats swapped in one transaction."""

    def attempt() -> int:
        may_change(hospital, status.appointment(hospital, number))
        choice = _choose(hospital, (), number)
        current = choice.appointment
        assert current is not None
        fresh(current, version)
        if current.state not in states.MOVABLE:
            states.check(current.state, "suspended")
            raise Conflict("state_conflict", BEFORE_START)
        chosen = _checked(choice, group, starts_at)
        write = partial(_move, hospital, choice, chosen, actor, key, reason or "rescheduled", by_patient)
        return hospital.database.write(write)

    return by_id(hospital, tried(attempt))


def take_next(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None, *, explanation: Mapping[str, Any],
    allowed: Callable[[AppointmentStatus], None], arrived: bool,
) -> AppointmentStatus:  # fmt: skip
    """Move a visit to the next free start of its group today. Who has `arrived` needs no notice and is checked in.

    `allowed` raises `Refused` unless the visit may be moved; it is asked again whenever the patient has changed
    meanwhile. Raises `Conflict` when no place is left today.
    """

    def attempt() -> int:
        choice = _choose(hospital, (), number, arrived=arrived)
        assert choice.appointment is not None
        allowed(choice.appointment)
        chosen = _next_today(choice, choice.appointment.group)
        write = partial(
            _move, hospital, choice, chosen, actor, key, str(explanation["code"]), not arrived, explanation, arrived
        )
        return hospital.database.write(write)

    return by_id(hospital, tried(attempt))


def _choose(hospital: Hospital, keys: Sequence[str], number: str, *, arrived: bool = False) -> _Choice:
    if arrived:  # he was told long ago and stands here
        hospital = replace(hospital, settings=replace(hospital.settings, notice=timedelta()))
    current = status.appointment(hospital, number) if number else None
    keys = current.items if current else keys
    patient = current.patient if current else _patient_of(hospital, keys)
    state = snapshot.read(hospital.database, hospital.catalogues, patient, hospital.clock.now())
    planner = Planner(hospital, state, hospital.clock.now())
    own = tuple(item for item in state.items if item.key in keys)
    plan = Plan(state, [verdict for verdict in planner.judge.verdicts(state) if verdict.item in own])
    _must_be_bookable(plan, own, moving=current is not None)
    visit = _visit(planner, plan, own, arrived)
    return _Choice(planner, plan, visit, own, current)


def _patient_of(hospital: Hospital, keys: Sequence[str]) -> int:
    for index, key in enumerate(keys):
        if not hospital.database.row("SELECT 1 FROM order_item WHERE key = ?", key):
            raise NotFound("order item", keys[index])
    if not keys:
        raise Refused("no_items", Text("未指定检查项目", "no order item named"), "/items")
    return int(hospital.database.value("SELECT patient_id FROM order_item WHERE key = ?", keys[0]))


def _must_be_bookable(plan: Plan, items: Sequence[OpenItem], *, moving: bool) -> None:
    if not items:
        raise Conflict("not_bookable", NOT_BOOKABLE, "/items")
    for index, verdict in enumerate(plan.verdicts):
        if verdict.item.release == BOOKED_OUTSIDE:  # no rule knows anything of it
            raise Refused("without_order", text("without_order"), f"/items/{index}")
        if (closed := gates.closed_for(gate.answer for gate in verdict.gates)) is not None:
            raise Refused("awaiting_gate", closed, f"/items/{index}")
        ready = verdict.bookable or verdict.reason in BY_HAND or (moving and verdict.state == "accepted")
        if not ready:
            raise Refused(verdict.reason, text(verdict.reason), f"/items/{index}")
        if verdict.item.appointment is not None and not moving:
            raise Conflict("already_booked", Text("该项目已预约", "this item is booked already"), f"/items/{index}")


def _visit(planner: Planner, plan: Plan, items: Sequence[OpenItem], prepared: bool) -> Visit:
    made = planner.requirements(items[0].department, items)
    if made is None or len(made) != 1 or not made[0].options:
        raise Refused("not_one_visit", Text("这些项目不能一次完成", "these items cannot be done in one visit"), "/items")
    return planner.limited(made[0], () if prepared else planner.preparation(items), plan.verdicts)


def _availability(choice: _Choice) -> SlotCalendar:
    planner, plan, current = choice.planner, choice.plan, choice.appointment
    rules, _failed = planner.interval_rules(
        {item.department for item in choice.items} | {exam.item.department for exam in planner.snapshot.exams}
    )
    plan.rules = rules
    own = [visit for visit in planner.snapshot.visits if current and visit.id == current.id]
    constraints = planner.constraints(plan, rules, {item.key: item for item in choice.items}, {v.id for v in own})
    encounter = choice.items[0].order.encounter.encounter_class
    return planner.allocator.availability(encounter, constraints, planner.allocator.seats_of(own))


def _checked(choice: _Choice, group: str, starts_at: datetime) -> Placement:
    """The chosen time with the starts of its segments; raises `Refused` when it does not meet the requirements."""
    option = next((option for option in choice.visit.options if option.group == group), None)
    if option is None:
        raise Refused("unknown_group", NOT_POSSIBLE, "/group")
    calendar = choice.planner.calendar
    day = calendar.day_of(starts_at)
    availability = _availability(choice)
    tick = calendar.tick(day, starts_at)
    on_grid = availability.instant(day, tick) == starts_at
    if not on_grid or day not in choice.planner.days or not availability.starts(choice.visit, option, day) >> tick & 1:
        raise Refused("time_not_possible", NOT_POSSIBLE, "/starts_at")
    return availability.settled(choice.visit, option, Placement(choice.visit.key, group, starts_at))


def _next_today(choice: _Choice, group: str) -> Placement:
    calendar = choice.planner.calendar
    today = calendar.day_of(choice.planner.now)
    availability = _availability(choice)
    for option in choice.visit.options:
        bits = availability.starts(choice.visit, option, today) if option.group == group else 0
        if bits:
            starts_at = availability.instant(today, (bits & -bits).bit_length() - 1)
            return availability.settled(choice.visit, option, Placement(choice.visit.key, group, starts_at))
    raise Conflict("no_place_today", NO_PLACE)


def _create(
    hospital: Hospital, choice: _Choice, chosen: Placement, actor: Actor, key: RequestKey | None, hold: bool
) -> int:  # fmt: skip
    database, state, now = hospital.database, choice.planner.snapshot, hospital.clock.now()
    number = visits.new_number()
    receipts.keep(database, key, "appointment", number, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    seats = audiences(choice.items[0].order.encounter.encounter_class, hospital.settings, now)
    option = option_of(choice.visit, chosen)
    place = visits.bind(database, state.catalogue, option, chosen.starts_at, seats, chosen.segments)
    data = visits.Booking(
        patient=state.patient.id,
        encounter=choice.items[0].encounter_id,
        department=choice.visit.department,
        items=tuple(item.id for item in choice.items),
        state="held" if hold else "booked",
        automatic=False,
        hold_expires_at=epoch(now + hospital.settings.hold) if hold else None,
        preparation=dump(booking.preparation_as_data(choice.planner.preparation(choice.items))),
        explanation=dump({"code": "chosen", "why": {"zh": "按选择的时间", "en": "at the chosen time"}}),
        evidence=dump({"rollout": state.rollout_version, "chosen_by": actor.name}),
        reason="chosen",
    )
    appointment, _ = visits.create(database, state.catalogue, place, data, actor, now, number=number)
    _written(hospital, choice, appointment, actor)
    return appointment


def _written(hospital: Hospital, choice: _Choice, appointment: int, actor: Actor) -> None:
    """What follows once items have their time: the desk has nothing to do for them, their distances are owed."""
    database, now = hospital.database, hospital.clock.now()
    for item in choice.items:
        desk.close_tasks(database, item.id, "", actor.name, now)
        database.rows("UPDATE order_item SET reason = 'booked' WHERE id = ? RETURNING id", item.id)
    booking.store_intervals(hospital, choice.plan, [(appointment, choice.items)])


def _move(
    hospital: Hospital, choice: _Choice, chosen: Placement, actor: Actor, key: RequestKey | None, reason: str,
    by_patient: bool, explanation: Mapping[str, Any] | None = None, arrived: bool = False,
) -> int:  # fmt: skip
    database, state, now = hospital.database, choice.planner.snapshot, hospital.clock.now()
    current = choice.appointment
    assert current is not None
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    visits.release_claims(database, current.id, now)
    seats = audiences(choice.items[0].order.encounter.encounter_class, hospital.settings, now)
    option = option_of(choice.visit, chosen)
    place = visits.bind(database, state.catalogue, option, chosen.starts_at, seats, chosen.segments)
    visits.move(
        database, state.catalogue, current.id, current.version, place, current.state, actor, now, reason=reason,
        by_patient=by_patient, evidence=dump({"rollout": state.rollout_version}),
        explanation=dump(dict(explanation)) if explanation else None,
    )  # fmt: skip
    _written(hospital, choice, current.id, actor)
    if arrived:
        visits.change_state(
            database, current.id, current.version + 1, "booked", "checked_in", actor, now, reason="arrived"
        )
    return current.id
