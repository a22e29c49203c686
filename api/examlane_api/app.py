"""The application factory: one hospital behind REST, SOAP and pages; nothing else happens here."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping

from flask import Flask, g, request

from examlane.hospital import Hospital
from examlane_api import fhir, pages, soap
from examlane_api.fhir.systems import Systems
from examlane_api.hip import service as hip
from examlane_api.hip.profiles import Profile
from examlane_api.keyring import Keyring
from examlane_api.rate import RateLimiter
from examlane_api.rest import api
from examlane_api.rest.routes import BLUEPRINTS

MAX_BODY = 4 * 1024 * 1024
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(
    hospital: Hospital, secret_key: str, address: str = "", keyring: Keyring | None = None,
    platforms: Mapping[str, Profile] | None = None, systems: Systems | None = None,
) -> Flask:  # fmt: skip
    """The web application of a hospital. `secret_key` signs sessions and has no default; `address` is shown in WSDLs.

    Without a `keyring` no client that signs its requests is recognised. `platforms` are served their HIP endpoint each.
    `systems` are what FHIR resources name our numbers and codes by.
    """
    app = Flask("examlane_api")
    app.config |= {
        "SECRET_KEY": secret_key,
        "MAX_CONTENT_LENGTH": MAX_BODY,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": address.startswith("https:"),
    }
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions |= {"examlane": hospital, "examlane.keyring": keyring, "examlane.rate": RateLimiter()}

    @app.before_request
    def name_request() -> None:
        sent = request.headers.get("X-Request-Id", "")
        g.request_id = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex

    @app.get("/healthz")
    def health() -> dict[str, str]:
        hospital.database.value("SELECT 1")
        return {"status": "recycle" if hospital.dispatcher.must_recycle else "ok"}

    api.register(app, BLUEPRINTS)
    soap.register(app, hospital, address)
    hip.register(app, hospital, address, platforms or {})
    fhir.register(app, address, systems or Systems())
    pages.register(app, hospital)
    return app


def new_secret() -> str:
    return os.urandom(32).hex()
