"""Sedated endoscopy through REST: not payable before the assessment, booked in the very request of the payment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from examlane.testing import require
from examlane_endoscopy import hooks

ROLES = ("room", "endoscopist", "anaesthetist", "recovery")
SEDATED = {"sedation": True, "fasting_hours": 6, "anticoagulant_risk": "low"}
FREE = {"opens": "anaesthesia_assessment", "zero_fee": True}
SEEN_AT = "2026-11-23T07:56:00+08:00"
DATA: dict[str, list[dict[str, Any]]] = {
    "departments": [
        {"code": "ES", "name": "内镜中心", "campus": "N", "executing": 1, "mode": "automatic"},
        {"code": "CLINIC", "name": "门诊", "campus": "N", "ordering": 1},
    ],
    "items": [
        {"code": code, "name": name, "modality": "ES", "department": "ES", "attributes": json.dumps(attributes)}
        for code, name, attributes in (("GASTRO", "无痛胃镜", SEDATED), ("ASSESS", "麻醉评估", FREE))
    ],
    "groups": [
        {"code": role, "name": role, "role": role, "department": "ES", "campus": "N", "zone": "N-3", "slice_minutes": 10}
        for role in (*ROLES, "clinic")
    ],
    "resources": [{"code": f"{role}-1", "name": role, "group": role} for role in (*ROLES, "clinic")],
    "services": [
        {"item": "GASTRO", "group": "room", "minutes": 20},
        {"item": "ASSESS", "group": "clinic", "minutes": 10},
    ],
    "rosters": [
        {"resource": f"group:{role}", "weekdays": "1-5", "starts": "08:00", "ends": "17:00"} for role in (*ROLES, "clinic")
    ],
    "walking": [],
}


@pytest.fixture
def site(open_site: Callable[..., Any], sqlite_url: str) -> Iterator[Any]:
    with open_site(sqlite_url, data=DATA) as found:
        found.world.hospital.plugins.register("endoscopy", hooks)
        require(found.world, "ES", "endoscopy")
        yield found


def order(site: Any, number: str, *items: str, **more: Any) -> Any:
    facts = {"escort": True, "anticoagulant": "none", "pregnant": False}
    context = {name: {"value": value, "observed_at": SEEN_AT, "source": "EMR"} for name, value in facts.items()}
    answer = site.post("/orders", site.order(number, *(items or ("GASTRO",)), context=context, **more))
    assert answer.status_code == 200, answer.json
    return answer.json["items"]


def assess(site: Any, outcome: str = "passed", **data: Any) -> Any:
    known = {"asa": 2, "assessor_role": "anaesthetist", "assessor_grade": "attending", **data}
    body = {"patient": {"kind": "card", "value": "P1"}, "kind": "anaesthesia_assessment", "outcome": outcome}
    return site.post("/evidence", {**body, "observed_at": SEEN_AT, "data": known}).json["items"]


def pay(site: Any, number: str) -> Any:
    return site.post("/payments", {"order": number, "paid_at": SEEN_AT}).json


def test_it_is_payable_once_the_assessment_is_passed_and_the_payment_answers_with_the_appointment(site: Any) -> None:
    (item,) = order(site, "O1")
    assert (item["payable"], item["reason"]) == (False, "awaiting_gate")
    (item,) = assess(site, "passed_with_conditions", conditions="备血；留观 2 小时")
    assert (item["payable"], item["reason"]) == (True, "awaiting_payment")
    paid = pay(site, "O1")
    assert paid["state"] == "booked"
    appointment = paid["items"][0]["appointment"]
    assert appointment["state"] == "booked"
    assert "麻醉评估要求：备血" in [step["text"]["zh"] for step in appointment["preparation"]]


def test_a_deferral_says_through_rest_what_is_wanted(site: Any) -> None:
    order(site, "O1")
    (item,) = assess(site, "deferred", needed_tests="心电图;血常规", deferred_until="2026-12-01")
    told = "完成评估医生要求的检查后复评；需补做：心电图、血常规；2026-12-01 起可复评"
    assert item["gates"][0]["next_action"]["zh"] == told


def test_an_inpatients_order_is_refused_with_the_reason_and_accepted_under_the_same_number_later(site: Any) -> None:
    ward = {"encounter": {"number": "V1", "encounter_class": "inpatient", "campus": "N"}, "verified": True}
    (item,) = order(site, "O1", **ward)
    assert item["state"] == "rejected"
    assert "尚未做麻醉评估" in item["message"]["zh"]
    assess(site)
    (item,) = order(site, "O1", **ward)
    assert item["reason"] == "booked"


def test_assessment_and_endoscopy_are_ordered_together_and_the_gate_names_the_assessments_place(site: Any) -> None:
    exam, assessment = order(site, "O1", "GASTRO", "ASSESS")
    assert assessment["reason"] == "booked"
    assert assessment["appointment"]["explanation"]["code"] == "endoscopy.assessment_planned"
    assert "已约 2026-11-23 08:30" in exam["gates"][0]["next_action"]["zh"]


def test_check_in_is_refused_with_the_reason_of_the_closed_gate(site: Any) -> None:
    order(site, "O1")
    assess(site)
    number = pay(site, "O1")["items"][0]["appointment"]["number"]
    assess(site, "withdrawn")
    refused = site.post(f"/appointments/{number}/check-in")
    assert refused.status_code == 409
    assert refused.json["code"] == "awaiting_gate"
    assert refused.json["message"]["zh"] == "麻醉评估结论已撤回"


def test_the_call_is_refused_until_the_recheck_of_the_day_is_reported(site: Any) -> None:
    order(site, "O1")
    assess(site)
    appointment = pay(site, "O1")["items"][0]["appointment"]
    number = appointment["number"]
    site.world.clock.set(datetime.fromisoformat(appointment["starts_at"]))
    assert site.post(f"/appointments/{number}/check-in").status_code == 200
    refused = site.post(f"/appointments/{number}/call")
    assert (refused.status_code, refused.json["code"]) == (409, "not_ready")
    recheck = {"patient": {"kind": "card", "value": "P1"}, "kind": "day_of_exam_recheck", "outcome": "passed"}
    site.post("/evidence", {**recheck, "observed_at": SEEN_AT})
    assert site.post(f"/appointments/{number}/call").status_code == 200
