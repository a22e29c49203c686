"""The catalogue, slots, rosters, interval rules and plugins over REST: what there is, and what of it is free."""

from __future__ import annotations

import pytest

from examlane.testing.hospital import MORNING
from tests.api.conftest import Site

DAY = "2026-11-24"


def test_an_item_says_where_and_how_long_it_is_done(rest_on_each: Site) -> None:
    found = rest_on_each.get("/items/US-THYROID").json

    assert (found["department"], found["modality"], found["active"]) == ("US", "US", True)
    assert [(row["group"], row["campus"], row["minutes"]) for row in found["services"]] == [
        ("US-N", "N", 10), ("US-S", "S", 10),
    ]  # fmt: skip
    assert found in rest_on_each.get("/items?department=US").json["items"]


def test_the_catalogue_is_searched_by_name_department_and_modality(rest_on_each: Site) -> None:
    def codes(query: str, kind: str = "items") -> list[str]:
        return [row["code"] for row in rest_on_each.get(f"/{kind}?{query}").json[kind]]

    assert codes("name=甲状腺") == ["US-THYROID"]
    assert codes("name=us-h") == ["US-HEART"]
    assert codes("name=%25") == []
    assert codes("modality=CT") == ["CT-HEAD"]
    assert codes("active=false") == []
    assert codes("campus=S", "groups") == ["US-S"]
    assert codes("group=US-N", "resources") == ["US-N-1", "US-N-2"]


@pytest.mark.parametrize("path", ["/items/NONE", "/groups/NONE", "/resources/NONE", "/plugins/none"])
def test_what_is_not_in_the_catalogue_is_404(rest: Site, path: str) -> None:
    answer = rest.get(path, caller="console")

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_a_booked_seat_is_taken_in_slots_and_counts(rest_on_each: Site) -> None:
    rest = rest_on_each
    booked = rest.booked("O1", "CT-HEAD")
    day = booked["starts_at"][:10]

    (slot,) = [
        each for each in rest.get(f"/slots?day={day}&group=CT-N").json["slots"] if each["starts_at"] == booked["starts_at"]
    ]
    assert (slot["taken"], slot["free"]) == (1, slot["capacity"] - 1)
    (count,) = rest.get(f"/slots/counts?from={day}&until={day}&group=CT-N").json["counts"]
    assert (count["taken"], count["free"]) == (1, count["seats"] - 1)
    assert slot not in rest.get(f"/slots?day={day}&group=CT-N&free=true").json["slots"]


def test_the_past_is_not_free(rest: Site) -> None:
    rest.world.clock.set(MORNING.replace(hour=2))
    slots = rest.get("/slots?day=2026-11-23&group=CT-N&limit=200").json["slots"]

    assert {slot["free"] for slot in slots if slot["starts_at"] < "2026-11-23T10:00"} == {0}
    assert {slot["free"] for slot in slots if slot["starts_at"] > "2026-11-23T10:00"} == {1}


@pytest.mark.parametrize("days", ["from=2026-11-24&until=2026-11-23", "from=2026-11-01&until=2027-02-01"])
def test_seats_are_counted_over_62_days_at_most(rest: Site, days: str) -> None:
    answer = rest.get(f"/slots/counts?{days}")

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/until")


def test_rosters_are_listed_by_group(rest: Site) -> None:
    rosters = rest.get("/rosters?group=CT-N").json["rosters"]

    assert {row["resource"] for row in rosters} == {"CT-N-1"}
    assert (rosters[0]["weekday"], rosters[0]["starts_minute"]) == (1, 480)
    assert rest.get("/rosters/changes?from=2026-11-01").json == {"changes": [], "next_cursor": None}


def test_interval_rules_are_those_that_count_today_by_plugin_and_item(rest: Site) -> None:
    whole = rest.get("/interval-rules?limit=200").json["intervals"]
    assert whole
    assert [row["rule"] for row in whole] == sorted(row["rule"] for row in whole)
    assert rest.get("/interval-rules?plugin=core&limit=200").json["intervals"] == whole
    assert rest.get("/interval-rules?plugin=none").json["intervals"] == []
    of_item = rest.get("/interval-rules?item=US-THYROID&limit=200").json["intervals"]
    assert all(row in whole for row in of_item)
    assert len(of_item) < len(whole)


def test_a_plugin_shows_its_stage_in_each_department(rest: Site) -> None:
    rest.put("/departments/US/plugins/quiet", {"stage": "pilot", "pilot_percent": 30}, caller="console")
    found = rest.get("/plugins/quiet", caller="console").json

    assert (found["hooks"], found["problem"]) == (["validate_order"], "")
    assert [(row["department"], row["stage"], row["pilot_percent"]) for row in found["stages"]] == [("US", "pilot", 30)]
    assert found in rest.get("/plugins", caller="pharmacist").json["plugins"]
    assert rest.get("/plugins", caller="his").status_code == 403
