"""Reading a plugin's source without running it: what it imports, which words it speaks, and its README's rule table."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import examlane
from examlane.rulebase.rules import Rule

WORD = re.compile(r"[a-z][a-z0-9_]{2,47}")
ALLOWED = frozenset({"marshmallow"})
"""Beside the standard library: what `SettingsSchema` is made with."""
MARKED = re.compile(r"<!-- rules -->\n.*?<!-- end -->", re.S)
FACT_READERS = ("known", "get")


def trees(package: str) -> list[tuple[str, ast.Module]]:
    """Every module of a package with its path, parsed."""
    return [(str(path), ast.parse(path.read_text("utf-8"))) for path in _modules(files(package))]


def _modules(folder: Traversable) -> Iterator[Traversable]:
    for path in sorted(folder.iterdir(), key=lambda one: one.name):
        if path.is_dir() and path.name != "__pycache__":
            yield from _modules(path)
        elif path.name.endswith(".py"):
            yield path


def strange_imports(package: str) -> list[str]:
    """What a package imports although a plugin may not: inner parts of examlane, other plugins, other libraries."""
    return [
        f"{Path(path).name}:{line} imports {name}"
        for path, tree in trees(package)
        for line, name in _imports(tree)
        if not _may_import(name, package)
    ]


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            if node.module == "examlane":
                yield from ((node.lineno, f"examlane.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module or ""


def _may_import(name: str, package: str) -> bool:
    top, _, rest = name.partition(".")
    if top == "examlane":
        return rest in examlane.__all__
    return top == package.partition(".")[0] or top in sys.stdlib_module_names or top in ALLOWED


def fact_names(package: str) -> set[str]:
    """The words that a package asks for by name: `order.known("pregnant")`, `facts.get("egfr")`, `context["fasting"]`."""
    return {word for _, tree in trees(package) for node in ast.walk(tree) for word in _asked(node) if WORD.fullmatch(word)}


def _asked(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FACT_READERS:
        yield from _texts(node.args[:1])
    elif isinstance(node, ast.Subscript):
        yield from _texts([node.slice])


def _texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def words(package: str) -> list[str]:
    """Every plain word in a package's code, such as the kinds of evidence it looks for."""
    return sorted({word for _, tree in trees(package) for word in _texts(ast.walk(tree)) if WORD.fullmatch(word)})


def readme(package: str, distribution: Distribution | None) -> str:
    """The README beside a package or in it, or else the description that its distribution was built with."""
    if path := readme_file(package):
        return path.read_text("utf-8")
    return str(distribution.metadata.json.get("description", "")) if distribution else ""


def readme_file(package: str) -> Path | None:
    folder = Path(str(files(package)))
    near = (folder.parent / "README.md", folder / "README.md")
    return next((path for path in near if path.is_file()), None)


def rule_rows(rules: Iterable[Rule]) -> list[str]:
    """The rows of the README's table: each rule with what it says, its version and its source."""
    return [f"| `{rule.id}` | {_cell(_saying(rule))} | {rule.version} | {_cell(rule.source)} |" for rule in rules]


def with_table(text: str, table: str) -> str:
    """A README with its table of rules replaced. Raises `ValueError` for one without the two marks."""
    if not MARKED.search(text):
        raise ValueError("the README has no place for the table: put <!-- rules --> and <!-- end --> where it belongs")
    return MARKED.sub(lambda _: f"<!-- rules -->\n{table}\n<!-- end -->", text, count=1)


def undocumented(text: str, ids: Iterable[str]) -> list[str]:
    """The ids that have no row in a table of the text."""
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    return [rule for rule in ids if f"`{rule}`" not in rows]


def _saying(rule: Rule) -> str:
    """Its action and its English words with the parameters; what else the words name stays a name."""
    words = re.sub(r"\{(\w+)[^}]*\}", lambda found: str(rule.parameters.get(found[1], found[1])), rule.table.get("en", ""))
    return ": ".join(filter(None, (rule.action, words))) or "parameters"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
