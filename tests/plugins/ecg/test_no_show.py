"""ECG: who misses his time takes a new place himself, once or twice a day, at the kiosk or by coming late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from marshmallow import ValidationError

from examlane import (
    EncounterClass,
    EncounterView,
    NoShow,
    NoShowAction,
    NoShowDecision,
    PatientView,
    Sex,
)
from examlane_ecg.hooks import SettingsSchema, on_no_show

SHANGHAI = ZoneInfo("Asia/Shanghai")
NINE = datetime(2026, 11, 23, 9, tzinfo=SHANGHAI)


def missed(
    earlier: int = 0, noticed_at: datetime = NINE, starts_at: datetime = NINE, arrived: bool = False, **chosen: Any
) -> NoShowDecision:
    encounter = EncounterView("E1", EncounterClass.OUTPATIENT)
    settings = {"time_zone": "Asia/Shanghai", **SettingsSchema().load(chosen)}
    patient = PatientView(1, Sex.MALE, None)
    return on_no_show(NoShow("A1", patient, encounter, (), starts_at, noticed_at, earlier, arrived), settings)


def test_who_misses_an_ecg_takes_a_new_place_at_the_kiosk_until_the_end_of_that_day() -> None:
    decision = missed()
    assert decision.action is NoShowAction.SELF_REBOOK
    assert decision.rebook_until == datetime(2026, 11, 23, 23, 59, 59, tzinfo=SHANGHAI)
    assert decision.limit == 2
    assert "无需到窗口" in decision.text.zh


def test_who_comes_late_is_treated_the_same() -> None:
    assert missed(arrived=True) == missed()


def test_a_start_given_in_utc_ends_with_the_day_of_the_hospital() -> None:
    decision = missed(starts_at=NINE.astimezone(UTC))
    assert decision.rebook_until == datetime(2026, 11, 23, 15, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(("earlier", "action"), [(0, "self_rebook"), (1, "self_rebook"), (2, "manual"), (3, "manual")])
def test_after_two_new_places_a_day_the_desk_decides(earlier: int, action: str) -> None:
    assert missed(earlier).action == action


@pytest.mark.parametrize(("limit", "earlier", "action"), [(1, 0, "self_rebook"), (1, 1, "manual"), (0, 0, "manual")])
def test_a_department_may_allow_it_once_or_never(limit: int, earlier: int, action: str) -> None:
    decision = missed(earlier, rebook_limit=limit)
    assert decision.action == action
    assert decision.code == ("ecg.limit_reached" if action == "manual" else "ecg.kiosk_today")


def test_a_miss_noticed_after_the_day_goes_to_the_desk() -> None:
    last = datetime(2026, 11, 23, 23, 59, 59, tzinfo=SHANGHAI)
    assert missed(noticed_at=last).action is NoShowAction.SELF_REBOOK
    assert missed(noticed_at=last + timedelta(seconds=1)).code == "ecg.too_late"


@pytest.mark.parametrize(("minutes", "action"), [(59, "self_rebook"), (60, "self_rebook"), (61, "manual")])
def test_a_department_may_end_it_some_time_after_the_missed_start(minutes: int, action: str) -> None:
    assert missed(noticed_at=NINE + timedelta(minutes=minutes), grace_minutes=60).action == action


def test_a_grace_never_reaches_beyond_the_day() -> None:
    late = NINE.replace(hour=23)
    assert missed(starts_at=late, noticed_at=late, grace_minutes=600).rebook_until == late.replace(minute=59, second=59)


@pytest.mark.parametrize("wrong", [{"rebook_limit": 3}, {"rebook_limit": -1}, {"grace_minutes": -1}, {"rebok": 1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SettingsSchema().load(wrong)
