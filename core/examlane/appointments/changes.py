"""What becomes of an appointment: confirmed, cancelled, arrived, called, examined, expired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from examlane.appointments import desk, states, status, visits
from examlane.appointments.status import AppointmentStatus
from examlane.capacity import withheld
from examlane.capacity.withheld import GivenUp
from examlane.domain import Text
from examlane.errors import Conflict, StalePlan
from examlane.hospital import Hospital
from examlane.orders import patients
from examlane.outbound import order_items
from examlane.planning import gates
from examlane.records import receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.fields import dump, epoch

ATTEMPTS = 4
LATER = timedelta(minutes=10)
"""A report of something longer ago was entered by hand later: it says nothing of the source that it comes from."""
TIME_TAKEN = Text("该时间刚被占用，请另选", "this time was just taken: please choose another")
ELSEWHERE = Text("该预约由原系统管理，请在原系统更改", "booked in the department's own system: change it there")
NOT_READY = Text("患者尚未就绪，不能叫号或开始检查", "the patient is not ready yet: neither called nor examined")
NOT_HELD = Text("保留已不存在", "it is held no longer")
STALE = Text("预约已被更改，请刷新", "the appointment was changed meanwhile: please reload")
ORDER_WITHDRAWN = Text("申请单已退回或作废，等待重新开单", "its order was sent back or voided: a new one must come first")
KEPT_PLACE = "SELECT 1 FROM appointment_item WHERE appointment_id = ? AND active = 1 AND held_until IS NOT NULL"
# What the rules say of an item stays as it is when its visit goes; only an exam that is done after all is done no more.
LEAVE = """UPDATE order_item SET state = CASE WHEN ? = 1 THEN 'fulfilled' WHEN state = 'fulfilled' THEN 'accepted'
ELSE state END, reason = ? WHERE key = ? RETURNING id, state"""
TENTATIVE = """SELECT number, unpaid FROM (SELECT a.number, a.start_at, a.hold_expires_at, EXISTS (SELECT 1
FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
WHERE ai.appointment_id = a.id AND ai.active = 1 AND oi.release = '') AS unpaid
FROM appointment a WHERE a.state = 'tentative' AND a.mode <> 'external') t
WHERE (t.unpaid AND coalesce(t.hold_expires_at, t.start_at - ?) <= ?) OR (NOT t.unpaid AND t.start_at - ? <= ?)"""
GIVES_UP = ("cancelled", "expired")
EXTERNAL = "SELECT 1 FROM department WHERE code = ? AND mode = 'external'"
# Of a visit whose exams were settled one by one, what was finished or given back before stays so.
UNSETTLED = """SELECT oi.key FROM appointment_item ai JOIN order_item oi ON oi.id = ai.order_item_id
WHERE ai.appointment_id = ? AND ai.outcome = '' ORDER BY oi.id"""
# Who was here before keeps the instant at which he came.
ENTER_QUEUE = "UPDATE appointment SET queue_at = coalesce(queue_at, ?), ready_at = NULL WHERE id = ? RETURNING id"
EXECUTION = {"started": "in_progress", "finished": "fulfilled", "not_done": "not_done"}


def confirm(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """Book what is held. Raises `Conflict` for what is held no longer, or when a gate has closed meanwhile."""
    current = status.appointment(hospital, number)
    if current.state != "held":
        raise Conflict("state_conflict", NOT_HELD)
    return _change(hospital, number, "booked", actor, key, reason="confirmed")


def release(hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None) -> AppointmentStatus:
    """Give back what is held. Raises `Conflict` for what is held no longer, or for an order that is to be reissued."""
    current = status.appointment(hospital, number)
    if current.state != "held" or _awaits_another_order(hospital, current):
        raise Conflict("state_conflict", NOT_HELD)
    return _change(hospital, number, "expired", actor, key, reason="released", items_left="cancelled")


def cancel(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, reason: str,
    version: int | None = None, by_patient: bool = False,
) -> AppointmentStatus:  # fmt: skip
    """Cancel an appointment; its order items are booked again only when asked for.

    Its seats go to the waiting list first. What a patient gives up may return later, as his department wants it.
    """
    may_change(hospital, status.appointment(hospital, number))
    return _change(
        hospital, number, "cancelled", actor, key, reason=reason, version=version, items_left="cancelled",
        by_patient=by_patient,
    )  # fmt: skip


def check_in(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, at: datetime | None = None
) -> AppointmentStatus:
    """The patient has arrived, or came `at` an earlier instant. Raises `Conflict` with the reason of a closed gate."""
    return _change(hospital, number, "checked_in", actor, key, reason="arrived", at=at)


def call(
    hospital: Hospital, number: str, actor: Actor, key: RequestKey | None = None, *, absent: bool = False,
    version: int | None = None,
) -> AppointmentStatus:  # fmt: skip
    """The queue called the patient, or called and did not find him. A closed gate, or one not ready, stops the call."""
    return _change(hospital, number, "called_absent" if absent else "called", actor, key, version=version)


def execution(
    hospital: Hospital, number: str, state: str, actor: Actor, key: RequestKey | None = None, *, reason: str = "",
    at: datetime | None = None,
) -> AppointmentStatus:  # fmt: skip
    """An exam was started, finished or not done, as its system reports; it wins over a no-show.

    `at`: when it was, for a report that comes later. A start is refused like a call; that an exam is over is a fact,
    and stored whatever the gates say.
    """
    left = "" if state != "not_done" else "not_done"
    done = state == "finished"
    return _change(hospital, number, EXECUTION[state], actor, key, reason=reason, items_left=left, done=done, at=at)


def told(at: datetime | None, now: datetime) -> str:
    """What a version keeps of the instant at which something really happened; JSON."""
    if at is None or at >= now:
        return "{}"
    return dump({"happened_at": at.astimezone(UTC).isoformat(), "told_later": now - at > LATER})


def _change(
    hospital: Hospital, number: str, after: str, actor: Actor, key: RequestKey | None, *, reason: str = "",
    version: int | None = None, items_left: str = "", done: bool = False, task: str = "", at: datetime | None = None,
    by_patient: bool = False,
) -> AppointmentStatus:  # fmt: skip
    def attempt() -> int:
        current = status.appointment(hospital, number)
        fresh(current, version)
        states.check(current.state, after)
        if current.state == "held" and after == "booked" and _awaits_another_order(hospital, current):
            raise Conflict("order_withdrawn", ORDER_WITHDRAWN)
        expired = current.hold_expires_at is not None and current.hold_expires_at <= hospital.clock.now()
        if current.state == "held" and after == "booked" and expired:
            raise Conflict("hold_expired", Text("保留已过期，请重新选择", "the hold has expired: choose again"))
        if current.state == "deferred" and after in gates.STARTING:
            _must_be_ready(hospital, current)
        guarded = after in gates.GUARDED
        seen = gates.must_be_open(hospital, current.patient, current.items, after) if guarded else None
        hospital.database.write(
            partial(
                _write_change, hospital, current, after, actor, key, reason, items_left, done, task, seen, at, by_patient
            )
        )
        return current.id

    return by_id(hospital, tried(attempt))


def _must_be_ready(hospital: Hospital, current: AppointmentStatus) -> None:
    """Raise `Conflict` while a patient who was deferred is not ready."""
    ready = hospital.database.value("SELECT ready_at FROM appointment WHERE id = ?", current.id)
    if ready is None or ready > epoch(hospital.clock.now()):
        raise Conflict("not_ready", NOT_READY)


def _awaits_another_order(hospital: Hospital, current: AppointmentStatus) -> bool:
    return bool(hospital.database.value(KEPT_PLACE, current.id))


def _write_change(
    hospital: Hospital, current: AppointmentStatus, after: str, actor: Actor, key: RequestKey | None, reason: str,
    items_left: str, done: bool, task: str, seen: int | None, at: datetime | None, by_patient: bool,
) -> None:  # fmt: skip
    database, now = hospital.database, hospital.clock.now()
    receipts.keep(database, key, "appointment", current.number, epoch(now))
    if seen is None:
        patients.touch(database, current.patient)
    else:  # what the gates said must still be so
        patients.bump(database, current.patient, seen)
    held = withheld.seats_of(database, current.id) if after in GIVES_UP else []
    visits.change_state(
        database, current.id, current.version, current.state, after, actor, now, reason=reason, evidence=told(at, now)
    )
    keep_back(hospital, current, held, after, delayed=by_patient)
    if after == "checked_in":
        came = min(at, now) if at else now
        database.rows(ENTER_QUEUE, epoch(came), current.id)
        desk.close_task(database, current.id, "absent_repeatedly", actor.name, now)
    if after == "cancelled":
        desk.offer_the_rest(database, current.id, now, hospital.settings.desk_deadline)
    if not (done or items_left):
        return
    for (key_of_item,) in database.rows(UNSETTLED, current.id):
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
    order_items.changed(database, key, state, reason, epoch(now))


def keep_back(
    hospital: Hospital, current: AppointmentStatus, held: Sequence[tuple[int, int]], why: str, *, delayed: bool
) -> None:
    """What becomes of the seats that an appointment has just given up; inside the transaction that did it."""
    if not held or is_external(hospital, current.department):  # its own system gives them out again
        return
    given_up = GivenUp(current.id, current.department, current.group, why, delayed)
    withheld.keep_back(
        hospital.database, hospital.catalogues.current(), given_up, held, hospital.clock.now(), hospital.settings.notice
    )


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
    if is_kept_elsewhere(hospital, current):
        raise Conflict("booked_elsewhere", ELSEWHERE)


def is_kept_elsewhere(hospital: Hospital, current: AppointmentStatus) -> bool:
    """Whether the department's own system keeps an appointment, and it alone changes it."""
    return current.mode == "external" and is_external(hospital, current.department)


