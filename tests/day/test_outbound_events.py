"""What leaves at each step of a visit: the cashier, the queue system, the department's system and the doctor hear of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from examlane import Fact
from examlane.appointments import changes
from examlane.arrival import calling, executing, noshow
from examlane.arrival.executing import ExecutionReport
from examlane.capacity import policy
from examlane.corrections import order_changes, refunds, withdrawing
from examlane.corrections.order_changes import OrderChange
from examlane.corrections.refunds import RefundData
from examlane.errors import Conflict
from examlane.insight import invariants
from examlane.outbound import kinds
from examlane.records import peers
from examlane.records.audit import Actor
from examlane.storage.fields import epoch
from examlane.testing import MORNING, TESTER, World, small_hospital
from tests.core.test_gates import Assessment

DESK = Actor("registrar", "rest", desk=True)
SCREENS = Actor("queue", "rest")
HEARD = "SELECT e.kind, e.payload FROM event e JOIN peer p ON p.id = e.peer_id WHERE p.code = ? ORDER BY e.id"


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, {"assessment": Assessment()}, planning_window=timedelta())
    listens = {
        "HIS": [kind for kind in kinds.KINDS if kind.startswith("order")],
        "QUEUE": ["ticket.issued", "ticket.void", "appointment.called", "appointment.called_absent"],
        "RIS": ["worklist.scheduled", "worklist.registered", "worklist.removed"],
        "ALL": [],
    }
    for code, names in listens.items():
        peers.add(
            world.database, code, f"http://{code.lower()}/events", TESTER, MORNING - timedelta(minutes=1), event_types=names
        )
    yield world
    told = world.database.rows("SELECT kind, payload FROM event")
    assert [misfit for kind, payload in told for misfit in kinds.misfits(kind, json.loads(payload))] == []
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def heard(world: World, peer: str, kind: str = "") -> list[tuple[str, dict[str, Any]]]:
    return [(name, json.loads(payload)) for name, payload in world.database.rows(HEARD, peer) if kind in ("", name)]


def names(world: World, peer: str) -> list[str]:
    return [name for name, _ in heard(world, peer)]


def booked(world: World, *items: str, **more: Any) -> str:
    order = world.order(*(items or ("US-THYROID",)), number="O1", **more)
    world.pay(order)
    return str(world.item("O1/1").appointment)


def here(world: World) -> str:
    number = booked(world)
    world.clock.advance(world.item("O1/1").starts_at - world.clock.now())
    changes.check_in(world.hospital, number, TESTER)
    return number


def report(world: World, number: str, state: str, *, reason: str = "") -> None:
    executing.report(world.hospital, number, ExecutionReport(state, reason=reason), TESTER)


def test_the_cashier_hears_when_an_unpaid_item_may_be_paid_and_when_it_may_not_any_more(world: World) -> None:
    world.switch("US", "assessment")
    world.order("US-THYROID", "CT-HEAD", number="O1")
    world.evidence("P1", "assessment", "passed")
    world.evidence("P1", "consent", "signed")
    withdrawing.void(world.hospital, "O1", (1,), TESTER, reason="written by mistake")

    told = [payload for _, payload in heard(world, "HIS", "order_item.payable")]
    assert [(each["line"], each["payable"], each["reason"], each["gates"]) for each in told] == [
        (1, False, "awaiting_gate", ["assessment"]),
        (2, True, "awaiting_payment", []),
        (1, True, "awaiting_payment", []),
        (1, False, "voided", []),
    ]


def test_a_paid_item_is_told_to_no_cashier_whatever_its_gate_does(world: World) -> None:
    world.switch("US", "assessment")
    world.order("US-THYROID", number="O1")
    world.pay("O1")
    world.evidence("P1", "assessment", "passed")

    assert [payload["payable"] for _, payload in heard(world, "HIS", "order_item.payable")] == [False]


def test_the_doctors_system_hears_the_rules_answer_with_its_codes_once(world: World) -> None:
    world.order("US-THYROID", number="O1")
    world.evidence("P1", "weight", "60 kg")

    ((_, told),) = heard(world, "HIS", "order.answered")
    assert told == {
        "order": "O1",
        "items": [{"order_item": "O1/1", "state": "accepted", "reason": "awaiting_payment", "findings": []}],
    }
    assert "order.answered" not in names(world, "ALL")


def test_the_queue_system_has_a_ticket_at_check_in_and_loses_it_with_an_undone_one(world: World) -> None:
    number = here(world)
    ((_, ticket),) = heard(world, "QUEUE")
    calling.undo(world.hospital, number, TESTER, reason="wrong card")

    assert (ticket["appointment"], ticket["queue_number"], ticket["group"]) == (number, 1, "US-N")
    assert ticket["place"]["zh"] == "超声室"
    assert ticket["name"] == "患*1"
    assert ticket["period_starts_at"] < ticket["period_ends_at"]
    assert [(name, payload["appointment"]) for name, payload in heard(world, "QUEUE")[1:]] == [("ticket.void", number)]


def test_screens_hear_the_call_and_the_missed_call_and_no_ticket_anew(world: World) -> None:
    number = here(world)
    calling.call(world.hospital, number, DESK)
    calling.absent(world.hospital, number, DESK)
    calling.ready(world.hospital, number, DESK)

    assert names(world, "QUEUE") == ["ticket.issued", "appointment.called", "appointment.called_absent"]


def test_the_departments_system_has_patient_exams_remark_and_drawing_with_the_visit(world: World) -> None:
    context = {"diagnosis": Fact("甲状腺结节")}
    number = booked(world, note="请看左叶", drawing="data:image/png;base64,AAAA", context=context)
    ((kind, entry),) = heard(world, "RIS")

    assert (kind, entry["appointment"], entry["version"]) == ("worklist.scheduled", number, 1)
    assert entry["resources"][0].startswith("US")
    assert entry["patient"]["identifiers"] == [{"kind": "card", "value": "P1"}]
    assert [(each["order"], each["line"], each["item"], each["modality"]) for each in entry["items"]] == [
        ("O1", 1, "US-THYROID", "US")
    ]
    assert [(each["note"], each["drawing"], each["diagnosis"]) for each in entry["orders"]] == [
        ("请看左叶", "data:image/png;base64,AAAA", "甲状腺结节")
    ]


def test_the_departments_system_registers_at_check_in_and_drops_what_is_cancelled(world: World) -> None:
    number = here(world)
    changes.cancel(world.hospital, number, TESTER, reason="went home")

    assert names(world, "RIS") == ["worklist.scheduled", "worklist.registered", "worklist.removed"]
    assert heard(world, "RIS")[-1][1]["state"] == "cancelled"


def test_a_changed_remark_is_listed_anew_though_the_visit_stays(world: World) -> None:
    booked(world)
    order_changes.change(world.hospital, OrderChange("O1", note="改看右叶"), TESTER)

    assert [payload["orders"][0]["note"] for _, payload in heard(world, "RIS")] == ["", "改看右叶"]


def test_whoever_did_not_come_leaves_the_worklist_and_everybody_hears_of_it(world: World) -> None:
    number = booked(world)
    world.clock.advance(timedelta(days=1))
    noshow.mark(world.hospital, number, TESTER)

    assert names(world, "RIS") == ["worklist.scheduled", "worklist.removed"]
    assert "appointment.no_show" in names(world, "ALL")


def test_a_refund_is_forbidden_when_the_exam_begins_and_allowed_again_when_it_was_not_done(world: World) -> None:
    number = here(world)
    report(world, number, "started")
    refunds.report(world.hospital, RefundData("O1", "requested", world.clock.now()), TESTER)
    report(world, number, "not_done", reason="patient unwell")

    told = [payload for _, payload in heard(world, "HIS", "order_item.refundable")]
    assert [(each["refundable"], each["reason"]) for each in told] == [
        (False, "exam_started"), (False, "exam_started"), (True, "not_done"),
    ]  # fmt: skip


def test_a_peer_that_hears_everything_gets_nothing_personal(world: World) -> None:
    here(world)

    assert {name for name in names(world, "ALL") if kinds.KINDS[name].personal} == set()
    assert "患者" not in json.dumps([payload for _, payload in heard(world, "ALL")], ensure_ascii=False)


@pytest.mark.parametrize("off", ["worklist.registered", "ticket.issued", "order_item.payable", "order_item.refundable"])
def test_each_new_kind_is_switched_off_for_one_peer_alone(world: World, off: str) -> None:
    for code in ("HIS", "QUEUE", "RIS"):
        types = next(row.event_types for row in peers.overview(world.database) if row.code == code)
        left = [kind for kind in types if kind != off]
        peers.change(world.database, code, TESTER, MORNING - timedelta(seconds=30), event_types=left)
    number = here(world)
    report(world, number, "started")

    told = {name for code in ("HIS", "QUEUE", "RIS") for name in names(world, code)}
    assert off not in told
    assert {"worklist.scheduled", "worklist.registered", "ticket.issued", "order_item.payable"} - {off} <= told


def own_calls(world: World, owner: str) -> None:
    policy.set_policy(world.database, "US", {"call_order_owner": owner}, DESK, epoch(world.clock.now()))


def test_where_the_queue_system_owns_the_call_order_nobody_calls_here_and_its_calls_are_taken(world: World) -> None:
    own_calls(world, "queue_system")
    number = here(world)
    for act in (calling.call, calling.absent):
        with pytest.raises(Conflict) as refused:
            act(world.hospital, number, DESK)
        assert refused.value.code == "queue_system_calls"
    for actor in (DESK, SCREENS):
        with pytest.raises(Conflict) as refused:
            calling.call_next(world.hospital, "US-N", actor)
        assert refused.value.code == "queue_system_calls"
    assert world.item("O1/1").appointment_state == "checked_in"

    assert calling.call(world.hospital, number, SCREENS).state == "called"
    assert calling.absent(world.hospital, number, SCREENS).state == "called_absent"


def test_where_examlane_owns_the_call_order_the_desk_calls_again(world: World) -> None:
    own_calls(world, "queue_system")
    own_calls(world, "examlane")
    number = here(world)

    assert calling.call_next(world.hospital, "US-N", DESK).number == number
