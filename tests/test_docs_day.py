"""The page for registrars names every setting of a department, with its default and bounds."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from examlane.capacity import policy
from examlane.capacity.policy import DepartmentPolicy


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", Path(__file__).with_name("docs_pages.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = _pages()


def allowed(field: Any) -> str:
    if "choices" in field.metadata:
        return ", ".join(field.metadata["choices"])
    least, most = field.metadata.get("bounds", (0, 1))
    return f"{least}–{most}" if isinstance(field.default, int) and not isinstance(field.default, bool) else "true, false"


def meaning(name: str) -> str:
    """The sentence below a setting in the code."""
    source = Path(policy.__file__).read_text("utf-8")
    found = re.search(rf'^    {name}: [^\n]*\n    """(.+?)"""$', source, re.M | re.S)
    assert found, f"{name} is not explained"
    return " ".join(found[1].split())


def policy_table() -> str:
    rows = (
        (f"`{each.name}`", str(each.default).lower(), allowed(each), meaning(each.name)) for each in fields(DepartmentPolicy)
    )
    return str(docs.table(("setting", "default", "allowed", "meaning"), *rows))


def test_every_setting_of_a_department_is_in_the_table() -> None:
    assert docs.between(docs.page("day.md"), "policy") == policy_table()


def test_every_thing_that_happens_says_what_you_do_what_it_does_and_how_it_is_undone() -> None:
    rows = [row for row in docs.rows(docs.page("day.md")) if not row[0].startswith("`")]
    assert all(len(row) == 4 and all(row) for row in rows)
