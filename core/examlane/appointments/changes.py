"""What becomes of an appointment: confirmed, cancelled, arrived, called, examined, expired."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from examlane.appointments import desk, states, status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.domain import Text
from examlane.errors import Conflict, StalePlan
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.planning import gates
from examlane.records import events, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import epoch

ATTEMPTS = 4
TIME_TAKEN = Text("该时间刚被占用，请另选", "this time was just taken: please choose another")
ELSEWHERE = Text("该预约由原系统管理，请在原系统更改", "booked in the department's own system: change it there")
STALE = Text("预约已被更改，请刷新", "the appointment was changed meanwhile: please reload")
# What the rules say of an item stays as it is when its visit goes; only an exam that is done after all is done no more.
LEAVE = """UPDATE order_item SET state = CASE WHEN ? = 1 THEN 'fulfilled' WHEN state = 'fulfilled' THEN 'accepted'
ELSE state END, reason = ? WHERE key = ? RETURNING id, state"""
EXTERNAL = "SELECT 1 FROM department WHERE code = ? AND mode = 'external'"
EXECUTION = {"started": "in_progress", "finished": "fulfilled", "not_done": "not_done"}


def confirm(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """Book what is held. Raises `Conflict` when the hold has expired, or a gate has closed meanwhile."""
    return _change(hospital, number, "booked", actor, key, reason="confirmed")


def cancel(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, reason: str,
    version: int | None = None,
) -> AppointmentStatus:  # fmt: skip
    """Cancel an appointment; its seats are free at once, its order items are booked again only when asked for."""
    current = status.appointment(hospital, number)
    may_change(hospital, current)
    left = "cancelled"
    return _change(hospital, number, "cancelled", actor, key, reason=reason, version=version, items_left=left)


def check_in(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """The patient has arrived. Raises `Conflict` with the reason of a gate that is closed."""
    return _change(hospital, number, "checked_in", actor, key, reason="arrived")


def call(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, absent: bool = False
) -> AppointmentStatus:
    """The queue called the patient, or called and did not find him. A closed gate, or one not ready, stops the call."""
    return _change(hospital, number, "called_absent" if absent else "called", actor, key)


def execution(
    hospital: Hospital, number: str, state: str, actor: Actor, key: RequestKey | None = None, *, reason: str = ""
) -> AppointmentStatus:
    """An exam was started, finished or not done, as its system reports; it wins over a no-show.

    A start is refused like a call; that an exam is over is a fact, and stored whatever the gates say.
    """
    left = "" if state != "not_done" else "not_done"
    done = state == "finished"
    return _change(hospital, number, EXECUTION[state], actor, key, reason=reason, items_left=left, done=done)


def _change(
    hospital: Hospital, number: str, after: str, actor: Actor, key: RequestKey | None, *, reason: str = "",
    version: int | None = None, items_left: str = "", done: bool = False, task: str = "",
) -> AppointmentStatus:  # fmt: skip
    def attempt() -> int:
        current = status.appointment(hospital, number)
        fresh(current, version)
        states.check(current.state, after)
        expired = current.hold_expires_at is not None and current.hold_expires_at <= hospital.clock.now()
        if current.state == "held" and after == "booked" and expired:
            raise Conflict("hold_expired", Text("保留已过期，请重新选择", "the hold has expired: choose again"))
        guarded = after in gates.GUARDED
        seen = gates.must_be_open(hospital, current.patient, current.items, after) if guarded else None
        hospital.database.write(
            partial(_write_change, hospital, current, after, actor, key, reason, items_left, done, task, seen)
        )
        return current.id

    return by_id(hospital, tried(attempt))


def _write_change(
    hospital: Hospital, current: AppointmentStatus, after: str, actor: Actor, key: RequestKey | None, reason: str,
    items_left: str, done: bool, task: str, seen: int | None,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    if seen is None:
        patients.touch(database, current.patient)
    else:  # what the gates said must still be so
        patients.bump(database, current.patient, seen)
    visits.change_state(database, current.id, current.version, current.state, after, actor, now, reason=reason)
    if after == "cancelled":
        desk.offer_the_rest(database, current.id, now, hospital.settings.desk_deadline)
    if not (done or items_left):
        return
    for key_of_item in current.items:
        item, state = database.rows(LEAVE, int(done), items_left, key_of_item)[0]
        desk.close_tasks(database, item, task, actor.name, now)
        if task:
            _hand_over(hospital, current, item, key_of_item, state, items_left, task)


def _hand_over(
    hospital: Hospital, current: AppointmentStatus, item: int, key: str, state: str, reason: str, task: str
) -> None:
    """Tell the desk, and everybody who listens, that an item lost its seat without anybody asking for it."""
    database, now = hospital.database, hospital.clock.now()
    desk.open_task(
        database, task, current.department, current.patient, item, now, hospital.settings.desk_deadline,
        appointment=current.id,
    )  # fmt: skip
    payload = {"order_item": key, "state": state, "reason": reason, "payable": False}
    events.emit(database, "order_item", key, "order_item.changed", payload, epoch(now))


def tried(attempt: Callable[[], int]) -> int:
    """Do it, again on fresh data a few times when somebody was faster; at last raises `Conflict`."""
    for _ in range(ATTEMPTS):
        try:
            return attempt()
        except StalePlan:
            continue
    raise Conflict("time_taken", TIME_TAKEN, "/starts_at")


def fresh(current: AppointmentStatus, version: int | None) -> None:
    """Raise `Conflict` unless the caller has read the present version, where he names one."""
    if version is not None and version != current.version:
        raise Conflict("version_conflict", STALE, "/version")


def may_change(hospital: Hospital, current: AppointmentStatus) -> None:
    """Raise `Conflict` for an appointment that its department's own system keeps and changes."""
    if current.mode == "external" and hospital.database.value(EXTERNAL, current.department):
        raise Conflict("booked_elsewhere", ELSEWHERE)


def by_id(hospital: Hospital, appointment: int) -> AppointmentStatus:
    """An appointment as it is now, by its internal id."""
    number = hospital.database.value("SELECT number FROM appointment WHERE id = ?", appointment)
    return status.appointment(hospital, number)


def expire_tentative(hospital: Hospital, actor: Actor) -> int:
    """Give back the seats of visits whose gate stayed closed until the cut-off; returns how many."""
    cutoff = epoch(hospital.clock.now() + hospital.settings.tentative_cutoff)
    rows = hospital.database.rows(
        "SELECT number FROM appointment WHERE state = 'tentative' AND mode <> 'external' AND start_at <= ?", cutoff
    )
    return sum(
        _expired(hospital, number, actor, "gate stayed closed", "awaiting_gate", "gate_stayed_closed")
        for (number,) in rows
    )


def expire_holds(hospital: Hospital, actor: Actor) -> int:
    """Give back what was held too long; returns how many holds ended."""
    now = hospital.clock.now()
    rows = hospital.database.rows(
        "SELECT number FROM appointment WHERE state = 'held' AND hold_expires_at <= ?", epoch(now)
    )
    return sum(_expired(hospital, number, actor, "hold ended", "cancelled") for (number,) in rows)


def _expired(
    hospital: Hospital, number: str, actor: Actor, reason: str, items_left: str, task: str = ""
) -> bool:
    try:
        _change(hospital, number, "expired", actor, None, reason=reason, items_left=items_left, task=task)
    except Conflict:  # another worker was faster, or somebody gave it up in this very moment
        return False
    return True
