"""What every plugin must keep, as checks for pytest and for `examlane plugins check`.

    @pytest.mark.parametrize("check", conformance.checks("hysteroscopy"))
    def test_it_keeps_the_contract(check: conformance.Check) -> None:
        check()

A check returns a short note, or raises `NotConforming` (an `AssertionError`) with what is wrong and what to do.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from marshmallow import ValidationError

from examlane.domain import Finding, GateClosed, GateOpen, IntervalRule, NoShowDecision
from examlane.extension.shadow import plain
from examlane.rulebase.files import rule_of
from examlane.rulebase.rules import UNKNOWN, Rule, RuleBook
from examlane.storage.fields import dump
from examlane.testing import sources, unknowns
from examlane.testing.shipped import Tables
from examlane.testing.subject import WORLDS as WORLDS
from examlane.testing.subject import NotConforming as NotConforming
from examlane.testing.subject import Question, Subject
from examlane.visit import Infeasible

LIMIT_MILLISECONDS = 300
OTHER_SEED = "20261123"


class Check:
    """One thing that a plugin must keep. Called, it returns a note or raises `NotConforming`."""

    def __init__(self, name: str, title: str, run: Callable[[], str]) -> None:
        # What pytest shows of a parameter is its `__name__`.
        self.__name__ = name
        self.title = title
        self._run = run

    def __call__(self) -> str:
        return self._run()


def checks(
    name: str,
    module: Any = None,
    *,
    tables: Tables | None = None,
    departments: Iterable[str] = (),
    worlds: Sequence[int] = range(WORLDS),
    folder: Path | None = None,
) -> list[Check]:
    """The checks of an installed plugin, or of a `module` that is not installed.

    The worlds are made of the package's `sample.toml`, or of `tables` of master data; `departments` limits them. Each
    number of `worlds` is one world: give a single one to see a failure again. `folder` holds README.md and RULES.md.
    """
    subject = Subject(name, module, tables, tuple(departments), tuple(worlds))
    return [
        Check("loads", "it loads: hooks marked and spelt right, rules with source, unit and cases", lambda: _loads(subject)),
        Check("imports", "it imports examlane and the standard library only", lambda: _imports(subject)),
        Check("settings", "its settings have defaults and refuse unknown names", lambda: _settings(subject)),
        Check("answers", "every answer in random worlds can be used", lambda: _answers(subject)),
        Check("deterministic", "the same question gets the same answer, in another process too", lambda: _same(subject)),
        Check("leaves_inputs_alone", "it changes nothing that it was handed", lambda: _unchanged(subject)),
        Check(
            "unknown_is_never_fine", "a fact that becomes unknown never lifts a restriction",
            lambda: unknowns.check(subject),
        ),
        Check("names_its_rules", "findings, gates and distances name a rule that exists", lambda: _named(subject)),
        Check("prefixes_its_codes", "every code begins with the plugin's name", lambda: _prefixed(subject)),
        Check("documented", "README.md or RULES.md has a row for every rule", lambda: _documented(subject, folder)),
        Check("in_time", f"every hook answers well within {LIMIT_MILLISECONDS} ms", lambda: _in_time(subject)),
    ]  # fmt: skip


def rule_table(name: str) -> str:
    """The README's table of a plugin's rules, every version in every profile, as its rule files have them."""
    rules = [rule_of(version) for version in Subject(name).plugin.rules.versions]
    return "\n".join(["| rule | what it says | version | source |", "| --- | --- | --- | --- |", *sources.rule_rows(rules)])


def write_rule_table(name: str) -> Path:
    """Bring the table in a plugin's README, or its RULES.md, up to date. Raises `NotConforming` without a README."""
    home = sources.home_of(Subject(name).package)
    if home is None:
        raise NotConforming(f"there is no README.md beside the package of {name}: write one, or install it with -e")
    return sources.write_table(home, rule_table(name))


# What stands in files


