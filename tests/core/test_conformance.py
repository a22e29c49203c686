"""The conformance checks: a sound plugin passes all of them, and each fault is found by its own check."""

from __future__ import annotations

import importlib
import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from examlane.testing import conformance
from examlane.testing.conformance import NotConforming

NUMBERS = itertools.count(1)
RULES = """
[defaults]
version = "2026.1"
valid_from = 2026-01-01
approvers = ["department"]

[[rule]]
id = "faulty.pregnant"
source = "department practice"
when = { pregnant = true }
action = "block"
unknown = "confirm"
zh = "妊娠"
en = "pregnant"
unknown_zh = "请确认"
unknown_en = "confirm"
case = [
    { given = { pregnant = true }, says = "block" },
    { given = { pregnant = false }, says = "nothing" },
    { given = {}, says = "confirm" },
]
"""
README = "| rule | says |\n| --- | --- |\n| `faulty.pregnant` | no |\n"
HOOKS = '''
"""Hooks."""
from examlane import FindingKind, GateClosed, Finding, Preparation, Text, hookimpl
from marshmallow import Schema, fields

NO = Text("不行", "no")

class SettingsSchema(Schema):
    limit = fields.Integer(load_default=5)

@hookimpl
def validate_order(order, now, rules):
    facts = {"pregnant": order.known("pregnant")}
    return [one for item in order.items for one in rules.findings(item.key, facts, now)]
'''
BODY = HOOKS[: HOOKS.index("    facts =")]

