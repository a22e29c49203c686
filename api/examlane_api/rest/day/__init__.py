"""A hospital's ordinary day over REST: one file an area, its messages beside its endpoints."""

from __future__ import annotations

from flask_smorest import Blueprint

from examlane_api.rest.day import (
    arrival,
    corrections,
    encounters,
    golive,
    noshow,
    policies,
    reminders,
    suspensions,
    waiting,
)

BLUEPRINTS: tuple[Blueprint, ...] = (
    arrival.blp,
    corrections.blp,
    encounters.blp,
    golive.blp,
    noshow.blp,
    policies.blp,
    reminders.blp,
    suspensions.blp,
    waiting.blp,
)
