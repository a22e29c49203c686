"""`examlane plugins new`: a whole plugin from the templates in `plugin_template/`, ready to be tested and changed."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2

import examlane
from examlane.extension.plugins import CORE, GROUP, HOOKS
from examlane.rulebase import files as rulebase
from examlane.testing.sources import rule_rows

USUAL = ("validate_order", "preparation")
NAME = re.compile(r"[a-z][a-z0-9_]{1,23}")
TITLE = re.compile(r"[^\"\\\r\n]{1,80}")
STANDARD = {
    "Mapping": "collections.abc", "Sequence": "collections.abc", "Iterator": "collections.abc",
    "datetime": "datetime", "timedelta": "datetime", "Any": "typing",
}  # fmt: skip
"""Where the templates' names come from that are not examlane's."""
FILES = {
    "setup.cfg": "setup.cfg.jinja",
    "pyproject.toml": "pyproject.toml.jinja",
    ".gitignore": "gitignore.jinja",
    "README.md": "README.md.jinja",
    "examlane_{name}/__init__.py": "init.py.jinja",
    "examlane_{name}/hooks.py": "hooks.py.jinja",
    "examlane_{name}/rules.toml": "rules.toml.jinja",
    "examlane_{name}/sample.toml": "sample.toml.jinja",
    "examlane_{name}/py.typed": "py.typed.jinja",
    "tests/test_{name}.py": "test_plugin.py.jinja",
    "tests/test_contract.py": "test_contract.py.jinja",
}


def write(name: str, title: str, folder: Path, hooks: Sequence[str]) -> list[str]:
    """Write the plugin and return its files' names. Raises `ValueError`, with the cure, for a name that cannot be."""
    title = title or f"{name} 规则 · Rules of {name}"
    _check(name, title, folder, hooks)
    values: dict[str, Any] = {"name": name, "title": title, "hooks": [hook for hook in HOOKS if hook in hooks]}
    values["rows"] = _rows(name, _render("rules.toml.jinja", values))
    written = {path.format(name=name): _render(template, values) for path, template in FILES.items()}
    for path, text in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    return list(written)


def _check(name: str, title: str, folder: Path, hooks: Sequence[str]) -> None:
    _want(NAME.fullmatch(name), f"{name!r} is no name for a plugin: 2 to 24 small letters, digits and _, such as mri_heart")
    _want(not keyword.iskeyword(name) and name != CORE, f"{name} is a reserved word: choose another name")
    taken = bool(entry_points(group=GROUP, name=name)) or find_spec(f"examlane_{name}") is not None
    _want(not taken, f"{name} is taken by an installed plugin or package: choose another name")
    _want(TITLE.fullmatch(title), "the title is one line of 1 to 80 characters without quotes: shorten it")
    _want(not folder.exists(), f"{folder} exists already: move it away, or name another with --folder")
    unknown = [hook for hook in hooks if hook not in HOOKS]
    _want(not unknown, f"there is no hook {', '.join(unknown)}: choose from {', '.join(HOOKS)}")
    _want(hooks, f"a plugin needs a hook: choose from {', '.join(HOOKS)}")


def _rows(name: str, rules: str) -> list[str]:
    """The README's rows of the rules that are written."""
    found = rulebase.parse(name, [("rules.toml", rules)])
    return rule_rows(rulebase.rule_of(version) for version in found.versions)


def _render(template: str, values: Mapping[str, Any]) -> str:
    """A file; a Python file's imports are what its body uses."""
    body = _environment().get_template(template).render(values)
    if "# imports" not in body:
        return body
    return body.replace("# imports\n", _imports(body))


def _environment() -> jinja2.Environment:
    # What is written is code and text, never a page: nothing is to be escaped.
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_template), undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip


def _template(name: str) -> str:
    return files("examlane_api").joinpath("plugin_template", name).read_text("utf-8")


def _imports(body: str) -> str:
    standard: dict[str, list[str]] = {}
    for word, module in sorted(STANDARD.items()):
        if _uses(body, word):
            standard.setdefault(module, []).append(word)
    lines = [f"from {module} import {', '.join(words)}\n" for module, words in sorted(standard.items())]
    own = "".join(f"    {word},\n" for word in examlane.__all__ if _uses(body, word))
    schema = ", ".join(word for word in ("Schema", "fields", "validate") if _uses(body, word))
    return "".join(lines) + f"\nfrom examlane import (\n{own})\nfrom marshmallow import {schema}\n"


def _uses(body: str, word: str) -> bool:
    return re.search(rf"\b{word}\b", body) is not None


def _want(truth: object, message: str) -> None:
    if not truth:
        raise ValueError(message)
