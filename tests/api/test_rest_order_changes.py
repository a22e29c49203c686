"""Changes of an order over REST that come late, early, or after the order is void; on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from examlane import worker
from examlane.records import inbox

FIRST, SECOND, THIRD = (f"2026-11-23T07:{minute}:00+08:00" for minute in (50, 55, 58))


@pytest.fixture
def rest(rest_on_each: Any) -> Any:
    return rest_on_each


def change(rest: Any, note: str, at: str | None = None, **more: Any) -> Any:
    return rest.post("/orders/O1/changes", {"note": note, **({"changed_at": at} if at else {})}, **more)


def note(rest: Any) -> str:
    return str(rest.world.database.value("SELECT note FROM exam_order WHERE number = 'O1'"))


def turn(rest: Any) -> None:
    worker.turn(rest.world.hospital, lambda message: None)


def test_an_older_change_that_comes_late_changes_nothing(rest: Any) -> None:
    rest.booked("O1")
    assert change(rest, "第二版", SECOND).status_code == 200
    before = rest.counts()
    late = change(rest, "第一版", FIRST)
    assert (late.status_code, late.json["code"]) == (409, "superseded")
    assert (note(rest), rest.counts()) == ("第二版", before)
    assert change(rest, "第三版", THIRD).status_code == 200
    assert note(rest) == "第三版"


def test_a_change_waits_for_its_order_and_is_made_once(rest: Any) -> None:
    later = change(rest, "第二版", SECOND, key="second")
    assert (later.status_code, later.json) == (200, {"items": [], "outcomes": {}})
    assert change(rest, "第一版", FIRST).status_code == 200
    assert change(rest, "第二版", SECOND, key="second").json == later.json
    assert len(inbox.parked(rest.world.database)) == 2
    rest.booked("O1")
    assert note(rest) == "第二版"
    assert inbox.parked(rest.world.database) == []
    assert inbox.failed(rest.world.database) == []
    assert change(rest, "第一版", FIRST).json["code"] == "superseded"


def test_a_whole_order_that_was_changed_before_it_came_is_as_the_change_says(rest: Any) -> None:
    body = {"changed_at": SECOND, "priority": "urgent", "items": [{"line": 2, "item": "US-HEART"}],
            "context": {"weight_kg": {"value": 60, "observed_at": FIRST, "source": "EMR"}}}  # fmt: skip
    assert rest.post("/orders/O1/changes", body).status_code == 200
    rest.post("/orders", rest.order("O1", "US-THYROID"))
    items = rest.get("/orders/O1").json["items"]
    assert [(each["line"], each["state"]) for each in items] == [(1, "cancelled"), (2, "accepted")]
    priority, context = rest.world.database.row("SELECT priority, context FROM exam_order")
    assert priority == "urgent"
    assert '"value":60' in context


def test_a_change_that_waited_in_vain_is_a_dead_letter_for_a_person(rest: Any) -> None:
    change(rest, "第一版", FIRST)
    rest.world.clock.advance(timedelta(hours=25))
    turn(rest)
    [letter] = inbox.failed(rest.world.database)
    assert (letter.peer, letter.action) == ("his", "order.change")
    assert "24 hours" in letter.error


def test_what_was_left_undone_when_the_order_came_is_made_by_the_worker(rest: Any, monkeypatch: Any) -> None:
    change(rest, "改过", FIRST)
    with monkeypatch.context() as died:
        died.setattr("examlane.corrections.early.make_all", lambda *_: None)
        rest.booked("O1")
    assert note(rest) == ""
    rest.world.clock.advance(timedelta(minutes=15))
    turn(rest)
    assert note(rest) == "改过"


def test_a_change_that_cannot_be_understood_is_not_kept(rest: Any) -> None:
    before = rest.counts()
    unknown = rest.post("/orders/O1/changes", {"changed_at": FIRST, "items": [{"line": 1, "item": "NONE"}]})
    assert (unknown.status_code, unknown.json["errors"][0]["pointer"]) == (422, "/items/0/item")
    ahead = change(rest, "x", "2026-11-24T08:00:00+08:00")
    assert (ahead.status_code, ahead.json["errors"][0]["pointer"]) == (422, "/changed_at")
    assert change(rest, "x").status_code == 404
    assert rest.counts() == before


def test_a_void_order_is_not_changed(rest: Any) -> None:
    rest.booked("O1")
    rest.post("/orders/O1/void", {"reason": "开错", "reissue": False})
    more = [{"line": 1, "item": "US-THYROID"}, {"line": 2, "item": "US-HEART"}]
    answer = rest.post("/orders/O1/changes", {"items": more})
    assert (answer.status_code, answer.json["code"]) == (409, "order_closed")


def test_a_change_of_an_order_that_was_voided_before_it_came_means_nothing(rest: Any) -> None:
    change(rest, "改", FIRST)
    rest.post("/orders/O1/void", {"reason": "开错"})
    rest.booked("O1")
    assert [each["state"] for each in rest.get("/orders/O1").json["items"]] == ["withdrawn"]
    assert (inbox.parked(rest.world.database), inbox.failed(rest.world.database)) == ([], [])
