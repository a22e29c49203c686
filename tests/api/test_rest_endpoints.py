"""Every REST endpoint does what it says, once through a real socket, on real data."""

from __future__ import annotations

import http.client
import json
import threading
from datetime import timedelta
from typing import Any

from waitress.server import create_server

from examlane import (
    Availability,
    BookingRequest,
    NoShowAction,
    NoShowDecision,
    Proposal,
    Text,
    hookimpl,
    plan_itinerary,
)


class Kiosk:
    """Whoever misses his time takes another place today."""

    @hookimpl
    def on_no_show(self) -> NoShowDecision:
        return NoShowDecision(NoShowAction.SELF_REBOOK, Text("请重新登记", "please re-register"), "kiosk")


class OneDay:
    """All exams of a clinic's patient on one day."""

    @hookimpl
    def allocate(self, request: BookingRequest, availability: Availability) -> list[Proposal] | None:
        plan = plan_itinerary(request, availability, mode="stay", max_days=5, deadline=lambda: False)
        why = Text("同日完成", "on one day")
        return [Proposal(plan.placements, why, "day.together", plan.proven)] if plan else None


def test_an_order_is_submitted_paid_and_booked(rest_on_each: Any) -> None:
    rest = rest_on_each
    answer = rest.post("/orders", rest.order("O1", "US-THYROID", "CT-HEAD"))
    assert answer.status_code == 200
    assert [item["reason"] for item in answer.json["items"]] == ["awaiting_payment"] * 2
    paid = rest.post("/payments", rest.payment("O1"))

    assert (paid.status_code, paid.json["state"]) == (200, "booked")
    appointment = paid.json["items"][0]["appointment"]
    assert appointment["starts_at"] == "2026-11-23T08:30:00+08:00"
    assert appointment["period"] == {"starts_at": "2026-11-23T08:30:00+08:00", "ends_at": "2026-11-23T09:00:00+08:00"}
    assert appointment["items"] == ["O1/1"]
    assert rest.get("/orders/O1").json["items"] == paid.json["items"]


def test_a_dry_run_says_what_would_become_of_an_order_and_stores_nothing(rest: Any) -> None:
    before = rest.counts()
    answer = rest.post("/orders/validate", rest.order("O1", "US-THYROID"), key="")

    assert answer.status_code == 200
    assert answer.json["items"] == [
        {"key": "O1/1", "item": "US-THYROID", "state": "accepted", "payable": True, "findings": [], "gates": []}
    ]
    assert rest.counts() == before


def test_payable_is_answered_per_item(rest: Any) -> None:
    rest.post("/orders", rest.order("O1", "US-THYROID", "CT-HEAD"))
    items = rest.get("/orders/O1/payable").json["items"]

    assert [(item["key"], item["payable"], item["payment"]) for item in items] == [
        ("O1/1", True, "unpaid"),
        ("O1/2", True, "unpaid"),
    ]


def test_an_inpatients_order_is_booked_when_the_ward_verifies_it(rest: Any) -> None:
    encounter = {"number": "ADM1", "encounter_class": "inpatient", "ward": "8A", "campus": "N"}
    answer = rest.post("/orders", rest.order("O1", encounter=encounter))
    assert answer.json["items"][0]["reason"] == "awaiting_release"

    assert rest.post("/orders/O1/verification").json["items"][0]["reason"] == "booked"


def test_evidence_answers_the_patients_items(rest: Any) -> None:
    rest.post("/orders", rest.order("O1"))
    evidence = {"patient": {"kind": "card", "value": "P1"}, "kind": "anaesthesia_assessment", "outcome": "passed",
                "observed_at": "2026-11-23T07:00:00+08:00", "data": {"asa": 2}}  # fmt: skip

    assert [item["key"] for item in rest.post("/evidence", evidence).json["items"]] == ["O1/1"]


def test_a_payment_of_an_unknown_order_is_stored(rest: Any) -> None:
    assert rest.post("/payments", rest.payment("O77")).json == {"items": [], "state": "stored"}


