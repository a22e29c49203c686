"""Group days: everybody of a contract on one day as a whole, never more people a day than its quota."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from examlane.appointments import booking, changes, desk, status
from examlane.appointments.status import ItemStatus
from examlane.checkups import contracts
from examlane.checkups.contracts import Contract
from examlane.corrections import withdrawing
from examlane.domain import EncounterClass, Sex, Text
from examlane.errors import Conflict, NotFound, Refused
from examlane.hospital import Hospital
from examlane.orders import intake, patients, snapshot
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.planning.planner import Plan, Planner
from examlane.records import audit, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.fields import epoch

AT_ONCE = 100
"""People planned by one request; the rest is booked by asking again."""
DAYS_TRIED = 5
NO_DAY = "no_group_day"
DAY_FULL = Text("该团检日名额已满或不是团检日", "the group day is full, or none of this contract")
NO_ROOM = Text("该日排不下全部检查", "not all exams find a place on that day")
NOT_BOOKED = Text("该人员尚未预约团检日", "this person has no group day yet")
NOT_LISTED = Text("该人员不在名单中或已退出", "this person is not on the list, or has left it")
PEOPLE = """SELECT c.id, c.patient_id, c.order_number, c.state, c.quota_id, p.name, p.sex, q.campus, q.day
FROM checkup_person c JOIN patient p ON p.id = c.patient_id LEFT JOIN checkup_quota q ON q.id = c.quota_id
WHERE c.contract_id = ?"""
FREE_DAYS = """SELECT id, campus, day FROM checkup_quota WHERE contract_id = ? AND taken < seats AND day > ?
ORDER BY taken * 1.0 / seats, day, campus"""
TAKE = "UPDATE checkup_quota SET taken = taken + 1 WHERE id = ? AND taken < seats RETURNING id"
GIVE = "UPDATE checkup_quota SET taken = taken - 1 WHERE id = ? RETURNING id"
SEAT = """UPDATE checkup_person SET state = 'booked', quota_id = ? WHERE id = ? AND state IN ('listed', 'desk', 'booked')
RETURNING patient_id"""
FIRST_ITEM = """SELECT oi.id, d.code FROM order_item oi JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id JOIN exam_order o ON o.id = oi.order_id
WHERE o.number = ? ORDER BY oi.id LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Person:
    """A person of a contract and the group day."""

    id: int
    patient: int
    order: str
    state: str
    quota: int | None
    name: str
    sex: str
    campus: str | None
    day: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """A contract with its people and how many are listed, booked, at the desk, gone, examined and missing."""

    contract: Contract
    people: tuple[Person, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Day:
    quota: int
    campus: str
    day: date


def read(hospital: Hospital, number: str) -> Group:
    """A contract as it stands. Raises `NotFound`."""
    contract = contracts.find(hospital, number)
    people = _people(hospital, contract)
    examined = {one.id for one in people if one.order and _examined(hospital, one)}
    today = hospital.calendar.day_of(hospital.clock.now()).isoformat()
    missing = sum(one.state == "booked" and one.id not in examined and (one.day or today) < today for one in people)
    counts = {state: sum(one.state == state for one in people) for state in ("listed", "booked", "desk", "left")}
    return Group(contract, tuple(people), {**counts, "examined": len(examined), "missing": missing})


def book(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *,
    chosen: Mapping[int, tuple[str, date]] | None = None,
) -> Group:  # fmt: skip
    """Give those who are listed a group day: the chosen campus and day, or evenly over the days.

    Each person's exams are booked on the day as a whole, or a desk task says why not.
    """
    contract = contracts.still_open(hospital, number)
    people = {one.id: one for one in _people(hospital, contract)}
    if any(each not in people or people[each].state == "left" for each in chosen or ()):
        raise Refused("not_listed", NOT_LISTED, "/people")
    days = {each: _day(hospital, contract, *wish) for each, wish in (chosen or {}).items()}
    _keep(hospital, key, number)
    waiting = [one for one in people.values() if one.state == "listed" or (one.state == "desk" and one.id in days)]
    if chosen is not None:
        waiting = [one for one in waiting if one.id in days]
    for one in waiting[:AT_ONCE]:
        _book_one(hospital, contract, one, days.get(one.id), actor)
    return read(hospital, number)


def move(
    hospital: Hospital, number: str, person: int, campus: str, day: date, actor: Actor, key: RequestKey | None = None
) -> Group:
    """Give one person another group day, within its quota. Raises `Refused` when it is full or has no room for all."""
    contract = contracts.still_open(hospital, number)
    wanted = _day(hospital, contract, campus, day)

    def attempt() -> int:
        one = _booked(hospital, contract, person)

        def also() -> None:
            receipts.keep(hospital.database, key, "checkup", number, epoch(hospital.clock.now()))
            _seat(hospital.database, one, wanted.quota)
            _note(hospital, actor, "checkup.move", number, [one])

        booking.write_plans(hospital, [_again(hospital, one, wanted.day)], actor, also)
        return 0

    changes.tried(attempt)
    return read(hospital, number)


def swap(hospital: Hospital, number: str, person: int, other: int, actor: Actor, key: RequestKey | None = None) -> Group:
    """Let two people exchange their group days, in one transaction: both or none."""
    contract = contracts.still_open(hospital, number)

    def attempt() -> int:
        one, two = (_booked(hospital, contract, each) for each in (person, other))
        plans = [_again(hospital, mine, date.fromisoformat(str(theirs.day))) for mine, theirs in ((one, two), (two, one))]

        def also() -> None:
            receipts.keep(hospital.database, key, "checkup", number, epoch(hospital.clock.now()))
            for mine, theirs in ((one, two), (two, one)):
                hospital.database.rows(SEAT, theirs.quota, mine.id)
            _note(hospital, actor, "checkup.swap", number, [one, two])

        if one.quota != two.quota:
            booking.write_plans(hospital, plans, actor, also)
        return 0

    changes.tried(attempt)
    return read(hospital, number)


def leave(
    hospital: Hospital, number: str, people: Sequence[int], actor: Actor, key: RequestKey | None = None, *, reason: str
) -> Group:
    """Take people off the list and free their places; whoever was examined already stays booked."""
    contract = contracts.find(hospital, number)
    listed = {one.id: one for one in _people(hospital, contract)}
    if any(each not in listed for each in people):
        raise Refused("not_listed", NOT_LISTED, "/people")
    _keep(hospital, key, number)
    for each in people:
        _leave(hospital, number, listed[each], actor, reason)
    return read(hospital, number)


def cancel(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, reason: str) -> Group:
    """Cancel a contract: nobody is booked any more, and everybody who is not examined yet leaves."""
    contract = contracts.find(hospital, number)

    def write() -> None:
        now = epoch(hospital.clock.now())
        receipts.keep(hospital.database, key, "checkup", number, now)
        hospital.database.rows("UPDATE checkup_contract SET state = 'cancelled' WHERE id = ? RETURNING id", contract.id)
        audit.record(hospital.database, actor, "checkup.cancel", "checkup", number, now, reason=reason)

    hospital.database.write(write)
    for one in _people(hospital, contract):
        _leave(hospital, number, one, actor, reason)
    return read(hospital, number)


def _people(hospital: Hospital, contract: Contract) -> list[Person]:
    rows = hospital.database.rows(f"{PEOPLE} ORDER BY c.id", contract.id)
    return [Person(*row) for row in rows]


def _booked(hospital: Hospital, contract: Contract, person: int) -> Person:
    row = hospital.database.row(f"{PEOPLE} AND c.id = ?", contract.id, person)
    if row is None or Person(*row).state != "booked":
        raise Refused("not_booked", NOT_BOOKED, "/person")
    return Person(*row)


def _day(hospital: Hospital, contract: Contract, campus: str, day: date) -> _Day:
    sql = "SELECT id FROM checkup_quota WHERE contract_id = ? AND campus = ? AND day = ?"
    quota = hospital.database.value(sql, contract.id, campus, day.isoformat())
    if quota is None:
        raise Refused("group_day_full", DAY_FULL, "/day")
    return _Day(quota, campus, day)


def _book_one(hospital: Hospital, contract: Contract, one: Person, wanted: _Day | None, actor: Actor) -> None:
    """The first of the days that has room for all exams of the package."""
    today = hospital.calendar.day_of(hospital.clock.now()).isoformat()
    free = [_Day(quota, campus, date.fromisoformat(day)) for quota, campus, day in
            hospital.database.rows(FREE_DAYS, contract.id, today)]  # fmt: skip
    days = [wanted] if wanted else free[:DAYS_TRIED]
    order = _ordered(hospital, contract, one, days[0].campus if days else "", actor)
    one = replace(one, order=order)
    if not any(_placed(hospital, one, day, actor) for day in days):
        hospital.database.write(partial(_to_the_desk, hospital, one))


def _ordered(hospital: Hospital, contract: Contract, one: Person, campus: str, actor: Actor) -> str:
    """The person's order, sent once; its items wait for the group day."""
    if one.order:
        return one.order
    number = _free_number(hospital.database, contract, one)
    kind, value = hospital.database.rows(
        "SELECT kind, value FROM patient_identifier WHERE patient_id = ? ORDER BY id LIMIT 1", one.patient
    )[0]
    codes = contract.items_for(one.sex)
    order = OrderData(
        number=number,
        patient=PatientData((Identifier(kind, value),), one.name, Sex(one.sex)),
        encounter=EncounterData(number, EncounterClass.CHECKUP, campus=campus),
        ordering_department="",
        ordered_at=hospital.clock.now(),
        lines=tuple(OrderLine(line, code) for line, code in enumerate(codes, 1)),
        waits="group_day",
    )
    database, now = hospital.database, hospital.clock.now()
    intake.record(database, hospital.catalogues.current(), hospital.settings, order, actor, now)
    database.write(
        lambda: database.rows("UPDATE checkup_person SET order_number = ? WHERE id = ? RETURNING id", number, one.id)
    )
    return number


def _free_number(database: Database, contract: Contract, one: Person) -> str:
    """The contract's number with the place on its list; who comes back after having left gets another one."""
    place = database.value("SELECT count(*) FROM checkup_person WHERE contract_id = ? AND id <= ?", contract.id, one.id)
    number = f"{contract.data.number}-{place}"
    before = database.value("SELECT count(*) FROM exam_order WHERE number = ? OR number LIKE ?", number, f"{number}.%")
    return f"{number}.{before}" if before else number


def _placed(hospital: Hospital, one: Person, day: _Day, actor: Actor) -> bool:
    """Whether all exams were booked on a day, with its quota, in one transaction."""

    def attempt() -> int:
        plan = _fresh(hospital, one, day.day)
        if plan is None:
            return 0

        def also() -> None:
            _seat(hospital.database, one, day.quota)
            for verdict in plan.verdicts:
                desk.close_tasks(hospital.database, verdict.item.id, "", actor.name, hospital.clock.now())

        booking.write_plans(hospital, [plan], actor, also)
        return 1

    try:
        return bool(changes.tried(attempt))
    except Refused:
        return False


def _fresh(hospital: Hospital, one: Person, day: date) -> Plan | None:
    """A plan for exactly the person's order on a day, or nothing where not all of it finds a place."""
    state = snapshot.read(hospital.database, hospital.catalogues, one.patient, hospital.clock.now())
    own = tuple(replace(item, reason="") for item in state.items if item.order.number == one.order)
    narrowed = replace(state, items=own, generation=None)
    plan = Planner(hospital, narrowed, hospital.clock.now(), since=day, until=day).plan()
    placed = {item.id for visit in plan.visits for item in visit.items}
    return plan if own and placed == {item.id for item in own} else None


def _again(hospital: Hospital, one: Person, day: date) -> Plan:
    """A plan that moves all visits of a person's order to another day. Raises `Refused` where they find no place."""
    state = snapshot.read(hospital.database, hospital.catalogues, one.patient, hospital.clock.now())
    own = tuple(item for item in state.items if item.order.number == one.order)
    narrowed = replace(state, items=own, generation=None)
    visits = {item.appointment for item in own if item.appointment}
    plan = Planner(hospital, narrowed, hospital.clock.now(), since=day, until=day).plan_again(visits)
    if not plan.visits:
        raise Refused("no_group_day", NO_ROOM, "/day")
    plan.reason = "group_day"
    return plan


def _seat(database: Database, one: Person, quota: int) -> None:
    """Take a place of a group day's quota and give back the one before. Raises `Refused` when the day is full."""
    if quota == one.quota:
        return
    if not database.rows(TAKE, quota):
        raise Refused("group_day_full", DAY_FULL, "/day")
    if not database.rows(SEAT, quota, one.id):
        raise Refused("not_listed", NOT_LISTED, "/people")
    if one.quota is not None:
        database.rows(GIVE, one.quota)


def _to_the_desk(hospital: Hospital, one: Person) -> None:
    database, now = hospital.database, hospital.clock.now()
    patient = patients.touch(database, one.patient)
    database.rows("UPDATE checkup_person SET state = 'desk' WHERE id = ? AND state = 'listed' RETURNING id", one.id)
    item, department = database.row(FIRST_ITEM, one.order) or (None, "")
    desk.open_task(database, NO_DAY, department, patient, item, now, hospital.settings.desk_deadline)


def _leave(hospital: Hospital, number: str, one: Person, actor: Actor, reason: str) -> None:
    if one.state == "left":
        return
    if one.order:
        try:
            withdrawing.void(hospital, one.order, (), actor, reason=reason, reissue=False)
        except (Conflict, NotFound):  # begun, or over: it stays what it is
            if any(item.state == "fulfilled" or _here(item) for item in status.of_order(hospital, one.order)):
                return

    def write() -> None:
        database = hospital.database
        left = "UPDATE checkup_person SET state = 'left', quota_id = NULL WHERE id = ? AND state <> 'left' RETURNING id"
        patients.touch(database, one.patient)
        row = database.row("SELECT quota_id FROM checkup_person WHERE id = ?", one.id)
        if database.rows(left, one.id) and row is not None and row[0] is not None:
            database.rows(GIVE, row[0])
        _note(hospital, actor, "checkup.leave", number, [one])

    hospital.database.write(write)


def _here(item: ItemStatus) -> bool:
    return item.appointment is not None and item.appointment.state in ("in_progress", "fulfilled")


def _examined(hospital: Hospital, one: Person) -> bool:
    return all(item.state == "fulfilled" for item in status.of_order(hospital, one.order))


def _keep(hospital: Hospital, key: RequestKey | None, number: str) -> None:
    now = epoch(hospital.clock.now())
    hospital.database.write(partial(receipts.keep, hospital.database, key, "checkup", number, now))


def _note(hospital: Hospital, actor: Actor, action: str, number: str, people: Sequence[Person]) -> None:
    listed = [one.id for one in people]
    audit.record(hospital.database, actor, action, "checkup", number, epoch(hospital.clock.now()), people=listed)
