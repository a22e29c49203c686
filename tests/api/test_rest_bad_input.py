"""Each wrong field of a REST body gets 4xx with its pointer, on both databases; kinds of bad input: test_bad_input.py."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

ORDER: dict[str, Any] = {
    "number": "O1",
    "patient": {"identifiers": [{"kind": "card", "value": "P1"}], "name": "患者甲", "birth_date": "1986-05-04"},
    "encounter": {"number": "V1", "encounter_class": "outpatient"},
    "ordering_department": "CLINIC",
    "ordered_at": "2026-11-23T07:55:00+08:00",
    "items": [{"line": 1, "item": "US-THYROID"}],
    "context": {"weight_kg": {"value": 60, "observed_at": "2026-11-22T08:00:00+08:00", "source": "HIS"}},
}
EVIDENCE: dict[str, Any] = {
    "patient": {"kind": "card", "value": "P0"},
    "kind": "anaesthesia_assessment",
    "outcome": "passed",
    "observed_at": "2026-11-23T07:00:00+08:00",
    "data": {"asa": 2},
}
PAYMENT: dict[str, Any] = {"order": "O0", "paid_at": "2026-11-23T07:55:00+08:00"}
BOOKING: dict[str, Any] = {"items": ["O0/1"], "group": "US-N", "starts_at": "2026-11-24T09:00:00+08:00"}
STAGE: dict[str, Any] = {"stage": "on"}
EXECUTION: dict[str, Any] = {"state": "started"}

ABSENT = object()
# Where the change is made, what it is set to, and the pointer expected (by default the place itself).
CHANGES: dict[str, list[tuple[Any, ...]]] = {
    "/orders": [
        ("number", ABSENT), ("patient", ABSENT), ("patient/identifiers", ABSENT), ("patient/name", ABSENT),
        ("patient/identifiers/0/kind", ABSENT), ("patient/identifiers/0/value", ABSENT),
        ("encounter", ABSENT), ("encounter/number", ABSENT),
        ("encounter/encounter_class", ABSENT), ("ordering_department", ABSENT), ("ordered_at", ABSENT),
        ("items", ABSENT), ("items/0/line", ABSENT), ("items/0/item", ABSENT), ("context/weight_kg/value", ABSENT),
        ("force", True), ("patient/role", "admin"), ("items/0/state", "accepted"), ("encounter/state", "closed"),
        ("number", None), ("number", 5), ("number", ""), ("number", "  "), ("number", "x" * 65), ("number", "单1"),
        ("number", "A/1"), ("number", "A#1"), ("number", "A 1"), ("number", "' OR 1=1--"), ("number", "../../etc"),
        ("number", "{{7*7}}"), ("number", ["O1"]), ("number", {"a": 1}), ("number", True),
        ("patient", []), ("patient", "P1"), ("patient", None), ("patient/identifiers", []),
        ("patient/identifiers", {}), ("patient/identifiers", "card"), ("patient/identifiers/0", "card"),
        ("patient/identifiers", [{"kind": "card", "value": f"{n}"} for n in range(11)]),
        ("patient/name", ""), ("patient/name", " "), ("patient/name", 5), ("patient/name", "x" * 65),
        ("patient/name", "a\x00b"), ("patient/name", "a\x08b"), ("patient/name", "张\r\n三"), ("patient/name", "张\n三"),
        ("patient/name", "\u202e三张"), ("patient/name", "\u200b"), ("patient/name", "张\u2028三"),
        ("patient/name", "张\u2060三"), ("patient/name", "a" + "\u0301" * 200), ("patient/sex", "F"),
        ("patient/sex", "Female"), ("patient/sex", "female "), ("patient/sex", []), ("patient/sex", 1),
        ("patient/birth_date", "2026-02-29"), ("patient/birth_date", "2026-13-01"), ("patient/birth_date", "20260101"),
        ("patient/birth_date", "today"), ("patient/birth_date", "0001-01-01"), ("patient/birth_date", "9999-12-31"),
        ("patient/birth_date", "10000-01-01"), ("patient/birth_date", "１９８６-05-04"),
        ("patient/birth_date", "1986-05-04T00:00:00Z"), ("patient/birth_date", 19860504),
        ("patient/birth_date", "2026-11-24"), ("patient/out_of_town", "yes"), ("patient/out_of_town", 1),
        ("patient/phone", "1" * 33), ("encounter/encounter_class", "OUTPATIENT"), ("encounter/needs", "wheelchair"),
        ("encounter/needs", ["wheel chair"], "encounter/needs/0"), ("encounter/campus", "Z"),
        ("ordering_department", "NONE"), ("priority", "high"),
        ("ordered_at", "2026-11-23"), ("ordered_at", "2026-11-23T07:55:00"), ("ordered_at", "2026-11-23 07:55:00+08:00"),
        ("ordered_at", "2026-11-23T24:00:00+08:00"), ("ordered_at", "2026-11-23T23:59:60+08:00"),
        ("ordered_at", "2026-11-23T07:55:00+25:00"), ("ordered_at", "2026-11-31T07:55:00+08:00"),
        ("ordered_at", "0001-01-01T00:00:00+14:00"), ("ordered_at", "9999-12-31T23:59:59-12:00"),
        ("ordered_at", "10000-01-01T00:00:00Z"), ("ordered_at", "2000-01-01T00:00:00+14:00"),
        ("ordered_at", "2026-W48-1T08:00:00+08:00"), ("ordered_at", "20261123T075500+0800"),
        ("ordered_at", 1795391700), ("ordered_at", "now"), ("ordered_at", "2026-11-24T08:00:00+08:00"),
        ("items", []), ("items", {}), ("items", "US-THYROID"), ("items/0", None), ("items/0/line", "1"),
        ("items/0/line", 1.0), ("items/0/line", 1.9), ("items/0/line", True), ("items/0/line", "1_000"),
        ("items/0/line", " 5 "), ("items/0/line", "１２"), ("items/0/line", -1), ("items/0/line", 0),
        ("items/0/line", 2**31), ("items/0/line", 2**63), ("items/0/line", 10**30), ("items/0/item", "NONE"),
        ("items/0/item", "US-THYROID "), ("items/0/item", "us-thyroid"), ("items/0/confirmed", "code"),
        ("items", [{"line": 1, "item": "US-THYROID"}] * 2, "items/1/line"),
        ("items", [{"line": n, "item": "US-THYROID"} for n in range(1, 52)]),
        ("items", [{"line": 1, "item": "NONE"}, {"line": 2, "item": "US-HEART"}], "items/0/item"),
        ("context", []), ("context/weight_kg", 60), ("context/weight_kg/value", "NaN" * 100),
        ("context/weight_kg/value", [60]), ("context/weight_kg/value", None), ("context/weight_kg/value", 10**30),
        ("context/weight_kg/value", -(10**7)), ("context/weight_kg/observed_at", "2027-01-01T00:00:00Z"),
        ("context/weight_kg/observed_at", "yesterday"), ("note", "x" * 2001), ("note", "a\x00b"), ("verified", "true"),
    ],
    "/evidence": [
        ("patient", ABSENT), ("kind", ABSENT), ("outcome", ABSENT), ("observed_at", ABSENT), ("kind", "评估"),
        ("observed_at", "2026-11-24T08:00:00+08:00"), ("valid_until", "2026-11-22T00:00:00+08:00"),
        ("data", "asa"), ("data/asa", [2]), ("data/asa", {}), ("patient/kind", 5), ("approved", True),
    ],
    "/payments": [
        ("order", ABSENT), ("paid_at", ABSENT), ("lines", "1"), ("lines", ["1"], "lines/0"), ("lines", [0], "lines/0"),
        ("lines", [1.5], "lines/0"), ("amount", 5), ("amount", "-1"), ("amount", "1e3"), ("amount", "１２"),
        ("amount", "1.234"), ("amount", "5\n"), ("refund", True), ("paid_at", "1900-01-01T00:00:00Z"),
    ],
    "/appointments": [
        ("items", ABSENT), ("items", []), ("items", "O0/1"), ("items", ["O0/1"] * 21), ("group", ABSENT),
        ("group", "NONE"), ("group", "CT-N"), ("starts_at", ABSENT), ("starts_at", "2026-11-22T09:00:00+08:00"),
        ("starts_at", "2027-12-31T09:00:00+08:00"), ("starts_at", "2026-11-24T09:03:00+08:00"),
        ("starts_at", "2026-11-28T09:00:00+08:00"), ("starts_at", "2099-12-31T23:59:00+08:00"),
        ("starts_at", "2000-01-02T00:00:00+08:00"), ("automatic", True), ("hold", True),
    ],
    "/departments/US/plugins/quiet": [
        ("stage", ABSENT), ("stage", "ON"), ("stage", 1), ("pilot_percent", 101), ("pilot_percent", -1),
        ("pilot_percent", "10"), ("version", -1), ("version", 2**63), ("changed_by", "me"),
    ],
}  # fmt: skip
BODIES = {"/orders": ORDER, "/evidence": EVIDENCE, "/payments": PAYMENT, "/appointments": BOOKING,
          "/departments/US/plugins/quiet": STAGE}  # fmt: skip
STATE_ERRORS = (("/appointments", "starts_at"), ("/appointments", "group"))


@pytest.fixture
def unchanged(both: Any) -> Iterator[tuple[Any, Any]]:
    before = [site.counts() for site in both]
    yield both
    assert [site.counts() for site in both] == before


@pytest.fixture(scope="module", autouse=True)
def _known_patient(both: Any) -> None:
    """Patient P0 has an order O0 whose appointment was cancelled."""
    for site in both:
        number = site.booked("O0", patient="P0")["number"]
        site.post(f"/appointments/{number}/cancel", {"reason": "改期"})


def changed(body: Any, place: str, value: Any) -> Any:
    """The body with another value, or none, at a place."""
    made = copy.deepcopy(body)
    *steps, last = [int(step) if step.isdigit() else step for step in place.split("/")]
    parent = made
    for step in steps:
        parent = parent[step]
    if value is ABSENT:
        del parent[last]
    else:
        parent[last] = value
    return made


def one_answer(sites: tuple[Any, Any], send: Callable[[Any], Any]) -> Any:
    """The answer of both databases, which must be the same."""
    one, other = (send(site) for site in sites)
    assert (one.status_code, one.data) == (other.status_code, other.data)
    return one


def cases() -> Iterator[Any]:
    for path, changes in CHANGES.items():
        for place, value, *pointer in changes:
            shown = "absent" if value is ABSENT else repr(value)[:40]
            yield pytest.param(path, place, value, (pointer or [place])[0], id=f"{path} {place} {shown}")


@pytest.mark.parametrize(("path", "place", "value", "pointer"), list(cases()))
def test_a_bad_field_is_named(unchanged: Any, path: str, place: str, value: Any, pointer: str) -> None:
    body = changed(BODIES[path], place, value)
    method, caller = ("PUT", "console") if path.startswith("/departments") else ("POST", "his")
    answer = one_answer(unchanged, lambda site: site.send(method, path, body, caller=caller, key="bad"))

    problem = answer.json
    refused_by_state = (path, place) in STATE_ERRORS and value is not ABSENT
    assert answer.status_code == (409 if refused_by_state else 422)
    assert answer.mimetype == "application/problem+json"
    assert f"/{pointer}" in [error["pointer"] for error in problem["errors"]]
    assert all(error["detail"] and error["detail_zh"] for error in problem["errors"])


def test_text_full_of_brackets_is_not_deep_nesting(both: Any) -> None:
    body = ORDER | {"note": "[" * 100 + '\\"{' * 50, "number": "O5"}
    answer = one_answer(both, lambda site: site.post("/orders/validate", body, key=""))

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/orders"), ("DELETE", "/payments"), ("PATCH", "/orders/O0"), ("POST", "/departments/US/mode"),
     ("PUT", "/appointments"), ("TRACE", "/orders"), ("GET", "/holds")],
)  # fmt: skip
def test_another_method_is_405_and_says_which_are_allowed(unchanged: Any, method: str, path: str) -> None:
    answer = one_answer(unchanged, lambda site: site.send(method, path, {}, key="bad"))

    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"]


def test_a_method_override_header_is_ignored(unchanged: Any) -> None:
    answer = one_answer(unchanged, lambda site: site.get("/orders/O0", X_HTTP_Method_Override="DELETE"))

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/orders/%00", "/orders/a%00b", "/appointments/%00", "/appointments/%E2%80%AE", "/orders/%FF", "/orders/..%2f..%2fetc",
     "/departments/%00", "/orders/' OR 1=1--", "/orders/%25", "/orders/" + "x" * 5000, "/nothing", "/"],
)  # fmt: skip
def test_a_strange_address_is_404(unchanged: Any, path: str) -> None:
    answer = one_answer(unchanged, lambda site: site.get(path))

    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "field"),
    [(f"/times?items=O0/1&{name}={value}", name) for name, value in (
        ("days", "0"), ("days", "61"), ("days", "１２"), ("days", "1_0"), ("days", "%205"), ("days", "1.0"), ("days", "NaN"),
        ("days", "9" * 5000), ("limit", "1000000000"), ("limit", "-1"), ("since", "today"), ("since", "0001-01-01"),
        ("since", "20261123"), ("appointment", "%00"), ("sort", "name"),
    )]
    + [(f"/appointments?{name}={value}", name) for name, value in (
        ("day", "2026-02-30"), ("day", "%00"), ("cursor", "-1"), ("cursor", str(2**63)), ("limit", "0"), ("limit", "x"),
        ("department", "%27"), ("department", "x" * 33), ("patient", "1"),
    )],
)  # fmt: skip
def test_a_bad_question_names_its_parameter(unchanged: Any, path: str, field: str) -> None:
    answer = one_answer(unchanged, lambda site: site.get(path))

    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [f"/{field}"]


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer his", "Bearer his.", "Bearer his.wrong", "Basic his.x", "none.x", "Bearer \xff.\xff",
     "Bearer his.x\x00", "Bearer h\x00is.x", "Bearer " + "x" * 5000],
)  # fmt: skip
def test_whoever_is_not_known_gets_401(unchanged: Any, header: str) -> None:
    answer = one_answer(unchanged, lambda site: site.post("/payments", PAYMENT, caller="", key="bad", Authorization=header))

    assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["𠮷田", "阿卜杜拉·买买提", "O'Brien <b>", "Ng\u0303a", "王😀"])
def test_unusual_names_are_accepted(rest: Any, name: str) -> None:
    patient = {"identifiers": [{"kind": "card", "value": "P1"}], "name": name, "birth_date": "2024-02-29"}

    assert rest.post("/orders", ORDER | {"patient": patient}).status_code == 200


def test_duplicates_are_refused_and_change_nothing(rest_on_each: Any) -> None:
    rest = rest_on_each
    rest.post("/orders", rest.order("O1"))
    before = rest.counts()
    again = rest.post("/orders", rest.order("O1"))
    assert (again.status_code, again.json["errors"][0]["pointer"]) == (409, "/number")
    stolen = rest.post("/orders", rest.order("O2", patient="P2") | {"encounter": ORDER["encounter"] | {"number": "V-P1"}})
    assert (stolen.status_code, stolen.json["errors"][0]["pointer"]) == (409, "/encounter/number")
    rest.post("/orders", rest.order("O3", patient="P3"))
    before = rest.counts()
    two = {"identifiers": [{"kind": "card", "value": value} for value in ("P1", "P3")], "name": "谁"}
    mixed = rest.post("/orders", rest.order("O4", patient="P4") | {"patient": two})

    assert (mixed.status_code, mixed.json["errors"][0]["pointer"]) == (409, "/patient/identifiers")
    assert rest.counts() == before
