"""The waiting list over REST: joined with what the patient agreed to, offers answered once, nobody named."""

from __future__ import annotations

from typing import Any

import pytest

from examlane.waiting import backfill

LIMITS = {"from": "2026-11-23", "until": "2026-12-05", "notice_minutes": 30}


def moved(rest: Any, number: str, starts_at: str) -> str:
    """Move an appointment to a later time in room US-N, which takes two at a time."""
    answer = rest.post(f"/appointments/{number}/reschedule", {"group": "US-N", "starts_at": f"{starts_at}:00+08:00"})
    assert answer.status_code == 200
    return number


def joined(rest: Any, order: str, **more: Any) -> dict[str, Any]:
    """Somebody with a late time who waits for an earlier one."""
    number = moved(rest, rest.booked(order)["number"], "2026-11-27T09:00")
    found: dict[str, Any] = rest.post("/waiting", {"appointment": number, **LIMITS, **more}, caller="desk").json
    return found


def offered(rest: Any, *orders: str) -> list[dict[str, Any]]:
    """The entries of some patients after a time came free that the first of them is offered."""
    early = moved(rest, rest.booked("O0")["number"], "2026-11-24T09:00")
    entries = [joined(rest, order) for order in orders]
    rest.post(f"/appointments/{early}/cancel", {"reason": "改期"})
    backfill.turn(rest.world.hospital)
    return [rest.get(f"/waiting/{entry['id']}").json for entry in entries]


def test_who_joins_is_shown_masked_with_what_he_agreed_to(rest_on_each: Any) -> None:
    rest = rest_on_each
    entry = joined(rest, "O1", campuses=["N"], groups=["US-N"], channel="wechat", automatic=True)

    assert (entry["state"], entry["patient"], entry["department"], entry["items"]) == ("active", "患*甲", "US", ["O1/1"])
    assert (entry["from"], entry["until"], entry["campuses"], entry["groups"]) == (
        "2026-11-23", "2026-12-05", ["N"], ["US-N"],
    )  # fmt: skip
    assert (entry["channel"], entry["automatic"], entry["urgent"], entry["offers"]) == ("wechat", True, False, [])
    assert rest.get("/waiting?department=US").json["entries"] == [entry]
    assert rest.get("/waiting?department=CT").json["entries"] == []
    assert rest.get("/waiting?state=ended").json["entries"] == []


def test_an_offer_is_accepted_once_and_the_same_request_gets_the_same_answer(rest_on_each: Any) -> None:
    rest = rest_on_each
    (entry,) = offered(rest, "O1")
    offer = entry["offers"][0]
    assert offer["state"] == "open"
    first = rest.post(f"/offers/{offer['id']}/acceptance", caller="mini", key="a1")
    again = rest.post(f"/offers/{offer['id']}/acceptance", caller="mini", key="a1")

    assert (first.status_code, first.json["starts_at"]) == (200, offer["starts_at"])
    assert first.json["number"] == entry["appointment"]
    assert (again.json, again.headers["Idempotency-Replayed"]) == (first.json, "true")
    other = rest.post(f"/offers/{offer['id']}/acceptance", caller="mini")
    assert (other.status_code, other.json["code"]) == (409, "offer_gone")
    assert rest.get(f"/waiting/{entry['id']}").json["state"] == "ended"


def test_a_declined_offer_goes_to_the_next(rest: Any) -> None:
    first, second = offered(rest, "O1", "O2")
    answer = rest.post(f"/offers/{first['offers'][0]['id']}/decline", key="d1")
    before = rest.counts()
    assert rest.post(f"/offers/{first['offers'][0]['id']}/decline", key="d1").json == answer.json
    assert rest.counts() == before
    backfill.turn(rest.world.hospital)

    assert answer.json["state"] == "declined"
    assert [one["state"] for one in rest.get(f"/waiting/{second['id']}").json["offers"]] == ["open"]


def test_the_log_says_in_which_order_and_names_nobody(rest: Any) -> None:
    first, second = offered(rest, "O1", "O2")
    rest.post(f"/offers/{first['offers'][0]['id']}/decline")
    backfill.turn(rest.world.hospital)
    answer = rest.get("/waiting/log?department=US")

    assert [(line["entry"], line["place"], line["outcome"]) for line in answer.json["lines"]] == [
        (first["id"], 1, "declined"), (second["id"], 2, "offered"),
    ]  # fmt: skip
    assert "患者" not in answer.text
    assert "P-O1" not in answer.text


