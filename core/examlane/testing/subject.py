"""The plugin under test: found as a hospital finds it, asked as a hospital asks it, one random world at a time."""

from __future__ import annotations

import random
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import Distribution, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

from examlane.domain import Fact
from examlane.extension import answers
from examlane.extension.plugins import GROUP, Plugin, Plugins
from examlane.extension.rollout import loaded_settings
from examlane.rulebase import conditions, files
from examlane.rulebase.files import FIELDS
from examlane.rulebase.rules import RuleBook
from examlane.testing import sources
from examlane.testing.catalogue import Keep, read_catalogue
from examlane.testing.hospital import DATA, MORNING
from examlane.testing.shipped import Tables, own_sample, sample
from examlane.testing.worlds import ZONE, RandomWorld, Vocabulary, random_world

WORLDS = 60


class NotConforming(AssertionError):
    """What a plugin does that it must not, and what to do about it."""


@dataclass(frozen=True)
class Question:
    """A hook's arguments in one world, and the check that its answer must pass."""

    world: RandomWorld
    hook: str
    arguments: Mapping[str, Any]
    check: Callable[[Any], Any]


@dataclass(frozen=True)
class Subject:
    """A plugin by its name, or by a module that is not installed; which worlds it is asked about, and from where."""

    name: str
    module: Any = None
    tables: Tables | None = None
    departments: tuple[str, ...] = ()
    numbers: Sequence[int] = field(default_factory=lambda: range(WORLDS))
    keep: Keep = MappingProxyType

    @cached_property
    def distribution(self) -> Distribution | None:
        return next((entry.dist for entry in entry_points(group=GROUP, name=self.name)), None)

    @cached_property
    def plugin(self) -> Plugin:
        """The plugin as it is loaded. Raises `NotConforming` with the reason why it is not."""
        found = Plugins()
        if self.module is not None:
            found.register(self.name, self.module)
        else:
            found.discover(entry_points(group=GROUP, name=self.name))
        if self.name in found.broken:
            raise NotConforming(f"it cannot be loaded: {found.broken[self.name]}")
        if self.name not in found.loaded:
            raise NotConforming(f"no plugin {self.name} is installed: pip install -e . --no-deps in its folder")
        return found.loaded[self.name]

    @cached_property
    def package(self) -> str:
        """The package that holds its code and data; empty for a plugin that is not installed."""
        if self.module is not None:
            return str(getattr(self.module, "__package__", None) or "")
        found = [entry.module for entry in entry_points(group=GROUP, name=self.name)]
        return found[0].rpartition(".")[0] or found[0] if found else ""

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Its defaults, as a department has them that changed nothing."""
        return {"time_zone": ZONE.key, **loaded_settings(self.plugin, {})[0]}

    def book(self, number: int) -> RuleBook:
        """Its rules on the day of the small hospital, in profiles that differ from world to world."""
        shipped = self.plugin.rules
        dice = random.Random(f"profiles {number}")
        chosen = {name: dice.choice(sorted(choice.profiles)) for name, choice in sorted(shipped.choices.items())}
        profiles = tuple(chosen.items())
        if profiles not in self._books:
            self._books[profiles] = files.book(shipped.versions, shipped.choices, chosen, MORNING.date())
        return self._books[profiles]

    @cached_property
    def _books(self) -> dict[tuple[tuple[str, str], ...], RuleBook]:
        return {}

    @cached_property
    def always_known(self) -> frozenset[str]:
        """The rules that say of themselves that their facts are never unknown: what is not there says something too."""
        versions = self.plugin.rules.versions
        return frozenset(version.rule for version in versions if version.content.get("unknown") == "never")

    @cached_property
    def worlds(self) -> tuple[RandomWorld, ...]:
        own = own_sample(self.package) if self.package else {}
        tables = self.tables or (sample(self.package) if own else DATA)
        catalogue = read_catalogue(tables, self.keep)
        mine = sorted({row["department"] for row in own.get("items", ())}) if self.tables is None else []
        departments = self.departments or tuple(mine) or tuple(sorted(catalogue.items))
        return tuple(random_world(number, catalogue, departments, self.vocabulary, self.keep) for number in self.numbers)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        facts: dict[str, list[Any]] = defaultdict(list)
        for version in self.plugin.rules.versions:
            for name, value in _spoken_of(version.content):
                values = facts[name]
                if isinstance(value, bool | int | float | str) and value not in values:
                    values.append(value)
        if not self.package:
            return Vocabulary(facts)
        for name in sources.fact_names(self.package) - self._own_names():
            facts.setdefault(name, [])
        return Vocabulary(facts, sources.words(self.package))

    def _own_names(self) -> set[str]:
        """What the code also asks for by name, and is no fact: rules, their parameters and data, settings."""
        tables = [version.content for version in self.plugin.rules.versions]
        named = {name for table in tables for part in ("parameters", "data", "next") for name in table.get(part, ())}
        short = {version.rule.partition(".")[2] for version in self.plugin.rules.versions}
        return named | short | set(self.plugin.schema().fields if self.plugin.schema else ()) | FIELDS

    # Asking

    def questions(self) -> Iterator[Question]:
        """Every hook in every world."""
        for world in self.worlds:
            for hook in self.plugin.hooks:
                yield self.question(world, hook)

    def question(self, world: RandomWorld, hook: str) -> Question:
        arguments, check = _asked(world, hook)
        return Question(world, hook, {**arguments, "settings": self.settings, "rules": self.book(world.number)}, check)

    def ask(self, question: Question) -> Any:
        """The checked answer. Raises `NotConforming` where a hospital would set the answer aside."""
        given = self.call(question)
        try:
            return question.check(given)
        except ValueError as error:
            raise NotConforming(
                f"{question.hook} gives an answer that cannot be used: {error}; about {self.told(question.world)}"
            ) from error

    def call(self, question: Question) -> Any:
        implementation = self.plugin.hooks[question.hook]
        passed = {name: question.arguments[name] for name in implementation.arguments}
        try:
            return implementation.function(**passed)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise NotConforming(
                f"{question.hook} raises {type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno}); "
                f"about {self.told(question.world)}"
            ) from error

    def told(self, world: RandomWorld) -> str:
        """A world in one line, with the facts that the plugin reads."""
        return world.told(self.vocabulary.facts)


def _asked(world: RandomWorld, hook: str) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """Whatever a hook may take, by name, and the check of its answer."""
    groups = {group.code: group for group in world.groups}
    together = [item.key for order in world.orders for item in order.items]
    own = [item.key for item in world.order.items]
    arguments = {
        "order": world.order, "orders": world.orders, "items": world.order.items, "context": world.order.context,
        "patient": world.patient, "groups": world.groups, "evidence": world.evidence, "now": world.now,
        "request": world.request, "availability": world.availability, "no_show": world.no_show,
    }  # fmt: skip
    checks: dict[str, Callable[[Any], Any]] = {
        "validate_order": answers.about(answers.findings, own),
        "pre_booking_gate": answers.about(answers.gates, own),
        "requirements": answers.about(answers.requirements, together, groups),
        "interval_rules": answers.interval_rules,
        "preparation": answers.preparation,
        "allocate": answers.about(answers.proposals, world.request),
        "on_no_show": answers.no_show,
    }
    return arguments, checks[hook]


def _spoken_of(rule: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The facts that a rule's condition and cases name, with the values they have there."""
    for case in rule.get("case", ()):
        yield from case["given"].items()
    parameters = rule.get("parameters", {})
    if "when" in rule:
        when = conditions.filled(rule["when"], parameters)
        yield from ((name, None) for name in conditions.facts_of(when))
        yield from ((name, number) for name, _, number in conditions.borders(when))


def without(world: RandomWorld, name: str) -> RandomWorld:
    """The same world with one fact unknown."""
    return world.with_facts({other: fact for other, fact in world.order.context.items() if other != name})


def with_fact(world: RandomWorld, name: str, value: Any) -> RandomWorld:
    """The same world with one fact known."""
    return world.with_facts({**world.order.context, name: Fact(value, world.now, "EMR")})


def one_item(world: RandomWorld) -> Iterable[RandomWorld]:
    """The world with each item of its order alone."""
    for item in world.order.items:
        yield replace(world, orders=(replace(world.order, items=(item,)),))
