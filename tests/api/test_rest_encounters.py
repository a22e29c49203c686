"""Encounters and wards over REST: reported once, in any order, withdrawn; a ward's list with masked names."""

from __future__ import annotations

from typing import Any

EARLIER, LATER = "2026-11-23T07:40:00+08:00", "2026-11-23T07:50:00+08:00"
WARD = "内科一病区"


def report(rest: Any, event: str, at: str = LATER, encounter: str = "V-P1", **more: Any) -> Any:
    key = more.pop("key", None)
    return rest.post("/encounters", {"encounter": encounter, "event": event, "at": at, **more}, key=key)


def admitted(rest: Any) -> dict[str, Any]:
    found: dict[str, Any] = rest.booked("O1", patient="P1")
    report(rest, "admission", EARLIER, ward=WARD, bed="12", needs=["stretcher"])
    return found


def test_an_admission_is_answered_with_where_the_encounter_stands(rest: Any) -> None:
    number = admitted(rest)["number"]
    found = rest.get("/encounters?number=V-P1").json

    assert (found["class"], found["ward"], found["bed"], found["needs"]) == ("inpatient", WARD, "12", ["stretcher"])
    assert found["appointments"] == [number]
    assert [(one["event"], one["at"], one["recorded_by"]) for one in found["events"]] == [("admission", EARLIER, "his")]


def test_a_report_sent_again_changes_nothing_even_where_its_answer_was_lost(rest: Any) -> None:
    rest.booked("O1", patient="P1")
    first = report(rest, "admission", ward=WARD, key="a1")
    counts = rest.counts()
    again = report(rest, "admission", ward=WARD, key="a1")
    assert (again.json, again.headers["Idempotency-Replayed"]) == (first.json, "true")
    rest.world.database.rows("UPDATE receipt SET answer = NULL WHERE key = 'a1' RETURNING id")
    assert report(rest, "admission", ward=WARD, key="a1").json == first.json
    assert rest.counts() == counts


def test_a_discharge_and_its_withdrawal(rest: Any) -> None:
    number = admitted(rest)["number"]
    assert report(rest, "discharge").json["appointments"] == []
    assert rest.get(f"/appointments/{number}").json["state"] == "cancelled"
    body = {"encounter": "V-P1", "event": "discharge", "reason": "误操作"}
    back = rest.post("/encounters/withdrawal", body, key="w1")
    assert (back.json["state"], back.json["appointments"]) == ("open", [number])
    assert rest.post("/encounters/withdrawal", body, key="w1").json == back.json
    assert rest.post("/encounters/withdrawal", body).status_code == 404


def test_a_new_encounter_names_its_patient(rest: Any) -> None:
    assert report(rest, "admission", encounter="IP-1").status_code == 404
    patient = {"identifiers": [{"kind": "card", "value": "P7"}], "name": "患者乙"}
    assert report(rest, "admission", encounter="IP-1", patient=patient, ward=WARD).json["ward"] == WARD


def test_bad_reports_are_named_with_their_pointers(rest: Any) -> None:
    rest.booked("O1", patient="P1")
    counts = rest.counts()
    for body, pointer in (
        ({"event": "holiday"}, "/event"), ({"at": "2026-11-30T08:00:00+08:00"}, "/at"), ({"campus": "X"}, "/campus"),
        ({"orders": ["O1"], "event": "discharge"}, "/orders"), ({"orders": ["NONE"]}, "/orders/0"),
        ({"ward": "a\x00b"}, "/ward"), ({"needs": "all"}, "/needs"), ({"colour": 1}, "/colour"),
        ({"convert": 1}, "/convert"),
    ):  # fmt: skip
        answer = rest.post("/encounters", {"encounter": "V-P1", "event": "admission", "at": LATER, **body})
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert rest.counts() == counts
    assert rest.get("/encounters").status_code == 422
    assert rest.get("/encounters?number=NONE").status_code == 404


def test_a_wards_list_masks_names_but_for_the_system_that_sends_them(rest: Any) -> None:
    found = admitted(rest)
    day = found["starts_at"][:10]
    (seen,) = rest.get(f"/wards/{WARD}/exams?day={day}").json["patients"]
    (masked,) = rest.get(f"/wards/{WARD}/exams?day={day}", caller="desk").json["patients"]

    assert (seen["patient"], masked["patient"]) == ("患者甲", "患*甲")
    (exam,) = masked["exams"]
    assert (exam["appointment"], exam["period"], exam["answered"]) == (found["number"], found["period"], None)
    assert masked["needs"] == ["stretcher"]
    assert rest.get(f"/wards/{WARD}/exams").json["day"] == "2026-11-23"
    assert rest.get("/wards/无此病区/exams").json["patients"] == []
    assert rest.get(f"/wards/{WARD}/exams?day=today").status_code == 422


def test_a_ward_answers_once_and_is_answered_with_the_appointment(rest: Any) -> None:
    number = admitted(rest)["number"]
    path = f"/appointments/{number}/ward-answer"
    assert rest.post(path, {"answer": "transport_ordered"}).json["number"] == number
    body = {"answer": "not_coming", "reason": "not_prepared"}
    moved = rest.post(path, body, key="n1")
    counts = rest.counts()
    assert moved.json["version"] == 2
    assert rest.post(path, body, key="n1").json == moved.json
    rest.world.database.rows("UPDATE receipt SET answer = NULL WHERE key = 'n1' RETURNING id")
    assert rest.post(path, body, key="n1").json == moved.json
    assert rest.counts() == counts


def test_bad_answers_of_a_ward_are_named(rest: Any) -> None:
    path = f"/appointments/{admitted(rest)['number']}/ward-answer"
    assert rest.post(path, {"answer": "not_coming"}).json["errors"][0]["pointer"] == "/reason"
    assert rest.post(path, {"answer": "perhaps"}).json["errors"][0]["pointer"] == "/answer"
    assert rest.post(path, {"answer": "not_coming", "reason": "other"}).json["errors"][0]["pointer"] == "/note"
    assert rest.post("/appointments/NONE/ward-answer", {"answer": "ready"}).status_code == 404


def test_nobody_is_named_in_what_is_logged_or_told(rest: Any) -> None:
    admitted(rest)
    report(rest, "death")
    for table, column in (("audit", "detail"), ("event", "payload")):
        assert not [row for row in rest.world.database.rows(f"SELECT {column} FROM {table}") if "患者甲" in row[0]]