Check = Callable[[str], str]
Faulty = Callable[..., Check]


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """Make a plugin of some hooks and rules; returns how to run one of its checks."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(
        hooks: str = HOOKS, rules: str = RULES, readme: str = README, title: str = "规则 · Rules", worlds: int = 25
    ) -> Check:
        package = f"faulty_{next(NUMBERS)}"
        folder = tmp_path / package
        folder.mkdir()
        (folder / "__init__.py").write_text(f'"""{title}."""' if title else "", "utf-8")
        (folder / "hooks.py").write_text(hooks, "utf-8")
        (folder / "rules.toml").write_text(rules, "utf-8")
        (folder / "README.md").write_text(readme, "utf-8")
        importlib.invalidate_caches()
        module = importlib.import_module(f"{package}.hooks")
        found = {check.__name__: check for check in conformance.checks("faulty", module, worlds=range(worlds))}
        return lambda name: found[name]()

    return make


def body(source: str) -> str:
    """The hooks with another body of `validate_order`."""
    return BODY + textwrap.indent(textwrap.dedent(source).strip(), "    ") + "\n"


def test_a_sound_plugin_passes_every_check(tmp_path: Path, faulty: Faulty) -> None:
    check = faulty()

    for each in conformance.checks("faulty"):
        check(each.__name__)
    assert check("answers") == "25 answers in 25 worlds"
    assert check("settings") == "limit"


def test_a_plugin_that_is_not_installed_is_told_how_to_be() -> None:
    with pytest.raises(NotConforming, match="pip install -e"):
        conformance.checks("nobody")[0]()


ONE = "return [Finding(FindingKind.BLOCK, {code}, NO, item.key, {more}) for item in order.items]"
FAULTS = {
    "an answer that is not used": ("answers", body("return ['no']"), "unexpected str"),
    "an exception": ("answers", body("return order.known('egfr') + 1"), "raises TypeError.*hooks.py:13"),
    "chance": (
        "deterministic", "import random\n" + body(ONE.format(code="f'faulty.{random.random()}'", more="")), "asked again",
    ),
    "the order of a set": (
        "deterministic", body(ONE.format(code="'faulty.' + ''.join(set('abcdefgh'))", more="")), "another process",
    ),
    "a changed order": ("leaves_inputs_alone", body("order.context['seen'] = 1\nreturn []"), "changes order"),
    "a truth that needs a fact": (
        "unknown_is_never_fine",
        body(f"if order.known('pregnant'):\n    {ONE.format(code=repr('faulty.pregnant'), more='')}\nreturn []"),
        "without pregnant nothing is said",
    ),
    "a rule that is nowhere": (
        "names_its_rules",
        body(ONE.format(code="'faulty.x'", more="rule='faulty.x', rule_version='1'")),
        "faulty.x is named",
    ),
    "another version of a rule": (
        "names_its_rules",
        body(ONE.format(code="'faulty.x'", more="rule='faulty.pregnant', rule_version='1', source='department practice'")),
        "version '1'",
    ),
    "a stranger's code": ("prefixes_its_codes", body(ONE.format(code="'radiology.x'", more="")), "radiology.x"),
    "the inside of examlane": ("imports", "import examlane.storage.database\n" + HOOKS, "imports examlane.storage.database"),
    "another library": ("imports", "import requests\n" + HOOKS, "hooks.py:1 imports requests"),
    "settings without default": ("settings", HOOKS.replace("load_default=5", "required=True"), "no default for"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_check_finds(fault: str, faulty: Faulty) -> None:
    check, hooks, message = FAULTS[fault]

    with pytest.raises(NotConforming, match=message):
        faulty(hooks)(check)


def test_settings_that_accept_what_they_do_not_know_are_found(faulty: Faulty) -> None:
    careless = HOOKS.replace("    limit =", "    class Meta:\n        unknown = 'include'\n    limit =")

    with pytest.raises(NotConforming, match="unknown setting is accepted"):
        faulty(careless)("settings")


def test_a_rule_without_cases_does_not_load(faulty: Faulty) -> None:
    with pytest.raises(NotConforming, match=r"faulty\.pregnant: a condition needs cases"):
        faulty(rules=RULES[: RULES.index("case")])("loads")


def test_a_plugin_needs_a_title(faulty: Faulty) -> None:
    with pytest.raises(NotConforming, match="no docstring"):
        faulty(title="")("loads")


def test_every_rule_needs_a_row_in_a_table_not_only_a_mention(faulty: Faulty) -> None:
    with pytest.raises(NotConforming, match=r"no table has a row for faulty.pregnant.*--write-table"):
        faulty(readme="the rule `faulty.pregnant` is a good one")("documented")


def test_a_restriction_that_other_facts_would_hide_is_found_from_an_order_with_nothing_wrong(faulty: Faulty) -> None:
    hidden = body("""
        said = [("weight_kg", order.known("weight_kg") is None), ("egfr", order.known("egfr") is None),
                ("metformin", order.known("metformin") is True)]
        return [Finding(FindingKind.CONFIRM, "faulty." + name, NO, item.key)
                for item in order.items for name, wrong in said if wrong]
    """)

    with pytest.raises(NotConforming, match=r"without metformin nothing is said any more, otherwise faulty.metformin"):
        faulty(hidden, worlds=4)("unknown_is_never_fine")


def test_a_rule_whose_facts_are_never_unknown_is_left_to_its_author(faulty: Faulty) -> None:
    declared = RULES.replace('unknown = "confirm"', 'unknown = "never"').replace('    { given = {}, says = "confirm" },', "")
    silent = body(f"if order.known('pregnant'):\n    {ONE.format(code=repr('faulty.pregnant'), more='')}\nreturn []")
    check = faulty(silent, declared)

    assert check("unknown_is_never_fine").endswith("1 rules of facts that are never unknown")


def test_an_answer_that_cannot_be_read_must_be_asked_for_too(faulty: Faulty) -> None:
    trusting = HOOKS.replace('order.known("pregnant")', 'None if order.known("pregnant") is None else '
                             'order.known("pregnant") is True')  # fmt: skip

    with pytest.raises(NotConforming, match="with pregnant = 'unreadable' nothing is said any more"):
        faulty(trusting)("unknown_is_never_fine")


def test_a_gate_that_opens_when_a_fact_is_taken_away_is_found(faulty: Faulty) -> None:
    gate = HOOKS + textwrap.dedent("""
        @hookimpl
        def pre_booking_gate(order):
            return [GateClosed("escort", item.key, "faulty.pregnant_x", NO, NO, "nurse")
                    for item in order.items if order.known("escort") is False]
    """)

    check = faulty(gate)
    assert check("names_its_rules")
    with pytest.raises(NotConforming, match=r"without escort nothing is said any more, otherwise faulty.pregnant_x"):
        check("unknown_is_never_fine")


def test_the_slowest_hook_is_reported_and_a_slow_one_is_not_kept(faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    check = faulty()
    assert check("in_time").startswith("slowest: validate_order")

    monkeypatch.setattr(conformance, "LIMIT_MILLISECONDS", -1)
    with pytest.raises(NotConforming, match="it would be set aside"):
        check("in_time")


def test_the_worlds_of_a_number_are_the_same_each_time_and_differ_between_numbers() -> None:
    from examlane.testing.subject import Subject

    subjects = [Subject("ecg", numbers=range(20)) for _ in range(2)]
    told = [[repr(world.orders) for world in subject.worlds] for subject in subjects]
    assert told[0] == told[1]
    assert len(set(told[0])) == 20
