"""Searches: what each parameter finds, pages that lose and double nothing, and bad questions that are told why."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from examlane_api.fhir.reading import KINDS

CARD = "urn:examlane:patient:card"
START = "2026-11-23T08:30:00+08:00"
"""Where the first patient of the day is booked: half an hour after he could have read the message."""
SEARCHES = {"Appointment": "", "ServiceRequest": "", "Schedule": "", "Slot": "start=2026-11-24"}


def numbers(found: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in found]


@pytest.fixture
def hospital(facade_on_each: Any) -> Any:
    """Two ultrasound exams and a head CT of three patients."""
    site = facade_on_each.site
    for order, item in (("O1", "US-THYROID"), ("O2", "US-HEART"), ("O3", "CT-HEAD")):
        site.booked(order, item, patient=f"P-{order}")
    return facade_on_each


def booked(facade: Any, order: str) -> str:
    """The number of an order's appointment."""
    (request,) = facade.found(f"/ServiceRequest?requisition={order}")
    (found,) = facade.found(f"/Appointment?based-on=ServiceRequest/{request['id']}")
    return str(found["id"])


@pytest.mark.parametrize(
    ("question", "orders"),
    [
        ("", ["O1", "O2", "O3"]),
        (f"patient:identifier={CARD}|P-O2", ["O2"]),
        (f"patient.identifier={CARD}|P-O2,{CARD}|P-O3", ["O2", "O3"]),
        (f"patient:identifier={CARD}|nobody", []),
        ("patient:identifier=urn:elsewhere|P-O2", []),
        ("service-type=US-HEART", ["O2"]),
        ("service-type=urn:examlane:item|US-HEART,CT-HEAD", ["O2", "O3"]),
        ("service-type=urn:elsewhere|US-HEART", []),
        ("service-category=US", ["O1", "O2"]),
        ("service-category=US&service-type=CT-HEAD", []),
        ("status=booked", ["O1", "O2", "O3"]),
        ("status=http://hl7.org/fhir/appointmentstatus|cancelled,noshow", []),
        ("_id=nobody", []),
        ("_lastUpdated=ge2026-11-23", ["O1", "O2", "O3"]),
        ("_lastUpdated=gt2026-11-23", []),
    ],
)  # fmt: skip
def test_appointments_are_found_by(hospital: Any, question: str, orders: list[str]) -> None:
    assert numbers(hospital.found(f"/Appointment?{question}")) == [booked(hospital, order) for order in orders]


@pytest.mark.parametrize(
    ("date", "found"),
    [
        (START, True), ("2026-11-23", True), ("2026-11", True), ("2026", True), ("2026-11-23T08:30", True),
        ("eq2026-11-23T00:30:00Z", True), ("2026-11-24", False), ("2026-11-22", False), ("2026-11-23T08:31", False),
        (f"ge{START}", True), (f"gt{START}", False), (f"le{START}", True), (f"lt{START}", False), (f"sa{START}", False),
        (f"eb{START}", False), ("gt2026-11-23", False), ("ge2026-11-23", True), ("lt2026-11-23", False),
        ("le2026-11-23", True), ("lt2026-11-24", True), ("gt2026-11-22", True), ("ge2026-12", False), ("lt2026-12", True),
        ("2026-11-23T08:30:00.000%2B08:00", True),
    ],
)  # fmt: skip
def test_a_date_means_the_whole_stretch_that_it_names_in_the_hospitals_zone(facade: Any, date: str, found: bool) -> None:
    answer = facade.site.booked("O1")
    assert answer["starts_at"] == START

    for question in (f"/Appointment?date={date.replace('+', '%2B')}", f"/Slot?status=busy&start={date.replace('+', '%2B')}"):
        assert bool(facade.found(question)) is found, question


def test_a_parameter_given_twice_must_hold_twice(hospital: Any) -> None:
    day = "/Appointment?date=ge2026-11-23&date=lt2026-11-24"
    assert len(hospital.found(day)) == 3
    assert hospital.found(f"{day}&date=ge2026-11-24") == []


