"""Rules over REST: read page by page, tried, proposed once, signed by those who may, chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from examlane.extension import rules
from examlane.testing import TESTER

CHANGE = {"version": "2", "valid_from": "2026-11-24", "parameters": {"below": 45}}
PROPOSAL = {"rule": CHANGE, "reason": "指南更新"}
SEVERE = "/rules/kidney.severe"


@pytest.fixture
def site(open_site: Callable[..., Any], database_url: str, kidney: ModuleType) -> Iterator[Any]:
    with open_site(database_url, {"kidney": kidney}) as found:
        plugin = found.world.hospital.plugins.loaded["kidney"]
        rules.load(found.world.database, "kidney", plugin.rules, TESTER, found.world.clock.now())
        found.world.switch("US", "kidney")
        yield found


def propose(site: Any, body: Any = PROPOSAL, rule: str = "kidney.severe", **more: Any) -> Any:
    return site.post(f"/rules/{rule}/versions", body, caller="console", **more)


def order(site: Any, number: str, egfr: float) -> None:
    context = {"egfr": {"value": egfr}, "metformin": {"value": False}}
    assert site.post("/orders", site.order(number, patient=number, context=context)).status_code == 200


def problem(answer: Any) -> tuple[int, str, list[str]]:
    return answer.status_code, answer.json["code"], [one["pointer"] for one in answer.json.get("errors", [])]


def test_versions_are_read_page_by_page_and_filtered(site: Any) -> None:
    propose(site)
    first = site.get("/rules?limit=4", caller="console").json
    rest = site.get(f"/rules?cursor={first['next_cursor']}", caller="console").json

    assert len(first["rules"] + rest["rules"]) == 7
    assert rest["next_cursor"] is None
    proposed = site.get("/rules?state=proposed&plugin=kidney", caller="pharmacist").json["rules"]
    assert [(one["rule"], one["version"], one["missing"]) for one in proposed] == [
        ("kidney.severe", "2", ["pharmacy", "radiology"])
    ]
    assert site.get("/rules?plugin=heart", caller="console").json["rules"] == []
    assert problem(site.get("/rules?state=gone", caller="console")) == (422, "invalid_input", ["/state"])


def test_one_rule_is_read_with_all_versions_cases_and_what_counts(site: Any) -> None:
    propose(site)
    found = site.get(SEVERE, caller="console").json

    assert (found["counts"], [one["version"] for one in found["versions"]]) == ("2026.1", ["2026.1", "2"])
    assert found["versions"][1]["content"]["case"][0] == {"given": {"egfr": 44}, "says": "block"}
    assert found["versions"][0]["content"]["unit"] == {"below": "ml/min/1.73 m²"}
    assert problem(site.get("/rules/kidney.gone", caller="console"))[:2] == (404, "not_found")


def test_a_version_goes_from_trial_to_effect(site: Any) -> None:
    for egfr in (20, 40, 60):
        order(site, f"O{egfr}", egfr)
    trial = site.post("/rules/trial", {"plugin": "kidney", "drafts": [{"id": "kidney.severe", "rule": CHANGE}]},
                      caller="console").json  # fmt: skip
    assert (trial["orders"], trial["items"], trial["different"], trial["left_out"]) == (3, 3, 1, [])
    (one,) = trial["differences"]
    assert (one["order"], one["before"]["state"], one["after"]["state"]) == ("O40", "accepted", "rejected")
    assert one["after"]["said"][0]["code"] == "kidney.severe"

    made = propose(site).json
    assert (made["state"], made["created_by"], made["reason"]) == ("proposed", "console", "指南更新")
    first = site.post(f"{SEVERE}/versions/2/approvals", {"role": "pharmacy"}, caller="pharmacist").json
    assert (first["state"], first["missing"]) == ("proposed", ["radiology"])
    second = site.post(f"{SEVERE}/versions/2/approvals", {"role": "radiology"}, caller="radiologist").json
    assert (second["state"], [one["by"] for one in second["approvals"]]) == ("active", ["pharmacist", "radiologist"])
    site.world.later(days=1)
    assert site.get(SEVERE, caller="console").json["counts"] == "2"


def test_a_proposed_version_can_be_tried_by_its_number(site: Any) -> None:
    order(site, "O1", 40)
    propose(site)
    body = {"plugin": "kidney", "drafts": [{"id": "kidney.severe", "rule": {}, "based_on": "2"}]}

    assert site.post("/rules/trial", body, caller="pharmacist").json["different"] == 1
    assert site.post("/rules/trial", {"plugin": "kidney"}, caller="pharmacist").json["different"] == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rule": {**CHANGE, "version": "2026.1"}}, (409, "version_exists", ["/rule/version"])),
        ({"rule": {**CHANGE, "valid_from": "2026-11-23"}}, (422, "not_in_future", ["/rule/valid_from"])),
        ({"rule": {**CHANGE, "valid_from": "soon"}}, (422, "rule_malformed", ["/rule"])),
        ({"rule": {**CHANGE, "case": "none"}}, (422, "rule_malformed", ["/rule"])),
        ({"rule": {**CHANGE, "zh": "\u0000"}}, (422, "rule_malformed", ["/rule"])),
        ({"rule": CHANGE, "whole": True}, (422, "rule_malformed", ["/rule"])),
        ({"rule": CHANGE, "based_on": "1999"}, (404, "not_found", [])),
        ({"rule": [CHANGE]}, (422, "invalid_input", ["/rule"])),
        ({"reason": ""}, (422, "invalid_input", ["/reason"])),
        ({"why": "x"}, (422, "invalid_input", ["/why"])),
    ],
)  # fmt: skip
def test_what_is_no_proposal_is_refused_at_its_field(site: Any, changes: Any, expected: Any) -> None:
    before = site.counts()

    assert problem(propose(site, {**PROPOSAL, **changes})) == expected
    assert site.counts() == before


def test_a_rule_of_no_plugin_is_not_found(site: Any) -> None:
    assert problem(propose(site, rule="heart.rate"))[0] == 404
    bad = [{"plugin": "heart"}, {"plugin": "quiet", "drafts": [{"id": "kidney.severe", "rule": CHANGE}]},
           {"plugin": "kidney", "profiles": {"metformin": "mine"}}]  # fmt: skip
    for body in bad:
        assert site.post("/rules/trial", body, caller="console").status_code == 404, body


def test_a_whole_new_rule_may_be_proposed(site: Any) -> None:
    table = {"version": "1", "valid_from": "2026-12-01", "source": "practice", "approvers": ["pharmacy"]}
    made = propose(site, {"rule": table, "whole": True, "reason": "新增"}, "kidney.new")

    assert (made.status_code, made.json["content"]["id"]) == (200, "kidney.new")


def test_nobody_signs_for_a_role_that_is_not_his_nor_his_own_proposal(site: Any) -> None:
    propose(site)
    before = site.counts()
    path = f"{SEVERE}/versions/2/approvals"
    assert problem(site.post(path, {"role": "radiology"}, caller="pharmacist")) == (403, "may_not_sign", ["/role"])
    assert problem(site.post(path, {"role": "pharmacy"}, caller="console"))[:2] == (403, "forbidden")
    assert problem(site.post(f"{SEVERE}/versions/3/approvals", {"role": "pharmacy"}, caller="pharmacist"))[0] == 404
    assert site.counts() == before
    site.post(path, {"role": "pharmacy"}, caller="pharmacist")
    again = site.post(path, {"role": "pharmacy"}, caller="pharmacist")
    assert problem(again)[:2] == (409, "already_signed")


def test_a_repeated_write_gets_the_same_answer_and_changes_nothing(site: Any) -> None:
    made = [propose(site, key="k") for _ in range(2)]
    signed = [
        site.post(f"{SEVERE}/versions/2/approvals", {"role": "pharmacy"}, caller="pharmacist", key="k") for _ in range(2)
    ]
    for first, second in (made, signed):
        assert first.json == second.json
        assert second.headers["Idempotency-Replayed"] == "true"
    other = {**PROPOSAL, "reason": "另一原因"}
    assert problem(propose(site, other, key="k"))[:2] == (422, "idempotency_key_reused")
    assert problem(propose(site, key=""))[:2] == (400, "idempotency_key_missing")


def test_an_answer_that_was_lost_is_made_anew(site: Any) -> None:
    first = propose(site, key="k").json
    site.world.database.write(lambda: site.world.database.rows("UPDATE receipt SET answer = NULL RETURNING id"))

    assert propose(site, key="k").json == first


def chosen(answer: Any) -> Any:
    """The choice of the plugin of these tests; the core has one of its own."""
    return next(choice for choice in answer.json["choices"] if choice["plugin"] == "kidney")


def test_a_source_is_chosen_openly(site: Any) -> None:
    choice = chosen(site.get("/rules/choices", caller="pharmacist"))
    assert (choice["choice"], choice["profile"], choice["chosen_by"]) == ("metformin", "acr_2021", "")
    assert choice["profiles"]["cn_48h"]["zh"] == "中度起停药 48 小时"
    body = {"plugin": "kidney", "choice": "metformin", "profile": "cn_48h"}
    choice = chosen(site.put("/rules/choices", body, caller="console"))

    assert (choice["profile"], choice["chosen_by"]) == ("cn_48h", "console")
    assert site.get("/rules/kidney.metformin", caller="console").json["counts"] == "2026.1-cn48h"
    for wrong in ({"profile": "mine"}, {"choice": "aspirin"}, {"plugin": "heart"}):
        assert site.put("/rules/choices", body | wrong, caller="console").status_code == 404
