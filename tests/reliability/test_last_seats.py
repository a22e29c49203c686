"""Thirty-two processes book the last fifty seats through the whole road: order, payment, settling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from examlane.appointments import booking
from examlane.insight import invariants
from examlane.testing import small_hospital

PROCESSES = 32
PATIENTS_EACH = 2
SEATS = 50
FULL = {
    "services": [{"item": "US-THYROID", "group": "US-N", "minutes": 10}],
    "rosters": [{"resource": "US-N-1", "weekdays": "1-5", "starts": "09:00", "ends": "09:50", "capacity": 10}],
}


def test_exactly_fifty_are_booked_and_the_rest_explained(database_url: str, children: Callable[..., list[Any]]) -> None:
    world = small_hospital(database_url, data=FULL, days=1)
    assert world.database.value("SELECT sum(capacity) FROM slot") == SEATS
    bookers = children(database_url, PROCESSES, days=1)
    patients = [(child, f"{n}-{turn}") for turn in range(PATIENTS_EACH) for n, child in enumerate(bookers)]
    for child, patient in patients:
        child.tell("book", f"O{patient}", f"P{patient}", "US-THYROID")
    told = Counter(child.hear() for child, _ in patients)
    world.clock.advance(timedelta(minutes=1))
    while booking.settle_due(world.hospital):
        continue

    reasons = Counter(reason for (reason,) in world.database.rows("SELECT reason FROM order_item"))
    assert reasons == {"booked": SEATS, "no_time": PROCESSES * PATIENTS_EACH - SEATS}
    assert told["booked"] <= SEATS
    assert set(told) <= {"booked", "pending", "desk"}
    assert world.database.value("SELECT sum(taken) FROM slot") == SEATS
    tasks = world.database.rows("SELECT code, count(*) FROM desk_task WHERE closed_at IS NULL GROUP BY code")
    assert tasks == [("no_time", reasons["no_time"])]
    assert world.database.value("SELECT count(*) FROM booking_due") == 0
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()
