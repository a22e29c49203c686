"""The booking contract of one hospital, mounted on its application."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from flask import Flask, request

from examlane.hospital import Hospital
from examlane_api import identity
from examlane_api.access import Caller
from examlane_api.soap.credentials import Credentials
from examlane_api.soap.engine import SoapService
from examlane_api.soap.handlers import BookingHandlers

URL = "/soap/booking"
WSDL = Path(str(files("examlane_api.soap").joinpath("booking.wsdl")))


def register(app: Flask, hospital: Hospital, address: str) -> None:
    """Serve the contract; its WSDL names `address`, or the address it was asked at while none is set."""

    def location() -> str:
        return (address or request.host_url).rstrip("/") + URL

    def authenticate(credentials: Credentials | None) -> Caller | None:
        if credentials is None:
            return None
        return identity.client(hospital.database, credentials.user, credentials.password, "soap")

    handlers = BookingHandlers(hospital).by_operation()
    service = SoapService(WSDL, handlers, location, authenticate, hospital.settings.zone)
    app.register_blueprint(service.blueprint(URL))
