"""A check-up group between all other commands: its quota holds, and nobody else's visit moves."""

from __future__ import annotations

import itertools
from datetime import timedelta

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import rule

from examlane import Sex
from examlane.checkups import contracts, group_days
from examlane.checkups.contracts import ContractData
from examlane.orders.patients import Identifier, PatientData
from examlane.testing import TESTER
from tests.day.machine import Day


class CheckupRules(Day):
    """The model knows no item of a group: the invariants say what holds of it."""

    def __init__(self) -> None:
        super().__init__()
        self.members = itertools.count(1)
        today = self.hospital.calendar.day_of(self.now())
        days = (today + timedelta(days=1), today + timedelta(days=3))
        contracts.create(self.hospital, ContractData("G1", "某单位", (("US-THYROID", ""),), {"N": 1}, *days), TESTER)

    def member(self, data: st.DataObject, *states: str) -> int:
        known = [one.id for one in group_days.read(self.hospital, "G1").people if one.state in states]
        assume(known)
        return data.draw(st.sampled_from(known))

    @rule()
    def a_member_is_listed_and_booked(self) -> None:
        who = PatientData((Identifier("card", f"G{next(self.members)}"),), "员工", Sex.FEMALE)
        contracts.add_people(self.hospital, "G1", [who], TESTER)
        group_days.book(self.hospital, "G1", TESTER)

    @rule(data=st.data())
    def two_members_exchange_their_days(self, data: st.DataObject) -> None:
        one, two = self.member(data, "booked"), self.member(data, "booked")
        self.refused(lambda: group_days.swap(self.hospital, "G1", one, two, TESTER))

    @rule(data=st.data())
    def a_member_leaves(self, data: st.DataObject) -> None:
        group_days.leave(self.hospital, "G1", [self.member(data, "booked", "desk")], TESTER, reason="离职")
