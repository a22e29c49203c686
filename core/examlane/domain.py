"""The value types that cross the hook border: frozen, standard library only, no input or output.

Every name is the field's own (docs/glossary.md). Instants are aware datetimes; days are the campus's business dates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from examlane.terms import BookingMode as BookingMode
from examlane.terms import DepartmentMode as DepartmentMode
from examlane.terms import EncounterClass as EncounterClass
from examlane.terms import FindingKind as FindingKind
from examlane.terms import NoShowAction as NoShowAction
from examlane.terms import Priority as Priority
from examlane.terms import Relation as Relation
from examlane.terms import Severity as Severity
from examlane.terms import Sex as Sex
from examlane.terms import Stage as Stage


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence for people, in Chinese and in English."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A clinical fact with its source and time. An absent fact is *unknown*, which is never "fine"."""

    value: Any
    observed_at: datetime | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class PatientView:
    """What a rule may know of a patient: no name, no identifier, no telephone."""

    id: int
    sex: Sex
    birth_date: date | None
    out_of_town: bool = False

    def age_on(self, day: date) -> int | None:
        """Whole years of age on a day, or None while the birth date is unknown."""
        if self.birth_date is None:
            return None
        before_birthday = (day.month, day.day) < (self.birth_date.month, self.birth_date.day)
        return day.year - self.birth_date.year - before_birthday


@dataclass(frozen=True, slots=True)
class EncounterView:
    """The visit to the hospital an order belongs to; needs are words such as wheelchair, stretcher, escort."""

    number: str
    encounter_class: EncounterClass
    ward: str = ""
    campus: str = ""
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ServiceView:
    """An item at a resource group: minutes already include the extra time for this encounter's needs."""

    item: str
    group: str
    campus: str
    zone: str
    minutes: int
    slice_minutes: int
    mode: BookingMode = BookingMode.AUTOMATIC


@dataclass(frozen=True, slots=True)
class GroupView:
    """Equal resources of one place: what they are (device, room, staff, bed, chair …) and where."""

    code: str
    name: str
    role: str
    department: str
    campus: str
    zone: str
    slice_minutes: int


@dataclass(frozen=True, slots=True)
class ExamItem:
    """A catalogue item with the attributes that rules read (contrast, sedation, fasting_hours, full_bladder …)."""

    code: str
    name: Text
    modality: str
    body_part: str
    department: str
    attributes: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class OrderItemView:
    """One ordered exam. `key` names it everywhere: order number, a slash, the line.

    `confirmed` maps the codes of findings that the doctor has confirmed to the reason he gave, which may be empty.
    """

    key: str
    item: ExamItem
    services: tuple[ServiceView, ...] = ()
    fills: Mapping[str, Any] = field(default_factory=_nothing)
    confirmed: Mapping[str, str] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as its executing department sees it: only that department's items are in `items`.

    `context` maps names of clinical facts (weight_kg, creatinine_umol_l, egfr, pregnant, metformin, …) to facts.
    """

    number: str
    encounter: EncounterView
    ordering_department: str
    priority: Priority
    ordered_at: datetime
    items: tuple[OrderItemView, ...]
    context: Mapping[str, Fact] = field(default_factory=_nothing)
    note: str = ""

    @property
    def urgent(self) -> bool:
        """Whether the exams may not wait: an emergency, or an order that is marked so."""
        return self.encounter.encounter_class is EncounterClass.EMERGENCY or self.priority is not Priority.ROUTINE

    def known(self, name: str) -> Any | None:
        """The value of a clinical fact, or None while it is unknown."""
        fact = self.context.get(name)
        return None if fact is None else fact.value


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """A fact about a patient that can open a gate: a passed assessment, an approval, a consent."""

    kind: str
    outcome: str
    observed_at: datetime
    valid_until: datetime | None = None
    scope: str = ""
    source: str = ""
    data: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Examination:
    """An exam the patient has had or will have, wherever it was booked."""

    item: ExamItem
    starts_at: datetime
    ends_at: datetime
    appointment: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of one order item: with its code, words, rule and source.

    `fill` carries `field` and `value`; `delay_until` carries `until`. What `needs_reason` is confirmed with one only.
    """

    kind: FindingKind
    code: str
    text: Text
    item: str
    rule: str = ""
    rule_version: str = ""
    source: str = ""
    field: str = ""
    value: Any = None
    until: datetime | None = None
    needs_reason: bool = False


