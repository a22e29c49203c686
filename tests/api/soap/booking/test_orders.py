"""Orders over SOAP: answered item by item, validated, changed, withdrawn, replaced, refunded, and drawn on."""

from __future__ import annotations

import base64
from typing import Any

import pytest

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) + b"\r\n"
WEIGHT = {"fact": [{"name": "weight_kg", "value": "60.5"}, {"name": "metformin", "value": "false"}]}


def items(answer: Any) -> list[tuple[int, str, str]]:
    return [(each["line"], each["state"], each["code"]) for each in answer["items"]["item"]]


def test_an_order_with_one_bad_item_is_answered_per_item(peer_on_each: Any) -> None:
    peer = peer_on_each
    order = peer.order("O1", "US-THYROID", "NO-SUCH", "US-HEART")
    order["items"]["item"][2]["confirmReason"] = "看\u200b不见"
    answer = peer.say("SubmitOrder", **order)
    assert items(answer) == [
        (1, "accepted", "awaiting_payment"), (2, "rejected", "unknown_item"), (3, "rejected", "invalid_item"),
    ]  # fmt: skip
    assert answer["items"]["item"][1]["message"] == "未知的检查项目"
    assert items(peer.say("QueryOrder", orderNo="O1")) == [(1, "accepted", "awaiting_payment")]


def test_a_bad_item_is_told_again_whatever_became_of_the_first_answer(peer: Any) -> None:
    order = {**peer.order("O1", "US-THYROID", "NO-SUCH"), "messageId": "once"}
    first = peer.say("SubmitOrder", **order)
    assert peer.say("SubmitOrder", **order) == first
    peer.world.database.write(lambda: peer.world.database.rows("UPDATE receipt SET answer = NULL RETURNING id"))
    assert peer.say("SubmitOrder", **order) == first


def test_an_order_without_a_good_item_is_refused_whole(peer: Any) -> None:
    fault = peer.refused("SubmitOrder", **peer.order("O1", "NO-SUCH", "NOR-THIS"))
    assert (fault.code, fault.field) == (
        "invalid_input", ["order/items/item[1]/itemCode", "order/items/item[2]/itemCode"],
    )  # fmt: skip


def test_a_line_number_used_twice_is_nobodys_item(peer: Any) -> None:
    order = peer.order("O1", "US-THYROID", "US-HEART")
    order["items"]["item"][1]["line"] = 1
    assert peer.refused("SubmitOrder", **order).field == ["order/items/item[2]/line"]


def test_a_dry_run_says_what_would_become_of_each_item_and_stores_nothing(peer: Any) -> None:
    answer = peer.say("ValidateOrder", **peer.order("O1", "US-HEART", "CT-HEAD", "NO-SUCH"))
    heart, head, unknown = answer["items"]["item"]
    assert (heart["state"], heart["payable"], heart["gates"]["gate"][0]["nextAction"]) == ("accepted", False, "去评估")
    assert (head["state"], head["findings"]["finding"][0]["code"]) == ("rejected", "rules.weight")
    assert (unknown["state"], unknown["findings"]["finding"][0]["code"]) == ("rejected", "unknown_item")
    assert peer.world.database.value("SELECT count(*) FROM exam_order") == 0


def test_an_order_is_changed_and_each_item_says_what_it_meant(peer: Any) -> None:
    peer.paid("O1", "US-THYROID")
    more = [{"line": 1, "itemCode": "US-THYROID"}, {"line": 2, "itemCode": "CT-HEAD"}]
    changed = peer.say("ChangeOrder", orderNo="O1", facts=WEIGHT, note="左侧", items={"item": more})
    thyroid, head = changed["item"]
    assert (thyroid["orderNo"], thyroid["outcome"], thyroid["code"]) == ("O1", "kept", "booked")
    assert (head["line"], head["state"]) == (2, "accepted")
    removed = peer.say("ChangeOrder", orderNo="O1", version=2, items={"item": more[1:]})
    assert [each["outcome"] for each in removed["item"]] == ["removed", "kept"]
    fault = peer.refused("ChangeOrder", orderNo="O1", version=1, note="右侧")
    assert (fault.code, fault.field) == ("version_conflict", ["change/version"])
    assert peer.world.database.value("SELECT note FROM exam_order") == "左侧"


def test_a_change_that_cannot_be_understood_names_its_element(peer: Any) -> None:
    peer.paid("O1", "US-THYROID")
    other = {"item": [{"line": 1, "itemCode": "US-HEART"}]}
    assert peer.refused("ChangeOrder", orderNo="O1", items=other).field == ["change/items/item[1]/itemCode"]
    assert peer.refused("ChangeOrder", orderNo="O404", note="a").code == "not_found"


def test_an_order_that_replaces_another_takes_its_places(peer: Any) -> None:
    number = peer.paid("O1", "US-THYROID")
    answer = peer.say("ReplaceOrder", **peer.order("O2", "US-THYROID", replaces="O1", carryPayment=True))
    [item] = answer["items"]["item"]
    assert (item["code"], item["appointment"]["appointmentNo"]) == ("booked", number)
    assert peer.refused("ReplaceOrder", **peer.order("O3", "US-THYROID")).field == ["order/replaces"]
    fault = peer.refused("ReplaceOrder", **peer.order("O3", "US-THYROID", replaces="O3"))
    assert (fault.code, fault.field) == ("not_replaceable", ["order/replaces"])


