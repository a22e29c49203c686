"""One set of reason codes for doctor's station, kiosk, desk and log, each in Chinese and English."""

from __future__ import annotations

from examlane.domain import Text

REASONS: dict[str, Text] = {
    "booked": Text("已预约", "booked"),
    "tentative": Text("预约待确认：前置条件重新打开", "tentative: a condition re-opened"),
    "gate_stayed_closed": Text("前置条件未及时满足，预约已释放", "a condition was not met in time: the seat was given back"),
    "not_ready": Text("检查前还需完成当日事项", "something is still to be done before the exam"),
    "held": Text("已为您保留", "held for you"),
    "received": Text("已收到，正在处理", "received, being processed"),
    "pending": Text("已收到，稍后自动预约", "received, will be booked shortly"),
    "rejected": Text("不符合检查规则，请修改申请单", "against the rules: please change the order"),
    "unverified": Text("规则暂不可用，已转人工核对", "the rules are unavailable: passed to the desk"),
    "needs_confirmation": Text("请医生确认后继续", "the doctor must confirm first"),
    "needs_approval": Text("需专科审批后继续", "a specialist must approve first"),
    "awaiting_gate": Text("前置条件未满足", "a condition is not met yet"),
    "awaiting_payment": Text("请先缴费，缴费后自动预约", "please pay; it is booked automatically then"),
    "awaiting_release": Text("等待病区确认", "waiting for the ward to confirm"),
    "no_time": Text("开放期内没有合适的时间，已转人工", "no suitable time within the horizon: passed to the desk"),
    "no_resource": Text("没有可用的检查资源，已转人工", "no resource can do this exam: passed to the desk"),
    "no_service": Text("该患者没有可用的检查服务，已转人工", "no service suits this patient: passed to the desk"),
    "rule_unavailable": Text("科室规则不可用，已转人工", "the department's rules are unavailable: passed to the desk"),
    "required_plugin_missing": Text("科室必需的规则未启用，已转人工", "a required plugin does not count: desk"),
    "department_manual": Text("该科室由人工预约", "this department books by hand"),
    "department_external": Text("该科室在原系统预约", "this department books in its own system"),
    "walk_in": Text("无需预约，到院取号", "no appointment needed: take a number on arrival"),
    "bedside": Text("床旁检查，由科室安排", "done at the bedside, arranged by the department"),
    "not_bookable": Text("该项目不需预约", "this item is not booked"),
    "conflict_repeated": Text("系统繁忙，稍后自动完成", "busy: will be finished shortly"),
    "cancelled": Text("已取消", "cancelled"),
    "fulfilled": Text("检查已完成", "examination done"),
    "checked_in": Text("已签到", "checked in"),
    "called": Text("已叫号", "called"),
    "called_absent": Text("过号", "called, not there"),
    "deferred": Text("暂缓检查", "deferred"),
    "in_progress": Text("检查中", "being examined"),
    "no_show": Text("未按时检查", "did not come"),
    "late_arrival": Text("迟到", "came late"),
    "not_done": Text("未完成检查", "not done"),
    "earliest": Text("最早可约时间", "the earliest possible time"),
    "together": Text("与相关检查一并安排", "together with the exams it belongs to"),
    "same_campus": Text("本院区最早可约时间", "the earliest possible time on this campus"),
    "emergency_extra": Text("急诊加号", "an extra seat for an emergency"),
    "other_campus": Text("其他院区明显更早", "another campus is much earlier"),
    "unknown_order": Text("申请单尚未到达，缴费已登记", "the order has not arrived yet: payment is stored"),
    "expired": Text("已过期", "expired"),
    "suspended": Text("停诊待改约", "suspended, to be moved"),
    "waiting_list": Text("候补到空出的时间", "a time that came free, from the waiting list"),
    "patient_unreachable": Text("短信和电话均未联系上患者", "neither messages nor calls reached the patient"),
    "replaced": Text("已合并", "merged into another appointment"),
}


def text(code: str) -> Text:
    """The words of a reason code; a plugin's own code brings its words with it."""
    return REASONS.get(code, Text(code, code))
