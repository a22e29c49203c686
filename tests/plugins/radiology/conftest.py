"""A radiology clinic for tests: harmless patients, usual exams, and what the hook says of an order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from examlane import (
    EncounterClass,
    EncounterView,
    ExamItem,
    Fact,
    Finding,
    FindingKind,
    OrderItemView,
    OrderView,
    PatientView,
    Priority,
    RuleBook,
    Sex,
    Text,
)
from examlane.extension import answers
from examlane.testing import rule_book
from examlane_radiology import hooks

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
PACKAGE = ("radiology", "examlane_radiology")


class Clinic:
    """Asks the plugin about orders of a patient who has nothing against any exam, changed by some facts."""

    now = NOW
    man = PatientView(1, Sex.MALE, date(1986, 1, 1))
    man_of_61 = PatientView(2, Sex.MALE, date(1965, 1, 1))
    woman = PatientView(3, Sex.FEMALE, date(1996, 1, 1))
    harmless: Mapping[str, Any] = {
        "weight_kg": 70, "contrast_reaction": "none", "metformin": False, "hyperthyroidism": False, "pregnant": False,
        "egfr": 95, "renal_history": False, "diabetes": False, "hypertension": False, "implants": False,
        "right_to_left_shunt": False, "severe_pulmonary_hypertension": False, "ards": False,
        "microbubble_hypersensitivity": False, "opaque_drugs": False, "acute_kidney_injury": False,
        "heart_rate": 60,
    }  # fmt: skip

    def __init__(self) -> None:
        self._books: dict[tuple[tuple[str, str], ...], RuleBook] = {}
        self.rules = self.book()
        self.enhanced_ct = self.exam("全腹CT增强扫描", contrast="iodine", contrast_protocol="abdomen_ct")
        self.enhanced_mr = self.exam("肝胆脾MRI增强检查", "MR", contrast="gadolinium", contrast_protocol="mr")
        self.coronary_cta = self.exam("冠状动脉CTA", part="heart", contrast="iodine", contrast_protocol="coronary_cta")
        self.plain_ct = self.exam("全腹CT扫描")
        self.plain_mr = self.exam("颅脑MRI检查", "MR", "head")
        self.bubbles = self.exam("肝脏超声造影", "US", contrast="microbubble")

    def exam(self, name: str = "检查", modality: str = "CT", part: str = "abdomen", **attributes: Any) -> ExamItem:
        return ExamItem("X", Text(name, "exam"), modality, part, "RAD", attributes)

    def book(self, **profiles: str) -> RuleBook:
        chosen = tuple(sorted(profiles.items()))
        if chosen not in self._books:
            self._books[chosen] = rule_book(*PACKAGE, **profiles)
        return self._books[chosen]

    def context(
        self, facts: Mapping[str, Any], without: tuple[str, ...] = (), measured: datetime | None = NOW - timedelta(days=1)
    ) -> dict[str, Fact]:
        known = {**self.harmless, **facts}
        return {name: Fact(value, measured) for name, value in known.items() if name not in without}

    def ask(
        self,
        *items: ExamItem,
        patient: PatientView | None = None,
        encounter: EncounterClass = EncounterClass.OUTPATIENT,
        priority: Priority = Priority.ROUTINE,
        needs: frozenset[str] = frozenset(),
        note: str = "",
        measured: datetime | None = NOW - timedelta(days=1),
        settings: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        confirmed: Mapping[str, str] | None = None,
        rules: RuleBook | None = None,
        **facts: Any,
    ) -> list[Finding]:
        """The findings of the hook, checked as the core checks them."""
        views = tuple(
            OrderItemView(f"O1/{line}", item, confirmed=confirmed or {})
            for line, item in enumerate(items or (self.enhanced_ct,), 1)
        )
        order = OrderView(
            "O1", EncounterView("V1", encounter, needs=needs), "CLINIC", priority, NOW, views,
            self.context(facts, without, measured), note,
        )  # fmt: skip
        said = hooks.validate_order(order, patient or self.man, NOW, settings or {}, rules or self.rules)
        return list(answers.findings(said, [view.key for view in views]))

    def codes(self, *items: ExamItem, **more: Any) -> set[str]:
        """The codes that are said, fills left out."""
        return codes(self.ask(*items, **more))

    def kind(self, code: str, *items: ExamItem, **more: Any) -> FindingKind | None:
        found = self.ask(*items, **more)
        return next((finding.kind for finding in found if finding.code == f"radiology.{code}"), None)

    def fills(self, *items: ExamItem, **more: Any) -> dict[str, Any]:
        found = self.ask(*items, **more)
        return {finding.field: finding.value for finding in found if finding.kind is FindingKind.FILL}

    def until(self, *items: ExamItem, **more: Any) -> list[timedelta]:
        """By how much the exam is put off."""
        return [finding.until - NOW for finding in self.ask(*items, **more) if finding.until]


def codes(found: list[Finding]) -> set[str]:
    return {finding.code.removeprefix("radiology.") for finding in found if finding.kind is not FindingKind.FILL}


@pytest.fixture(scope="session")
def clinic() -> Clinic:
    return Clinic()
