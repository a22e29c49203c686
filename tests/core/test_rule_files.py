"""What a rule file must say: each fault is refused with a message that names the rule and the fault."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from examlane import Text
from examlane.extension.plugins import Plugins
from examlane.rulebase import drafts, files
from examlane.rulebase.rules import RuleBook
from examlane.testing import MORNING, rule_book

RULE: Mapping[str, Any] = {
    "id": "kidney.low",
    "version": "2026.1",
    "source": "ACR 2021",
    "valid_from": "2026-01-01",
    "approvers": ["pharmacy"],
    "parameters": {"below": 30},
    "unit": {"below": "ml/min"},
    "when": {"egfr": {"below": "$below"}},
    "action": "block",
    "unknown": "confirm",
    "zh": "低于 {below}",
    "en": "below {below}",
    "unknown_zh": "未知",
    "unknown_en": "unknown",
    "case": [
        {"given": {"egfr": 29}, "says": "block"},
        {"given": {"egfr": 30}, "says": "nothing"},
    ],
}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no version": ({"version": None}, "does not say its version"),
    "no source": ({"source": ""}, "does not say its source"),
    "no day": ({"valid_from": None}, "does not say its valid_from"),
    "nobody to sign": ({"approvers": []}, "does not say its approvers"),
    "a word to sign": ({"approvers": "pharmacy"}, "approvers is a list"),
    "a role twice": ({"approvers": ["pharmacy", "pharmacy"]}, "different roles"),
    "another plugin's id": ({"id": "heart.low"}, "begins with kidney."),
    "an id with a slash": ({"id": "kidney.a/b"}, "letters, digits"),
    "an id that is too long": ({"id": f"kidney.{'x' * 50}"}, "at most 56"),
    "a version with a slash": ({"version": "1/2"}, "a version has"),
    "a version that is too long": ({"version": "1" * 33}, "a version has"),
    "a field nobody knows": ({"wehn": {}}, "no field wehn"),
    "no words": ({"zh": None, "en": None}, "Chinese and English"),
    "no English": ({"en": None}, "Chinese and English"),
    "no Chinese for the unknown": ({"unknown_zh": None}, "Chinese and English"),
    "an attribute in words": ({"zh": "{egfr.__class__}"}, "cannot fill in"),
    "a place without a name": ({"en": "{}"}, "cannot fill in"),
    "an open brace": ({"zh": "{egfr"}, "expected '}'"),
    "a number without a unit": ({"unit": {}}, "number below needs a unit"),
    "a number that is none": ({"parameters": {"below": float("nan")}}, "below must be finite"),
    "a parameter there is not": ({"when": {"egfr": {"below": "$under"}}}, "no parameter under"),
    "an unknown comparison": ({"when": {"egfr": {"bellow": 3}}}, "no comparison bellow"),
    "no action": ({"action": None}, "needs an action"),
    "a delay without a length": ({"action": "delay_until"}, "needs its delay"),
    "no word of the unknown": ({"unknown": None}, "what the unknown means"),
    "a strange unknown": ({"unknown": "perhaps"}, "another rule's id, or never"),
    "itself for the unknown": ({"unknown": "kidney.low"}, "another rule"),
    "no words of the unknown": ({"unknown_zh": None, "unknown_en": None}, "words of its own"),
    "no cases": ({"case": None}, "needs cases"),
    "a wrong case": ({"case": [{"given": {"egfr": 31}, "says": "block"}]}, "says nothing, not block"),
    "a case that says nothing": ({"case": [{"given": {"egfr": 1}}]}, "'says' is missing"),
    "one side only": ({"case": RULE["case"][:1]}, "when it speaks and when it says nothing"),
    "no case at the border": ({"case": [RULE["case"][0], {"given": {"egfr": 31}, "says": "nothing"}]}, "egfr 30 itself"),
    "no case beyond the border": (
        {"when": {"egfr": {"at_most": "$below"}}, "case": [{"given": {"egfr": 30}, "says": "block"},
                                                          {"given": {"egfr": 29}, "says": "block"},
                                                          {"given": {"egfr": None, "age": 1}, "says": "confirm"},
                                                          {"given": {"egfr": 29.5}, "says": "nothing"}]},
        "says block, not nothing"),
    "an end before its beginning": ({"valid_to": "2025-12-31"}, "ends before it begins"),
    "a day that is none": ({"valid_from": "2026-02-30"}, "day"),
    "a time of day": ({"valid_from": MORNING}, "not from a time of day"),
}  # fmt: skip


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**RULE, **changes}.items() if value is not None}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_with_the_rules_name_and_what_is_wrong(fault: str) -> None:
    changes, words = FAULTS[fault]
    with pytest.raises(ValueError) as caught:
        files.version("kidney", changed(**changes))

    assert str(caught.value).startswith(f"{changes.get('id', 'kidney.low')}: ")
    assert words in str(caught.value)


def test_a_rule_without_a_fault_is_accepted_and_decides() -> None:
    rule = files.rule_of(files.version("kidney", changed()))

    assert [rule.decide({"egfr": value}) for value in (29, 30, None)] == ["block", "nothing", "confirm"]


def test_a_rule_without_a_condition_needs_neither_action_nor_cases() -> None:
    plain = {name: RULE[name] for name in ("id", "version", "source", "valid_from", "approvers", "parameters", "unit")}

    assert files.rule_of(files.version("kidney", plain))["below"] == 30


def test_a_fact_that_must_always_be_known_raises_when_it_is_not() -> None:
    table = changed(unknown="never", unknown_zh=None, unknown_en=None)

    with pytest.raises(ValueError, match="must be known"):
        files.rule_of(files.version("kidney", table)).decide({})


# Packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """A plugin's package with these files; answers its hooks."""

    def make(**contents: str) -> ModuleType:
        home = tmp_path / "written_rules"
        (home / "rules").mkdir(parents=True)
        (home / "__init__.py").write_text("")
        hooks = "from examlane import hookimpl\n@hookimpl\ndef preparation(items):\n    return []\n"
        (home / "hooks.py").write_text(hooks)
        for name, text in contents.items():
            path = home / "rules.toml" if name == "rules" else home / "rules" / f"{name}.toml"
            path.write_text(text, "utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("written_rules", "written_rules.hooks"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module("written_rules.hooks")

    return make


DEFAULTS = '[defaults]\nversion = "1"\nvalid_from = 2026-01-01\napprovers = ["pharmacy"]\nsource = "practice"\n'
CHOICE = """[choice.dose]
default = "low"
zh = "剂量"
en = "dose"
profiles = { low = { zh = "低", en = "low" }, high = { zh = "高", en = "high" } }
"""


def table(name: str, more: str = "") -> str:
    return f'[[rule]]\nid = "written.{name}"\n{more}\n'


def test_rules_stand_in_one_file_or_in_several_by_subject_with_their_defaults(package: Callable[..., Any]) -> None:
    package(rules=DEFAULTS + table("one"), agents=DEFAULTS + table("agent.x", 'version = "2"'))
    found = files.read("written", "written_rules").versions

    assert [(one.rule, one.version) for one in found] == [("written.one", "1"), ("written.agent.x", "2")]
    book = rule_book("written", "written_rules")
    assert [rule.id for rule in book.named("agent.")] == ["written.agent.x"]


def test_a_file_says_what_its_rules_are_about_or_its_name_does(package: Callable[..., Any]) -> None:
    titled = '[subject]\nzh = "肾功能"\nen = "kidneys"\n' + DEFAULTS + table("one")
    package(kidney=titled, mr_safety=DEFAULTS + table("two"))
    subjects = files.read("written", "written_rules").subjects

    assert subjects == {"written.one": Text("肾功能", "kidneys"), "written.two": Text("mr safety", "mr safety")}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DEFAULTS + table("one") + table("one"), "written.one 1 stands twice"),
        (DEFAULTS + table("one", 'profile = { dose = "low" }'), "written.one: there is no profile low of dose"),
        (DEFAULTS + CHOICE.replace("[choice.dose]\n", '[choice.dose]\ndefalt = "x"\n').replace("default", "other"),
         "choice dose"),
        (DEFAULTS + CHOICE.replace('"low"\n', '"middle"\n'), "choice dose: the default is not one of its profiles"),
        (DEFAULTS + table("one", 'parameters = { x = 1 }'), "written.one: the number x needs a unit"),
        ("[[rule]\n", "Expected"),
        (DEFAULTS + table("one", 'when = { a = true }\naction = "block"\nunknown = "written.two"\nzh = "a"\nen = "a"\n'
                          'case = [{ given = { a = true }, says = "block" }, { given = { a = false }, says = "nothing" }]'),
         "written.one: there is no rule written.two"),
    ],
)  # fmt: skip
def test_a_plugin_with_a_faulty_file_is_broken_with_the_reason(package: Callable[..., Any], text: str, reason: str) -> None:
    found = Plugins()
    found.register("written", package(rules=text))

    assert found.loaded == {}
    assert reason in found.broken["written"]


