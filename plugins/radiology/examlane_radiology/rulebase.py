"""This department's rules, as they stand in `rules.toml`."""

from __future__ import annotations

from examlane import RuleBase

RULES = RuleBase("examlane_radiology")
