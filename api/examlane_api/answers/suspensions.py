"""Suspensions and what becomes of their visits as plain data."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from examlane.replanning.closing import KINDS
from examlane.replanning.reading import SuspensionStatus, VisitOutcome
from examlane.replanning.suspensions import Foreseen, Preview
from examlane.storage.fields import instant
from examlane_api.answers.plain import PlainAnswers, words


class SuspensionAnswers(PlainAnswers):
    """Time in which nothing is given out."""

    def suspension(self, found: SuspensionStatus) -> dict[str, Any]:
        pending = found.outcomes.get("pending", 0)
        return {
            "number": found.number, "kind": found.kind, "name": words(KINDS[found.kind]), "state": found.state,
            "department": found.department, "resources": list(found.request.get("resources", ())),
            "starts_at": self.time(found.starts_at), "ends_at": self.time(found.ends_at),
            "request": dict(found.request), "reason": found.reason, "seats_lost": found.seats_lost,
            "affected": sum(found.outcomes.values()), "done": sum(found.outcomes.values()) - pending,
            "outcomes": dict(found.outcomes), "undone": dict(found.undone), "created_by": found.actor,
            "created_at": self.time(found.created_at), "applied_at": self.time(found.applied_at),
            "ended_by": found.ended_by, "ended_at": self.time(found.ended_at),
        }  # fmt: skip

    def suspension_visit(self, one: VisitOutcome) -> dict[str, Any]:
        return {
            "appointment": one.appointment, "patient": one.patient, "state": one.state, "rank": one.rank,
            "outcome": one.outcome, "old": self._spot(one.old_starts_at, one.old_group),
            "new": self._spot(one.new_starts_at, one.new_group), "code": one.code, "reason": words(one.reason),
            "flags": list(one.flags), "undone": one.undone,
        }  # fmt: skip

    def suspension_preview(self, found: Preview) -> dict[str, Any]:
        return {
            "seats_lost": found.seats_lost, "complete": found.complete,
            "outcomes": dict(Counter(one.outcome for one in found.visits if one.outcome)),
            "visits": [self._foreseen(one) for one in found.visits],
        }  # fmt: skip

    def _foreseen(self, one: Foreseen) -> dict[str, Any]:
        visit = one.visit
        return {
            "appointment": visit.number, "patient": visit.patient, "state": visit.state, "rank": visit.rank,
            "outcome": one.outcome or None, "old": self._spot(instant(visit.start_at), visit.group),
            "new": self._spot(one.new_starts_at, one.new_group), "code": one.code,
            "reason": words(one.reason) if one.reason else None, "flags": list(visit.flags), "undone": "",
        }  # fmt: skip

    def _spot(self, starts_at: datetime | None, group: str) -> dict[str, Any] | None:
        return None if starts_at is None else {"starts_at": self.time(starts_at), "group": group}
