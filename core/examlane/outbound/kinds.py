"""Every kind of event that a peer may hear: what it is about, when it is told, and the fields of its payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from examlane.domain import Text

VERSION = ("appointment", "department", "ends_at", "reason", "starts_at", "state", "version")
TICKET = (
    "appointment", "campus", "group", "mode", "name", "period_ends_at", "period_starts_at", "place", "priority",
    "queue_number", "version",
)  # fmt: skip
WORKLIST = (
    "appointment", "campus", "department", "encounter", "ends_at", "group", "items", "mode", "orders", "patient", "place",
    "queue_number", "resources", "starts_at", "version",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventKind:
    """`fields` are always there, `sometimes` where they say something. What is `personal` a peer must name to hear it."""

    subject: str
    when: Text
    fields: tuple[str, ...]
    sometimes: tuple[str, ...] = ()
    personal: bool = False


def _state(zh: str, en: str) -> EventKind:
    return EventKind("appointment", Text(zh, en), VERSION, ("silent",))


def _here(zh: str, en: str) -> EventKind:
    return EventKind("appointment", Text(zh, en), (*VERSION, "group", "mode", "queue_number"), ("silent",))


def _encounter(zh: str, en: str) -> EventKind:
    fields = ("appointments", "class", "departments", "encounter", "state", "ward")
    return EventKind("encounter", Text(zh, en), fields, ("silent",))


def _ward(zh: str, en: str) -> EventKind:
    fields = ("appointment", "department", "encounter", "fasting_hours", "preparation", "starts_at", "ward")
    return EventKind("ward", Text(zh, en), fields, ("silent",))


def _schedule(zh: str, en: str) -> EventKind:
    return EventKind("schedule", Text(zh, en), ("day", "department"))


def _suspension(zh: str, en: str) -> EventKind:
    fields = ("day", "department", "from", "kind", "resources", "suspension", "until")
    return EventKind("suspension", Text(zh, en), fields)


def _merge(zh: str, en: str) -> EventKind:
    return EventKind("patient", Text(zh, en), ("appointments", "encounters", "merge", "orders"))


def _restriction(zh: str, en: str) -> EventKind:
    return EventKind("restriction", Text(zh, en), ("appointments", "department", "from", "restriction", "until"))


def _worklist(zh: str, en: str) -> EventKind:
    return EventKind("appointment", Text(zh, en), WORKLIST, personal=True)


KINDS: Mapping[str, EventKind] = MappingProxyType({
    "appointment.held": _state("号源已保留", "seats are held for a while"),
    "appointment.booked": _state("已预约", "it is booked"),
    "appointment.rescheduled": _state("已改约，预约号不变", "it was moved, or comes back; the number stays"),
    "appointment.tentative": _state("前置条件重新打开，待确认", "a condition is not met any more"),
    "appointment.checked_in": _here("已签到", "the patient is here"),
    "appointment.called": _here("已叫号", "he is called"),
    "appointment.called_absent": _here("过号", "he was called and did not come"),
    "appointment.deferred": _here("暂未准备好", "he is here and not ready"),
    "appointment.in_progress": _state("检查中", "the exam has begun"),
    "appointment.fulfilled": _state("检查完成", "the exam is done"),
    "appointment.not_done": _state("未做", "the exam was not done"),
    "appointment.no_show": _state("未按时检查", "the patient did not come"),
    "appointment.cancelled": _state("已取消", "it is cancelled"),
    "appointment.expired": _state("保留或待确认过期", "a hold or a tentative time ended"),
    "appointment.suspended": _state("停诊待改约", "it lost its time and waits for another"),
    "appointment.replaced": _state("并入另一预约", "it was merged into another appointment"),
    "appointment.adopted": EventKind(
        "appointment", Text("科室切换后由本系统管理", "its department books here now: it is ours, time and number stay"),
        ("appointment", "department", "external_number", "starts_at"),
    ),
    "ticket.issued": EventKind(
        "appointment", Text("签到，进入候检队列", "he was checked in: his ticket for the queue system; the name is masked"),
        TICKET, personal=True,
    ),
    "ticket.void": EventKind(
        "appointment", Text("签到撤销或离开队列", "he does not wait any more, and was not examined"),
        ("appointment", "reason", "version"), personal=True,
    ),
    "worklist.scheduled": _worklist("已预约、改约或申请单变更", "it was booked or moved, or its order changed"),
    "worklist.registered": _worklist("已签到登记", "the patient is here: the registration (登记)"),
    "worklist.removed": EventKind(
        "appointment", Text("移出工作列表", "it leaves the worklist: cancelled, suspended, replaced, not come, held"),
        ("appointment", "department", "reason", "state", "version"), personal=True,
    ),
    "itinerary.member_cancelled": EventKind(
        "appointment", Text("同日多项检查中的一项已取消", "it was planned together with `others`"),
        ("appointment", "others"),
    ),
    "ward.answered": EventKind(
        "appointment", Text("病区回复", "the ward said that the patient is ready, being brought, or not coming"),
        ("answer", "appointment", "department", "reason"),
    ),
    "order_item.changed": EventKind(
        "order_item", Text("项目状态变化", "its state or reason changed"), ("order_item", "payable", "reason", "state"),
    ),
    "order_item.payable": EventKind(
        "order_item", Text("是否可缴费变化", "it may be paid now, or not any more; told once first, then at each change"),
        ("gates", "line", "order", "order_item", "payable", "reason"),
    ),
    "order_item.refundable": EventKind(
        "order_item", Text("是否可退费变化", "it may not be refunded any more (the exam has begun), or may again"),
        ("line", "order", "order_item", "reason", "refundable"),
    ),
    "order.answered": EventKind(
        "order", Text("规则审核结果", "the rules answered for some of its items, or answer otherwise now; codes only"),
        ("items", "order"), personal=True,
    ),
    "order.sent_back": EventKind(
        "order", Text("退回开单医生", "a department sent it back to its doctor"), ("lines", "order", "reason"),
    ),
    "order.refund": EventKind(
        "order", Text("退费", "a refund was requested, withdrawn or paid out; `lines` are those that may be paid out"),
        ("kind", "lines", "order"),
    ),
    "patient.message": EventKind(
        "message", Text("告知患者", "something is to be told to a patient"),
        ("channel", "message", "phone", "recipient", "text"), personal=True,
    ),
    "patient.merged": _merge("患者合并", "what belongs to another record from now on"),
    "patient.unmerged": _merge("撤销合并", "what goes back to its own record"),
    "offer.made": EventKind(
        "offer", Text("候补有空位", "a freed time is offered to somebody who waits"),
        ("appointment", "entry", "expires_at", "group", "items", "offer", "period_starts_at"),
    ),
    "offer.gone": EventKind("offer", Text("候补已失效", "it expired, or another was first"), ("entry", "offer")),
    "schedule.published": _schedule("新一日号源排班", "a department's rosters of a new day are there"),
    "schedule.changed": _schedule("号源排班变更", "they are others now: suspended, opened again, swapped"),
    "suspension.applied": _suspension("停诊", "slots were closed"),
    "suspension.ended": _suspension("停诊结束", "they are open again"),
    "department.external": EventKind(
        "department", Text("切回原系统", "it books in its own system again; read the export at `GET /transfers/{export}`"),
        ("appointments", "department", "export"),
    ),
    "department.check_in_paused": EventKind(
        "department", Text("收不到签到", "its check-in source is silent or declared offline: no-shows wait"),
        ("department", "kind", "reason", "since"),
    ),
    "department.check_in_resumed": EventKind(
        "department", Text("签到恢复", "it is heard of again"), ("department", "since", "sweeps_from", "until"),
    ),
    "encounter.admission": _encounter("入院", "a patient was admitted"),
    "encounter.admission_withdrawn": _encounter("撤销入院", "and was not"),
    "encounter.transfer": _encounter("转科", "a patient was moved to another ward or bed"),
    "encounter.transfer_withdrawn": _encounter("撤销转科", "and was not"),
    "encounter.discharge": _encounter("出院", "a patient was discharged"),
    "encounter.discharge_withdrawn": _encounter("撤销出院", "and was not"),
    "encounter.death": _encounter("死亡", "a patient has died; `silent`: tell no patient and no family by machine"),
    "encounter.death_withdrawn": _encounter("撤销死亡", "and has not"),
    "ward.exam_added": _ward("病区新增检查", "a patient with a booked exam came to the ward"),
    "ward.exam_changed": _ward("床位或需求变化", "he has another bed or other needs"),
    "ward.exam_removed": _ward("离开病区", "he left the ward"),
    "restriction.made": _restriction("限制预约", "after too many missed visits a patient is booked at the desk only"),
    "restriction.ended": _restriction("限制解除", "and is not any more"),
})  # fmt: skip


def misfits(kind: str, payload: Mapping[str, object]) -> list[str]:
    """What of an event is not as it is declared: an unknown kind, fields that lack, fields that nobody expects."""
    known = KINDS.get(kind)
    if known is None:
        return [f"{kind}: unknown"]
    lacking = [f"{kind}: no {name}" for name in known.fields if name not in payload]
    return lacking + [f"{kind}: {name}?" for name in payload if name not in (*known.fields, *known.sometimes)]
