"""A hospital's ordinary day over REST: one file an area, its messages beside its endpoints."""

from __future__ import annotations

from flask_smorest import Blueprint

from examlane_api.rest.day import checkups, corrections, patients, policies, suspensions

BLUEPRINTS: tuple[Blueprint, ...] = (checkups.blp, corrections.blp, patients.blp, policies.blp, suspensions.blp)
