"""Patients who wait for an earlier time, and who cannot be reached by message."""

from __future__ import annotations

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind
from examlane_api.demo.kinds.ordinary import HEART, THYROID

HORIZON_DAYS = 27


def waits_for_an_earlier_time(draft: Draft) -> None:
    """Takes the last time, and agrees to be moved unasked to an earlier one that comes free."""
    number = draft.order("CAR", (HEART,))[0]
    draft.pay([number], after=5)
    draft.move(number, after=12)
    limits = {"from": draft.day(0), "until": draft.day(HORIZON_DAYS), "automatic": True}
    draft.request("/waiting", 15, {"appointment": f"{{{number}}}", **limits}, caller="desk")


def cannot_be_reached(draft: Draft) -> None:
    """Left no telephone number: the booking stands, and somebody must tell him."""
    draft.person(phone=False)
    number = draft.order("SUR", (THYROID,))[0]
    draft.pay([number], after=6)
    draft.expected[f"call {number}"] = "to_be_called"


KINDS = (
    Kind("waits_for_an_earlier_time", 0.004, Text("候补更早的时间", "waits for an earlier time"),
         waits_for_an_earlier_time),
    Kind("cannot_be_reached", 0.004, Text("无电话，列入电话清单", "no telephone: on the call list"), cannot_be_reached,
         comes=False, arrival=(200, 235)),
)  # fmt: skip
