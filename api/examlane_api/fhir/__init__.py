"""The FHIR R4 façade: appointments, slots, schedules and service requests to be read; served where `examlane[fhir]` is."""

from __future__ import annotations

from importlib.util import find_spec

import structlog
from flask import Flask

from examlane_api.fhir.systems import Systems

LOG = structlog.get_logger("examlane.fhir")


def installed() -> bool:
    """Whether the optional library is here."""
    return find_spec("fhir") is not None and find_spec("fhir.resources") is not None


def register(app: Flask, address: str, systems: Systems) -> None:
    """Mount the façade, or say in the log why it is not there; its library is loaded only now."""
    if not installed():
        LOG.warning("fhir_not_served", cure="pip install 'examlane[fhir]'")
        return
    from examlane_api.fhir import service

    service.register(app, address, systems)