def test_a_merged_patient_is_found_by_each_of_his_numbers(hospital: Any) -> None:
    number = booked(hospital, "O2")
    body = {"keep": {"kind": "card", "value": "P-O1"}, "merge": {"kind": "card", "value": "P-O2"}}
    assert hospital.site.post("/patients/merges", body).status_code == 200

    for value in ("P-O1", "P-O2"):
        assert number in numbers(hospital.found(f"/Appointment?patient:identifier={CARD}|{value}"))


def test_service_requests_are_found_by_order_item_and_time(hospital: Any) -> None:
    for question in ("requisition=O2", "identifier=O2/1", "code=US-HEART", "authored=2026-11-23&code=US-HEART",
                     f"patient:identifier={CARD}|P-O2"):  # fmt: skip
        assert [each["requisition"]["value"] for each in hospital.found(f"/ServiceRequest?{question}")] == ["O2"], question
    assert hospital.found("/ServiceRequest?authored=2026-11-24") == []


def test_schedules_are_found_by_what_they_offer_and_slots_by_their_schedule(hospital: Any) -> None:
    (head,) = hospital.found("/Schedule?service-type=CT-HEAD")
    assert (head["identifier"][0]["value"], head["actor"][0]["type"]) == ("CT-N-1", "Location")
    assert numbers(hospital.found("/Schedule?identifier=urn:examlane:resource|CT-N-1")) == [head["id"]]
    assert numbers(hospital.found("/Schedule?service-category=CT&active=true")) == [head["id"]]
    assert hospital.found("/Schedule?active=false") == []

    for schedule in (f"Schedule/{head['id']}", head["id"], f"http://localhost/fhir/R4/Schedule/{head['id']}"):
        slots = hospital.found(f"/Slot?schedule={schedule}&start=2026-11-24&status=free&_count=200")
        assert len(slots) == 24
        assert (slots[0]["start"], slots[-1]["end"]) == ("2026-11-24T08:00:00+08:00", "2026-11-24T12:00:00+08:00")
    assert hospital.found("/Slot?service-type=CT-HEAD&start=2026-11-24&_count=200") == slots


# Pages


@pytest.mark.parametrize(
    ("question", "total"),
    [("/Slot?start=2026-11-24", 96), ("/Slot?schedule=1&start=ge2026-11-24&start=lt2026-11-26", 48)],
)
def test_pages_lose_and_double_nothing(facade_on_each: Any, question: str, total: int) -> None:
    whole = numbers(facade_on_each.found(f"{question}&_count=200"))
    assert len(whole) == len(set(whole)) == total
    walked: list[str] = []
    following = f"{question}&_count=7"
    while following:
        bundle = facade_on_each.get(following).json
        walked += [entry["resource"]["id"] for entry in bundle["entry"]]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        assert links["self"].startswith("http://localhost/fhir/R4/Slot?")
        parts = urlsplit(links.get("next", ""))
        following = f"{parts.path.removeprefix('/fhir/R4')}?{parts.query}" if links.get("next") else ""
    assert walked == whole


def test_a_page_is_not_disturbed_by_what_is_booked_meanwhile(facade: Any) -> None:
    for order in ("O1", "O2", "O3"):
        facade.site.booked(order)
    first = facade.get("/Appointment?_count=2").json
    facade.site.booked("O4")

    parts = urlsplit(first["link"][1]["url"])
    second = facade.found(f"{parts.path.removeprefix('/fhir/R4')}?{parts.query}")

    seen = [entry["resource"]["id"] for entry in first["entry"]] + numbers(second)
    assert len(seen) == len(set(seen)) == 4


def test_a_count_of_nought_counts(hospital: Any) -> None:
    for name, question in SEARCHES.items():
        bundle = hospital.get(f"/{name}?{question}&_count=0").json
        assert "entry" not in bundle
        assert bundle["total"] == len(hospital.found(f"/{name}?{question}&_count=200")) > 0


