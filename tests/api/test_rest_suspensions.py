"""Suspensions over REST: who may, what is answered, what is refused, and that a repeated request changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from examlane.replanning import suspensions

DOWN = {"kind": "device_down", "group": "US-N", "from": "2026-11-23T08:00:00+08:00", "until": "2026-11-23T12:00:00+08:00",
        "reason": "球管故障"}  # fmt: skip
HOLIDAY = {"kind": "holiday", "day": "2026-11-24", "reason": "临时放假"}
SHORTENED = {"kind": "shortened", "resource": "US-N-1", "day": "2026-11-24", "opens": "08:00", "closes": "10:00",
             "reason": "培训"}  # fmt: skip


def post(rest: Any, path: str, body: Any, **more: Any) -> Any:
    return rest.post(path, body, **{"caller": "desk", **more})


def test_it_is_shown_applied_read_and_ended(rest_on_each: Any) -> None:
    rest = rest_on_each
    number = rest.booked("O1", "US-HEART")["number"]
    shown = post(rest, "/suspensions/preview", DOWN).json
    assert (shown["seats_lost"], shown["outcomes"], shown["complete"]) == (48, {"moved": 1}, True)
    assert rest.get("/suspensions", caller="desk").json["suspensions"] == []

    made = post(rest, "/suspensions", DOWN).json
    assert (made["state"], made["affected"], made["done"], made["outcomes"]) == ("applied", 1, 1, {"moved": 1})
    assert (made["department"], made["resources"], made["created_by"]) == ("US", ["US-N-1", "US-N-2"], "desk")
    read = rest.get(f"/suspensions/{made['number']}", caller="desk").json
    (visit,) = read["visits"]
    assert (visit["appointment"], visit["patient"], visit["outcome"]) == (number, "患*甲", "moved")
    assert visit["new"] == shown["visits"][0]["new"]
    assert rest.get(f"/appointments/{number}").json["explanation"]["code"] == "moved_by_suspension"

    ended = post(rest, f"/suspensions/{made['number']}/end", {"move_back": True}).json
    assert (ended["state"], ended["ended_by"], ended["undone"]) == ("ended", "desk", {"moved_back": 1})
    listed = rest.get("/suspensions?department=US&state=ended", caller="desk").json["suspensions"]
    assert [one["number"] for one in listed] == [made["number"]]


def test_the_same_key_again_changes_nothing_and_gets_the_same_answer(rest: Any) -> None:
    rest.booked("O1", "US-HEART")
    made = post(rest, "/suspensions", DOWN, key="once")
    before = rest.counts()
    again = post(rest, "/suspensions", DOWN, key="once")
    assert (again.json, again.headers["Idempotency-Replayed"]) == (made.json, "true")
    assert rest.counts() == before

    path = f"/suspensions/{made.json['number']}/end"
    ended = post(rest, path, {}, key="end")
    before = rest.counts()
    assert post(rest, path, {}, key="end").json == ended.json
    assert post(rest, path, {"move_back": True}).json == ended.json
    assert {name for name, count in rest.counts().items() if count != before[name]} == {"receipt"}


def test_a_request_whose_answer_was_lost_is_answered_from_what_it_did(rest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(suspensions, "go_on_with", die)
        assert post(rest, "/suspensions", DOWN, key="once").status_code == 500
    answer = post(rest, "/suspensions", DOWN, key="once")
    assert (answer.status_code, answer.json["state"]) == (200, "applying")
    assert len(rest.get("/suspensions", caller="desk").json["suspensions"]) == 1


def test_a_department_suspends_its_own_and_sees_its_own(rest: Any) -> None:
    made = post(rest, "/suspensions", DOWN).json["number"]
    before = rest.counts()
    for path, body in (("/suspensions", SHORTENED), ("/suspensions/preview", DOWN), (f"/suspensions/{made}/end", {})):
        assert post(rest, path, body, caller="desk-ct").status_code == 403
    assert rest.get(f"/suspensions/{made}", caller="desk-ct").status_code == 403
    assert rest.get("/suspensions", caller="desk-ct").json["suspensions"] == []
    assert rest.counts() == before


def test_days_of_the_calendar_are_the_administrators(rest: Any) -> None:
    assert post(rest, "/suspensions", HOLIDAY).status_code == 403
    assert post(rest, "/suspensions/preview", HOLIDAY).status_code == 403
    made = post(rest, "/suspensions", HOLIDAY, caller="console").json
    assert (made["department"], made["seats_lost"], made["from"]) == ("", 96, "2026-11-24T00:00:00+08:00")
    days = rest.get("/suspensions/calendar", caller="console").json["days"]
    assert [(one["day"], one["weekday"], one["suspension"]) for one in days] == [("2026-11-24", None, made["number"])]

    assert rest.get(f"/suspensions/{made['number']}", caller="desk-ct").status_code == 200
    assert post(rest, f"/suspensions/{made['number']}/end", {}).status_code == 403
    assert post(rest, f"/suspensions/{made['number']}/end", {}, caller="console").json["state"] == "ended"
    assert rest.get("/suspensions/calendar", caller="console").json["days"] == []


BAD: list[tuple[dict[str, Any], set[str]]] = [
    ({"kind": "device_down"}, {"/reason"}),
    ({**DOWN, "kind": "strike"}, {"/kind"}),
    ({**DOWN, "reason": " "}, {"/reason"}),
    ({**DOWN, "from": "2026-11-23"}, {"/from"}),
    ({**DOWN, "until": "2026-11-23T08:00:00+08:00"}, {"/until"}),
    ({**DOWN, "resource": "US-N-1"}, {"/resource"}),
    ({**DOWN, "group": "NOWHERE"}, {"/group"}),
    ({**DOWN, "group": None}, {"/resource"}),
    ({**DOWN, "colour": "red"}, {"/colour"}),
    ({**DOWN, "day": "2026-11-24"}, {"/day"}),
    ({**SHORTENED, "opens": "8"}, {"/opens"}),
    ({**SHORTENED, "opens": "24:30"}, {"/opens"}),
    ({**SHORTENED, "closes": None}, {"/closes"}),
    ({**SHORTENED, "closes": "07:00"}, {"/closes"}),
    ({**SHORTENED, "day": "2025-11-24"}, {"/day"}),
    ({**SHORTENED, "kind": "swapped", "opens": None, "closes": None}, {"/other"}),
    ({**HOLIDAY, "weekday": 3}, {"/weekday"}),
    ({**HOLIDAY, "kind": "workday", "weekday": 8}, {"/weekday"}),
    ({**HOLIDAY, "departments": []}, {"/departments"}),
    ({**HOLIDAY, "departments": ["XX"]}, {"/departments/0"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "pointers"), BAD, ids=range(len(BAD)))
def test_a_bad_field_is_named_and_nothing_is_written(rest: Any, body: dict[str, Any], pointers: set[str]) -> None:
    before = rest.counts()
    for path in ("/suspensions", "/suspensions/preview"):
        answer = post(rest, path, body, caller="console")
        assert answer.status_code == 422, answer.json
        assert {each["pointer"] for each in answer.json["errors"]} == pointers
    assert rest.counts() == before


def test_what_is_not_known_is_not_found(rest: Any) -> None:
    assert rest.get("/suspensions/S2222-2222", caller="desk").status_code == 404
    assert post(rest, "/suspensions/S2222-2222/end", {}).status_code == 404


def test_outcomes_and_suspensions_are_paged(rest: Any) -> None:
    for number in range(3):
        rest.booked(f"O{number}", "US-HEART")
    made = post(rest, "/suspensions", DOWN).json["number"]
    first = rest.get(f"/suspensions/{made}?limit=2", caller="desk").json
    rest_of = rest.get(f"/suspensions/{made}?limit=2&cursor={first['next_cursor']}", caller="desk").json
    assert (len(first["visits"]), len(rest_of["visits"]), rest_of["next_cursor"]) == (2, 1, None)

    rest.world.clock.advance(timedelta(minutes=1))
    post(rest, "/suspensions", SHORTENED)
    page = rest.get("/suspensions?limit=1", caller="desk").json
    older = rest.get(f"/suspensions?limit=1&cursor={page['next_cursor']}", caller="desk").json
    assert [one["number"] for one in older["suspensions"]] == [made]
