"""Random worlds to ask a plugin about: the same number gives the same world in every process.

Facts are known, unknown or absurd; what they are called and what they may say comes from the plugin's own rules and code.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from examlane.capacity.availability import consecutive
from examlane.domain import (
    EncounterClass,
    EncounterView,
    EvidenceView,
    Examination,
    ExamItem,
    Fact,
    GroupView,
    NoShow,
    OrderItemView,
    OrderView,
    PatientView,
    Priority,
    Sex,
)
from examlane.testing.catalogue import Keep, SampleCatalogue
from examlane.testing.hospital import MORNING
from examlane.visit import TICK_MINUTES, BookingRequest, Need, Placement, Segment, Visit, VisitOption

ZONE = ZoneInfo("Asia/Shanghai")
NEEDS = ("escort", "guardian", "interpreter", "isolation", "oxygen", "stretcher", "wheelchair")
FACTS = (
    "age", "allergy", "anticoagulant", "asthma", "contrast_reaction", "creatinine_umol_l", "diabetes", "egfr", "escort",
    "fasting", "hypertension", "last_menstrual_period", "metformin", "pregnant", "weight_kg",
)  # fmt: skip
"""Clinical facts that orders usually carry, whether a plugin reads them or not."""
OUTCOMES = ("passed", "failed", "conditional", "signed", "unreadable")
ABSURD = (True, False, 0, -1, 0.5, 45, 999_999, "", "none", "yes", "mid-November", "9999-99-99", "宫腔镜")
DAYS = 14


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a plugin's rules and code speak of: names of facts with values they may have, and words for evidence."""

    facts: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    words: Sequence[str] = ()

    def names(self) -> list[str]:
        return sorted({*FACTS, *self.facts})

    def is_measured(self, name: str) -> bool:
        """Whether the rules speak of this fact in numbers, or in yes and no, alone."""
        values = self.facts.get(name, ())
        return bool(values) and not any(isinstance(value, str) for value in values)

    def telling(self, name: str, today: date) -> list[Any]:
        """The values of a fact on which the rules may decide: their own, or anything where they name none."""
        return list(self.facts.get(name, ())) or self.values(name, today)

    def values(self, name: str, today: date) -> list[Any]:
        """What a fact may say: what the rules speak of, days around today, and nonsense."""
        days = [(today - timedelta(days=ago)).isoformat() for ago in (-3, 0, 3, 8, 20, 60, 280)]
        return [*self.facts.get(name, ()), *days, *ABSURD]


@dataclass(frozen=True, slots=True)
class RandomWorld:
    """One patient with orders in one department, and everything that a hook may be asked about them."""

    number: int
    department: str
    patient: PatientView
    orders: tuple[OrderView, ...]
    groups: tuple[GroupView, ...]
    evidence: tuple[EvidenceView, ...]
    now: datetime
    request: BookingRequest
    no_show: NoShow
    availability: OpenCalendar

    @property
    def order(self) -> OrderView:
        return self.orders[0]

    def with_facts(self, facts: dict[str, Fact]) -> RandomWorld:
        """The same with other facts in its first order."""
        return replace(self, orders=(replace(self.order, context=MappingProxyType(facts)), *self.orders[1:]))

    def told(self, names: Collection[str]) -> str:
        """The world in one line, for a failure, with those of its facts that are named."""
        items = ", ".join(item.item.code for item in self.order.items)
        facts = {name: fact.value for name, fact in self.order.context.items() if name in names}
        shown = ", ".join(f"{name} = {value!r}" for name, value in facts.items())
        return f"{items} on {self.now:%Y-%m-%d %H:%M} UTC with {shown or 'no facts that it reads'} (world {self.number})"


