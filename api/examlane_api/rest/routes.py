"""Every endpoint of the REST interface, in the order in which the OpenAPI document shows them."""

from __future__ import annotations

from flask_smorest import Blueprint

from examlane_api.rest import appointments, day, orders
from examlane_api.rest.desk import exceptions, facts, history, statistics
from examlane_api.rest.places import departments, items, plugins, slots
from examlane_api.rest.records import peers, reconciliations
from examlane_api.rest.rulebook import intervals, rules

BLUEPRINTS: tuple[Blueprint, ...] = (
    orders.blp,
    facts.blp,
    appointments.blp,
    history.blp,
    exceptions.blp,
    statistics.blp,
    items.blp,
    slots.blp,
    departments.blp,
    plugins.blp,
    rules.blp,
    intervals.blp,
    peers.blp,
    reconciliations.blp,
    *day.BLUEPRINTS,
)
