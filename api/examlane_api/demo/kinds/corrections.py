"""Patients whose order was wrong, changed, or paid otherwise than expected."""

from __future__ import annotations

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind
from examlane_api.demo.kinds.ordinary import ABDOMEN, BREAST, NODES, THYROID


def reissued(draft: Draft) -> None:
    """The department sends the order back; the doctor's new one takes the place over, and what was paid with it."""
    old = draft.order("SUR", (ABDOMEN,))[0]
    draft.pay([old], after=5)
    draft.request(f"/orders/{old}/return", 12, {"reason": "部位与申请不符"}, caller="desk")
    draft.reissue(old, 20)


def refunded_in_part(draft: Draft) -> None:
    """One of several ultrasound parts is refunded: the visit stays, shorter."""
    draft.person(sex="female")
    number = draft.order("SUR", (THYROID, NODES, BREAST))[0]
    draft.pay([number], after=4)
    body = {"order": number, "kind": "requested", "at": draft.at(15), "lines": [3]}
    draft.request("/refunds", 15, body)
    draft.expected[f"{number}/3"] = "refund_requested"


def pays_twice(draft: Draft) -> None:
    """Paid at the window and by telephone: booked once, the cashier refunds one payment."""
    number = draft.order("SUR", (ABDOMEN,))[0]
    draft.pay([number], after=4)
    draft.pay([number], after=9)


def changed_by_the_doctor(draft: Draft) -> None:
    """The doctor adds a note and a second exam to an order that is booked: the first visit stays."""
    number = draft.order("SUR", (THYROID,))[0]
    draft.pay([number], after=4)
    lines = [{"line": 1, "item": THYROID}, {"line": 2, "item": NODES}]
    draft.request(f"/orders/{number}/changes", 14, {"note": "右侧结节复查", "items": lines})
    draft.expected[f"{number}/2"] = "awaiting_payment"


KINDS = (
    Kind("reissued", 0.006, Text("退回后重新开单，沿用原号源", "sent back and ordered anew: keeps the place"), reissued),
    Kind("refunded_in_part", 0.004, Text("合单中一项退费", "one part of a merged visit refunded"), refunded_in_part),
    Kind("pays_twice", 0.004, Text("重复缴费", "pays twice"), pays_twice),
    Kind("changed_by_the_doctor", 0.004, Text("医生修改申请单", "the doctor changes the order"), changed_by_the_doctor),
)  # fmt: skip
