"""The patient message gateway: the peer that brings words to a patient's telephone. Phones go there and nowhere else."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from examlane.domain import Text
from examlane.records import events
from examlane.storage.database import Database

KIND = "patient.message"
WARD = "ward"
"""The channel of a patient who lies in the hospital: his ward tells him, and no telephone is needed."""
RECIPIENT = """SELECT p.phone, (SELECT i.kind FROM patient_identifier i WHERE i.patient_id = p.id ORDER BY i.id LIMIT 1),
(SELECT i.value FROM patient_identifier i WHERE i.patient_id = p.id ORDER BY i.id LIMIT 1)
FROM patient p WHERE p.id = (SELECT coalesce(merged_into_id, id) FROM patient WHERE id = ?)"""


@dataclass(frozen=True, slots=True)
class Handed:
    """A message handed to the gateway, or why it could not be: no_gateway, no_identifier, no_phone."""

    message: str = ""
    reason: str = ""


def exists(database: Database) -> bool:
    """Whether a peer takes messages for patients."""
    return any(KIND in json.loads(kinds) for (kinds,) in database.rows("SELECT event_types FROM peer WHERE enabled = 1"))


def send(database: Database, patient: int, channel: str, words: Text, now: int) -> Handed:
    """Hand a message to the gateway, in the transaction of what it tells; the worker delivers it."""
    if not exists(database):
        return Handed(reason="no_gateway")
    phone, kind, value = database.rows(RECIPIENT, patient)[0]
    if kind is None:
        return Handed(reason="no_identifier")
    if not phone and channel != WARD:
        return Handed(reason="no_phone")
    message = str(uuid.uuid4())
    payload = {
        "message": message, "channel": channel, "recipient": {"kind": kind, "value": value}, "phone": phone,
        "text": {"zh": words.zh, "en": words.en},
    }  # fmt: skip
    events.emit(database, "message", message, KIND, payload, now, personal=True)
    return Handed(message)
