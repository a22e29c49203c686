"""What a suspension takes away: asked for in a hospital's words, checked, and laid down on rosters, calendar and slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from typing import Any

from examlane.capacity import calendar as calendars
from examlane.capacity import rosters
from examlane.capacity.calendar import Calendar, days_from
from examlane.capacity.catalogue import Catalogue
from examlane.capacity.rosters import Change, Closure, Difference
from examlane.domain import Text
from examlane.errors import InvalidInput
from examlane.hospital import Hospital
from examlane.records.audit import Actor
from examlane.records.versions import bump
from examlane.storage.daily import CalendarChange, Suspension, SuspensionScope
from examlane.storage.fields import dump, epoch

DOWN, ABSENT, SHORTENED, SWAPPED, REPLACED = "device_down", "staff_absent", "shortened", "swapped", "replaced"
HOLIDAY, WORKDAY = "holiday", "workday"
KINDS: dict[str, Text] = {
    DOWN: Text("设备停用", "a device is down"),
    ABSENT: Text("人员停诊", "a member of staff is absent"),
    SHORTENED: Text("排班缩短", "a roster is shorter"),
    SWAPPED: Text("排班对调", "two rosters are swapped"),
    REPLACED: Text("替班", "another one takes over a roster"),
    HOLIDAY: Text("改为放假", "a day becomes a holiday"),
    WORKDAY: Text("改为上班", "a day becomes a workday"),
}
OF_THE_CALENDAR = (HOLIDAY, WORKDAY)
TIME, ONE, OTHER = ("since", "until"), ("resource", "day"), ("resource", "other", "day")
NEEDED: dict[str, Sequence[str]] = {
    DOWN: TIME, ABSENT: TIME, SHORTENED: (*ONE, "opens", "closes"), SWAPPED: OTHER, REPLACED: OTHER,
    HOLIDAY: ("day",), WORKDAY: ("day", "weekday"),
}  # fmt: skip
ALLOWED: dict[str, Sequence[str]] = {
    DOWN: ("resource", "group"), ABSENT: ("resource", "group"), HOLIDAY: ("departments",), WORKDAY: ("departments",),
}  # fmt: skip
POINTERS = {"since": "/from"}
LONGEST = timedelta(days=366)
TWO_DAYS = 2 * 86400
MISSING = Text("该项必填", "this is needed")
NOT_HERE = Text("该项与此类停用无关", "this does not belong to this kind")
UNKNOWN = Text("未知", "not known")
RESOURCES = """SELECT r.id, r.code, g.code, d.code, g.slice_minutes FROM resource r
JOIN resource_group g ON g.id = r.group_id JOIN department d ON d.id = g.department_id"""
Problem = tuple[str, Text]


@dataclass(frozen=True, slots=True)
class Asked:
    """What falls away, for a reason: a resource or a group from an instant until another, one resource's roster on a
    day (minutes after midnight), or a day of the calendar, everywhere or in some departments.
    """

    kind: str
    reason: str
    resource: str = ""
    group: str = ""
    since: datetime | None = None
    until: datetime | None = None
    day: date | None = None
    opens: int | None = None
    closes: int | None = None
    other: str = ""
    weekday: int | None = None
    departments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A suspension that may be laid down: whose it is, the time it is about, and what changes.

    `scope` is the time of resources it is about; with `closes` all of it is closed, else what rosters no longer want.
    """

    asked: Asked
    department: str
    resources: tuple[int, ...]
    scope: tuple[Closure, ...]
    days: tuple[date, ...]
    closes: bool
    change: Change | None = None
    names: tuple[str, ...] = field(default=())

    @property
    def starts_at(self) -> int:
        return min(one.start_at for one in self.scope)

    @property
    def ends_at(self) -> int:
        return max(one.end_at for one in self.scope)


@dataclass(frozen=True, slots=True)
class _Resource:
    id: int
    code: str
    group: str
    department: str
    slice_minutes: int


def plan(hospital: Hospital, asked: Asked) -> Planned:
    """What a suspension would be about. Raises `InvalidInput` with every problem at once."""
    if asked.kind not in KINDS:
        raise InvalidInput([("/kind", UNKNOWN)])
    if problems := [*_misplaced(asked), *_wrong_time(hospital, asked)]:
        raise InvalidInput(problems)
    if asked.kind in OF_THE_CALENDAR:
        return _of_the_calendar(hospital, asked)
    if asked.kind in (DOWN, ABSENT):
        return _of_time(hospital, asked)
    return _of_a_roster(hospital, asked)


