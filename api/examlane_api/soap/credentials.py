"""Who sent a message, as it says itself: a WS-Security UsernameToken, else HTTP Basic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flask import Request
from lxml import etree

from examlane import Text
from examlane_api.soap.faults import SoapRefusal

WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
SECURITY = f"{{{WSSE}}}Security"
_TOKEN = f"{{{WSSE}}}UsernameToken"
_UNDERSTOOD = {_TOKEN, f"{{{WSU}}}Timestamp"}
_PASSWORD_TEXT = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText"


_PASSWORD_DIGEST = _PASSWORD_TEXT.replace("PasswordText", "PasswordDigest")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password: in clear, or its digest with the nonce and the instant it was made with."""

    user: str
    password: str = field(repr=False)
    nonce: str = ""
    created: str = ""
    digested: bool = False


def read_credentials(headers: Sequence[etree._Element], request: Request) -> Credentials | None:
    """The token of the message's Security header if there is one, else those of HTTP Basic."""
    security = [header for header in headers if header.tag == SECURITY]
    parts = [part for header in security for part in header]
    if any(part.tag not in _UNDERSTOOD for part in parts):
        # A signature that nobody verifies must not look like protection.
        raise _unsupported(Text("只支持 UsernameToken，不支持签名和加密。", "Only UsernameToken is supported."))
    tokens = [part for part in parts if part.tag == _TOKEN]
    if len(tokens) > 1:
        raise _unsupported(Text("只能有一个 UsernameToken。", "There must be one UsernameToken only."))
    return _from_token(tokens[0]) if tokens else _from_basic(request)


def _from_token(token: etree._Element) -> Credentials:
    """The one place that reads a token's password; other password types are added here."""
    password = token.find(f"{{{WSSE}}}Password")
    kind = None if password is None else password.get("Type", _PASSWORD_TEXT)
    user = token.findtext(f"{{{WSSE}}}Username", "").strip()
    if password is None or kind not in (_PASSWORD_TEXT, _PASSWORD_DIGEST):
        words = Text("只支持 PasswordText 和 PasswordDigest。", "Only PasswordText and PasswordDigest are supported.")
        raise _unsupported(words)
    if kind == _PASSWORD_TEXT:
        return Credentials(user, password.text or "")
    nonce, created = (token.findtext(tag, "").strip() for tag in (f"{{{WSSE}}}Nonce", f"{{{WSU}}}Created"))
    return Credentials(user, (password.text or "").strip(), nonce, created, True)


def _from_basic(request: Request) -> Credentials | None:
    given = request.authorization
    if given is None or given.type != "basic":
        return None
    return Credentials(given.username or "", given.password or "")


def _unsupported(message: Text) -> SoapRefusal:
    return SoapRefusal("unsupported_security", message)
