"""Agent, volume and flow that the doctor wrote by hand into the note: read as if he had filled in the fields."""

from __future__ import annotations

from typing import Any

import pytest


def test_an_agent_in_the_note_is_filled_in_and_nothing_is_asked(clinic: Any) -> None:
    note = "上腹痛2天，碘克沙醇320 90ml 3.2ml/s"
    assert clinic.codes(note=note) == set()
    filled = clinic.fills(note=note)
    assert (filled["agent"], filled["volume_ml"], filled["flow_ml_s"]) == ("iodixanol-320", 90.0, 3.2)


@pytest.mark.parametrize(
    ("note", "code"),
    [
        ("碘海醇350 300ml", "volume_too_high"), ("碘海醇350 20ml", "volume_too_low"),
        ("碘海醇350 90ml 6ml/s", "flow_too_high"),
        ("碘海醇350 90ml 0.8ml/s", "flow_too_low"), ("钆特酸葡胺 14ml", "agent_wrong_class"),
        ("碘海醇 370", "agent_unrecognised"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_must_be_confirmed(clinic: Any, note: str, code: str) -> None:
    assert code in clinic.codes(note=note)


@pytest.mark.parametrize("note", ["碘海醇过敏", "不用碘海醇", "外院曾用碘海醇", "碘海醇或碘帕醇均可"])
def test_an_agent_that_is_refused_past_or_one_of_two_is_not_taken(clinic: Any, note: str) -> None:
    assert clinic.fills(note=note)["agent"] == "iohexol-350"
    assert not clinic.codes(note=note) & {"agent_wrong_class", "agent_unrecognised"}


def test_what_stands_in_the_orders_own_fields_counts_before_the_note(clinic: Any) -> None:
    filled = clinic.fills(note="碘克沙醇320 300ml", contrast_agent="碘海醇350", contrast_volume_ml=90)
    assert (filled["agent"], filled["volume_ml"]) == ("iohexol-350", 90.0)


def test_a_liver_specific_agent_brings_its_own_protocol(clinic: Any) -> None:
    filled = clinic.fills(clinic.enhanced_mr, contrast_agent="普美显")
    assert (filled["agent"], filled["volume_ml"]) == ("gadoxetate", 7.0)
    assert clinic.codes(clinic.enhanced_mr, contrast_agent="普美显") == set()


def test_less_than_half_of_the_protocols_volume_or_flow_is_corrected(clinic: Any) -> None:
    assert clinic.codes(contrast_volume_ml=49, contrast_flow_ml_s=1.4) == {"volume_too_low", "flow_too_low"}
    assert clinic.codes(contrast_volume_ml=50, contrast_flow_ml_s=1.5) == set()
    assert clinic.fills(contrast_volume_ml=49)["volume_ml"] == 100.0
