"""Exceptions, gates, versions, itineraries and figures over REST: looked up, taken and closed once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from examlane.appointments import desk
from examlane.testing.hospital import MORNING
from tests.api.conftest import Site

FIGURES = "/statistics?from=2026-11-23&until=2026-11-30"


def opened_task(rest: Site, department: str = "US", code: str = "no_time", hours: int = 4) -> str:
    """An exception of a department; its number."""
    database = rest.world.database
    database.write(lambda: desk.open_task(database, code, department, None, None, MORNING, timedelta(hours=hours)))
    return str(database.value("SELECT max(id) FROM desk_task"))


def test_an_exception_is_taken_and_closed_with_who_when_and_why(rest_on_each: Site) -> None:
    rest = rest_on_each
    path = f"/exceptions/{opened_task(rest)}"
    shown = rest.get(path, caller="desk")
    assert (shown.json["state"], shown.json["deadline_at"]) == ("open", "2026-11-23T12:00:00+08:00")

    taken = rest.post(f"{path}/taking", caller="desk", If_Match=shown.headers["ETag"])
    assert (taken.status_code, taken.json["state"], taken.json["taken_by"]) == (200, "taken", "desk")
    closed = rest.post(f"{path}/closing", {"reason": "已联系患者"}, caller="desk", If_Match=taken.headers["ETag"])
    assert (closed.json["state"], closed.json["closed_by"], closed.json["close_reason"]) == (
        "closed", "desk", "已联系患者",
    )  # fmt: skip
    assert rest.get(path, caller="desk").json == closed.json


def test_a_stale_version_takes_and_closes_nothing(rest: Site) -> None:
    path = f"/exceptions/{opened_task(rest)}"
    stale = rest.get(path, caller="desk").headers["ETag"]
    rest.post(f"{path}/taking", caller="desk")
    before = rest.counts()

    for step, body in (("taking", {}), ("closing", {"reason": "已联系"})):
        answer = rest.post(f"{path}/{step}", body, caller="desk", If_Match=stale)
        assert (answer.status_code, answer.json["code"]) == (412, "version_conflict")
    assert rest.counts() == before
    assert rest.get(path, caller="desk").json["state"] == "taken"


def test_a_closed_exception_is_closed_once_and_its_answer_is_replayed(rest: Site) -> None:
    path = f"/exceptions/{opened_task(rest)}/closing"
    first = rest.post(path, {"reason": "已联系"}, caller="desk", key="once")
    replayed = rest.post(path, {"reason": "已联系"}, caller="desk", key="once")

    assert (replayed.json, replayed.headers["Idempotency-Replayed"]) == (first.json, "true")
    assert rest.post(path, {"reason": "又一次"}, caller="desk").status_code == 409
    assert rest.post(path, {"reason": "又一次"}, caller="desk", key="once").status_code == 422


def test_exceptions_are_filtered_by_state_code_and_deadline(rest: Site) -> None:
    late, early, other = opened_task(rest, hours=1), opened_task(rest, code="no_answer"), opened_task(rest, "CT")
    rest.post(f"/exceptions/{early}/taking", caller="desk")
    rest.world.clock.set(MORNING + timedelta(hours=2))

    def numbers(query: str, caller: str = "desk") -> list[str]:
        return [row["id"] for row in rest.get(f"/exceptions?{query}", caller=caller).json["exceptions"]]

    assert numbers("overdue=true") == [late]
    assert numbers("state=taken") == [early]
    assert numbers("code=no_time") == [late, other]
    assert numbers("", "desk-ct") == [other]


def test_nobody_reads_or_settles_an_exception_of_another_department(rest: Site) -> None:
    path = f"/exceptions/{opened_task(rest)}"

    assert rest.get(path, caller="desk-ct").status_code == 403
    assert rest.post(f"{path}/closing", {"reason": "误操作"}, caller="desk-ct").status_code == 403
    assert rest.post(f"{path}/taking", caller="his").status_code == 403
    assert rest.get("/exceptions/999", caller="desk").status_code == 404


def test_every_version_of_an_appointment_says_what_it_became_by_whom_and_why(rest_on_each: Site) -> None:
    rest = rest_on_each
    number = rest.booked("O1")["number"]
    choice = rest.times(appointment=number)[2]
    target = {"group": choice["group"], "starts_at": choice["starts_at"], "reason": "患者改期"}
    rest.post(f"/appointments/{number}/reschedule", target, caller="desk")
    rest.post(f"/appointments/{number}/cancel", {"reason": "不做了"})

    versions = rest.get(f"/appointments/{number}/versions").json["versions"]
    assert [(row["version"], row["state"], row["actor"]) for row in versions] == [
        (1, "booked", "his"), (2, "booked", "desk"), (3, "cancelled", "his"),
    ]  # fmt: skip
    assert [row["reason"] for row in versions[1:]] == ["患者改期", "不做了"]
    assert rest.get("/appointments/none/versions").status_code == 404
    assert rest.get(f"/appointments/{number}/versions", caller="desk-ct").status_code == 403


def test_an_itinerary_shows_its_stops_in_order(rest: Site) -> None:
    rest.booked("O1", "US-THYROID", "CT-HEAD")
    for one in rest.get("/itineraries?patient=card:P-O1").json["itineraries"]:
        starts = [stop["starts_at"] for stop in one["stops"]]
        assert starts == sorted(starts)
        assert rest.get(f"/itineraries/{one['id']}").json == one
    assert rest.get("/itineraries/999").status_code == 404


def test_figures_are_counted_by_department_with_their_rates(rest_on_each: Site) -> None:
    rest = rest_on_each
    rest.booked("O1")
    number = rest.booked("O2")["number"]
    rest.booked("O3", "CT-HEAD")
    rest.post(f"/appointments/{number}/cancel", {"reason": "不做了"})

    figures = {row["department"]: row for row in rest.get(FIGURES, caller="console").json["figures"]}
    assert set(figures) == {"", "US", "CT"}
    assert figures["US"]["cancelled"] == {"count": 1, "of": 2, "rate": 0.5}
    assert figures["CT"]["no_show"] == {"count": 0, "of": 0, "rate": None}
    assert figures[""]["appointments"] == figures["US"]["appointments"] + figures["CT"]["appointments"]


def test_figures_of_one_department_say_nothing_of_another(rest: Site) -> None:
    rest.booked("O1")
    rest.booked("O2", "CT-HEAD")

    assert {row["department"] for row in rest.get(FIGURES, caller="desk-ct").json["figures"]} <= {"", "CT"}
    assert rest.get(f"{FIGURES}&department=US", caller="desk-ct").status_code == 403
    assert rest.get(f"{FIGURES}&by=day", caller="desk-ct").json["figures"][0]["appointments"] == 1


@pytest.mark.parametrize("days", ["from=2026-11-30&until=2026-11-23", "from=2024-01-01&until=2026-01-01"])
def test_figures_want_a_range_of_a_year_at_most(rest: Site, days: str) -> None:
    answer = rest.get(f"/statistics?{days}")

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/until")
