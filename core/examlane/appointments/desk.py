"""Desk tasks: why automation stopped, who owns it, until when, and the next step."""

from __future__ import annotations

from datetime import datetime, timedelta

from examlane.domain import Text
from examlane.reasons import text
from examlane.storage.database import Database
from examlane.storage.fields import dump, epoch
from examlane.storage.ledger import DeskTask

OWNERS = {"needs_approval": "specialist"}
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
    "unknown_order": Text("等待申请单，或联系收费处", "wait for the order, or ask the cashier"),
    "conflict_repeated": Text("手工预约", "book by hand"),
}  # fmt: skip


def open_task(
    database: Database, code: str, department: str, patient: int | None, order_item: int | None, now: datetime,
    deadline: timedelta, *, appointment: int | None = None, reason: Text | None = None,
) -> None:  # fmt: skip
    """Open a task unless the same one is open for this item; inside a write transaction."""
    open_already = order_item is not None and database.value(
        "SELECT 1 FROM desk_task WHERE order_item_id = ? AND code = ? AND closed_at IS NULL", order_item, code
    )
    if open_already:
        return
    words, step = reason or text(code), NEXT_STEPS.get(code, NEXT_STEPS["rule_unavailable"])
    database.insert(
        DeskTask, code=code, department=department, owner=OWNERS.get(code, "registrar"), patient=patient,
        order_item=order_item, appointment=appointment, reason=dump({"zh": words.zh, "en": words.en}),
        next_step=dump({"zh": step.zh, "en": step.en}), opened_at=epoch(now), deadline_at=epoch(now + deadline),
    )  # fmt: skip


def close_tasks(database: Database, order_item: int, keep: str, by: str, now: datetime) -> None:
    """Close an item's tasks that no longer hold, except the one named `keep`."""
    database.rows(
        "UPDATE desk_task SET closed_at = ?, closed_by = ? WHERE order_item_id = ? AND closed_at IS NULL "
        "AND code <> ? RETURNING id",
        epoch(now), by, order_item, keep,
    )  # fmt: skip