def _misplaced(asked: Asked) -> list[Problem]:
    needed, allowed = NEEDED[asked.kind], ALLOWED.get(asked.kind, ())
    found = []
    for each in fields(asked):
        given = getattr(asked, each.name) not in (None, "", ())
        pointer = POINTERS.get(each.name, f"/{each.name}")
        if each.name in needed and not given:
            found.append((pointer, MISSING))
        elif given and each.name not in ("kind", "reason", *needed, *allowed):
            found.append((pointer, NOT_HERE))
    if "resource" in allowed and bool(asked.resource) == bool(asked.group):
        found.append(("/resource", Text("须指定资源或资源组之一", "name either a resource or a group")))
    return found


def _wrong_time(hospital: Hospital, asked: Asked) -> list[Problem]:
    now = hospital.clock.now()
    if asked.since and asked.until:
        if asked.until <= asked.since:
            return [("/until", Text("结束须晚于开始", "must be later than the beginning"))]
        if asked.until <= now:
            return [("/until", Text("已经过去", "is over already"))]
        if asked.until - asked.since > LONGEST:
            return [("/until", Text("最长 366 天", "366 days at most"))]
    if asked.day and not hospital.calendar.day_of(now) <= asked.day <= hospital.calendar.day_of(now + LONGEST):
        return [("/day", Text("须为今天起 366 天内", "must be today or within 366 days"))]
    if asked.opens is not None and asked.closes is not None and asked.closes <= asked.opens:
        return [("/closes", Text("结束须晚于开始", "must be later than the beginning"))]
    return []


def _of_time(hospital: Hospital, asked: Asked) -> Planned:
    assert asked.since
    assert asked.until
    found = _members(hospital, asked)
    start, end = epoch(asked.since), epoch(asked.until)
    first = hospital.calendar.day_of(asked.since) - timedelta(days=1)  # a shift over midnight began the day before
    days = days_from(first, (hospital.calendar.day_of(asked.until) - first).days + 1)
    scope = tuple(Closure(one.id, start, end) for one in found)
    return Planned(
        asked, found[0].department, tuple(one.id for one in found), scope, tuple(days), True,
        names=tuple(one.code for one in found),
    )  # fmt: skip


def _members(hospital: Hospital, asked: Asked) -> list[_Resource]:
    if asked.resource:
        return [_resource(hospital, asked.resource, "/resource")]
    rows = hospital.database.rows(f"{RESOURCES} WHERE g.code = ? AND r.is_active = 1 ORDER BY r.id", asked.group)
    if not rows:
        raise InvalidInput([("/group", UNKNOWN)])
    return [_Resource(*row) for row in rows]


def _resource(hospital: Hospital, code: str, pointer: str) -> _Resource:
    row = hospital.database.row(f"{RESOURCES} WHERE r.code = ? AND r.is_active = 1", code)
    if row is None:
        raise InvalidInput([(pointer, UNKNOWN)])
    return _Resource(*row)


def _of_a_roster(hospital: Hospital, asked: Asked) -> Planned:
    assert asked.day
    one = _resource(hospital, asked.resource, "/resource")
    if asked.kind == SHORTENED:
        midnight, end = _whole(hospital.calendar, asked.day)
        opens, closes = midnight + 60 * (asked.opens or 0), midnight + 60 * (asked.closes or 0)
        stretches = [(midnight, opens), (closes, end)]
        scope = tuple(Closure(one.id, since, until, str(asked.day)) for since, until in stretches if since < until)
        return Planned(asked, one.department, (one.id,), scope, (asked.day,), True, names=(one.code,))
    other = _resource(hospital, asked.other, "/other")
    if other.id == one.id or (other.department, other.slice_minutes) != (one.department, one.slice_minutes):
        words = Text("须为同科室、时间片相同的另一资源", "must be another resource of the department with equal slices")
        raise InvalidInput([("/other", words)])
    kind = "swap" if asked.kind == SWAPPED else "replace"
    change = Change(one.id, asked.day, kind, asked.reason, "", other=other.id)
    scope = tuple(Closure(each, *_whole(hospital.calendar, asked.day), str(asked.day)) for each in (one.id, other.id))
    return Planned(asked, one.department, (one.id, other.id), scope, (asked.day,), False, change, (one.code, other.code))


