"""The booking contract of one hospital, mounted on its application."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, request

from examlane.domain import Text
from examlane.hospital import Hospital
from examlane_api import clients
from examlane_api.access import Caller
from examlane_api.soap import booking
from examlane_api.soap.credentials import Credentials
from examlane_api.soap.engine import SoapService
from examlane_api.soap.faults import SoapRefusal
from examlane_api.soap.typed.contract import Contract
from examlane_api.soap.wsdl import BOOKING

URL = "/soap/booking"
WSDL = BOOKING


Authenticate = Callable[[Credentials | None], Caller | None]


def register(app: Flask, hospital: Hospital, address: str) -> None:
    """Serve the contract; its WSDL names `address`, or the address it was asked at while none is set."""
    contract = Contract(WSDL, hospital.settings.zone)
    service = SoapService(contract, booking.handlers(hospital), location(address, URL), authenticator(app, hospital))
    app.register_blueprint(service.blueprint(URL))


def location(address: str, url: str) -> Callable[[], str]:
    """The public address of one of our URLs, below the address asked for while none is configured."""
    return lambda: (address or request.host_url).rstrip("/") + url


def authenticator(app: Flask, hospital: Hospital) -> Authenticate:
    """Recognises the clients of this hospital by key or by digest, each within its rate."""

    def authenticate(credentials: Credentials | None) -> Caller | None:
        if credentials is None:
            return None
        caller = recognise(credentials)
        if caller and (wait := app.extensions["examlane.rate"].seconds_to_wait(caller)):
            words = Text(f"请求过于频繁，请 {wait} 秒后重试。", f"Too many requests: send it again in {wait} s.")
            raise SoapRefusal("rate_limited", words, retryable=True)
        return caller

    def recognise(sent: Credentials) -> Caller | None:
        database, now = hospital.database, hospital.clock.now()
        if not sent.digested:
            return clients.by_key(database, sent.user, sent.password, "soap", now)
        keyring = app.extensions["examlane.keyring"]
        return clients.by_digest(database, keyring, sent.user, sent.nonce, sent.created, sent.password, now)

    return authenticate
