"""Telling peers: each event as one signed JSON POST to the peer's address; a refusal or silence is tried again later."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from datetime import datetime

import requests

from examlane.clock import Clock
from examlane.records.events import Declined, Message, Sent, Unreachable
from examlane_api.keyring import Keyring

SIGNATURE = "X-Examlane-Signature"


class Poster:
    """Posts JSON and keeps its connections open. A message is signed under each live key of its peer.

    A receiver that knows one of them is content. Raises `Undelivered` when the peer does not take the message.
    """

    def __init__(self, clock: Clock, keyring: Keyring | None = None) -> None:
        self._clock = clock
        self._keyring = keyring
        self._local = threading.local()

    def shown(self, message: Message, body: bytes) -> str:
        """The request as it would go over the wire now."""
        head = [f"POST {message.address}", *(f"{name}: {value}" for name, value in self._headers(message, body).items())]
        return "\n".join([*head, "", body.decode()])

    def post(self, message: Message, body: bytes) -> Sent:
        try:
            answer = self._session().post(
                message.address, data=body, headers=self._headers(message, body), timeout=message.to.timeout_seconds,
                allow_redirects=False,
            )  # fmt: skip
        except requests.RequestException as error:
            raise Unreachable(type(error).__name__, Sent(body.decode())) from error
        sent = Sent(body.decode(), f"{answer.status_code} {answer.text[:1000]}")
        if 200 <= answer.status_code < 300:
            return sent
        refused = 400 <= answer.status_code < 500 and answer.status_code not in (401, 403, 404, 408, 429)
        raise (Declined if refused else Unreachable)(f"{message.peer} answered {answer.status_code}", sent)

    def _headers(self, message: Message, body: bytes) -> dict[str, str]:
        return {"Content-Type": "application/json", **signature(message, body, self._clock.now(), self._keyring)}

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False  # peers are inside the hospital: no proxy, no .netrc
        session: requests.Session = self._local.session
        return session


class Webhook:
    """Events as they are, as signed JSON."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    def shown(self, message: Message) -> str:
        return self._poster.shown(message, wire(message))

    def send(self, message: Message) -> Sent:
        return self._poster.post(message, wire(message))


def wire(message: Message) -> bytes:
    """The event as its peer gets it."""
    body = {
        "event_id": message.event_id,
        "peer": message.peer,
        "subject": message.subject,
        "subject_key": message.subject_key,
        "sequence": message.sequence,
        "kind": message.kind,
        "payload": dict(message.payload),
    }
    return json.dumps(body, ensure_ascii=False).encode()


def signature(message: Message, body: bytes, now: datetime, keyring: Keyring | None) -> dict[str, str]:
    """`t=<instant>,v1=<HMAC-SHA256 of "instant.body">`, one `v1` a key; nothing for a peer without a key."""
    keys = [keyring.open(sealed, message.peer) for sealed in message.to.sealed] if keyring else []
    if not any(keys):
        return {}
    at = now.isoformat(timespec="seconds")
    signed = (hmac.new(key.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() for key in keys if key)
    return {SIGNATURE: ",".join((f"t={at}", *(f"v1={each}" for each in signed)))}
