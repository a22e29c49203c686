"""The page for the integration platform names every kind of event with its payload, and the code tells no other kind."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import examlane
from examlane.outbound.kinds import KINDS, EventKind


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", Path(__file__).with_name("docs_pages.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = _pages()


def payload(kind: EventKind) -> str:
    sometimes = f" (`{', '.join(kind.sometimes)}`)" if kind.sometimes else ""
    return f"`{', '.join(sorted(kind.fields))}`{sometimes}"


def event_table() -> str:
    rows = (
        (f"`{name}`{' *' if kind.personal else ''}", kind.subject, kind.when.en, payload(kind))
        for name, kind in KINDS.items()
    )
    return str(docs.table(("kind", "subject", "when", "payload"), *rows))


def emitted() -> Iterator[str]:
    """The kinds that are written out where events are told."""
    for path in Path(examlane.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "events.emit":
                yield from (arg.value for arg in call.args[3:4] if isinstance(arg, ast.Constant))


def test_every_kind_of_event_is_in_the_table_with_its_payload() -> None:
    assert docs.between(docs.page("integration.md"), "events") == event_table()


def test_every_kind_that_the_code_tells_is_declared() -> None:
    assert set(emitted()) - set(KINDS) == set()


def test_personal_kinds_are_told_to_who_names_them_only() -> None:
    assert {name for name, kind in KINDS.items() if "phone" in kind.fields or "patient" in kind.fields} <= {
        name for name, kind in KINDS.items() if kind.personal
    }
