"""A held time over REST: its token books it until it expires, and nothing else does."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from examlane.testing.hospital import MORNING
from tests.api.conftest import Site


@pytest.fixture
def held(rest_on_each: Site) -> tuple[Site, dict[str, Any]]:
    """A site, and a hold on it."""
    rest = rest_on_each
    number = rest.booked("O1")["number"]
    rest.post(f"/appointments/{number}/cancel", {"reason": "改期"})
    choice = rest.times(items="O1/1", limit="3")[1]
    made = rest.post("/holds", {"items": ["O1/1"], "group": choice["group"], "starts_at": choice["starts_at"]})
    return rest, made.json


def test_the_token_of_a_hold_books_the_time_that_was_held(held: tuple[Site, dict[str, Any]]) -> None:
    rest, hold = held
    assert hold["hold_expires_at"] == "2026-11-23T08:05:00+08:00"
    booked = rest.post("/appointments", {"hold": hold["token"]})

    assert (booked.status_code, booked.json["state"]) == (200, "booked")
    assert (booked.json["number"], booked.json["starts_at"]) == (hold["number"], hold["starts_at"])


def test_a_hold_is_booked_once_and_the_answer_is_replayed(held: tuple[Site, dict[str, Any]]) -> None:
    rest, hold = held
    first = rest.post("/appointments", {"hold": hold["token"]}, key="book")
    replayed = rest.post("/appointments", {"hold": hold["token"]}, key="book")

    assert (replayed.json, replayed.headers["Idempotency-Replayed"]) == (first.json, "true")
    before = rest.counts()
    again = rest.post("/appointments", {"hold": hold["token"]})
    assert (again.status_code, again.json["code"]) == (409, "state_conflict")
    assert rest.counts() == before


def test_a_patient_who_has_arrived_stays_arrived_when_his_token_comes_again(held: tuple[Site, dict[str, Any]]) -> None:
    rest, hold = held
    rest.post("/appointments", {"hold": hold["token"]})
    path = f"/appointments/{hold['number']}"
    rest.world.clock.set(datetime.fromisoformat(hold["starts_at"]) - timedelta(minutes=5))
    assert rest.post(f"{path}/check-in").json["state"] == "checked_in"

    assert rest.post("/appointments", {"hold": hold["token"]}).status_code == 409
    assert rest.get(path).json["state"] == "checked_in"


def test_an_expired_hold_books_nothing(held: tuple[Site, dict[str, Any]]) -> None:
    rest, hold = held
    rest.world.clock.set(MORNING + timedelta(minutes=6))
    answer = rest.post("/appointments", {"hold": hold["token"]})

    assert answer.status_code == 409
    assert rest.get(f"/appointments/{hold['number']}").json["state"] != "booked"


def test_a_released_hold_books_nothing(held: tuple[Site, dict[str, Any]]) -> None:
    rest, hold = held
    assert rest.post(f"/holds/{hold['number']}/release").status_code == 200

    assert rest.post("/appointments", {"hold": hold["token"]}).status_code == 409


@pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: token + "x", lambda _: "nonsense"])
def test_a_token_that_this_site_did_not_sign_finds_nothing(held: tuple[Site, dict[str, Any]], change: Any) -> None:
    rest, hold = held
    before = rest.counts()
    answer = rest.post("/appointments", {"hold": change(hold["token"])})

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert rest.counts() == before
    assert rest.get(f"/appointments/{hold['number']}").json["state"] == "held"


@pytest.mark.parametrize("body", [{}, {"items": ["O1/1"]}, {"hold": "x", "items": ["O1/1"]}, {"hold": ""}])
def test_a_booking_names_a_hold_or_a_time_and_not_both(rest: Site, body: dict[str, Any]) -> None:
    answer = rest.post("/appointments", body)

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert {part["pointer"] for part in answer.json["errors"]} <= {"/hold", "/items", "/group", "/starts_at"}


def test_another_departments_desk_books_nobodys_hold(held: tuple[Site, dict[str, Any]]) -> None:
    rest, hold = held

    assert rest.post("/appointments", {"hold": hold["token"]}, caller="desk-ct").status_code == 403
    assert rest.get(f"/appointments/{hold['number']}").json["state"] == "held"