def _loads(subject: Subject) -> str:
    plugin = subject.plugin
    if plugin.title == plugin.name:
        raise NotConforming("the package has no docstring: its first line is the title that administrators see")
    return f"{len(plugin.hooks)} hooks, {len({version.rule for version in plugin.rules.versions})} rules"


def _imports(subject: Subject) -> str:
    strange = sources.strange_imports(subject.package) if subject.plugin and subject.package else []
    if strange:
        allowed = "a plugin imports names of examlane.__all__, the standard library, and marshmallow for its settings"
        raise NotConforming(f"{'; '.join(strange[:5])}: {allowed}")
    return ""


def _settings(subject: Subject) -> str:
    schema = subject.plugin.schema
    if schema is None:
        return "no settings"
    try:
        schema().load({})
    except ValidationError as error:
        raise NotConforming(f"no default for {error.messages}: give each field a load_default") from error
    try:
        schema().load({"no_such_setting": 1})
    except ValidationError:
        return ", ".join(schema().fields)
    raise NotConforming("an unknown setting is accepted: leave marshmallow's `unknown = RAISE` as it is")


def _documented(subject: Subject, folder: Path | None) -> str:
    text = sources.documents(subject.package, subject.distribution, folder) if subject.plugin else ""
    ids = sorted({version.rule for version in subject.plugin.rules.versions})
    missing = sources.undocumented(text, ids)
    if missing:
        how = f"`examlane plugins check {subject.name} --write-table` adds it"
        raise NotConforming(f"no table has a row for {', '.join(missing[:5])}: {how}")
    return f"{len(ids)} rules"


# What it answers


def _answers(subject: Subject) -> str:
    asked = [subject.ask(question) for question in subject.questions()]
    return f"{len(asked)} answers in {len(subject.worlds)} worlds"


def _same(subject: Subject) -> str:
    first, second = answered(subject), answered(subject)
    _compare(subject, first, second, "asked again")
    elsewhere = _elsewhere(subject)
    if elsewhere is None:
        return "in this process only: the module cannot be imported by name"
    _compare(subject, first, elsewhere, "asked in another process")
    return f"{len(first)} answers"


def answered(subject: Subject) -> list[str]:
    """Every answer as text, in order: the same in every process."""
    return [_told(subject, question) for question in subject.questions()]


def _told(subject: Subject, question: Question) -> str:
    """The answer as text, with the plugin's stopwatch standing still: a busy machine cuts no search short."""
    with patch("time.monotonic", return_value=time.monotonic()):
        return dump(plain(subject.ask(question)))


def _compare(subject: Subject, first: Sequence[str], second: Sequence[str], when: str) -> None:
    for question, one, other in zip(subject.questions(), first, second, strict=True):
        if one != other:
            cure = "sort what comes out of a set, draw no random numbers, read no clock and keep no state"
            about = subject.told(question.world)
            raise NotConforming(f"{question.hook} answers otherwise when {when}, about {about}: {cure}")


def _elsewhere(subject: Subject) -> list[str] | None:
    """The answers that a fresh interpreter with another hash seed gives."""
    module = getattr(subject.module, "__name__", "") if subject.module is not None else ""
    if subject.module is not None and sys.modules.get(module) is not subject.module:
        return None
    told = json.dumps([subject.name, module, subject.tables, subject.departments, list(subject.numbers)])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from examlane.testing import conformance; conformance.print_answers()"],
        input=told, env={**environment, "PYTHONHASHSEED": OTHER_SEED}, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        raise NotConforming(f"in another process: {done.stderr.strip().splitlines()[-1]}")
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def print_answers() -> None:
    """The other process's part: read what to ask from standard input, print every answer."""
    name, module, tables, departments, numbers = json.load(sys.stdin)
    subject = Subject(name, importlib.import_module(module) if module else None, tables, tuple(departments), numbers)
    sys.stdout.write("\n" + json.dumps(answered(subject)))


