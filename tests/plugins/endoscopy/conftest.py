"""A small hospital with an endoscopy centre and an anaesthesia assessment clinic, on both databases or on SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from examlane import Fact
from examlane.insight import invariants
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import World, require, small_hospital
from examlane_endoscopy import hooks

ROLES = ("room", "endoscopist", "anaesthetist", "recovery")
KIND = "anaesthesia_assessment"
FACTS: Mapping[str, Any] = {"escort": True, "anticoagulant": "none", "pregnant": False}
PASSED = {"asa": 2, "assessor_role": "anaesthetist", "assessor_grade": "attending"}
CLINIC = {"code": "clinic", "name": "麻醉评估门诊", "department": "ANES", "campus": "N", "zone": "N-2"}
SEDATED = {"sedation": True, "fasting_hours": 6, "anticoagulant_risk": "low"}


def data(beds: int = 1) -> dict[str, list[dict[str, Any]]]:
    items = {
        "GASTRO": ("无痛胃镜", "ES", SEDATED),
        "COLON": ("无痛肠镜", "ES", {**SEDATED, "bowel_preparation": True}),
        "PLAIN": ("普通胃镜", "ES", {"fasting_hours": 6, "anticoagulant_risk": "low"}),
        "ASSESS": ("麻醉评估", "ANES", {"opens": KIND, "zero_fee": True}),
    }
    rosters: list[dict[str, Any]] = [
        {"resource": f"group:{role}", "weekdays": "1-5", "starts": "08:00", "ends": "17:00"} for role in ROLES[:3]
    ]
    rosters.append({"resource": "group:recovery", "weekdays": "1-5", "starts": "08:00", "ends": "18:00", "capacity": beds})
    rosters.append({"resource": "group:clinic", "weekdays": "1-5", "starts": "14:00", "ends": "17:00"})
    return {
        "departments": [
            {"code": "ES", "name": "内镜中心", "campus": "N", "executing": 1, "mode": "automatic"},
            {"code": "ANES", "name": "麻醉科", "campus": "N", "executing": 1, "mode": "automatic"},
            {"code": "CLINIC", "name": "门诊", "campus": "N", "ordering": 1},
        ],
        "items": [
            {"code": code, "name": name, "modality": "ES", "department": department, "attributes": json.dumps(attributes)}
            for code, (name, department, attributes) in items.items()
        ],
        "groups": [
            {"code": role, "name": role, "role": role, "department": "ES", "campus": "N", "zone": "N-3", "slice_minutes": 10}
            for role in ROLES
        ]
        + [{**CLINIC, "slice_minutes": 10}],
        "resources": [{"code": f"{role}-1", "name": role, "group": role} for role in (*ROLES, "clinic")],
        "services": [
            {"item": code, "group": "room", "minutes": 20} for code in ("GASTRO", "COLON", "PLAIN")
        ]
        + [{"item": "ASSESS", "group": "clinic", "minutes": 10}],
        "rosters": rosters,
        "walking": [],
    }  # fmt: skip


class Endoscopy:
    """The hospital, and the messages of an assessor, an ordering doctor and a cashier."""

    def __init__(self, world: World) -> None:
        self.world = world
        database = world.database
        since = epoch(world.clock.now()) - 60
        database.write(lambda: database.insert(Peer, code="HIS", address="http://his", created_at=since))

    def order(self, *items: str, patient: str = "P1", facts: Mapping[str, Any] | None = None, **more: Any) -> str:
        known = {**FACTS, **(facts or {})}
        context = {name: Fact(value, self.world.clock.now(), "EMR") for name, value in known.items() if value is not None}
        return self.world.order(*(items or ("GASTRO",)), patient=patient, context=context, **more)

    def assess(self, outcome: str = "passed", patient: str = "P1", **more: Any) -> None:
        known = {**PASSED, **more.pop("data", {})}
        self.world.evidence(patient, KIND, outcome, data=known, **more)

    def recheck(self, outcome: str = "passed", patient: str = "P1") -> None:
        self.world.evidence(patient, "day_of_exam_recheck", outcome)

    def booked(self, *items: str, patient: str = "P1", **more: Any) -> str:
        """An assessed and paid order; returns its first item."""
        number = self.order(*items, patient=patient, **more)
        self.assess(patient=patient)
        self.world.pay(number)
        assert self.item(number).appointment_state == "booked"
        return f"{number}/1"

    def item(self, key: str) -> Any:
        return self.world.item(key if "/" in key else f"{key}/1")

    def events(self, kind: str) -> list[dict[str, Any]]:
        rows = self.world.database.rows("SELECT payload FROM event WHERE kind = ? ORDER BY id", kind)
        return [json.loads(payload) for (payload,) in rows]

    def tasks(self) -> list[str]:
        return [code for (code,) in self.world.database.rows("SELECT code FROM desk_task WHERE closed_at IS NULL")]


Opener = Callable[..., Endoscopy]


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens a hospital at a database's address; its promises are checked at the end."""
    worlds: list[World] = []

    def open_at(url: str, beds: int = 1, days: int = 14, settings: Mapping[str, Any] | None = None) -> Endoscopy:
        world = small_hospital(url, {"endoscopy": hooks}, data(beds), days=days)
        for department in ("ES", "ANES"):
            require(world, department, "endoscopy", settings)
        worlds.append(world)
        return Endoscopy(world)

    yield open_at
    for world in worlds:
        assert invariants.check(world.database, clock=world.clock) == []
        world.hospital.close()
