"""A department's rule base: every rule of its `rules.toml` with version, source, parameters and words.

Numbers are data: the hospital's settings may adjust a parameter, which then shows in the rule's version.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.resources import files
from typing import Any

from examlane.domain import Finding, FindingKind, Text


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as this hospital uses it. `table` is the rule as shipped."""

    id: str
    version: str
    source: str
    parameters: Mapping[str, Any]
    table: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    def text(self, **words: Any) -> Text:
        """The rule's words, with its parameters and some more words filled in."""
        known = {**self.parameters, **words}
        return Text(self.table["zh"].format(**known), self.table["en"].format(**known))

    def finding(
        self, item: str, *, urgent: bool = False, until: datetime | None = None, **words: Any
    ) -> Finding:
        """What the rule says of an item; some rules ask less of an urgent one."""
        kind = self.table.get("urgent_kind", self.table["kind"]) if urgent else self.table["kind"]
        return Finding(
            kind=FindingKind(kind),
            code=self.id,
            text=self.text(**words),
            item=item,
            rule=self.id,
            rule_version=self.version,
            source=self.source,
            until=until,
        )


class RuleBase:
    """The rules of one plugin's package, read from its `rules.toml` at first use."""

    def __init__(self, package: str) -> None:
        self._package = package

    @cached_property
    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """The rules as shipped, by their short names."""
        data = tomllib.loads(files(self._package).joinpath("rules.toml").read_text("utf-8"))
        return dict(data["rule"])

    def rule(self, name: str, settings: Mapping[str, Any]) -> Rule:
        """A rule with the hospital's own numbers: `settings[rule id]` maps parameter names to values.

        Raises `ValueError` for a parameter that the rule does not have.
        """
        table = self.tables[name]
        shipped = table.get("parameters", {})
        own = settings.get(table["id"], {})
        if unknown := set(own) - set(shipped):
            raise ValueError(f"{table['id']} has no parameter {', '.join(sorted(unknown))}")
        version = f"{table['version']}+hospital" if own else table["version"]
        return Rule(table["id"], version, table["source"], {**shipped, **own}, table)

    def named(self, prefix: str, settings: Mapping[str, Any]) -> list[Rule]:
        """The rules whose short names begin so, in the order of the file."""
        return [self.rule(name, settings) for name in self.tables if name.startswith(prefix)]