def test_an_order_is_voided_or_sent_back_line_by_line(peer: Any) -> None:
    peer.paid("O1", "US-THYROID", "CT-HEAD", facts=WEIGHT)
    voided = peer.say("CancelOrder", orderNo="O1", lines={"line": [2]}, reason="开错", reissue=False)
    assert [each["state"] for each in voided["items"]["item"]] == ["accepted", "withdrawn"]
    returned = peer.say("ReturnOrder", orderNo="O1", lines={"line": [1]}, reason="资料不全")
    assert [each["state"] for each in returned["items"]["item"]] == ["withdrawn", "withdrawn"]
    assert peer.refused("CancelOrder", orderNo="O1", lines={"line": [9]}, reason="开错").field == [
        "cancellation/lines/line[1]"
    ]


def test_a_department_sends_back_only_what_is_its_own(peer: Any) -> None:
    peer.paid("O1", "US-THYROID")
    ct = peer.member("ct", "registrar", "CT")
    assert peer.refused("ReturnOrder", ct, orderNo="O1", reason="资料不全").code == "forbidden"


def test_an_inpatients_order_is_booked_once_the_ward_has_verified_it(peer: Any) -> None:
    order = peer.order("O1", "US-THYROID")
    order["encounter"]["encounterClass"] = "inpatient"
    assert items(peer.say("SubmitOrder", **order)) == [(1, "accepted", "awaiting_release")]
    assert items(peer.say("VerifyOrder", orderNo="O1")) == [(1, "accepted", "booked")]


def test_a_refund_is_asked_for_reported_and_no_longer_possible(peer_on_each: Any) -> None:
    peer = peer_on_each
    peer.paid("O1", "US-THYROID")
    [asked] = peer.say("QueryRefundable", orderNo="O1")["items"]["item"]
    assert (asked["line"], asked["refundable"], asked["code"]) == (1, True, "refundable")
    refund = {"orderNo": "O1", "kind": "refunded", "at": "2026-11-23T08:00:00+08:00", "amount": "120.5"}
    refunded = peer.say("ReportRefund", **refund)
    assert refunded["items"]["item"][0]["appointment"] is None
    [asked] = peer.say("QueryRefundable", orderNo="O1")["items"]["item"]
    assert (asked["refundable"], asked["code"], asked["message"]) == (False, "refunded", "已退费")
    assert peer.refused("ReportRefund", **{**refund, "lines": {"line": [7]}}).field == ["refund/lines/line[1]"]


def drawn(peer: Any) -> bytes:
    head, _, content = peer.world.database.value("SELECT drawing FROM exam_order").partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(content)


def test_a_drawing_is_kept_as_it_was_sent(peer: Any) -> None:
    peer.say("SubmitOrder", **peer.order("O1", "US-THYROID", drawing=PNG))
    assert drawn(peer) == PNG
    peer.say("ChangeOrder", orderNo="O1", drawing=PNG + b"2")
    assert drawn(peer) == PNG + b"2"


@pytest.mark.parametrize("content", [b"GIF89a..", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_a_drawing_is_a_png_or_a_jpeg(peer: Any, content: bytes) -> None:
    fault = peer.refused("SubmitOrder", **peer.order("O1", "US-THYROID", drawing=content))
    assert (fault.code, fault.field) == ("invalid_input", ["order/drawing"])
    assert peer.world.database.value("SELECT count(*) FROM exam_order") == 0


def test_a_drawing_over_one_mebibyte_is_refused(peer: Any) -> None:
    fault = peer.refused("SubmitOrder", **peer.order("O1", "US-THYROID", drawing=PNG + bytes(1024 * 1024)))
    assert (fault.code, fault.field) == ("invalid_message", ["order/drawing"])


def test_a_change_comes_before_its_order_and_an_older_one_after_it(peer_on_each: Any) -> None:
    peer = peer_on_each
    assert not peer.say("ChangeOrder", orderNo="O1", note="第二版", changedAt="2026-11-23T07:58:00+08:00")
    peer.say("SubmitOrder", **peer.order("O1", "US-THYROID"))
    fault = peer.refused("ChangeOrder", orderNo="O1", note="第一版", changedAt="2026-11-23T07:50:00+08:00")
    assert (fault.code, fault.field, fault.retryable) == ("superseded", ["change/changedAt"], False)
    assert peer.world.database.value("SELECT note FROM exam_order") == "第二版"


def test_an_order_that_was_cancelled_or_paid_before_it_came(peer_on_each: Any) -> None:
    peer = peer_on_each
    peer.say("CancelOrder", orderNo="O1", reason="开错")
    assert peer.say("ReportPayment", orderNo="O1", paidAt="2026-11-23T08:00:00+08:00")["state"] == "stored"
    assert items(peer.say("SubmitOrder", **peer.order("O1", "US-THYROID"))) == [(1, "withdrawn", "voided")]
    assert peer.say("ReportPayment", orderNo="O2", paidAt="2026-11-23T08:00:00+08:00")["state"] == "stored"
    assert items(peer.say("SubmitOrder", **peer.order("O2", "US-THYROID"))) == [(1, "accepted", "booked")]
