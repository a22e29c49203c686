"""What a platform reads: appointments, service requests, schedules and slots, with their states, versions and limits."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from examlane.appointments.states import State
from examlane.storage.fields import epoch
from examlane_api import clients
from examlane_api.fhir import states

CARD = "urn:examlane:patient:card"


def test_an_appointment_says_what_was_booked_for_whom_where_and_when(facade_on_each: Any) -> None:
    booked = facade_on_each.site.booked("O1", "US-THYROID", patient="P1")

    answer = facade_on_each.get(f"/Appointment/{booked['number']}")

    found = answer.json
    assert (found["id"], found["status"], found["meta"]["versionId"]) == (booked["number"], "booked", "1")
    assert (found["start"], found["minutesDuration"]) == (booked["starts_at"], 10)
    assert found["meta"]["lastUpdated"] == "2026-11-23T08:00:00+08:00"
    assert found["serviceType"][0]["coding"][0] == {
        "system": "urn:examlane:item", "code": "US-THYROID", "display": "甲状腺彩超",
    }  # fmt: skip
    patient, place = found["participant"]
    assert patient["actor"] == {"type": "Patient", "identifier": {"system": CARD, "value": "P1"}, "display": "患*甲"}
    assert (place["actor"]["type"], place["actor"]["identifier"]["value"]) == ("Location", booked["group"])
    assert (patient["status"], answer.headers["ETag"]) == ("accepted", 'W/"1"')


def test_what_an_appointment_refers_to_can_be_read(facade_on_each: Any) -> None:
    number = facade_on_each.site.booked("O1", "US-HEART", patient="P1")["number"]
    found = facade_on_each.get(f"/Appointment/{number}").json

    slots = [facade_on_each.get(f"/{each['reference']}").json for each in found["slot"]]
    request = facade_on_each.get(f"/{found['basedOn'][0]['reference']}").json
    schedule = facade_on_each.get(f"/{slots[0]['schedule']['reference']}").json

    assert [each["status"] for each in slots] == ["busy", "busy"]
    assert (slots[0]["start"], slots[-1]["end"]) == (found["start"], found["end"])
    assert (request["requisition"]["value"], request["identifier"][0]["value"]) == ("O1", "O1/1")
    assert (request["status"], request["intent"], request["priority"]) == ("active", "order", "routine")
    assert "US-HEART" in [each["coding"][0]["code"] for each in schedule["serviceType"]]
    assert schedule["planningHorizon"] == {"start": "2026-11-23T00:00:00+08:00", "end": "2026-12-07T00:00:00+08:00"}


def test_every_state_of_ours_has_a_status_of_r4() -> None:
    assert set(states.APPOINTMENT) == set(State)
    assert set(states.APPOINTMENT.values()) <= states.APPOINTMENT_STATUSES


@pytest.mark.parametrize("state", list(State))
def test_an_appointment_in_any_state_is_valid_and_found_by_its_status(facade: Any, state: State) -> None:
    number = facade.site.booked("O1")["number"]
    database = facade.site.world.database
    database.write(
        lambda: database.rows("UPDATE appointment SET state = ? WHERE number = ? RETURNING id", state.value, number)
    )
    expected = states.APPOINTMENT[state]

    assert facade.get(f"/Appointment/{number}").json["status"] == expected
    for status in states.APPOINTMENT_STATUSES:
        found = facade.found(f"/Appointment?status={status}")
        assert [each["id"] for each in found] == ([number] if status == expected else [])


def test_a_cancelled_appointment_says_why_and_holds_no_slot(facade: Any) -> None:
    number = facade.site.booked("O1")["number"]
    facade.site.post(f"/appointments/{number}/cancel", {"reason": "患者改期"})

    found = facade.get(f"/Appointment/{number}").json

    assert (found["status"], found["meta"]["versionId"]) == ("cancelled", "2")
    assert found["cancelationReason"] == {"text": "患者改期"}
    assert "slot" not in found
    assert {each["status"] for each in found["participant"]} == {"declined"}


def test_an_order_item_is_on_hold_while_a_gate_is_closed_and_revoked_when_it_is_void(facade: Any) -> None:
    site = facade.site
    site.post("/orders", site.order("O1"))
    (request,) = facade.found("/ServiceRequest?requisition=O1")
    assert request["status"] == "active"

    database = site.world.database
    database.write(
        lambda: database.rows(
            "INSERT INTO gate (order_item_id, kind, state, code, reason, next_action, owner, payable, plugin, evaluated_at) "
            "VALUES (?, 'assessment', 'closed', '', '{}', '{}', '', 0, '', ?) RETURNING id",
            int(request["id"]), epoch(site.world.clock.now()),
        )
    )  # fmt: skip
    assert facade.get(f"/ServiceRequest/{request['id']}").json["status"] == "on-hold"
    assert facade.found("/ServiceRequest?status=active") == []
    assert len(facade.found("/ServiceRequest?status=on-hold")) == 1

    site.post("/orders/O1/void", {"reason": "开错", "reissue": False})
    assert [each["status"] for each in facade.found("/ServiceRequest?status=revoked")] == ["revoked"]


@pytest.mark.parametrize(
    ("change", "status", "free"),
    [("taken = 0", "free", 1), ("taken = 1, is_open = 0", "busy", 0), ("closed = 1, is_open = 0", "busy-unavailable", 0),
     ("withheld = 1, is_open = 0", "busy-tentative", 0), ("extra = 1, taken = 2, is_open = 0", "busy", 0)],
)  # fmt: skip
def test_a_slot_says_whether_it_is_free(facade: Any, change: str, status: str, free: int) -> None:
    database = facade.site.world.database
    slot = database.value("SELECT min(id) FROM slot")
    database.write(lambda: database.rows(f"UPDATE slot SET {change} WHERE id = ? RETURNING id", slot))

    found = facade.get(f"/Slot/{slot}").json

    told = {each["url"].rpartition("/")[2]: each for each in found["extension"]}
    assert (found["status"], told["free-seats"]["valueUnsignedInt"]) == (status, free)
    assert told["audience"]["valueCode"] == "general"
    assert found["overbooked"] is ("extra" in change)
    for each in states.SLOT:
        assert len(facade.found(f"/Slot?_id={slot}&status={each}")) == (each == status)


# Versions


def test_what_was_read_is_not_sent_again_until_it_changes(facade_on_each: Any) -> None:
    site = facade_on_each.site
    number = site.booked("O1")["number"]
    slot = facade_on_each.get(f"/Appointment/{number}").json["slot"][0]["reference"]
    paths = [f"/Appointment/{number}", f"/{slot}"]
    tags = [facade_on_each.get(path).headers["ETag"] for path in paths]
    for path, tag in zip(paths, tags, strict=True):
        unchanged = facade_on_each.get(path, If_None_Match=tag)
        assert (unchanged.status_code, unchanged.data) == (304, b"")

    site.post(f"/appointments/{number}/cancel", {"reason": "改期"})

    for path, tag in zip(paths, tags, strict=True):
        changed = facade_on_each.get(path, If_None_Match=tag)
        assert (changed.status_code, changed.headers["ETag"] != tag) == (200, True)
        assert changed.headers["ETag"] == f'W/"{changed.json["meta"]["versionId"]}"'


# Whom it is told to


def test_only_identifiers_that_the_hospital_lets_be_told_are_told_and_asked_for(facade: Any) -> None:
    site = facade.site
    patient = {"identifiers": [{"kind": "citizen_id", "value": "110101198002290018"}], "name": "张三丰"}
    site.post("/orders", site.order("O1") | {"patient": patient})

    (found,) = facade.found("/ServiceRequest?requisition=O1")

    assert found["subject"] == {"type": "Patient", "display": "张*丰"}
    assert facade.found("/ServiceRequest?patient:identifier=citizen_id|110101198002290018") == []


def test_a_client_of_one_department_reads_no_other_departments_things(facade: Any) -> None:
    site = facade.site
    ultrasound, head = site.booked("O1", "US-THYROID")["number"], site.booked("O2", "CT-HEAD")["number"]
    site.secrets["ct"] = clients.add(site.world.database, "ct", "放射信息系统", departments=("CT",))

    assert [each["id"] for each in facade.found("/Appointment", caller="ct")] == [head]
    assert facade.refused(f"/Appointment/{ultrasound}", 403, caller="ct")[0]["code"] == "forbidden"
    assert len(facade.found("/ServiceRequest", caller="ct")) == 1
    (schedule,) = facade.found("/Schedule", caller="ct")
    assert schedule["identifier"][0]["value"] == "CT-N-1"
    slots = facade.found("/Slot?start=2026-11-24&_count=200", caller="ct")
    assert {each["schedule"]["reference"] for each in slots} == {f"Schedule/{schedule['id']}"}


def test_scopes_tell_slots_from_patients(facade: Any) -> None:
    site = facade.site
    site.secrets["web"] = clients.add(site.world.database, "web", "网站", scopes=("fhir.read_slots",))

    assert facade.found("/Slot?start=2026-11-24", caller="web")
    assert facade.refused("/Appointment", 403, caller="web")[0]["code"] == "forbidden"


@pytest.mark.parametrize("caller", ["console", "pharmacist", "stranger"])
@pytest.mark.parametrize("path", ["/Appointment", "/ServiceRequest", "/Schedule", "/Slot?start=2026-11-24"])
def test_other_roles_read_nothing(facade: Any, caller: str, path: str) -> None:
    assert facade.refused(path, 403, caller=caller)[0]["code"] == "forbidden"


def test_nobody_reads_anything_without_a_key_but_what_the_server_can(facade: Any) -> None:
    answer = facade.get("/Appointment", caller="")
    assert (answer.status_code, answer.json["issue"][0]["code"]) == (401, "login")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert facade.get("/metadata", caller="").status_code == 200


def test_a_client_that_asks_too_often_waits(facade: Any) -> None:
    site = facade.site
    site.secrets["busy"] = clients.add(site.world.database, "busy", "轮询", per_minute=1)
    facade.get("/Schedule", caller="busy")

    answer = facade.get("/Schedule", caller="busy")

    assert (answer.status_code, answer.json["issue"][0]["code"]) == (429, "throttled")
    assert int(answer.headers["Retry-After"]) > 0


def test_nothing_is_written_by_reading(facade: Any) -> None:
    site = facade.site
    number = site.booked("O1")["number"]
    before = site.counts()
    for path in (f"/Appointment/{number}", "/Appointment", "/ServiceRequest", "/Schedule", "/Slot?start=2026", "/metadata"):
        facade.get(path)
    assert site.counts() == before


def test_systems_are_those_of_the_hospital(facade: Any) -> None:
    number = facade.site.booked("O1", patient="P9")["number"]
    address, systems = facade.site.app.extensions["examlane.fhir"]
    own = dataclasses.replace(systems, appointment="https://hospital.example/appointment", patient={"card": "urn:oid:1.2.3"})
    facade.site.app.extensions["examlane.fhir"] = (address, own)

    (found,) = facade.found("/Appointment?patient:identifier=urn:oid:1.2.3|P9")

    assert found["identifier"] == [{"system": "https://hospital.example/appointment", "value": number}]
    assert found["participant"][0]["actor"]["identifier"]["system"] == "urn:oid:1.2.3"
    assert facade.found(f"/Appointment?identifier=urn:examlane:appointment|{number}") == []
