"""Ultrasound: what forbids or must be confirmed before contrast, endocavity exams and punctures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examlane import EvidenceView, Sex

CONTRAST = {"contrast": "microbubble"}
VAGINAL = {"route": "vaginal"}
PUNCTURE = {"puncture": True}
EXCLUDED = ["microbubble_allergy", "right_to_left_shunt", "severe_pulmonary_hypertension", "ards"]
NAMES = ["allergy", "shunt", "pulmonary_hypertension", "ards"]
FREE: dict[str, Any] = dict.fromkeys(EXCLUDED, False)


def kinds(found: Any) -> dict[str, str]:
    return {code: finding.kind.value for code, finding in found.items()}


def signed(us: Any, **more: Any) -> EvidenceView:
    return EvidenceView("consent", more.pop("outcome", "signed"), more.pop("observed_at", us.now), **more)


def test_a_plain_exam_is_never_questioned(us: Any) -> None:
    assert us.findings({"merge": True}, sex=Sex.MALE, microbubble_allergy=True, anticoagulant="warfarin", inr=5) == {}


def test_where_nothing_is_known_contrast_is_confirmed_once_and_the_consent_too(us: Any) -> None:
    assert kinds(us.findings(CONTRAST)) == {"contrast.unknown": "confirm", "consent": "confirm"}


def test_contrast_without_contraindication_and_with_consent_is_not_questioned(us: Any) -> None:
    assert us.findings(CONTRAST, evidence=(signed(us),), **FREE) == {}


@pytest.mark.parametrize("missing", EXCLUDED)
@pytest.mark.parametrize("value", [None, "no"])
def test_each_contraindication_that_is_unknown_or_unreadable_must_be_confirmed(us: Any, missing: str, value: Any) -> None:
    found = us.findings(CONTRAST, evidence=(signed(us),), **(FREE | {missing: value}))
    assert kinds(found) == {"contrast.unknown": "confirm"}


@pytest.mark.parametrize(("fact", "name"), list(zip(EXCLUDED, NAMES, strict=True)))
def test_each_contraindication_of_the_older_leaflet_blocks(us: Any, fact: str, name: str) -> None:
    found = us.findings(CONTRAST, evidence=(signed(us),), **(FREE | {fact: True}))
    assert kinds(found) == {f"contrast.{name}": "block"}


@pytest.mark.parametrize(("fact", "name"), list(zip(EXCLUDED, NAMES, strict=True)))
def test_a_hospital_with_the_newer_leaflet_confirms_but_an_allergy_still_blocks(us: Any, fact: str, name: str) -> None:
    found = us.findings(CONTRAST, evidence=(signed(us),), profile="newer_leaflet", **(FREE | {fact: True}))
    assert kinds(found) == {f"contrast.{name}": "block" if name == "allergy" else "confirm"}


@pytest.mark.parametrize(
    ("more", "counts"),
    [({}, True), ({"outcome": "passed"}, True), ({"outcome": "refused"}, False), ({"scope": "1"}, True),
     ({"scope": "1/1"}, True), ({"scope": "2/1"}, False)],
)  # fmt: skip
def test_a_consent_counts_where_it_was_given_for_this_exam(us: Any, more: dict[str, Any], counts: bool) -> None:
    found = us.findings(CONTRAST, evidence=(signed(us, **more),), **FREE)
    assert ("consent" not in found) is counts


def test_a_consent_of_an_earlier_exam_or_one_that_expired_does_not_count(us: Any) -> None:
    old = signed(us, observed_at=us.now - timedelta(seconds=1))
    assert "consent" in us.findings(CONTRAST, evidence=(old,), **FREE)
    assert "consent" not in us.findings(CONTRAST, evidence=(signed(us, valid_until=us.now + timedelta(1)),), **FREE)
    assert "consent" in us.findings(CONTRAST, evidence=(signed(us, valid_until=us.now),), **FREE)


@pytest.mark.parametrize(
    ("sex", "code", "kind"),
    [(Sex.MALE, "vaginal.male", "block"), (Sex.UNKNOWN, "vaginal.male_unknown", "confirm")],
)
def test_a_transvaginal_exam_is_for_women(us: Any, sex: Sex, code: str, kind: str) -> None:
    assert kinds(us.findings(VAGINAL, sex=sex, sexually_active=True)) == {code: kind}


@pytest.mark.parametrize(
    ("history", "found"),
    [(True, {}), (False, {"vaginal.no_intercourse": "block"}), (None, {"vaginal.no_intercourse_unknown": "confirm"}),
     ("?", {"vaginal.no_intercourse_unknown": "confirm"})],
)  # fmt: skip
def test_a_transvaginal_exam_asks_for_the_sexual_history(us: Any, history: Any, found: dict[str, str]) -> None:
    assert kinds(us.findings(VAGINAL, sexually_active=history)) == found


def test_a_transrectal_exam_asks_neither(us: Any) -> None:
    assert us.findings({"route": "rectal"}, sex=Sex.MALE) == {}


@pytest.mark.parametrize(
    ("drug", "asked"), [("none", None), (False, None), ("warfarin", "confirm"), (True, "confirm"), ("?", "confirm")]
)
def test_an_anticoagulant_before_a_puncture_must_be_confirmed(us: Any, drug: Any, asked: str | None) -> None:
    found = us.findings(PUNCTURE, evidence=(signed(us),), anticoagulant=drug, inr=1.0)
    assert kinds(found) == ({"puncture.anticoagulant": asked} if asked else {})


@pytest.mark.parametrize(("inr", "asked"), [(1.4, False), (1.5, False), (1.51, True), (3, True)])
def test_an_inr_above_the_limit_must_be_confirmed(us: Any, inr: float, asked: bool) -> None:
    found = us.findings(PUNCTURE, evidence=(signed(us),), anticoagulant="none", inr=inr)
    assert kinds(found) == ({"puncture.inr": "confirm"} if asked else {})


def test_where_nothing_is_known_a_puncture_asks_for_drugs_inr_and_consent(us: Any) -> None:
    assert kinds(us.findings(PUNCTURE)) == {
        "consent": "confirm", "puncture.anticoagulant_unknown": "confirm", "puncture.inr_unknown": "confirm"
    }  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(EXCLUDED), st.sampled_from([True, False, None, "no", 0]), max_size=4))
def test_contrast_is_never_unquestioned_unless_everything_is_known_and_free(us: Any, facts: dict[str, Any]) -> None:
    if not us.findings(CONTRAST, evidence=(signed(us),), **facts):
        assert {name: facts.get(name) for name in EXCLUDED} == FREE
