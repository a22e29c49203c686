"""Two payments of one patient arriving at two processes in the same moment: one plan, one ultrasound visit."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from examlane.appointments import booking
from examlane.insight import invariants
from examlane.testing import small_hospital
from examlane_ultrasound import hooks

ROUNDS = 10
MERGEABLE = json.dumps({"merge": True})
DATA: dict[str, list[dict[str, Any]]] = {
    "items": [
        {"code": "US-LIVER", "name": "肝胆彩超", "modality": "US", "department": "US", "attributes": MERGEABLE},
        {"code": "US-NECK", "name": "颈部彩超", "modality": "US", "department": "US", "attributes": MERGEABLE},
        {"code": "CT-HEAD", "name": "头颅CT", "modality": "CT", "department": "CT"},
    ],
    "services": [
        {"item": "US-LIVER", "group": "US-N", "minutes": 10},
        {"item": "US-NECK", "group": "US-N", "minutes": 10},
        {"item": "CT-HEAD", "group": "CT-N", "minutes": 10},
    ],
}
OVERLAPS = """SELECT a.number, b.number FROM appointment a JOIN appointment b
ON b.patient_id = a.patient_id AND b.id > a.id AND a.start_at < b.end_at AND b.start_at < a.end_at
WHERE a.state = 'booked' AND b.state = 'booked'"""
VISITS = """SELECT a.department, count(*) FROM appointment a JOIN appointment_item ai ON ai.appointment_id = a.id
JOIN order_item oi ON oi.id = ai.order_item_id WHERE a.state = 'booked' AND ai.active = 1 AND oi.key LIKE ?
GROUP BY a.id, a.department ORDER BY a.department"""


def test_they_never_overlap_and_never_split_a_visit(database_url: str, children: Callable[..., list[Any]]) -> None:
    world = small_hospital(database_url, {"ultrasound": hooks}, DATA)
    world.switch("US", "ultrasound")
    one, other = children(database_url, 2)
    moments = random.Random(2026)
    for turn in range(ROUNDS):
        one.ask("order", f"O{turn}-A", f"P{turn}", "US-LIVER", "CT-HEAD")
        other.ask("order", f"O{turn}-B", f"P{turn}", "US-NECK")
        one.tell("pay", f"O{turn}-A")
        time.sleep(moments.uniform(0.0, 0.02))
        other.tell("pay", f"O{turn}-B")
        assert {one.hear(), other.hear()} <= {"booked", "pending"}
    world.clock.advance(timedelta(seconds=10))
    booking.settle_due(world.hospital)

    for turn in range(ROUNDS):
        assert world.database.rows(VISITS, f"O{turn}-%") == [("CT", 1), ("US", 2)], turn
    assert world.database.rows(OVERLAPS) == []
    assert world.database.value("SELECT count(*) FROM booking_due") == 0
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()
