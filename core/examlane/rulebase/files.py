"""Rule files: every rule of a package's `rules.toml` or `rules/*.toml`, checked for everything a rule must say.

Format and an example: docs/writing-a-plugin.md. A file may begin with `[defaults]` (what all its rules share) and
`[choice.<name>]` (sources that contradict each other, of which a hospital chooses one openly); `[subject]` gives it a
title in Chinese and English (by default its name).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Formatter
from types import MappingProxyType
from typing import Any

from examlane.domain import Text
from examlane.rulebase import conditions
from examlane.rulebase.intervals import interval_of
from examlane.rulebase.rules import FINDINGS, Rule, RuleBook

FIELDS = frozenset({
    "id", "version", "source", "valid_from", "valid_to", "profile", "approvers", "parameters", "unit", "when", "action",
    "urgent_action", "unknown", "unknown_urgent_action", "delay", "zh", "en", "unknown_zh", "unknown_en", "case",
    "owner", "next", "data",
})  # fmt: skip
"""What a rule may say. `data` is whatever else the plugin reads; `owner` and `next` belong to gates."""
NEEDED = ("id", "version", "source", "valid_from", "approvers")
ID = re.compile(r"[a-z0-9_-]+(\.[A-Za-z0-9_-]+)+", re.ASCII)
VERSION = re.compile(r"[A-Za-z0-9._+-]{1,32}", re.ASCII)
"""Both stand in addresses and in the columns of every decision."""
LONGEST_ID = 56
LONGEST_WORDS = 1000
WORDS = ("zh", "en", "unknown_zh", "unknown_en")
PLACE = re.compile(r"\w+(\[\w+\])*")
"""What may stand in a rule's words: a parameter or a fact, never an attribute of one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Sources that contradict each other: the profiles a hospital chooses from, and the one it has by default."""

    default: str
    text: Text
    profiles: Mapping[str, Text]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a rule: from when to when it counts, and in which profile; `content` is the rule as written."""

    rule: str
    version: str
    valid_from: date
    valid_to: date | None
    profile: Mapping[str, str]
    content: Mapping[str, Any]


@dataclass(frozen=True)
class RuleSet:
    """Every version of every rule of a plugin, and its choices between sources."""

    versions: tuple[Version, ...] = ()
    choices: Mapping[str, Choice] = field(default_factory=lambda: MappingProxyType({}))
    subjects: Mapping[str, Text] = field(default_factory=lambda: MappingProxyType({}))
    """What the file is about in which a rule stands, by the rule's id."""


def read(plugin: str, package: str) -> RuleSet:
    """The rules that a package ships; an empty set when it ships none. Raises `ValueError` naming rule and fault."""
    return parse(plugin, _texts(package))


def parse(plugin: str, texts: Iterable[tuple[str, str]]) -> RuleSet:
    """The rules of some files, each with its name and text. Raises `ValueError` naming rule and fault."""
    versions: list[Version] = []
    choices: dict[str, Choice] = {}
    subjects: dict[str, Text] = {}
    for name, text in texts:
        data = tomllib.loads(text)
        choices.update({key: _choice(key, table) for key, table in data.get("choice", {}).items()})
        defaults = data.get("defaults", {})
        found = [version(plugin, {**defaults, **table}) for table in data.get("rule", ())]
        subjects.update(dict.fromkeys((one.rule for one in found), _subject(name, data.get("subject", {}))))
        versions += found
    _check_together(versions, choices)
    return RuleSet(tuple(versions), MappingProxyType(choices), MappingProxyType(subjects))


def version(plugin: str, table: Mapping[str, Any]) -> Version:
    """One rule of a file or of an editor, checked. Raises `ValueError` naming the rule and what is wrong with it."""
    name = str(table.get("id", "a rule without id"))
    try:
        _check(plugin, table)
        found = Version(
            name, table["version"], _day(table["valid_from"]), _maybe_day(table.get("valid_to")),
            MappingProxyType(dict(table.get("profile", {}))), MappingProxyType(plain(table)),
        )  # fmt: skip
        _check_cases(rule_of(found))
        if "relation" in table.get("data", {}):
            interval_of(rule_of(found))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{name}: {_told(error)}") from error
    return found


