"""A small hospital on a real database, with one department, and the messages that make it move."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from examlane.appointments import booking
from examlane.capacity import masterdata, rosters
from examlane.capacity.calendar import days_from
from examlane.clock import SetClock
from examlane.domain import DepartmentMode, EncounterClass, Fact, Priority, Sex, Stage
from examlane.extension import rollout
from examlane.extension.plugins import Plugins
from examlane.hospital import Hospital, open_hospital
from examlane.orders import evidence, intake, release
from examlane.orders.context import Connect
from examlane.orders.evidence import EvidenceData
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.orders.release import PaymentData
from examlane.records.audit import Actor
from examlane.settings import Settings
from examlane.storage.fields import dump, epoch
from examlane.storage.models import DepartmentPlugin

MORNING = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
"""Monday 2026-11-23, 08:00 in Shanghai."""
TESTER = Actor("tester", "test")

DATA: dict[str, list[dict[str, Any]]] = {
    "campuses": [{"code": "N", "name": "北院区"}, {"code": "S", "name": "南院区"}],
    "departments": [
        {"code": "US", "name": "超声科", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "CT", "name": "放射科", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "CLINIC", "name": "门诊", "campus": "N", "ordering": 1},
    ],
    "items": [
        {"code": "US-THYROID", "name": "甲状腺彩超", "modality": "US", "department": "US"},
        {"code": "US-HEART", "name": "心脏彩超", "modality": "US", "department": "US"},
        {"code": "CT-HEAD", "name": "头颅CT", "modality": "CT", "department": "CT"},
    ],
    "groups": [
        {"code": "US-N", "name": "超声室", "department": "US", "campus": "N", "zone": "N-1", "slice_minutes": 10},
        {"code": "US-S", "name": "超声室", "department": "US", "campus": "S", "zone": "S-1", "slice_minutes": 10},
        {"code": "CT-N", "name": "CT机房", "department": "CT", "campus": "N", "zone": "N-2", "slice_minutes": 10},
    ],
    "resources": [
        {"code": "US-N-1", "name": "1检查室", "group": "US-N"},
        {"code": "US-N-2", "name": "2检查室", "group": "US-N"},
        {"code": "US-S-1", "name": "1检查室", "group": "US-S"},
        {"code": "CT-N-1", "name": "1机房", "group": "CT-N"},
    ],
    "services": [
        {"item": "US-THYROID", "group": "US-N", "minutes": 10},
        {"item": "US-THYROID", "group": "US-S", "minutes": 10},
        {"item": "US-HEART", "group": "US-N", "minutes": 20},
        {"item": "CT-HEAD", "group": "CT-N", "minutes": 10},
    ],
    "rosters": [
        {"resource": f"group:{group}", "weekdays": "1-5", "starts": "08:00", "ends": "12:00"}
        for group in ("US-N", "US-S", "CT-N")
    ],
    "walking": [{"zone_a": "N-1", "zone_b": "N-2", "minutes": 10}],
}


@dataclass
class World:
    """A hospital with short ways to send it what a hospital information system sends."""

    hospital: Hospital
    clock: SetClock
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def database(self) -> Any:
        return self.hospital.database

    def order(
        self,
        *items: str,
        patient: str = "P1",
        number: str = "",
        encounter: str = "",
        encounter_class: EncounterClass = EncounterClass.OUTPATIENT,
        context: Mapping[str, Fact] | None = None,
        verified: bool = True,
        settle: bool = True,
        confirmed: tuple[str, ...] = (),
        confirm_reason: str = "",
        **more: Any,
    ) -> str:
        """Submit an order for some items; returns its number."""
        number = number or f"O{next(self.numbers)}"
        data = OrderData(
            number=number,
            patient=PatientData((Identifier("card", patient),), f"患者{patient}", Sex.FEMALE),
            encounter=EncounterData(encounter or f"V-{patient}", encounter_class, campus=more.pop("campus", "N")),
            ordering_department=more.pop("ordering_department", "CLINIC"),
            ordered_at=self.clock.now(),
            lines=tuple(OrderLine(line, item, confirmed, confirm_reason) for line, item in enumerate(items, 1)),
            priority=more.pop("priority", Priority.ROUTINE),
            context=context or {},
            verified=verified,
            **more,
        )
        catalogue = self.hospital.catalogues.current()
        intake.check(catalogue, data, self.clock.now())
        found = intake.record(self.database, catalogue, self.hospital.settings, data, TESTER, self.clock.now())
        if settle:
            booking.settle(self.hospital, found, TESTER)
        return number

    def pay(self, order: str, settle: bool = True, **more: Any) -> None:
        payment = PaymentData(order, self.clock.now(), **more)
        recorded = release.pay(self.database, self.hospital.settings, payment, TESTER, self.clock.now())
        if settle and recorded.patient is not None and not recorded.awaits_others:
            booking.settle(self.hospital, recorded.patient, TESTER)

    def evidence(self, patient: str, kind: str, outcome: str, **more: Any) -> None:
        data = EvidenceData(Identifier("card", patient), kind, outcome, more.pop("observed_at", self.clock.now()), **more)
        found = evidence.record(self.database, data, TESTER, self.clock.now())
        booking.settle(self.hospital, found, TESTER)

    def later(self, **delta: float) -> None:
        """Let time pass, and the worker do what became due."""
        self.clock.advance(timedelta(**delta))
        booking.settle_due(self.hospital)

    def item(self, key: str) -> SimpleNamespace:
        """The stored state of an order item, and the local start of its appointment."""
        row = self.database.row(
            "SELECT oi.state, oi.reason, a.number, a.start_at, a.state, a.version, a.id FROM order_item oi "
            "LEFT JOIN appointment_item ai ON ai.order_item_id = oi.id AND ai.active = 1 "
            "LEFT JOIN appointment a ON a.id = ai.appointment_id WHERE oi.key = ?",
            key,
        )
        state, reason, number, start, appointment_state, version, appointment = row
        zone = self.hospital.settings.zone
        local = datetime.fromtimestamp(start, zone) if start else None
        return SimpleNamespace(
            state=state, reason=reason, appointment=number, starts_at=local, appointment_state=appointment_state,
            version=version, appointment_id=appointment,
        )  # fmt: skip

    def switch(self, department: str, plugin: str, stage: Stage = Stage.ON, **more: Any) -> None:
        rollout.set_stage(self.database, department, plugin, stage, TESTER, epoch(self.clock.now()), **more)

    def mode(self, department: str, mode: DepartmentMode) -> None:
        rollout.set_mode(self.database, department, mode, TESTER, epoch(self.clock.now()))


def small_hospital(
    url: str,
    plugins: Mapping[str, Any] | None = None,
    data: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    days: int = 14,
    providers: Mapping[str, Connect] | None = None,
    **settings: Any,
) -> World:
    """A hospital with one ultrasound and one CT department; `plugins` are switched on where `switch` says.

    `plugins` maps names to modules or objects with hooks; `data` replaces tables of the master data. Hooks get more
    time than in a hospital unless `hook_seconds` is given, so that a busy machine changes no decision.
    """
    if "hook_seconds" not in settings:
        settings = {"hook_seconds": 5.0, "booking_seconds": 20.0, **settings}
    found = Plugins()
    for name, module in (plugins or {}).items():
        found.register(name, module)
    clock = SetClock(MORNING)
    hospital = open_hospital(Settings(database=url, horizon_days=days, **settings), clock, found, providers or {})
    hospital.database.create_tables()
    masterdata.load(hospital.database, {**DATA, **(data or {})})
    publish(hospital, days)
    return World(hospital, clock)


def publish(hospital: Hospital, days: int) -> int:
    """Create the slots of the coming days."""
    calendar = hospital.calendar
    first = calendar.day_of(hospital.clock.now())
    return rosters.publish(hospital.database, calendar, days_from(first, days), epoch(hospital.clock.now()))


def require(world: World, department: str, plugin: str, settings: Mapping[str, Any] | None = None) -> None:
    """Make a plugin required in a department and switch it on."""
    key = world.database.value("SELECT id FROM department WHERE code = ?", department)
    world.database.write(
        lambda: world.database.insert(
            DepartmentPlugin, department=key, plugin=plugin, stage="off", required=1, settings=dump(dict(settings or {}))
        )
    )
    world.switch(department, plugin)
