"""Patients whose exams a department's old system still books: told to us, moved and cancelled there."""

from __future__ import annotations

from datetime import datetime, timedelta

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind
from examlane_api.demo.kinds.ordinary import ABDOMEN, ECG


def _report(draft: Draft, number: str, state: str, after: int, *, sequence: int, hours: int = 24, **more: object) -> None:
    starts_at = datetime.fromisoformat(draft.at(0)) + timedelta(hours=hours)
    told = {
        "system": "OLD-RIS", "number": number, "state": state, "sequence": sequence, "sent_at": draft.at(after),
        "patient": {"identifiers": draft.identifiers}, "starts_at": starts_at.replace(minute=0).isoformat(),
    }  # fmt: skip
    draft.request("/external/appointments", after, {**told, **more})


def booked_in_the_old_system(draft: Draft) -> None:
    order = draft.order("CAR", (ECG,), expect="moved")[0]
    _report(draft, f"E{order}", "booked", 5, sequence=1, orders=[f"{order}/1"], resource="ECG-NORTH-REST-1")
    _report(draft, f"E{order}", "booked", 12, sequence=3, hours=25, orders=[f"{order}/1"], resource="ECG-NORTH-REST-1")
    # Overtaken on its way by the later one: it changes nothing any more.
    _report(draft, f"E{order}", "cancelled", 18, sequence=2)


def cancelled_in_the_old_system(draft: Draft) -> None:
    order = draft.order("SUR", (ABDOMEN,), expect="cancelled")[0]
    _report(draft, f"E{order}", "booked", 4, sequence=1, orders=[f"{order}/1"], resource="US-OLD-ROOM-9")
    _report(draft, f"E{order}", "cancelled", 15, sequence=2)


KINDS = (
    Kind(
        "booked_in_the_old_system", 0.004,
        Text("原系统预约并改约，迟到的旧消息不生效", "booked and moved in the old system; an older message comes late"),
        booked_in_the_old_system,
    ),
    Kind(
        "cancelled_in_the_old_system", 0.004,
        Text("原系统预约后取消，检查室代码未知", "booked and cancelled in the old system, at a room that is unknown here"),
        cancelled_in_the_old_system,
    ),
)  # fmt: skip
