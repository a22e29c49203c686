"""Patients who turn out to be known already, or otherwise than their orders say."""

from __future__ import annotations

from examlane import Text
from examlane_api.demo.draft import Draft
from examlane_api.demo.kinds.kind import Kind
from examlane_api.demo.kinds.ordinary import ABDOMEN, THYROID


def two_records(draft: Draft) -> None:
    """The emergency desk registered somebody anew; the records are merged, and the visit stays."""
    number = draft.order("SUR", (ABDOMEN,))[0]
    draft.pay([number], after=4)
    draft.second_record("SUR", THYROID, after=6)


def new_weight(draft: Draft) -> None:
    """The ward weighs the patient anew: everything booked stays."""
    number = draft.order("SUR", (THYROID,))[0]
    draft.pay([number], after=4)
    facts = {"weight_kg": {"value": draft.weight + 3, "observed_at": draft.at(11), "source": "EMR"}}
    draft.request("/patients/updates", 12, {"patient": draft.card, "phone": "13800000000", "facts": facts})


KINDS = (
    Kind("two_records", 0.004, Text("重复建档，合并患者", "two records of one person, merged"), two_records),
    Kind("new_weight", 0.004, Text("更正体重与电话", "weight and telephone corrected"), new_weight),
)
