"""Orders sent back, re-issued, changed and refunded, in any order with everything else."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from examlane import EncounterClass, Sex, reporting
from examlane.corrections import order_changes, refunds, withdrawing
from examlane.corrections.order_changes import OrderChange
from examlane.corrections.refunds import RefundData
from examlane.orders.intake import EncounterData, OrderData, OrderLine
from examlane.orders.patients import Identifier, PatientData
from examlane.testing import TESTER
from tests.day.machine import ITEMS, REPEATED, Day, Expected

AS_ORDERED = frozenset({"awaiting_payment", "awaiting_release", "deceased"})
"""A new order of an inpatient waits for its ward."""
SEATED = ("booked", "checked_in", "called", "called_absent")


class OrderRules(Day):
    """What becomes of orders after they were sent."""

    def order_of(self, item: Expected) -> str:
        return item.key.partition("/")[0]

    @rule(data=st.data())
    def send_back(self, data: st.DataObject) -> None:
        item = self.pick(data, *SEATED)
        withdrawing.send_back(self.hospital, self.order_of(item), (), TESTER, reason="资料不全")
        self.moves([item], "held", "sent_back")
        item.notes["withdrawn"] = True

    @rule(data=st.data())
    def void_for_good(self, data: st.DataObject) -> None:
        item = self.pick(data, *SEATED)
        withdrawing.void(self.hospital, self.order_of(item), (), TESTER, reason="不再需要", reissue=False)
        self.moves([item], "voided")

    @rule(data=st.data(), exam=st.sampled_from(ITEMS))
    def reissue(self, data: st.DataObject, exam: str) -> None:
        old = self.pick(data, "held", "booked")
        if old.notes.get("replaced") or (old.stands == {"held"} and not old.notes.get("withdrawn")):
            return
        number = f"R{next(self.numbers)}"
        confirmed, reason = REPEATED["confirmed"], REPEATED["confirm_reason"]
        order = OrderData(
            number=number,
            patient=PatientData((Identifier("card", old.patient),), "患者", Sex.FEMALE),
            encounter=EncounterData(f"V-{old.patient}", EncounterClass.OUTPATIENT, campus="N"),
            ordering_department="CLINIC",
            ordered_at=self.now(),
            lines=(OrderLine(1, exam, confirmed, str(reason)),),
            replaces=self.order_of(old),
            carry_payment=False,
        )
        reporting.submit_order(self.hospital, order, TESTER)
        self.moves([old], "held", "voided", "sent_back", "reissued")
        old.notes["withdrawn"] = old.notes["replaced"] = True
        self.model[f"{number}/1"] = Expected(f"{number}/1", old.patient, AS_ORDERED)

    @rule(data=st.data())
    def pay(self, data: st.DataObject) -> None:
        item = self.pick(data, "awaiting_payment")
        self.world.pay(self.order_of(item))
        item.paid = True
        item.stands = self.stands_once_paid(item)
        for old in self.model.values():
            if old.notes.get("replaced") and "held" in old.stands:
                old.stands = frozenset({"held", "reissued"})

    @rule(data=st.data())
    def ask_for_a_refund(self, data: st.DataObject) -> None:
        item = self.pick(data, *SEATED)
        refunds.report(self.hospital, RefundData(self.order_of(item), refunds.REQUESTED, self.now()), TESTER)
        self.moves([item], "refund_requested", "awaiting_release")

    @rule(data=st.data())
    def take_the_refund_back(self, data: st.DataObject) -> None:
        item = self.pick(data, "refund_requested")
        refunds.report(self.hospital, RefundData(self.order_of(item), refunds.WITHDRAWN, self.now()), TESTER)
        item.stands = self.stands_once_paid(item)

    @rule(data=st.data())
    def change_the_note(self, data: st.DataObject) -> None:
        item = self.pick(data, "booked", "awaiting_payment", "checked_in")
        found = order_changes.change(self.hospital, OrderChange(self.order_of(item), note="左侧"), TESTER)
        assert [each.outcome for each in found] == ["kept"]

    def periodic_work(self) -> None:
        withdrawing.expire(self.hospital)
        for item in self.model.values():
            if item.notes.get("withdrawn") and "held" in item.stands:
                item.stands = item.stands | {"not_reissued"}
        super().periodic_work()
