"""Orders sent back, voided, changed and refunded over REST."""

from __future__ import annotations

from typing import Any

import pytest

AT = "2026-11-23T07:55:00+08:00"


def item(rest: Any, order: str, line: int = 1) -> Any:
    return next(each for each in rest.get(f"/orders/{order}").json["items"] if each["line"] == line)


def test_an_order_is_sent_back_re_issued_and_keeps_its_number(rest: Any) -> None:
    number = rest.booked("O1", patient="P1")["number"]
    back = rest.post("/orders/O1/return", {"reason": "资料不全"}, caller="desk").json["items"][0]
    assert (back["state"], back["reason"], back["appointment"]["state"]) == ("withdrawn", "held", "held")
    answer = rest.post("/orders", rest.order("O2", replaces="O1"))
    assert answer.json["items"][0]["reason"] == "awaiting_payment"
    rest.post("/payments", {"order": "O2", "paid_at": AT})

    assert item(rest, "O2")["appointment"]["number"] == number
    assert item(rest, "O1")["state"] == "replaced"


def test_a_registrar_of_another_department_sends_nothing_back(rest: Any) -> None:
    rest.booked("O1")

    assert rest.post("/orders/O1/return", {"reason": "x"}, caller="desk-ct").status_code == 403
    assert item(rest, "O1")["state"] == "accepted"


def test_a_change_answers_what_it_meant_for_each_item(rest: Any) -> None:
    rest.booked("O1", "CT-HEAD", "US-THYROID")
    body = {"items": [{"line": 2, "item": "US-THYROID"}, {"line": 3, "item": "US-HEART"}]}
    answer = rest.post("/orders/O1/changes", body).json

    assert answer["outcomes"] == {"O1/1": "removed", "O1/2": "kept", "O1/3": "kept"}


def test_a_refund_is_asked_for_and_reported(rest: Any) -> None:
    rest.booked("O1")
    assert rest.get("/orders/O1/refundable").json["items"][0]["refundable"] is True
    refund = {"order": "O1", "kind": "requested", "at": AT}
    assert rest.post("/refunds", refund).json["items"][0]["payment"] == "refund_requested"
    assert rest.get("/appointments?department=US").json["appointments"][0]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/orders/O1/return", {}, "/reason"),
        ("/orders/O1/return", {"reason": "x", "lines": [0]}, "/lines/0"),
        ("/orders/O1/return", {"reason": "x", "lines": [5]}, "/lines/0"),
        ("/orders/O1/void", {"reason": "x", "reissue": "yes"}, "/reissue"),
        ("/orders/O1/changes", {"items": []}, "/items"),
        ("/orders/O1/changes", {"items": [{"line": 1, "item": "US-HEART"}]}, "/items/0/item"),
        ("/orders/O1/changes", {"priority": "soon"}, "/priority"),
        ("/refunds", {"order": "O1", "kind": "maybe", "at": AT}, "/kind"),
        ("/refunds", {"order": "O1", "kind": "requested", "at": "today"}, "/at"),
        ("/refunds", {"order": "O1", "kind": "requested", "at": AT, "amount": "-1"}, "/amount"),
        ("/refunds", {"order": "O1", "kind": "requested", "at": AT, "lines": [9]}, "/lines/0"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(rest: Any, path: str, body: dict[str, Any], pointer: str) -> None:
    rest.booked("O1")
    before = rest.counts()
    answer = rest.post(path, body)

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert rest.counts() == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/orders/O1/return", {"reason": "资料不全"}),
        ("/orders/O1/void", {"reason": "开错", "reissue": False}),
        ("/orders/O1/changes", {"note": "左侧"}),
        ("/refunds", {"order": "O1", "kind": "requested", "at": AT}),
    ],
)
def test_the_same_request_again_gets_the_same_answer_and_changes_nothing(rest: Any, path: str, body: dict[str, Any]) -> None:
    rest.booked("O1")
    first = rest.post(path, body, key="again")
    before = rest.counts()
    second = rest.post(path, body, key="again")

    assert first.status_code == 200
    assert second.json == first.json
    assert second.headers["Idempotency-Replayed"] == "true"
    assert rest.counts() == before
    name, value = ("reason", "别的") if "reason" in body else ("version", 9) if "note" in body else ("lines", [1])
    other = {**body, name: value}
    assert rest.post(path, other, key="again").status_code == 422


def test_an_order_that_was_voided_before_it_came_is_never_booked(rest: Any) -> None:
    first = rest.post("/orders/O1/void", {"reason": "开错"}, key="early")
    assert (first.status_code, first.json) == (200, {"items": []})
    rest.booked("O1")
    assert rest.post("/orders/O1/void", {"reason": "开错"}, key="early").json == first.json
    [item] = rest.get("/orders/O1").json["items"]
    assert (item["state"], item["appointment"]) == ("withdrawn", None)


def test_an_unknown_order_is_not_found(rest: Any) -> None:
    for path, body in (("return", {"reason": "x"}), ("void", {"reason": "x", "lines": [1]})):
        assert rest.post(f"/orders/NONE/{path}", body).status_code == 404
    assert rest.get("/orders/NONE/refundable").status_code == 404
    assert rest.post("/refunds", {"order": "NONE", "kind": "requested", "at": AT}).status_code == 404
