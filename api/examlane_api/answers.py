"""The core's values as plain data, for REST, SOAP and pages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from examlane.appointments.booking import findings_as_data
from examlane.appointments.choosing import Time
from examlane.appointments.reporting import Judgement, PaymentAnswer
from examlane.appointments.status import AppointmentStatus, ItemStatus
from examlane.domain import GateOpen, Text
from examlane.extension.rules import Chosen, KeptVersion
from examlane.insight.trials import Decision, Trial
from examlane.records.dead_letters import EventRow
from examlane.storage.fields import instant, maybe_instant


class Answers:
    """Makes answers whose instants carry the hospital's offset."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def items(self, items: Iterable[ItemStatus]) -> dict[str, Any]:
        return {"items": [self.item(item) for item in items]}

    def payment(self, answer: PaymentAnswer) -> dict[str, Any]:
        return {"state": answer.state, **self.items(answer.items)}

    def item(self, item: ItemStatus) -> dict[str, Any]:
        return {
            "order": item.order, "key": item.key, "line": item.line, "item": item.item, "name": words(item.name),
            "department": item.department, "state": item.state, "reason": item.reason, "message": words(item.message),
            "payable": item.payable, "payment": item.payment, "findings": list(item.findings), "fills": item.fills,
            "gates": [{**gate, "valid_until": self.time(gate["valid_until"])} for gate in item.gates],
            "appointment": self.appointment(item.appointment) if item.appointment else None,
        }  # fmt: skip

    def appointment(self, status: AppointmentStatus) -> dict[str, Any]:
        return {
            "number": status.number, "version": status.version, "state": status.state,
            "department": status.department, "starts_at": self.time(status.starts_at),
            "ends_at": self.time(status.ends_at),
            "period": self.period(status.period_starts_at, status.period_ends_at), "campus": status.campus,
            "group": status.group, "place": words(status.place), "queue_number": status.queue_number,
            "automatic": status.automatic, "fallback": status.fallback, "items": list(status.items),
            "preparation": list(status.preparation), "explanation": status.explanation, "no_show": status.no_show,
            "hold_expires_at": self.time(status.hold_expires_at),
        }  # fmt: skip

    def event(self, row: EventRow) -> dict[str, Any]:
        return {
            "event_id": row.event_id, "peer": row.peer, "subject": row.subject, "subject_key": row.subject_key,
            "sequence": row.sequence, "kind": row.kind, "payload": dict(row.payload),
            "created_at": self.time(row.created_at), "due_at": self.time(row.due_at), "attempts": row.attempts,
            "sent_at": self.time(row.sent_at), "state": row.state, "error": row.error,
        }  # fmt: skip

    def judgements(self, found: Iterable[Judgement]) -> dict[str, Any]:
        return {"items": [self._judgement(judgement) for judgement in found]}

    def times(self, times: Iterable[Time]) -> dict[str, Any]:
        return {
            "times": [
                {
                    "starts_at": self.time(time.starts_at),
                    "period": self.period(time.period_starts_at, time.period_ends_at),
                    "group": time.group,
                    "place": words(time.place),
                    "campus": time.campus,
                }
                for time in times
            ]
        }

    def rule_version(self, found: KeptVersion) -> dict[str, Any]:
        version, content = found.version, found.version.content
        return {
            "plugin": found.plugin, "rule": version.rule, "version": version.version, "state": found.state,
            "valid_from": version.valid_from.isoformat(),
            "valid_to": version.valid_to.isoformat() if version.valid_to else None,
            "profile": dict(version.profile), "source": content["source"], "action": content.get("action", ""),
            "text": {"zh": content.get("zh", ""), "en": content.get("en", "")},
            "approvers": list(content["approvers"]), "missing": list(found.missing),
            "approvals": [
                {"role": one.role, "by": one.by, "at": self.time(instant(one.at))} for one in found.approvals
            ],
            "created_by": found.created_by, "created_at": self.time(instant(found.created_at)),
            "reason": found.reason, "content": dict(content),
        }  # fmt: skip

    def choice(self, found: Chosen) -> dict[str, Any]:
        return {
            "plugin": found.plugin, "choice": found.name, "text": words(found.choice.text),
            "profiles": {name: words(text) for name, text in found.choice.profiles.items()},
            "default": found.choice.default, "profile": found.profile, "chosen_by": found.by,
            "chosen_at": self.time(maybe_instant(found.at)),
        }  # fmt: skip

    def trial(self, found: Trial) -> dict[str, Any]:
        return {
            "since": self.time(found.since), "until": self.time(found.until), "orders": found.orders,
            "replayed": found.replayed, "items": found.items, "different": found.different,
            "differences": [
                {
                    "order": one.order, "item": one.item, "name": words(one.name),
                    "ordered_at": self.time(one.ordered_at), "before": _decision(one.before),
                    "after": _decision(one.after),
                }
                for one in found.shown
            ],
            "left_out": [{"reason": words(reason), "items": count} for reason, count in found.left_out.items()],
        }  # fmt: skip

    def period(self, starts: datetime, ends: datetime) -> dict[str, Any]:
        return {"starts_at": self.time(starts), "ends_at": self.time(ends)}

    def time(self, instant: datetime | None) -> str | None:
        return None if instant is None else instant.astimezone(self._zone).isoformat()

    def _judgement(self, judgement: Judgement) -> dict[str, Any]:
        return {
            "key": judgement.key,
            "item": judgement.item,
            "state": judgement.state,
            "payable": judgement.payable,
            "findings": findings_as_data(judgement.findings),
            "gates": [self._gate(gate.answer) for gate in judgement.gates],
        }

    def _gate(self, gate: Any) -> dict[str, Any]:
        if isinstance(gate, GateOpen):
            return {"kind": gate.kind, "state": "open", "payable": True, "valid_until": self.time(gate.until)}
        return {
            "kind": gate.kind, "state": "closed", "code": gate.code, "reason": words(gate.reason),
            "next_action": words(gate.next_action), "owner": gate.owner, "payable": gate.payable,
        }  # fmt: skip


def _decision(found: Decision) -> dict[str, Any]:
    said = [{"kind": one.kind, "code": one.code, "text": words(one.text)} for one in found.said]
    return {"state": found.state, "said": said}


def words(text: Text) -> dict[str, str]:
    return {"zh": text.zh, "en": text.en}
