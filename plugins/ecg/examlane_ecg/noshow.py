"""Who misses an ECG takes a new place himself: at the kiosk, or by checking in late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from examlane import NoShow, NoShowAction, NoShowDecision, Text

AT_THE_KIOSK = Text(
    "未按时检查，当天可在自助机重新排号，无需到窗口，也不用再次缴费",
    "the exam was missed; take a new place at a kiosk today, without a window and without paying again",
)
AT_THE_DESK = Text("请到心电图登记台重新安排", "please see the ECG desk for a new time")


def decision(no_show: NoShow, settings: Mapping[str, Any]) -> NoShowDecision:
    """A new place until the end of the booked day, up to the daily limit; after that the desk."""
    until, limit = rebook_until(no_show.starts_at, settings), settings["rebook_limit"]
    if no_show.earlier_today >= limit:
        return NoShowDecision(NoShowAction.MANUAL, AT_THE_DESK, "ecg.limit_reached")
    if no_show.noticed_at > until:
        return NoShowDecision(NoShowAction.MANUAL, AT_THE_DESK, "ecg.too_late")
    return NoShowDecision(NoShowAction.SELF_REBOOK, AT_THE_KIOSK, "ecg.kiosk_today", until, limit)


def rebook_until(starts_at: datetime, settings: Mapping[str, Any]) -> datetime:
    """The end of the visit's local day, or sooner where the department sets a grace from the missed start."""
    local = starts_at.astimezone(ZoneInfo(settings["time_zone"]))
    midnight = local.replace(hour=23, minute=59, second=59, microsecond=0)
    grace = settings["grace_minutes"]
    return midnight if grace is None else min(midnight, starts_at + timedelta(minutes=grace))
