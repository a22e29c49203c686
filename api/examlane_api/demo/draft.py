"""Drafting one case: a patient, and the messages a hospital information system sends for him, in REST's words."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from examlane_api.demo.catalogue import Catalogue

SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红梅建国志文慧宁晨雪佳欣怡子涵"
CAMPUSES, CAMPUS_SHARES = ("NORTH", "SOUTH", "EAST"), (0.6, 0.25, 0.15)
CAMPUS_OF_CLINIC = {"SUR": "SOUTH", "IM": "SOUTH", "RES": "EAST", "PE": "NORTH", "EME": "NORTH", "GYN": "NORTH"}
MINUTES_TO_PAY = (3, 25)


class Draft:
    """Collects what is sent and what must come of it."""

    def __init__(self, number: int, dice: random.Random, catalogue: Catalogue, start: datetime, arrives: int) -> None:
        self.dice = dice
        self.arrives = arrives
        self.messages: list[tuple[int, str, dict[str, Any]]] = []
        self.expected: dict[str, str] = {}
        self._number = number
        self._catalogue = catalogue
        self._start = start
        self._orders: dict[str, dict[str, Any]] = {}
        self._home = dice.choices(CAMPUSES, CAMPUS_SHARES)[0]
        self.person()

    # Who

    def person(
        self, sex: str = "", ages: tuple[int, int] = (22, 75), out_of_town: bool = False, phone: bool = True
    ) -> Draft:
        """Say who it is; a random adult unless said otherwise."""
        self.sex = sex or self.dice.choice(("female", "male"))
        self.age = self.dice.randint(*ages)
        birthday = self._start.date() - timedelta(days=self.age * 366 + self.dice.randint(0, 300))
        name = self.dice.choice(SURNAMES) + "".join(self.dice.sample(GIVEN, self.dice.choice((1, 2))))
        self.weight = round(self.dice.uniform(45, 92), 1)
        self._patient: dict[str, Any] = {
            "identifiers": [{"kind": "card", "value": f"{900000000 + self._number}"}],
            "name": name,
            "sex": self.sex,
            "birth_date": birthday.isoformat(),
            "out_of_town": out_of_town,
            "phone": f"139{self._number:08}" if phone else "",
        }
        return self

    @property
    def encounter(self) -> str:
        """The number of the patient's encounter."""
        return f"V{self._number:05}"

    @property
    def identifiers(self) -> list[dict[str, str]]:
        """What other systems know the patient by."""
        return list(self._patient["identifiers"])

    @property
    def card(self) -> dict[str, str]:
        """The number the patient is known by."""
        return self.identifiers[0]

    @property
    def patient(self) -> dict[str, Any]:
        """The patient in REST's words."""
        return dict(self._patient)

    def second_record(self, department: str, item: str, after: int) -> None:
        """The patient is registered a second time for one more exam, which is paid; then the records are merged."""
        first, self._patient = self._patient, {
            **self._patient, "identifiers": [{"kind": "temporary", "value": f"T{self._number:05}"}]
        }  # fmt: skip
        number = self.order(department, (item,), after=after, encounter="outpatient", suffix="T")[0]
        self.pay([number], after + 3)
        self.request("/patients/merges", after + 6, {"keep": first["identifiers"][0], "merge": self.card})
        self._patient = first

    # What is ordered

    def order(
        self,
        department: str,
        items: Sequence[str],
        *,
        after: int = 0,
        encounter: str = "outpatient",
        context: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
        note: str = "",
        verified: bool = False,
        priority: str = "routine",
        expect: str = "",
        suffix: str = "",
    ) -> list[str]:
        """Order exams: one order an executing department, as a hospital information system splits them."""
        numbers = []
        for executing in dict.fromkeys(map(self._catalogue.department, items)):
            own = [item for item in items if self._catalogue.department(item) == executing]
            number = f"O{self._number:05}-{len(self._orders) + 1}"
            facts = {**self._usual_facts(executing), **(context or {})}
            body = {
                "number": number,
                "patient": self._patient,
                "encounter": self._encounter(department, encounter, suffix),
                "ordering_department": department,
                "priority": priority,
                "ordered_at": self.at(after),
                "items": [{"line": line, "item": item, "confirmed": []} for line, item in enumerate(own, 1)],
                "context": {name: self._fact(fact, after) for name, fact in facts.items() if name not in without},
                "note": note,
                "verified": verified,
            }
            self._orders[number] = body
            self._send(after, "order", body)
            for line, item in enumerate(own, 1):
                self.expected[f"{number}/{line}"] = expect or self._catalogue.outcome(item)
            numbers.append(number)
        return numbers

    def again(self, number: str, after: int, *, confirmed: Sequence[str] = (), **facts: Any) -> None:
        """The doctor sends an order again: confirmed, or with what was missing."""
        old = self._orders[number]
        context = {**old["context"], **{name: self._fact(fact, after) for name, fact in facts.items()}}
        items = [{**line, "confirmed": list(confirmed)} for line in old["items"]]
        self._send(after, "order", {**old, "context": context, "items": items, "ordered_at": self.at(after)})

    def reissue(self, number: str, after: int) -> str:
        """The doctor orders the same exams anew, in place of an order, and what was paid counts on."""
        new = f"O{self._number:05}-{len(self._orders) + 1}"
        body = {**self._orders[number], "number": new, "replaces": number, "carry_payment": True,
                "ordered_at": self.at(after)}  # fmt: skip
        self._orders[new] = body
        self.request("/orders", after, body)
        for line in body["items"]:
            self.expected[f"{new}/{line['line']}"] = self.expected[f"{number}/{line['line']}"]
            self.expected[f"{number}/{line['line']}"] = "reissued"
        return new

    def expect(self, outcome: str, *numbers: str) -> None:
        """Every item of these orders, or of all of them, must end so."""
        for key in self.expected:
            if not numbers or key.rpartition("/")[0] in numbers:
                self.expected[key] = outcome

    # What follows

    def pay(self, numbers: Sequence[str], after: int | None = None, apart: int = 0) -> None:
        """One payment message an order, in the same settlement or some minutes apart."""
        first = self.dice.randint(*MINUTES_TO_PAY) if after is None else after
        for place, number in enumerate(numbers):
            minute = first + place * apart
            self._send(minute, "payment", {"order": number, "lines": [], "paid_at": self.at(minute)})

    def evidence(self, kind: str, outcome: str, after: int, scope: str = "", **data: Any) -> None:
        card = self._patient["identifiers"][0]
        body = {"patient": card, "kind": kind, "outcome": outcome, "observed_at": self.at(after), "scope": scope}
        self._send(after, "evidence", {**body, "data": data})

    def verify(self, number: str, after: int) -> None:
        self._send(after, "verification", {"order": number})

    def cancel(self, number: str, after: int) -> None:
        self._send(after, "cancellation", {"order": number, "reason": "患者要求取消"})
        self.expect("cancelled", number)

    def move(self, number: str, after: int) -> None:
        self._send(after, "move", {"order": number, "reason": "患者改期"})
        self.expect("moved", number)

    def request(
        self, path: str, after: int, body: Mapping[str, Any] | None = None, *, method: str = "POST",
        caller: str = "his",
    ) -> None:  # fmt: skip
        """Any other request, in REST's words. `{ORDER}` in it, an order's number in braces, stands for the number
        of that order's appointment by then."""
        self._send(after, "request", {"method": method, "path": path, "body": dict(body or {}), "caller": caller})

    def at(self, after: int) -> str:
        return (self._start + timedelta(minutes=self.arrives + after)).isoformat()

    def day(self, later: int) -> str:
        """The date so many days after the morning."""
        return (self._start.date() + timedelta(days=later)).isoformat()

    def _send(self, after: int, kind: str, body: dict[str, Any]) -> None:
        self.messages.append((after, kind, body))

    def _encounter(self, department: str, encounter: str, suffix: str) -> dict[str, Any]:
        campus = CAMPUS_OF_CLINIC.get(department) or self._home
        ward = "内科一病区" if encounter == "inpatient" else ""
        return {
            "number": self.encounter + suffix, "encounter_class": encounter, "ward": ward,
            "campus": campus, "needs": [],
        }  # fmt: skip

    def _usual_facts(self, executing: str) -> dict[str, Any]:
        """What a careful doctor writes into every order for this department."""
        facts: dict[str, Any] = {"weight_kg": self.weight, "implants": False} if executing == "RAD" else {}
        if executing in ("RAD", "NM", "ES", "HYS") and self.sex == "female":
            facts["pregnant"] = False
        if executing in ("ES", "HYS"):
            facts |= {"anticoagulant": "none", "escort": True}
        return facts

    def _fact(self, value: Any, after: int) -> dict[str, Any]:
        """A fact observed now, or so many days ago: `(value, days)`."""
        value, days = value if isinstance(value, tuple) else (value, 0)
        observed = self._start + timedelta(minutes=self.arrives + after) - timedelta(days=days)
        return {"value": value, "observed_at": observed.isoformat(), "source": "EMR"}
