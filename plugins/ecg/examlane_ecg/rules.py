"""What the ECG department wants: self re-booking after a miss, care before a treadmill test, preparation."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from examlane import (
    Finding,
    FindingKind,
    NoShow,
    NoShowAction,
    NoShowDecision,
    OrderItemView,
    OrderView,
    Preparation,
    Text,
)

CANNOT_WALK = frozenset({"wheelchair", "stretcher"})
AT_THE_KIOSK = Text(
    "未按时检查，当天可在自助机重新排号，无需到窗口，也不用再次缴费",
    "the exam was missed; take a new place at a kiosk today, without a window and without paying again",
)
AT_THE_DESK = Text("请到心电图登记台重新安排", "please see the ECG desk for a new time")


@cache
def rule_data() -> Mapping[str, Any]:
    return tomllib.loads(files("examlane_ecg").joinpath("rules.toml").read_text("utf-8"))


def number(name: str, settings: Mapping[str, Any]) -> int:
    """A number of the rule data, unless the department has set its own."""
    return int(settings.get(name, rule_data()[name]["value"]))


def no_show_decision(no_show: NoShow, settings: Mapping[str, Any]) -> NoShowDecision:
    """The kiosk until the end of the booked day, up to the daily limit; after that the desk."""
    until = end_of_day(no_show.starts_at, settings)
    limit = number("rebook_limit", settings)
    if no_show.earlier_today >= limit:
        return NoShowDecision(NoShowAction.MANUAL, AT_THE_DESK, "ecg.limit_reached")
    if no_show.noticed_at > until:
        return NoShowDecision(NoShowAction.MANUAL, AT_THE_DESK, "ecg.day_is_over")
    return NoShowDecision(NoShowAction.SELF_REBOOK, AT_THE_KIOSK, "ecg.kiosk_today", until, limit)


def end_of_day(starts_at: datetime, settings: Mapping[str, Any]) -> datetime:
    """The last second of the visit's local day: in its own zone, unless the settings name one."""
    zone = settings.get("time_zone")
    local = starts_at.astimezone(ZoneInfo(zone)) if zone else starts_at
    return local.replace(hour=23, minute=59, second=59, microsecond=0)


def findings(order: OrderView, settings: Mapping[str, Any]) -> list[Finding]:
    return [
        finding
        for item in order.items
        if item.item.attributes.get("treadmill")
        for finding in _treadmill(order, item.key, settings)
    ]


def _treadmill(order: OrderView, item: str, settings: Mapping[str, Any]) -> Iterator[Finding]:
    yield _exclusions(item, settings)
    if order.encounter.needs & CANNOT_WALK:
        text = Text(
            "患者需要轮椅或平车，请确认能否行走运动", "the patient needs a wheelchair or stretcher: can he walk?"
        )
        yield _finding(FindingKind.CONFIRM, "cannot_walk", text, item, "department practice")
    if order.known("pregnant"):
        text = Text("患者妊娠，请确认确需运动试验", "the patient is pregnant: confirm that an exercise test is needed")
        yield _finding(FindingKind.CONFIRM, "pregnant", text, item, "department practice")
    if order.known("hypertension"):
        yield _blood_pressure(item, settings)
    if order.known("asthma"):
        text = Text("患者有哮喘，请随身携带吸入剂", "the patient has asthma: bring the inhaler")
        yield _finding(FindingKind.HINT, "asthma", text, item, "department practice")


def _exclusions(item: str, settings: Mapping[str, Any]) -> Finding:
    days = number("infarction_days", settings)
    text = Text(
        f"请确认无平板运动试验禁忌：{days} 天内急性心肌梗死、不稳定型心绞痛、未控制的心律失常或心力衰竭、"
        "重度主动脉瓣狭窄、急性肺栓塞、主动脉夹层、急性心肌炎或心包炎",
        f"confirm that none of these is present: myocardial infarction within {days} days, unstable angina, "
        "uncontrolled arrhythmia or heart failure, severe aortic stenosis, acute pulmonary embolism, "
        "aortic dissection, acute myocarditis or pericarditis",
    )
    return _finding(FindingKind.CONFIRM, "treadmill_exclusions", text, item, rule_data()["infarction_days"]["source"])


def _blood_pressure(item: str, settings: Mapping[str, Any]) -> Finding:
    limits = f"{number('systolic_limit', settings)}/{number('diastolic_limit', settings)} mmHg"
    text = Text(
        f"患者有高血压：静息血压高于 {limits} 时不做运动试验，检查前请测血压",
        f"the patient has hypertension: no exercise test above {limits} at rest; measure before the test",
    )
    return _finding(FindingKind.HINT, "blood_pressure", text, item, rule_data()["systolic_limit"]["source"])


def _finding(kind: FindingKind, name: str, text: Text, item: str, source: str) -> Finding:
    code = f"ecg.{name}"
    return Finding(kind, code, text, item, rule=code, rule_version=rule_data()["version"], source=source)


def preparations(items: Sequence[OrderItemView], settings: Mapping[str, Any]) -> list[Preparation]:
    steps = []
    if any(item.item.attributes.get("holter") for item in items):
        steps.append(_holter(number("holter_hours", settings)))
    if any(item.item.attributes.get("treadmill") for item in items):
        steps.append(_exercise(number("treadmill_meal_hours", settings)))
    return steps


def _holter(hours: int) -> Preparation:
    minutes = rule_data()["holter_return"]["value"]
    text = Text(
        f"佩戴前请先洗澡，穿宽松的开襟上衣；佩戴 {hours} 小时，期间不洗澡、不摘电极，照常活动；"
        f"佩戴满后回原处归还记录仪，约需 {minutes} 分钟，无需重新预约",
        f"bathe before the fitting and wear a loose buttoned shirt; wear the recorder for {hours} hours, without "
        "bathing or taking off the electrodes, and live as usual; then bring it back to the same place, which takes "
        f"{minutes} minutes and needs no appointment",
    )
    return Preparation("ecg.holter", text)


def _exercise(hours: int) -> Preparation:
    text = Text(
        f"检查前 {hours} 小时内不进食、不吸烟、不饮酒和咖啡；穿运动鞋和宽松衣服；是否停用心脏药物请问开单医生",
        f"no food, tobacco, alcohol or coffee for {hours} hours before the test; wear sports shoes and loose clothes; "
        "ask the ordering doctor whether to pause heart medicines",
    )
    return Preparation("ecg.treadmill", text, timedelta(hours=hours), hours)