def rule_of(found: Version) -> Rule:
    """The rule of a version, its condition filled with its parameters."""
    table = found.content
    parameters = table.get("parameters", {})
    when = conditions.filled(table["when"], parameters) if "when" in table else None
    return Rule(found.rule, found.version, table["source"], parameters, table, when)


def book(versions: Iterable[Version], choices: Mapping[str, Choice], chosen: Mapping[str, str], day: date) -> RuleBook:
    """The rules that count on a day in the chosen profiles; of several versions of a rule the newest."""
    profiles = {name: chosen.get(name, choice.default) for name, choice in choices.items()}
    newest: dict[str, Version] = {}
    for found in versions:
        if not _counts(found, profiles, day):
            continue
        short = found.rule.partition(".")[2]
        if short not in newest or newest[short].valid_from <= found.valid_from:
            newest[short] = found
    return RuleBook(MappingProxyType({name: rule_of(found) for name, found in newest.items()}), MappingProxyType(profiles))


def _counts(found: Version, profiles: Mapping[str, str], day: date) -> bool:
    valid = found.valid_from <= day and (found.valid_to is None or day <= found.valid_to)
    return valid and all(profiles.get(name) == wanted for name, wanted in found.profile.items())


def _texts(package: str) -> Iterator[tuple[str, str]]:
    home = files(package)
    folder = home.joinpath("rules")
    found: list[Traversable] = [home.joinpath("rules.toml")]
    if folder.is_dir():
        found += sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    yield from ((one.name.removesuffix(".toml"), one.read_text("utf-8")) for one in found if one.is_file())


def _subject(name: str, table: Mapping[str, Any]) -> Text:
    plain = name.replace("_", " ")
    return Text(str(table.get("zh", plain)), str(table.get("en", plain)))


def _choice(name: str, table: Mapping[str, Any]) -> Choice:
    try:
        profiles = {profile: Text(words["zh"], words["en"]) for profile, words in table["profiles"].items()}
        if table["default"] not in profiles:
            raise ValueError("the default is not one of its profiles")
        return Choice(table["default"], Text(table["zh"], table["en"]), MappingProxyType(profiles))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"choice {name}: {error}") from error


def _check(plugin: str, table: Mapping[str, Any]) -> None:
    _want(not (absent := [name for name in NEEDED if not table.get(name)]), f"it does not say its {', '.join(absent)}")
    _want(not (strange := sorted(set(table) - FIELDS)), f"a rule has no field {', '.join(strange)}")
    _want(table["id"].startswith(f"{plugin}."), f"an id begins with {plugin}.")
    _want(bool(ID.fullmatch(table["id"])), "an id has letters, digits, _ and - between its dots")
    _want(len(table["id"]) <= LONGEST_ID, f"an id has at most {LONGEST_ID} characters")
    _want(bool(VERSION.fullmatch(table["version"])), "a version has 1 to 32 letters, digits, dots, + and -")
    _want(_is_words(table["source"]), "a source is a text")
    _check_signing(table)
    _check_words(table)
    _check_units(table)
    if "when" in table:
        _check_condition(table)


def _check_signing(table: Mapping[str, Any]) -> None:
    roles = table["approvers"]
    several = isinstance(roles, list | tuple) and all(_is_words(role) for role in roles)
    _want(several and len(set(roles)) == len(roles), "approvers is a list of different roles")
    until = _maybe_day(table.get("valid_to"))
    _want(until is None or _day(table["valid_from"]) <= until, "it ends before it begins")


