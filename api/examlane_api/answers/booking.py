"""Order items, what the rules said of them, times and appointments as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from examlane.appointments.choosing import Time
from examlane.appointments.evidence import findings_as_data
from examlane.appointments.status import AppointmentStatus, ItemStatus
from examlane.domain import GateOpen
from examlane.reporting import Judgement, PaymentAnswer
from examlane_api.answers.plain import PlainAnswers, words


class BookingAnswers(PlainAnswers):
    """What becomes of an order."""

    def items(self, items: Iterable[ItemStatus]) -> dict[str, Any]:
        return {"items": [self.item(item) for item in items]}

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
            "number": status.number, "version": status.version, "state": status.state, "patient": status.patient_name,
            "department": status.department, "starts_at": self.time(status.starts_at),
            "ends_at": self.time(status.ends_at),
            "period": self.period(status.period_starts_at, status.period_ends_at), "campus": status.campus,
            "group": status.group, "place": words(status.place), "queue_number": status.queue_number,
            "automatic": status.automatic, "fallback": status.fallback, "items": list(status.items),
            "preparation": list(status.preparation), "explanation": status.explanation, "no_show": status.no_show,
            "hold_expires_at": self.time(status.hold_expires_at),
        }  # fmt: skip

    def payment(self, answer: PaymentAnswer) -> dict[str, Any]:
        return {"state": answer.state, **self.items(answer.items)}

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

    def judgements(self, found: Iterable[Judgement]) -> dict[str, Any]:
        return {"items": [self._judgement(judgement) for judgement in found]}

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
