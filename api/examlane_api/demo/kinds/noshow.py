"""No-shows of the morning: one that was none, paper entered later, a source that was offline, repeated no-shows."""

from __future__ import annotations

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind
from examlane_api.demo.kinds.ordinary import ECG, THYROID

LUNGS, EEG = "320200001", "320100001"


def wrongly_marked(draft: Draft) -> None:
    number = draft.order("SUR", (THYROID,))[0]
    draft.pay([number], after=4)
    draft.request(f"/appointments/{{{number}}}/no-show", 10, caller="desk")
    draft.request(f"/appointments/{{{number}}}/no-show/withdrawal", 12, {"reason": "叫错人"}, caller="desk")


def on_paper(draft: Draft) -> None:
    """Both are reported from paper: the exam that was done, and a line that nobody can read."""
    number = draft.order("CAR", (ECG,))[0]
    draft.pay([number], after=4)
    lines = [
        {"appointment": f"{{{number}}}", "at": draft.at(8), "what": "finished"},
        {"appointment": "UNREADABLE", "at": draft.at(8)},
    ]
    draft.request("/check-ins", 12, {"lines": lines}, caller="desk")


def while_offline(draft: Draft) -> None:
    draft.pay(draft.order("CAR", (ECG,)))
    source = "/departments/NM/check-in-source"
    draft.request(source, 5, {"state": "offline", "reason": "网络中断"}, caller="desk")
    draft.request(source, 8, {"state": "online"}, caller="desk")


def misses_too_often(draft: Draft) -> None:
    draft.request("/departments/FUN/policy", 1, {"policy": {"no_show_limit": 1}}, method="PUT", caller="console")
    number = draft.order("GAS", (LUNGS,), expect="no_show")[0]
    draft.pay([number], after=4)
    draft.request(f"/appointments/{{{number}}}/no-show", 10, caller="desk")
    draft.pay(draft.order("GAS", (EEG,), after=15, expect="desk:restricted"), after=20)


KINDS = (
    Kind("wrongly_marked", 0.004, Text("误判未到，撤销后按时检查", "marked as a no-show by mistake, withdrawn"),
         wrongly_marked),
    Kind("on_paper", 0.004, Text("纸质记录，事后补录", "entered from paper afterwards"), on_paper, comes=False),
    Kind("while_offline", 0.0, Text("签到中断又恢复", "a check-in source goes offline and comes back"), while_offline),
    Kind("misses_too_often", 0.004, Text("多次未到，转登记台预约", "missed too often: booked at the desk"),
         misses_too_often, comes=False),
)  # fmt: skip
