"""The message gateway: words for a patient's telephone, and what the gateway says at once of their fate."""

from __future__ import annotations

import json

from examlane.errors import NotFound
from examlane.hospital import Hospital
from examlane.records.audit import Actor
from examlane.records.events import Message, Sent
from examlane.reminders import call_list
from examlane_api.peers import Poster

FATES = ("delivered", "failed", "no_phone")
FIELDS = ("message", "channel", "phone", "recipient", "text")


def wire(message: Message) -> bytes:
    """A message for a patient as the gateway gets it; `message` is its id, by which its fate is reported."""
    return json.dumps({name: message.payload[name] for name in FIELDS}, ensure_ascii=False).encode()


class Gateway:
    """Hands messages over. A gateway that knows their fate at once answers it: `{"state": "failed"}`."""

    def __init__(self, hospital: Hospital, poster: Poster) -> None:
        self._hospital = hospital
        self._poster = poster

    def shown(self, message: Message) -> str:
        return self._poster.shown(message, wire(message))

    def send(self, message: Message) -> Sent:
        sent = self._poster.post(message, wire(message))
        state, reason = _fate(sent.answer)
        if state:
            self._report(message, state, reason)
        return sent

    def _report(self, message: Message, state: str, reason: str) -> None:
        try:
            call_list.report(self._hospital, message.subject_key, state, Actor(message.peer, "gateway"), reason=reason)
        except NotFound:  # a message that nothing here waits for
            return


def _fate(answer: str) -> tuple[str, str]:
    """The state and reason of an answer; nothing where it says nothing that we know."""
    _, _, body = answer.partition(" ")
    try:
        said = json.loads(body)
    except ValueError:
        return "", ""
    state = said.get("state") if isinstance(said, dict) else ""
    return (state, str(said.get("reason", ""))[:200]) if state in FATES else ("", "")