def test_a_page_has_at_most_two_hundred(facade: Any) -> None:
    assert len(facade.found("/Slot?start=ge2026-11-24&_count=100000")) == 200
    assert len(facade.found("/Slot?start=ge2026-11-24")) == 50


def test_a_patient_need_not_stand_in_the_address(hospital: Any) -> None:
    client = hospital.site.app.test_client()
    form = {"patient:identifier": f"{CARD}|P-O2"}
    answer = client.post("/fhir/R4/Appointment/_search", data=form, headers=hospital.site.authorization("his"))

    assert [entry["resource"]["id"] for entry in answer.json["entry"]] == [booked(hospital, "O2")]


# Bad questions

BAD = [
    ("/Appointment?date=yesterday", "date", "invalid"),
    ("/Appointment?date=2026-02-30", "date", "invalid"),
    ("/Appointment?date=2026-11-23T25:00", "date", "invalid"),
    ("/Appointment?date=2026-11-23T08:00:00%2B99:00", "date", "invalid"),
    ("/Appointment?date=ne2026-11-23", "date", "invalid"),
    ("/Appointment?date=9999-01-01", "date", "invalid"),
    ("/Appointment?date=", "date", "invalid"),
    ("/Appointment?date=2026-11-23T08:00:00 08:00", "date", "invalid"),
    ("/Appointment?status=nonsense", "status", "invalid"),
    ("/Appointment?status=urn:elsewhere|booked", "status", "invalid"),
    ("/Appointment?status=booked,", "status", "invalid"),
    ("/Appointment?patient:identifier=P1", "patient:identifier", "invalid"),
    ("/Appointment?patient=Patient/1", "patient", "not-supported"),
    ("/Appointment?patient.name=张三", "patient.name", "not-supported"),
    ("/Appointment?based-on=Slot/1", "based-on", "invalid"),
    ("/Appointment?based-on=ServiceRequest/99999999999999999999", "based-on", "invalid"),
    ("/Appointment?identifier=%00", "identifier", "invalid"),
    ("/Appointment?identifier=" + "x" * 301, "identifier", "invalid"),
    ("/Appointment?_count=-1", "_count", "invalid"),
    ("/Appointment?_count=many", "_count", "invalid"),
    ("/Appointment?_sort=date", "_sort", "not-supported"),
    ("/Appointment?_include=Appointment:slot", "_include", "not-supported"),
    ("/Appointment?_cursor=x", "_cursor", "invalid"),
    ("/Appointment?_cursor=WzEsMl0", "_cursor", "invalid"),
    ("/Slot?schedule=Appointment/1", "schedule", "invalid"),
    ("/Slot?_lastUpdated=2026-11-23&start=2026-11-24", "_lastUpdated", "not-supported"),
    ("/Slot", "start", "required"),
    ("/Slot?status=free", "start", "required"),
    ("/Schedule?active=perhaps", "active", "invalid"),
]


@pytest.mark.parametrize(("path", "parameter", "code"), BAD)
def test_a_bad_question_is_told_which_parameter_is_wrong(facade: Any, path: str, parameter: str, code: str) -> None:
    (issue,) = facade.refused(quote(path, safe="/?&=:%,|+"), 400)

    assert (issue["expression"], issue["code"], issue["severity"]) == ([f"http.{parameter}"], code, "error")
    assert issue["diagnostics"]
    assert re.search("[\u4e00-\u9fff]", issue["details"]["text"])


def test_all_that_is_wrong_is_told_at_once(facade: Any) -> None:
    issues = facade.refused("/Appointment?date=yesterday&status=nonsense&colour=red&_count=x", 400)

    assert {issue["expression"][0] for issue in issues} == {"http.date", "http.status", "http.colour", "http._count"}