def _unchanged(subject: Subject) -> str:
    # Elsewhere what is handed in cannot be changed; here it can, so that an attempt is seen and not only refused.
    open_handed = replace(subject, keep=dict)
    for question in open_handed.questions():
        about = subject.told(question.world)
        before = {name: repr(value) for name, value in question.arguments.items()}
        subject.call(question)
        changed = [name for name, value in question.arguments.items() if repr(value) != before[name]]
        if changed:
            cure = "copy what you want to change; in a hospital it cannot be changed at all"
            raise NotConforming(f"{question.hook} changes {', '.join(changed)}, about {about}: {cure}")
    return ""


def _in_time(subject: Subject) -> str:
    slowest: tuple[float, Question] | None = None
    for question in subject.questions():
        spent = _milliseconds(subject, question)
        if slowest is None or spent > slowest[0]:
            slowest = spent, question
    if slowest is None:
        return ""
    spent, question = slowest
    if spent > LIMIT_MILLISECONDS:
        # A busy machine may be slow once; a slow hook is slow each time.
        spent = min(_milliseconds(subject, question) for _ in range(5))
    if spent > LIMIT_MILLISECONDS:
        about = subject.told(question.world)
        raise NotConforming(f"{question.hook} takes {spent:.0f} ms, about {about}: it would be set aside")
    return f"slowest: {question.hook} {spent:.1f} ms"


def _milliseconds(subject: Subject, question: Question) -> float:
    started = time.perf_counter()
    subject.call(question)
    return (time.perf_counter() - started) * 1000


# Names


def _named(subject: Subject) -> str:
    seen: set[str] = set()
    for question in subject.questions():
        book: RuleBook = question.arguments["rules"]
        for answer in _each(subject.ask(question)):
            fault = _rule_fault(answer, book)
            if fault:
                raise NotConforming(f"{question.hook}: {fault}; about {subject.told(question.world)}")
            seen.add(str(getattr(answer, "rule", "")))
    return f"{len(seen - {''})} rules seen at work" if seen else ""


def _rule_fault(answer: Any, book: RuleBook) -> str:
    if isinstance(answer, GateClosed):
        known = _rule_of(answer.code.removesuffix(UNKNOWN), book)
        return "" if known else f"the gate's code {answer.code} is not, and does not begin with, the id of a rule"
    if not isinstance(answer, Finding | IntervalRule):
        return ""
    rule = _rule_of(answer.rule, book)
    if rule is None or (isinstance(answer, Finding) and answer.rule != rule.id):
        return f"{answer.rule or 'no rule'} is named, which is not in the rule files: take it from `rules`"
    version = answer.rule_version if isinstance(answer, Finding) else answer.version
    if (version, answer.source) != (rule.version, rule.source):
        return f"{answer.rule} is named with version {version!r} and source {answer.source!r}, not those of its file"
    return ""


def _rule_of(name: str, book: RuleBook) -> Rule | None:
    """The rule of this name, or the longest whose id it begins with: one rule may have several distances or gates."""
    fitting = [rule for rule in book.rules.values() if name == rule.id or name.startswith((f"{rule.id}_", f"{rule.id}."))]
    return max(fitting, key=lambda rule: len(rule.id), default=None)


def _prefixed(subject: Subject) -> str:
    seen: set[str] = set()
    for question in subject.questions():
        for code in _codes(subject.ask(question)):
            seen.add(code)
            if not code.startswith(f"{subject.name}."):
                raise NotConforming(f"{question.hook}: the code {code!r} does not begin with {subject.name}.")
    return f"{len(seen)} codes"


def _codes(answer: Any) -> Iterator[str]:
    """Every code of an answer. Kinds of gates are words that departments share; one with a dot is the plugin's own."""
    for one in _each(answer):
        if isinstance(one, GateClosed | GateOpen) and "." in one.kind:
            yield one.kind
        if isinstance(one, IntervalRule):
            yield one.rule
        elif not isinstance(one, NoShowDecision) or one.code:
            yield from filter(None, [str(getattr(one, "code", ""))])


def _each(answer: Any) -> Iterable[Any]:
    if answer is None:
        return ()
    return (answer,) if isinstance(answer, Infeasible | NoShowDecision) else answer
