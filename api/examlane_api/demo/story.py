"""Saying what happened, in words that a hospital person understands: Chinese first, then English."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from examlane.reasons import text
from examlane_api.demo.outcome import Outcome

ZONE = ZoneInfo("Asia/Shanghai")
SHOWN = 20


def building(patients: int) -> str:
    return (
        f"正在建立演示医院：3 个院区、28 天号源，{patients} 位患者的上午……\n"
        f"Building the demonstration hospital: 3 campuses, 28 days of slots, a morning of {patients} patients …"
    )


def loaded(rules: int) -> str:
    return f"已载入 {rules} 条规则版本 · {rules} rule versions loaded"


def progress(starts: datetime, ends: datetime) -> Callable[[datetime], None]:
    """Shows on standard error how far the morning is."""
    lively = sys.stderr.isatty()

    def show(instant: datetime) -> None:
        minute = int((instant - starts).total_seconds() // 60)
        if lively or minute % 60 == 0:
            share = (instant - starts) / (ends - starts)
            line = f"  {instant:%H:%M}  {'█' * round(30 * share):<30}"
            print(line, end="\r" if lively and share < 1 else "\n", file=sys.stderr, flush=True)

    return show


def told(numbers: Mapping[str, Any], outcome: Outcome, cases: Path) -> str:
    """Numbers, three patients, the desk, and whatever is not as it must be."""
    parts = [_numbers(numbers), _patients(outcome), _desk(outcome), _verdict(numbers, outcome, cases)]
    return "\n\n".join(part for part in parts if part)


def served(address: str, passwords: Mapping[str, str]) -> str:
    log_ins = "\n".join(f"  {login}  {password}" for login, password in passwords.items())
    return (
        f"\n页面 · pages  {address}/\n接口 · interface  {address}/api/v1/openapi.json   {address}/soap/booking?wsdl\n"
        f"一次性口令，只显示这一次 · one-time passwords, shown this once:\n{log_ins}\n"
        "按 Ctrl-C 结束 · Ctrl-C ends it"
    )


def _numbers(n: Mapping[str, Any]) -> str:
    automatic = round(100 * n["auto_booked"] / n["bookable_items"]) if n["bookable_items"] else 0
    share = round(100 * (n["same_day_share"] or 0))
    return "\n".join(
        (
            f"\n上午来了 {n['patients']} 位患者，{n['orders']} 张申请单，{n['order_items']} 个检查项目。",
            f"  {n['patients']} patients, {n['orders']} orders, {n['order_items']} exams.",
            f"其中 {n['bookable_items']} 项需要预约，{n['auto_booked']} 项（{automatic}%）无人点击即约好。",
            f"  {n['bookable_items']} of them need a time; {n['auto_booked']} ({automatic}%) got one without a click.",
            f"{n['rejected']} 项因缺资料或违反规则被退回，{n['awaiting_gate']} 项等待麻醉评估，{n['desk']} 项在登记台。",
            f"  {n['rejected']} sent back by a rule, {n['awaiting_gate']} wait for an assessment, {n['desk']} at the desk.",
            f"{n['rescheduled']} 位改约；{n['no_shows']} 位未按时检查，其中 {n['rebooked_at_kiosk']} 位在自助机重新排号。",
            f"  {n['rescheduled']} moved; {n['no_shows']} did not come, {n['rebooked_at_kiosk']} re-booked at the kiosk.",
            f"{n['examined']} 次检查已做完；有两项以上检查的患者 {share}% 全在同一天。",
            f"  {n['examined']} visits done; {share}% of patients with several exams have them all on one day.",
        )
    )


def _patients(outcome: Outcome) -> str:
    lines = ["三位患者 · three patients"] if outcome.examples else []
    for case, visits in outcome.examples:
        name = next(m.body["patient"]["name"] for m in case.messages if m.kind == "order")
        lines.append(f"  {name[0]}*（{case.story['zh']} · {case.story['en']}）")
        for zh, en, start, state, place in visits:
            at = datetime.fromtimestamp(start, ZONE)
            lines.append(f"    {at:%m-%d %H:%M}  {zh} · {en}  {place}  {text(state).zh}")
    return "\n".join(lines)


def _desk(outcome: Outcome) -> str:
    lines = ["登记台待办 · on the desk"] if outcome.desk else []
    for code, department, count in outcome.desk:
        lines.append(f"  {count:>3}  {department:<4} {text(code).zh} · {text(code).en}")
    return "\n".join(lines)


def _verdict(n: Mapping[str, Any], outcome: Outcome, cases: Path) -> str:
    lines = [
        f"{n['cases_as_expected']} / {n['cases']} 位患者的结果与预先写下的一致；超约 {n['overbooked_slots']}，"
        f"丢失消息 {n['lost_events']}（共 {n['events']} 条）；用时 {n['seconds']} 秒。",
        f"  {n['cases_as_expected']} of {n['cases']} patients ended as written down before ({cases}); "
        f"{n['overbooked_slots']} overbooked, {n['lost_events']} of {n['events']} events lost; {n['seconds']} s.",
    ]
    lines += [f"  ✗ {d.case} {d.kind} {d.what}: {d.expected} → {d.found}" for d in outcome.differences[:SHOWN]]
    lines += [f"  ✗ {v.id} ×{v.count} {v.title.zh} · {v.title.en}: {', '.join(v.rows[:3])}" for v in outcome.violations]
    lines += [f"  ✗ {surprise}" for surprise in outcome.surprises[:SHOWN]]
    return "\n".join(lines)
