"""kill -9: what was stored is never lost, what was begun is never half done, and the worker finishes it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from examlane import worker
from examlane.insight import invariants
from examlane.testing import World, small_hospital

KILLS = 6
PLACES = {"the payment is stored": "pending", "the seats are taken": "pending", "the visit is booked": "booked"}


def let_the_worker_finish(world: World) -> None:
    world.clock.advance(timedelta(seconds=30))
    while worker.turn(world.hospital, lambda message: None).settled:
        continue


@pytest.mark.parametrize("place", PLACES)
def test_a_payment_whose_process_is_killed_is_booked_by_the_worker(
    database_url: str, children: Callable[..., list[Any]], place: str
) -> None:
    world = small_hospital(database_url)
    world.order("US-THYROID", number="O1")
    victim, retrying = children(database_url, 2)
    victim.ask("stop_at", place)
    assert victim.ask("pay", "O1") == "hangs"
    victim.kill()

    left = world.item("O1/1").reason
    assert left == ("booked" if PLACES[place] == "booked" else "awaiting_payment")
    assert world.database.value("SELECT count(*) FROM payment") == 1
    assert world.database.value("SELECT sum(taken) FROM slot") == (1 if left == "booked" else 0)
    assert invariants.check(world.database, clock=world.clock) == []
    let_the_worker_finish(world)
    assert world.item("O1/1").reason == "booked"
    assert retrying.ask("pay", "O1") == "booked"
    assert world.database.value("SELECT count(*) FROM payment") == 1
    assert world.database.value("SELECT count(*) FROM appointment") == 1
    assert world.database.value("SELECT count(*) FROM booking_due") == 0
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def test_kills_at_random_moments_leave_no_half_booking(database_url: str, children: Callable[..., list[Any]]) -> None:
    world = small_hospital(database_url)
    moments = random.Random(2026)
    told: dict[str, str] = {}
    sent = 0
    for turn in range(KILLS):
        (victim,) = children(database_url)
        names = [f"{turn}-{n}" for n in range(60)]
        for name in names:
            victim.tell("book", f"O{name}", f"P{name}", moments.choice(["US-THYROID", "US-HEART", "CT-HEAD"]))
        heard = moments.randint(1, 8)
        for name in names[:heard]:
            told[name] = victim.hear()
        time.sleep(moments.uniform(0.0, 0.02))
        victim.kill()
        for name in names[heard:]:
            if (answer := victim.hear()) is None:
                break
            told[name] = answer
        sent += len(names)
        world.order("US-THYROID", number=f"O-after-{turn}", patient=f"P-after-{turn}")
        world.pay(f"O-after-{turn}")
        assert world.item(f"O-after-{turn}/1").reason == "booked"

    assert KILLS < len(told) < sent
    for name in (name for name, answer in told.items() if answer == "booked"):
        assert world.item(f"O{name}/1").appointment_state == "booked"
    assert [found.id for found in invariants.check(world.database, clock=world.clock)] == []
    let_the_worker_finish(world)
    paid = "SELECT count(*) FROM order_item WHERE payment = 'paid' AND reason NOT IN ('booked', 'no_time')"
    assert world.database.value(paid) == 0
    assert world.database.value("SELECT count(*) FROM booking_due") == 0
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()