def test_withdrawal_and_resumption_are_for_entries_that_have_not_ended(rest: Any) -> None:
    entry = joined(rest, "O1")
    assert rest.post(f"/waiting/{entry['id']}/resumption").json["state"] == "active"
    answer = rest.post(f"/waiting/{entry['id']}/withdrawal")
    assert (answer.json["state"], answer.json["reason"]) == ("ended", "withdrawn")
    assert rest.post(f"/waiting/{entry['id']}/withdrawal").json["code"] == "waiting_ended"
    assert rest.post(f"/waiting/{entry['id']}/resumption").json["code"] == "waiting_ended"
    assert rest.post("/waiting", {"appointment": entry["appointment"], **LIMITS}).json["id"] != entry["id"]


def test_joining_with_the_same_key_puts_nobody_on_the_list_twice(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    body = {"appointment": number, **LIMITS}
    first = rest.post("/waiting", body, key="j1")
    before = rest.counts()

    assert rest.post("/waiting", body, key="j1").json == first.json
    assert rest.post("/waiting", body).json["code"] == "already_waiting"
    assert rest.counts() == before


def test_an_answer_that_was_lost_is_made_anew_from_what_the_request_led_to(rest: Any) -> None:
    first, second = offered(rest, "O1", "O2")
    declined = rest.post(f"/offers/{first['offers'][0]['id']}/decline", key="d1").json
    withdrawn = rest.post(f"/waiting/{second['id']}/withdrawal", key="w1").json
    rest.world.database.write(lambda: rest.world.database.rows("UPDATE receipt SET answer = NULL RETURNING id"))

    assert rest.post(f"/offers/{first['offers'][0]['id']}/decline", key="d1").json == declined
    assert rest.post(f"/waiting/{second['id']}/withdrawal", key="w1").json == withdrawn


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"items": ["O1/1"]}, "/items"), ({"appointment": None}, "/items"), ({"from": "tomorrow"}, "/from"),
        ({"until": "2026-11-22"}, "/until"), ({"notice_minutes": -1}, "/notice_minutes"),
        ({"notice_minutes": "30"}, "/notice_minutes"), ({"campuses": ["X"]}, "/campuses/0"),
        ({"groups": ["X"]}, "/groups/0"), ({"channel": "owl"}, "/channel"), ({"automatic": 1}, "/automatic"),
        ({"urgent": True}, "/urgent"), ({"items": "O1/1"}, "/items"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_nothing_is_stored(rest: Any, change: dict[str, Any], pointer: str) -> None:
    number = rest.booked("O1")["number"]
    before = rest.counts()
    answer = rest.post("/waiting", {"appointment": number, **LIMITS, **change})

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert rest.counts() == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/waiting", {"appointment": "2222-2222", **LIMITS}), ("/waiting", {"items": ["O9/1"], **LIMITS}),
        ("/waiting/7/withdrawal", {}), ("/waiting/x/withdrawal", {}), ("/waiting/99999999999999999999/resumption", {}),
        ("/offers/7/acceptance", {}), ("/offers/-1/decline", {}),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_not_found(rest: Any, path: str, body: dict[str, Any]) -> None:
    before = rest.counts()

    assert rest.post(path, body).status_code == 404
    assert rest.counts() == before


def test_a_registrar_of_ct_touches_no_offer_of_ultrasound(rest: Any) -> None:
    (entry,) = offered(rest, "O1")
    offer = entry["offers"][0]["id"]
    for path in (f"/offers/{offer}/acceptance", f"/offers/{offer}/decline", f"/waiting/{entry['id']}/withdrawal"):
        assert rest.post(path, caller="desk-ct").status_code == 403
    assert rest.get(f"/waiting/{entry['id']}", caller="desk-ct").status_code == 403


def test_a_registrars_cancellation_is_not_delayed_unless_he_says_that_the_patient_asked(rest: Any) -> None:
    rest.put("/departments/US/policy", {"policy": {"cancelled_seat_delay_minutes": 60}}, caller="console")
    withheld = []
    for number, (caller, more) in enumerate((("desk", {}), ("desk", {"by_patient": True}), ("mini", {}))):
        booked = moved(rest, rest.booked(f"O{number}")["number"], f"2026-11-24T09:{number}0")
        rest.post(f"/appointments/{booked}/cancel", {"reason": "改期", **more}, caller=caller)
        withheld.append(rest.world.database.value("SELECT sum(withheld) FROM slot"))

    assert withheld == [0, 1, 2]
