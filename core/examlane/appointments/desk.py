"""Desk tasks: why automation stopped, who owns it, until when, and the next step."""

from __future__ import annotations

from datetime import datetime, timedelta

from examlane.domain import Text
from examlane.errors import Conflict, NotFound
from examlane.reasons import text
from examlane.records import audit, events, receipts
from examlane.records.audit import Actor
from examlane.records.receipts import RequestKey
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch
from examlane.storage.ledger import DeskTask

OWNERS = {"needs_approval": "specialist"}
REST = "itinerary_rest"
NEXT_STEPS = {
    "unverified": Text("核对申请单后手工预约", "check the order and book by hand"),
    "rule_unavailable": Text("核对规则后手工预约", "check the rules and book by hand"),
    "required_plugin_missing": Text("请管理员启用必需的规则", "have the required plugin switched on"),
    "needs_approval": Text("专科医生审批", "a specialist approves or refuses"),
    "no_time": Text("加号、换院区或登记候补", "add a seat, use another campus, or put on the waiting list"),
    "no_resource": Text("核对项目与检查资源的对应", "check which resources offer this item"),
    "no_service": Text("核对年龄、性别、体重限制", "check the limits of age, sex and weight"),
    "department_manual": Text("手工预约", "book by hand"),
    "gate_stayed_closed": Text("联系患者；条件满足后将自动重新预约", "tell the patient; booked anew once it is met"),
    "no_show": Text("联系患者改约或取消", "call the patient: another time, or cancel"),
    "late_arrival": Text("患者已到：为其加号或改约", "the patient is here: add a seat, or another time"),
    "restricted": Text("患者到登记台后人工预约", "book by hand once the patient is at the desk"),
    "restriction_appeal": Text("听取患者说明后维持或解除限制", "hear the patient, then uphold or lift the restriction"),
    "recheck_place": Text("改约到患者所在院区，或安排转运", "move it to his campus, or have him brought"),
    "ward_not_coming": Text("与病区商定新时间后预约", "agree on another time with the ward"),
    "check_in_paused": Text("改用纸质签到；恢复后补录", "check in on paper, and enter it once the source is back"),
    "paper_check_ins": Text("补录纸质签到及时间", "enter the paper check-ins with their times"),
    "unknown_order": Text("等待申请单，或联系收费处", "wait for the order, or ask the cashier"),
    "conflict_repeated": Text("手工预约", "book by hand"),
    "suspended": Text("联系患者改约或取消", "call the patient: another time, or cancel"),
    "suspended_elsewhere": Text("在科室原系统中改约", "move it in the department's own system"),
    "suspended_here": Text("患者已到：换机检查、加号或改约", "the patient is here: another device, a seat, another time"),
    "absent_repeatedly": Text("寻找患者；到后重新排队或改约", "look for the patient: back into the queue, or another time"),
    "provisional_order": Text("补开申请单，核对并合并身份", "have the order written, and merge the identity"),
    "paid_twice": Text("联系收费处退还一次缴费", "have the cashier refund one payment"),
    "paid_in_vain": Text("联系收费处退费，或由医生在新申请单中结转", "refund it, or let the new order carry it over"),
    "refund_after_start": Text("与收费处核对该次退费", "clear the refund with the cashier"),
    "not_reissued": Text("联系开单医生", "ask the ordering doctor"),
    "patient_unreachable": Text("另寻联系方式；未联系上时提前准备改约", "find another way to reach the patient"),
    "without_order": Text("请开单医生补开申请单，或到期前在原系统核对", "ask for the order, or compare with the old system"),
    "outside_roster": Text("补排班，或与患者改约", "add a roster, or give the patient another time"),
    "overlap": Text("与患者改约其中一项", "give the patient another time for one of them"),
    "external_differences": Text("查看差异清单并更正", "read the list of differences and correct them"),
    "reconciliation": Text("查看对账差异并逐项更正", "read the differences with this peer and correct each"),
    "reconciliation_failed": Text("请对方补出清单后重新对账", "have the peer list that day, then compare again"),
    "no_group_day": Text("另选团检日或手工预约", "choose another group day, or book by hand"),
    "possible_duplicate": Text("核对身份，必要时合并患者", "check who it is, and have the records merged"),
    "merge_overlap": Text("与患者核实后改约或取消其一", "ask the patient, then move or cancel one of them"),
    "merge_undone": Text("逐项核对合并期间新增内容的归属", "check whom everything belongs to that came while merged"),
    REST: Text("询问患者是否重新安排其余检查", "ask whether the others are to be planned again"),
}  # fmt: skip
MEMBER_CANCELLED = Text(
    "同日检查中有一项已取消，其余可重新安排", "one exam of a visit was cancelled: the others can be planned again"
)
TAKE = """UPDATE desk_task SET taken_by = ?, taken_at = ?, version = version + 1
WHERE id = ? AND version = ? AND closed_at IS NULL RETURNING id"""
SETTLE = """UPDATE desk_task SET closed_at = ?, closed_by = ?, close_reason = ?, version = version + 1
WHERE id = ? AND version = ? AND closed_at IS NULL RETURNING id"""
CLOSED = Text("该异常已处理", "this exception is closed already")
CHANGED = Text("他人刚改过，请刷新", "somebody else changed it just now: please reload")
OTHERS = """SELECT a.id, a.number FROM appointment a JOIN appointment c ON c.itinerary_id = a.itinerary_id
WHERE c.id = ? AND a.id <> c.id AND a.state = 'booked' AND a.start_at > ? ORDER BY a.start_at, a.id"""
CANCELLED = """SELECT a.number, a.patient_id, o.ordering_department FROM appointment a
JOIN appointment_item ai ON ai.appointment_id = a.id JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_order o ON o.id = oi.order_id WHERE a.id = ? ORDER BY oi.id"""


