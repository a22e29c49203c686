"""Whatever the day looks like: after a suspension nobody is lost, and its end gives nothing away twice."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examlane.appointments import changes, choosing
from examlane.errors import Refused
from examlane.replanning import reading
from examlane.replanning.closing import Asked
from examlane.storage.fields import epoch
from examlane.testing import TESTER, World, small_hospital
from tests.day.suspending import TODAY, at, book, down, end, outcomes, suspend, unbroken

RESOURCES = ("US-N-1", "US-N-2", "US-S-1", "CT-N-1")
NUMBERS = itertools.count()
ITEMS = st.sampled_from(("US-THYROID", "US-HEART", "CT-HEAD"))
AFTERWARDS = st.sampled_from(("nothing", "nothing", "check_in", "cancel", "move", "hold"))
PATIENTS = st.lists(st.tuples(ITEMS, AFTERWARDS), min_size=1, max_size=8)
DAY = st.integers(0, 2).map(lambda days: TODAY + timedelta(days=days))
TIMES = st.tuples(st.integers(6, 11), st.integers(1, 60)).map(lambda pair: (at(pair[0]), at(pair[0] + pair[1])))
SUSPENSIONS = st.one_of(
    st.builds(lambda one, time: down(one, *time), st.sampled_from(RESOURCES), TIMES),
    st.builds(lambda one, time: down("", *time, group=one), st.sampled_from(("US-N", "CT-N")), TIMES),
    st.builds(lambda one, day, hour: Asked("shortened", "早退", one, day=day, opens=500, closes=hour * 60 + 5),
              st.sampled_from(RESOURCES), DAY, st.integers(9, 12)),
    st.builds(lambda kind, day: Asked(kind, "换班", "US-N-1", day=day, other="US-N-2"),
              st.sampled_from(("swapped", "replaced")), DAY),
    st.builds(lambda day: Asked("holiday", "放假", day=day), DAY),
    st.builds(lambda day: Asked("workday", "调休", day=day, weekday=6), DAY),
)  # fmt: skip


def live(world: World, patients: list[tuple[str, str]]) -> None:
    for number, (item, afterwards) in enumerate(patients):
        order = book(world, f"P{number}", item)
        appointment = world.item(f"{order}/1").appointment
        try:
            after(world, order, appointment, afterwards)
        except Refused:
            continue


def after(world: World, order: str, appointment: str, afterwards: str) -> None:
    hospital = world.hospital
    if afterwards == "check_in":
        changes.check_in(hospital, appointment, TESTER)
    if afterwards in ("cancel", "hold"):
        changes.cancel(hospital, appointment, TESTER, reason="患者取消")
    if afterwards in ("move", "hold"):
        named: dict[str, Any] = {"appointment": appointment} if afterwards == "move" else {"items": [f"{order}/1"]}
        time = choosing.times(hospital, **named, limit=6)[-1]
        if afterwards == "move":
            choosing.reschedule(hospital, appointment, time.group, time.starts_at, TESTER)
        else:
            choosing.book(hospital, [f"{order}/1"], time.group, time.starts_at, TESTER, hold=True)


def nobody_is_lost(world: World, number: str) -> None:
    found = reading.get(world.hospital, number)
    assert found.state == "applied"
    open_tasks = {row[0] for row in world.database.rows("SELECT appointment_id FROM desk_task WHERE closed_at IS NULL")}
    for one in outcomes(world, found):
        assert one.outcome in ("moved", "moved_along", "suspended", "kept", "released")
        if one.outcome in ("suspended", "kept"):
            assert one.appointment_id in open_tasks
        if one.outcome in ("moved", "moved_along"):
            assert one.state == "booked"
    held = "SELECT coalesce(sum(seats), 0) FROM claim WHERE released_at IS NULL"
    assert world.database.value("SELECT sum(taken) FROM slot") == world.database.value(held)


def stored(world: World) -> list[Any]:
    return [world.database.rows(f"SELECT * FROM {table} ORDER BY id") for table in ("slot", "appointment", "claim")]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(patients=PATIENTS, asked=st.lists(SUSPENSIONS, min_size=1, max_size=2), move_back=st.booleans())
def test_nobody_is_lost_and_undoing_twice_changes_nothing_more(
    tmp_path: Path, patients: list[tuple[str, str]], asked: list[Asked], move_back: bool
) -> None:
    world = small_hospital(f"sqlite:///{tmp_path / f'{next(NUMBERS)}.db'}", days=4, planning_window=timedelta())
    live(world, patients)
    numbers = [suspend(world, each).number for each in asked if each.until is None or each.until > world.clock.now()]
    for number in numbers:
        nobody_is_lost(world, number)
    assert unbroken(world) == []
    for number in numbers:
        end(world, number, move_back=move_back)
    assert unbroken(world) == []
    still_closed = "SELECT count(*) FROM slot WHERE closed = 1 AND start_at > ?"
    assert world.database.value(still_closed, epoch(world.clock.now())) == 0
    once = stored(world)
    for number in numbers:
        end(world, number, move_back=True)
    assert stored(world) == once
    world.hospital.close()
