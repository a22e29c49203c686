"""The staff pages without a browser: log-in and its limits, CSRF, saving in the matrix, headers, masked names."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from examlane.clock import SetClock
from examlane_api import identity

WRONG = "用户名或密码不正确，或账号暂时锁定。"


@pytest.fixture
def clock(rest: Any) -> SetClock:
    found: SetClock = rest.world.clock
    return found


@pytest.fixture
def password(rest: Any) -> str:
    return identity.add_user(rest.world.database, "wang", "王小明", "administrator")


def test_whoever_logs_in_comes_to_his_page_and_a_new_session_begins(visitor: Any, password: str) -> None:
    visitor.open("/login")
    before = visitor.client.get_cookie("session").value
    answer = visitor.log_in("wang", password)

    assert (answer.status_code, answer.location) == (302, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert visitor.client.get_cookie("session").value != before
    assert visitor.client.get("/").location == "/matrix"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_log_in_never_leads_to_another_site(visitor: Any, password: str, target: str) -> None:
    visitor.open("/login")
    answer = visitor.submit("/login", {"name": "wang", "password": password, "next": target})

    assert (answer.status_code, answer.location) == (302, "/")


@pytest.mark.parametrize(
    ("name", "word"),
    [("wang", "wrong"), ("nobody", "wrong"), ("", ""), ("wang", ""), ("wang\x00", "x"), ("\ud7ff𠮷", "x"),
     ("' OR 1=1--", "x"),
     ("x" * 5000, "x" * 5000)],
)  # fmt: skip
def test_every_failure_has_the_same_words(rest_on_each: Any, name: str, word: str) -> None:
    identity.add_user(rest_on_each.world.database, "wang", "王小明", "administrator")
    client = rest_on_each.app.test_client()
    token = client.get("/login").text.split('name="csrf_token" value="')[1].split('"')[0]
    answer = client.post("/login", data={"name": name, "password": word, "csrf_token": token})

    assert answer.status_code == 401
    assert WRONG in answer.text


def test_five_failures_lock_an_account_for_fifteen_minutes(visitor: Any, password: str, clock: SetClock) -> None:
    for _ in range(5):
        assert WRONG in visitor.log_in("wang", "wrong").text
    locked = visitor.log_in("wang", password)
    assert (locked.status_code, WRONG in locked.text) == (401, True)
    clock.advance(timedelta(minutes=14))
    assert visitor.log_in("wang", password).status_code == 401
    clock.advance(timedelta(minutes=2))

    assert visitor.log_in("wang", password).status_code == 302


def test_four_failures_and_a_success_start_the_count_anew(visitor: Any, password: str) -> None:
    for _ in range(2):
        for _ in range(4):
            visitor.log_in("wang", "wrong")
        assert visitor.log_in("wang", password).status_code == 302
        visitor.submit("/logout", {})


def test_parallel_failures_are_all_counted(rest_on_each: Any) -> None:
    world = rest_on_each.world
    password = identity.add_user(world.database, "wang", "王小明", "administrator")
    ready = threading.Barrier(5)

    def guess() -> None:
        ready.wait()
        identity.log_in(world.hospital, "wang", "wrong")
        world.database.close()

    threads = [threading.Thread(target=guess) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert identity.log_in(world.hospital, "wang", password) is None


def test_as_much_work_is_done_for_an_unknown_name_or_a_locked_account(
    rest: Any, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[str] = []
    verify = identity._verify
    monkeypatch.setattr(identity, "_verify", lambda *given: (work.append("verify"), verify(*given))[1])
    identity.log_in(rest.world.hospital, "nobody", "wrong")
    done = []
    for name in ["nobody"] + ["wang"] * 7:
        work.clear()
        identity.log_in(rest.world.hospital, name, "wrong")
        done.append(list(work))

    assert done == [["verify"]] * 8


def test_a_disabled_member_is_out_at_once(rest: Any, staff: Callable[..., Any]) -> None:
    administrator = staff("administrator")
    rest.world.database.write(lambda: rest.world.database.rows("UPDATE staff_user SET disabled = 1 RETURNING id"))

    assert administrator.client.get("/matrix").status_code == 302


def test_logging_out_ends_the_session_for_good(staff: Callable[..., Any]) -> None:
    administrator = staff("administrator")
    administrator.open("/matrix")
    stolen = administrator.client.get_cookie("session").value
    assert administrator.submit("/logout", {}).location == "/login"
    administrator.client.set_cookie("session", stolen)

    assert administrator.client.get("/matrix").location == "/login?next=/matrix"


def test_an_idle_session_ends_after_thirty_minutes(staff: Callable[..., Any], clock: SetClock) -> None:
    administrator = staff("administrator")
    for _ in range(3):
        clock.advance(timedelta(minutes=29))
        assert administrator.client.get("/matrix").status_code == 200
    clock.advance(timedelta(minutes=31))

    assert administrator.client.get("/matrix").status_code == 302


def test_a_session_in_use_ends_after_twelve_hours(staff: Callable[..., Any], clock: SetClock) -> None:
    administrator = staff("administrator")
    for _ in range(12 * 60 // 20):
        clock.advance(timedelta(minutes=20))
        assert administrator.client.get("/matrix").status_code == 200
    clock.advance(timedelta(minutes=1))

    assert administrator.client.get("/matrix").status_code == 302


def test_a_board_left_open_does_not_keep_a_session_alive(staff: Callable[..., Any], clock: SetClock) -> None:
    registrar = staff("registrar")
    for _ in range(3):
        clock.advance(timedelta(minutes=15))
        answer = registrar.client.get("/board", headers={"HX-Request": "true", "HX-Source": "div#live"})

    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login?next=/board")


@pytest.mark.parametrize("path", ["/matrix/US/mode", "/matrix/US/plugins/quiet", "/logout", "/login"])
def test_a_form_without_its_token_or_with_another_ones_is_refused(rest: Any, staff: Callable[..., Any], path: str) -> None:
    administrator, other = staff("administrator"), staff("administrator")
    other.open("/matrix")
    before = rest.counts()
    for token in ("", "nonsense", other.token):
        answer = administrator.client.post(path, data={"csrf_token": token, "mode": "manual", "stage": "on", "version": "1"})
        assert answer.status_code == 400, token

    assert rest.counts() == before
    assert administrator.client.get("/matrix").status_code == 200


def test_a_stage_is_saved_with_who_and_when(rest_on_each: Any) -> None:
    rest = rest_on_each
    password = identity.add_user(rest.world.database, "wang", "王小明", "administrator")
    client = rest.app.test_client()

    def token() -> str:
        return str(client.get("/matrix").text.split('name="csrf_token" value="')[1].split('"')[0])

    client.post("/login", data={"csrf_token": client.get("/login").text.split('csrf_token" value="')[1].split('"')[0],
                                "name": "wang", "password": password})  # fmt: skip
    form = {"csrf_token": token(), "stage": "pilot", "share": "25", "version": "0"}
    saved = client.post("/matrix/US/plugins/quiet", data=form, headers={"HX-Request": "true"})

    assert saved.status_code == 200
    assert 'data-stage="pilot"' in saved.text
    row = "SELECT stage, pilot_percent, changed_by, version FROM department_plugin"
    assert rest.world.database.row(row) == ("pilot", 25, "wang", 1)
    late = client.post("/matrix/US/plugins/quiet", data=form | {"stage": "on"}, headers={"HX-Request": "true"})
    assert late.status_code == 409
    assert 'data-stage="pilot"' in late.text
    before = rest.counts()
    bad = [{"stage": "maximal"}, {"stage": ""}, {"share": "101"}, {"share": "x"}, {"share": "-1"}, {"version": "x"},
           {"share": "9" * 5000}, {"share": str(2**70)}]  # fmt: skip
    for change in bad:
        answer = client.post("/matrix/US/plugins/quiet", data=form | {"version": "1"} | change)
        assert answer.status_code in (302, 422), change
        answer = client.post(
            "/matrix/US/plugins/quiet", data=form | {"version": "1"} | change, headers={"HX-Request": "true"}
        )
        assert answer.status_code == 422, change
    for version in ("-1", str(2**63), str(2**70)):
        answer = client.post("/matrix/US/plugins/quiet", data=form | {"version": version}, headers={"HX-Request": "true"})
        assert answer.status_code == 409, version
    assert rest.counts() == before
    assert rest.world.database.row(row) == ("pilot", 25, "wang", 1)


def test_a_mode_is_saved_refused_when_stale_and_refused_when_unknown(rest: Any, staff: Callable[..., Any]) -> None:
    administrator = staff("administrator")
    administrator.open("/matrix")
    codes = [
        administrator.submit("/matrix/US/mode", {"mode": mode, "version": version}, **{"HX-Request": "true"}).status_code
        for mode, version in (("manual", "1"), ("external", "1"), ("fast", "2"), ("external", "2"))
    ]

    assert codes == [200, 409, 422, 200]
    assert rest.world.database.value("SELECT mode FROM department WHERE code = 'US'") == "external"


@pytest.mark.parametrize("path", ["/matrix/NONE/mode", "/matrix/NONE/plugins/quiet", "/matrix/US/plugins/none"])
def test_saving_what_does_not_exist_is_404(staff: Callable[..., Any], path: str) -> None:
    administrator = staff("administrator")
    administrator.open("/matrix")

    assert administrator.submit(path, {"mode": "manual", "stage": "on", "version": "0"}).status_code == 404


@pytest.mark.parametrize("path", ["/board/US", "/board/US?day=nonsense", "/board/US?day=0001-01-01",
                                  "/board/US?day=9999-12-31", "/board/US?day=2026-11-24"])  # fmt: skip
def test_the_board_opens_for_any_day(staff: Callable[..., Any], path: str) -> None:
    assert staff("registrar").client.get(path).status_code == 200


def test_the_board_masks_names(rest: Any, staff: Callable[..., Any]) -> None:
    order = rest.order("O1") | {"patient": {"identifiers": [{"kind": "card", "value": "C77"}], "name": "欧阳修文"}}
    rest.post("/orders", order)
    rest.post("/payments", rest.payment("O1"))
    text = staff("registrar").client.get("/board/US").text

    assert "欧*文" in text
    assert "欧阳修文" not in text
    assert "C77" not in text


def test_every_page_has_a_strict_policy_and_is_not_kept(staff: Callable[..., Any], visitor: Any) -> None:
    administrator = staff("administrator")
    pages = [visitor.client.get("/login"), *map(administrator.client.get, ("/matrix", "/board/US", "/board/NONE"))]
    for answer in pages:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert " style=" not in answer.text.replace("<svg", "")
        assert "<script>" not in answer.text
