"""Check-up groups over REST."""

from __future__ import annotations

from typing import Any

import pytest

BODY = {"unit": "某单位", "items": [{"item": "US-THYROID"}, {"item": "US-HEART", "sex": "female"}], "quotas": {"N": 2},
        "starts_on": "2026-11-24", "ends_on": "2026-11-25"}  # fmt: skip
CONTRACT = {"number": "C1", **BODY}


def person(number: int, **more: Any) -> dict[str, Any]:
    who = {"identifiers": [{"kind": "card", "value": f"E{number}"}], "name": f"王一{number}", "sex": "female"}
    return {**who, "birth_date": "1990-01-01", **more}


def listed(rest: Any, *people: dict[str, Any]) -> Any:
    rest.post("/checkups", CONTRACT, caller="desk")
    return rest.post("/checkups/C1/people", {"people": list(people)}, caller="desk")


def test_a_group_is_booked_moved_and_partly_leaves(rest: Any) -> None:
    lines = listed(rest, person(1), person(2), person(3, sex="unknown")).json["lines"]
    assert [line["outcome"] for line in lines] == ["added", "added", "refused"]
    one, two = (line["person"] for line in lines[:2])
    booked = rest.post("/checkups/C1/bookings", {}, caller="desk").json
    assert booked["counts"] == {"listed": 0, "booked": 2, "desk": 0, "left": 0, "examined": 0, "missing": 0}
    before = {each["person"]: each["day"] for each in booked["people"]}
    assert {each["name"] for each in booked["people"]} == {"王*1", "王*2"}

    swapped = rest.post("/checkups/C1/moves", {"person": one, "other": two}, caller="desk").json
    assert {each["person"]: each["day"] for each in swapped["people"]} == {one: before[two], two: before[one]}
    moved = rest.post("/checkups/C1/moves", {"person": one, "campus": "N", "day": before[one]}, caller="desk").json
    assert {each["day"] for each in moved["people"]} == {before[one]}
    smaller = rest.post("/checkups/C1/changes", {**BODY, "quotas": {"N": 1}}, caller="desk")
    assert (smaller.status_code, smaller.json["code"]) == (409, "quota_below_booked")
    left = rest.post("/checkups/C1/departures", {"people": [two], "reason": "离职"}, caller="desk").json
    assert (left["counts"]["booked"], left["counts"]["left"]) == (1, 1)
    over = rest.post("/checkups/C1/cancellation", {"reason": "合同终止"}, caller="desk").json
    assert (over["state"], over["counts"]["booked"]) == ("cancelled", 0)
    assert rest.get("/checkups/C1").json == over


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/checkups", {**CONTRACT, "number": "C2", "quotas": {"N": 0}}, "/quotas/N"),
        ("/checkups", {**CONTRACT, "number": "C2", "quotas": {"X": 1}}, "/quotas/X"),
        ("/checkups", {**CONTRACT, "number": "C2", "items": []}, "/items"),
        ("/checkups", {**CONTRACT, "number": "C2", "ends_on": "2026-11-01"}, "/ends_on"),
        ("/checkups/C1/people", {"people": []}, "/people"),
        ("/checkups/C1/bookings", {"people": [{"person": 1, "campus": "N"}]}, "/people/0/day"),
        ("/checkups/C1/moves", {"person": 1}, "/other"),
        ("/checkups/C1/moves", {"person": 1, "other": 2, "campus": "N", "day": "2026-11-24"}, "/other"),
        ("/checkups/C1/departures", {"people": [1]}, "/reason"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(rest: Any, path: str, body: dict[str, Any], pointer: str) -> None:
    listed(rest, person(1))
    before = rest.counts()
    answer = rest.post(path, body, caller="desk")

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert rest.counts() == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/checkups", {**CONTRACT, "number": "C2"}),
        ("/checkups/C1/changes", {**BODY, "quotas": {"N": 3}}),
        ("/checkups/C1/people", {"people": [person(9)]}),
        ("/checkups/C1/bookings", {}),
        ("/checkups/C1/cancellation", {"reason": "合同终止"}),
    ],
)
def test_the_same_request_again_gets_the_same_answer_and_changes_nothing(rest: Any, path: str, body: dict[str, Any]) -> None:
    listed(rest, person(1))
    first = rest.post(path, body, key="again", caller="desk")
    before = rest.counts()
    second = rest.post(path, body, key="again", caller="desk")

    assert first.status_code == 200
    assert (second.json, second.headers["Idempotency-Replayed"]) == (first.json, "true")
    assert rest.counts() == before


def test_an_unknown_contract_or_person_is_refused(rest: Any) -> None:
    listed(rest, person(1))
    assert rest.get("/checkups/NONE").status_code == 404
    for path, body in (("people", {"people": [person(1)]}), ("bookings", {}), ("cancellation", {"reason": "x"})):
        assert rest.post(f"/checkups/NONE/{path}", body, caller="desk").status_code == 404
    assert rest.post("/checkups/C1/departures", {"people": [99], "reason": "x"}, caller="desk").json["code"] == "not_listed"
    assert rest.post("/checkups/C1/moves", {"person": 99, "other": 98}, caller="desk").json["code"] == "not_booked"