@dataclass(frozen=True, slots=True)
class GateOpen:
    """This kind of gate is open for the item, until when (None: does not expire).

    `before_start` says what is still to be done on the day: it hinders no booking, but the patient is not called and
    the exam not started while it is there.
    """

    kind: str
    item: str
    until: datetime | None = None
    before_start: Text | None = None


@dataclass(frozen=True, slots=True)
class GateClosed:
    """This kind of gate is closed: why, what to do next, who does it, and whether the item may be paid."""

    kind: str
    item: str
    code: str
    reason: Text
    next_action: Text
    owner: str
    payable: bool = False


GateAnswer = GateOpen | GateClosed


@dataclass(frozen=True, slots=True)
class Selector:
    """Which exams a rule speaks of: every given field must match.

    A tuple means one of its values, and an attribute that is False means absent or false.
    """

    item: str | tuple[str, ...] = ""
    modality: str | tuple[str, ...] = ""
    body_part: str | tuple[str, ...] = ""
    department: str | tuple[str, ...] = ""
    attributes: Mapping[str, Any] = field(default_factory=_nothing)

    def matches(self, item: ExamItem) -> bool:
        named = (
            (self.item, item.code),
            (self.modality, item.modality),
            (self.body_part, item.body_part),
            (self.department, item.department),
        )
        if any(wanted and not _is_one_of(actual, wanted) for wanted, actual in named):
            return False
        return all(_is_one_of(item.attributes.get(name), value) for name, value in self.attributes.items())


def _is_one_of(actual: Any, wanted: Any) -> bool:
    if wanted is False:
        return not actual
    return actual in wanted if isinstance(wanted, tuple) else bool(actual == wanted)


@dataclass(frozen=True, slots=True)
class IntervalRule:
    """How two exams of one patient relate, whichever of them is ordered or booked first.

    EXCLUDE: the second starts at least `after` after the first ends; if it comes before the first, at least
    `before` lies between (zero: free). BEFORE: on one business day the first must end before the second starts.
    LAG: the second starts at least `after` and at most `within` after the first ends. SAME_DAY: both on one business day.
    COUNT: at most `limit` exams of `first` within any stretch of `within`. MERGE: held in one visit where a group offers
    both. REPLACE: the second repeats the first (the same item, with `same_item`) that was or will be held within `within`.

    `severity`: BLOCK is always kept, CONFIRM until somebody confirms the rule with a reason, HINT is only said.
    With `urgent_override` an urgent item may confirm a BLOCK too.
    """

    rule: str
    version: str
    first: Selector
    second: Selector
    relation: Relation
    text: Text
    severity: Severity = Severity.BLOCK
    after: timedelta = timedelta()
    before: timedelta = timedelta()
    source: str = ""
    within: timedelta = timedelta()
    limit: int = 0
    same_item: bool = False
    urgent_override: bool = False


@dataclass(frozen=True, slots=True)
class Preparation:
    """What the patient does before the exam; `lead` is how long it takes from being told."""

    code: str
    text: Text
    lead: timedelta = timedelta()
    fasting_hours: int = 0


@dataclass(frozen=True, slots=True)
class NoShow:
    """A visit the patient did not come to in time, and how often he was re-booked today; `arrived`: he is here now."""

    appointment: str
    patient: PatientView
    encounter: EncounterView
    items: tuple[OrderItemView, ...]
    starts_at: datetime
    noticed_at: datetime
    earlier_today: int = 0
    arrived: bool = False


@dataclass(frozen=True, slots=True)
class NoShowDecision:
    """What becomes of a no-show. SELF_REBOOK: until when, and how many times that day; whoever is here is re-booked."""

    action: NoShowAction
    text: Text
    code: str = ""
    rebook_until: datetime | None = None
    limit: int = 1
