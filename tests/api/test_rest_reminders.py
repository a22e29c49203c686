"""Delivery reports, the call list and its results over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from examlane.reminders import reminders
from examlane.storage.exchange import Peer
from examlane.storage.fields import epoch
from examlane.testing import MORNING


@pytest.fixture
def message(rest_on_each: Any) -> tuple[Any, str]:
    """A hospital with a gateway and the id of a message that went out."""
    rest, database = rest_on_each, rest_on_each.world.database
    database.write(
        lambda: database.insert(Peer, code="GATEWAY", event_types='["patient.message"]', created_at=epoch(MORNING))
    )
    patient = {"identifiers": [{"kind": "card", "value": "P1"}], "name": "张小明", "phone": "13800001234"}
    rest.post("/orders", rest.order("O1", patient="P1") | {"patient": patient})
    rest.post("/payments", rest.payment("O1"))
    reminders.turn(rest.world.hospital)
    return rest, str(database.value("SELECT message FROM reminder WHERE state = 'sent'"))


def failed(rest: Any, message: str) -> dict[str, Any]:
    rest.post(f"/messages/{message}/delivery", {"state": "failed", "reason": "空号"})
    found: dict[str, Any] = rest.get("/call-list?department=US", caller="desk").json["calls"][0]
    return found


def test_a_delivered_message_is_noted(message: tuple[Any, str]) -> None:
    rest, name = message
    answer = rest.post(f"/messages/{name}/delivery", {"state": "delivered"})

    assert answer.json == {"message": name, "state": "delivered"}
    assert rest.get("/call-list?department=US", caller="desk").json == {"calls": [], "next_cursor": None}


def test_a_failed_message_is_a_call_masked_in_the_list_and_whole_for_who_calls(message: tuple[Any, str]) -> None:
    rest, name = message
    call = failed(rest, name)

    assert (call["patient"], call["phone"], call["reason"], call["kind"]) == ("张*明", "138****1234", "failed", "booked")
    assert "已预约" in call["text"]["zh"]
    whole = rest.get(f"/call-list/{call['id']}", caller="desk").json
    assert (whole["patient"], whole["phone"]) == ("张小明", "13800001234")
    assert rest.world.database.value("SELECT count(*) FROM audit WHERE action = 'call.view' AND actor = 'desk'") == 1
    assert rest.get("/call-list?department=CT", caller="desk").json["calls"] == []


def test_the_result_of_a_call_counts_once(message: tuple[Any, str]) -> None:
    rest, name = message
    call = failed(rest, name)
    path = f"/call-list/{call['id']}/result"
    first = rest.post(path, {"result": "not_reached"}, caller="desk", key="r1")
    assert rest.post(path, {"result": "not_reached"}, caller="desk", key="r1").json == first.json
    assert (first.json["misses"], first.json["closed"]) == (1, False)
    later = (rest.world.clock.now() + timedelta(minutes=10)).isoformat()
    said = rest.post(path, {"result": "not_reached", "next_try_at": later}, caller="desk").json
    assert (said["misses"], said["next_try_at"][11:16]) == (2, "08:10")
    assert rest.post(path, {"result": "reached"}, caller="desk").json["closed"]

    assert rest.post(path, {"result": "reached"}, caller="desk").json["code"] == "call_over"


def test_an_answer_that_was_lost_is_made_anew_from_what_the_request_led_to(message: tuple[Any, str]) -> None:
    rest, name = message
    report = rest.post(f"/messages/{name}/delivery", {"state": "failed"}, key="m1").json
    result = rest.post("/call-list/1/result", {"result": "reached"}, caller="desk", key="r1").json
    rest.world.database.write(lambda: rest.world.database.rows("UPDATE receipt SET answer = NULL RETURNING id"))

    assert rest.post(f"/messages/{name}/delivery", {"state": "failed"}, key="m1").json == report
    assert rest.post("/call-list/1/result", {"result": "reached"}, caller="desk", key="r1").json == result


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/messages/{}/delivery", {"state": "lost"}, "/state"), ("/messages/{}/delivery", {}, "/state"),
        ("/call-list/1/result", {"result": "busy"}, "/result"), ("/call-list/1/result", {}, "/result"),
        ("/call-list/1/result", {"result": "not_reached", "next_try_at": "2026-11-23T07:00:00+08:00"}, "/next_try_at"),
    ],
)  # fmt: skip
def test_bad_input_is_named(message: tuple[Any, str], path: str, body: dict[str, Any], pointer: str) -> None:
    rest, name = message
    failed(rest, name)
    before = rest.counts()
    answer = rest.post(path.format(name), body, caller="his" if "messages" in path else "desk")

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert rest.counts() == before


def test_what_does_not_exist_is_not_found_and_another_department_is_forbidden(message: tuple[Any, str]) -> None:
    rest, name = message
    assert rest.post("/messages/nobody/delivery", {"state": "failed"}).status_code == 404
    assert rest.post("/call-list/77/result", {"result": "reached"}, caller="desk").status_code == 404
    assert rest.get("/call-list/x", caller="desk").status_code == 404
    call = failed(rest, name)
    assert rest.get(f"/call-list/{call['id']}", caller="desk-ct").status_code == 403
    assert rest.post(f"/call-list/{call['id']}/result", {"result": "reached"}, caller="desk-ct").status_code == 403
