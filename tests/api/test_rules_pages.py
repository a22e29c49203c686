"""规则 without a browser: reading, trying before proposing, signing by those who may, choosing between sources."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from examlane import Fact
from examlane.extension import rules
from examlane.testing import TESTER

SEVERE = "/rules/kidney.severe"
FORM = {"based_on": "2026.1", "parameter.below": "45", "version": "2", "valid_from": "2026-11-24"}


@pytest.fixture
def rest(open_site: Callable[..., Any], sqlite_url: str, kidney: ModuleType) -> Iterator[Any]:
    """A hospital with the kidney rules, loaded and switched on."""
    with open_site(sqlite_url, {"kidney": kidney}) as found:
        rules.load_all(found.world.database, found.world.hospital.plugins, TESTER, found.world.clock.now())
        found.world.switch("US", "kidney")
        yield found


@pytest.fixture
def administrator(staff: Callable[..., Any]) -> Any:
    return staff("administrator")


def seal(answer: Any) -> str:
    """What proves that a form was tried."""
    found = re.search(r'name="tried" value="([^"]+)"', answer.text)
    return html.unescape(found[1]) if found else ""


def order(rest: Any, egfr: float, metformin: bool = False) -> str:
    known = {"egfr": Fact(egfr), "metformin": Fact(metformin)}
    found: str = rest.world.order("US-THYROID", patient=f"P{egfr}", context=known)
    return found


def proposed(rest: Any, administrator: Any) -> Any:
    """Try and propose version 2 of the severe rule."""
    administrator.open(SEVERE)
    tried = administrator.submit(f"{SEVERE}/trial", FORM)
    sent = {**FORM, "tried": seal(tried), "reason": "指南更新"}
    return administrator.submit(f"{SEVERE}/versions", sent)


def test_the_list_shows_every_rule_with_its_numbers_source_version_and_who_signed(administrator: Any) -> None:
    text = administrator.open("/rules?plugin=kidney").text

    for words in ("eGFR ‹egfr›，低于 30，不能检查", "ml/min/1.73 m²", "ACR 2021", "2026.1", "生效中", "本院未签",
                  "中度起停药 48 小时", "中国专家共识"):  # fmt: skip
        assert words in text, words
    assert administrator.client.get("/rules?plugin=heart").status_code == 404
    assert administrator.client.get("/rules").status_code == 200


def test_one_rule_shows_its_condition_cases_and_history(administrator: Any) -> None:
    text = administrator.open(SEVERE).text

    assert "egfr &lt; 30" in text
    assert text.count("✓ 相符") == 3
    assert "✕" not in text
    assert 'value="2026.1-h1"' in text
    assert administrator.client.get("/rules/kidney.gone").status_code == 404
    assert administrator.client.get(f"{SEVERE}?version=9").status_code == 404


def test_a_dry_run_shows_what_would_be_decided_differently_and_stores_nothing(rest: Any, administrator: Any) -> None:
    numbers = {egfr: order(rest, egfr) for egfr in (20, 40, 60)}
    administrator.open(SEVERE)
    before = rest.counts()
    text = administrator.submit(f"{SEVERE}/trial", FORM).text

    assert f'<th scope="row">{numbers[40]}<small>' in text
    assert numbers[20] + "<small>" not in text
    assert "eGFR 40，低于 45，不能检查" in text
    assert rest.counts() == before
    assert "患者P40" not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameter.below": "many"}, "below 应为数字"),
        ({"parameter.below": "nan"}, "规则有误"),
        ({"version": "a/b"}, "规则有误"),
        ({"zh": "{egfr"}, "规则有误"),
        ({"valid_from": "soon"}, "规则有误"),
        ({"en": "{egfr.__class__}"}, "规则有误"),
    ],
)
def test_what_is_no_rule_is_said_and_what_was_typed_stays(administrator: Any, change: Any, words: str) -> None:
    administrator.open(SEVERE)
    answer = administrator.submit(f"{SEVERE}/trial", FORM | change)

    assert (answer.status_code, words in answer.text) == (422, True)
    assert all(html.escape(value) in answer.text for value in change.values())


def test_only_what_was_tried_may_be_proposed(rest: Any, administrator: Any) -> None:
    administrator.open(SEVERE)
    tried = seal(administrator.submit(f"{SEVERE}/trial", FORM))
    before = rest.counts()
    others = [{"tried": ""}, {"tried": "x"}, {"parameter.below": "60"}, {"zh": "另"}, {"valid_from": "2026-12-01"}]
    for other in others:
        sent = {**FORM, "tried": tried, "reason": "x"} | other
        answer = administrator.submit(f"{SEVERE}/versions", sent)
        assert (answer.status_code, "请先试算" in answer.text) == (422, True), other
    assert "修改原因" in administrator.submit(f"{SEVERE}/versions", {**FORM, "tried": tried, "reason": ""}).text
    assert rest.counts() == before


def test_a_version_is_tried_proposed_signed_by_two_and_counts_from_its_day(
    rest: Any, administrator: Any, staff: Callable[..., Any]
) -> None:
    assert proposed(rest, administrator).status_code == 302
    assert "待签字" in administrator.open("/rules?plugin=kidney").text
    for role in ("pharmacy", "radiology"):
        approver = staff("approver", role)
        assert "签字同意" in approver.open(f"{SEVERE}?version=2").text
        answer = approver.submit(f"{SEVERE}/versions/2/approvals", {"role": role})
        assert answer.location == f"{SEVERE}?version=2"
    rest.world.clock.advance(timedelta(hours=16))

    found = rules.found(rest.world.database, "kidney.severe", "2")
    assert (found.state, found.reason, [one.role for one in found.approvals]) == (
        "active", "指南更新", ["pharmacy", "radiology"],
    )  # fmt: skip
    assert found.version.content["case"][0] == {"given": {"egfr": 44}, "says": "block"}
    assert rest.world.item(f"{order(rest, 40)}/1").state == "rejected"


def test_an_approver_tries_and_signs_for_his_roles_and_does_nothing_else(
    rest: Any, administrator: Any, staff: Callable[..., Any]
) -> None:
    proposed(rest, administrator)
    approver = staff("approver", "pharmacy")
    assert approver.client.get("/").location == "/rules"
    page = approver.open(f"{SEVERE}?version=2").text
    assert "签字同意 · 药学" in page
    assert "签字同意 · 放射" not in page
    assert "提交新版本" not in approver.submit(f"{SEVERE}/trial", {"based_on": "2"}).text
    before = rest.counts()
    refused = [(f"{SEVERE}/versions/2/approvals", {"role": "radiology"}), (f"{SEVERE}/versions", FORM),
               ("/rules/sources/kidney/metformin", {"profile": "cn_48h"})]  # fmt: skip
    for path, form in refused:
        assert approver.submit(path, form).status_code == 403, path
    assert rest.counts() == before
    assert approver.client.get("/board").status_code == 403


def test_an_administrator_signs_nothing(rest: Any, administrator: Any) -> None:
    proposed(rest, administrator)
    assert "签字同意" not in administrator.open(f"{SEVERE}?version=2").text

    assert administrator.submit(f"{SEVERE}/versions/2/approvals", {"role": "pharmacy"}).status_code == 403


def test_a_source_is_tried_before_it_is_followed(rest: Any, administrator: Any) -> None:
    number = order(rest, 50, metformin=True)
    administrator.open("/rules?plugin=kidney")
    path = "/rules/sources/kidney/metformin"
    early = administrator.submit(path, {"profile": "cn_48h"})
    assert early.status_code == 302
    assert rest.world.database.value("SELECT count(*) FROM rule_choice") == 0
    tried = administrator.submit(f"{path}/trial", {"profile": "cn_48h"})
    assert f'<th scope="row">{number}<small>' in tried.text
    assert administrator.submit(path, {"profile": "cn_48h", "tried": seal(tried)}).status_code == 302

    row = "SELECT choice, profile FROM rule_choice"
    assert rest.world.database.row(row) == ("metformin", "cn_48h")
    for wrong in ("/rules/sources/kidney/aspirin/trial", "/rules/sources/heart/metformin/trial"):
        assert administrator.submit(wrong, {"profile": "cn_48h"}).status_code == 404, wrong


def test_registrars_and_strangers_see_no_rules(staff: Callable[..., Any], visitor: Any) -> None:
    registrar = staff("registrar")
    assert registrar.client.get("/rules").status_code == 403
    assert registrar.client.get(SEVERE).status_code == 403
    assert "/rules" not in registrar.open("/board").text
    assert visitor.client.get("/rules").location == "/login?next=/rules"


def test_the_pages_keep_the_strict_policy_and_speak_english(rest: Any, administrator: Any) -> None:
    administrator.client.get("/language/en")
    for path in ("/rules", "/rules?plugin=kidney", SEVERE):
        answer = administrator.open(path)
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert " style=" not in answer.text
        assert "<script>" not in answer.text
        chinese = re.findall(r"[\u4e00-\u9fff]+", re.sub(r"<(textarea|option|small|b)\b.*?</\1>", "", answer.text))
        assert set(chinese) <= {"约检", "王小明", "中文", "医院制度", "中国专家共识"}, path
    assert "eGFR ‹egfr› is below 30: no exam" in administrator.open(SEVERE).text


def test_two_administrators_cannot_use_each_others_trial(rest: Any, staff: Callable[..., Any]) -> None:
    first, second = staff("administrator"), staff("administrator")
    first.open(SEVERE)
    second.open(SEVERE)
    tried = seal(first.submit(f"{SEVERE}/trial", FORM))

    assert second.submit(f"{SEVERE}/versions", {**FORM, "tried": tried, "reason": "x"}).status_code == 422


def test_an_account_that_signs_for_nothing_signs_nothing(rest: Any, administrator: Any, staff: Callable[..., Any]) -> None:
    proposed(rest, administrator)
    approver = staff("approver")
    approver.open(SEVERE)

    assert approver.submit(f"{SEVERE}/versions/2/approvals", {"role": "pharmacy"}).status_code == 403
