"""Arrivals of the morning: with a queue number, called in vain, not ready, at the bedside, an emergency without an order."""

from __future__ import annotations

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind
from examlane_api.demo.kinds.ordinary import CHEST_XRAY, ECG, HEAD_CT

BEDSIDE_ECG = "320300001-B"


def walks_in(draft: Draft) -> None:
    """An X-ray needs no appointment: a number, called in vain, here again, examined."""
    number = draft.order("RES", (CHEST_XRAY,), expect="booked")[0]
    draft.pay([number], after=4)
    came = {"patient": draft.identifiers[0], "items": [f"{number}/1"]}
    draft.request("/arrivals", 12, came, caller="desk")
    draft.request(f"/appointments/{{{number}}}/call", 15, {"absent": True})
    draft.request(f"/appointments/{{{number}}}/ready", 18)
    draft.request(f"/appointments/{{{number}}}/execution", 22, {"state": "finished"})


def not_ready(draft: Draft) -> None:
    """His heart beats too fast for the exam: he waits, and has his place again."""
    number = draft.order("CAR", (ECG,))[0]
    draft.pay([number], after=4)
    draft.request(f"/appointments/{{{number}}}/check-in", 10, caller="desk")
    draft.request(f"/appointments/{{{number}}}/deferral", 12, {"reason": "heart_rate_too_fast"})
    draft.request(f"/appointments/{{{number}}}/ready", 20)
    draft.request(f"/appointments/{{{number}}}/execution", 24, {"state": "finished"})


def examined_at_the_bedside(draft: Draft) -> None:
    number = draft.order("IM", (BEDSIDE_ECG,), encounter="inpatient", verified=True, expect="booked")[0]
    draft.request(f"/orders/{number}/items/1/bedside", 15, {"state": "started"})
    draft.request(f"/orders/{number}/items/1/bedside", 25, {"state": "finished"})


def nobody_knows_him(draft: Draft) -> None:
    """An accident, before order, payment and name. His neighbour of the same ambulance has an order."""
    draft.order("EME", (HEAD_CT,), encounter="emergency", priority="stat")
    found = {"department": "EME", "items": [HEAD_CT], "reason": "车祸，昏迷", "campus": "NORTH", "ward": "急诊"}
    draft.request("/emergencies", 2, found, caller="desk")


KINDS = (
    Kind("walks_in", 0.004, Text("拍片取号，过号后返回", "an X-ray with a queue number, called in vain once"), walks_in,
         comes=False),
    Kind("not_ready", 0.004, Text("心率过快，暂缓后检查", "heart rate too fast: deferred, then examined"), not_ready,
         comes=False),
    Kind("examined_at_the_bedside", 0.004, Text("床旁心电图", "an ECG at the bedside"), examined_at_the_bedside,
         comes=False),
    Kind("nobody_knows_him", 0.004, Text("急诊，无申请单无身份", "an emergency without order and name"), nobody_knows_him,
         arrival=(5, 110)),
)  # fmt: skip
