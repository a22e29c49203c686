"""Obstetrics as the ordering department: all exams on one day, in their order, when that is worth it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from examlane_obstetrics import glucose, hooks
from examlane_obstetrics.stages import stage

RULES = rule_book("obstetrics", "examlane_obstetrics")
MONDAY = date(2026, 11, 23)
DAYS = [MONDAY + timedelta(days=days) for days in range(10)]
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "blood": ("LAB", {"fasting_hours": 8}),
    "belly": ("US", {"fasting_hours": 8}),
    "breath": ("OT", {"fasting_hours": 4}),
    "womb": ("US", {"full_bladder": True}),
    "urine": ("LAB", {"empty_bladder": True}),
    "smear": ("OB", {"empty_bladder": True}),
    "scope": ("ES", {"fasting_hours": 8}),
    "ogtt": ("LAB", {"ogtt": True, "fasting_hours": 8}),
    "ecg": ("ECG", {}),
    "treadmill": ("ECG", {"treadmill": True}),
    "growth": ("US", {}),
    "xray": ("DX", {}),
    "painless": ("ES", {"fasting_hours": 8, "sedation": True}),
    "nst": ("OB", {"after_meal": True}),
}
ORDER = ["fasting", "full_bladder", "empty_bladder", "endoscopy", "glucose", "other", "sedated", "after_meal"]


class Wall:
    """Free starts written down by hand: exam (with @campus where it is not N) → day → clock times."""

    def __init__(self, free: dict[str, dict[int, str]]) -> None:
        self.free = free

    def days(self) -> Sequence[date]:
        return DAYS

    def instant(self, day: date, tick: int) -> datetime:
        return datetime.combine(day, time(), UTC) + timedelta(minutes=5 * tick)

    def load(self, group: str, day: date) -> Sequence[int]:
        return ()

    def segment_starts(self, visit: Visit, option: VisitOption, position: int, day: date) -> int:
        name = visit.key if option.campus == "N" else f"{visit.key}@{option.campus}"
        clocks = self.free.get(name, {}).get((day - MONDAY).days, "").split()
        return sum(1 << _tick(clock) for clock in clocks)

    def starts(self, visit: Visit, option: VisitOption, day: date) -> int:
        bits = self.segment_starts(visit, option, 0, day)
        for segment in option.segments[1:]:
            lags = range(segment.after_min // 5, segment.after_max // 5 + 1)
            bits &= _any(self.segment_starts(visit, option, 0, day) >> lag for lag in lags)
        return bits

    def ends_at(self, visit: Visit, placement: Placement) -> datetime:
        option = next(option for option in visit.options if option.group == placement.group)
        starts = placement.segments or [
            placement.starts_at + timedelta(minutes=segment.after_max) for segment in option.segments
        ]
        return starts[-1] + timedelta(minutes=option.segments[-1].minutes)

    def earliest(self, visit: Visit, not_before: datetime) -> Placement | None:
        for day in DAYS:
            for option in visit.options:
                if bits := self.starts(visit, option, day):
                    return Placement(visit.key, option.group, self.instant(day, (bits & -bits).bit_length() - 1))
        return None


def _tick(clock: str) -> int:
    hour, minute = map(int, clock.split(":"))
    return (hour * 60 + minute) // 5


def _any(maps: Iterable[int]) -> int:
    united = 0
    for bits in maps:
        united |= bits
    return united


def every(minutes: int, since: str = "08:00", until: str = "12:00") -> str:
    """Clock times in steps."""
    clocks = range(_tick(since), _tick(until) + 1, minutes // 5)
    return " ".join(f"{tick * 5 // 60}:{tick * 5 % 60:02}" for tick in clocks)


def visit(key: str, minutes: int = 10, campuses: str = "N", zone: str = "") -> Visit:
    attributes = KINDS[key][1]
    options = tuple(
        VisitOption(f"G-{campus}", campus, zone or campus, _segments(key, minutes, f"G-{campus}")) for campus in campuses
    )
    fasting = bool(attributes.get("fasting_hours"))
    return Visit(key, "X", (key,), options, fasting=fasting, gaps=bool(attributes.get("ogtt")))


def _segments(key: str, minutes: int, group: str) -> tuple[Segment, ...]:
    needs = (Need("room", group),)
    return glucose.draws(needs, RULES) if key == "ogtt" else (Segment("exam", minutes, needs),)


def request(
    visits: Sequence[Visit], out_of_town: bool = False, walking: dict[tuple[str, str], int] | None = None
) -> BookingRequest:
    items = {
        key: OrderItemView(key, ExamItem(key, Text("x", "x"), KINDS[key][0], "", "X", KINDS[key][1]))
        for one in visits
        for key in one.items
    }
    return BookingRequest(
        patient=PatientView(1, Sex.FEMALE, date(1996, 1, 1), out_of_town),
        encounter=EncounterView("E1", EncounterClass.OUTPATIENT, campus="N"),
        ordering_department="OB",
        visits=tuple(visits),
        fixed=(),
        not_before=datetime.combine(MONDAY, time(), UTC),
        horizon=DAYS[-1],
        items=items,
        walking={**(walking or {}), **{(b, a): minutes for (a, b), minutes in (walking or {}).items()}},
    )


def ask(
    visits: Sequence[Visit],
    free: dict[str, dict[int, str]],
    *,
    out_of_town: bool = False,
    walking: dict[tuple[str, str], int] | None = None,
    **chosen: Any,
) -> Proposal | None:
    """What the clinic proposes; without a gap between exams unless it chooses one."""
    plain = {"search_milliseconds": 60_000, "gap_minutes": 0}
    loaded = hooks.SettingsSchema().load({**plain, **chosen})
    found = hooks.allocate(request(visits, out_of_town, walking), Wall(free), loaded, RULES)
    return found[0] if found else None


def times(proposal: Proposal | None) -> dict[str, str]:
    assert proposal is not None
    return {placement.visit: f"{placement.starts_at:%a %H:%M}" for placement in proposal.placements}


def draws(proposal: Proposal | None) -> list[str]:
    assert proposal is not None
    (test,) = (placement for placement in proposal.placements if placement.visit == "ogtt")
    return [f"{start:%H:%M}" for start in test.segments]


BLOOD, GROWTH, XRAY, OGTT, ECG = visit("blood"), visit("growth"), visit("xray", 20), visit("ogtt"), visit("ecg", 5)
NST = visit("nst", 20)


# One day


def test_all_exams_are_put_on_one_day_with_the_shortest_stay() -> None:
    free = {"blood": {0: "08:00 08:30", 1: "08:00"}, "growth": {0: "10:00", 1: "08:10"}, "xray": {0: "08:40 09:00"}}
    proposal = ask([BLOOD, GROWTH, XRAY], free)
    assert times(proposal) == {"blood": "Mon 08:30", "xray": "Mon 08:40", "growth": "Mon 10:00"}
    assert proposal is not None
    assert (proposal.code, proposal.proven) == ("obstetrics.same_day", True)


def test_a_later_finish_is_taken_when_it_shortens_the_stay() -> None:
    free = {"blood": {0: "08:00 09:50"}, "growth": {0: "08:40 10:00"}}
    assert times(ask([BLOOD, GROWTH], free)) == {"blood": "Mon 09:50", "growth": "Mon 10:00"}


def test_walking_between_floors_and_buildings_is_part_of_the_stay() -> None:
    near, far = visit("growth", zone="N-2F"), visit("xray", zone="N-B1")
    free = {"growth": {0: "08:00"}, "xray": {0: every(5)}}
    assert times(ask([near, far], free, walking={("N-2F", "N-B1"): 20}))["xray"] == "Mon 08:30"


def test_one_exam_alone_is_left_to_the_others() -> None:
    assert ask([BLOOD], {"blood": {0: "08:00"}}) is None


def test_one_glucose_test_alone_is_left_to_the_others() -> None:
    assert ask([OGTT], {"ogtt": {0: every(5)}}) is None


def test_more_exams_than_one_search_takes_are_left_to_the_others() -> None:
    many = [replace(visit("xray"), key=f"xray{number}", items=("xray",)) for number in range(13)]
    free = {one.key: {0: f"{8 + number // 6}:{number % 6}0"} for number, one in enumerate(many)}
    assert ask(many, free) is None
    assert ask(many[:12], free) is not None


def test_an_exam_without_any_time_declines_the_whole_day() -> None:
    assert ask([BLOOD, GROWTH, XRAY], {"blood": {0: "08:00"}, "growth": {0: "09:00"}}) is None


def test_the_least_minutes_between_two_exams_are_kept() -> None:
    free = {"blood": {0: "08:00"}, "growth": {0: every(5)}}
    assert times(ask([BLOOD, GROWTH], free))["growth"] == "Mon 08:10"
    assert times(ask([BLOOD, GROWTH], free, gap_minutes=15))["growth"] == "Mon 08:25"


def test_a_day_that_would_take_longer_than_allowed_is_passed_over() -> None:
    free = {"blood": {0: "08:00", 1: "08:00"}, "growth": {0: "11:55", 1: "11:50"}}
    assert times(ask([BLOOD, GROWTH], free))["blood"] == "Tue 08:00"
    assert times(ask([BLOOD, GROWTH], free, span_minutes=245))["blood"] == "Mon 08:00"
    assert ask([BLOOD, GROWTH], free, span_minutes=200, allow_two_days=False) is None


def test_a_tolerance_never_makes_a_day_longer_than_allowed() -> None:
    free = {"blood": {0: "08:00"}, "growth": {0: "11:50 11:55"}}
    assert times(ask([BLOOD, GROWTH], free, tolerance_minutes=30))["growth"] == "Mon 11:50"


# The order of a day


def test_the_check_up_goes_from_fasting_over_a_full_and_an_empty_bladder_to_the_exams_after_breakfast() -> None:
    keys = ["xray", "ecg", "smear", "urine", "womb", "scope", "belly", "breath", "blood"]
    free = {key: {0: every(5, "07:30", "13:00")} for key in keys}
    found = times(ask([visit(key, 5) for key in keys], free))
    ordered = sorted(found, key=lambda key: found[key])
    assert set(ordered[:3]) == {"blood", "belly", "breath"}
    assert ordered[3] == "womb"
    assert set(ordered[4:6]) == {"urine", "smear"}
    assert ordered[6] == "scope"
    assert set(ordered[7:]) == {"ecg", "xray"}


def test_a_full_bladder_takes_three_quarters_of_an_hour_after_the_last_fasting_exam() -> None:
    free = {"blood": {0: "08:00"}, "womb": {0: every(5)}}
    assert times(ask([BLOOD, visit("womb")], free))["womb"] == "Mon 08:55"


def test_half_an_hour_is_left_to_eat_before_an_exam_after_a_meal() -> None:
    free = {"blood": {0: "08:00"}, "nst": {0: every(5)}}
    assert times(ask([BLOOD, NST], free))["nst"] == "Mon 08:40"


def test_endoscopy_comes_last_of_the_fasting_exams() -> None:
    free = {"blood": {0: "09:00"}, "scope": {0: "08:50 09:30"}, "growth": {0: "09:10 09:40"}}
    found = ask([visit("scope"), BLOOD, GROWTH], free)
    assert times(found) == {"blood": "Mon 09:00", "scope": "Mon 09:30", "growth": "Mon 09:40"}


def test_sedation_comes_after_everything_that_needs_no_meal() -> None:
    free = {"painless": {0: "08:00 09:00"}, "ecg": {0: "08:30"}}
    assert times(ask([visit("painless"), ECG], free))["painless"] == "Mon 09:00"


@pytest.mark.parametrize("key", KINDS)
def test_every_exam_belongs_to_exactly_one_stage(key: str) -> None:
    one = visit(key)
    assert stage(one, request([one]), RULES) in ORDER


def test_the_stages_follow_each_other_in_this_order() -> None:
    found = sorted(RULES.named("stage."), key=lambda rule: int(rule["order"]))
    assert [rule.id.rpartition(".")[2] for rule in found] == ORDER


# The glucose test and what lies between its draws

MORNING = every(5, "08:00", "12:00")


def test_ecg_and_ultrasound_lie_between_the_draws_and_monitoring_follows_the_meal_after_them() -> None:
    free = {"ogtt": {0: MORNING}, "ecg": {0: MORNING}, "growth": {0: MORNING}, "nst": {0: MORNING}}
    found = ask([OGTT, ECG, GROWTH, NST], free)
    first, second, third = draws(found)
    assert (first, second, third) == ("08:00", "09:00", "10:00")
    assert first < times(found)["ecg"][4:] < third
    assert first < times(found)["growth"][4:] < third
    assert times(found)["nst"] == "Mon 10:35"


@pytest.mark.parametrize("key", ["xray", "treadmill", "belly", "nst"])
def test_what_is_far_exerting_fasting_or_after_a_meal_never_lies_between_two_draws(key: str) -> None:
    free = {"ogtt": {0: MORNING}, key: {0: MORNING}}
    found = ask([OGTT, visit(key)], free)
    first, _, third = draws(found)
    assert not first <= times(found)[key][4:] <= third


@pytest.mark.parametrize(("minutes", "inside"), [(5, True), (6, False)])
def test_only_exams_within_five_minutes_walk_lie_between_two_draws(minutes: int, inside: bool) -> None:
    away = visit("ecg", 5, zone="N-1F")
    free = {"ogtt": {0: MORNING}, "ecg": {0: MORNING}}
    found = ask([OGTT, away], free, walking={("N", "N-1F"): minutes})
    first, _, third = draws(found)
    assert (first < times(found)["ecg"][4:] < third) is inside


def test_of_two_places_only_the_near_one_lies_between_two_draws() -> None:
    near, far = (visit("ecg", 5, campuses=campus, zone=zone).options[0] for campus, zone in (("N", "N-1F"), ("S", "N-9F")))
    both = replace(visit("ecg", 5), options=(near, replace(far, campus="N", group="G-S")))
    walking = {("N", "N-1F"): 5, ("N", "N-9F"): 15, ("N-1F", "N-9F"): 10}

    class Far(Wall):
        def segment_starts(self, visit: Visit, option: VisitOption, position: int, day: date) -> int:
            return 0 if option.zone == "N-1F" else super().segment_starts(visit, option, position, day)

    free = {"ogtt": {0: MORNING}, "ecg": {0: MORNING}}
    asked, loaded = request([OGTT, both], walking=walking), hooks.SettingsSchema().load({"search_milliseconds": 60_000})
    for wall, inside in ((Wall(free), True), (Far(free), False)):
        (found,) = hooks.allocate(asked, wall, loaded, RULES) or ()
        first, _, third = draws(found)
        assert (first < times(found)["ecg"][4:] < third) is inside


def test_a_walk_that_nobody_knows_is_too_far() -> None:
    found = ask([OGTT, visit("ecg", 5, zone="N-1F")], {"ogtt": {0: MORNING}, "ecg": {0: MORNING}})
    first, _, third = draws(found)
    assert not first < times(found)["ecg"][4:] < third


def test_another_fasting_exam_comes_before_the_glucose() -> None:
    free = {"ogtt": {0: MORNING}, "belly": {0: "08:00 08:20"}}
    found = ask([OGTT, visit("belly")], free)
    assert times(found)["belly"] == "Mon 08:00"
    assert draws(found)[0] == "08:10"


# Not much later than each alone


def test_the_one_day_may_be_three_days_later_than_the_exams_alone_but_not_four() -> None:
    def free(day: int) -> dict[str, dict[int, str]]:
        return {"blood": {0: "08:00", day: "08:00"}, "xray": {1: "09:00", day: "09:00"}}

    assert times(ask([BLOOD, XRAY], free(4)))["blood"] == "Fri 08:00"
    assert times(ask([BLOOD, XRAY], free(5))) == {"blood": "Mon 08:00", "xray": "Tue 09:00"}
    assert ask([BLOOD, XRAY], free(5), allow_two_days=False) is None


def test_the_department_may_allow_more_or_fewer_days() -> None:
    free = {"blood": {0: "08:00", 2: "08:00"}, "xray": {1: "08:30", 2: "08:30"}}
    assert times(ask([BLOOD, XRAY], free, max_later_days=1))["blood"] == "Wed 08:00"
    split = ask([BLOOD, XRAY], free, max_later_days=0)
    assert split is not None
    assert split.code == "obstetrics.two_days"


def test_the_reason_shows_the_day_with_and_without_planning_together() -> None:
    free = {"blood": {0: "08:00", 3: "08:00"}, "xray": {1: "09:00", 3: "09:00"}}
    proposal = ask([BLOOD, XRAY], free)
    assert proposal is not None
    assert proposal.reason.zh == "同日（2026-11-26）完成 2 项检查，在院约 80 分钟；分开预约则最后一项在 2026-11-24"
    assert "one day (2026-11-26)" in proposal.reason.en
    assert "separately the last would be on 2026-11-24" in proposal.reason.en


def test_a_patient_from_out_of_town_gets_the_one_day_however_late_it_is() -> None:
    free = {"blood": {0: "08:00", 9: "08:00"}, "xray": {1: "08:30", 9: "08:30"}}
    late = {"blood": "Wed 08:00", "xray": "Wed 08:30"}
    assert times(ask([BLOOD, XRAY], free, out_of_town=True)) == late
    assert times(ask([BLOOD, XRAY], free, out_of_town=True, out_of_town_always=False)) != late


# Two days


def test_when_no_day_has_room_for_all_two_days_hold_them_and_the_last_is_as_early_as_possible() -> None:
    free = {"blood": {0: "08:00"}, "growth": {0: "07:00", 2: "09:00"}, "xray": {2: "09:10", 3: "09:10"}}
    proposal = ask([BLOOD, GROWTH, XRAY], free)
    assert times(proposal) == {"blood": "Mon 08:00", "growth": "Wed 09:00", "xray": "Wed 09:10"}
    assert proposal is not None
    assert proposal.code == "obstetrics.two_days"
    assert "2026-11-23（在院约 10 分钟），2026-11-25（在院约 30 分钟）" in proposal.reason.zh
    assert "分开预约则最后一项在 2026-11-25" in proposal.reason.zh


def test_each_of_two_days_is_as_short_as_allowed() -> None:
    free = {"blood": {0: "08:00"}, "growth": {0: "08:30 12:30"}, "xray": {1: "08:00", 2: "08:00"}}
    found = ask([BLOOD, GROWTH, XRAY], free)
    assert times(found) == {"blood": "Mon 08:00", "growth": "Mon 08:30", "xray": "Tue 08:00"}


def test_a_department_may_refuse_two_days() -> None:
    free = {"blood": {0: "08:00"}, "growth": {1: "09:00"}}
    assert ask([BLOOD, GROWTH], free) is not None
    assert ask([BLOOD, GROWTH], free, allow_two_days=False) is None


# Campuses


def test_the_own_campus_is_used_although_another_would_shorten_the_stay() -> None:
    both = [visit("growth", campuses="NS"), visit("xray", 20, campuses="NS")]
    free = {"growth": {0: "08:00"}, "xray": {0: "09:00"}, "growth@S": {0: "08:00"}, "xray@S": {0: "08:10"}}
    assert {placement.group for placement in ask(both, free).placements} == {"G-N"}  # type: ignore[union-attr]


def test_another_campus_is_used_when_only_there_all_fit_on_one_day() -> None:
    both = [visit("growth", campuses="NS"), visit("xray", 20, campuses="NS")]
    free = {"growth": {0: "08:00"}, "xray": {1: "08:00"}, "growth@S": {1: "08:20"}}
    assert times(ask(both, free)) == {"growth": "Tue 08:20", "xray": "Tue 08:00"}
    stays = ask(both, free, allow_other_campus=False)
    assert stays is not None
    assert stays.code == "obstetrics.two_days"


# Whatever the calendar

SLOTS = st.lists(st.integers(0, 48), max_size=14, unique=True)
CALENDARS = st.fixed_dictionaries({key: st.fixed_dictionaries(dict.fromkeys((0, 1, 2), SLOTS)) for key in KINDS})


def spans(proposal: Proposal, wall: Wall, visits: Sequence[Visit]) -> dict[str, tuple[datetime, datetime]]:
    by_key = {visit.key: visit for visit in visits}
    return {one.visit: (one.starts_at, wall.ends_at(by_key[one.visit], one)) for one in proposal.placements}


@settings(max_examples=80, deadline=None)
@given(keys=st.sets(st.sampled_from(sorted(KINDS)), min_size=2, max_size=4), calendar=CALENDARS, days=st.integers(0, 3))
def test_all_or_nothing_in_order_between_the_draws_only_what_may_and_never_too_late(
    keys: set[str], calendar: dict[str, dict[int, list[int]]], days: int
) -> None:
    visits = [visit(key) for key in sorted(keys)]
    free = {key: {day: _clocks(ticks) for day, ticks in found.items()} for key, found in calendar.items()}
    wall = Wall(free)
    alone = [wall.earliest(one, datetime.combine(MONDAY, time(), UTC)) for one in visits]
    proposal = ask(visits, free, max_later_days=days)
    if proposal is None:
        return
    assert sorted(one.visit for one in proposal.placements) == sorted(keys)
    last = max(one.starts_at.date() for one in alone if one is not None)
    assert max(one.starts_at.date() for one in proposal.placements) <= last + timedelta(days=days)
    assert len({one.starts_at.date() for one in proposal.placements}) == (1 if proposal.code.endswith("same_day") else 2)
    for one in proposal.placements:
        starts = one.segments or (one.starts_at,)
        for start in starts:
            assert _tick(f"{start:%H:%M}") - 96 in calendar[one.visit][(start.date() - MONDAY).days]
        for start, lag in zip(starts[1:], (60, 120), strict=False):
            assert abs((start - starts[0]).total_seconds() / 60 - lag) <= 5
    _in_order(proposal, wall, visits)


def _clocks(ticks: Sequence[int]) -> str:
    return " ".join(f"{8 + tick // 12}:{tick % 12 * 5:02}" for tick in sorted(ticks))


def _in_order(proposal: Proposal, wall: Wall, visits: Sequence[Visit]) -> None:
    """Stages follow each other on a day, and nothing overlaps but what may lie between two draws."""
    found = spans(proposal, wall, visits)
    rank = {one.key: ORDER.index(stage(one, request(visits), RULES)) for one in visits}
    for early, (start, end) in found.items():
        for late, (other_start, _) in found.items():
            if rank[early] < rank[late] and start.date() == other_start.date():
                inside = "ogtt" in (early, late) and KINDS[late][0] in ("ECG", "US", "OB")
                inside = inside or (late == "ogtt" and KINDS[early][0] in ("ECG", "US", "OB"))
                assert end <= other_start or inside, (early, late)
    busy = sorted(
        (start, start + timedelta(minutes=5 if one.visit == "ogtt" else 10))
        for one in proposal.placements
        for start in (one.segments or (one.starts_at,))
    )
    assert all(end <= start for (_, end), (start, _) in pairwise(busy))


@settings(max_examples=80, deadline=None)
@given(keys=st.permutations(["blood", "ecg", "growth", "xray", "scope", "smear"]), slots=st.lists(SLOTS, min_size=6))
def test_the_stay_is_never_longer_than_booking_one_after_the_other_on_that_day_would_be(
    keys: list[str], slots: list[list[int]]
) -> None:
    visits = [visit(key) for key in sorted(keys[:4], key=_rank)]
    free = {one.key: {0: _clocks(ticks)} for one, ticks in zip(visits, slots, strict=False)}
    separately = _one_after_the_other(visits, free)
    if separately is None:
        return
    start, end = separately
    proposal = ask(visits, free, span_minutes=1440)
    assert proposal is not None
    found = spans(proposal, Wall(free), visits)
    stay = max(end for _, end in found.values()) - min(start for start, _ in found.values())
    assert stay <= end - start


def _rank(key: str) -> int:
    return ["blood", "smear", "scope", "ecg", "growth", "xray"].index(key)


def _one_after_the_other(visits: Sequence[Visit], free: dict[str, dict[int, str]]) -> tuple[datetime, datetime] | None:
    """Each at its earliest after the one before, in order: what a clerk would do who knows the order."""
    wall = Wall(free)
    ready = first = None
    for one in visits:
        bits = wall.starts(one, one.options[0], MONDAY)
        if ready is not None:
            bits = bits >> _tick(f"{ready:%H:%M}") << _tick(f"{ready:%H:%M}")
        if not bits:
            return None
        start = wall.instant(MONDAY, (bits & -bits).bit_length() - 1)
        first, ready = first or start, start + timedelta(minutes=10)
    assert first is not None
    assert ready is not None
    return first, ready
