"""Obstetrics as the ordering department: all exams on one day, when that is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from examlane import (
    BookingRequest,
    EncounterClass,
    EncounterView,
    ExamItem,
    Need,
    OrderItemView,
    PatientView,
    Placement,
    Proposal,
    Segment,
    Sex,
    Text,
    Visit,
    VisitOption,
)
from examlane.testing import rule_book
from examlane_obstetrics import hooks

RULES = rule_book("obstetrics", "examlane_obstetrics")
MONDAY = date(2026, 11, 23)
DAYS = [MONDAY + timedelta(days=days) for days in range(10)]


class Wall:
    """Free starts written down by hand: visit → day number → clock times, at each campus that has the visit."""

    def __init__(self, free: dict[str, dict[int, str]]) -> None:
        self.free = free

    def days(self) -> Sequence[date]:
        return DAYS

    def instant(self, day: date, tick: int) -> datetime:
        return datetime.combine(day, time(), UTC) + timedelta(minutes=5 * tick)

    def starts(self, visit: Visit, option: VisitOption, day: date) -> int:
        bits = 0
        name = visit.key if option.campus == "N" else f"{visit.key}@{option.campus}"
        for clock in self.free.get(name, {}).get((day - MONDAY).days, "").split():
            hour, minute = map(int, clock.split(":"))
            tick = (hour * 60 + minute) // 5
            if visit.earliest is None or self.instant(day, tick) >= visit.earliest:
                bits |= 1 << tick
        return bits

    def load(self, group: str, day: date) -> Sequence[int]:
        return ()

    def ends_at(self, visit: Visit, placement: Placement) -> datetime:
        return placement.starts_at + timedelta(minutes=visit.options[0].segments[0].minutes)

    def earliest(self, visit: Visit, not_before: datetime) -> Placement | None:
        for day in DAYS:
            for option in visit.options:
                if bits := self.starts(visit, option, day):
                    tick = (bits & -bits).bit_length() - 1
                    return Placement(visit.key, option.group, self.instant(day, tick))
        return None


def visit(key: str, minutes: int = 10, fasting: bool = False, campuses: str = "N") -> Visit:
    options = tuple(
        VisitOption(f"G-{campus}", campus, campus, (Segment("exam", minutes, (Need("room", f"G-{campus}"),)),))
        for campus in campuses
    )
    return Visit(key, "X", (key,), options, fasting=fasting)


def ask(
    visits: Sequence[Visit],
    free: dict[str, dict[int, str]],
    out_of_town: bool = False,
    attributes: dict[str, dict[str, Any]] | None = None,
    **settings: Any,
) -> Proposal | None:
    known = attributes or {}
    items = {
        one.key: OrderItemView(
            one.key,
            ExamItem(one.key, Text("x", "x"), "ES" if one.key == "scope" else "LAB", "", "X", known.get(one.key, {})),
        )
        for one in visits
    }
    request = BookingRequest(
        patient=PatientView(1, Sex.FEMALE, date(1996, 1, 1), out_of_town),
        encounter=EncounterView("E1", EncounterClass.OUTPATIENT, campus="N"),
        ordering_department="OB",
        visits=tuple(visits),
        fixed=(),
        not_before=datetime.combine(MONDAY, time(), UTC),
        horizon=DAYS[-1],
        items=items,
    )
    chosen = hooks.SettingsSchema().load({"search_milliseconds": 60_000, "gap_minutes": 0, **settings})
    found = hooks.allocate(request, Wall(free), chosen, RULES)
    return found[0] if found else None


def times(proposal: Proposal | None) -> dict[str, str]:
    assert proposal is not None
    return {placement.visit: f"{placement.starts_at:%a %H:%M}" for placement in proposal.placements}


BLOOD, SCAN, STRIP = visit("blood", fasting=True), visit("scan"), visit("strip", 20)


def test_all_exams_are_put_on_one_day_with_the_shortest_stay() -> None:
    free = {"blood": {0: "08:00 08:30", 1: "08:00"}, "scan": {0: "10:00", 1: "08:10"}, "strip": {0: "08:40 09:00"}}
    proposal = ask([BLOOD, SCAN, STRIP], free)
    assert times(proposal) == {"blood": "Mon 08:30", "strip": "Mon 08:40", "scan": "Mon 10:00"}
    assert proposal is not None
    assert proposal.proven
    assert proposal.reason.zh == "同日（2026-11-23）完成 3 项检查，在院约 100 分钟；分开预约则最后一项在 2026-11-23"


def test_a_later_finish_is_taken_when_it_shortens_the_stay() -> None:
    free = {"blood": {0: "08:00 09:50"}, "scan": {0: "08:40 10:00"}}
    assert times(ask([BLOOD, SCAN], free)) == {"blood": "Mon 09:50", "scan": "Mon 10:00"}


def test_one_exam_alone_is_left_to_the_others() -> None:
    assert ask([BLOOD], {"blood": {0: "08:00"}}) is None


def test_fasting_exams_come_before_the_others() -> None:
    free = {"blood": {0: "08:30"}, "scan": {0: "08:00 09:30"}}
    assert times(ask([BLOOD, SCAN], free)) == {"blood": "Mon 08:30", "scan": "Mon 09:30"}


def test_endoscopy_comes_last_of_the_fasting_exams() -> None:
    free = {"blood": {0: "09:00"}, "scope": {0: "08:50 09:30"}, "scan": {0: "09:10 09:40"}}
    found = ask([visit("scope", fasting=True), BLOOD, SCAN], free)
    assert times(found) == {"blood": "Mon 09:00", "scope": "Mon 09:30", "scan": "Mon 09:40"}


def test_exams_after_a_meal_come_last() -> None:
    free = {"blood": {0: "08:00"}, "scan": {0: "09:00"}, "strip": {0: "08:15 10:00"}}
    found = ask([BLOOD, STRIP, SCAN], free, attributes={"strip": {"after_meal": True}})
    assert times(found)["strip"] == "Mon 10:00"


def test_the_one_day_may_be_three_days_later_than_the_exams_alone_but_not_four() -> None:
    def free(day: int) -> dict[str, dict[int, str]]:
        return {"blood": {0: "08:00", day: "08:00"}, "strip": {1: "09:00", day: "09:00"}}

    assert times(ask([BLOOD, STRIP], free(4)))["blood"] == "Fri 08:00"
    late = {"blood": {0: "08:00", 5: "08:00"}, "strip": {1: "08:30", 5: "08:30"}}
    assert times(ask([BLOOD, STRIP], late)) == {"blood": "Mon 08:00", "strip": "Tue 08:30"}


def test_the_department_may_allow_more_or_fewer_days() -> None:
    free = {"blood": {0: "08:00", 2: "08:00"}, "strip": {1: "08:30", 2: "08:30"}}
    assert times(ask([BLOOD, STRIP], free, max_later_days=1))["blood"] == "Wed 08:00"
    split = ask([BLOOD, STRIP], free, max_later_days=0)
    assert split is not None
    assert split.code == "obstetrics.two_days"


def test_a_patient_from_out_of_town_gets_the_one_day_however_late_it_is() -> None:
    free = {"blood": {0: "08:00", 9: "08:00"}, "strip": {1: "08:30", 9: "08:30"}}
    assert times(ask([BLOOD, STRIP], free, out_of_town=True)) == {"blood": "Wed 08:00", "strip": "Wed 08:30"}


def test_when_no_day_has_room_for_all_the_others_follow_the_fasting_ones_on_a_later_day() -> None:
    free = {"blood": {0: "08:00"}, "scan": {0: "07:00", 2: "09:00"}, "strip": {2: "09:10"}}
    proposal = ask([BLOOD, SCAN, STRIP], free)
    assert times(proposal) == {"blood": "Mon 08:00", "scan": "Wed 09:00", "strip": "Wed 09:10"}
    assert proposal is not None
    assert "分两天" in proposal.reason.zh
    assert not proposal.proven


def test_the_second_of_two_days_is_never_the_first() -> None:
    free = {"blood": {0: "08:00"}, "scan": {0: "07:00", 2: "09:00"}}
    assert times(ask([BLOOD, SCAN], free, max_later_days=2)) == {"blood": "Mon 08:00", "scan": "Wed 09:00"}


def test_exams_that_are_all_alike_are_not_split_but_declined() -> None:
    assert ask([SCAN, STRIP], {"scan": {0: "08:00"}, "strip": {1: "08:00"}}) is None


def test_an_exam_without_any_time_declines_the_whole_day() -> None:
    assert ask([BLOOD, SCAN, STRIP], {"blood": {0: "08:00"}, "scan": {0: "09:00"}}) is None


def test_the_own_campus_is_used_although_another_would_shorten_the_stay() -> None:
    both = [visit("scan", campuses="NS"), visit("strip", campuses="NS")]
    free = {"scan": {0: "08:00"}, "strip": {0: "09:00"}, "scan@S": {0: "08:00"}, "strip@S": {0: "08:10"}}
    assert {placement.group for placement in ask(both, free).placements} == {"G-N"}  # type: ignore[union-attr]


def test_another_campus_is_used_when_only_there_all_fit_on_one_day() -> None:
    both = [visit("scan", campuses="NS"), visit("strip", campuses="NS")]
    free = {"scan": {0: "08:00"}, "strip": {1: "08:00"}, "scan@S": {1: "08:20"}}
    assert times(ask(both, free)) == {"scan": "Tue 08:20", "strip": "Tue 08:00"}
