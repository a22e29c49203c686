"""The hospital's settings, from the environment. No secret has a default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Settings:
    """Every number a hospital may want otherwise, with its unit and default."""

    database: str = "sqlite:///examlane.db"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Shanghai"))
    horizon_days: int = 28
    notice: timedelta = timedelta(minutes=30)
    """A patient must have this long between the message and the start."""
    planning_window: timedelta = timedelta(seconds=3)
    """Payments of one encounter that arrive within this time are planned together."""
    freeze: timedelta = timedelta(hours=24)
    """Closer to its start than this, a booked visit is no longer re-planned automatically."""
    tentative_cutoff: timedelta = timedelta(hours=24)
    """A tentative visit whose gate is still closed this long before its start loses its seat."""
    hold: timedelta = timedelta(minutes=5)
    void_hold: timedelta = timedelta(minutes=15)
    """A place whose order was voided is kept this long for a new order, where the message does not say what follows."""
    other_campus_days: int = 3
    """Another campus is used when it is at least this many days earlier."""
    emergency_within: timedelta = timedelta(hours=4)
    """An emergency that finds no seat within this time gets an audited extra seat (加号)."""
    hook_seconds: float = 0.3
    booking_seconds: float = 1.0
    desk_deadline: timedelta = timedelta(hours=4)
    suspension_seconds: float = 2.0
    """How long a request, or one turn of the worker, goes on with a suspension's visits."""
    archive: timedelta = timedelta(days=30)
    """How long what was sent to peers and answered by them is kept."""
    exchange_folder: Path | None = None
    """Where files for peers without a service are dropped, a folder each."""
    pilot_salt: str = "examlane"
    release: Mapping[str, str] = field(
        default_factory=lambda: {
            "outpatient": "paid",
            "inpatient": "verified",
            "emergency": "accepted",
            "checkup": "contract",
        }
    )
    """Which fact lets an item be booked, per class of encounter."""
    reserve_release: Mapping[str, timedelta] = field(
        default_factory=lambda: {"inpatient": timedelta(hours=24), "emergency": timedelta(hours=2)}
    )
    """How long before its start a reserved seat flows to everybody."""


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from EXAMLANE_DATABASE, EXAMLANE_TIME_ZONE, EXAMLANE_HORIZON_DAYS, EXAMLANE_PILOT_SALT,
    EXAMLANE_TENTATIVE_CUTOFF_HOURS and EXAMLANE_EXCHANGE_FOLDER."""
    values = os.environ if environment is None else environment
    default = Settings()
    folder = values.get("EXAMLANE_EXCHANGE_FOLDER")
    return Settings(
        database=values.get("EXAMLANE_DATABASE", default.database),
        zone=ZoneInfo(values.get("EXAMLANE_TIME_ZONE", default.zone.key)),
        horizon_days=int(values.get("EXAMLANE_HORIZON_DAYS", default.horizon_days)),
        exchange_folder=Path(folder) if folder else None,
        pilot_salt=values.get("EXAMLANE_PILOT_SALT", default.pilot_salt),
        tentative_cutoff=timedelta(
            hours=float(values.get("EXAMLANE_TENTATIVE_CUTOFF_HOURS", default.tentative_cutoff / timedelta(hours=1)))
        ),
    )
