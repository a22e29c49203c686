"""Patients merged, parted and updated over REST."""

from __future__ import annotations

from typing import Any

import pytest


def card(value: str) -> dict[str, str]:
    return {"kind": "card", "value": value}


PAIR = {"keep": card("P1"), "merge": card("P2")}
RELATED = ("/patients/relations", {"patient": card("P1"), "other": card("P2"), "kind": "mother"})
WEIGHT = {"patient": card("P1"), "facts": {"weight_kg": {"value": 70}}}


def test_two_records_become_one_and_two_again(rest: Any) -> None:
    number = rest.booked("O1", patient="P1")["number"]
    other = rest.booked("O2", "CT-HEAD", patient="P2")["number"]
    merged = rest.post("/patients/merges", PAIR).json

    assert (merged["state"], {item["key"] for item in merged["items"]}) == ("merged", {"O1/1", "O2/1"})
    assert merged["moved"]["appointment"] == 1
    assert merged["overlaps"] in ([], [[number, other]])
    assert rest.post("/patients/merges", PAIR).json["merge"] == merged["merge"]

    undone = rest.post(f"/patients/merges/{merged['merge']}/undo", {}).json
    assert (undone["state"], [item["key"] for item in undone["items"]]) == ("undone", ["O1/1"])
    assert rest.get("/orders/O2").json["items"][0]["appointment"]["number"] == other


def test_an_update_answers_what_it_meant_for_each_item(rest: Any) -> None:
    rest.booked("O1", patient="P1")
    assert rest.post("/patients/updates", {**WEIGHT, "phone": "13800001234"}).json["outcomes"] == {"O1/1": "kept"}


def test_who_has_a_telephone_and_who_may_be_one_person_is_listed_masked(rest: Any) -> None:
    who = {"name": "王小明", "sex": "male", "birth_date": "1980-02-03", "phone": "13800000000"}
    for number, value in (("O1", "P1"), ("O2", "P2")):
        order = rest.order(number)
        encounter = {**order["encounter"], "number": f"V-{value}"}
        rest.post("/orders", {**order, "encounter": encounter, "patient": {**who, "identifiers": [card(value)]}})
    assert rest.post(*RELATED).json["relations"] == [{"kind": "mother", "name": "王*明"}]
    listed = rest.get("/patients?phone=13800000000").json["patients"]
    assert [(each["name"], each["birth_year"]) for each in listed] == [("王*明", "1980")] * 2
    pairs = rest.get("/patients/duplicates").json["duplicates"]
    assert [pair["second"]["identifiers"] for pair in pairs] == [[{"kind": "card", "value": "*"}]]
    assert rest.get("/patients").status_code == 422
    assert rest.post("/patients/relations", {**RELATED[1], "other": card("P9")}).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/patients/merges", {"keep": card("P1")}, "/merge"),
        ("/patients/merges", {"keep": card("P1"), "merge": {"kind": "card"}}, "/merge/value"),
        ("/patients/updates", {"patient": card("P1"), "sex": "unclear"}, "/sex"),
        ("/patients/updates", {"patient": card("P1"), "birth_date": "1980-13-01"}, "/birth_date"),
        ("/patients/updates", {"patient": card("P1"), "birth_date": "2090-01-01"}, "/birth_date"),
        ("/patients/updates", {"patient": card("P1"), "facts": {"weight_kg": {"value": [1]}}}, "/facts/weight_kg/value"),
        ("/patients/updates", {"phone": "13800001234"}, "/patient"),
        ("/patients/relations", {"patient": card("P1"), "other": card("P2"), "kind": "friend"}, "/kind"),
        ("/patients/relations", {"patient": card("P1"), "kind": "mother"}, "/other"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(rest: Any, path: str, body: dict[str, Any], pointer: str) -> None:
    rest.booked("O1", patient="P1")
    before = rest.counts()
    answer = rest.post(path, body)

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert rest.counts() == before


def test_refusals_say_why(rest: Any) -> None:
    rest.booked("O1", patient="P1")
    assert rest.post("/patients/merges", {"keep": card("P1"), "merge": card("P1")}).json["code"] == "same_patient"
    assert rest.post("/patients/merges", PAIR).status_code == 404
    for number in ("7", "x", "9" * 30):
        assert rest.post(f"/patients/merges/{number}/undo", {}).status_code == 404
    assert rest.post("/patients/updates", {**WEIGHT, "patient": card("P9")}).status_code == 404


@pytest.mark.parametrize(("path", "body"), [("/patients/merges", PAIR), ("/patients/updates", WEIGHT), RELATED])
def test_the_same_request_again_gets_the_same_answer_and_changes_nothing(rest: Any, path: str, body: dict[str, Any]) -> None:
    rest.booked("O1", patient="P1")
    rest.booked("O2", "CT-HEAD", patient="P2")
    first = rest.post(path, body, key="again")
    before = rest.counts()
    second = rest.post(path, body, key="again")

    assert first.status_code == 200
    assert (second.json, second.headers["Idempotency-Replayed"]) == (first.json, "true")
    assert rest.counts() == before


def test_a_merge_whose_answer_was_lost_is_answered_from_what_it_led_to(rest: Any) -> None:
    rest.booked("O1", patient="P1")
    rest.booked("O2", "CT-HEAD", patient="P2")
    first = rest.post("/patients/merges", PAIR, key="lost").json
    rest.world.database.rows("UPDATE receipt SET answer = NULL WHERE key = 'lost' RETURNING id")
    assert rest.post("/patients/merges", PAIR, key="lost").json == first
    undo = f"/patients/merges/{first['merge']}/undo"
    done = rest.post(undo, {}, key="lost2").json
    rest.world.database.rows("UPDATE receipt SET answer = NULL WHERE key = 'lost2' RETURNING id")
    assert rest.post(undo, {}, key="lost2").json == done
