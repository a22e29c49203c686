"""Suspensions in the ordinary day: a device, a roster or a day falls away and comes back, between all other commands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import rule

from examlane.errors import InvalidInput
from examlane.replanning import closing, suspensions
from examlane.replanning.closing import Asked
from examlane.testing import TESTER
from tests.day.machine import HERE, WITHDRAWN, Day


class Suspending(Day):
    """Beside the model: who is booked may be moved or suspended, who is here stays, who is held is not."""

    def __init__(self) -> None:
        super().__init__()
        self.suspensions: list[str] = []

    @rule(
        resource=st.sampled_from(("US-N-1", "US-S-1", "CT-N-1")), hours=st.sampled_from((1, 6, 60)),
        kind=st.sampled_from(("device_down", "staff_absent")),
    )  # fmt: skip
    def suspend(self, resource: str, hours: int, kind: str) -> None:
        since = self.now()
        self.apply(Asked(kind, "检修", resource, since=since, until=since + timedelta(hours=hours)))

    @rule(kind=st.sampled_from(("replaced", "swapped", "holiday", "workday")), days=st.integers(0, 3))
    def change_the_day(self, kind: str, days: int) -> None:
        day = self.hospital.calendar.day_of(self.now()) + timedelta(days=days)
        pair: dict[str, Any] = {"resource": "US-N-1", "other": "US-N-2"} if kind in ("replaced", "swapped") else {}
        weekday = {"weekday": 2} if kind == "workday" else {}
        self.apply(Asked(kind, "换班", day=day, **pair, **weekday))

    def apply(self, asked: Asked) -> None:
        try:
            planned = closing.plan(self.hospital, asked)
        except InvalidInput:  # the day of a roster that is over
            return
        self.suspensions.append(suspensions.apply(self.hospital, planned, TESTER).number)
        self.may_be_suspended()

    @rule(data=st.data(), move_back=st.booleans())
    def end_a_suspension(self, data: st.DataObject, move_back: bool) -> None:
        assume(self.suspensions)
        number = data.draw(st.sampled_from(self.suspensions))
        suspensions.end(self.hospital, number, TESTER, move_back=move_back)
        for item in self.model.values():
            if item.stands == {"suspended"}:
                item.stands = frozenset({"suspended", "booked"})
        self.may_be_suspended()

    def may_be_suspended(self) -> None:
        """Nobody is cancelled by it, and nobody who is here is touched."""
        for item in self.model.values():
            if "booked" in item.stands and not item.stands & HERE:
                item.stands = item.stands | {"suspended"}
            if item.stands == {"held"}:  # a place of an order that is withdrawn is kept no longer
                item.stands = item.stands | WITHDRAWN
