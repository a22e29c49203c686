"""A unit's people who come by a check-up contract."""

from __future__ import annotations

from datetime import datetime, timedelta

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind
from examlane_api.demo.kinds.ordinary import ABDOMEN, THYROID


def group_member(draft: Draft) -> None:
    """A unit's contract is entered in the morning; its member gets a group day, all exams on it."""
    number = f"T{draft.card['value']}"
    days = [(datetime.fromisoformat(draft.at(0)) + timedelta(days=ahead)).date().isoformat() for ahead in (1, 4)]
    items = [{"item": ABDOMEN}, {"item": THYROID}]
    contract = {"number": number, "unit": "某单位", "items": items, "quotas": {"NORTH": 5},
                "starts_on": days[0], "ends_on": days[1]}  # fmt: skip
    draft.request("/checkups", 0, contract, caller="desk")
    draft.request(f"/checkups/{number}/people", 2, {"people": [draft.patient]}, caller="desk")
    draft.request(f"/checkups/{number}/bookings", 4, {}, caller="desk")
    draft.expected |= {f"{number}-1/{line}": "booked" for line in (1, 2)}


KINDS = (Kind("group_member", 0.004, Text("团检人员", "comes by a check-up contract"), group_member),)
