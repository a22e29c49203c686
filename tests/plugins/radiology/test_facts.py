"""Facts as they come from other systems: an instant may be nonsense, and a result may follow the exam it belongs to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
TWO_DAYS = timedelta(hours=48)


@pytest.mark.parametrize(
    "instant",
    ["9999-12-31T00:00:00+00:00", "1900-01-01T00:00:00+00:00", "2026-11-20T08:00:00", "yesterday", 5, True, None],
)
def test_an_impossible_or_zoneless_instant_counts_as_unknown(clinic: Any, instant: Any) -> None:
    rules = clinic.book(metformin="cn_48h")
    assert clinic.until(metformin=True, metformin_stopped_at=instant, rules=rules) == [TWO_DAYS]


def test_an_instant_of_another_zone_is_the_same_instant(clinic: Any) -> None:
    rules = clinic.book(metformin="cn_48h")
    stopped = "2026-11-22T09:00:00+08:00"
    assert clinic.until(metformin=True, metformin_stopped_at=stopped, rules=rules) == [timedelta(hours=24)]


@pytest.mark.parametrize("note", ["外院行CT，右肺结节伴增强", "2月前外院行CT，病灶有增强"])
def test_a_finding_that_follows_an_earlier_exam_is_history_too(clinic: Any, note: str) -> None:
    lung = clinic.exam("肺部CT扫描", part="chest")
    assert clinic.codes(lung, note=note) == set()
