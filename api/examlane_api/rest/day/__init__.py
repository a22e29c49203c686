"""A hospital's ordinary day over REST: one file an area, its messages beside its endpoints."""

from __future__ import annotations

from flask_smorest import Blueprint

from examlane_api.rest.day import (
    arrival,
    checkups,
    corrections,
    encounters,
    golive,
    noshow,
    patients,
    policies,
    reminders,
    suspensions,
    waiting,
)

BLUEPRINTS: tuple[Blueprint, ...] = (
    arrival.blp,
    checkups.blp,
    corrections.blp,
    encounters.blp,
    golive.blp,
    noshow.blp,
    patients.blp,
    policies.blp,
    reminders.blp,
    suspensions.blp,
    waiting.blp,
)
