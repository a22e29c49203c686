"""In whatever order assessments, payments, moves and time come: no visit stays booked that no assessment covers."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from examlane import Fact
from examlane.appointments import changes, choosing
from examlane.errors import Refused
from examlane.insight import invariants
from examlane.storage.fields import instant
from examlane.testing import TESTER, require, small_hospital
from examlane_endoscopy import hooks

KIND = "anaesthesia_assessment"
ITEM = '{"sedation": true, "fasting_hours": 6, "anticoagulant_risk": "low"}'
ROLES = ("room", "endoscopist", "anaesthetist", "recovery")
DATA: dict[str, list[dict[str, Any]]] = {
    "departments": [
        {"code": "ES", "name": "内镜中心", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "CLINIC", "name": "门诊", "campus": "N", "ordering": 1},
    ],
    "items": [{"code": "GASTRO", "name": "无痛胃镜", "modality": "ES", "department": "ES", "attributes": ITEM}],
    "groups": [
        {"code": role, "name": role, "role": role, "department": "ES", "campus": "N", "zone": "N-3", "slice_minutes": 10}
        for role in ROLES
    ],
    "resources": [{"code": f"{role}-1", "name": role, "group": role} for role in ROLES],
    "services": [{"item": "GASTRO", "group": "room", "minutes": 20}],
    "rosters": [{"resource": f"group:{role}", "weekdays": "1-7", "starts": "08:00", "ends": "11:00"} for role in ROLES],
    "walking": [],
}
OUTCOMES = ("passed", "passed", "passed_with_conditions", "deferred", "failed", "withdrawn", "expired", "?")
HOURS = st.sampled_from([1, 6, 20, 24, 30, 48, 100, 400])


class Messages(RuleBasedStateMachine):
    """One patient, one order, and whatever is reported of it."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world = small_hospital(f"sqlite:///{Path(self.folder.name) / 'hospital.db'}", {"endoscopy": hooks}, DATA)
        require(self.world, "ES", "endoscopy")
        facts = {"escort": True, "anticoagulant": "none", "pregnant": False}
        self.number = self.world.order("GASTRO", context={name: Fact(value) for name, value in facts.items()})
        self.covered_until: datetime | None = None

    @rule()
    def pay(self) -> None:
        self.world.pay(self.number)

    @rule(outcome=st.sampled_from(OUTCOMES), hours=HOURS | st.none(), asa=st.sampled_from([1, 2, 3, 5, None]))
    def assess(self, outcome: str, hours: int | None, asa: int | None) -> None:
        now = self.world.clock.now()
        until = None if hours is None else now + timedelta(hours=hours)
        told = {"asa": asa, "assessor_role": "anaesthetist", "assessor_grade": "resident", "conditions": ["备血"]}
        self.world.evidence("P1", KIND, outcome, valid_until=until, data=told)
        passed = outcome.startswith("passed") and asa in (1, 2)
        self.covered_until = (until or now + timedelta(days=14)) if passed else None

    @rule(hours=HOURS)
    def pass_time(self, hours: int) -> None:
        self.world.later(hours=hours / 10)

    @rule()
    def work(self) -> None:
        changes.expire_tentative(self.world.hospital, TESTER)
        self.world.later()

    @precondition(lambda self: self._appointment() is not None)
    @rule(choice=st.integers(0, 200))
    def move(self, choice: int) -> None:
        number = self._appointment()
        try:
            times = choosing.times(self.world.hospital, appointment=number, days=14, limit=200)
            if times:
                chosen = times[choice % len(times)]
                choosing.reschedule(self.world.hospital, number, chosen.group, chosen.starts_at, TESTER)
        except Refused:
            pass

    @precondition(lambda self: self._appointment() is not None)
    @rule()
    def cancel_and_choose_again(self) -> None:
        key = f"{self.number}/1"
        try:
            changes.cancel(self.world.hospital, self._appointment(), TESTER, reason="patient")
            chosen = choosing.times(self.world.hospital, items=[key])[-1]
            choosing.book(self.world.hospital, [key], chosen.group, chosen.starts_at, TESTER)
        except (Refused, IndexError):
            pass

    @invariant()
    def every_booked_visit_is_covered(self) -> None:
        rows = self.world.database.rows("SELECT start_at FROM appointment WHERE state IN ('booked', 'held')")
        for (start,) in rows:
            assert self.covered_until is not None
            assert instant(start) <= self.covered_until

    @invariant()
    def the_promises_hold(self) -> None:
        assert invariants.check(self.world.database, clock=self.world.clock) == []

    def _appointment(self) -> Any:
        return self.world.item(f"{self.number}/1").appointment

    def teardown(self) -> None:
        self.world.hospital.close()
        self.folder.cleanup()


TestAnyOrderOfEvents = Messages.TestCase
TestAnyOrderOfEvents.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
