"""Rules as people read them: the sentence with its numbers, the condition, parameters with units, cases and how they end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from string import Formatter
from types import SimpleNamespace
from typing import Any

from flask_babel import gettext

from examlane.domain import Text
from examlane.extension import rules
from examlane.extension.rules import KeptVersion
from examlane.insight.trials import Decision, Said, Trial
from examlane.rulebase import conditions, files
from examlane.rulebase.files import Version
from examlane.rulebase.rules import Rule
from examlane.storage.fields import instant
from examlane_api.pages.site import language

SIGNS = {"below": "<", "at_most": "≤", "above": ">", "at_least": "≥"}


class _Fact(str):
    """A fact's place in a sentence, whatever the format."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return "‹" + str(self) + "›"

    def __getitem__(self, key: Any) -> _Fact:
        return self


def spoken(text: Text) -> str:
    return text.en if language() == "en" else text.zh


def sentence(rule: Rule) -> str:
    """What the rule says, its numbers filled in and its facts named."""
    if "zh" not in rule.table:
        return rule.id.partition(".")[2]
    places = {name for word in ("zh", "en") for _, name, _, _ in Formatter().parse(rule.table[word]) if name}
    named = {name.partition("[")[0] for name in places} - rule.parameters.keys()
    return spoken(rule.text(**{name: _Fact(name) for name in named}))


def tomorrow(day: date) -> str:
    return (day + timedelta(days=1)).isoformat()


def parts(when: Mapping[str, Any]) -> list[str]:
    """A filled condition, one line a test."""
    return [_part(name, test) for name, test in when.items()]


def _part(name: str, test: Any) -> str:
    both = str(gettext("且"))
    if name in conditions.GROUPS:
        inner = str(gettext("或")).join(f"（{both.join(parts(one))}）" for one in test)
        return str(gettext("均不：") if name == "none" else gettext("任一：")) + inner
    if isinstance(test, Mapping):
        return both.join(_comparison(name, word, wanted) for word, wanted in test.items())
    return f"{name} = {_value(test)}"


def _comparison(name: str, word: str, wanted: Any) -> str:
    if word == "known":
        known = gettext("已知") if wanted else gettext("未知")
        return f"{name} {known}"
    return f"{name} {SIGNS.get(word, '≠')} {_value(wanted)}"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " / ".join(_value(one) for one in value)
    if isinstance(value, bool):
        return str(gettext("是") if value else gettext("否"))
    return str(value)


def parameters(table: Mapping[str, Any]) -> list[SimpleNamespace]:
    """Every parameter with its unit; `number` ones are edited as numbers, the others as text."""
    units = table.get("unit", {})
    return [
        SimpleNamespace(
            name=name, value=value, unit="" if units.get(name) == "1" else units.get(name, ""),
            number=conditions.is_number(value), editable=isinstance(value, str) or conditions.is_number(value),
        )
        for name, value in table.get("parameters", {}).items()
    ]  # fmt: skip


def cases(rule: Rule) -> list[SimpleNamespace]:
    """The rule's own cases: what is given, what must follow, and whether it does."""
    if rule.when is None:
        return []
    return [
        SimpleNamespace(
            given=[(name, _value(value)) for name, value in case["given"].items()],
            says=case["says"], holds=rule.decide(case["given"]) == case["says"],
        )
        for case in rule.table["case"]
    ]  # fmt: skip


def version(kept: KeptVersion, counting: str, today: Any) -> SimpleNamespace:
    """One version of a rule for a page; `state` is proposed, waiting (for its day), counts or past."""
    found = kept.version
    state = kept.state
    if state == rules.ACTIVE:
        state = "counts" if found.version == counting else "waiting" if found.valid_from > today else "past"
    return SimpleNamespace(
        kept=kept, rule=files.rule_of(found), name=found.version, state=state, valid_from=found.valid_from,
        valid_to=found.valid_to, profile=dict(found.profile), source=found.content["source"],
        created=instant(kept.created_at),
    )  # fmt: skip


def draft(found: Version) -> SimpleNamespace:
    rule = files.rule_of(found)
    return SimpleNamespace(sentence=sentence(rule), cases=cases(rule), when=parts(rule.when or {}), version=found)


def trial(found: Trial) -> SimpleNamespace:
    """A dry run's result; of each item only what the two decisions do not share."""
    rows = [
        SimpleNamespace(
            order=one.order, name=spoken(one.name), day=one.ordered_at, before=_decision(one.before, one.after),
            after=_decision(one.after, one.before),
        )
        for one in found.shown
    ]  # fmt: skip
    left_out = [(spoken(reason), count) for reason, count in found.left_out.items()]
    return SimpleNamespace(found=found, rows=rows, left_out=left_out, days=(found.until - found.since).days)


def _decision(own: Decision, other: Decision) -> SimpleNamespace:
    shared = {_essence(one) for one in other.said}
    return SimpleNamespace(state=own.state, said=_new(own.said, shared))


def _new(said: Iterable[Said], shared: set[tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(one.code, spoken(one.text)) for one in said if _essence(one) not in shared]


def _essence(one: Said) -> tuple[str, str, str]:
    return one.kind, one.code, one.detail
