"""Rules of no-shows: marked, withdrawn, entered from paper; sources that go offline and come back; restrictions."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from examlane.appointments import status
from examlane.arrival import attendance, noshow, repeated
from examlane.capacity import policy
from examlane.storage.fields import epoch
from examlane.testing import TESTER
from tests.day.machine import Day, Expected

DESK = replace(TESTER, desk=True)


class NoShowRules(Day):
    """No-shows of ultrasound, which restricts after two missed visits; CT has no such rule."""

    @initialize()
    def choose_a_policy(self) -> None:
        chosen = {"no_show_limit": 2, "restriction_days": 3, "paper_check_in_minutes": 20, "grace_minutes": 5}
        policy.set_policy(self.world.database, "US", chosen, TESTER, epoch(self.now()))

    @rule(data=st.data())
    def mark_a_no_show(self, data: st.DataObject) -> None:
        item = self.pick(data, "booked", "checked_in", "called_absent")
        items = self.together(item)
        noshow.mark(self.hospital, self.number(item), TESTER)
        self.moves(items, "no_show")

    @rule(data=st.data(), here=st.booleans())
    def withdraw_a_no_show(self, data: st.DataObject, here: bool) -> None:
        item = self.pick(data, "no_show")
        items = self.together(item)
        if self.refused(lambda: noshow.withdraw(self.hospital, self.number(item), TESTER, reason="误判", here=here)):
            return
        self.moves(items, *(["checked_in"] if here else ["booked", "no_time", "restricted", "deceased"]))
        self.others_may_be_booked()

    @rule(data=st.data())
    def enter_paper(self, data: st.DataObject) -> None:
        """He had come in time: whatever was recorded, he is here."""
        item = self.pick(data, "booked", "no_show")
        items, number = self.together(item), self.number(item)
        came = status.appointment(self.hospital, number).starts_at
        assume(came <= self.now())
        if not self.refused(lambda: noshow.arrive(self.hospital, number, TESTER, at=came)):
            self.moves(items, "checked_in")
            self.others_may_be_booked()

    @rule(department=st.sampled_from(("US", "CT")), online=st.booleans())
    def declare_a_source(self, department: str, online: bool) -> None:
        state = "online" if online else "offline"
        self.refused(lambda: attendance.declare(self.hospital, department, state, TESTER))

    @rule(data=st.data(), lifted=st.booleans())
    def decide_an_appeal(self, data: st.DataObject, lifted: bool) -> None:
        found = repeated.restrictions(self.hospital)
        assume(found)
        key = data.draw(st.sampled_from(found)).id
        self.refused(lambda: repeated.appeal(self.hospital, key, TESTER, reason="有异议"))
        repeated.decide(self.hospital, key, "lifted" if lifted else "upheld", DESK, reason="已核实")
        self.others_may_be_booked()

    def stands_once_paid(self, item: Expected) -> frozenset[str]:
        return super().stands_once_paid(item) | {"restricted"}

    @rule()
    def restrictions_are_reviewed(self) -> None:
        repeated.review(self.hospital)
        self.others_may_be_booked()

    def others_may_be_booked(self) -> None:
        """A restriction may have ended: what it kept at the desk is booked at the next plan."""
        for item in self.model.values():
            if "restricted" in item.stands:
                item.stands = item.stands | {"booked", "no_time"}
