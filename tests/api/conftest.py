"""A hospital behind its whole application, and short ways to call it as a client or as a member of staff."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from examlane import hookimpl
from examlane.storage.tables import TABLES
from examlane.testing import World, small_hospital
from examlane_api import clients, identity
from examlane_api.app import create_app

ORDERED_AT = "2026-11-23T07:55:00+08:00"


class Quiet:
    """A plugin that says nothing and can be switched."""

    @hookimpl
    def validate_order(self) -> list[object]:
        return []


@dataclass
class Site:
    """The application of one hospital with a client of each role."""

    world: World
    app: Flask
    secrets: dict[str, str]
    keys: Iterator[int] = field(default_factory=itertools.count)

    def send(
        self, method: str, path: str, body: Any = None, *, caller: str = "his", key: str | None = None, **headers: str
    ) -> TestResponse:
        """One request with a fresh Idempotency-Key; `key=""` sends none, `caller=""` is nobody."""
        given = {"Idempotency-Key": f"k{next(self.keys)}" if key is None else key, **self.authorization(caller)}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = [(name, value) for name, value in given.items() if value]
        content = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        return self.app.test_client().open(f"/api/v1{path}", method=method, headers=sent, **content)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.send("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> TestResponse:
        return self.send("POST", path, {} if body is None else body, **more)

    def put(self, path: str, body: Any, **more: Any) -> TestResponse:
        return self.send("PUT", path, body, **more)

    def authorization(self, caller: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {caller}.{self.secrets[caller]}"} if caller else {}

    def order(self, number: str, *items: str, patient: str = "P1", **more: Any) -> dict[str, Any]:
        """An order's message."""
        return {
            "number": number,
            "patient": {"identifiers": [{"kind": "card", "value": patient}], "name": "患者甲"},
            "encounter": {"number": f"V-{patient}", "encounter_class": "outpatient", "campus": "N"},
            "ordering_department": "CLINIC",
            "ordered_at": ORDERED_AT,
            "items": [{"line": line, "item": item} for line, item in enumerate(items or ("US-THYROID",), 1)],
        } | more

    def payment(self, order: str, **more: Any) -> dict[str, Any]:
        return {"order": order, "paid_at": ORDERED_AT} | more

    def booked(self, number: str, *items: str, patient: str = "") -> dict[str, Any]:
        """Order and pay as a hospital information system does; the first item's appointment."""
        self.post("/orders", self.order(number, *items, patient=patient or f"P-{number}"))
        answer = self.post("/payments", self.payment(number))
        found: dict[str, Any] = answer.json["items"][0]["appointment"]
        return found

    def times(self, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            self.app.test_client().get("/api/v1/times", query_string=query, headers=self.authorization("his")).json["times"]
        )
        return found

    def counts(self) -> dict[str, int]:
        """How many rows every table has."""
        names = [table._meta.table_name for table in TABLES]
        row = self.world.database.row("SELECT " + ", ".join(f"(SELECT count(*) FROM {name})" for name in names))
        return dict(zip(names, row, strict=True))


@contextmanager
def opened(url: str, plugins: Mapping[str, Any] | None = None, **more: Any) -> Iterator[Site]:
    """A hospital's application on an empty database."""
    world = small_hospital(url, {"quiet": Quiet(), **(plugins or {})}, **more)
    database = world.database
    secrets = {
        "his": clients.add(database, "his", "医院信息系统"),
        "mini": clients.add(database, "mini", "小程序"),
        "desk": clients.add(database, "desk", "登记台", "registrar"),
        "desk-ct": clients.add(database, "desk-ct", "放射登记台", "registrar", ("CT",)),
        "console": clients.add(database, "console", "信息科", "administrator"),
        "pharmacist": clients.add(database, "pharmacist", "药学部", "approver", ("pharmacy",)),
        "radiologist": clients.add(database, "radiologist", "放射科", "approver", ("radiology",)),
        "stranger": clients.add(database, "stranger", "无角色", "nobody"),
    }
    app = create_app(world.hospital, "for tests only")
    yield Site(world, app, secrets)
    world.hospital.close()


@pytest.fixture
def schemas() -> Path:
    """The folder of the national standard's schemas, which are not ours to ship."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "hip"
    folder = Path(os.environ.get("EXAMLANE_HIP_SCHEMAS") or beside)
    if not folder.is_dir():
        pytest.skip("the standard's schemas are not here: set EXAMLANE_HIP_SCHEMAS to the folder of its <action>.xsd")
    return folder


@pytest.fixture
def open_site() -> Callable[..., Any]:
    return opened


@pytest.fixture
def rest(sqlite_url: str) -> Iterator[Site]:
    with opened(sqlite_url) as found:
        yield found


@pytest.fixture
def rest_on_each(database_url: str) -> Iterator[Site]:
    with opened(database_url) as found:
        yield found


@pytest.fixture(scope="module")
def both_urls(tmp_path_factory: pytest.TempPathFactory, postgresql_folder: Path) -> tuple[str, str]:
    """An empty database of each engine."""
    import psycopg

    name = f"m{abs(hash(str(tmp_path_factory.mktemp('both')))):x}"
    with psycopg.connect(f"postgresql://postgres@/postgres?host={postgresql_folder}", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    path = tmp_path_factory.mktemp("sqlite") / "hospital.db"
    return f"sqlite:///{path}", f"postgresql://postgres@/{name}?host={postgresql_folder}"


@pytest.fixture(scope="module")
def both(both_urls: tuple[str, str]) -> Iterator[tuple[Site, Site]]:
    """The same hospital on SQLite and on PostgreSQL, shared by tests that write nothing."""
    with opened(both_urls[0]) as one, opened(both_urls[1]) as other:
        yield one, other


@dataclass
class Staff:
    """A browser without scripts: one client that keeps its cookie and sends each page's CSRF token."""

    site: Site
    client: FlaskClient
    token: str = ""

    def open(self, path: str) -> TestResponse:
        answer = self.client.get(path)
        found = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)
        self.token = found[1] if found else self.token
        return answer

    def submit(self, path: str, form: Mapping[str, Any], **headers: str) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.token, **form}, headers=headers)

    def log_in(self, name: str, password: str) -> TestResponse:
        self.open("/login")
        return self.submit("/login", {"name": name, "password": password})


@pytest.fixture
def staff(rest: Site) -> Callable[..., Staff]:
    """Make a member of staff, logged in: `staff("registrar", "US")`."""
    numbers = itertools.count(1)

    def make(role: str, *departments: str) -> Staff:
        login = f"{role}{next(numbers)}"
        password = identity.add_user(rest.world.database, login, "王小明", role, departments)
        made = Staff(rest, rest.app.test_client())
        assert made.log_in(login, password).status_code == 302
        made.open("/")
        return made

    return make


@pytest.fixture
def visitor(rest: Site) -> Staff:
    """Somebody who is not logged in."""
    return Staff(rest, rest.app.test_client())
