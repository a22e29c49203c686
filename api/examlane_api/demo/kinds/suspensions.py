"""Patients whose place falls away: a device is down while they are on their way."""

from __future__ import annotations

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind

BONE_DENSITY, ONLY_DEVICE = "NM1002", "NM-NORTH-DXA-1"
PAYS, BREAKS, REPAIRED = 4, 9, 249
"""Minutes after the patient's arrival."""


def device_down(draft: Draft) -> None:
    """The only device of its kind is down for four hours, and the visit moves to the first time after that."""
    draft.pay(draft.order("SUR", (BONE_DENSITY,), expect="moved"), after=PAYS)
    body = {
        "kind": "device_down", "resource": ONLY_DEVICE, "from": draft.at(BREAKS), "until": draft.at(REPAIRED),
        "reason": "高压发生器故障",
    }  # fmt: skip
    draft.request("/suspensions", BREAKS, body, caller="desk")


KINDS = (
    Kind("device_down", 0.002, Text("设备停用，自动改约", "the device is down: moved by itself"), device_down),
)  # fmt: skip
