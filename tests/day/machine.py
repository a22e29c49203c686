"""The ordinary day as a state machine: commands in any order beside a model of what they must do.

Each area adds a class of rules of its own (`rules_<area>.py`); `test_any_order.py` plays them all together, on both
databases. The model knows of every order item whether it may be booked and where it stands; after every step each
item stands where the model says, and every invariant holds.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import wraps
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from hypothesis.stateful import RULE_MARKER, RuleBasedStateMachine, initialize, invariant, rule

from examlane.appointments import booking, changes, choosing
from examlane.arrival import noshow
from examlane.errors import InvalidInput, NotFound, Refused
from examlane.insight import invariants
from examlane.orders import patients
from examlane.orders.patients import Identifier
from examlane.testing import TESTER, World, small_hospital

ITEMS = ("US-THYROID", "US-HEART", "CT-HEAD")
PATIENTS = ("P1", "P2", "P3")
REPEATED = {"confirmed": ("core.repeated_order",), "confirm_reason": "复查"}
WITHDRAWN = frozenset({"sent_back", "voided", "not_reissued", "reissued"})
HERE = frozenset({"checked_in", "called", "called_absent", "deferred", "in_progress"})


@dataclass
class Expected:
    """What the model holds of one order item: `stands` are the places where it may be found now."""

    key: str
    patient: str
    stands: frozenset[str]
    paid: bool = False
    notes: dict[str, Any] = field(default_factory=dict)


def _or_left_out(step: Callable[..., None]) -> Callable[..., None]:
    @wraps(step)
    def played(*given: Any, **drawn: Any) -> None:
        with suppress(UnsatisfiedAssumption):
            step(*given, **drawn)

    played.may_be_left_out = True  # type: ignore[attr-defined]
    return played


class Day(RuleBasedStateMachine):
    """The hospital, the model, and the commands that were there first."""

    open_url: Callable[[], str]
    """Makes the address of a new, empty database; set by the test."""

    def __init_subclass__(cls, **more: Any) -> None:
        """A step whose assumption does not hold is left out; by itself Hypothesis would give up the whole sequence."""
        super().__init_subclass__(**more)
        for _, method in inspect.getmembers(cls, inspect.isfunction):
            found = getattr(method, RULE_MARKER, None)
            if found is not None and not hasattr(found.function, "may_be_left_out"):
                setattr(method, RULE_MARKER, replace(found, function=_or_left_out(found.function)))

    def __init__(self) -> None:
        super().__init__()
        self.world: World = small_hospital(type(self).open_url(), days=7, planning_window=timedelta())
        self.model: dict[str, Expected] = {}
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        self.world.hospital.close()

    # What every area needs

    @property
    def hospital(self) -> Any:
        return self.world.hospital

    def pick(self, data: st.DataObject, *stands: str) -> Expected:
        """One item that certainly stands at one of these places; the step is left out where there is none."""
        known = [each for each in self.model.values() if each.stands <= set(stands)]
        assume(known)
        return data.draw(st.sampled_from(known))

    def where(self, expected: Expected) -> str:
        """Where an item is: its appointment's state, or else its reason or state."""
        found = self.world.item(expected.key)
        return str(found.appointment_state or found.reason or found.state)

    def number(self, expected: Expected) -> str:
        return str(self.world.item(expected.key).appointment)

    def together(self, expected: Expected) -> list[Expected]:
        """The items of the same appointment, this one included."""
        number = self.number(expected)
        return [each for each in self.model.values() if self.world.item(each.key).appointment == number]

    def moves(self, items: list[Expected], *stands: str) -> None:
        for each in items:
            each.stands = frozenset(stands)

    def one_person(self, one: str, other: str) -> bool:
        """Whether two cards are one patient's by now."""
        found = [patients.find(self.hospital.database, [Identifier("card", each)]) for each in (one, other)]
        return found[0] == found[1]

    def refused(self, act: Callable[[], Any]) -> bool:
        """Whether a command is refused, as a person may foresee; anything else that is raised fails the test."""
        try:
            act()
        except (Refused, InvalidInput, NotFound):
            return True
        return False

    def stands_once_ordered(self, patient: str) -> frozenset[str]:
        """Where a new order of a patient may stand."""
        return frozenset({"awaiting_payment"})

    def stands_once_paid(self, item: Expected) -> frozenset[str]:
        """Where an item that is paid now may stand."""
        return frozenset({"booked", "no_time"})

    def times_for(self, item: Expected) -> list[choosing.Time]:
        """Some times for an item that a patient may choose, or none where he may not book it."""
        try:
            return choosing.times(self.hospital, items=[item.key], limit=3)
        except Refused:
            return []

    def now(self) -> Any:
        return self.world.clock.now()

    # The commands that were there first

    @initialize()
    def begin(self) -> None:
        """Some are booked already, so that most steps find somebody to happen to."""
        self.world.later(minutes=1)
        for patient in PATIENTS:
            for item in ITEMS:
                number = self.world.order(item, patient=patient, **REPEATED)
                self.world.pay(number)
                self.model[f"{number}/1"] = Expected(f"{number}/1", patient, frozenset({"booked"}), paid=True)

    @rule(patient=st.sampled_from(PATIENTS), item=st.sampled_from(ITEMS))
    def order(self, patient: str, item: str) -> None:
        number = self.world.order(item, patient=patient, **REPEATED)
        self.model[f"{number}/1"] = Expected(f"{number}/1", patient, self.stands_once_ordered(patient))

    @rule(data=st.data())
    def pay(self, data: st.DataObject) -> None:
        item = self.pick(data, "awaiting_payment")
        self.world.pay(item.key.partition("/")[0])
        item.paid = True
        item.stands = self.stands_once_paid(item)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        item = self.pick(data, "booked")
        items = self.together(item)
        changes.cancel(self.hospital, self.number(item), TESTER, reason="患者要求")
        self.moves(items, "cancelled")

    @rule(data=st.data())
    def book_again(self, data: st.DataObject) -> None:
        item = self.pick(data, "cancelled")
        times = self.times_for(item)
        assume(times)
        choosing.book(self.hospital, [item.key], times[-1].group, times[-1].starts_at, TESTER)
        self.moves([item], "booked")

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        item = self.pick(data, "booked")
        times = choosing.times(self.hospital, appointment=self.number(item), limit=4)
        assume(times)
        choosing.reschedule(self.hospital, self.number(item), times[-1].group, times[-1].starts_at, TESTER)

    @rule(data=st.data())
    def check_in(self, data: st.DataObject) -> None:
        item = self.pick(data, "booked")
        items = self.together(item)
        changes.check_in(self.hospital, self.number(item), TESTER)
        self.moves(items, "checked_in")

    @rule(data=st.data(), absent=st.booleans())
    def call(self, data: st.DataObject, absent: bool) -> None:
        item = self.pick(data, "checked_in", "called_absent")
        assume(not (absent and item.stands == {"called_absent"}))
        items = self.together(item)
        changes.call(self.hospital, self.number(item), TESTER, absent=absent)
        self.moves(items, "called_absent" if absent else "called")

    @rule(data=st.data())
    def examine(self, data: st.DataObject) -> None:
        item = self.pick(data, "checked_in", "called")
        items = self.together(item)
        changes.execution(self.hospital, self.number(item), "started", TESTER)
        self.moves(items, "in_progress")

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        item = self.pick(data, "in_progress", "booked", "no_show")
        items = self.together(item)
        changes.execution(self.hospital, self.number(item), "finished", TESTER)
        self.moves(items, "fulfilled")

    @rule(minutes=st.sampled_from((5, 30, 240, 1440)))
    def time_passes(self, minutes: int) -> None:
        self.world.later(minutes=minutes)
        noshow.sweep(self.hospital)
        for item in self.model.values():
            if "booked" in item.stands:
                item.stands = item.stands | {"no_show"}
        self.periodic_work()

    def periodic_work(self) -> None:
        """What the worker of an area does when time has passed; each area's part calls the next one's."""

    @rule()
    def the_worker_turns(self) -> None:
        booking.settle_due(self.hospital)
        changes.expire_holds(self.hospital, TESTER)
        changes.expire_tentative(self.hospital, TESTER)

    # What holds after every step

    @invariant()
    def every_item_stands_where_the_model_says(self) -> None:
        for item in self.model.values():
            found = self.where(item)
            assert found in item.stands, (item.key, found, sorted(item.stands))
            item.stands = frozenset({found})

    @invariant()
    def nothing_is_broken(self) -> None:
        assert [each.id for each in invariants.check(self.world.database, clock=self.world.clock)] == []
