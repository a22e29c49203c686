"""Wards of the morning: admitted with a booked exam, discharged, discharged by mistake, died, not coming."""

from __future__ import annotations

from typing import Any

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind
from examlane_api.demo.kinds.ordinary import ABDOMEN, CHEST_CT, HEART

WARD = "心内一病区"


def event(draft: Draft, kind: str, after: int, **more: Any) -> None:
    """HIS reports what happened to the patient's encounter."""
    draft.request("/encounters", after, {"encounter": draft.encounter, "event": kind, "at": draft.at(after), **more})


def on_ward(draft: Draft, *items: str, expect: str) -> str:
    return draft.order("IM", items, encounter="inpatient", verified=True, expect=expect)[0]


def admitted(draft: Draft) -> None:
    draft.pay(draft.order("CAR", (HEART,)), after=4)
    event(draft, "admission", 15, ward=WARD, bed="12", needs=["wheelchair"])
    event(draft, "transfer", 18, ward="重症监护", bed="2")


def discharged(draft: Draft) -> None:
    on_ward(draft, CHEST_CT, ABDOMEN, expect="discharged")
    event(draft, "discharge", 12)


def discharged_by_mistake(draft: Draft) -> None:
    on_ward(draft, HEART, expect="booked")
    event(draft, "discharge", 12)
    body = {"encounter": draft.encounter, "event": "discharge", "reason": "误操作"}
    draft.request("/encounters/withdrawal", 14, body)


def died(draft: Draft) -> None:
    on_ward(draft, CHEST_CT, HEART, expect="deceased")
    event(draft, "death", 12)


def not_coming(draft: Draft) -> None:
    number = on_ward(draft, HEART, expect="moved")
    body = {"answer": "not_coming", "reason": "not_prepared"}
    draft.request(f"/appointments/{{{number}}}/ward-answer", 12, body)


KINDS = (
    Kind("admitted", 0.004, Text("已约检查后入院、转科", "admitted and moved with a booked exam"), admitted),
    Kind("discharged", 0.004, Text("出院，检查取消", "discharged: exams are cancelled"), discharged),
    Kind("discharged_by_mistake", 0.004, Text("误报出院，预约恢复", "discharged by mistake: exams come back"),
         discharged_by_mistake),
    Kind("died", 0.004, Text("死亡，全部取消且不通知", "died: everything ends in silence"), died),
    Kind("ward_says_no", 0.004, Text("病区告知不能到检，改约", "the ward says no: another time"), not_coming),
)  # fmt: skip
