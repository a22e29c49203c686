"""The staff pages in a real browser, as an administrator and a registrar use them."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from werkzeug.serving import make_server

from examlane import Fact, hookimpl
from examlane.extension import rules
from examlane.testing import TESTER, World, small_hospital
from examlane_api import identity
from examlane_api.app import create_app, new_secret

STARTS = {"registrar": "**/board**", "pharmacist": "**/rules"}
SIZES = {"desk": (1440, 900), "kiosk": (1080, 1920), "phone": (390, 844)}


class Nothing:
    """A plugin that says nothing."""

    @hookimpl
    def validate_order(self) -> list[object]:
        return []


@dataclass
class Site:
    world: World
    address: str
    passwords: dict[str, str]
    browser: Any

    def page(self, size: str = "desk") -> Any:
        width, height = SIZES[size]
        page = self.browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN").new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: self._own(page, request.url))
        return page

    def _own(self, page: Any, url: str) -> None:
        if not url.startswith((self.address, "data:")):
            page.complaints.append(f"asked for {url}")

    def log_in(self, login: str, size: str = "desk") -> Any:
        page = self.page(size)
        page.goto(f"{self.address}/login")
        page.fill("input[name=name]", login)
        page.fill("input[name=password]", self.passwords[login])
        page.click("main button")
        page.wait_for_url(STARTS.get(login, "**/matrix"))
        return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = os.environ.get("EXAMLANE_BROWSER") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no browser here: apt install chromium, or set EXAMLANE_BROWSER to one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def site(browser: Any, sqlite_url: str) -> Iterator[Site]:
    world = small_hospital(sqlite_url, {"contrast": Nothing()})
    passwords = {
        "admin": identity.add_user(world.database, "admin", "信息科", "administrator"),
        "second": identity.add_user(world.database, "second", "信息科二", "administrator"),
        "registrar": identity.add_user(world.database, "registrar", "登记台", "registrar"),
    }
    server = make_server("127.0.0.1", 0, create_app(world.hospital, new_secret()), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Site(world, f"http://127.0.0.1:{server.server_port}", passwords, browser)
    server.shutdown()
    thread.join()
    server.server_close()
    world.hospital.close()


def stage(site: Site) -> Any:
    return site.world.database.row("SELECT stage, changed_by, version FROM department_plugin WHERE plugin = 'contrast'")


@pytest.mark.parametrize("size", SIZES)
def test_a_stage_is_saved_on_change_with_who_and_when_and_can_be_undone(site: Site, size: str) -> None:
    page = site.log_in("admin", size)
    page.select_option("#cell-CT-contrast-stage", "on")
    page.wait_for_selector(".toast")
    assert stage(site) == ("on", "admin", 1)
    assert "admin" in page.inner_text("#cell-CT-contrast")
    page.click("#undo")
    page.wait_for_selector("#cell-CT-contrast[data-stage=off]")

    assert stage(site)[0] == "off"
    assert page.complaints == []


def test_the_slower_of_two_administrators_sees_the_other_ones_value(site: Site) -> None:
    first, second = site.log_in("admin"), site.log_in("second")
    first.select_option("#cell-CT-contrast-stage", "shadow")
    first.wait_for_selector(".toast")
    second.select_option("#cell-CT-contrast-stage", "on")
    second.wait_for_selector(".toast.error")

    assert second.input_value("#cell-CT-contrast-stage") == "shadow"
    assert stage(site)[:2] == ("shadow", "admin")


def test_a_departments_mode_is_switched_from_the_matrix(site: Site) -> None:
    page = site.log_in("admin")
    page.select_option("#mode-US-mode", "manual")
    page.wait_for_selector(".toast")

    assert site.world.database.value("SELECT mode FROM department WHERE code = 'US'") == "manual"


@pytest.mark.parametrize("size", SIZES)
def test_the_board_shows_the_day_with_masked_names(site: Site, size: str) -> None:
    order = site.world.order("US-THYROID", patient="P8")
    site.world.pay(order)
    page = site.log_in("registrar", size)
    page.goto(f"{site.address}/board/US")
    text = page.inner_text("main")

    assert "患*8" in text
    assert "患者P8" not in page.content()
    assert "甲状腺彩超" in text
    assert page.complaints == []


def test_the_pages_speak_english_too(site: Site) -> None:
    page = site.log_in("admin")
    page.click("text=English")

    assert page.get_attribute("html", "lang") == "en"
    assert "Rollout" in page.inner_text("h1")


def test_a_registrar_does_not_see_the_matrix(site: Site) -> None:
    page = site.log_in("registrar")
    answer = page.goto(f"{site.address}/matrix")

    assert answer.status == 403


# Rules


def by_rules(site: Site, kidney: ModuleType) -> None:
    """A hospital with the kidney rules and one order that another border would have rejected."""
    world = site.world
    world.hospital.plugins.register("kidney", kidney)
    rules.load_all(world.database, world.hospital.plugins, TESTER, world.clock.now())
    world.switch("US", "kidney")
    world.order("US-THYROID", context={"egfr": Fact(40), "metformin": Fact(False)})


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_a_rule_is_tried_proposed_and_signed_in_the_browser(site: Site, kidney: ModuleType, size: str) -> None:
    by_rules(site, kidney)
    page = site.log_in("admin", size)
    page.goto(f"{site.address}/rules/kidney.severe")
    page.fill("[name='parameter.below']", "45")
    page.click(".editing .primary")
    page.wait_for_selector("#trial .figure")
    assert page.inner_text("#trial .figure b") == "1"
    assert "eGFR 40，低于 45" in page.inner_text("#trial")
    page.fill("#reason", "指南更新")
    page.click(".proposing .primary")
    page.wait_for_url("**version=2026.1-h1")
    assert "待签字" in page.inner_text("main")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert (wide, page.complaints) == (0, [])

    password = identity.add_user(site.world.database, "pharmacist", "药师", "approver", ("pharmacy",))
    site.passwords["pharmacist"] = password
    approver = site.log_in("pharmacist", size)
    approver.goto(f"{site.address}/rules/kidney.severe?version=2026.1-h1")
    approver.click("text=签字同意 · 药学")
    approver.wait_for_selector(".signed")
    assert rules.found(site.world.database, "kidney.severe", "2026.1-h1").missing == ("radiology",)


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_a_source_is_tried_and_followed_in_the_browser(site: Site, kidney: ModuleType, size: str) -> None:
    by_rules(site, kidney)
    page = site.log_in("admin", size)
    page.goto(f"{site.address}/rules?plugin=kidney")
    page.click("summary")
    page.check("input[value=cn_48h]")
    page.click(".choice button")
    page.wait_for_selector("#trial .figure")
    page.click(".proposing .primary")
    page.wait_for_selector(".toast")

    assert site.world.database.value("SELECT profile FROM rule_choice") == "cn_48h"
    assert page.complaints == []


def test_a_number_that_is_none_is_said_beside_the_form(site: Site, kidney: ModuleType) -> None:
    by_rules(site, kidney)
    page = site.log_in("admin")
    page.goto(f"{site.address}/rules/kidney.severe")
    page.fill("[name='parameter.below']", "many")
    page.click(".editing .primary")
    page.wait_for_selector("#trial .error")

    assert page.input_value("[name='parameter.below']") == "many"