def _of_the_calendar(hospital: Hospital, asked: Asked) -> Planned:
    assert asked.day
    known = hospital.catalogues.current().departments
    if wrong := [(f"/departments/{n}", UNKNOWN) for n, one in enumerate(asked.departments) if one not in known]:
        raise InvalidInput(wrong)
    rows = hospital.database.rows(f"{RESOURCES} WHERE r.is_active = 1 ORDER BY r.id")
    found = [row[0] for row in rows if not asked.departments or row[3] in asked.departments]
    scope = tuple(Closure(one, *_whole(hospital.calendar, asked.day), str(asked.day)) for one in found)
    if not scope:
        raise InvalidInput([("/departments", Text("没有检查资源", "no resources there"))])
    return Planned(asked, "", tuple(found), scope, (asked.day,), False)


def _whole(calendar: Calendar, day: date) -> tuple[int, int]:
    """All of a business date, its shift over midnight included."""
    midnight = epoch(calendar.midnight(day))
    return midnight, midnight + TWO_DAYS


def foreseen(hospital: Hospital, planned: Planned) -> Difference:
    """How the slots would change; nothing is written."""
    calendar, days = _calendar_after(hospital.catalogues.current(), planned.asked), _published(hospital, planned.days)
    if not days:
        return Difference({}, {}, ())
    return rosters.difference(
        hospital.database, calendar, days, planned.resources,
        changes=(planned.change,) if planned.change else (), closures=planned.scope if planned.closes else (),
    )  # fmt: skip


def _calendar_after(catalogue: Catalogue, asked: Asked) -> Calendar:
    if asked.kind not in OF_THE_CALENDAR:
        return catalogue.calendar
    assert asked.day
    return catalogue.calendar.with_day(asked.day, asked.weekday, asked.departments)


def lay_down(hospital: Hospital, planned: Planned, number: str, actor: Actor) -> int:
    """Record a suspension and close its slots, in the caller's write transaction; returns its id."""
    database, asked, now = hospital.database, planned.asked, epoch(hospital.clock.now())
    change = replace(planned.change, actor=actor.name) if planned.change else None
    suspension = database.insert(
        Suspension, number=number, kind=asked.kind, department=planned.department, request=dump(_as_data(planned)),
        starts_at=planned.starts_at, ends_at=planned.ends_at, reason=asked.reason, actor=actor.name,
        channel=actor.channel, created_at=now,
        roster_change=rosters.record(database, change, now) if change else None,
    )  # fmt: skip
    rows = [(suspension, *one[:1], one.day, one.start_at, one.end_at, int(planned.closes)) for one in planned.scope]
    database.insert_many(SuspensionScope, ("suspension", "resource", "day", "start_at", "end_at", "closes"), rows)
    if asked.kind in OF_THE_CALENDAR:
        for department in asked.departments or ("",):
            database.insert(
                CalendarChange, suspension=suspension, day=str(asked.day), department=department,
                weekday_applies=asked.weekday,
            )  # fmt: skip
        bump(database, "catalogue")
    closed = align(hospital, planned.days, planned.resources).to_close
    database.rows("UPDATE suspension SET seats_lost = ? WHERE id = ? RETURNING id", sum(closed.values()), suspension)
    return suspension


def align(hospital: Hospital, days: Sequence[date], resources: Sequence[int]) -> Difference:
    """Bring published slots in line with what holds now, in the caller's write transaction."""
    database, present = hospital.database, calendars.load(hospital.database, hospital.settings.zone)
    last, now = database.value("SELECT max(day) FROM slot") or "", epoch(hospital.clock.now())
    published = [day for day in _published(hospital, days) if day.isoformat() <= last]
    # A day that gets its first slots gets them for everybody: it counts as published from then on.
    if fresh := [day for day in _published(hospital, days) if day.isoformat() > last]:
        rosters.align(database, present, fresh, None, now)
    return rosters.align(database, present, published, resources, now) if published else Difference({}, {}, ())


def _published(hospital: Hospital, days: Sequence[date]) -> list[date]:
    """The days whose slots are made already or now; those of later days will be made as it is then."""
    end = hospital.calendar.day_of(hospital.clock.now()) + timedelta(days=hospital.settings.horizon_days)
    last = hospital.database.value("SELECT max(day) FROM slot") or ""
    return [day for day in days if day < end or day.isoformat() <= last]


def _as_data(planned: Planned) -> dict[str, Any]:
    asked = planned.asked
    values = {each.name: getattr(asked, each.name) for each in fields(asked)}
    given = {name: value for name, value in values.items() if value not in (None, "", ())}
    return {
        **{name: value.isoformat() if isinstance(value, date | datetime) else value for name, value in given.items()},
        "resources": planned.names,
    }  # fmt: skip
