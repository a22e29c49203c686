"""An external system books, moves, cancels and reports, and departments go live and back, in any order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import rule

from examlane.appointments import status
from examlane.domain import DepartmentMode
from examlane.golive import received, switching
from examlane.golive.received import Received, Report
from examlane.orders.patients import Identifier, PatientData
from examlane.testing import TESTER
from tests.day.machine import Day, Expected

RESOURCES = ("US-N-1", "US-N-2", "CT-N-1", "NOBODY-KNOWS")
HOURS = st.integers(min_value=1, max_value=80)


class GoLive(Day):
    """What another system does. Its numbers are kept in the notes of the item that it booked."""

    def told(self, item: Expected, state: str, **more: Any) -> Received:
        item.notes["sequence"] = item.notes.get("sequence", 0) + 1
        data = Report(
            system="RIS", number=item.notes["external"], state=state, sequence=item.notes["sequence"],
            patient=PatientData((Identifier("card", item.patient),), ""), sent_at=self.now(), orders=(item.key,), **more,
        )  # fmt: skip
        return received.receive(self.hospital, data, TESTER)

    def of_the_other_system(self, data: st.DataObject, *stands: str) -> Expected:
        known = [each for each in self.model.values() if "external" in each.notes and each.stands <= set(stands)]
        assume(known)
        return data.draw(st.sampled_from(known))

    def is_external(self, item: Expected) -> bool:
        return status.appointment(self.hospital, self.number(item)).mode == "external"

    @rule(data=st.data(), hours=HOURS, resource=st.sampled_from(RESOURCES))
    def another_system_books(self, data: st.DataObject, hours: int, resource: str) -> None:
        item = self.pick(data, "awaiting_payment")
        item.notes.setdefault("external", f"E{next(self.numbers)}")
        self.told(item, "booked", starts_at=self.now() + timedelta(hours=hours), resource=resource)
        self.moves([item], "booked")

    @rule(data=st.data(), hours=HOURS, resource=st.sampled_from(RESOURCES))
    def another_system_moves(self, data: st.DataObject, hours: int, resource: str) -> None:
        item = self.of_the_other_system(data, "booked")
        number, ours = self.number(item), not self.is_external(item)
        before = status.appointment(self.hospital, number).starts_at
        self.told(item, "booked", starts_at=self.now() + timedelta(hours=hours), resource=resource)
        assert self.number(item) == number
        assert not ours or status.appointment(self.hospital, number).starts_at == before

    @rule(data=st.data())
    def another_system_cancels(self, data: st.DataObject) -> None:
        item = self.of_the_other_system(data, "booked")
        stands = "cancelled" if self.is_external(item) else "booked"
        items = self.together(item)
        self.told(item, "cancelled")
        self.moves(items, stands)

    @rule(data=st.data())
    def another_system_reports_the_exam(self, data: st.DataObject) -> None:
        item = self.of_the_other_system(data, "booked", "no_show", "in_progress")
        items = self.together(item)
        self.told(item, "executed")
        self.moves(items, "fulfilled")

    @rule(data=st.data())
    def an_old_report_comes_late(self, data: st.DataObject) -> None:
        item = self.of_the_other_system(data, "booked", "cancelled", "fulfilled")
        last = item.notes["sequence"]
        item.notes["sequence"] = -1
        assert self.told(item, "cancelled").result == "outdated"
        item.notes["sequence"] = last

    @rule(department=st.sampled_from(("US", "CT")))
    def a_department_goes_back_and_live_again(self, department: str) -> None:
        for mode in (DepartmentMode.EXTERNAL, DepartmentMode.AUTOMATIC):
            switching.switch(self.hospital, department, mode, TESTER)
