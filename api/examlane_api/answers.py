"""The core's values as plain data, for REST, SOAP and pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from examlane.appointments.booking import findings_as_data
from examlane.appointments.choosing import Time
from examlane.appointments.status import AppointmentStatus, ItemStatus
from examlane.arrival.attendance import Source
from examlane.arrival.repeated import Restriction
from examlane.checkups.group_days import Group
from examlane.domain import GateOpen, Text
from examlane.extension.rules import Chosen, KeptVersion
from examlane.golive.received import Received
from examlane.insight.trials import Decision, Trial
from examlane.orders.patients import masked
from examlane.patients.merging import Merge
from examlane.patients.people import Masked
from examlane.reasons import text
from examlane.records.dead_letters import EventRow
from examlane.replanning.closing import KINDS
from examlane.replanning.reading import SuspensionStatus, VisitOutcome
from examlane.replanning.suspensions import Foreseen, Preview
from examlane.reporting import Judgement, PaymentAnswer
from examlane.storage.fields import instant, maybe_instant
from examlane.wards.encounters import EncounterStatus
from examlane.wards.ward_list import WardExam


class Answers:
    """Makes answers whose instants carry the hospital's offset."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def items(self, items: Iterable[ItemStatus]) -> dict[str, Any]:
        return {"items": [self.item(item) for item in items]}

    def merge(self, found: Merge) -> dict[str, Any]:
        overlaps = [list(pair) for pair in found.overlaps]
        return {
            "merge": found.id, "state": found.state, "moved": found.moved, "overlaps": overlaps, **self.items(found.items)
        }  # fmt: skip

    def person(self, found: Masked) -> dict[str, Any]:
        """A person in a list: masked."""
        return {
            "name": found.name, "sex": found.sex, "birth_year": found.birth_year,
            "identifiers": [{"kind": kind, "value": value} for kind, value in found.identifiers],
            "relations": [{"kind": kind, "name": name} for kind, name in found.relations],
        }  # fmt: skip

    def checkup(self, found: Group) -> dict[str, Any]:
        data = found.contract.data
        return {
            "number": data.number, "unit": data.unit, "state": found.contract.state, "version": found.contract.version,
            "items": [{"item": code, "sex": sex} for code, sex in data.items], "quotas": dict(data.quotas),
            "starts_on": data.starts_on.isoformat(), "ends_on": data.ends_on.isoformat(), "counts": dict(found.counts),
            "people": [
                {"person": one.id, "name": masked(one.name), "state": one.state, "campus": one.campus, "day": one.day,
                 "order": one.order}
                for one in found.people
            ],
        }  # fmt: skip

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

    def source(self, found: Source) -> dict[str, Any]:
        return {
            "department": found.department, "state": found.state, "since": self.time(found.since),
            "reason": found.reason, "sweeps_from": self.time(found.sweeps_from),
        }  # fmt: skip

    def restriction(self, found: Restriction) -> dict[str, Any]:
        return {
            "id": found.id, "department": found.department, "patient": found.name, "state": found.state,
            "from": self.time(found.from_at), "until": self.time(found.until_at), "appointments": list(found.visits),
            "appeal": found.appeal, "appealed_at": self.time(found.appealed_at), "decision": found.decision,
            "decision_reason": found.decision_reason, "decided_at": self.time(found.decided_at),
            "decided_by": found.decided_by,
        }  # fmt: skip

    def encounter(self, found: EncounterStatus) -> dict[str, Any]:
        standing = found.standing
        return {
            "encounter": found.number, "class": standing.encounter_class, "state": standing.state,
            "ward": standing.ward, "bed": standing.bed, "campus": standing.campus, "needs": list(standing.needs),
            "died": standing.died, "appointments": list(found.appointments),
            "events": [
                {
                    "event": one.event, "at": self.time(one.at), "ward": one.ward, "bed": one.bed,
                    "recorded_at": self.time(one.recorded_at), "recorded_by": one.recorded_by,
                    "withdrawn_at": self.time(one.withdrawn_at), "withdrawn_reason": one.withdrawn_reason,
                }
                for one in found.events
            ],
        }  # fmt: skip

    def ward_exam(self, found: WardExam) -> dict[str, Any]:
        said = found.answered
        return {
            "appointment": found.appointment, "version": found.version, "state": found.state,
            "department": found.department,
            "items": [{"key": key, "name": words(name)} for key, name in found.items],
            "starts_at": self.time(found.starts_at),
            "period": self.period(found.period_starts_at, found.period_ends_at), "place": words(found.place),
            "campus": found.campus, "preparation": list(found.preparation), "fasting_hours": found.fasting_hours,
            "answered": said and {
                "answer": said.answer, "reason": said.reason, "note": said.note, "at": self.time(said.at), "by": said.by,
            },
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
