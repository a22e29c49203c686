"""Times by hand: starts to choose from, to book, to hold or to move an appointment to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any

from examlane.appointments import booking, desk, states, status, visits
from examlane.appointments.changes import ENTER_QUEUE, by_id, fresh, keep_back, may_change, tried
from examlane.appointments.status import AppointmentStatus
from examlane.capacity import slots, withheld
from examlane.capacity.availability import Foreseen, SlotCalendar, Window, ticks_of
from examlane.domain import EncounterClass, Text
from examlane.errors import Conflict, NotFound, Refused, SlotTaken
from examlane.hospital import Hospital
from examlane.orders import patients, snapshot
from examlane.orders.snapshot import OpenItem, Snapshot
from examlane.orders.snapshot import Visit as BookedVisit
from examlane.planning import gates
from examlane.planning.constraints import Constraints, audiences, lead, option_of
from examlane.planning.judging import BOOKED_OUTSIDE, LEFT_TO_PEOPLE, may_be_restricted
from examlane.planning.planner import Plan, Planner
from examlane.reasons import text
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch, instant
from examlane.visit import Placement, Visit, VisitOption

NOT_BOOKABLE = Text("该项目目前不能预约", "this item cannot be booked now")
NOT_POSSIBLE = Text("该时间不符合检查要求，请另选", "this time does not meet the exam's requirements: choose another")
NO_PLACE = Text("今天已无空位，请到登记台", "no place is left today: please go to the desk")
BEFORE_START = Text("检查已开始，不能更改", "the exam has begun and can no longer be changed")
BY_HAND = ("department_manual", "restricted", *LEFT_TO_PEOPLE)

CHOSEN: Mapping[str, Any] = {"code": "chosen", "why": {"zh": "按选择的时间", "en": "at the chosen time"}}
CAME_TODAY: Mapping[str, Any] = {
    "code": "came_today", "why": {"zh": "到院后安排最近空位", "en": "came without a time: the next free place"},
}  # fmt: skip
ADD_ON: Mapping[str, Any] = {"code": "add_on", "why": {"zh": "登记台加号", "en": "an extra seat, given at the desk"}}
ADD_ONS = """SELECT count(*) FROM appointment a JOIN appointment_version v ON v.appointment_id = a.id AND v.version = 1
WHERE a.group_id = ? AND a.day = ? AND v.reason = 'add_on'"""
ADD_ONS_USED_UP = Text("今日加号已用完", "no more seats may be added here today")
WAITED: Mapping[str, Any] = {
    "code": "waiting_list",
    "why": {"zh": "候补到空出的时间", "en": "a time that came free, from the waiting list"},
}


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


def times(
    hospital: Hospital, *, items: Sequence[str] = (), appointment: str = "", days: int = 7, limit: int = 20,
    since: datetime | None = None, desk: bool = False,
) -> list[Time]:  # fmt: skip
    """The earliest starts for order items, or for moving an appointment: one a period and place.

    The `desk` may book more than patients may.
    """
    choice = _choose(hospital, items, appointment, desk=desk)
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
        choice = _choose(hospital, items, "", desk=actor.desk)
        chosen = _checked(choice, group, starts_at)
        return hospital.database.write(partial(_create, hospital, choice, chosen, actor, key, hold, CHOSEN))

    return by_id(hospital, tried(attempt))


def reschedule(
    hospital: Hospital, number: str, group: str, starts_at: datetime, actor: Actor, key: RequestKey | None = None, *,
    version: int | None = None, reason: str = "", by_patient: bool = True, at_once: bool = False,
) -> AppointmentStatus:  # fmt: skip
    """Move an appointment: the same number, the next version, seats swapped in one transaction.

    What a patient gives up may return later, as his department wants it, unless the old time is free `at_once`.
    """

    def attempt() -> int:
        may_change(hospital, status.appointment(hospital, number))
        choice = _choose(hospital, (), number)
        current = choice.appointment
        assert current is not None
        fresh(current, version)
        if current.state not in states.MOVABLE:
            states.check(current.state, "suspended")
            raise Conflict("state_conflict", BEFORE_START)
        if current.state == "no_show" and not actor.desk and _at_the_desk_only(choice.planner.snapshot, choice.items):
            raise Refused("restricted", text("restricted"))
        chosen = _checked(choice, group, starts_at)
        write = partial(
            _move, hospital, choice, chosen, actor, key, reason or "rescheduled", by_patient, at_once=at_once
        )
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


def book_today(
    hospital: Hospital, items: Sequence[str], actor: Actor, key: RequestKey | None, *, add_on: bool = False,
    reason: str = "", emergency: bool = False,
) -> AppointmentStatus:  # fmt: skip
    """Book items at the next free start today for a patient who is here, and check him in, in one transaction.

    With `add_on` a seat is added at the present slot (加号) where none is free, for a `reason`; for an `emergency`
    however many were added before. Raises `Refused` with the reason.
    """

    def attempt() -> int:
        choice = _choose(hospital, items, "", arrived=True, desk=actor.desk or emergency)
        chosen = _today_anywhere(choice)
        added = _add_on_start(hospital, choice) if chosen is None and add_on else None

        def write() -> int:
            if chosen is not None:
                appointment = _create(hospital, choice, chosen, actor, key, False, CAME_TODAY)
            elif added is not None:
                appointment = _add_on(hospital, choice, added, actor, key, reason, limited=not emergency)
            else:
                raise Conflict("no_place_today", NO_PLACE)
            return _arrives(hospital, appointment, 1, actor)

        return hospital.database.write(write)

    return by_id(hospital, tried(attempt))


def as_visits(hospital: Hospital, items: Sequence[str]) -> list[list[str]]:
    """Order items of one patient, together as their departments would examine them. Raises `NotFound`."""
    state = snapshot.read(
        hospital.database, hospital.catalogues, _patient_of(hospital, items), hospital.clock.now()
    )
    planner = Planner(hospital, state, hospital.clock.now())
    by_place: dict[tuple[str, int], list[OpenItem]] = defaultdict(list)
    for item in state.items:
        if item.key in items:
            by_place[item.department, item.encounter_id].append(item)
    found: list[list[str]] = []
    for (department, _), own in by_place.items():
        made = planner.requirements(department, own) or ()
        together = [list(visit.items) for visit in made]
        known = {key for keys in together for key in keys}
        found += [*together, *([item.key] for item in own if item.key not in known)]
    return found


def _today_anywhere(choice: _Choice) -> Placement | None:
    found = []
    for option in choice.visit.options:
        try:
            found.append(_next_today(choice, option.group))
        except Conflict:
            continue
    return min(found, key=lambda placement: placement.starts_at, default=None)


def _arrives(hospital: Hospital, appointment: int, version: int, actor: Actor) -> int:
    """Check in whoever was given his time because he is here."""
    database, now = hospital.database, hospital.clock.now()
    visits.change_state(database, appointment, version, "booked", "checked_in", actor, now, reason="arrived")
    database.rows(ENTER_QUEUE, epoch(now), appointment)
    return appointment


def _add_on(
    hospital: Hospital, choice: _Choice, start: tuple[VisitOption, datetime], actor: Actor, key: RequestKey | None,
    reason: str, *, limited: bool,
) -> int:  # fmt: skip
    """A seat more at the slots that are running or next, audited, as often a day as the department allows."""
    database, state, now = hospital.database, choice.planner.snapshot, hospital.clock.now()
    option, starts_at = start
    number = visits.new_number()
    receipts.keep(database, key, "appointment", number, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    place = visits.bind(database, state.catalogue, option, starts_at, None)
    visits.add_seats(database, place, actor, now, f"add-on: {reason}" if reason else "add-on")
    data = visits.Booking(
        state.patient.id, choice.items[0].encounter_id, choice.visit.department,
        tuple(item.id for item in choice.items), automatic=False, explanation=dump(dict(ADD_ON)), reason="add_on",
        preparation=dump(booking.preparation_as_data(choice.planner.preparation(choice.items))),
    )  # fmt: skip
    appointment, _ = visits.create(database, state.catalogue, place, data, actor, now, number=number)
    _written(hospital, choice, appointment, actor)
    # Counted behind the place's queue number, which one booking at a time is given: two desks do not add the last seat.
    day = state.catalogue.calendar.day_of(now).isoformat()
    given = database.value(ADD_ONS, state.catalogue.group_ids[option.group], day)
    if limited and given > state.catalogue.department(choice.visit.department).policy.add_ons_a_day:
        raise Conflict("add_ons_used_up", ADD_ONS_USED_UP)
    return appointment


def _add_on_start(hospital: Hospital, choice: _Choice) -> tuple[VisitOption, datetime] | None:
    """The first rostered start from now on today at which only seats are missing: every rule of time is kept."""
    now, catalogue = hospital.clock.now(), choice.planner.snapshot.catalogue
    today = catalogue.calendar.day_of(now)
    end = catalogue.calendar.midnight(today + timedelta(days=1))
    constraints = _constraints(choice)
    for option in choice.visit.options:
        forbidden = constraints.forbidden(choice.visit, option)
        resources = catalogue.resources(option.segments[0].needs[0].group)
        for slot in slots.rostered_between(hospital.database, resources, epoch(now), epoch(end)):
            start = instant(slot.start_at)
            if _outside(choice.visit, start, catalogue.calendar.local(start).time(), forbidden):
                continue
            try:
                visits.bind(hospital.database, catalogue, option, start, None)
            except SlotTaken:
                continue
            return option, start
    return None


def _outside(visit: Visit, start: datetime, local: time, forbidden: Sequence[Window]) -> bool:
    """Whether a visit may not start then, by its own limits or the patient's other exams."""
    early, late = visit.earliest is not None and start < visit.earliest, visit.latest is not None and start > visit.latest
    over = visit.starts_until is not None and local > visit.starts_until
    return early or late or over or any(since < start < until for since, until in forbidden)


