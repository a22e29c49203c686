"""The kinds of patients of the morning, by area; each says how it must end."""

from __future__ import annotations

from examlane_api.demo.kinds import checkups, corrections, ordinary, patients, suspensions
from examlane_api.demo.kinds.kind import Kind

PLAIN = ordinary.PLAIN
KINDS: tuple[Kind, ...] = (*ordinary.KINDS, *corrections.KINDS, *patients.KINDS, *checkups.KINDS, *suspensions.KINDS)