class OpenCalendar:
    """An availability for `allocate`: some weekdays' working hours, busy at random, the same for the same world."""

    def __init__(self, number: int, first: date, not_before: datetime) -> None:
        self._number = number
        self._days = [first + timedelta(days=after) for after in range(DAYS)]
        self._not_before = not_before

    def days(self) -> Sequence[date]:
        return self._days

    def instant(self, day: date, tick: int) -> datetime:
        midnight = datetime(day.year, day.month, day.day, tzinfo=ZONE)
        return midnight + timedelta(minutes=tick * TICK_MINUTES)

    def starts(self, visit: Visit, option: VisitOption, day: date) -> int:
        minutes = _minutes(option)
        free = consecutive(self._free(option.group, day), -(-minutes // TICK_MINUTES))
        lower = max(filter(None, (self._not_before, visit.earliest)))
        return sum(
            1 << tick
            for tick in range(free.bit_length())
            if free >> tick & 1 and _within(self.instant(day, tick), lower, visit.latest)
        )

    def segment_starts(self, visit: Visit, option: VisitOption, position: int, day: date) -> int:
        segment = option.segments[position]
        return consecutive(self._free(segment.needs[0].group, day), -(-segment.minutes // TICK_MINUTES))

    def load(self, group: str, day: date) -> Sequence[int]:
        """Nobody knows."""
        return ()

    def ends_at(self, visit: Visit, placement: Placement) -> datetime:
        option = next(option for option in visit.options if option.group == placement.group)
        return placement.starts_at + timedelta(minutes=_minutes(option))

    def earliest(self, visit: Visit, not_before: datetime) -> Placement | None:
        for day in self._days:
            found = [
                (self.instant(day, tick), option.group)
                for option in visit.options
                for tick in _ticks(self.starts(visit, option, day))
                if self.instant(day, tick) >= not_before
            ]
            if found:
                starts_at, group = min(found)
                return Placement(visit.key, group, starts_at)
        return None

    def _free(self, group: str, day: date) -> int:
        """Working hours 8–12 and 13:30–17:30 in half-hours, each of them taken with one chance in four."""
        dice = random.Random(f"{self._number} {group} {day}")
        hours = [*range(96, 144, 6), *range(162, 210, 6)] if day.isoweekday() < 6 else []
        return sum(0b111111 << tick for tick in hours if dice.random() < 0.75)


def _ticks(bits: int) -> list[int]:
    return [tick for tick in range(bits.bit_length()) if bits >> tick & 1]


def _within(instant: datetime, lower: datetime, latest: datetime | None) -> bool:
    return instant >= lower and (latest is None or instant <= latest)


def _minutes(option: VisitOption) -> int:
    return max(segment.after_max + segment.minutes for segment in option.segments)


def random_world(
    number: int,
    catalogue: SampleCatalogue,
    departments: Sequence[str],
    vocabulary: Vocabulary,
    keep: Keep = MappingProxyType,
) -> RandomWorld:
    """The world of a number; `keep` makes its mappings, which as in a hospital cannot be changed."""
    return _Maker(number, catalogue, departments, vocabulary, keep).world()


class _Maker:
    def __init__(
        self, number: int, catalogue: SampleCatalogue, departments: Sequence[str], vocabulary: Vocabulary, keep: Keep
    ) -> None:
        self._keep = keep
        self._number = number
        self._dice = random.Random(f"examlane {number}")
        self._catalogue = catalogue
        self._department = self._dice.choice(departments)
        self._vocabulary = vocabulary
        self._now = MORNING + timedelta(minutes=self._dice.randrange(0, 200 * 1440, 7))

    def world(self) -> RandomWorld:
        patient = self._patient()
        encounter = self._encounter()
        orders = tuple(self._order(f"W{line}", encounter) for line in range(1, self._dice.choice((2, 2, 2, 3))))
        items = [item for order in orders for item in order.items]
        local = self._now.astimezone(ZONE)
        missed = NoShow(
            "A1", patient, encounter, tuple(items), local - timedelta(minutes=40), self._now, self._dice.randrange(4)
        )
        calendar = OpenCalendar(self._number, local.date(), self._now)
        return RandomWorld(
            self._number, self._department, patient, orders, self._catalogue.groups_of(self._department),
            self._evidence(items), self._now, self._request(patient, encounter, items), missed, calendar,
        )  # fmt: skip

    def _patient(self) -> PatientView:
        ages = (None, 0, 1, 9, 17, 25, 33, 41, 60, 80, 105)
        age = self._dice.choice(ages)
        birth = None if age is None else self._now.date() - timedelta(days=age * 366 + self._dice.randrange(300))
        return PatientView(1, self._dice.choice(list(Sex)), birth, self._dice.random() < 0.2)

    def _encounter(self) -> EncounterView:
        campuses = sorted({group.campus for group in self._catalogue.groups.values()})
        needs = frozenset(need for need in NEEDS if self._dice.random() < 0.1)
        return EncounterView("V1", self._dice.choice(list(EncounterClass)), "", self._dice.choice(campuses), needs)

    def _order(self, number: str, encounter: EncounterView) -> OrderView:
        pool = self._catalogue.items[self._department]
        chosen = self._dice.sample(pool, min(len(pool), self._dice.choice((1, 1, 1, 2, 3))))
        items = tuple(self._item(f"{number}/{line}", item) for line, item in enumerate(chosen, 1))
        return OrderView(
            number, encounter, self._dice.choice(sorted(self._catalogue.items)), self._dice.choice(list(Priority)),
            self._now, items, self._keep(self._facts()), self._dice.choice(("", "", "增强", "患者自诉过敏")),
        )  # fmt: skip

    def _item(self, key: str, item: ExamItem) -> OrderItemView:
        return OrderItemView(key, item, self._catalogue.services.get(item.code, ()), self._keep({}), self._keep({}))

    def _facts(self) -> dict[str, Fact]:
        known = self._dice.choice((0.2, 0.6, 1.0))
        names = [name for name in self._vocabulary.names() if self._dice.random() < known]
        return {name: self._fact(name) for name in names}

    def _fact(self, name: str) -> Fact:
        own = list(self._vocabulary.facts.get(name, ()))
        values = own if own and self._dice.random() < 0.7 else self._vocabulary.values(name, self._now.date())
        observed = self._dice.choice((None, self._now, self._now - timedelta(days=self._dice.randrange(400))))
        return Fact(self._dice.choice(values), observed, "EMR")

    def _evidence(self, items: Sequence[OrderItemView]) -> tuple[EvidenceView, ...]:
        kinds = [*self._vocabulary.words, "approval", "consent"]
        return tuple(self._assessment(self._dice.choice(kinds), items) for _ in range(self._dice.choice((0, 0, 1, 3))))

    def _assessment(self, kind: str, items: Sequence[OrderItemView]) -> EvidenceView:
        observed = self._now - timedelta(hours=self._dice.randrange(0, 400 * 24))
        until = self._dice.choice((None, observed + timedelta(days=30), self._now + timedelta(days=7)))
        scope = self._dice.choice(("", items[0].key))
        data = self._keep({name: fact.value for name, fact in self._facts().items()})
        return EvidenceView(kind, self._dice.choice(OUTCOMES), observed, until, scope, "assessor", data)

    def _request(self, patient: PatientView, encounter: EncounterView, items: Sequence[OrderItemView]) -> BookingRequest:
        others = [item for pool in self._catalogue.items.values() for item in pool]
        more = [self._item(f"X1/{line}", self._dice.choice(others)) for line in range(1, self._dice.choice((1, 2, 4)))]
        bookable = {item.key: item for item in [*items, *more] if item.services}
        zones = sorted({group.zone for group in self._catalogue.groups.values()})
        walking = {(one, two): 5 for one in zones for two in zones if one != two}
        visits = tuple(_visit(item) for item in bookable.values())
        done = tuple(self._done(item) for item in self._dice.sample(others, 2)) if len(others) > 1 else ()
        horizon = self._now.astimezone(ZONE).date() + timedelta(days=DAYS - 1)
        return BookingRequest(
            patient, encounter, self._department, visits, done, self._now, horizon, self._keep(bookable), walking
        )

    def _done(self, item: ExamItem) -> Examination:
        start = self._now + timedelta(hours=self._dice.randrange(-400, 100))
        return Examination(item, start, start + timedelta(minutes=20), "A9")


def _visit(item: OrderItemView) -> Visit:
    options = tuple(
        VisitOption(
            service.group, service.campus, service.zone,
            (Segment("exam", service.minutes, (Need("room", service.group),)),),
        )
        for service in item.services
    )  # fmt: skip
    fasting = bool(item.item.attributes.get("fasting_hours"))
    return Visit(item.key, item.item.department, (item.key,), options, fasting=fasting)
