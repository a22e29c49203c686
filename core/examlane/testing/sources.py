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
README, RULES = "README.md", "RULES.md"
NO_TABLE = "<!-- rules -->\n<!-- end -->"
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


def documents(package: str, distribution: Distribution | None, folder: Path | None = None) -> str:
    """README.md and RULES.md of a folder, by default that of the package or the one above; else what was installed."""
    home = folder or home_of(package)
    found = [home / name for name in (README, RULES) if (home / name).is_file()] if home else []
    if found:
        return "\n".join(path.read_text("utf-8") for path in found)
    return str(distribution.metadata.json.get("description", "")) if distribution else ""


def home_of(package: str) -> Path | None:
    """The folder with a package's README: the one above it, or its own."""
    folder = Path(str(files(package)))
    return next((home for home in (folder.parent, folder) if (home / README).is_file()), None)


def write_table(home: Path, table: str) -> Path:
    """Put the table of rules between the marks of the README, or else into a RULES.md beside it; returns which."""
    text = (home / README).read_text("utf-8")
    path = home / (README if MARKED.search(text) else RULES)
    text = text if path.name == README else f"# Rules\n\n{NO_TABLE}\n"
    written = MARKED.sub(lambda _: f"<!-- rules -->\n{table}\n<!-- end -->", text, count=1)
    path.write_text(written, encoding="utf-8", newline="\n")
    return path


def rule_rows(rules: Iterable[Rule]) -> list[str]:
    """The rows of the README's table: each rule with what it says, its version and profile, and its source."""
    return [f"| `{rule.id}` | {_cell(_saying(rule))} | {_versioned(rule)} | {_cell(rule.source)} |" for rule in rules]


def undocumented(text: str, ids: Iterable[str]) -> list[str]:
    """The ids that have no row in a table of the text."""
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    return [rule for rule in ids if f"`{rule}`" not in rows]


def _versioned(rule: Rule) -> str:
    profiles = ", ".join(f"{choice}: {profile}" for choice, profile in rule.table.get("profile", {}).items())
    return f"{rule.version} ({profiles})" if profiles else rule.version


def _saying(rule: Rule) -> str:
    """Its action and its English words with the parameters; what else the words name stays a name."""
    words = re.sub(r"\{(\w+)[^}]*\}", lambda found: str(rule.parameters.get(found[1], found[1])), rule.table.get("en", ""))
    return ": ".join(filter(None, (rule.action, words))) or "parameters"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
