"""The page for a platform's engineers says what the code does; its examples are sent as they stand there."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from types import ModuleType

from examlane.records.audit import Actor
from examlane.testing import small_hospital
from examlane_api import clients
from examlane_api.clients import caller
from examlane_api.hip import frame, profiles, service
from examlane_api.hip.actions import ACTIONS
from examlane_api.hip.profiles import Profile

EXAMPLE = re.compile(r"```xml (\w+) (AA|AE) (\w+)\n(.*?)```", re.DOTALL)


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", Path(__file__).with_name("docs_pages.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = _pages()
PAGE = docs.page("hip.md")


def test_every_example_is_answered_as_the_page_says(sqlite_url: str) -> None:
    world = small_hospital(sqlite_url)
    clients.add(world.database, "platform", "平台")
    profile = profiles.load(Path(str(files("examlane_api.hip") / "example.toml")))
    who = caller(world.database, "platform", "hip", world.clock.now())
    assert who is not None
    examples = EXAMPLE.findall(PAGE)
    assert len(examples) == 10
    for action, kind, code, text in examples:
        if "{appointment}" in text:
            text = text.replace("{appointment}", world.item("1001/1").appointment)
        said = service.answer(world.hospital, profile, who, Actor("platform", "hip"), action, text)
        ack = frame.read_ack(said)
        assert ("AA" if ack.taken else "AE", ack.details[0].code) == (kind, code), (action, ack.details)
    world.hospital.close()


def test_every_action_and_its_permission_is_in_the_table() -> None:
    rows = docs.rows(docs.section(PAGE, "Actions that examlane takes"))
    shown = {name: docs.code(row[1]) for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert shown == {name: action.operation for name, action in ACTIONS.items()}


def test_every_code_of_our_own_is_explained() -> None:
    source = "".join(path.read_text("utf-8") for path in Path(str(files("examlane_api.hip"))).rglob("*.py"))
    codes = set(re.findall(r"""(?:Refused|Detail)\(\s*"(\w+)\"""", source))
    known = set(re.findall(r"`(\w+)`", docs.section(PAGE, "The acknowledgement")))
    other = set(re.findall(r"`(\w+)`", docs.page("integration.md")))
    assert codes <= known | other | {"try_again"}


def test_the_example_profile_explains_every_field() -> None:
    text = files("examlane_api.hip").joinpath("example.toml").read_text("utf-8")
    named = {each.name for each in fields(Profile)} - {"code"}
    assert {name for name in named if not re.search(rf"^(\[+)?{name}\b", text, re.MULTILINE)} == set()
