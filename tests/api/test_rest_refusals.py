"""Why a time is refused: everything that is against it, in one answer, and which rule says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

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
from examlane.testing import require
from tests.api.conftest import Site, opened


class Rules:
    """No heart without an assessment and a signature, a day between thyroid and head, no head with metformin."""

    @hookimpl
    def pre_booking_gate(self, order: OrderView) -> list[GateAnswer]:
        hearts = [item.key for item in order.items if item.item.code == "US-HEART"]
        return [
            GateClosed(kind, key, f"rules.{kind}", Text(f"缺{kind}", f"no {kind}"), Text("请补", "supply it"), "assessor")
            for key in hearts
            for kind in ("assessment", "signature")
        ]

    @hookimpl
    def validate_order(self, order: OrderView) -> list[Finding]:
        words = Text("二甲双胍与对比剂", "metformin and contrast")
        heads = [item.key for item in order.items if item.item.code == "CT-HEAD" and order.known("metformin")]
        return [Finding(FindingKind.BLOCK, "rules.contrast", words, key, rule="contrast.metformin") for key in heads]

    @hookimpl
    def interval_rules(self) -> Sequence[IntervalRule]:
        thyroid, head, words = Selector("US-THYROID"), Selector("CT-HEAD"), Text("须隔一天", "a day between them")
        day = timedelta(days=1)
        return [IntervalRule("rules.apart", "1", thyroid, head, Relation.EXCLUDE, words, after=day, before=day)]


@pytest.fixture
def site(sqlite_url: str) -> Iterator[Site]:
    with opened(sqlite_url, {"rules": Rules()}) as found:
        for department in ("US", "CT"):
            require(found.world, department, "rules")
        yield found


def refused(site: Site, path: str, **body: Any) -> tuple[Any, list[tuple[str, str, str]]]:
    """The answer, and each thing that is against it: its field, code and rule."""
    answer = site.post(path, {"group": "US-N", "starts_at": "2026-11-24T09:00:00+08:00"} | body)
    assert answer.status_code == 409
    return answer.json, [(each["pointer"], each["code"], each.get("rule", "")) for each in answer.json["errors"]]


def test_every_closed_gate_of_every_named_item_is_told_at_once(site: Site) -> None:
    site.post("/orders", site.order("O1", "US-THYROID", "US-HEART"))

    answer, against = refused(site, "/appointments", items=["O1/2", "O1/1"])

    assert answer["code"] == "awaiting_payment"
    assert sorted(against) == [
        ("/items/0", "awaiting_gate", "rules.assessment"),
        ("/items/0", "awaiting_gate", "rules.signature"),
        ("/items/1", "awaiting_payment", ""),
    ]
    assert all(words in answer["message"]["en"] for words in ("no assessment", "no signature", "please pay"))


def test_an_item_that_a_rule_rejected_names_the_rule_and_its_words(site: Site) -> None:
    observed = {"value": True, "observed_at": "2026-11-22T08:00:00+08:00", "source": "HIS"}
    site.post("/orders", site.order("O1", "CT-HEAD", context={"metformin": observed}))

    answer, against = refused(site, "/appointments", items=["O1/1"])

    assert (answer["code"], answer["message"]["zh"]) == ("rejected", "二甲双胍与对比剂")
    assert against == [("/items/0", "rejected", "contrast.metformin")]


def test_an_item_that_is_over_or_another_patients_is_not_left_out_in_silence(site: Site) -> None:
    cancelled, done = site.booked("O1", patient="P1")["number"], site.booked("O2", "CT-HEAD", patient="P1")["number"]
    site.post(f"/appointments/{cancelled}/cancel", {"reason": "改期"})
    for state in ("started", "finished"):
        site.post(f"/appointments/{done}/execution", {"state": state})
    site.booked("O3", patient="P3")
    before = site.counts()

    for path in ("/appointments", "/holds"):
        answer, against = refused(site, path, items=["O1/1", "O2/1", "O3/1"])
        assert answer["code"] == "not_bookable"
        assert against == [("/items/1", "not_bookable", ""), ("/items/2", "not_bookable", "")]
    assert site.counts() == before


def test_a_time_too_near_to_another_exam_names_the_rule_and_its_words(site: Site) -> None:
    first = site.booked("O1", patient="P1")
    second = site.booked("O2", "CT-HEAD", patient="P1")

    answer, against = refused(
        site, f"/appointments/{second['number']}/reschedule", group=second["group"], starts_at=first["ends_at"]
    )

    assert (answer["code"], answer["message"]["en"]) == ("time_not_possible", "a day between them")
    assert against == [("/starts_at", "time_not_possible", "rules.apart")]


def test_a_time_without_a_seat_names_no_rule(site: Site) -> None:
    booked = site.booked("O1")

    answer, against = refused(
        site, f"/appointments/{booked['number']}/reschedule", group="US-N", starts_at="2026-11-24T03:00:00+08:00"
    )

    assert answer["message"]["en"] == "this time does not meet the exam's requirements: choose another"
    assert against == [("/starts_at", "time_not_possible", "")]
