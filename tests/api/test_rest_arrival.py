"""Arriving, queues, calls and partial executions over REST."""

from __future__ import annotations

from typing import Any

import pytest

from examlane.arrival import walkin
from examlane.errors import Unavailable

CARD = {"kind": "card", "value": "P1"}


@pytest.fixture
def number(rest: Any) -> str:
    """A booked ultrasound visit of P1 whose time has come."""
    found: str = rest.booked("O1", patient="P1")["number"]
    return found


def test_a_patient_arrives_waits_is_called_and_examined(rest: Any, number: str) -> None:
    came = rest.post("/arrivals", {"patient": CARD}, caller="desk").json
    assert "code" not in came, came
    assert [each["number"] for each in came["appointments"]] == [number]
    queue = rest.get("/queues/US-N", caller="desk").json
    assert [(each["appointment"], each["ahead"]) for each in queue["waiting"]] == [(number, 0)]
    assert "*" in queue["waiting"][0]["patient"]
    assert rest.get(f"/appointments/{number}/waiting").json["waiting"] is True
    assert rest.post("/queues/US-N/next").json["state"] == "called"
    assert rest.post("/queues/US-N/next").json["code"] == "nobody_waiting"
    assert rest.get(f"/appointments/{number}/waiting").json == {
        "appointment": number, "waiting": False, "ahead": None, "expected_at": None, "minutes": None,
    }  # fmt: skip
    body = {"state": "not_done", "reason_code": "unwell"}
    assert rest.post(f"/appointments/{number}/execution", body).json["state"] == "not_done"
    assert rest.get("/orders/O1").json["items"][0]["appointment"]["state"] == "booked"


def test_a_deferral_is_lifted_and_a_mistake_undone(rest: Any, number: str) -> None:
    rest.post(f"/appointments/{number}/check-in", {}, caller="desk")
    assert rest.post(f"/appointments/{number}/deferral", {"reason": "has_eaten"}).json["state"] == "deferred"
    assert rest.post(f"/appointments/{number}/ready").json["state"] == "checked_in"
    assert rest.post(f"/appointments/{number}/call", {"absent": True}).json["state"] == "called_absent"
    assert rest.post(f"/appointments/{number}/undo", {"reason": "误操作"}).json["state"] == "checked_in"
    assert rest.post(f"/appointments/{number}/undo", {"reason": "误操作"}).json["state"] == "booked"


def test_an_emergency_is_answered_with_its_provisional_order(rest: Any) -> None:
    body = {"department": "CLINIC", "items": ["CT-HEAD"], "reason": "车祸，昏迷"}
    answer = rest.post("/emergencies", body, key="e1").json
    assert "code" not in answer, answer
    assert answer["order"].startswith("E-")
    assert answer["appointments"][0]["state"] == "checked_in"
    assert rest.post("/emergencies", body, key="e1").json == answer
    rest.world.database.write(lambda: rest.world.database.rows("UPDATE receipt SET answer = NULL RETURNING id"))
    again = rest.post("/emergencies", body, key="e1").json
    assert (again["order"], again["appointments"]) == (answer["order"], answer["appointments"])


def test_an_emergency_that_died_before_it_was_taken_in_is_taken_in_when_it_is_sent_again(
    rest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"department": "CLINIC", "items": ["CT-HEAD"], "reason": "车祸", "number": "T-7", "ward": "急诊"}

    def dies(*_: Any) -> Any:
        raise Unavailable

    monkeypatch.setattr(walkin, "take_in", dies)
    assert rest.post("/emergencies", body, key="e1").status_code == 503
    monkeypatch.undo()
    answer = rest.post("/emergencies", body, key="e1").json
    assert [each["state"] for each in answer["appointments"]] == ["checked_in"]
    assert rest.world.database.value("SELECT count(*) FROM exam_order") == 1
    assert rest.world.database.value("SELECT value FROM patient_identifier WHERE kind = 'temporary'") == "T-7"


def test_what_is_booked_on_a_later_day_is_named_and_done_today_with_move(rest: Any, number: str) -> None:
    later = rest.times(appointment=number, since="2026-11-25")[0]
    rest.post(f"/appointments/{number}/reschedule", {"group": later["group"], "starts_at": later["starts_at"]})
    answer = rest.post("/arrivals", {"patient": CARD})
    assert (answer.status_code, answer.json["code"]) == (409, "another_day")
    assert "2026-11-25" in answer.json["message"]["zh"]
    (visit,) = rest.post("/arrivals", {"patient": CARD, "move": True}).json["appointments"]

    assert (visit["number"], visit["state"], visit["starts_at"][:10]) == (number, "checked_in", "2026-11-23")


def test_only_the_desk_adds_a_seat(rest: Any, number: str) -> None:
    answer = rest.post("/arrivals", {"patient": CARD, "add_on": True})

    assert (answer.status_code, answer.json["code"]) == (409, "desk_only")


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/arrivals", {}, "/patient"),
        ("/arrivals", {"patient": CARD, "items": ["O9/1"]}, "/items/0"),
        ("/emergencies", {"department": "CLINIC", "items": [], "reason": "x"}, "/items"),
        ("/emergencies", {"department": "CLINIC", "items": ["NONE"], "reason": "x"}, "/items/0/item"),
        ("/emergencies", {"department": "NONE", "items": ["CT-HEAD"], "reason": "x"}, "/ordering_department"),
        ("/appointments/{US}/deferral", {"reason": "tired"}, "/reason"),
        ("/appointments/{US}/deferral", {"reason": "unwell", "ready_at": "2026-11-22T08:00:00+08:00"}, "/ready_at"),
        ("/appointments/{US}/undo", {}, "/reason"),
        ("/appointments/{US}/execution", {"state": "finished", "items": ["O9/1"]}, "/items/0"),
        ("/appointments/{US}/execution", {"state": "not_done", "reason_code": "tired"}, "/reason_code"),
        ("/orders/O1/items/1/bedside", {"state": "begun"}, "/state"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    rest: Any, number: str, path: str, body: dict[str, Any], pointer: str
) -> None:
    rest.post(f"/appointments/{number}/check-in", {}, caller="desk")
    before = rest.counts()
    answer = rest.post(path.replace("{US}", number), body)

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert rest.counts() == before


def test_what_is_not_known_is_not_found(rest: Any) -> None:
    assert rest.post("/arrivals", {"patient": {"kind": "card", "value": "NONE"}}).status_code == 404
    assert rest.get("/queues/NONE").status_code == 404
    assert rest.post("/queues/NONE/next").status_code == 404
    assert rest.get("/appointments/NONE/waiting").status_code == 404
    assert rest.post("/orders/NONE/items/1/bedside", {"state": "started"}).status_code == 404
    assert rest.get("/wards/内一/bedside").json == {"exams": []}
