"""今日看板: one department's day, a column a room, every visit with its state; names are masked."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

from flask import abort, render_template, request

from examlane.orders.patients import masked
from examlane.storage.fields import epoch, instant
from examlane.visit import TICK_MINUTES
from examlane_api.pages.site import caller, hospital, language, page

# A room's claims of one visit: the visit's items, and the stretch it takes in this room.
CLAIMS = """SELECT r.name, r.name_en, a.id, a.number, a.state, p.name, min(s.start_at), max(s.end_at), a.end_at
FROM claim c JOIN slot s ON s.id = c.slot_id JOIN resource r ON r.id = c.resource_id
JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id
JOIN appointment a ON a.id = c.appointment_id JOIN patient p ON p.id = a.patient_id
WHERE s.day = ? AND d.code = ? AND c.released_at IS NULL AND a.state <> 'held'
GROUP BY r.id, r.name, r.name_en, a.id, a.number, a.state, p.name, a.end_at, c.segment
ORDER BY r.id, min(s.start_at)"""
ROOMS = """SELECT r.name, r.name_en, sum(s.taken), sum(s.capacity + s.extra), min(s.start_at), max(s.end_at)
FROM resource r JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id
JOIN slot s ON s.resource_id = r.id WHERE d.code = ? AND s.day = ? GROUP BY r.id, r.name, r.name_en ORDER BY r.id"""
ITEMS = """SELECT ai.appointment_id, i.name, i.name_en FROM appointment a
JOIN appointment_item ai ON ai.appointment_id = a.id JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_item i ON i.id = oi.item_id WHERE a.department = ? AND a.day = ? ORDER BY ai.id"""
STATES = "SELECT state, count(*) FROM appointment WHERE department = ? AND day = ? GROUP BY state"
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2100, 12, 31)
GONE = ("cancelled", "expired", "replaced", "held", "suspended")
WAITING = ("checked_in", "called", "called_absent", "deferred")


@page("page.board")
def board(department: str = "") -> str:
    """A department's day; without a department the first one the caller may see."""
    here = hospital()
    departments = _departments()
    shown = next((each for each in departments if each.code == department), None)
    if shown is None and department:
        abort(404)
    if shown is None:
        shown = departments[0] if departments else abort(404)
    day = _day()
    rooms = here.database.rows(ROOMS, shown.code, day.isoformat())
    hours = _hours(rooms, day)
    first = epoch(here.calendar.midnight(day)) + (hours[0] if hours else 0) * 3600
    return render_template(
        "board.html", department=shown, departments=departments, day=day, previous=day - timedelta(days=1),
        next=day + timedelta(days=1), counts=_counts(shown.code, day), columns=_columns(shown.code, day, rooms, first),
        hours=hours, now_row=_now_row(day, hours, first),
    )  # fmt: skip


def _departments() -> list[SimpleNamespace]:
    found = caller()
    allowed = found.departments if found else frozenset()
    return [
        SimpleNamespace(code=each.code, name=_word(each.name.zh, each.name.en))
        for each in hospital().catalogues.current().departments.values()
        if each.executing and (not allowed or each.code in allowed)
    ]


def _day() -> date:
    today = hospital().calendar.day_of(hospital().clock.now())
    try:
        day = date.fromisoformat(request.args.get("day", ""))
    except ValueError:
        return today
    return day if FIRST_DAY <= day <= LAST_DAY else today


def _hours(rooms: list[Any], day: date) -> list[int]:
    if not rooms:
        return []
    midnight = epoch(hospital().calendar.midnight(day))
    first = (min(room[4] for room in rooms) - midnight) // 3600
    last = -(-(max(room[5] for room in rooms) - midnight) // 3600)
    return list(range(first, min(last, first + 24)))


def _columns(department: str, day: date, rooms: list[Any], first: int) -> list[SimpleNamespace]:
    items: dict[int, list[str]] = defaultdict(list)
    for appointment, name, english in hospital().database.rows(ITEMS, department, day.isoformat()):
        items[appointment].append(_word(name, english))
    blocks: dict[str, list[SimpleNamespace]] = defaultdict(list)
    for row in hospital().database.rows(CLAIMS, day.isoformat(), department):
        blocks[row[0]].append(_block(row, items[row[2]], first))
    return [
        SimpleNamespace(name=_word(name, english), load=round(100 * taken / seats) if seats else None, blocks=blocks[name])
        for name, english, taken, seats, _, _ in rooms
    ]


def _block(row: Any, items: list[str], first: int) -> SimpleNamespace:
    _, _, _, number, state, name, start, end, _ = row
    tick = TICK_MINUTES * 60
    return SimpleNamespace(
        number=number, state=state, starts=instant(start), ends=instant(end), name=masked(name), items=items,
        row=(start - first) // tick + 1, span=max(1, (end - start) // tick),
    )  # fmt: skip


def _counts(department: str, day: date) -> dict[str, int]:
    states: dict[str, int] = dict(hospital().database.rows(STATES, department, day.isoformat()))
    return {
        "booked": sum(number for state, number in states.items() if state not in GONE),
        "checked_in": states.get("checked_in", 0),
        "waiting": sum(states.get(state, 0) for state in WAITING),
        "fulfilled": states.get("fulfilled", 0),
        "no_show": states.get("no_show", 0),
    }


def _now_row(day: date, hours: list[int], first: int) -> int | None:
    now = hospital().clock.now()
    row = (epoch(now) - first) // (TICK_MINUTES * 60) + 1
    today = hospital().calendar.day_of(now) == day
    return row if today and hours and 1 <= row <= len(hours) * 12 else None


def _word(chinese: str, english: str) -> str:
    return english if language() == "en" and english else chinese