def test_who_asks_to_be_lenient_gets_an_answer_and_is_told_what_was_understood(facade: Any) -> None:
    facade.site.booked("O1")
    answer = facade.get("/Appointment?colour=red&status=booked", Prefer="handling=lenient")

    assert len(answer.json["entry"]) == 1
    assert answer.json["link"][0]["url"] == "http://localhost/fhir/R4/Appointment?status=booked"


@pytest.mark.parametrize(
    "path", ["/Appointment/NONE-NONE", "/Appointment/%00", "/Slot/0", "/Slot/99999999999999999999", "/Slot/x", "/Patient",
             "/ServiceRequest/-1", "/Appointment/A/_history/1", "/", "/x/y/z"]
)  # fmt: skip
def test_what_is_not_there_is_not_found(facade_on_each: Any, path: str) -> None:
    assert facade_on_each.refused(path, 404)[0]["code"] == "not-found"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/Appointment", "/Appointment/A", "/Patient/1", "/metadata"])
def test_nothing_can_be_written(facade: Any, method: str, path: str) -> None:
    client = facade.site.app.test_client()
    answer = client.open(f"/fhir/R4{path}", method=method, json={}, headers=facade.site.authorization("his"))

    assert (answer.status_code, answer.json["issue"][0]["code"]) == (405, "not-supported")


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/fhir+json", 200), ("application/fhir+json; fhirVersion=4.0", 200), ("application/json", 200),
     ("*/*", 200), ("application/fhir+xml, application/fhir+json;q=0.5", 200), ("application/fhir+xml", 406),
     ("text/html", 406)],
)  # fmt: skip
def test_json_is_what_there_is(facade: Any, accept: str, status: int) -> None:
    assert facade.get("/Schedule", Accept=accept).status_code == status


def test_the_address_may_say_the_format_instead_of_the_header(facade: Any) -> None:
    assert facade.get("/Schedule?_format=json&_pretty=true", Accept="text/html").status_code == 200
    assert facade.refused("/Schedule?_format=xml", 406)[0]["code"] == "not-supported"


def test_an_error_of_ours_is_an_outcome_without_a_trace(facade: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("P1 was here")

    monkeypatch.setattr("examlane_api.fhir.reading.found", fail)
    (issue,) = facade.refused("/Appointment", 500)

    assert issue["code"] == "exception"
    assert "P1" not in str(issue)


@pytest.mark.parametrize("name", KINDS)
def test_whatever_is_asked_is_answered_or_refused_and_never_breaks_us(both: Any, name: str) -> None:
    known = [*KINDS[name].parameters, "_count", "_cursor", "_format", "_id", "x"]
    words = st.one_of(
        st.text(max_size=12), st.from_regex(r"(ge|lt|eq)?2026(-11(-2[0-9](T\d\d:\d\d)?)?)?", fullmatch=True),
        st.sampled_from(["booked", "free", "true", "0", "1", "-1", "Schedule/1", f"{CARD}|P1", "WzFd", "WzEsMV0", "json"]),
    )  # fmt: skip
    questions = st.lists(st.tuples(st.sampled_from(known), words), max_size=5)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(questions)
    @example([("start", "2026"), ("date", "2026"), ("_id", "\ud7ff")])
    def ask(question: list[tuple[str, str]]) -> None:
        answers = [
            site.app.test_client().get(f"/fhir/R4/{name}", query_string=question, headers=site.authorization("his"))
            for site in both
        ]
        assert {answer.status_code for answer in answers} <= {200, 400, 406}
        assert len({answer.data for answer in answers}) == 1

    ask()


def test_the_server_says_of_itself_what_it_serves(facade: Any) -> None:
    said = facade.get("/metadata").json

    assert (said["fhirVersion"], said["kind"]) == ("4.0.1", "instance")
    told = {each["type"]: {one["name"] for one in each["searchParam"]} for each in said["rest"][0]["resource"]}
    assert told == {name: {re.split("[:.]", parameter)[0] for parameter in kind.parameters} for name, kind in KINDS.items()}
