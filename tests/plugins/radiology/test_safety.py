"""Unknown never counts as fine, no order makes the rules fail, and every number speaks on both sides of its border."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from examlane import EncounterClass, FindingKind, PatientView, Priority, Sex
from examlane.rulebase import files
from examlane.testing import rule_book

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
BOOK = rule_book("radiology", "examlane_radiology")
SHIPPED = files.read("radiology", "examlane_radiology")
DEMANDS = (FindingKind.CONFIRM, FindingKind.APPROVE, FindingKind.DELAY_UNTIL, FindingKind.BLOCK)
KNOWN = BOOK["facts"]
WORDS = KNOWN.table["data"]
NAMES = [
    *KNOWN.parameters, *WORDS["answers"], *WORDS["recorded"], *WORDS["words"], *WORDS["texts"], *WORDS["instants"],
]  # fmt: skip
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 500), st.floats(), st.text(max_size=12), st.datetimes(),
    st.datetimes(timezones=st.just(UTC)), st.sampled_from(["none", "mild", "moderate", "severe", "碘海醇350", "22G"]),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat), st.lists(st.integers(), max_size=2),
)  # fmt: skip
BIRTHS = st.one_of(st.none(), st.dates(date(1916, 1, 1), date(2026, 11, 23)))
PATIENTS = st.builds(PatientView, st.just(9), st.sampled_from(list(Sex)), BIRTHS)
ITEMS = ("enhanced_ct", "enhanced_mr", "coronary_cta", "plain_ct", "plain_mr", "bubbles")
PROFILES = st.fixed_dictionaries({name: st.sampled_from(sorted(one.profiles)) for name, one in SHIPPED.choices.items()})
MEASURED = st.one_of(st.none(), st.integers(-5, 400).map(lambda days: NOW - timedelta(days=days)))


def demands(clinic: Any, item: Any, **more: Any) -> list[FindingKind]:
    return [finding.kind for finding in clinic.ask(item, **more) if finding.kind in DEMANDS]


@settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=12), PATIENTS, st.sampled_from(ITEMS), MEASURED,
    st.sampled_from(list(EncounterClass)), st.sampled_from(list(Priority)), PROFILES,
)  # fmt: skip
def test_no_context_makes_the_rules_fail(
    clinic: Any, facts: Any, patient: Any, name: str, measured: Any, encounter: Any, priority: Any, profiles: Any
) -> None:
    more = {"patient": patient, "measured": measured, "encounter": encounter, "priority": priority}
    found = clinic.ask(getattr(clinic, name), rules=clinic.book(**profiles), **more, **facts)
    assert all(finding.rule and finding.rule_version and finding.source for finding in found)


@settings(max_examples=150)
@given(
    st.sets(st.sampled_from(sorted(set(NAMES))), min_size=1), st.sampled_from(ITEMS), PROFILES,
    st.sampled_from(["man", "man_of_61", "woman"]), st.sampled_from(list(Priority)),
)  # fmt: skip
def test_forgetting_facts_of_a_safe_order_never_asks_less(
    clinic: Any, forgotten: set[str], name: str, profiles: Any, who: str, priority: Priority
) -> None:
    item, rules, patient = getattr(clinic, name), clinic.book(**profiles), getattr(clinic, who)
    more = {"rules": rules, "patient": patient, "priority": priority}
    assert demands(clinic, item, **more) == []
    more_asked = clinic.codes(item, **more, without=tuple(forgotten))
    assert more_asked >= clinic.codes(item, **more)


GUARDED = {
    "enhanced_ct": ("weight_kg", "contrast_reaction", "hyperthyroidism"),
    "enhanced_mr": ("weight_kg", "contrast_reaction", "implants"),
    "plain_mr": ("implants",),
    "bubbles": (
        "contrast_reaction", "right_to_left_shunt", "severe_pulmonary_hypertension", "ards",
        "microbubble_hypersensitivity",
    ),
}  # fmt: skip


def test_each_fact_that_guards_an_exam_is_asked_for_while_it_is_unknown(clinic: Any) -> None:
    for name, facts in GUARDED.items():
        for fact in facts:
            assert demands(clinic, getattr(clinic, name), without=(fact,)), (name, fact)
    for item in (clinic.plain_ct, clinic.plain_mr, clinic.enhanced_ct, clinic.enhanced_mr):
        assert demands(clinic, item, patient=clinic.woman, without=("pregnant",))
    assert demands(clinic, clinic.enhanced_ct, patient=clinic.man_of_61, without=("egfr",))


BAD = [
    {"egfr": 20}, {"acute_kidney_injury": True}, {"dialysis": True}, {"contrast_reaction": "severe"},
    {"contrast_reaction": "moderate"}, {"contrast_reaction": "mild"}, {"hyperthyroidism": True}, {"weight_kg": None},
    {"radioiodine_planned": True}, {"contrast_reaction_breakthrough": True}, {"egfr": 25, "metformin": True},
]  # fmt: skip


@settings(max_examples=100)
@given(st.lists(st.sampled_from(BAD), min_size=1, max_size=4), st.sampled_from(list(Priority)))
def test_every_danger_is_answered_whatever_else_is_known(clinic: Any, dangers: Any, priority: Priority) -> None:
    together = {name: value for danger in dangers for name, value in danger.items()}
    kinds = demands(clinic, clinic.enhanced_ct, priority=priority, **together)
    assert kinds
    assert priority is Priority.ROUTINE or FindingKind.BLOCK not in kinds


@settings(max_examples=100)
@given(st.floats(0, 250), st.floats(0, 250), st.booleans(), PROFILES)
def test_a_lower_egfr_never_asks_less(clinic: Any, one: float, other: float, metformin: bool, profiles: Any) -> None:
    rules = clinic.book(**profiles)
    low, high = sorted((one, other))
    strictest = [
        max((DEMANDS.index(kind) for kind in demands(clinic, item, egfr=egfr, metformin=metformin, rules=rules)), default=-1)
        for item in (clinic.enhanced_ct, clinic.enhanced_mr)
        for egfr in (low, high)
    ]
    assert strictest[0] >= strictest[1]
    assert strictest[2] >= strictest[3]


def test_an_urgent_block_is_always_a_confirmation_that_wants_a_reason() -> None:
    for rule in BOOK.named(""):
        if rule.table.get("action") == "block":
            assert rule.table["urgent_action"] == "confirm", rule.id
        if rule.table.get("unknown") == "block":
            assert rule.table["unknown_urgent_action"] == "confirm", rule.id


def test_every_choice_between_sources_changes_a_rule_and_its_version() -> None:
    for name, choice in SHIPPED.choices.items():
        versions = {
            profile: {(found.rule, found.version) for found in SHIPPED.versions if found.profile.get(name) == profile}
            for profile in choice.profiles
        }
        assert any(versions.values()), name
        assert len({frozenset(found) for found in versions.values()}) == len(versions), name


def test_recalled_and_unsourced_numbers_say_so() -> None:
    for rule in BOOK.named("protocol."):
        assert "to be signed" in rule.source or "recalled" in rule.source, rule.id