def come_back(hospital: Hospital, number: str, actor: Actor, *, reason: str) -> bool:
    """Give a cancelled visit its own place and time again, under its number; returns whether that was possible.

    Its rules are looked at anew, and its seats must still be free.
    """

    def attempt() -> int:
        choice = _choose(hospital, (), number, arrived=True)
        current = choice.appointment
        assert current is not None
        booked = any(item.appointment is not None for item in choice.items)
        if current.state != "cancelled" or booked or len(choice.items) < len(current.items):
            raise Conflict("not_bookable", NOT_BOOKABLE)
        chosen = _checked(choice, current.group, current.starts_at)
        return hospital.database.write(partial(_move, hospital, choice, chosen, actor, None, reason, False))

    try:
        tried(attempt)
    except Refused:
        return False
    return True


def _choose(
    hospital: Hospital, keys: Sequence[str], number: str, *, arrived: bool = False, prepared: bool = False,
    desk: bool = False,
) -> _Choice:
    if arrived:  # he was told long ago and stands here
        hospital = replace(hospital, settings=replace(hospital.settings, notice=timedelta()))
    current = status.appointment(hospital, number) if number else None
    keys = current.items if current else keys
    patient = current.patient if current else _patient_of(hospital, keys)
    state = snapshot.read(hospital.database, hospital.catalogues, patient, hospital.clock.now())
    planner = Planner(hospital, state, hospital.clock.now())
    own = tuple(item for item in state.items if item.key in keys)
    plan = Plan(state, [verdict for verdict in planner.judge.verdicts(state) if verdict.item in own])
    _must_be_bookable(plan, own, moving=current is not None, desk=desk)
    visit = _visit(planner, plan, own, arrived or prepared)
    return _Choice(planner, plan, visit, own, current)


