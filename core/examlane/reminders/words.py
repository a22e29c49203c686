"""The words of a message: when, where, what to do beforehand with its clock time, and how to move or cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from examlane.domain import Text

HEADS = {
    "booked": Text("您的检查已预约。", "Your exam is booked."),
    "moved": Text("您的检查已改期，请以此为准。", "Your exam was moved; this is what counts now."),
    "place": Text("您的检查安排有变，请以此为准。", "The arrangement of your exam changed; this is what counts now."),
    "tentative": Text("您的检查待确认：还有条件未满足，请尽快补齐。", "Your exam is tentative: a condition is not met yet."),
    "cancelled": Text("您的以下检查预约已取消。", "This appointment is cancelled."),
    "suspended": Text("因停诊，以下检查须改期，新时间另行通知。", "Your exam cannot be held then; a new time follows."),
    "evening": Text("提醒：您即将检查。", "A reminder of your exam."),
}
WITHOUT_PREPARATION = ("tentative", "cancelled", "suspended")
BRING = Text("请携带就诊卡和检查申请单。", "Please bring your card and the exam request.")
CHANGE = Text("改约或取消请联系登记台或使用预约渠道。", "To move or cancel, ask the desk or use the booking service.")


@dataclass(frozen=True, slots=True)
class Told:
    """What a message says of one visit; times are local, `steps` the stored preparation."""

    number: str
    exams: Text
    period_starts_at: datetime
    period_ends_at: datetime
    place: Text
    campus: Text
    steps: Sequence[dict[str, Any]]


def fasting_from(period_starts_at: datetime, steps: Sequence[dict[str, Any]]) -> datetime | None:
    """From when a patient must not eat, counted from the start of the period he was told; None: he may."""
    hours = max((int(step["fasting_hours"]) for step in steps), default=0)
    return period_starts_at - timedelta(hours=hours) if hours else None


def message(kind: str, visits: Sequence[Told], now: datetime) -> Text:
    """One message for the visits of a day, as it reads at a local instant."""
    parts = [HEADS[kind], *(_visit(visit, now, prepares=kind not in WITHOUT_PREPARATION) for visit in visits)]
    if kind not in WITHOUT_PREPARATION:
        parts += [BRING, CHANGE]
    return Text("".join(part.zh for part in parts), " ".join(part.en for part in parts))


def _visit(visit: Told, now: datetime, *, prepares: bool) -> Text:
    day, ends = visit.period_starts_at, visit.period_ends_at
    campus = "" if visit.place.zh.startswith(visit.campus.zh) else visit.campus.zh
    zh = f"{day.month}月{day.day}日{day:%H:%M}–{ends:%H:%M}，{visit.exams.zh}，{campus}{visit.place.zh}"
    en = f"{day:%Y-%m-%d %H:%M}–{ends:%H:%M}, {visit.exams.en}, {visit.place.en}, {visit.campus.en}"
    steps = [_step(step, visit, now) for step in visit.steps] if prepares else []
    zh += "".join(f"；{step.zh}" for step in steps) + f"。预约号 {visit.number}。"
    en += "".join(f"; {step.en}" for step in steps) + f". Number {visit.number}."
    return Text(zh, en)


def _step(step: dict[str, Any], visit: Told, now: datetime) -> Text:
    since = fasting_from(visit.period_starts_at, [step])
    if since is None:
        return Text(step["text"]["zh"], step["text"]["en"])
    when = _clock(since, now)
    return Text(f"{step['text']['zh']}：{when.zh}起不要进食", f"{step['text']['en']}: nothing to eat from {when.en} on")


def _clock(at: datetime, now: datetime) -> Text:
    """今天22:00, 明天06:00 or a date; what has begun is now."""
    if at <= now:
        return Text("现在", "now")
    time = f"{at:%H:%M}"
    if at.date() == now.date():
        return Text(f"今天{time}", f"{time} today")
    if at.date() == now.date() + timedelta(days=1):
        return Text(f"明天{time}", f"{time} tomorrow")
    return Text(f"{at.month}月{at.day}日{time}", f"{time} on {at:%Y-%m-%d}")