def open_task(
    database: Database, code: str, department: str, patient: int | None, order_item: int | None, now: datetime,
    deadline: timedelta, *, appointment: int | None = None, reason: Text | None = None,
) -> int | None:  # fmt: skip
    """Open a task and return its id, unless the same one is open for this item; inside a write transaction."""
    open_already = order_item is not None and database.value(
        "SELECT 1 FROM desk_task WHERE order_item_id = ? AND code = ? AND closed_at IS NULL", order_item, code
    )
    if open_already:
        return None
    words, step = reason or text(code), NEXT_STEPS.get(code, NEXT_STEPS["rule_unavailable"])
    return database.insert(
        DeskTask, code=code, department=department, owner=OWNERS.get(code, "registrar"), patient=patient,
        order_item=order_item, appointment=appointment, reason=dump({"zh": words.zh, "en": words.en}),
        next_step=dump({"zh": step.zh, "en": step.en}), opened_at=epoch(now), deadline_at=epoch(now + deadline),
    )  # fmt: skip


def take(
    database: Database, task: int, actor: Actor, now: datetime, key: RequestKey | None = None, *, version: int | None = None
) -> None:
    """Somebody works on a task now, also where another did before. Raises `NotFound`, `Conflict`."""
    _change(database, task, "exception.take", actor, now, key, version, TAKE, (actor.name, epoch(now)))


def settle(
    database: Database, task: int, actor: Actor, now: datetime, key: RequestKey | None = None, *, reason: str,
    version: int | None = None,
) -> None:  # fmt: skip
    """A task is done, or needs nothing more, for a reason. Raises `NotFound`, `Conflict`."""
    done = (epoch(now), actor.name, reason)
    _change(database, task, "exception.close", actor, now, key, version, SETTLE, done)


def _change(
    database: Database, task: int, action: str, actor: Actor, now: datetime, key: RequestKey | None,
    version: int | None, statement: str, values: tuple[object, ...],
) -> None:  # fmt: skip
    def store() -> None:
        receipts.keep(database, key, "exception", str(task), epoch(now))
        row = database.row("SELECT version, closed_at, code FROM desk_task WHERE id = ?", task)
        if row is None:
            raise NotFound("exception", str(task))
        present, closed_at, code = row
        if version is not None and version != present:
            raise Conflict("version_conflict", CHANGED, "/version")
        if closed_at is not None:
            raise Conflict("state_conflict", CLOSED)
        if not database.rows(statement, *values, task, present):
            raise Conflict("version_conflict", CHANGED, "/version")
        audit.record(database, actor, action, "exception", str(task), epoch(now), version=present + 1, code=code)

    database.write(store)


def close_tasks(database: Database, order_item: int, keep: str, by: str, now: datetime) -> None:
    """Close an item's tasks that no longer hold, except the one named `keep`."""
    database.rows(
        "UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE order_item_id = ? AND closed_at IS NULL "
        "AND code <> ? RETURNING id",
        epoch(now), by, order_item, keep,
    )  # fmt: skip


def close_task(database: Database, appointment: int, code: str, by: str, now: datetime) -> None:
    """Close an appointment's tasks of one kind."""
    database.rows(
        "UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE appointment_id = ? AND code = ? AND closed_at IS NULL "
        "RETURNING id",
        epoch(now), by, appointment, code,
    )  # fmt: skip


def rest_of_itinerary(database: Database, appointment: int, now: datetime) -> list[tuple[int, str]]:
    """The other appointments of an itinerary that are still to come and may be planned again: ids and numbers."""
    return [(key, number) for key, number in database.rows(OTHERS, appointment, epoch(now))]


def offer_the_rest(database: Database, cancelled: int, now: datetime, deadline: timedelta) -> None:
    """Of an itinerary one appointment was cancelled: tell peers and the clinic that the others can be planned again."""
    others = [number for _, number in rest_of_itinerary(database, cancelled, now)]
    if not others:
        return
    number, patient, clinic = database.rows(CANCELLED, cancelled)[0]
    open_task(database, REST, clinic, patient, None, now, deadline, appointment=cancelled, reason=MEMBER_CANCELLED)
    payload = {"appointment": number, "others": others}
    events.emit(database, "appointment", number, "itinerary.member_cancelled", payload, epoch(now))


def close_offer(database: Database, cancelled: int, by: str, now: datetime) -> None:
    """The others of a cancelled appointment's itinerary were planned again."""
    database.rows(
        "UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE appointment_id = ? AND code = ? AND closed_at IS NULL "
        "RETURNING id",
        epoch(now), by, cancelled, REST,
    )  # fmt: skip
