"""The plain answers of all channels as the contract's results, in one language; ISO instants become datetimes again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from examlane.corrections.refunds import Refundable
from examlane.domain import Text

Answer = Mapping[str, Any]
REFUSED = "rejected"
"""The state of an item that could not be understood, as of one that is against the rules."""


class Results:
    """Renders answers for one request, in Chinese (`zh`) or English (`en`)."""

    def __init__(self, language: str) -> None:
        self._language = language

    def order(self, number: str, answer: Answer) -> Answer:
        refused = [self._refused(item) for item in answer.get("refused", ())]
        items = [*(self._item(item) for item in answer["items"]), *refused]
        return {"orderNo": number, "items": sorted(items, key=_line) if refused else items}

    def validation(self, number: str, answer: Answer) -> Answer:
        judged = [self._judged(item) for item in answer["items"]]
        refused = [self._judged_unread(item) for item in answer["refused"]]
        return {"orderNo": number, "items": sorted([*judged, *refused], key=_line)}

    def changed(self, answer: Answer) -> Answer:
        outcomes = answer.get("outcomes", {})
        return {"items": [{**self._named(item), "outcome": outcomes.get(item["key"])} for item in answer["items"]]}

    def refundable(self, number: str, found: Iterable[Refundable]) -> Answer:
        return {
            "orderNo": number,
            "items": [
                {"line": _line_of(each.key), "refundable": each.refundable, "code": each.code,
                 "message": self.text(each.text)}
                for each in found
            ],
        }  # fmt: skip

    def payment(self, number: str, answer: Answer) -> Answer:
        return {**self.order(number, answer), "state": answer["state"]}

    def evidence(self, answer: Answer) -> Answer:
        return {"items": [self._named(item) for item in answer["items"]]}

    def payable(self, number: str, answer: Answer) -> Answer:
        return {"orderNo": number, "items": [self._payable(item) for item in answer["items"]]}

    def times(self, answer: Answer) -> Answer:
        return {
            "slots": [
                {
                    **_period(time["period"]), "group": time["group"], "campus": time["campus"],
                    "place": self.words(time["place"]), "startAt": datetime.fromisoformat(time["starts_at"]),
                }
                for time in answer["times"]
            ]
        }  # fmt: skip

    def appointment(self, answer: Answer) -> Answer:
        return {
            "appointmentNo": answer["number"], "version": answer["version"], "state": answer["state"],
            **_period(answer["period"]), "campus": answer["campus"], "place": self.words(answer["place"]),
            "queueNo": str(answer["queue_number"]) if answer["queue_number"] else None,
            "preparation": [self.words(step["text"]) for step in answer["preparation"]],
            "message": self._missed(answer), "department": answer["department"] or None,
            "group": answer["group"] or None, "startAt": datetime.fromisoformat(answer["starts_at"]),
            "items": [item_key(key) for key in answer["items"]],
            "holdExpiresAt": maybe_instant(answer["hold_expires_at"]),
        }  # fmt: skip

    def text(self, text: Text) -> str:
        return text.zh if self._language == "zh" else text.en

    def words(self, words: Answer) -> str:
        return str(words.get(self._language, ""))

    def _missed(self, answer: Answer) -> str | None:
        told = answer["no_show"].get("text") if answer["state"] == "no_show" else None
        return self.words(told) if told else None

    def _item(self, item: Answer) -> dict[str, Any]:
        return {
            "line": item["line"], "itemCode": item["item"], "state": item["state"], "code": item["reason"],
            "message": self.words(item["message"]), "payable": item["payable"],
            "appointment": self.appointment(item["appointment"]) if item["appointment"] else None,
            "findings": [self._finding(finding) for finding in item["findings"]],
            "gates": [self._gate(gate) for gate in item["gates"]],
        }  # fmt: skip

    def _named(self, item: Answer) -> dict[str, Any]:
        return {"orderNo": item["order"], **self._item(item)}

    def _refused(self, item: Answer) -> dict[str, Any]:
        return {
            "line": item["line"], "itemCode": item["item"], "state": REFUSED, "code": item["code"],
            "message": self.words(item["message"]), "payable": False,
        }  # fmt: skip

    def _judged(self, item: Answer) -> dict[str, Any]:
        return {
            "line": _line_of(item["key"]), "itemCode": item["item"], "state": item["state"], "payable": item["payable"],
            "findings": [self._finding(finding) for finding in item["findings"]],
            "gates": [self._gate(gate) for gate in item["gates"]],
        }  # fmt: skip

    def _judged_unread(self, item: Answer) -> dict[str, Any]:
        finding = {"kind": "block", "code": item["code"], "message": self.words(item["message"])}
        return {
            "line": item["line"], "itemCode": item["item"], "state": REFUSED, "payable": False, "findings": [finding],
        }  # fmt: skip

    def _payable(self, item: Answer) -> Answer:
        actions = [self.words(gate["next_action"]) for gate in item["gates"] if gate["state"] != "open"]
        return {
            "line": item["line"], "payable": item["payable"], "code": item["reason"],
            "message": self.words(item["message"]), "nextAction": "；".join(filter(None, actions)) or None,
        }  # fmt: skip

    def _finding(self, finding: Answer) -> Answer:
        value = finding["until"] if finding["value"] is None else finding["value"]
        return {
            "kind": finding["kind"], "code": finding["code"], "message": self.words(finding["text"]),
            "field": finding["field"] or None, "value": _text(value),
        }  # fmt: skip

    def _gate(self, gate: Answer) -> Answer:
        return {
            "kind": gate["kind"], "state": gate["state"], "code": gate.get("code") or None,
            "message": self.words(gate.get("reason", {})) or None,
            "nextAction": self.words(gate.get("next_action", {})) or None, "owner": gate.get("owner") or None,
        }  # fmt: skip


def item_key(key: str) -> Answer:
    order, _, line = key.rpartition("/")
    return {"orderNo": order, "line": int(line)}


def maybe_instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _line_of(key: str) -> int:
    return int(key.rpartition("/")[2])


def _line(item: Answer) -> int:
    return int(item["line"])


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
