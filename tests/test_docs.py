"""The documentation says what the code does: links, words and hooks. The guide has tests of its own."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from examlane import __all__ as exported
from examlane import hookimpl, hookspecs, testing
from examlane.arrival import noshow
from examlane.extension.plugins import HOOKS, Plugins
from examlane.storage.tables import TABLES
from examlane.testing import World


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", Path(__file__).with_name("docs_pages.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = _pages()


# Links and names


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")


@pytest.mark.parametrize("path", docs.PAGES, ids=lambda path: str(path.relative_to(docs.ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
        if target.startswith(("http:", "https:")):
            continue
        name, _, place = target.partition("#")
        there = path.parent / name if name else path
        assert there.exists(), target
        if place:
            assert place in {anchor(heading) for heading in docs.HEADING.findall(there.read_text("utf-8"))}, target


@pytest.mark.parametrize("path", docs.PAGES, ids=lambda path: str(path.relative_to(docs.ROOT)))
def test_every_file_that_a_page_names_exists(path: Path) -> None:
    own = {name for name, _ in docs.FILE.findall(path.read_text("utf-8"))}
    named = set(re.findall(r"`((?:core|api|plugins|tests|docs|benchmarks)/[\w./*<>-]+)`", path.read_text("utf-8"))) - own
    for name in named:
        pattern = re.sub(r"<\w+>", "*", name).rstrip("/")
        assert list(docs.ROOT.glob(pattern)), name


def test_the_glossary_has_every_word_of_the_hooks_and_every_table() -> None:
    text = docs.page("glossary.md")
    types = {name for name in exported if name[0].isupper() and name != "TICK_MINUTES"}
    tables = {each._meta.table_name for each in TABLES}
    assert {name for name in types | tables if f"`{name}`" not in text} == set()


# Hooks


def signature(hook: str) -> str:
    """A hook's full signature, one argument a line."""
    found = inspect.signature(getattr(hookspecs, hook))
    arguments = "".join(f"    {each.name}: {each.annotation},\n" for each in found.parameters.values())
    return f"def {hook}(\n{arguments}) -> {found.return_annotation}"


def test_hooks_have_their_sections_in_the_order_they_fire() -> None:
    headings = re.findall(r"^## `(\w+)`$", docs.page("hooks.md"), re.M)
    specified = [name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), "examlane_spec")]
    assert headings == list(HOOKS) == specified


@pytest.mark.parametrize("hook", HOOKS)
def test_the_section_of_a_hook_has_its_signature_an_example_and_its_failure(hook: str) -> None:
    text = docs.section(docs.page("hooks.md"), f"`{hook}`")
    blocks = [body.strip() for _, body in docs.FENCE.findall(text)]
    assert blocks[0] == signature(hook)
    assert f"@hookimpl\ndef {hook}(" in blocks[1]
    contract = str(inspect.getdoc(getattr(hookspecs, hook)))
    failure = " ".join(contract.partition("If it fails: ")[2].split())
    assert failure
    assert f"If it fails: {failure}" in " ".join(text.split())
    assert hook in {docs.code(row[0]) for row in docs.rows(docs.page("hooks.md"))}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = docs.hospital(tmp_path)
    yield found
    found.hospital.close()


def test_the_examples_of_the_hooks_are_a_whole_plugin() -> None:
    found = Plugins()
    found.register("example", docs.example())
    assert found.broken == {}
    assert set(found.loaded["example"].hooks) == set(HOOKS)


def test_the_example_of_validation_blocks_a_pregnant_patient_and_asks_for_the_unknown(world: World) -> None:
    assert world.item(f"{docs.booked(world, 'CT-HEAD', pregnant=True)}/1").state == "rejected"
    assert world.item(f"{docs.booked(world, 'CT-HEAD', pregnant=None, patient='P2')}/1").state == "needs_confirmation"
    assert world.item(f"{docs.booked(world, 'CT-HEAD', patient='P3')}/1").appointment_state == "booked"


def test_the_example_of_a_gate_waits_for_the_consent(world: World) -> None:
    number = docs.booked(world, "US-SEDATED")
    assert world.item(f"{number}/1").reason == "awaiting_gate"
    world.evidence("P1", "consent", "signed")
    assert world.item(f"{number}/1").appointment_state == "booked"


def test_the_example_of_requirements_makes_one_visit(world: World) -> None:
    number = docs.booked(world, "US-THYROID", "US-HEART")
    assert world.item(f"{number}/1").appointment == world.item(f"{number}/2").appointment is not None


def test_the_example_of_intervals_keeps_order_and_distance(world: World) -> None:
    again = {"confirmed": ("core.repeated_order",), "confirm_reason": "follow-up"}
    both, other = docs.booked(world, "CT-HEAD", "US-THYROID"), docs.booked(world, "CT-HEAD", **again)
    ct, ultrasound = (world.item(f"{both}/{line}").starts_at for line in (1, 2))
    assert ultrasound < ct
    assert world.item(f"{other}/1").starts_at - ct >= timedelta(days=1)


def test_the_example_of_preparation_gives_an_hour_to_drink(world: World) -> None:
    number = docs.booked(world, "US-BLADDER")
    assert world.item(f"{number}/1").starts_at.isoformat() == "2026-11-23T09:00:00+08:00"


def test_the_example_of_allocation_leaves_the_first_hours(world: World) -> None:
    assert world.item(f"{docs.booked(world, 'US-HEART')}/1").starts_at.hour == 10


def test_the_example_of_an_itinerary_puts_everything_on_one_day(world: World) -> None:
    one_day = docs.example().one_day
    allocate = hookimpl(lambda request, availability: one_day(request, availability))
    world.hospital.plugins.register("one_day", SimpleNamespace(allocate=allocate))
    world.switch("CLINIC", "one_day")
    number = docs.booked(world, "CT-HEAD", "US-HEART")
    assert world.database.rows("SELECT code, proven FROM itinerary") == [("example.one_day", 1)]
    assert world.item(f"{number}/1").starts_at.date() == world.item(f"{number}/2").starts_at.date()


def test_the_example_of_a_no_show_sends_to_the_kiosk_once(world: World) -> None:
    number = docs.booked(world, "US-HEART")
    world.clock.advance(timedelta(hours=3))
    missed = noshow.mark(world.hospital, world.item(f"{number}/1").appointment, testing.TESTER)
    assert missed.no_show["action"] == "self_rebook"
    assert missed.no_show["rebook_until"] == "2026-11-23T16:00:00+08:00"
