"""The kinds of patients of the morning, by area; each says how it must end."""

from __future__ import annotations

from examlane_api.demo.kinds import (
    arrival,
    checkups,
    corrections,
    golive,
    noshow,
    ordinary,
    patients,
    suspensions,
    waiting,
    wards,
)
from examlane_api.demo.kinds.kind import Kind

PLAIN = ordinary.PLAIN
KINDS: tuple[Kind, ...] = (
    *ordinary.KINDS,
    *arrival.KINDS,
    *checkups.KINDS,
    *corrections.KINDS,
    *golive.KINDS,
    *noshow.KINDS,
    *patients.KINDS,
    *suspensions.KINDS,
    *waiting.KINDS,
    *wards.KINDS,
)
