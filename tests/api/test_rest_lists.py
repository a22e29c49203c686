"""Every list over REST: page by page, filtered, in a stable order, of the caller's departments, names masked."""

from __future__ import annotations

from typing import Any

import pytest

from examlane_api import clients
from tests.api.conftest import Site

DAY = "2026-11-23"
LISTS = {
    "/orders": ("orders", "number"),
    "/payments": ("payments", "id"),
    "/appointments": ("appointments", "number"),
    "/items": ("items", "code"),
    "/groups": ("groups", "code"),
    "/resources": ("resources", "code"),
    f"/slots?day={DAY}&group=CT-N": ("slots", "starts_at"),
    "/rosters": ("rosters", ""),
    f"/slots/counts?from={DAY}&until=2026-11-24": ("counts", ""),
    "/interval-rules": ("intervals", "rule"),
}


def paged(rest: Site, path: str, name: str, limit: int, caller: str = "his") -> list[Any]:
    """All of a list, so many rows at a time."""
    rows: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = rest.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor and f'&cursor={cursor}'}", caller=caller)
        assert page.status_code == 200, page.json
        assert len(page.json[name]) <= limit
        rows += page.json[name]
        cursor = page.json["next_cursor"]
    return rows


@pytest.fixture
def filled(rest_on_each: Site) -> Site:
    """Three orders in two departments."""
    rest_on_each.booked("O1")
    rest_on_each.booked("O2", "CT-HEAD")
    rest_on_each.booked("O3", "US-HEART", "CT-HEAD")
    return rest_on_each


def test_every_list_is_the_same_in_small_pages_as_in_one(filled: Site) -> None:
    for path, (name, key) in LISTS.items():
        whole = paged(filled, path, name, 200)
        assert len(whole) > 1, path
        assert paged(filled, path, name, 2) == whole, path
        keys = [row[key] for row in whole] if key else []
        assert len(set(keys)) == len(keys), path


def test_rows_that_come_later_shift_no_page(rest: Site) -> None:
    for number in ("O1", "O2", "O3"):
        rest.post("/orders", rest.order(number))
    first = rest.get("/orders?limit=2").json
    rest.post("/orders", rest.order("O4"))
    second = rest.get(f"/orders?limit=2&cursor={first['next_cursor']}").json

    assert [row["number"] for row in first["orders"] + second["orders"]] == ["O1", "O2", "O3", "O4"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", "-1", "bnVsbA==", "IlVTIg==", "MTg0NDY3NDQwNzM3MDk1NTE2MTY=", "MQ==MQ=="])
def test_what_no_list_gave_is_no_cursor(rest: Site, cursor: str) -> None:
    answer = rest.get(f"/orders?cursor={cursor}")

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/cursor")


def test_a_list_tells_every_problem_of_its_address_at_once(rest: Site) -> None:
    answer = rest.get("/slots?day=soon&limit=0&free=perhaps&colour=red")

    assert answer.status_code == 422
    assert sorted(part["pointer"] for part in answer.json["errors"]) == ["/colour", "/day", "/free", "/limit"]


def test_lists_leave_out_and_refuse_other_departments(filled: Site) -> None:
    assert [row["number"] for row in paged(filled, "/orders", "orders", 50, "desk-ct")] == ["O2", "O3"]
    assert {row["department"] for row in paged(filled, "/payments", "payments", 50, "desk-ct")} == {"CT"}
    assert {row["department"] for row in paged(filled, "/appointments", "appointments", 50, "desk-ct")} == {"CT"}
    assert {row["group"] for row in paged(filled, f"/slots?day={DAY}", "slots", 50, "desk-ct")} == {"CT-N"}
    for path in ("/orders", "/payments", "/evidence", "/gates", "/exceptions", "/appointments", "/itineraries", "/rosters"):
        assert filled.get(f"{path}?department=US", caller="desk-ct").status_code == 403, path


def test_lists_mask_the_patients_name(filled: Site) -> None:
    evidence = {
        "patient": {"kind": "card", "value": "P-O1"}, "kind": "consent", "outcome": "given",
        "observed_at": "2026-11-23T07:00:00+08:00",
    }  # fmt: skip
    filled.post("/evidence", evidence)
    for path in ("/orders", "/evidence", "/exceptions", "/itineraries", "/gates"):
        assert "患者甲" not in filled.get(path).text, path
    assert filled.get("/evidence").json["evidence"][0]["patient"] == "患*甲"


def test_orders_are_filtered_by_patient_encounter_and_time(filled: Site) -> None:
    def numbers(query: str) -> list[str]:
        return [row["number"] for row in filled.get(f"/orders?{query}").json["orders"]]

    assert numbers("patient=card:P-O2") == ["O2"]
    assert numbers("patient=card:nobody") == []
    assert numbers("encounter=V-P-O3") == ["O3"]
    assert numbers("department=US") == ["O1", "O3"]
    assert numbers("from=2026-11-24T00:00:00%2B08:00") == []


def test_evidence_and_payments_are_shown_as_they_were_reported(rest_on_each: Site) -> None:
    rest = rest_on_each
    rest.post("/payments", rest.payment("O9", amount="120.50", settlement="S1", lines=[2]))
    rest.booked("O1", patient="P1")
    rest.post("/evidence", {
        "patient": {"kind": "card", "value": "P1"}, "kind": "creatinine", "outcome": "measured",
        "observed_at": "2026-11-22T09:00:00+08:00", "data": {"value": 88},
    })  # fmt: skip

    (early,) = rest.get("/payments?settlement=S1").json["payments"]
    assert (early["order"], early["order_item"], early["amount"], early["lines"]) == ("O9", None, "120.50", [2])
    (known,) = rest.get("/payments?order=O1").json["payments"]
    assert (known["order_item"], known["department"], known["kind"]) == ("O1/1", "US", "paid")
    (line,) = rest.get("/evidence?patient=card:P1&kind=creatinine").json["evidence"]
    assert (line["outcome"], line["data"], line["observed_at"]) == ("measured", {"value": 88}, "2026-11-22T09:00:00+08:00")
    assert rest.get("/evidence?kind=consent").json["evidence"] == []


def test_a_client_of_one_department_reads_only_its_evidence(rest: Site) -> None:
    rest.booked("O1", patient="P1")
    rest.post("/evidence", {
        "patient": {"kind": "card", "value": "P1"}, "kind": "consent", "outcome": "given",
        "observed_at": "2026-11-23T07:00:00+08:00",
    })  # fmt: skip
    rest.secrets["desk-us"] = clients.add(rest.world.database, "desk-us", "超声登记台", "registrar", ("US",))

    assert rest.get("/evidence", caller="desk-ct").json["evidence"] == []
    assert len(rest.get("/evidence", caller="desk-us").json["evidence"]) == 1
