"""What is told to peers and heard from them, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examlane.golive.received import Received
from examlane.reading.exceptions import Task
from examlane.reasons import text
from examlane.records.dead_letters import EventRow
from examlane.storage.fields import maybe_instant
from examlane_api.answers.plain import PlainAnswers, words


class RecordAnswers(PlainAnswers):
    """Events, and what other systems sent."""

    def event(self, row: EventRow) -> dict[str, Any]:
        return {
            "event_id": row.event_id, "peer": row.peer, "subject": row.subject, "subject_key": row.subject_key,
            "sequence": row.sequence, "kind": row.kind, "payload": dict(row.payload),
            "created_at": self.time(row.created_at), "due_at": self.time(row.due_at), "attempts": row.attempts,
            "sent_at": self.time(row.sent_at), "state": row.state, "error": row.error,
        }  # fmt: skip

    def received(self, system: str, number: str, found: Received) -> dict[str, Any]:
        return {
            "system": system, "number": number, "result": found.result, "appointment": found.appointment,
            "problems": [{"code": code, "text": words(text(code))} for code in found.problems],
        }  # fmt: skip

    def transfer(self, found: Mapping[str, Any]) -> dict[str, Any]:
        times = {name: self.time(maybe_instant(found[name])) for name in ("started_at", "finished_at") if name in found}
        refused = [{**one, "text": words(text(one["code"]))} for one in found.get("refused", ())]
        return {**found, **times, "refused": refused}

    def exception(self, found: Task) -> dict[str, Any]:
        return {**self.row(found), "state": found.state}