# The book of a day


def book(*versions: dict[str, Any], day: str, **chosen: str) -> RuleBook:
    return files.book([files.version("kidney", one) for one in versions], {}, chosen, date.fromisoformat(day))


def test_of_several_versions_the_newest_that_counts_on_the_day_is_in_the_book() -> None:
    old = changed()
    new = changed(version="2026.2", valid_from="2026-06-01", valid_to="2026-06-30")

    days = ("2025-12-31", "2026-01-01", "2026-05-31", "2026-06-01", "2026-06-30", "2026-07-01")
    found = [book(new, old, day=day) for day in days]
    assert [one["low"].version if "low" in one else "" for one in found] == [
        "", "2026.1", "2026.1", "2026.2", "2026.2", "2026.1",
    ]  # fmt: skip


def test_a_version_of_a_profile_counts_in_that_profile_only(kidney: ModuleType) -> None:
    assert rule_book("kidney", "kidney_rules")["metformin"].version == "2026.1"
    assert rule_book("kidney", "kidney_rules", metformin="cn_48h")["metformin"]["below"] == 60
    assert "metformin" not in rule_book("kidney", "kidney_rules", metformin="gone")


def test_a_finding_says_rule_version_source_and_fills_in_its_words(kidney: ModuleType) -> None:
    rules = rule_book("kidney", "kidney_rules")
    (low,) = rules.findings("O1/1", {"egfr": 25.4, "metformin": False}, MORNING)
    (unknown,) = rules.findings("O1/1", {"metformin": True}, MORNING)

    assert (low.kind, low.code, low.rule_version, low.source) == ("block", "kidney.severe", "2026.1", "ACR 2021")
    assert low.text.zh == "eGFR 25，低于 30，不能检查"
    assert (unknown.kind, unknown.code) == ("confirm", "kidney.severe_unknown")