def _check_words(table: Mapping[str, Any]) -> None:
    _want("zh" in table or "action" not in table, "what a rule says is said in Chinese and English")
    for name in WORDS:
        said = table.get(name, "")
        _want(isinstance(said, str) and len(said) <= LONGEST_WORDS and "\0" not in said, f"{name} is a text")
        other = name.replace("zh", "en") if name.endswith("zh") else name.replace("en", "zh")
        _want((name in table) == (other in table), "what a rule says is said in Chinese and English")
        for _text, place, _spec, _conversion in Formatter().parse(said):
            _want(place is None or bool(PLACE.fullmatch(place)), f"{name} cannot fill in {{{place}}}")


def _check_condition(table: Mapping[str, Any]) -> None:
    conditions.check(conditions.filled(table["when"], table.get("parameters", {})))
    _want(bool(table.get("action")), "a condition needs an action")
    _want(table["action"] != "delay_until" or "delay" in table, "delay_until needs its delay")
    _want("unknown" in table, "it does not say what the unknown means")
    _want("case" in table, "a condition needs cases")
    _check_unknown(str(table["unknown"]), table)


def _check_unknown(unknown: str, table: Mapping[str, Any]) -> None:
    known = unknown == "never" or "." in unknown
    if not known:
        spoken = unknown in FINDINGS or unknown == table["action"]
        _want(spoken, "unknown is an action, another rule's id, or never")
        _want("unknown_zh" in table, "what is said of the unknown needs words of its own")
    _want(unknown != table["id"], "unknown is asked for by another rule")


def _check_units(table: Mapping[str, Any]) -> None:
    units = table.get("unit", {})
    for name, value in table.get("parameters", {}).items():
        numbers = list(_numbers(value))
        _want(_is_words(units.get(name)) or not numbers, f"the number {name} needs a unit")
        _want(all(conditions.is_number(number) for number in numbers), f"{name} must be finite")


def _is_words(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_WORDS and "\0" not in value


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _check_cases(rule: Rule) -> None:
    """A rule decides its own cases as they say; on both sides of each of its borders there is one."""
    if rule.when is None:
        return
    cases: Sequence[Mapping[str, Any]] = rule.table["case"]
    for case in cases:
        said = rule.decide(case["given"])
        _want(said == case["says"], f"case {dict(case['given'])} says {said}, not {case['says']}")
    said_of = {case["says"] for case in cases}
    _want({rule.action, "nothing"} <= said_of, "cases show when it speaks and when it says nothing")
    for name, word, number in conditions.borders(rule.when):
        given = [case["given"].get(name) for case in cases]
        sides = {value - number for value in given if conditions.is_number(value)}
        inside = {conditions.ORDERED[word](side, 0) for side in sides}
        _want(inside == {True, False}, f"cases on both sides of {name} {word} {number}")
        _want(0 in sides, f"a case at {name} {number} itself")


def _check_together(versions: Sequence[Version], choices: Mapping[str, Choice]) -> None:
    seen: set[tuple[str, str]] = set()
    names = {found.rule for found in versions}
    for found in versions:
        _want((found.rule, found.version) not in seen, f"{found.rule} {found.version} stands twice")
        seen.add((found.rule, found.version))
        check_among(found, names, choices)


def check_among(found: Version, rules: Collection[str], choices: Mapping[str, Choice]) -> None:
    """Raise `ValueError` when a version speaks of a profile or leaves the unknown to a rule that there is not."""
    for name, profile in found.profile.items():
        known = name in choices and profile in choices[name].profiles
        _want(known, f"{found.rule}: there is no profile {profile} of {name}")
    unknown = str(found.content.get("unknown", ""))
    _want("." not in unknown or unknown in rules, f"{found.rule}: there is no rule {unknown}")


def plain(value: Any) -> Any:
    """A rule's content as it is kept: days as text, lists as tuples, whether it comes from a file or from the database."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return tuple(plain(inner) for inner in value)
    return value.isoformat() if isinstance(value, date) else value


def _day(value: Any) -> date:
    _want(not isinstance(value, datetime), "a rule counts from a day, not from a time of day")
    return value if isinstance(value, date) else date.fromisoformat(value)


def _maybe_day(value: Any) -> date | None:
    return None if value is None else _day(value)


def _told(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _want(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