def _at_the_desk_only(snapshot: Snapshot, items: Sequence[OpenItem]) -> bool:
    return any(item.department in snapshot.restricted and may_be_restricted(item) for item in items)


def _patient_of(hospital: Hospital, keys: Sequence[str]) -> int:
    for index, key in enumerate(keys):
        if not hospital.database.row("SELECT 1 FROM order_item WHERE key = ?", key):
            raise NotFound("order item", keys[index])
    if not keys:
        raise Refused("no_items", Text("未指定检查项目", "no order item named"), "/items")
    return int(hospital.database.value("SELECT patient_id FROM order_item WHERE key = ?", keys[0]))


def _must_be_bookable(plan: Plan, items: Sequence[OpenItem], *, moving: bool, desk: bool) -> None:
    if not items or plan.snapshot.died:
        raise Conflict("not_bookable", NOT_BOOKABLE, "/items")
    if not moving and not desk and _at_the_desk_only(plan.snapshot, items):
        raise Refused("restricted", text("restricted"), "/items")
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


def _constraints(choice: _Choice) -> Constraints:
    planner, plan = choice.planner, choice.plan
    rules, _failed = planner.interval_rules(
        {item.department for item in choice.items} | {exam.item.department for exam in planner.snapshot.exams}
    )
    plan.rules = rules
    return planner.constraints(plan, rules, {item.key: item for item in choice.items}, {v.id for v in _own(choice)})