def test_a_time_is_searched_held_and_booked(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    rest.post(f"/appointments/{number}/cancel", {"reason": "改期"})
    choice = rest.times(items="O1/1", limit="3")[1]
    held = rest.post("/holds", {"items": ["O1/1"], "group": choice["group"], "starts_at": choice["starts_at"]})
    assert (held.status_code, held.json["state"]) == (200, "held")
    assert held.json["hold_expires_at"] == "2026-11-23T08:05:00+08:00"
    confirmed = rest.post(f"/holds/{held.json['number']}/booking")

    assert (confirmed.json["state"], confirmed.json["starts_at"]) == ("booked", choice["starts_at"])


def test_a_chosen_time_is_booked_at_once(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    rest.post(f"/appointments/{number}/cancel", {"reason": "改期"})
    choice = rest.times(items="O1/1", days="2")[0]
    answer = rest.post("/appointments", {"items": ["O1/1"], "group": choice["group"], "starts_at": choice["starts_at"]})

    assert (answer.json["state"], answer.json["automatic"]) == ("booked", False)


def test_a_moved_appointment_keeps_its_number(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    choice = rest.times(appointment=number)[2]
    target = {"group": choice["group"], "starts_at": choice["starts_at"], "version": 1}
    moved = rest.post(f"/appointments/{number}/reschedule", target).json

    assert (moved["number"], moved["version"], moved["starts_at"]) == (number, 2, choice["starts_at"])


def test_the_rest_of_an_itinerary_is_planned_again_once_and_only_by_who_may_move_all_of_it(rest_on_each: Any) -> None:
    rest = rest_on_each
    rest.world.hospital.plugins.register("day", OneDay())
    rest.world.switch("CLINIC", "day")
    gone = rest.booked("O1", "US-THYROID", "CT-HEAD", "US-HEART")["number"]
    rest.post(f"/appointments/{gone}/cancel", {"reason": "不做了"})

    assert rest.post(f"/appointments/{gone}/rest", caller="desk-ct").status_code == 403
    planned = rest.post(f"/appointments/{gone}/rest", key="rest")
    assert planned.status_code == 200
    kept = [item["appointment"]["number"] for item in planned.json["items"] if item["appointment"]]
    assert len(kept) == 2
    before = rest.counts()
    again = rest.post(f"/appointments/{gone}/rest", key="rest")
    assert (again.data, again.headers["Idempotency-Replayed"]) == (planned.data, "true")
    assert rest.counts() == before
    assert rest.post("/appointments/NONE-NONE/rest").status_code == 404


def test_a_patient_arrives_is_called_and_examined(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    steps = [("check-in", {}), ("call", {}), ("call", {"absent": True}), ("call", {}),
             ("execution", {"state": "started"}), ("execution", {"state": "finished"})]  # fmt: skip
    states = [rest.post(f"/appointments/{number}/{step}", body).json["state"] for step, body in steps]

    assert states == ["checked_in", "called", "called_absent", "called", "in_progress", "fulfilled"]


def test_a_no_show_is_marked_and_rebooking_is_refused_where_the_department_does_not_allow_it(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    assert rest.post(f"/appointments/{number}/no-show").json["state"] == "no_show"
    refused = rest.post(f"/appointments/{number}/rebooking")

    assert (refused.status_code, refused.json["code"]) == (409, "not_allowed")


def test_a_late_check_in_is_answered_with_the_new_time_and_queue_number_and_replayed(rest_on_each: Any) -> None:
    rest = rest_on_each
    rest.world.hospital.plugins.register("kiosk", Kiosk())
    rest.world.switch("US", "kiosk")
    missed = rest.booked("O1")
    rest.world.clock.advance(timedelta(hours=2))
    here = rest.post(f"/appointments/{missed['number']}/check-in", key="late")

    assert (here.status_code, here.json["state"], here.json["number"]) == (200, "checked_in", missed["number"])
    assert here.json["starts_at"] == "2026-11-23T10:00:00+08:00"
    assert here.json["queue_number"] == missed["queue_number"] + 1
    assert here.json["explanation"]["code"] == "late_arrival"
    before = rest.counts()
    again = rest.post(f"/appointments/{missed['number']}/check-in", key="late")
    assert (again.data, again.headers["Idempotency-Replayed"]) == (here.data, "true")
    assert rest.counts() == before


def test_a_late_check_in_that_is_left_to_the_desk_says_so_and_is_replayed(rest_on_each: Any) -> None:
    rest = rest_on_each
    number = rest.booked("O1")["number"]
    rest.world.clock.advance(timedelta(hours=2))
    sent = rest.post(f"/appointments/{number}/check-in", key="late")

    assert (sent.status_code, sent.json["state"], sent.json["no_show"]["action"]) == (200, "no_show", "manual")
    assert "登记台" in sent.json["no_show"]["text"]["zh"]
    before = rest.counts()
    assert rest.post(f"/appointments/{number}/check-in", key="late").data == sent.data
    assert rest.counts() == before


def test_a_check_in_that_is_reported_later_counts_from_when_the_patient_came(rest: Any) -> None:
    missed = rest.booked("O1")
    rest.world.clock.advance(timedelta(hours=2))
    here = rest.post(f"/appointments/{missed['number']}/check-in", {"at": missed["starts_at"]}).json

    assert (here["state"], here["starts_at"]) == ("checked_in", missed["starts_at"])


def test_appointments_are_listed_page_by_page(rest: Any) -> None:
    numbers = [rest.booked(f"O{n}")["number"] for n in range(3)]
    first = rest.get("/appointments?department=US&day=2026-11-23&limit=2").json
    second = rest.get(f"/appointments?department=US&limit=2&cursor={first['next_cursor']}").json

    assert [each["number"] for each in first["appointments"] + second["appointments"]] == numbers
    assert second["next_cursor"] is None
    assert rest.get(f"/appointments/{numbers[0]}").json == first["appointments"][0]


def test_modes_and_stages_are_read_and_switched_with_who_and_when(rest: Any) -> None:
    changed = rest.put("/departments/US/mode", {"mode": "manual", "version": 1}, caller="console").json
    assert (changed["mode"], changed["changed_by"], changed["changed_at"]) == (
        "manual", "console", "2026-11-23T08:00:00+08:00",
    )  # fmt: skip
    staged = rest.put("/departments/US/plugins/quiet", {"stage": "pilot", "pilot_percent": 30}, caller="console").json
    assert [(each["plugin"], each["stage"], each["pilot_percent"]) for each in staged["plugins"]] == [("quiet", "pilot", 30)]
    assert rest.get("/departments/US").json == staged
    assert [each["code"] for each in rest.get("/departments").json["departments"]] == ["US", "CT", "CLINIC"]


def test_what_does_not_exist_is_a_404_problem(rest: Any) -> None:
    for path in ("/orders/none", "/orders/none/payable", "/appointments/none", "/departments/none"):
        answer = rest.get(path)
        assert (answer.status_code, answer.mimetype, answer.json["code"]) == (404, "application/problem+json", "not_found")
    choice = {"group": "US-N", "starts_at": "2026-11-24T09:00:00+08:00"}
    assert rest.post("/appointments", {"items": ["none/1"], **choice}).status_code == 404
    assert rest.put("/departments/US/plugins/none", {"stage": "on"}, caller="console").status_code == 404


def test_a_stale_version_is_412_by_body_and_by_if_match(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    assert rest.get(f"/appointments/{number}").headers["ETag"] == '"1"'
    choice = rest.times(appointment=number)[2]
    target = {"group": choice["group"], "starts_at": choice["starts_at"]}
    before = rest.counts()

    refused = [
        rest.post(f"/appointments/{number}/reschedule", {**target, "version": 7}),
        rest.post(f"/appointments/{number}/cancel", {"reason": "改期", "version": 7}),
        rest.post(f"/appointments/{number}/reschedule", target, If_Match='"7"'),
        rest.post(f"/appointments/{number}/cancel", {"reason": "改期"}, If_Match='"7"'),
        rest.post(f"/appointments/{number}/cancel", {"reason": "改期"}, If_Match="nonsense"),
        rest.put("/departments/US/mode", {"mode": "manual", "version": 7}, caller="console"),
        rest.put("/departments/US/plugins/quiet", {"stage": "on", "version": 7}, caller="console"),
    ]
    assert [(answer.status_code, answer.json["code"]) for answer in refused] == [(412, "version_conflict")] * 7
    assert rest.counts() == before
    moved = rest.post(f"/appointments/{number}/reschedule", target, If_Match='"1"')
    assert (moved.status_code, moved.headers["ETag"]) == (200, '"2"')


def test_what_the_state_does_not_allow_is_409(rest: Any) -> None:
    number = rest.booked("O1")["number"]
    rest.post(f"/appointments/{number}/cancel", {"reason": "改期"})
    before = rest.counts()
    for step, body in (("cancel", {"reason": "再次"}), ("check-in", {}), ("no-show", {}), ("rebooking", {})):
        answer = rest.post(f"/appointments/{number}/{step}", body)
        assert (answer.status_code, answer.json["code"]) == (409, "state_conflict"), step
    assert rest.counts() == before


def test_a_hospital_information_system_books_over_a_real_socket(rest: Any) -> None:
    server = create_server(rest.app, host="127.0.0.1", port=0, threads=2)
    thread = threading.Thread(target=server.run)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.effective_port, timeout=30)
    headers = {"Content-Type": "application/json", **rest.authorization("his")}
    try:
        answers = []
        for path, body in (("/orders", rest.order("O1")), ("/payments", rest.payment("O1"))):
            connection.request("POST", f"/api/v1{path}", json.dumps(body), {**headers, "Idempotency-Key": path[1:]})
            response = connection.getresponse()
            answers.append((response.status, json.loads(response.read())))
    finally:
        connection.close()
        server.close()
        server.task_dispatcher.shutdown()
        thread.join()

    assert [status for status, _ in answers] == [200, 200]
    assert answers[1][1]["state"] == "booked"
