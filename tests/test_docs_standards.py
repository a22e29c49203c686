"""The pages on FHIR and HL7 v2 say what the code does; their examples are run."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

from examlane.testing import World, small_hospital
from examlane_api import access, clients
from examlane_api.app import create_app
from examlane_api.fhir import states, systems
from examlane_api.fhir.answers import CODES
from examlane_api.fhir.reading import KINDS
from examlane_api.hl7v2 import profiles, sending
from examlane_api.hl7v2.profiles import Profile
from examlane_api.hl7v2.triggers import FILLER_STATUS


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", Path(__file__).with_name("docs_pages.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = _pages()
FHIR, HL7 = docs.page("fhir.md"), docs.page("hl7v2.md")


def fenced(page: str, language: str) -> list[str]:
    return [body for named, body in docs.FENCE.findall(page) if named == language]


def booked(url: str, item: str, patient: str) -> World:
    world = small_hospital(url)
    world.pay(world.order(item, patient=patient, number="O1"))
    return world


def as_shown(shown: Any, actual: Any, at: str = "") -> None:
    """The answer has exactly what is shown; `…` stands for anything."""
    if shown == "…":
        return
    if isinstance(shown, dict):
        assert set(shown) == set(actual), at
        for name, value in shown.items():
            as_shown(value, actual[name], f"{at}/{name}")
    elif isinstance(shown, list):
        assert len(shown) == len(actual), at
        for index, value in enumerate(shown):
            as_shown(value, actual[index], f"{at}/{index}")
    else:
        assert shown == actual, at


def test_the_search_is_answered_as_shown(sqlite_url: str) -> None:
    world = booked(sqlite_url, "US-HEART", "C100")
    world.database.write(lambda: world.database.rows("UPDATE patient SET name = '张三' RETURNING id"))
    token = f"his.{clients.add(world.database, 'his', 'HIS')}"
    call = next(body for body in fenced(FHIR, "sh") if body.startswith("curl"))
    address = re.findall(r'"\$BASE([^"]+)"', call)[0]
    app = create_app(world.hospital, "for tests only")
    answer = app.test_client().get(f"/fhir/R4{address}", headers={"Authorization": f"Bearer {token}"})

    as_shown(json.loads(fenced(FHIR, "json")[0]), answer.json)
    world.hospital.close()


def test_every_search_parameter_is_in_the_tables() -> None:
    for name, kind in KINDS.items():
        shown = docs.rows(docs.section(FHIR, name))
        told = [(f"`{each}`", parameter.type, parameter.says) for each, parameter in kind.parameters.items()]
        assert [tuple(row) for row in shown] == told


def test_every_state_and_permission_and_error_is_in_the_tables() -> None:
    rows = docs.rows(docs.section(FHIR, "States"))
    shown = {docs.code(ours): docs.code(theirs) for ours, theirs in rows if ours.startswith("`")}
    assert shown == {state.value: said for state, said in states.APPOINTMENT.items()}
    used = {docs.code(row[1]) for row in docs.rows(docs.section(FHIR, "Reading"))} - {"the same"}
    assert used == {kind.permission for kind in KINDS.values()} <= set(access.operations())
    errors = {int(row[0]): row[1] for row in docs.rows(docs.section(FHIR, "Errors"))}
    assert set(errors) | {413} == set(CODES)
    assert all(f"`{CODES[status]}`" in said for status, said in errors.items())


def test_the_file_of_systems_is_one(tmp_path: Path) -> None:
    path = tmp_path / "systems.toml"
    path.write_text(fenced(FHIR, "toml")[0], "utf-8")
    found = systems.load(path)

    assert found.patient_kind("urn:oid:2.16.156.10011.2.5.1.4") == "patient_id"
    assert set(tomllib.loads(path.read_text("utf-8"))) == set(systems.Systems.__dataclass_fields__)


def test_every_filler_status_is_in_the_table() -> None:
    rows = docs.rows(docs.section(HL7, "Which message"))
    shown = {docs.code(ours): docs.code(theirs) for ours, theirs in rows if ours.startswith("`")}
    assert shown == {state.value: said for state, said in FILLER_STATUS.items()}


def test_the_message_is_as_shown(sqlite_url: str) -> None:
    world = booked(sqlite_url, "CT-HEAD", "P1")
    number = world.item("O1/1").appointment
    text = sending.of_appointment(world.hospital, Profile(), number, 1, "an-event")

    shown = fenced(HL7, "hl7")[0].strip().splitlines()
    for line, actual in zip(shown, text.strip("\r").split("\r"), strict=True):
        assert re.fullmatch(re.escape(line).replace("…", ".+"), actual), actual
    world.hospital.close()


def test_the_profile_is_one_and_has_every_field(tmp_path: Path) -> None:
    path = tmp_path / "RIS.toml"
    path.write_text(fenced(HL7, "toml")[0], "utf-8")

    assert profiles.load(path).receiving_application == "RIS"
    assert set(tomllib.loads(path.read_text("utf-8"))) == set(Profile.__dataclass_fields__)
