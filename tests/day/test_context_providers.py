"""Facts from other systems: asked before the rules are, kept with their source, unknown when nobody answers."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from examlane import EncounterClass, Fact, Sex, reporting
from examlane.appointments import booking
from examlane.domain import DepartmentMode
from examlane.insight import invariants
from examlane.orders import context, snapshot
from examlane.orders.context import Config, Past, Unanswered
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.storage.exchange import ContextProvider
from examlane.testing import MORNING, TESTER, World, require, small_hospital
from examlane_radiology import hooks

HARMLESS = {"weight_kg": 60, "contrast_reaction": "none", "metformin": False, "hyperthyroidism": False, "pregnant": False}
CONTRAST = {"contrast": "iodine", "contrast_protocol": "chest_ct", "ionising": True}
DATA: dict[str, list[dict[str, Any]]] = {
    "items": [
        {"code": "CT-A", "name": "胸部增强CT", "modality": "CT", "department": "CT", "attributes": json.dumps(CONTRAST)},
        {"code": "US-THYROID", "name": "甲状腺彩超", "modality": "US", "department": "US"},
    ],
    "services": [{"item": "CT-A", "group": "CT-N", "minutes": 20}, {"item": "US-THYROID", "group": "US-N", "minutes": 10}],
}


@dataclass
class Lis:
    """A laboratory whose answers a test sets; it counts what it is asked."""

    known: Mapping[str, Any] = field(default_factory=dict)
    exams: Any = ()
    asked: list[tuple[tuple[Identifier, ...], tuple[str, ...]]] = field(default_factory=list)
    fails: Exception | None = None
    waits: threading.Event | None = None

    def facts(self, identifiers: Sequence[Identifier], names: Sequence[str]) -> Mapping[str, Fact]:
        self.asked.append((tuple(identifiers), tuple(names)))
        if self.waits:
            assert self.waits.wait(60)
        if self.fails:
            raise self.fails
        return self.known

    def examinations(self, identifiers: Sequence[Identifier]) -> Sequence[Past]:
        if self.fails:
            raise self.fails
        found: Sequence[Past] = self.exams
        return found


EGFR = {"egfr": Fact(90, MORNING - timedelta(days=1), "LIS")}


@pytest.fixture
def lis() -> Lis:
    return Lis()


@pytest.fixture
def world(database_url: str, lis: Lis) -> Iterator[World]:
    found = small_hospital(database_url, {"radiology": hooks}, DATA, providers={"fake": lambda config: lis})
    require(found, "CT", "radiology", {"agents": {"chest_ct": "iodixanol-320"}})
    configured(found, "LIS", {"egfr": "number"})
    yield found
    assert [each.id for each in invariants.check(found.database, clock=found.clock)] == []
    found.hospital.close()


def configured(world: World, code: str, facts: dict[str, str], **more: Any) -> None:
    values = {"code": code, "kind": "fake", "address": "", "facts": json.dumps(facts), "limit_ms": 60_000, **more}
    world.database.write(lambda: world.database.insert(ContextProvider, **values))


def changed(world: World, **values: Any) -> None:
    for name, value in values.items():
        world.database.write(lambda name=name, value=value: world.database.rows(
            f"UPDATE context_provider SET {name} = ? RETURNING id", value
        ))  # fmt: skip


def message(number: str = "O1", patient: str = "P1", **facts: Any) -> OrderData:
    known = {name: Fact(value, MORNING - timedelta(days=1)) for name, value in {**HARMLESS, **facts}.items()}
    return OrderData(
        number=number, patient=PatientData((Identifier("card", patient),), "患者", Sex.MALE, date(1986, 1, 1)),
        encounter=EncounterData(f"V-{patient}", EncounterClass.OUTPATIENT, campus="N"), ordering_department="CLINIC",
        ordered_at=MORNING, lines=(OrderLine(1, "CT-A"),), context=known,
    )  # fmt: skip


def submit(world: World, number: str = "O1", patient: str = "P1", **facts: Any) -> str:
    return reporting.submit_order(world.hospital, message(number, patient, **facts), TESTER)[0].state


def facts_of(world: World) -> list[tuple[Any, ...]]:
    return world.database.rows("SELECT name, value, source, recorded_at FROM patient_fact ORDER BY name, source")


def unanswered(world: World) -> list[str]:
    rows = world.database.rows("SELECT detail FROM audit WHERE action = 'context.unanswered' ORDER BY id")
    return [json.loads(detail)["reason"] for (detail,) in rows]


def test_what_nobody_knows_stays_unknown_and_closes_the_contrast_rule(world: World) -> None:
    assert submit(world) == "needs_confirmation"
    findings = json.loads(world.database.value("SELECT findings FROM order_item"))
    assert [each["code"] for each in findings if each["kind"] == "confirm"] == ["radiology.kidney_history"]


def test_a_fact_from_the_laboratory_opens_it_and_is_kept_with_its_source(world: World, lis: Lis) -> None:
    lis.known = EGFR

    assert submit(world) == "accepted"
    assert facts_of(world) == [("egfr", "90", "LIS", int(MORNING.timestamp()))]
    assert lis.asked == [((Identifier("card", "P1"),), ("egfr",))]


def test_within_its_cache_age_a_provider_is_asked_once(world: World, lis: Lis) -> None:
    lis.known = EGFR
    submit(world)
    patient = world.database.value("SELECT id FROM patient")
    booking.settle(world.hospital, patient, TESTER)
    world.later(minutes=59)
    booking.settle(world.hospital, patient, TESTER)
    assert len(lis.asked) == 1

    world.later(minutes=2)
    booking.settle(world.hospital, patient, TESTER)
    assert len(lis.asked) == 2


def test_that_a_provider_knows_nothing_is_remembered_as_long(world: World, lis: Lis) -> None:
    submit(world)
    booking.settle(world.hospital, world.database.value("SELECT id FROM patient"), TESTER)

    assert len(lis.asked) == 1


def test_what_the_doctor_wrote_just_now_is_not_asked_for(world: World, lis: Lis) -> None:
    order = message()
    order = OrderData(**{**{name: getattr(order, name) for name in order.__slots__},
                         "context": {**order.context, "egfr": Fact(80, MORNING)}})  # fmt: skip
    reporting.submit_order(world.hospital, order, TESTER)

    assert lis.asked == []


def test_the_newest_of_two_sources_counts(world: World, lis: Lis) -> None:
    lis.known = {"egfr": Fact(20, MORNING - timedelta(hours=2))}
    assert submit(world, egfr=90) != "accepted"

    lis.known = {"egfr": Fact(20, MORNING - timedelta(days=3))}
    assert submit(world, "O2", "P2", egfr=90) == "accepted"


@pytest.mark.parametrize(
    "told",
    [
        {"egfr": Fact(math.nan, MORNING)},
        {"egfr": Fact(math.inf, MORNING)},
        {"egfr": Fact("90", MORNING)},
        {"egfr": Fact(True, MORNING)},
        {"egfr": Fact(90, MORNING + timedelta(hours=1))},
        {"egfr": Fact(90, datetime(2026, 11, 22))},
        {"egfr": 90},
        {"egfr": Fact(90)},
        ["egfr"],
        "egfr",
    ],
)
def test_nonsense_stays_unknown_and_is_noted(world: World, lis: Lis, told: Any) -> None:
    lis.known = told

    assert submit(world) == "needs_confirmation"
    assert facts_of(world) == []
    assert unanswered(world) == ["nonsense"]
    assert world.hospital.context.unanswered == {("LIS", "nonsense"): 1}


def test_what_was_not_asked_for_is_not_taken(world: World, lis: Lis) -> None:
    lis.known = {**EGFR, "pregnant": Fact(True, MORNING)}
    submit(world)

    assert [row[0] for row in facts_of(world)] == ["egfr"]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(OSError("down"), "unreachable"), (Unanswered("wrong_patient"), "wrong_patient"), (KeyError("x"), "failed")],
)
def test_a_provider_that_fails_stops_no_order_and_passes_no_rule(
    world: World, lis: Lis, failure: Exception, reason: str
) -> None:
    lis.fails = failure

    assert submit(world) == "needs_confirmation"
    assert submit(world, "O2", "P2", egfr=90) == "accepted"
    assert unanswered(world) == [reason, reason]
    details = world.database.rows("SELECT detail FROM audit WHERE action = 'context.unanswered'")
    assert all("P1" not in detail and "card" not in detail for (detail,) in details)


def test_after_three_failures_it_rests(world: World, lis: Lis) -> None:
    lis.fails = OSError("down")
    for number in range(5):
        submit(world, f"O{number}", f"P{number}")

    assert len(lis.asked) == 3


def test_who_is_late_is_not_waited_for(world: World, lis: Lis) -> None:
    lis.known, lis.waits = EGFR, threading.Event()
    changed(world, limit_ms=10)

    assert submit(world) == "needs_confirmation"
    assert unanswered(world) == ["late"]
    lis.waits.set()
    assert facts_of(world) == []


def test_one_that_hangs_holds_its_own_calls_only(world: World, lis: Lis) -> None:
    lis.waits = threading.Event()
    other = Lis(EGFR)
    providers = context.Providers({"slow": lambda config: lis, "quick": lambda config: other}, Always)
    slow = Config("SLOW", "slow", "", (("egfr", "number"),), False, 0.01, timedelta(hours=1))
    quick = Config("QUICK", "quick", "", (("egfr", "number"),), False, 60, timedelta(hours=1))
    found = [providers.gather({slow: ["egfr"], quick: ["egfr"]}, [Identifier("card", "P1")], MORNING) for _ in range(6)]
    lis.waits.set()

    assert [one.unanswered for one in found] == [[("SLOW", "late")]] * 4 + [[("SLOW", "busy")]] * 2
    assert all(one.known == EGFR for one in found)


class Always:
    def admits(self) -> bool:
        return True

    def note(self, succeeded: bool) -> bool:
        return False


def test_a_dry_run_asks_too_and_keeps_nothing(world: World, lis: Lis) -> None:
    lis.known = EGFR
    names = ("patient", "patient_fact", "context_answer", "audit", "past_examination")
    before = [world.database.value(f"SELECT count(*) FROM {name}") for name in names]

    assert reporting.validate_order(world.hospital, message())[0].state == "accepted"
    assert [world.database.value(f"SELECT count(*) FROM {name}") for name in names] == before
    lis.known = {}
    assert reporting.validate_order(world.hospital, message())[0].state == "needs_confirmation"


def test_a_dry_run_uses_what_is_kept_of_a_patient(world: World, lis: Lis) -> None:
    lis.known = EGFR
    submit(world)

    found = reporting.validate_order(world.hospital, message("O7"))[0]
    assert "radiology.kidney_history" not in {finding.code for finding in found.findings}
    assert len(lis.asked) == 1


def test_exams_that_a_provider_knows_count_for_distances_once(world: World, lis: Lis) -> None:
    lis.known = EGFR
    lis.exams = [Past("CT-A", MORNING - timedelta(hours=20), MORNING - timedelta(hours=19)),
                 Past("UNKNOWN", MORNING - timedelta(hours=20), MORNING - timedelta(hours=19))]  # fmt: skip
    changed(world, history=1)
    submit(world)
    world.later(hours=2)
    booking.settle(world.hospital, world.database.value("SELECT id FROM patient"), TESTER)

    assert len(lis.asked) == 2
    assert world.database.rows("SELECT source FROM past_examination") == [("LIS",)]
    state = snapshot.read(
        world.database, world.hospital.catalogues, world.database.value("SELECT id FROM patient"), world.clock.now()
    )
    assert [(exam.item.code, exam.starts_at) for exam in state.exams] == [("CT-A", MORNING - timedelta(hours=20))]


@pytest.mark.parametrize(
    "exams",
    [
        7, [7], [Past("CT-A", None, None)],  # type: ignore[arg-type]
        [Past("CT-A", MORNING, MORNING)], [Past("CT-A", MORNING + timedelta(days=3), MORNING + timedelta(days=4))],
        [Past("CT-A", datetime(2026, 11, 1), datetime(2026, 11, 2))],
    ],
)  # fmt: skip
def test_a_history_that_makes_no_sense_is_not_taken(world: World, lis: Lis, exams: Any) -> None:
    lis.known, lis.exams = EGFR, exams
    changed(world, history=1)
    submit(world)

    assert unanswered(world) == ["nonsense"]
    assert world.database.value("SELECT count(*) FROM past_examination") == 0


def test_nobody_is_asked_for_a_department_that_books_elsewhere_or_when_switched_off(world: World, lis: Lis) -> None:
    world.mode("CT", DepartmentMode.EXTERNAL)
    submit(world)
    world.mode("CT", DepartmentMode.AUTOMATIC)
    changed(world, enabled=0)
    submit(world, "O2", "P2")

    assert lis.asked == []


def test_another_patients_facts_stay_as_they_are(world: World, lis: Lis) -> None:
    lis.known = EGFR
    submit(world)
    before = facts_of(world)
    lis.known = {"egfr": Fact(30, MORNING)}
    submit(world, "O2", "P2")

    assert [row for row in facts_of(world) if row[1] == "90"] == before


def test_a_kind_that_is_not_brought_is_not_asked(world: World, lis: Lis) -> None:
    changed(world, kind="soap")
    assert submit(world) == "needs_confirmation"
    assert lis.asked == []
