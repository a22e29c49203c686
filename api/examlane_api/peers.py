"""Telling peers: each event as one JSON POST to the peer's address; a refusal or silence is tried again later."""

from __future__ import annotations

import threading

import requests

from examlane.records.events import Message, Send

TIMEOUT_SECONDS = 10.0


def webhook_send(timeout: float = TIMEOUT_SECONDS) -> Send:
    """A sender that keeps its connections open. It raises `OSError` when the peer does not take the event."""
    local = threading.local()

    def send(message: Message) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.trust_env = False  # peers are inside the hospital: no proxy, no .netrc
        body = {
            "event_id": message.event_id,
            "peer": message.peer,
            "subject": message.subject,
            "subject_key": message.subject_key,
            "sequence": message.sequence,
            "kind": message.kind,
            "payload": dict(message.payload),
        }
        answer = local.session.post(message.address, json=body, timeout=timeout, allow_redirects=False)
        if not 200 <= answer.status_code < 300:
            raise OSError(f"{message.peer} answered {answer.status_code}")

    return send
