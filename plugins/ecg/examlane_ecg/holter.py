"""The Holter: a recorder is fitted, worn for a day or more, and brought back when the department is open.

The core plans a visit within one day, so the return is no part of it: it is told as a stretch of time, and needs neither
order nor appointment. A recorder that is worn for two or three days takes as many seats of the recorders' roster on the
day of the fitting: its capacity is the recorder-days that the department gives out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from examlane import (
    Availability,
    BookingRequest,
    GroupView,
    Infeasible,
    Need,
    OrderItemView,
    OrderView,
    Placement,
    Preparation,
    Proposal,
    RuleBook,
    Segment,
    ServiceView,
    Text,
    Visit,
    VisitOption,
)

RECORDER = "recorder"
DAY_HOURS = 24
BROUGHT_BACK = Text("归还记录仪时科室开放的最早时间", "the earliest time whose return falls on an open day")
NO_TIME = Text("开放期内没有可在工作日归还的时间", "no time within the horizon whose return falls on an open day")


def worn_hours(item: OrderItemView, rules: RuleBook) -> int:
    """How long an item's recorder is worn; 0 for an exam without one."""
    attributes = item.item.attributes
    usual = rules["holter"]["hours"] if attributes.get("holter") else 0
    return int(attributes.get("holter_hours", usual))


def visits(orders: Sequence[OrderView], groups: Sequence[GroupView], rules: RuleBook) -> list[Visit] | None:
    """One visit an item, a Holter's with its recorder; None where no recorders are rostered: the core's own will do."""
    items = [item for order in orders for item in order.items]
    recorders = [group for group in groups if group.role == RECORDER]
    if not recorders or not any(worn_hours(item, rules) for item in items):
        return None
    return [_visit(item, groups, recorders, rules) for item in items]


def _visit(item: OrderItemView, groups: Sequence[GroupView], recorders: Sequence[GroupView], rules: RuleBook) -> Visit:
    hours = worn_hours(item, rules)
    fasting = item.item.attributes.get("fasting_hours", 0) >= rules["fasting_morning"]["hours"]
    options = tuple(_option(place, groups, recorders, hours) for place in item.services)
    return Visit(item.key, item.item.department, (item.key,), options, fasting=fasting)


def _option(place: ServiceView, groups: Sequence[GroupView], recorders: Sequence[GroupView], hours: int) -> VisitOption:
    role = next((group.role for group in groups if group.code == place.group), "device")
    needs = (Need(role, place.group), *_recorder(place, recorders, hours))
    return VisitOption(place.group, place.campus, place.zone, (Segment("exam", place.minutes, needs),))


def _recorder(place: ServiceView, recorders: Sequence[GroupView], hours: int) -> Iterable[Need]:
    there = [group for group in recorders if group.campus == place.campus]
    nearest = sorted(there, key=lambda group: (group.zone != place.zone, group.code))
    return [Need(RECORDER, group.code, seats=-(-hours // DAY_HOURS)) for group in nearest[:1] if hours]


def allocate(
    request: BookingRequest, availability: Availability, settings: Mapping[str, Any], rules: RuleBook
) -> Sequence[Proposal] | Infeasible | None:
    """The earliest fitting whose return falls on an open day; None for everything but a Holter by itself."""
    hours = max((worn_hours(item, rules) for item in request.items.values()), default=0)
    if len(request.visits) != 1 or not hours:
        return None
    placement = _best(request, availability, hours, settings)
    if placement is None:
        return Infeasible("no_time", NO_TIME)
    return [Proposal((placement,), BROUGHT_BACK)]


def _best(request: BookingRequest, availability: Availability, hours: int, settings: Mapping[str, Any]) -> Placement | None:
    """On the patient's campus, unless another one is as many days earlier as the hospital wants."""
    (visit,) = request.visits
    found = [_first(visit, option, availability, hours, settings) for option in visit.options]
    offers = sorted(filter(None, found), key=lambda placement: placement.starts_at)
    at_home = {option.group for option in visit.options if option.campus == request.encounter.campus}
    here = next((placement for placement in offers if placement.group in at_home), None)
    earliest = next(iter(offers), None)
    if here is None or earliest is None:
        return earliest
    much = timedelta(days=request.settings["other_campus_days"])
    return earliest if here.starts_at - earliest.starts_at >= much else here


def _first(
    visit: Visit, option: VisitOption, availability: Availability, hours: int, settings: Mapping[str, Any]
) -> Placement | None:
    for day in availability.days():
        bits = availability.starts(visit, option, day)
        while bits:
            start = availability.instant(day, (bits & -bits).bit_length() - 1)
            if is_open(start + timedelta(hours=hours), settings):
                return Placement(visit.key, option.group, start)
            bits &= bits - 1
    return None


def is_open(back: datetime, settings: Mapping[str, Any]) -> bool:
    """Whether recorders are taken back on the day of an instant: a return weekday, or a day set open or closed."""
    day = back.astimezone(ZoneInfo(settings["time_zone"])).date()
    if day in settings["closed_days"]:
        return False
    return day in settings["open_days"] or day.isoweekday() in settings["return_weekdays"]


def told(items: Sequence[OrderItemView], settings: Mapping[str, Any], rules: RuleBook) -> list[Preparation]:
    """How to wear a recorder, and when to bring it back."""
    hours = max((worn_hours(item, rules) for item in items), default=0)
    if not hours:
        return []
    rule = rules["holter"]
    return [Preparation(rule.id, rule.text(worn=hours, within=settings["return_within_hours"]))]
