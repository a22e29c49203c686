"""Each kind of bad input, through REST and SOAP, is refused with its place, written nowhere, the same on each database."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from lxml import etree

from examlane import (
    Finding,
    FindingKind,
    GateAnswer,
    GateClosed,
    IntervalRule,
    OrderView,
    Relation,
    Selector,
    Text,
    hookimpl,
)
from examlane.storage.tables import TABLES
from examlane.testing import require
from tests.api.bad_input import BODIES, NAMESPACE, Json, Xml
from tests.api.bad_rows import ACCEPTED, ROWS
from tests.api.conftest import opened

DUMPED = [table._meta.table_name for table in TABLES if table._meta.table_name not in ("slot", "client_nonce")]
SEATS = "SELECT count(*), sum(taken), sum(extra) FROM slot"


class Rules:
    """No heart without an assessment, no contrast with metformin, no thyroid within a year after a head."""

    @hookimpl
    def pre_booking_gate(self, order: OrderView) -> list[GateAnswer]:
        words = Text("请先完成评估", "Assessment first")
        hearts = [item.key for item in order.items if item.item.code == "US-HEART"]
        return [GateClosed("assessment", key, "rules.assess", words, words, "assessor") for key in hearts]

    @hookimpl
    def validate_order(self, order: OrderView) -> list[Finding]:
        words = Text("二甲双胍与对比剂", "Metformin and contrast")
        heads = [item.key for item in order.items if item.item.code == "CT-HEAD" and order.known("metformin") is True]
        return [Finding(FindingKind.BLOCK, "rules.contrast", words, key) for key in heads]

    @hookimpl
    def interval_rules(self) -> Sequence[IntervalRule]:
        first, second, words = Selector("CT-HEAD"), Selector("US-THYROID"), Text("须间隔", "apart")
        return [IntervalRule("rules.apart", "1", first, second, Relation.EXCLUDE, words, after=timedelta(365))]


class Hospital:
    """One of the two: its application, and the numbers of its appointments by what became of them."""

    def __init__(self, site: Any) -> None:
        self.site = site
        cancelled, done, booked = (site.booked(f"O-{n}", patient=f"P-{n}")["number"] for n in range(3))
        site.post(f"/appointments/{cancelled}/cancel", {"reason": "改期"})
        for state in ("started", "finished"):
            site.post(f"/appointments/{done}/execution", {"state": state})
        again = site.booked("O0", patient="P0")["number"]
        site.post(f"/appointments/{again}/cancel", {"reason": "改期"})
        site.post("/orders", site.order("OG", patient="P-G"), key="used")
        self._order("OH", "US-HEART")
        self._order("OT", "CT-HEAD", patient="P-OX")
        self._order("OX", "US-THYROID")
        observed = {"value": True, "observed_at": "2026-11-22T08:00:00+08:00", "source": "HIS"}
        self._order("OC", "CT-HEAD", context={"metformin": observed})
        self.numbers = {"CANCELLED": cancelled, "DONE": done, "BOOKED": booked}
        self.send(Xml("SubmitOrder", "order/messageId", "used"))

    def _order(self, number: str, item: str, patient: str = "", **more: Any) -> None:
        self.site.post("/orders", self.site.order(number, item, patient=patient or f"P-{number}", **more))
        self.site.post("/payments", self.site.payment(number))

    def send(self, case: Json | Xml) -> Any:
        return self._json(case) if isinstance(case, Json) else self._xml(case)

    def _json(self, case: Json) -> Any:
        headers = {"Idempotency-Key": "bad", "Content-Type": "application/json", **self.site.authorization("his")}
        headers |= dict(case.headers)
        path = "/api/v1" + named(case.path, self.numbers)
        sent = None if case.method == "GET" else case.body(self.numbers)
        return self.site.app.test_client().open(path, method=case.method, data=sent, headers=present(headers))

    def _xml(self, case: Xml) -> Any:
        key = base64.b64encode(f"his:{self.site.secrets['his']}".encode()).decode()
        headers = {"Content-Type": "text/xml", "Authorization": f"Basic {key}"} | dict(case.headers)
        return self.site.app.test_client().post("/soap/booking", data=case.body(self.numbers), headers=present(headers))

    def told(self, answer: Any) -> tuple[int, str]:
        """The answer with the names of the appointments in the place of their numbers."""
        text = answer.get_data(as_text=True)
        return answer.status_code, named(text, {number: name for name, number in self.numbers.items()})

    def dump(self) -> dict[str, Any]:
        database = self.site.world.database
        rows = {name: database.rows(f"SELECT * FROM {name} ORDER BY id") for name in DUMPED}
        return rows | {"slot": database.rows(SEATS)}


def present(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if value}


def named(text: str, names: Mapping[str, str]) -> str:
    for name, number in names.items():
        text = text.replace(name, number)
    return text


Hospitals = tuple[tuple[Hospital, dict[str, Any]], ...]


@pytest.fixture(scope="module")
def hospitals(both_urls: tuple[str, str]) -> Iterator[Hospitals]:
    """One on each database, with what is in its tables before anything bad is sent."""
    with opened(both_urls[0], {"rules": Rules()}) as one, opened(both_urls[1], {"rules": Rules()}) as other:
        for site in (one, other):
            for department in ("US", "CT"):
                require(site.world, department, "rules")
        made = [Hospital(site) for site in (one, other)]
        yield tuple((each, each.dump()) for each in made)


def cases(rows: Mapping[str, list[Json | Xml]]) -> Iterator[Any]:
    for name, sent in rows.items():
        for number, case in enumerate(sent, 1):
            yield pytest.param(case, id=f"{name}, {type(case).__name__} {number}")


@pytest.mark.parametrize("case", [*cases(ROWS)])
def test_it_is_refused_with_its_place_and_written_nowhere(hospitals: Any, case: Json | Xml) -> None:
    answers = [hospital.send(case) for hospital, _ in hospitals]
    told = [hospital.told(answer) for (hospital, _), answer in zip(hospitals, answers, strict=True)]

    assert told[0] == told[1]
    (refused_by_rest if isinstance(case, Json) else refused_by_soap)(case, answers[0])
    for hospital, before in hospitals:
        assert hospital.dump() == before


def refused_by_rest(case: Json, answer: Any) -> None:
    assert (answer.status_code, answer.mimetype) == (case.status, "application/problem+json")
    assert len(answer.data) < 30_000
    assert answer.json["code"] == (case.code or answer.json["code"])
    if case.rule:
        assert case.rule in [each.get("rule") for each in answer.json["errors"]]
    if case.named_pointer and answer.status_code == 422:
        problems = {each["pointer"]: each for each in answer.json["errors"]}
        assert case.named_pointer in problems
        assert problems[case.named_pointer]["detail_zh"]


def refused_by_soap(case: Xml, answer: Any) -> None:
    fault = etree.fromstring(answer.data)
    kinds = {"MustUnderstand"} if case.code == "header_not_understood" else {"Client", "Sender"}
    written = fault.findtext(".//faultcode") or fault.findtext(".//{*}Code/{*}Value") or ""
    assert written.partition(":")[2] in kinds
    assert answer.status_code == (case.status or answer.status_code)
    if case.code:
        assert fault.findtext(f".//{{{NAMESPACE}}}code") == case.code
    if case.rule:
        assert case.rule in [each.text for each in fault.iter(f"{{{NAMESPACE}}}rule")]
    if case.named_field:
        assert case.named_field in [each.text for each in fault.iter(f"{{{NAMESPACE}}}field")]


@pytest.mark.parametrize("case", [*cases(ACCEPTED)])
def test_what_only_looks_odd_is_accepted(rest: Any, case: Json | Xml) -> None:
    assert Hospital(rest).send(case).status_code == 200


def test_the_sound_messages_that_are_made_bad_are_accepted(rest: Any) -> None:
    hospital = Hospital(rest)
    for path in ("/orders", "/payments", "/evidence"):
        assert rest.post(path, BODIES[path]).status_code == 200
    assert hospital.send(Xml("RescheduleAppointment")).status_code == 200
