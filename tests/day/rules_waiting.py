"""Waiting list, freed times and reminders beside the model: whoever gets a time stands as booked, nobody else moves."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from examlane.appointments import changes, choosing
from examlane.capacity import policy
from examlane.reminders import call_list, reminders
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import TESTER
from examlane.waiting import backfill, offers, waitlist
from examlane.waiting.waitlist import EntryData
from tests.day.machine import Day


class Waiting(Day):
    """Patients wait, seats come free, offers are made and answered, the worker tells and returns."""

    @initialize(minutes=st.sampled_from((0, 60)))
    def choose_policy(self, minutes: int) -> None:
        database, now = self.world.database, epoch(self.now())
        policy.set_policy(database, "US", {"cancelled_seat_delay_minutes": minutes}, TESTER, now)
        database.write(lambda: database.insert(Peer, code="GATEWAY", event_types='["patient.message"]', created_at=now))

    @rule(data=st.data(), days=st.integers(1, 5))
    def take_a_later_day(self, data: st.DataObject, days: int) -> None:
        item = self.pick(data, "booked")
        since = self.now() + timedelta(days=days)
        times = choosing.times(self.hospital, appointment=self.number(item), since=since, limit=3)
        assume(times)
        time = data.draw(st.sampled_from(times))
        choosing.reschedule(self.hospital, self.number(item), time.group, time.starts_at, TESTER)

    @rule(data=st.data(), automatic=st.booleans())
    def wait_for_an_earlier_time(self, data: st.DataObject, automatic: bool) -> None:
        item = self.pick(data, "booked")
        self._wait(EntryData(*self._days(), appointment=self.number(item), notice_minutes=0, automatic=automatic))

    @rule(data=st.data(), automatic=st.booleans())
    def wait_for_any_time(self, data: st.DataObject, automatic: bool) -> None:
        item = self.pick(data, "cancelled", "no_time")
        self._wait(EntryData(*self._days(), items=(item.key,), notice_minutes=0, automatic=automatic))

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        item = self.pick(data, "booked")
        items = self.together(item)
        changes.cancel(self.hospital, self.number(item), TESTER, reason="患者要求", by_patient=True)
        self.moves(items, "cancelled")

    @rule()
    def freed_times_find_takers(self) -> None:
        waiting = self._waiting()
        backfill.turn(self.hospital)
        for key in waiting:
            self.model[key].stands |= {"booked"}

    @rule(data=st.data(), accepts=st.booleans())
    def answer(self, data: st.DataObject, accepts: bool) -> None:
        rows = self.world.database.rows("SELECT id, entry_id FROM offer WHERE state = 'open' ORDER BY id")
        assume(rows)
        offer, entry = data.draw(st.sampled_from(rows))
        keys = waitlist.entry_of(self.world.database, entry).items
        if not accepts:
            self.refused(lambda: offers.decline(self.hospital, offer, TESTER))
        elif not self.refused(lambda: offers.accept(self.hospital, offer, TESTER)):
            self.moves([self.model[key] for key in keys], "booked")

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        rows = self.world.database.rows("SELECT id FROM waiting_entry WHERE ended_at IS NULL ORDER BY id")
        assume(rows)
        waitlist.withdraw(self.hospital, data.draw(st.sampled_from(rows))[0], TESTER)

    @rule()
    def patients_are_told(self) -> None:
        reminders.turn(self.hospital)
        late = "SELECT count(*) FROM reminder WHERE state = 'pending' AND due_at <= ?"
        assert self.world.database.value(late, epoch(self.now())) == 0

    @rule(data=st.data(), outcome=st.sampled_from(call_list.RESULTS))
    def call(self, data: st.DataObject, outcome: str) -> None:
        calls = call_list.calls(self.world.database, [], self.now(), 0, 50)
        assume(calls)
        call_list.result(self.hospital, data.draw(st.sampled_from(calls)).id, outcome, TESTER)

    def periodic_work(self) -> None:
        super().periodic_work()
        self.freed_times_find_takers()
        self.patients_are_told()

    def _days(self) -> tuple[object, object]:
        today = self.now().date()
        return today, today + timedelta(days=6)

    def _wait(self, data: EntryData) -> None:
        self.refused(lambda: waitlist.join(self.hospital, data, TESTER))

    def _waiting(self) -> list[str]:
        """Items that may be booked without being asked for."""
        rows = self.world.database.rows(
            "SELECT oi.key FROM waiting_item i JOIN waiting_entry w ON w.id = i.entry_id "
            "JOIN order_item oi ON oi.id = i.order_item_id WHERE w.state = 'active' AND w.automatic = 1"
        )
        return [key for (key,) in rows]