def _own(choice: _Choice) -> list[BookedVisit]:
    current = choice.appointment
    return [visit for visit in choice.planner.snapshot.visits if current and visit.id == current.id]


def _availability(choice: _Choice) -> SlotCalendar:
    constraints, allocator = _constraints(choice), choice.planner.allocator
    encounter = choice.items[0].order.encounter.encounter_class
    seats = Counter(allocator.seats_of(_own(choice))) + Counter(choice.offered)
    return allocator.availability(encounter, constraints, seats)


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
    hospital: Hospital, choice: _Choice, chosen: Placement, actor: Actor, key: RequestKey | None, hold: bool,
    explanation: Mapping[str, Any],
) -> int:  # fmt: skip
    database, state, now = hospital.database, choice.planner.snapshot, hospital.clock.now()
    number = visits.new_number()
    receipts.keep(database, key, "appointment", number, epoch(now))
    patients.bump(database, state.patient.id, state.version)
    choice.claim()
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
        explanation=dump(dict(explanation)),
        evidence=dump({"rollout": state.rollout_version, "chosen_by": actor.name}),
        reason=explanation["code"],
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
    by_patient: bool, explanation: Mapping[str, Any] | None = None, arrived: bool = False, *, at_once: bool = False,
) -> int:  # fmt: skip
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
    place = visits.bind(database, state.catalogue, option, chosen.starts_at, seats, chosen.segments)
    visits.move(
        database, state.catalogue, current.id, current.version, place, current.state, actor, now, reason=reason,
        by_patient=by_patient, evidence=dump({"rollout": state.rollout_version}),
        explanation=dump(dict(explanation)) if explanation else None,
    )  # fmt: skip
    keep_back(hospital, current, held, "moved", delayed=by_patient and not at_once)
    _written(hospital, choice, current.id, actor)
    return _arrives(hospital, current.id, current.version + 1, actor) if arrived else current.id


