"""No-shows over REST: withdrawn, entered from paper, paused, restricted; each write once, each mistake named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from examlane.appointments import status
from examlane.arrival import noshow


def pass_over(rest: Any, number: str, **delta: float) -> None:
    """The clock after a visit's end, and the sweep."""
    ends = status.appointment(rest.world.hospital, number).ends_at
    rest.world.clock.set(max(rest.world.clock.now(), ends + timedelta(**(delta or {"minutes": 20}))))
    noshow.sweep(rest.world.hospital)


def missed(rest: Any, order: str = "O1", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = rest.booked(order, **more)
    pass_over(rest, found["number"])
    return found


def policy(rest: Any, **values: Any) -> None:
    assert rest.put("/departments/US/policy", {"policy": values}, caller="console").status_code == 200


def lines(rest: Any, *entries: Any, **more: Any) -> Any:
    return rest.post("/check-ins", {"lines": list(entries)}, **more)


# Withdrawals


def test_a_withdrawal_answers_the_items_and_changes_once(rest: Any) -> None:
    number = missed(rest)["number"]
    body = {"reason": "系统误判"}
    first = rest.post(f"/appointments/{number}/no-show/withdrawal", body, key="w1", caller="desk")
    counts = rest.counts()
    again = rest.post(f"/appointments/{number}/no-show/withdrawal", body, key="w1", caller="desk")

    (item,) = first.json["items"]
    assert (item["appointment"]["state"], item["payment"]) == ("booked", "paid")
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert rest.counts() == counts


def test_a_withdrawal_whose_answer_was_lost_is_answered_from_what_it_led_to(rest: Any) -> None:
    number = missed(rest)["number"]
    first = rest.post(f"/appointments/{number}/no-show/withdrawal", {"reason": "误判", "here": True}, key="w1")
    rest.world.database.rows("UPDATE receipt SET answer = NULL WHERE key = 'w1' RETURNING id")
    again = rest.post(f"/appointments/{number}/no-show/withdrawal", {"reason": "误判", "here": True}, key="w1")
    assert first.json["items"][0]["appointment"]["state"] == "checked_in"
    assert again.json == first.json


def test_bad_withdrawals_are_named(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    path = f"/appointments/{number}/no-show/withdrawal"
    assert rest.post(path, {"reason": "误判"}).json["code"] == "no_no_show"
    assert rest.post(path, {}).json["errors"][0]["pointer"] == "/reason"
    assert rest.post(path, {"reason": "误判", "here": "yes"}).status_code == 422
    assert rest.post("/appointments/NONE/no-show/withdrawal", {"reason": "误判"}).status_code == 404


# Paper


def test_each_line_of_paper_is_answered_on_its_own(rest: Any) -> None:
    first, second = rest.booked("O1"), rest.booked("O2")
    pass_over(rest, second["number"])
    answer = lines(
        rest,
        {"appointment": first["number"], "at": first["starts_at"]},
        {"appointment": "NONE", "at": first["starts_at"]},
        {"appointment": second["number"], "at": "yesterday"},
        7,
        {"appointment": second["number"], "at": second["starts_at"], "what": "finished"},
        caller="desk",
    ).json["lines"]

    assert [(line["line"], line["done"], line.get("state") or line["code"]) for line in answer] == [
        (0, True, "checked_in"), (1, False, "not_found"), (2, False, "invalid_input"), (3, False, "invalid_input"),
        (4, True, "fulfilled"),
    ]  # fmt: skip


def test_the_same_list_sent_again_changes_nothing_even_where_its_answer_was_lost(rest: Any) -> None:
    first, second = rest.booked("O1"), rest.booked("O2")
    pass_over(rest, second["number"])
    entries = [{"appointment": each["number"], "at": each["starts_at"]} for each in (first, second)]
    answer = lines(rest, *entries, key="list-1")
    counts = rest.counts()
    assert lines(rest, *entries, key="list-1").json == answer.json
    rest.world.database.rows("UPDATE receipt SET answer = NULL WHERE key = 'list-1' RETURNING id")
    assert lines(rest, *entries, key="list-1").json == answer.json
    rest.world.database.rows("DELETE FROM receipt WHERE key = 'list-1' RETURNING id")
    assert lines(rest, *entries, key="list-1").json == answer.json
    assert rest.counts() == counts


def test_a_registrar_enters_paper_in_his_own_department_only(rest: Any) -> None:
    ultrasound, head = rest.booked("O1"), rest.booked("O2", "CT-HEAD")
    pass_over(rest, head["number"], minutes=0)
    entries = [{"appointment": each["number"], "at": each["starts_at"]} for each in (ultrasound, head)]
    answer = lines(rest, *entries, caller="desk-ct").json["lines"]
    assert [line.get("code") for line in answer] == ["forbidden", None]


def test_a_list_has_lines(rest: Any) -> None:
    assert lines(rest).status_code == 422
    assert lines(rest, *[{}] * 501).status_code == 422
    assert rest.post("/check-ins", {"lines": [], "colour": 1}).status_code == 422


def test_an_execution_carries_its_instant(rest: Any) -> None:
    found = missed(rest)
    answer = rest.post(f"/appointments/{found['number']}/execution", {"state": "finished", "at": found["starts_at"]})
    assert answer.json["state"] == "fulfilled"
    evidence = rest.world.database.value("SELECT evidence FROM appointment_version ORDER BY id DESC LIMIT 1")
    assert '"happened_at"' in evidence


# Sources


def test_a_source_is_declared_and_read(rest: Any) -> None:
    gone = rest.post("/departments/US/check-in-source", {"state": "offline", "reason": "断网"}, caller="desk")
    assert gone.json == rest.get("/departments/US/check-in-source").json
    assert (gone.json["state"], gone.json["reason"], gone.json["sweeps_from"]) == ("offline", "断网", None)
    back = rest.post("/departments/US/check-in-source", {"state": "online"}, key="back")
    assert back.json["state"] == "paper"
    again = rest.post("/departments/US/check-in-source", {"state": "online"}, key="back")
    assert (again.json, again.headers["Idempotency-Replayed"]) == (back.json, "true")


def test_bad_declarations_are_named(rest: Any) -> None:
    path = "/departments/US/check-in-source"
    assert rest.post(path, {"state": "online"}).json["code"] == "not_offline"
    assert rest.post(path, {"state": "broken"}).status_code == 422
    assert rest.post("/departments/NONE/check-in-source", {"state": "offline"}).status_code == 404
    assert rest.get("/departments/NONE/check-in-source").status_code == 404
    late = rest.post(path, {"state": "offline", "since": "2026-11-24T08:00:00+08:00"})
    assert late.json["errors"][0]["pointer"] == "/since"


# Restrictions


def restricted(rest: Any) -> dict[str, Any]:
    policy(rest, no_show_limit=1, check_in_silent_minutes=0)
    missed(rest, patient="P1")
    (found,) = rest.get("/restrictions?department=US").json["restrictions"]
    return dict(found)


def test_a_restriction_is_read_appealed_and_lifted(rest: Any) -> None:
    found = restricted(rest)
    rest.post("/orders", rest.order("O2", "US-HEART", patient="P1"))
    (item,) = rest.post("/payments", rest.payment("O2")).json["items"]
    assert item["reason"] == "restricted"
    assert found["patient"] == "患*甲" or "*" in found["patient"]
    assert [each["id"] for each in rest.get("/restrictions?order=O2").json["restrictions"]] == [found["id"]]

    path = f"/restrictions/{found['id']}"
    assert rest.post(f"{path}/appeal", {"reason": "当天住院"}).json["appeal"] == "当天住院"
    lifted = rest.post(f"{path}/decision", {"decision": "lifted", "reason": "已核实"}, caller="desk", key="d1")
    assert (lifted.json["state"], lifted.json["decided_by"]) == ("lifted", "desk")
    again = rest.post(f"{path}/decision", {"decision": "lifted", "reason": "已核实"}, caller="desk", key="d1")
    assert again.json == lifted.json
    assert rest.get("/restrictions?department=US").json["restrictions"] == []
    rest.world.later(seconds=1)
    assert rest.get("/orders/O2").json["items"][0]["reason"] == "booked"


def test_the_phone_is_told_to_go_to_the_desk_and_the_desk_books(rest: Any) -> None:
    restricted(rest)
    rest.post("/orders", rest.order("O2", "US-HEART", patient="P1"))
    rest.post("/payments", rest.payment("O2"))
    assert rest.get("/times?items=O2/1", caller="mini").json["code"] == "restricted"
    time = rest.get("/times?items=O2/1", caller="desk").json["times"][0]
    body = {"items": ["O2/1"], "group": time["group"], "starts_at": time["starts_at"]}
    refused = rest.post("/appointments", body, caller="mini")
    assert (refused.json["code"], "登记台" in refused.json["message"]["zh"]) == ("restricted", True)
    assert rest.post("/appointments", body, caller="desk").json["state"] == "booked"


def test_bad_appeals_are_named(rest: Any) -> None:
    key = restricted(rest)["id"]
    assert rest.post(f"/restrictions/{key}/appeal", {}).status_code == 422
    assert rest.post("/restrictions/999/appeal", {"reason": "-"}).status_code == 404
    assert rest.post("/restrictions/999999999999999999999999/appeal", {"reason": "-"}).status_code == 404
    bad = rest.post(f"/restrictions/{key}/decision", {"decision": "maybe", "reason": "-"}, caller="desk")
    assert bad.json["errors"][0]["pointer"] == "/decision"
    assert rest.get("/restrictions?order=NONE").status_code == 404


def test_a_key_used_for_another_body_is_refused(rest: Any) -> None:
    key = restricted(rest)["id"]
    rest.post(f"/restrictions/{key}/appeal", {"reason": "一"}, key="a1")
    answer = rest.post(f"/restrictions/{key}/appeal", {"reason": "二"}, key="a1")
    assert answer.json["code"] == "idempotency_key_reused"
