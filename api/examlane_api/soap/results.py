"""The plain answers of all channels as the contract's results, in one language; ISO instants become datetimes again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Answer = Mapping[str, Any]


class Results:
    """Renders answers for one request, in Chinese (`zh`) or English (`en`)."""

    def __init__(self, language: str) -> None:
        self._language = language

    def order(self, number: str, answer: Answer) -> Answer:
        return {"orderNo": number, "items": [self._item(item) for item in answer["items"]]}

    def payment(self, number: str, answer: Answer) -> Answer:
        return {**self.order(number, answer), "state": answer["state"]}

    def evidence(self, answer: Answer) -> Answer:
        return {"items": [{"orderNo": item["order"], **self._item(item)} for item in answer["items"]]}

    def payable(self, number: str, answer: Answer) -> Answer:
        return {"orderNo": number, "items": [self._payable(item) for item in answer["items"]]}

    def times(self, answer: Answer) -> Answer:
        return {
            "slots": [
                {
                    **_period(time["period"]), "group": time["group"], "campus": time["campus"],
                    "place": self._words(time["place"]), "startAt": datetime.fromisoformat(time["starts_at"]),
                }
                for time in answer["times"]
            ]
        }  # fmt: skip

    def appointment(self, answer: Answer) -> Answer:
        return {
            "appointmentNo": answer["number"], "version": answer["version"], "state": answer["state"],
            **_period(answer["period"]), "campus": answer["campus"], "place": self._words(answer["place"]),
            "queueNo": str(answer["queue_number"]) if answer["queue_number"] else None,
            "preparation": [self._words(step["text"]) for step in answer["preparation"]],
            "message": self._missed(answer),
        }  # fmt: skip

    def _missed(self, answer: Answer) -> str | None:
        told = answer["no_show"].get("text") if answer["state"] == "no_show" else None
        return self._words(told) if told else None

    def _item(self, item: Answer) -> dict[str, Any]:
        return {
            "line": item["line"], "itemCode": item["item"], "state": item["state"], "code": item["reason"],
            "message": self._words(item["message"]), "payable": item["payable"],
            "appointment": self.appointment(item["appointment"]) if item["appointment"] else None,
            "findings": [self._finding(finding) for finding in item["findings"]],
            "gates": [self._gate(gate) for gate in item["gates"]],
        }  # fmt: skip

    def _payable(self, item: Answer) -> Answer:
        actions = [self._words(gate["next_action"]) for gate in item["gates"] if gate["state"] != "open"]
        return {
            "line": item["line"], "payable": item["payable"], "code": item["reason"],
            "message": self._words(item["message"]), "nextAction": "；".join(filter(None, actions)) or None,
        }  # fmt: skip

    def _finding(self, finding: Answer) -> Answer:
        value = finding["until"] if finding["value"] is None else finding["value"]
        return {
            "kind": finding["kind"], "code": finding["code"], "message": self._words(finding["text"]),
            "field": finding["field"] or None, "value": _text(value),
        }  # fmt: skip

    def _gate(self, gate: Answer) -> Answer:
        return {
            "kind": gate["kind"], "state": gate["state"], "code": gate["code"] or None,
            "message": self._words(gate["reason"]) or None, "nextAction": self._words(gate["next_action"]) or None,
            "owner": gate["owner"] or None,
        }  # fmt: skip

    def _words(self, words: Answer) -> str:
        return str(words.get(self._language, ""))


def _period(period: Answer) -> dict[str, Any]:
    return {
        "periodStart": datetime.fromisoformat(period["starts_at"]),
        "periodEnd": datetime.fromisoformat(period["ends_at"]),
    }


def _text(value: Any) -> str | None:
    """A finding's value as the contract's text: true and false as XML writes them."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