@dataclass(frozen=True)
class Moving:
    """A visit that must be held elsewhere: every start that keeps the rules, and how it is given one.

    What the patient was told to do before his old time holds for later ones too; `prepared_from` is the first start
    for which he could begin anew.
    """

    hospital: Hospital
    appointment: AppointmentStatus
    prepared_from: datetime
    _choice: _Choice
    _availability: SlotCalendar

    @property
    def options(self) -> Sequence[VisitOption]:
        return self._choice.visit.options

    @property
    def days(self) -> Sequence[date]:
        """The business dates from that of the old time on, or from today."""
        return [day for day in self._choice.planner.days if day >= self.day_of(self.appointment.starts_at)]

    @property
    def encounter_class(self) -> EncounterClass:
        return self._choice.items[0].order.encounter.encounter_class

    def day_of(self, instant: datetime) -> date:
        return self._choice.planner.calendar.day_of(instant)

    def starts(self, option: VisitOption, day: date) -> list[datetime]:
        """The starts at an option on a day, earliest first."""
        bits = self._availability.starts(self._choice.visit, option, day)
        return [self._availability.instant(day, tick) for tick in ticks_of(bits)]

    def placed(self, option: VisitOption, starts_at: datetime) -> Placement:
        """The placement at one of these starts."""
        visit = self._choice.visit
        return self._availability.settled(visit, option, Placement(visit.key, option.group, starts_at))

    def write(self, chosen: Placement, actor: Actor, reason: str, explanation: Mapping[str, Any]) -> int:
        """Move it there, in the caller's write transaction; returns its version. Raises `StalePlan`."""
        _move(self.hospital, self._choice, chosen, actor, None, reason, False, explanation)
        return self.appointment.version + 1


def moving(hospital: Hospital, number: str, foreseen: Foreseen | None = None) -> Moving:
    """Where an appointment may be moved to. Raises `Refused` with the reason when it may not be held at all now."""
    choice = _choose(hospital, (), number, prepared=True)
    assert choice.appointment is not None
    choice.planner.allocator.foreseen = foreseen
    fasting = any(item.order.known("fasting") is True for item in choice.items)
    settings, preparation = hospital.settings, choice.planner.preparation(choice.items)
    prepared_from = hospital.clock.now() + max(settings.notice, lead(preparation, fasting))
    return Moving(hospital, choice.appointment, prepared_from, choice, _availability(choice))


@dataclass(frozen=True, slots=True)
class Waiting:
    """What somebody waits for: an earlier time for an appointment (its number), or any time for order items."""

    items: tuple[str, ...]
    appointment: str = ""


def first_fit(
    hospital: Hospital, waiting: Waiting, group: str, seats: Mapping[int, int], since: datetime, until: datetime
) -> datetime:
    """The earliest start at a group that uses some of a freed stretch, its withheld `seats` counting as free.

    Raises `Refused` with the reason when there is none that keeps every rule.
    """
    choice = replace(_choose(hospital, waiting.items, waiting.appointment), offered=seats)
    availability, day = _availability(choice), choice.planner.calendar.day_of(since)
    for option in choice.visit.options if day in choice.planner.days else ():
        if option.group == group:
            after = since - timedelta(minutes=availability.minutes(option))
            for tick in ticks_of(availability.starts(choice.visit, option, day)):
                if after < (start := availability.instant(day, tick)) < until:
                    return start
    raise Refused("time_not_possible", NOT_POSSIBLE, "/starts_at")


def take_offered(
    hospital: Hospital, waiting: Waiting, group: str, starts_at: datetime, seats: Mapping[int, int],
    claim: Callable[[], None], actor: Actor, key: RequestKey | None = None, *, by_patient: bool,
) -> AppointmentStatus:  # fmt: skip
    """Book or move to a freed time whose withheld `seats` `claim` gives out, in one transaction.

    `claim` raises `Refused` when somebody else was first.
    """

    def attempt() -> int:
        choice = replace(_choose(hospital, waiting.items, waiting.appointment), offered=seats, claim=claim)
        if choice.appointment is not None and choice.appointment.state not in states.MOVABLE:
            raise Conflict("state_conflict", BEFORE_START)
        chosen = _checked(choice, group, starts_at)
        if choice.appointment is None:
            write = partial(_create, hospital, choice, chosen, actor, key, False, WAITED)
        else:
            write = partial(_move, hospital, choice, chosen, actor, key, WAITED["code"], by_patient, WAITED)
        return hospital.database.write(write)

    return by_id(hospital, tried(attempt))
