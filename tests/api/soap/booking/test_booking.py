"""A hospital information system books through the served contract, with a real client and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import zeep
from zeep.helpers import serialize_object

from examlane import Text
from examlane_api import clients

EIGHT = datetime(2026, 11, 23, 8, 0)
CARD = {"kind": "card", "value": "P1"}
ASSESS = Text("请先完成评估", "Assessment first")
NO_WEIGHT = Text("请填写体重", "Weight is missing")


def order(number: str, *items: str, **more: Any) -> dict[str, Any]:
    return {
        "messageId": f"order-{number}",
        "orderNo": number,
        "patient": {"identifiers": {"identifier": [CARD]}, "name": "患者一", "sex": "female"},
        "encounter": {"encounterNo": "V1", "encounterClass": "outpatient", "campus": "N"},
        "orderingDepartment": "CLINIC",
        "priority": "routine",
        "orderedAt": EIGHT,
        "items": {"item": [{"line": line, "itemCode": item} for line, item in enumerate(items, 1)]},
        **more,
    }


def payment(number: str, **more: Any) -> dict[str, Any]:
    return {"messageId": f"payment-{number}", "orderNo": number, "paidAt": EIGHT, "amount": "120.5", **more}


def assessment(outcome: str = "passed", **more: Any) -> dict[str, Any]:
    data = {"entry": [{"name": "asa", "value": "2"}]}
    report = {"messageId": f"assessment-{outcome}", "patientIdentifier": CARD, "kind": "assessment"}
    return report | {"outcome": outcome, "observedAt": EIGHT, "data": data} | more


def facts(**values: str) -> dict[str, Any]:
    return {"fact": [{"name": name, "value": value, "observedAt": EIGHT} for name, value in values.items()]}


@contextmanager
def refused(client: Any) -> Iterator[Any]:
    """The typed fault that a call ends with, filled in when the block is left."""
    fault = type("Fault", (), {})()
    with pytest.raises(zeep.exceptions.Fault) as caught:
        yield fault
    vars(fault).update(serialize_object(client.wsdl.types.deserialize(caught.value.detail[0]), dict))


def test_a_paid_order_is_booked_with_period_place_and_queue_number(peer_on_each: Any) -> None:
    service = peer_on_each.service
    [submitted] = service.SubmitOrder(order("O1", "US-THYROID"))["items"]["item"]
    assert (submitted.state, submitted.code, submitted.payable) == ("accepted", "awaiting_payment", True)
    assert submitted.message == "请先缴费，缴费后自动预约"
    [payable] = service.QueryPayable({"orderNo": "O1"})["items"]["item"]
    assert (payable.line, payable.payable, payable.nextAction) == (1, True, None)

    paid = service.ReportPayment(payment("O1", lines={"line": [1]}))
    booked = paid["items"]["item"][0].appointment
    assert (paid.orderNo, paid.state, booked.state, booked.version) == ("O1", "booked", "booked", 1)
    assert booked.periodStart.isoformat() == "2026-11-23T08:30:00+08:00"
    assert booked.periodEnd - booked.periodStart == timedelta(minutes=30)
    assert (booked.campus, booked.place, booked.queueNo) == ("N", "超声室", "1")


def test_a_closed_gate_is_not_payable_until_the_assessment_opens_it(peer_on_each: Any) -> None:
    service = peer_on_each.service
    [submitted] = service.SubmitOrder(order("O1", "US-HEART"))["items"]["item"]
    assert (submitted.code, submitted.payable) == ("awaiting_gate", False)
    [gate] = submitted.gates.gate
    assert (gate.kind, gate.state, gate.message, gate.nextAction) == ("assessment", "closed", ASSESS.zh, "去评估")
    [payable] = service.QueryPayable({"orderNo": "O1"})["items"]["item"]
    assert (payable.payable, payable.message, payable.nextAction) == (False, ASSESS.zh, "去评估")

    [opened] = service.ReportAssessment(assessment()).item
    assert (opened.orderNo, opened.line, opened.payable, opened.gates.gate[0].state) == ("O1", 1, True, "open")
    assert service.ReportPayment(payment("O1")).state == "booked"


def test_a_patient_is_moved_to_a_time_that_was_offered_and_then_cancelled(peer: Any) -> None:
    number = peer.book()
    service = peer.service
    slots = service.QuerySlots({"appointmentNo": number, "fromDate": date(2026, 11, 24), "days": 2}).slot
    offered = slots[-1]
    assert {slot.periodStart.date() for slot in slots} == {date(2026, 11, 24), date(2026, 11, 25)}

    move = {"messageId": "m", "appointmentNo": number, "version": 1, "group": offered.group}
    moved = service.RescheduleAppointment({**move, "startAt": offered.startAt, "reason": "患者要求"})
    assert (moved.appointmentNo, moved.version, moved.periodStart) == (number, 2, offered.periodStart)
    cancelled = service.CancelAppointment({"messageId": "c", "appointmentNo": number, "reason": "不做了"})
    assert (cancelled.appointmentNo, cancelled.version, cancelled.state) == (number, 3, "cancelled")
    assert peer.world.database.value("SELECT sum(taken) FROM slot") == 0


def test_times_for_an_order_item_are_offered_before_it_is_booked_again(peer: Any) -> None:
    number = peer.book()
    service = peer.service
    service.CancelAppointment({"messageId": "c", "appointmentNo": number, "reason": "改日"})
    by_line = service.QuerySlots({"orderNo": "O1", "line": 1}).slot
    assert by_line[0].periodStart.isoformat() == "2026-11-23T08:30:00+08:00"
    assert by_line[0].startAt >= by_line[0].periodStart
    assert serialize_object(service.QuerySlots({"orderNo": "O1"}).slot) == serialize_object(by_line)


def test_arrival_and_execution_are_reported_to_the_end(peer: Any) -> None:
    number = peer.book()
    service = peer.service
    arrived = service.CheckIn({"messageId": "i", "appointmentNo": number, "at": EIGHT})
    started = service.ReportExecution({"messageId": "s", "appointmentNo": number, "state": "started", "at": EIGHT})
    finished = service.ReportExecution({"messageId": "f", "appointmentNo": number, "state": "finished", "at": EIGHT})
    assert [each.state for each in (arrived, started, finished)] == ["checked_in", "in_progress", "fulfilled"]
    assert peer.world.item("O1/1").state == "fulfilled"


def test_a_late_check_in_is_answered_with_another_place_today(peer_on_each: Any) -> None:
    peer, message = peer_on_each, {"messageId": "i", "appointmentNo": peer_on_each.book()}
    peer.world.switch("US", "kiosk")
    peer.world.clock.advance(timedelta(hours=2))
    here = peer.service.CheckIn(message)

    assert (here.state, here.periodStart.isoformat(), here.queueNo) == ("checked_in", "2026-11-23T10:00:00+08:00", "2")
    assert here.message is None
    assert serialize_object(peer.service.CheckIn(message)) == serialize_object(here)


def test_a_late_check_in_that_the_desk_decides_tells_what_to_do(peer: Any) -> None:
    message = {"messageId": "i", "appointmentNo": peer.book()}
    peer.world.clock.advance(timedelta(hours=2))
    sent = peer.service.CheckIn(message)

    assert (sent.state, sent.message) == ("no_show", "预约时间已过，请到登记台")
    assert serialize_object(peer.service.CheckIn(message)) == serialize_object(sent)


@pytest.mark.parametrize("died_before_answering", [False, True])
def test_the_same_message_again_gets_the_same_answer_and_changes_nothing(peer: Any, died_before_answering: bool) -> None:
    service = peer.service
    messages = [
        ("SubmitOrder", order("O1", "US-HEART")),
        ("ReportAssessment", assessment()),
        ("ReportPayment", payment("O1")),
    ]
    for name, message in messages:
        first = service[name](message)
        versions = peer.world.database.value("SELECT count(*) FROM appointment_version")
        if died_before_answering:
            peer.world.database.write(lambda: peer.world.database.rows("UPDATE receipt SET answer = NULL RETURNING id"))
        assert serialize_object(service[name](message)) == serialize_object(first)
        assert peer.world.database.value("SELECT count(*) FROM appointment_version") == versions
    number = peer.world.item("O1/1").appointment
    cancellation = {"messageId": "c", "appointmentNo": number, "reason": "改日"}
    first = service.CancelAppointment(cancellation)
    assert serialize_object(service.CancelAppointment(cancellation)) == serialize_object(first)
    assert peer.appointments() == 1


def test_a_message_sent_again_finishes_what_its_first_sending_left_undone(
    peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = peer.client()
    with monkeypatch.context() as broken, refused(client) as fault:
        broken.setattr("examlane.reporting.booking.settle", None)
        client.service.SubmitOrder(order("O1", "US-THYROID"))
    assert (fault.code, fault.retryable) == ("internal", True)
    [item] = client.service.SubmitOrder(order("O1", "US-THYROID"))["items"]["item"]
    assert (item.state, item.code) == ("accepted", "awaiting_payment")


def test_a_message_id_with_another_body_is_refused(peer: Any) -> None:
    client = peer.client()
    client.service.SubmitOrder(order("O1", "US-THYROID"))
    with refused(client) as fault:
        client.service.SubmitOrder(order("O2", "US-THYROID", messageId="order-O1"))
    assert (fault.code, fault.retryable) == ("idempotency_key_reused", False)
    assert peer.world.database.value("SELECT count(*) FROM exam_order") == 1


def test_clinical_facts_reach_the_rules_as_numbers_and_truth_values(peer: Any) -> None:
    told = facts(weight_kg="61.5", metformin="false")
    [item] = peer.service.SubmitOrder(order("O1", "CT-HEAD", facts=told))["items"]["item"]
    [finding] = item.findings.finding
    assert (item.state, finding.kind, finding.field, finding.value) == ("accepted", "fill", "dose_ml", "123.0")


def test_an_order_against_the_rules_is_answered_per_item(peer: Any) -> None:
    thyroid, head = peer.service.SubmitOrder(order("O1", "US-THYROID", "CT-HEAD"))["items"]["item"]
    assert (thyroid.state, thyroid.payable) == ("accepted", True)
    assert (head.state, head.payable, head.message) == ("rejected", False, NO_WEIGHT.zh)
    assert [finding.code for finding in head.findings.finding] == ["rules.weight"]


BAD_ORDERS = [
    ({"items": {"item": [{"line": 1, "itemCode": "NO"}]}}, "order/items/item[1]/itemCode"),
    ({"orderingDepartment": "NOWHERE"}, "order/orderingDepartment"),
    ({"orderedAt": EIGHT + timedelta(days=1)}, "order/orderedAt"),
    ({"encounter": {"encounterNo": "病区 1", "encounterClass": "outpatient"}}, "order/encounter/encounterNo"),
    ({"facts": facts(weight_kg="9" * 20)}, "order/facts/fact[1]/value"),
    ({"facts": {"fact": [{"name": "egfr", "value": "60"}, {"name": "egfr", "value": "30"}]}}, "order/facts/fact[2]"),
    ({"note": "长" * 2001}, "order/note"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field"), BAD_ORDERS, ids=[field for _, field in BAD_ORDERS])
def test_an_order_that_cannot_be_understood_names_the_element(peer: Any, change: dict[str, Any], field: str) -> None:
    client = peer.client()
    with refused(client) as fault:
        client.service.SubmitOrder(order("O1", "US-THYROID", **{"messageId": "m", **change}))
    assert (fault.code, fault.retryable, fault.field) == ("invalid_input", False, [field])
    assert peer.world.database.value("SELECT count(*) FROM exam_order") == 0


def test_a_conflict_says_its_code_and_its_element(peer: Any) -> None:
    number = peer.book()
    client = peer.client()
    stale = {"messageId": "r", "appointmentNo": number, "version": 7, "group": "US-N", "startAt": EIGHT}
    with refused(client) as fault:
        client.service.RescheduleAppointment(stale)
    assert (fault.code, fault.field) == ("version_conflict", ["reschedule/version"])


def test_what_is_unknown_is_said_in_the_language_asked_for(peer: Any) -> None:
    client = peer.client(**{"Accept-Language": "en-GB,en;q=0.9"})
    with refused(client) as fault:
        client.service.QueryPayable({"orderNo": "O404"})
    assert (fault.code, fault.message) == ("not_found", "no such order")
    with refused(client) as fault:
        client.service.CheckIn({"messageId": "i", "appointmentNo": "A404"})
    assert (fault.code, fault.message) == ("not_found", "no such appointment")


def test_a_payment_for_an_unknown_order_is_stored(peer: Any) -> None:
    assert peer.service.ReportPayment(payment("O404")).state == "stored"


@pytest.mark.parametrize("query", [{"days": 3}, {"orderNo": "O1", "appointmentNo": "A1"}])
def test_times_are_asked_for_one_subject(peer: Any, query: dict[str, Any]) -> None:
    client = peer.client()
    with refused(client) as fault:
        client.service.QuerySlots(query)
    assert (fault.code, fault.field) == ("invalid_input", ["query/orderNo", "query/appointmentNo"])


def test_a_client_may_do_what_its_role_allows(peer: Any) -> None:
    number = peer.book()
    client = peer.client("desk", clients.add(peer.world.database, "desk", "登记台", "registrar"))
    with refused(client) as fault:
        client.service.SubmitOrder(order("O2", "US-THYROID"))
    assert fault.code == "forbidden"
    assert client.service.CheckIn({"messageId": "i", "appointmentNo": number}).state == "checked_in"


def test_a_client_of_one_department_leaves_the_others_alone(peer: Any) -> None:
    number = peer.book()
    client = peer.client("ct", clients.add(peer.world.database, "ct", "放射"))
    peer.world.database.write(
        lambda: peer.world.database.rows("UPDATE api_client SET departments = '[\"CT\"]' WHERE code = 'ct' RETURNING id")
    )
    with refused(client) as fault:
        client.service.CancelAppointment({"messageId": "c", "appointmentNo": number, "reason": "改日"})
    assert fault.code == "forbidden"
    assert peer.world.item("O1/1").appointment_state == "booked"


def test_a_wrong_secret_is_refused(peer: Any) -> None:
    client = peer.client(secret="wrong")
    with refused(client) as fault:
        client.service.QueryPayable({"orderNo": "O1"})
    assert fault.code == "unauthenticated"


def test_every_change_says_which_client_made_it_through_which_channel(peer: Any) -> None:
    service = peer.client(**{"X-Request-Id": "request-7"}).service
    service.SubmitOrder(order("O1", "US-THYROID"))
    rows = peer.world.database.rows("SELECT actor, channel, request_id FROM audit WHERE action = 'order.submit'")
    assert rows == [("his", "soap", "request-7")]
