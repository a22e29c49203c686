"""The token of a hold: signed with the site's key, so that nobody books by a number he has guessed."""

from __future__ import annotations

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer

from examlane.errors import NotFound


def token(number: str) -> str:
    """The token that books a hold."""
    return str(_signer().dumps(number))


def number(token: str) -> str:
    """The hold that a token books. Raises `NotFound` for what is no token of this site."""
    try:
        return str(_signer().loads(token))
    except BadData as error:
        raise NotFound("hold", "") from error


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key or "", salt="hold")
