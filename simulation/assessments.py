"""A seeded stream of orders for painless endoscopy with what becomes of their anaesthesia assessment; data and truth only.

`python -m simulation.assessments` shows what it holds. Shares as in alloc.md §3.1 (b): 24 % are never assessed and of the
others 12 % fail, together 33 %, which are the cancellations of today; 1.5 % cancel on the day whatever the system does.
ASA classes: domain.md §4.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from random import Random
from zoneinfo import ZoneInfo

from examlane import EncounterClass, Sex

MONDAY = datetime(2026, 11, 23, 7, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
NEVER, FAILED, ACUTE = 0.24, 0.12, 0.015
"""Never assessed, of all; failed, of the assessed; ill on the day, of all."""
CONDITIONAL, DEFERRED = 0.10, 0.05
"""Of the passed: with conditions; only at the second assessment, after tests."""
ORDERS_A_DAY = 60
VALID_DAYS = (14, 14, 14, 7, 30)
"""How long an assessment holds: 14 days as a rule (domain.md §4, U), less or more where the anaesthetist says so."""
ITEMS = {"320500003-P": "stomach", "320500005-P": "bowel", "320500005-GP": "bowel", "320200004-P": "bronchi"}
ITEM_SHARES = (0.5, 0.25, 0.2, 0.05)


class Fate(StrEnum):
    """How the anaesthesia assessment of an order ends."""

    PASSED = "passed"
    WITH_CONDITIONS = "passed_with_conditions"
    FAILED = "failed"
    NEVER = "never_assessed"


@dataclass(frozen=True, slots=True)
class Assessment:
    """One assessment: outcomes as in domain.md §4. `conditions` are what must be done first."""

    outcome: str
    assessed_at: datetime
    valid_until: datetime | None
    asa: int
    by: str
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SedationOrder:
    """An order for an endoscopy under sedation.

    `fate` is the truth, `assessments` are what is reported of it, in time. `acute`: cancels on the day, for a reason of
    his own.
    """

    number: str
    item: str
    ordered_at: datetime
    sex: Sex
    birth_date: date
    encounter_class: EncounterClass
    anticoagulant: str
    fate: Fate
    assessments: tuple[Assessment, ...]
    acute: bool

    @property
    def held_before(self) -> datetime | None:
        """Until when an exam may take place; None: never."""
        if self.fate in (Fate.NEVER, Fate.FAILED):
            return None
        return self.assessments[-1].valid_until

    def may_be_held(self, starts_at: datetime) -> bool:
        """Whether an exam at this time stands on an assessment that is passed, made before it and still valid."""
        until = self.held_before
        return until is not None and self.assessments[-1].assessed_at <= starts_at <= until


def stream(seed: int = 1, orders: int = 600, start: datetime = MONDAY) -> tuple[SedationOrder, ...]:
    """Orders in the order they are written, with exact shares of each fate."""
    random = Random(f"{seed}/sedation")
    fates = _fates(random, orders)
    acute = set(random.sample(range(orders), round(orders * ACUTE)))
    minutes = (index // ORDERS_A_DAY * 1440 + random.randrange(600) for index in range(orders))
    times = sorted(start + timedelta(minutes=each) for each in minutes)
    return tuple(
        _order(Random(f"{seed}/sedation/{index}"), f"SED{seed}-{index + 1:05d}", at, fate, index in acute)
        for index, (at, fate) in enumerate(zip(times, fates, strict=True))
    )


def _fates(random: Random, orders: int) -> list[Fate]:
    never = round(orders * NEVER)
    failed = round((orders - never) * FAILED)
    conditional = round((orders - never - failed) * CONDITIONAL)
    passed = orders - never - failed - conditional
    fates = [Fate.NEVER] * never + [Fate.FAILED] * failed
    fates += [Fate.WITH_CONDITIONS] * conditional + [Fate.PASSED] * passed
    random.shuffle(fates)
    return fates


def _order(random: Random, number: str, at: datetime, fate: Fate, acute: bool) -> SedationOrder:
    age = round(min(85.0, max(18.0, random.gauss(50, 15))))
    kind = random.choices((EncounterClass.OUTPATIENT, EncounterClass.INPATIENT), (0.8, 0.2))[0]
    return SedationOrder(
        number=number,
        item=random.choices(list(ITEMS), ITEM_SHARES)[0],
        ordered_at=at,
        sex=random.choice((Sex.FEMALE, Sex.MALE)),
        birth_date=at.date() - timedelta(days=round((age + 0.5) * 365.2425)),
        encounter_class=kind,
        anticoagulant=random.choices(("none", "aspirin", "clopidogrel", "warfarin", "doac"), (88, 6, 2, 2, 2))[0],
        fate=fate,
        assessments=_assessments(random, at, fate, kind),
        acute=acute,
    )


def _assessments(random: Random, ordered: datetime, fate: Fate, kind: EncounterClass) -> tuple[Assessment, ...]:
    """The first within hours or days of the order, in working hours; some are deferred for tests and repeated."""
    if fate is Fate.NEVER:
        return ()
    at = _working(ordered + timedelta(minutes=random.choice((20, 45, 90, 180, 300, 1440, 2880))))
    last = _last(random, at, fate, kind)
    if random.random() >= DEFERRED:
        return (last,)
    tests = random.choice((("ecg",), ("coagulation",), ("echocardiography", "ecg")))
    deferred = Assessment("deferred", at, None, last.asa, last.by, tests)
    return deferred, _last(random, _working(at + timedelta(days=random.randint(1, 4))), fate, kind)


def _last(random: Random, at: datetime, fate: Fate, kind: EncounterClass) -> Assessment:
    """ASA I-II pass anywhere, III with the anaesthetist's approval, IV in the hospital only, V never (domain.md §4)."""
    by = random.choice(("attending", "attending", "consultant"))
    if fate is Fate.FAILED:
        return Assessment("failed", at, None, random.choice((3, 4, 4, 5)), by)
    until = at + timedelta(days=random.choice(VALID_DAYS))
    if fate is Fate.PASSED:
        return Assessment("passed", at, until, random.choices((1, 2), (0.45, 0.55))[0], by)
    asa = random.choice((3, 4)) if kind is EncounterClass.INPATIENT else 3
    condition = random.choice(("escort", "recovery_bed", "ecg"))
    return Assessment("passed_with_conditions", at, until, asa, by, (condition,))


def _working(at: datetime) -> datetime:
    """The same time if the assessment clinic is open (08:00-17:00), otherwise the next morning."""
    if at.hour < 8:
        return at.replace(hour=8, minute=0)
    return at if at.hour < 17 else (at + timedelta(days=1)).replace(hour=8, minute=at.minute % 30)


def main() -> None:
    """Counts of a stream by fate."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--orders", type=int, default=600)
    asked = parser.parse_args()
    made = stream(asked.seed, asked.orders)
    for fate, count in sorted(Counter(each.fate.value for each in made).items()):
        print(f"{fate:28}{count:6}{count / len(made):8.1%}")


if __name__ == "__main__":
    main()
