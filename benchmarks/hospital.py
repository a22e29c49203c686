"""The hospital that is booked in: contrast CT and ultrasound with their plugins on, and the messages that book."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from examlane import EncounterClass, Fact, Sex
from examlane.appointments import booking
from examlane.clock import SetClock
from examlane.extension.plugins import Plugins
from examlane.hospital import Hospital, open_hospital
from examlane.orders import intake, release
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.orders.release import PaymentData
from examlane.records.audit import Actor
from examlane.settings import Settings
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import MORNING, require, small_hospital
from examlane_radiology import hooks as radiology
from examlane_ultrasound import hooks as ultrasound

CLIENT = Actor("benchmark", "rest")
PLUGINS = {"radiology": radiology, "ultrasound": ultrasound}
GROUPS = 4
"""Resource groups a department, each with an item of its own."""
ROOMS = 6
DAYS = 28
ITEMS = [f"{department}-{number}" for department in ("CT", "US") for number in range(GROUPS)]
CONTRAST = {"contrast": "iodine", "contrast_protocol": "chest_ct", "ionising": True}
CONTEXT: dict[str, Any] = {
    "weight_kg": 60,
    "contrast_reaction": "none",
    "metformin": False,
    "hyperthyroidism": False,
    "pregnant": False,
    "egfr": 90,
}
NOW = MORNING
BORN = date(1980, 5, 1)
OBSERVED = NOW - timedelta(days=1)


def settings(url: str) -> Settings:
    return Settings(database=url, horizon_days=DAYS)


def create(url: str) -> None:
    """Fill an empty database with the hospital, its slots of four weeks, and one peer that hears every event."""
    world = small_hospital(url, PLUGINS, _data(), DAYS)
    require(world, "CT", "radiology")
    require(world, "US", "ultrasound")
    database = world.database
    database.write(lambda: database.insert(Peer, code="HIS", created_at=epoch(NOW)))
    database.rows("ANALYZE")
    world.hospital.close()


def connect(url: str) -> Hospital:
    """The hospital as one more process sees it, with the clock standing at a Monday morning."""
    plugins = Plugins()
    for name, module in PLUGINS.items():
        plugins.register(name, module)
    return open_hospital(settings(url), SetClock(NOW), plugins)


def book(hospital: Hospital, serial: str, item: str) -> bool:
    """One whole booking in process: the order is stored and judged, then paid and booked. Whether it was booked."""
    now = hospital.clock.now()
    order = order_data(serial, item)
    catalogue = hospital.catalogues.current()
    intake.check(catalogue, order, now)
    patient = intake.record(hospital.database, catalogue, hospital.settings, order, CLIENT, now)
    booking.settle(hospital, patient, CLIENT)
    release.pay(hospital.database, hospital.settings, PaymentData(order.number, now), CLIENT, now)
    return bool(booking.settle(hospital, patient, CLIENT).appointments)


def disturb(hospital: Hospital, serial: str, count: int) -> None:
    """Store what no booking has, so that rows of different tables are no longer numbered alike."""
    catalogue, now = hospital.catalogues.current(), hospital.clock.now()
    order = order_data(f"{serial}D", *ITEMS[: count + 1])
    known = order.patient.identifiers
    for number in range(count):
        more = replace(
            order,
            number=f"{order.number}{number}",
            patient=replace(order.patient, identifiers=(*known, Identifier("insurance", f"{serial}{number}"))),
        )
        intake.record(hospital.database, catalogue, hospital.settings, more, CLIENT, now)
        unknown = PaymentData(f"{order.number}-unknown", now)
        release.pay(hospital.database, hospital.settings, unknown, CLIENT, now)
    visits = replace(order, number=f"{order.number}V", encounter=replace(order.encounter, number=f"{serial}V"))
    patient = intake.record(hospital.database, catalogue, hospital.settings, visits, CLIENT, now)
    booking.settle(hospital, patient, CLIENT)


def order_data(serial: str, *items: str) -> OrderData:
    return OrderData(
        number=f"O{serial}",
        patient=PatientData((Identifier("card", f"P{serial}"),), f"患者{serial}", Sex.FEMALE, BORN),
        encounter=EncounterData(f"V{serial}", EncounterClass.OUTPATIENT, campus="N"),
        ordering_department="CLINIC",
        ordered_at=NOW,
        lines=tuple(OrderLine(line, item) for line, item in enumerate(items, 1)),
        context={name: Fact(value, OBSERVED) for name, value in CONTEXT.items()},
    )


def order_body(serial: str, item: str) -> dict[str, Any]:
    """The same order as a REST client sends it."""
    facts = {name: {"value": value, "observed_at": OBSERVED.isoformat()} for name, value in CONTEXT.items()}
    return {
        "number": f"O{serial}",
        "patient": {
            "identifiers": [{"kind": "card", "value": f"P{serial}"}],
            "name": f"患者{serial}",
            "sex": "female",
            "birth_date": BORN.isoformat(),
        },
        "encounter": {"number": f"V{serial}", "encounter_class": "outpatient", "campus": "N"},
        "ordering_department": "CLINIC",
        "ordered_at": NOW.isoformat(),
        "items": [{"line": 1, "item": item}],
        "context": facts,
    }


def payment_body(serial: str) -> dict[str, Any]:
    return {"order": f"O{serial}", "paid_at": NOW.isoformat()}


def _data() -> dict[str, list[dict[str, Any]]]:
    return {
        "items": [
            {
                "code": item, "name": item, "modality": item[:2], "department": item[:2],
                "attributes": json.dumps(CONTRAST if item.startswith("CT") else {}),
            }
            for item in ITEMS
        ],
        "groups": [
            {
                "code": f"G-{item}", "name": item, "department": item[:2], "campus": "N", "zone": "N-1",
                "slice_minutes": 10,
            }
            for item in ITEMS
        ],
        "resources": [
            {"code": f"R-{item}-{room}", "name": f"{room}检查室", "group": f"G-{item}"}
            for item in ITEMS
            for room in range(ROOMS)
        ],
        "services": [{"item": item, "group": f"G-{item}", "minutes": 10} for item in ITEMS],
        "rosters": [
            {"resource": f"group:G-{item}", "weekdays": "1-7", "starts": "07:00", "ends": "19:00"} for item in ITEMS
        ],
        "walking": [],
    }  # fmt: skip
