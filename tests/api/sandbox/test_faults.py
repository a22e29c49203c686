"""A system at fault never stops a booking and never opens a gate; what it must hear reaches it once and in order."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest

FAULTS = ("slow", "down", "garbage", "duplicate", "reordered")
SEDATED_GASTROSCOPY, ENHANCED_HEAD_CT = "320500003-P", "230100001-E"
FACTS = {
    "weight_kg": "60", "egfr": "92", "pregnant": "false", "metformin": "false", "hyperthyroidism": "false",
    "contrast_reaction": "none",
}  # fmt: skip

REQUESTS = {
    "rest": ("POST /api/v1/payments", "POST /api/v1/orders"), "soap": ("ReportPayment", "SubmitOrder"),
    "hip": ("PaymentInfoAdd", "CheckAppInfoAdd"),
}  # fmt: skip


def owed(trial: Any, system: str) -> list[tuple[Any, ...]]:
    """The events that a system is owed, as examlane wrote them."""
    rows = trial.sandbox.hospital.database.rows(
        "SELECT e.event_id, e.subject_key, e.sequence FROM event e JOIN peer p ON p.id = e.peer_id WHERE p.code = ?", system
    )
    return sorted(tuple(row) for row in rows)


def by_key(received: list[Any], what: str) -> dict[str, list[Any]]:
    """One value of what came first about each subject, in the order in which it came."""
    found = sorted(received, key=lambda each: each["key"])
    return {key: [each[what] for each in group] for key, group in groupby(found, key=lambda each: each["key"])}


def a_day(trial: Any) -> list[str]:
    """Three visits, by three ways: booked while the clinic is open, one cancelled, the others arrive."""
    numbers = [trial.booked(via) for via in ("rest", "soap", "hip")]
    trial.turn()
    trial.client(f"/appointments/{numbers[0]}/cancel", {"reason": "改期"})
    trial.turn()
    for number in numbers[1:]:
        trial.until(number)
        trial.client(f"/appointments/{number}/check-in", {})
        trial.turn()
    return numbers


@pytest.mark.parametrize("kind", FAULTS)
def test_events_reach_a_system_at_fault_once_and_in_order(trial: Any, kind: str) -> None:
    for system in ("ris", "queue"):
        trial.fault(system, kind)
    cancelled, *arrived = a_day(trial)
    for system in ("ris", "queue"):
        trial.fault(system, "none")
    trial.work()
    for system in ("ris", "queue"):
        received = trial.received(system)
        assert sorted((each["id"], each["key"], each["sequence"]) for each in received) == owed(trial, system.upper())
        assert all(each == sorted(each) for each in by_key(received, "sequence").values())
    heard = by_key(trial.received("ris"), "kind")
    assert heard[cancelled] == ["worklist.scheduled", "worklist.removed"]
    assert [heard[number] for number in arrived] == [["worklist.scheduled", "worklist.registered"]] * 2


@pytest.mark.parametrize("kind", FAULTS)
def test_documents_reach_a_platform_at_fault_once_and_in_order(trial: Any, kind: str) -> None:
    numbers = [trial.booked() for _ in range(2)]
    trial.fault("platform", kind)
    trial.turn()
    trial.client(f"/appointments/{numbers[0]}/cancel", {"reason": "改期"})
    trial.turn()
    trial.fault("platform", "none")
    trial.work()
    heard = by_key(trial.received("platform"), "kind")
    assert heard[numbers[0]] == ["CheckAppointStatusInfoAdd", "CheckAppointStatusInfoUpdate"]
    assert heard[numbers[1]] == ["CheckAppointStatusInfoAdd"]
    assert trial.sandbox.hospital.database.value("SELECT count(*) FROM event WHERE dead = 1") == 0


@pytest.mark.parametrize("kind", FAULTS)
def test_a_gate_stays_closed_whatever_is_at_fault(trial: Any, kind: str) -> None:
    for system in ("ris", "queue", "gateway", "platform"):
        trial.fault(system, kind)
    order = trial.ordered(item=SEDATED_GASTROSCOPY, sex="male")
    trial.send("payment", order=order)
    trial.turn()
    assert (trial.item(order)["reason"], trial.item(order)["appointment"]) == ("awaiting_gate", None)
    trial.send("assessment", patient=f"C{order}")
    assert trial.item(order)["reason"] == "booked"


@pytest.mark.parametrize("kind", ["slow", "down", "garbage", "duplicate"])
def test_what_a_his_at_fault_does_not_tell_stays_unknown(trial: Any, kind: str) -> None:
    number = f"70{kind}"
    trial.told("/facts", {"patient": f"C{number}", "facts": FACTS})
    trial.fault("his", kind)
    identifiers = [{"kind": "card", "value": f"C{number}"}]
    order = {
        "number": number, "patient": {"identifiers": identifiers, "name": "测试患者", "birth_date": "1980-02-29"},
        "encounter": {"number": f"V{number}", "encounter_class": "outpatient", "campus": "NORTH"},
        "ordering_department": "GAS", "ordered_at": "2026-11-23T07:30:00+08:00",
        "items": [{"line": 1, "item": ENHANCED_HEAD_CT}],
    }  # fmt: skip
    paid = {"order": number, "paid_at": "2026-11-23T07:30:00+08:00"}
    trial.client("/orders", order)
    assert trial.client("/payments", paid)["items"][0]["reason"] == "rejected"
    assert trial.item(number)["appointment"] is None
    trial.fault("his", "none")
    trial.client("/orders", order)
    trial.client("/payments", paid)
    assert trial.item(number)["reason"] == "booked"


# What a system at fault sends


def test_what_is_sent_twice_counts_once(trial: Any) -> None:
    trial.fault("his", "duplicate")
    booked = trial.count("appointment")
    for via in ("rest", "soap", "hip"):
        order = f"71{via}"
        first, second = trial.told("/send/order", {"number": order, "patient": f"C{order}", "via": via})["said"]
        assert (first["answer"], first["status"]) == (second["answer"], second["status"])
        trial.told("/send/payment", {"order": order, "via": via})
        assert trial.item(order)["reason"] == "booked"
    assert trial.count("appointment") == booked + 3


@pytest.mark.parametrize("via", ["rest", "soap", "hip"])
def test_a_payment_that_overtakes_its_order_counts(trial: Any, via: str) -> None:
    trial.fault("his", "reordered")
    held = trial.told("/send/order", {"number": f"72{via}", "patient": f"C72{via}", "via": via})
    assert (held["held"], held["said"]) == (True, [])
    paid, ordered = trial.told("/send/payment", {"order": f"72{via}", "via": via})["said"]
    assert (paid["request"], ordered["request"]) == REQUESTS[via]
    assert trial.item(f"72{via}")["reason"] == "booked"


def test_what_was_held_back_is_sent_when_the_fault_ends(trial: Any) -> None:
    trial.fault("his", "reordered")
    trial.told("/send/order", {"number": "7301", "patient": "C7301"})
    [sent] = trial.fault("his", "none")["said"]
    assert sent["status"] == "200"
    assert trial.item("7301")["reason"] == "awaiting_payment"


@pytest.mark.parametrize(("via", "status"), [("rest", "400"), ("soap", "500"), ("hip", "500")])
def test_nonsense_is_refused_and_nothing_is_written(trial: Any, via: str, status: str) -> None:
    trial.fault("his", "garbage")
    known = trial.count("exam_order")
    assert trial.send("order", via, number="7401")["status"] == status
    assert trial.count("exam_order") == known


def test_a_system_that_is_down_sends_nothing(trial: Any) -> None:
    trial.fault("his", "down")
    answer = trial.post("/send/order", {"number": "7501"})
    assert (answer.status_code, answer.json()["code"]) == (409, "down")
