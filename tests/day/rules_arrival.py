"""Arriving, queues, absences, deferrals, undoing, exams done one by one: in any order with everything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from examlane.arrival import calling, executing, queue, walkin
from examlane.arrival.executing import ExecutionReport
from examlane.errors import Conflict
from examlane.orders.patients import Identifier
from examlane.testing import TESTER
from tests.day.machine import PATIENTS, Day, Expected

DESK = replace(TESTER, desk=True)
GROUPS = ("US-N", "CT-N")
BACK = {"checked_in": "booked", "called": "checked_in", "called_absent": "checked_in", "deferred": "checked_in"}


class ArrivalRules(Day):
    """From the door to the exam."""

    @rule(group=st.sampled_from(GROUPS))
    def call_the_next(self, group: str) -> None:
        waiting = [one.number for one in queue.order(queue.entries(self.hospital, group), int(self.now().timestamp()))]
        try:
            called = calling.call_next(self.hospital, group, TESTER)
        except Conflict:
            return
        assert called.number == waiting[0]
        self.moves(self.of(called.number), "called")

    @rule(data=st.data())
    def call_in_vain(self, data: st.DataObject) -> None:
        item = self.pick(data, "checked_in", "called")
        items, number = self.together(item), self.number(item)
        group = self.group(number)
        before = self.line(group)
        calling.absent(self.hospital, number, TESTER)
        self.moves(items, "called_absent")
        assert [each for each in self.line(group) if each != number] == [each for each in before if each != number]

    @rule(data=st.data())
    def call_in_vain_by_mistake(self, data: st.DataObject) -> None:
        item = self.pick(data, "checked_in")
        number = self.number(item)
        group = self.group(number)
        before = self.line(group)
        calling.absent(self.hospital, number, TESTER)
        calling.undo(self.hospital, number, DESK, reason="误操作")
        assert self.line(group) == before

    @rule(data=st.data(), minutes=st.sampled_from((None, 10, 60)))
    def defer(self, data: st.DataObject, minutes: int | None) -> None:
        item = self.pick(data, "checked_in", "called")
        items, number = self.together(item), self.number(item)
        ready_at = self.now() + timedelta(minutes=minutes) if minutes else None
        calling.defer(self.hospital, number, TESTER, reason="bladder_not_full", ready_at=ready_at)
        self.moves(items, "deferred")
        assert number not in self.line(self.group(number))
        assert self.refused(lambda: calling.call(self.hospital, number, TESTER))
        assert self.refused(lambda: executing.report(self.hospital, number, ExecutionReport("started"), TESTER))

    @rule(data=st.data())
    def is_ready(self, data: st.DataObject) -> None:
        item = self.pick(data, "deferred", "called_absent")
        items = self.together(item)
        calling.ready(self.hospital, self.number(item), TESTER)
        self.moves(items, "checked_in")

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        item = self.pick(data, *BACK)
        items, (stands,) = self.together(item), item.stands
        calling.undo(self.hospital, self.number(item), DESK, reason="误操作")
        self.moves(items, BACK[stands])

    @rule(patient=st.sampled_from(PATIENTS), add_on=st.booleans())
    def come(self, patient: str, add_on: bool) -> None:
        """Whatever he has today is his now; the rest stands where it stood, or the rules keep him out."""
        if self.refused(lambda: walkin.come(self.hospital, Identifier("card", patient), (), DESK, add_on=add_on)):
            return
        for item in self.model.values():
            if self.one_person(item.patient, patient):
                item.stands = item.stands | {"checked_in", "no_show"}

    @rule(data=st.data(), reason=st.sampled_from(("unwell", "refused")))
    def is_not_done(self, data: st.DataObject, reason: str) -> None:
        item = self.pick(data, "in_progress", "checked_in", "called")
        items, number = self.together(item), self.number(item)
        executing.report(self.hospital, number, ExecutionReport("not_done", (item.key,), reason_code=reason), TESTER)
        left = ("not_done",) if reason == "refused" else ("booked", "no_time", "restricted", "awaiting_payment")
        self.moves([item], *left, "deceased", "awaiting_release")
        self.moves([each for each in items if each is not item], *items[0].stands if len(items) > 1 else ())

    @rule(data=st.data())
    def finish_one(self, data: st.DataObject) -> None:
        item = self.pick(data, "in_progress")
        said = ExecutionReport("finished", (item.key,))
        done = executing.report(self.hospital, self.number(item), said, TESTER)
        assert executing.report(self.hospital, done.number, said, TESTER) == done
        self.moves([item], done.state)

    # What this area asks

    def of(self, number: str) -> list[Expected]:
        return [each for each in self.model.values() if self.world.item(each.key).appointment == number]

    def group(self, number: str) -> str:
        return str(
            self.world.database.value(
                "SELECT g.code FROM appointment a JOIN resource_group g ON g.id = a.group_id WHERE a.number = ?", number
            )
        )

    def line(self, group: str) -> list[str]:
        return [place.entry.number for place in queue.read(self.hospital, group).waiting]

    @invariant()
    def everybody_who_waits_has_one_place(self) -> None:
        for group in GROUPS:
            found = queue.read(self.hospital, group)
            numbers = [place.entry.number for place in found.waiting]
            assert len(numbers) == len(set(numbers))
            assert [place.expected_at for place in found.waiting] == sorted(place.expected_at for place in found.waiting)