def is_external(hospital: Hospital, department: str) -> bool:
    """Whether a department books in its own system."""
    return hospital.database.value(EXTERNAL, department) is not None


def by_id(hospital: Hospital, appointment: int) -> AppointmentStatus:
    """An appointment as it is now, by its internal id."""
    number = hospital.database.value("SELECT number FROM appointment WHERE id = ?", appointment)
    return status.appointment(hospital, number)


def expire_tentative(hospital: Hospital, actor: Actor) -> int:
    """Give back the seats of visits whose gate stayed closed, or that stayed unpaid, until the cut-off; how many."""
    now, before = epoch(hospital.clock.now()), int(hospital.settings.tentative_cutoff / timedelta(seconds=1))
    rows = hospital.database.rows(TENTATIVE, before, now, before, now)
    return sum(
        _expired(hospital, number, actor, "not paid in time", "awaiting_payment")
        if unpaid
        else _expired(hospital, number, actor, "gate stayed closed", "awaiting_gate", "gate_stayed_closed")
        for number, unpaid in rows
    )


def expire_holds(hospital: Hospital, actor: Actor) -> int:
    """Give back what somebody held too long; returns how many holds ended. Places kept for an order end elsewhere."""
    now = hospital.clock.now()
    rows = hospital.database.rows(
        "SELECT number FROM appointment a WHERE state = 'held' AND hold_expires_at <= ? AND NOT EXISTS "
        "(SELECT 1 FROM appointment_item i WHERE i.appointment_id = a.id AND i.active = 1 AND i.held_until IS NOT NULL)",
        epoch(now),
    )
    return sum(_expired(hospital, number, actor, "hold ended", "cancelled") for (number,) in rows)


def _expired(hospital: Hospital, number: str, actor: Actor, reason: str, items_left: str, task: str = "") -> bool:
    try:
        _change(hospital, number, "expired", actor, None, reason=reason, items_left=items_left, task=task)
    except Conflict:  # another worker was faster, or somebody gave it up in this very moment
        return False
    return True