def test_a_rule_that_speaks_is_not_silenced_by_an_unknown_fact_in_its_words() -> None:
    words = {"zh": "{age:.0f} 岁，{table[x]}", "en": "{age:.0f} years, {table[x]}"}
    rule = files.rule_of(files.version("kidney", changed(**words)))

    assert rule.finding("O1/1", egfr=20).text.en == "— years, —"


# Drafts


def test_a_draft_changes_what_is_named_and_its_cases_move_with_the_border() -> None:
    draft = drafts.drafted(RULE, {"version": "2", "parameters": {"below": 45.5}, "unknown_zh": "不明"})

    assert (draft["version"], draft["source"], draft["unit"]) == ("2", "ACR 2021", {"below": "ml/min"})
    assert [case["given"]["egfr"] for case in draft["case"]] == [44.5, 45.5]
    assert files.rule_of(files.version("kidney", draft)).decide({"egfr": 40}) == "block"


def test_cases_that_are_given_stay_and_none_leaves_a_field_out() -> None:
    draft = drafts.drafted({**RULE, "valid_to": "2026-12-31"}, {"parameters": {"below": 45}, "case": [], "valid_to": None})

    assert (draft["case"], "valid_to" in draft) == ([], False)


def test_each_case_moves_with_the_border_it_stands_at() -> None:
    cases = [{"given": {"egfr": value, "age": 70}, "says": "x"} for value in (29, 30, 44, 45, 60)]
    older = {**RULE, "parameters": {"low": 30, "high": 45}, "case": cases,
             "when": {"egfr": {"at_least": "$low", "below": "$high"}}}  # fmt: skip
    moved = drafts.drafted(older, {"parameters": {"high": 50}})["case"]

    assert [case["given"]["egfr"] for case in moved] == [29, 30, 49, 50, 65]
    assert {case["given"]["age"] for case in moved} == {70}
