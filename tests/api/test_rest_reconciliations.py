"""Nightly reconciliations over REST: listed, shown with what differs, settled once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from examlane.reconciliation import comparing
from examlane.reconciliation.entries import NoList, Source
from examlane.testing import TESTER
from tests.api.conftest import Site

HIS = Source("HIS", "rest", "http://his", ("orders",), (), 5)


class Lists:
    """A peer's lists as they are given, or silence."""

    def __init__(self, rows: Sequence[Mapping[str, str]] | None) -> None:
        self.rows = rows

    def read(self, _subject: str, _day: date) -> Sequence[Mapping[str, str]]:
        if self.rows is None:
            raise NoList("silent")
        return self.rows


def compared(site: Site, rows: Sequence[Mapping[str, str]] | None, *, back: int = 0) -> None:
    day = date(2026, 11, 23) - timedelta(days=back)
    comparing.run(site.world.hospital, HIS, day, lambda _: Lists(rows), TESTER)


def listed(site: Site, query: str = "") -> list[Any]:
    found: list[Any] = site.get(f"/reconciliations{query}", caller="desk").json["reconciliations"]
    return found


def test_runs_are_listed_shown_and_settled(rest: Site) -> None:
    rest.post("/orders", rest.order("O1"))
    compared(rest, [])
    compared(rest, None, back=1)
    compared(rest, [], back=2)
    assert [(each["day"], each["state"], each["differences"]) for each in listed(rest)] == [
        ("2026-11-23", "complete", 1), ("2026-11-22", "failed", 0), ("2026-11-21", "complete", 0),
    ]  # fmt: skip
    assert [each["day"] for each in listed(rest, "?unsettled=true")] == ["2026-11-23", "2026-11-22"]
    assert [each["day"] for each in listed(rest, "?day=2026-11-21&peer=HIS")] == ["2026-11-21"]
    key = listed(rest)[0]["id"]
    shown = rest.get(f"/reconciliations/{key}", caller="console").json
    assert [(each["key"], each["code"], each["here"]) for each in shown["found"]] == [
        ("O1/1", "missing_there", "item US-THYROID, state active")
    ]

    settled = rest.post(f"/reconciliations/{key}/settlement", {"reason": "对方补录"}, caller="desk")
    assert (settled.status_code, settled.json["settled_by"], settled.json["note"]) == (200, "desk", "对方补录")
    again = rest.post(f"/reconciliations/{key}/settlement", {"reason": "x"}, caller="desk")
    assert (again.status_code, again.json["code"]) == (409, "nothing_open")


def test_pages_follow_the_cursor(rest: Site) -> None:
    for back in range(3):
        compared(rest, [], back=back)
    first = rest.get("/reconciliations?limit=2", caller="desk").json
    second = rest.get(f"/reconciliations?limit=2&cursor={first['next_cursor']}", caller="desk").json

    assert (len(first["reconciliations"]), len(second["reconciliations"]), second["next_cursor"]) == (2, 1, None)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [("GET", "?day=yesterday", None, 422), ("GET", "?limit=0", None, 422), ("GET", "?unsettled=perhaps", None, 422),
     ("GET", "/7", None, 404), ("GET", "/x", None, 404), ("POST", "/7/settlement", {"reason": "x"}, 404),
     ("POST", "/7/settlement", {}, 422), ("POST", "/7/settlement", {"reason": "x" * 201}, 422)],
)  # fmt: skip
def test_bad_input_is_named_and_changes_nothing(rest: Site, method: str, path: str, body: Any, status: int) -> None:
    before = rest.counts()
    answer = rest.send(method, f"/reconciliations{path}", body, caller="desk")

    assert answer.status_code == status
    assert rest.counts() == before


@pytest.mark.parametrize("caller", ["his", "pharmacist", "stranger"])
def test_only_the_desk_and_administrators_see_them(rest: Site, caller: str) -> None:
    assert rest.get("/reconciliations", caller=caller).status_code == 403
