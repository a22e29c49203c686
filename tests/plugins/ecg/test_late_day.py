"""A day of ECGs on which 15 % come late: who touches a window with the department's rules, and who without.

`python tests/plugins/ecg/test_late_day.py` plays the whole day of 720 patients and prints both numbers.
"""

from __future__ import annotations

import heapq
import random
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from examlane.appointments import status
from examlane.appointments.status import AppointmentStatus
from examlane.arrival import noshow
from examlane.testing import TESTER, World, small_hospital
from examlane_ecg import hooks

PATIENTS, LATE, MEAN_MINUTES, SEED = 720, 0.15, 30, 20261123
SEATS, SLICE = 24, 15
"""A bay of 24 devices in quarter-hours from 08:00 to 17:00: 864 seats for 720 orders, and for those who come again."""
ORDERED = timedelta(hours=8)
"""Orders come evenly over this time from 07:30, each booked at the earliest: within the hour, as on a real day."""


def hospital(url: str, seats: int, *, rules: bool) -> World:
    data: dict[str, list[dict[str, Any]]] = {
        "departments": [
            {"code": "ECG", "name": "心电图室", "campus": "N", "executing": 1, "mode": "automatic"},
            {"code": "CLINIC", "name": "门诊", "campus": "N", "ordering": 1},
        ],
        "items": [{"code": "ECG", "name": "心电图", "modality": "ECG", "department": "ECG"}],
        "groups": [{"code": "BAY", "name": "心电图", "department": "ECG", "campus": "N", "zone": "N-1",
                    "role": "device", "slice_minutes": SLICE}],
        "resources": [{"code": "BAY-1", "name": "1", "group": "BAY"}],
        "services": [{"item": "ECG", "group": "BAY", "minutes": 5}],
        "rosters": [{"resource": "BAY-1", "weekdays": "1-5", "starts": "08:00", "ends": "17:00", "capacity": seats}],
        "walking": [],
    }  # fmt: skip
    world = small_hospital(url, {"ecg": hooks}, data, days=1, notice=timedelta())
    if rules:
        world.switch("ECG", "ecg")
    return world


def play(world: World, patients: int) -> Counter[str]:
    """The day in order of time: orders are booked, and the late ones come half an hour after the grace on average."""
    dice = random.Random(SEED)
    opens = world.clock.now() - timedelta(minutes=30)
    waiting: list[tuple[datetime, str]] = [(opens + ORDERED * n / patients, "") for n in range(patients)]
    found: Counter[str] = Counter()
    while waiting:
        at, number = heapq.heappop(waiting)
        world.clock.set(at.replace(microsecond=0))
        if number:
            found[comes(world, number)] += 1
            continue
        booked = ordered(world, f"P{len(waiting)}-{at.isoformat()}")
        if dice.random() < LATE:
            after_grace = timedelta(minutes=round(dice.expovariate(1 / MEAN_MINUTES)))
            comes_at = booked.ends_at + noshow.grace(world.hospital, "ECG") + after_grace
            heapq.heappush(waiting, (comes_at, booked.number))
    return found


def ordered(world: World, patient: str) -> AppointmentStatus:
    order = world.order("ECG", patient=patient, settle=False)
    world.pay(order)
    return status.appointment(world.hospital, world.item(f"{order}/1").appointment)


def comes(world: World, number: str) -> str:
    """The late patient checks in: what he is told."""
    noshow.sweep(world.hospital)
    here = noshow.arrive(world.hospital, number, TESTER)
    return "checked in" if here.state == "checked_in" else str(here.no_show["code"])


def at_a_window(found: Counter[str]) -> int:
    return found.total() - found["checked in"]


def day(patients: int, seats: int, *, rules: bool) -> Counter[str]:
    with tempfile.TemporaryDirectory() as folder:
        world = hospital(f"sqlite:///{Path(folder) / 'hospital.db'}", seats, rules=rules)
        found = play(world, patients)
        world.hospital.close()
    return found


def test_on_a_small_day_everybody_late_touches_a_window_without_the_rules_and_few_with_them() -> None:
    without, ruled = day(72, 3, rules=False), day(72, 3, rules=True)
    assert at_a_window(without) == without.total() == ruled.total() > 0
    assert at_a_window(ruled) <= ruled.total() // 4


if __name__ == "__main__":
    for rules in (False, True):
        played = day(PATIENTS, SEATS, rules=rules)
        print("with" if rules else "without", f"the rules: {at_a_window(played)} at a window,", dict(played))
