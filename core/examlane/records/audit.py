"""Who did what, when and through which channel: one row beside every change, in the same transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from examlane.storage.database import Database
from examlane.storage.fields import dump
from examlane.storage.ledger import Audit


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a client code, a staff log-in, a patient, or `system`; and through which channel.

    `desk`: a member of staff who sees the patient, and may book what patients cannot book themselves.
    """

    name: str
    channel: str
    request_id: str = ""
    desk: bool = False


SYSTEM = Actor("system", "worker")


def record(
    database: Database,
    actor: Actor,
    action: str,
    subject: str,
    subject_key: str,
    at: int,
    *,
    version: int | None = None,
    **detail: Any,
) -> None:
    """Write the audit row of a change; `detail` must not name a patient."""
    database.insert(
        Audit, at=at, actor=actor.name, channel=actor.channel, action=action, subject=subject, subject_key=subject_key,
        version=version, request_id=actor.request_id, detail=dump(detail),
    )  # fmt: skip
