"""What the tests of the documentation share: its pages, sections, tables and code blocks, and the examples' hospital."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from examlane import Fact, testing
from examlane.testing import World, require, small_hospital

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("plugins/*/README.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"^\*\*`([^`]+)`\*\*\n\n```\w*\n(.*?)^```$", re.M | re.S)
HEADING = re.compile(r"^#+ (.+)$", re.M)


@cache
def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = re.search(rf"^(#+) {re.escape(heading)}$", text, re.M)
    assert level, f"no section {heading}"
    rest = text[level.end() :]
    end = re.search(rf"^#{{1,{len(level[1])}}} ", rest, re.M)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    """The cells of the tables of a text, without the heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    heads = {index - 1 for index, line in enumerate(lines) if line.startswith("| ---")}
    return [row for index, row in enumerate(cells) if index not in heads and not lines[index].startswith("| ---")]


def code(cell: str) -> str:
    return cell.strip("`")


def table(*lines: Iterable[str]) -> str:
    """A table as the pages write it; the first line is the head."""
    head, *rest = [list(line) for line in lines]
    written = [head, ["---"] * len(head), *rest]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in written)


def between(text: str, mark: str) -> str:
    """What stands between `<!-- mark -->` and `<!-- end -->`."""
    found = re.search(rf"<!-- {mark} -->\n(.*?)\n?<!-- end -->", text, re.S)
    assert found, f"no mark {mark}"
    return found[1].strip()


@cache
def example() -> ModuleType:
    """The examples of `hooks.md` as one plugin."""
    module = ModuleType("example")
    blocks = [body for language, body in FENCE.findall(page("hooks.md")) if language == "python"]
    for body in blocks:
        if not re.match(r"def \w+\(\n", body):
            exec(compile(body, "hooks.md", "exec"), module.__dict__)
    return module


EXAMPLE_DATA: dict[str, list[dict[str, Any]]] = {
    "items": [
        *testing.DATA["items"],
        {"code": "US-SEDATED", "name": "镇静超声", "modality": "US", "department": "US",
         "attributes": '{"sedation": true}'},
        {"code": "US-BLADDER", "name": "膀胱彩超", "modality": "US", "department": "US",
         "attributes": '{"full_bladder": true, "fasting_hours": 8}'},
    ],
    "services": [
        *testing.DATA["services"],
        {"item": "US-SEDATED", "group": "US-N", "minutes": 10},
        {"item": "US-BLADDER", "group": "US-N", "minutes": 10},
    ],
}  # fmt: skip


def hospital(folder: Path) -> World:
    """A small hospital with the plugin of the examples in both departments."""
    found = small_hospital(f"sqlite:///{folder / 'hospital.db'}", {"example": example()}, EXAMPLE_DATA)
    require(found, "US", "example")
    require(found, "CT", "example")
    return found


def booked(world: World, *items: str, pregnant: bool | None = False, pay: bool = True, **more: Any) -> str:
    context = {} if pregnant is None else {"pregnant": Fact(pregnant)}
    number = world.order(*items, context=context, **more)
    if pay:
        world.pay(number)
    return number
