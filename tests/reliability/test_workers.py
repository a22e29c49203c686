"""Several workers at once, and a database that drops every connection: nothing is done twice, nothing stays broken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from examlane.appointments import changes, choosing
from examlane.arrival import noshow
from examlane.insight import invariants
from examlane.testing import TESTER, World, small_hospital
from examlane_api import clients
from examlane_api.app import create_app

HOLDS = 20


def hold_everything(world: World) -> None:
    for turn in range(HOLDS):
        order = world.order("US-THYROID", patient=f"P{turn}")
        world.pay(order)
        changes.cancel(world.hospital, world.item(f"{order}/1").appointment, TESTER, reason="moved")
        choice = choosing.times(world.hospital, items=[f"{order}/1"])[0]
        choosing.book(world.hospital, [f"{order}/1"], choice.group, choice.starts_at, TESTER, hold=True)


def test_two_workers_end_the_same_holds_once_and_neither_fails(
    database_url: str, children: Callable[..., list[Any]]
) -> None:
    world = small_hospital(database_url)
    hold_everything(world)
    workers = children(database_url, 2)
    for each in workers:
        each.tell("expire_holds", "600")
    ended = [each.hear() for each in workers]

    assert None not in ended
    assert sum(ended) == HOLDS
    states = world.database.rows("SELECT DISTINCT state FROM appointment WHERE hold_expires_at IS NOT NULL")
    assert states == [("expired",)]
    assert world.database.value("SELECT sum(taken) FROM slot") == 0
    assert invariants.check(world.database, clock=world.clock) == []
    world.hospital.close()


def test_a_hold_that_is_given_up_in_the_same_moment_does_not_stop_the_worker(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = small_hospital(sqlite_url)
    hold_everything(world)
    first = world.database.value("SELECT number FROM appointment WHERE state = 'held' ORDER BY id LIMIT 1")
    listed = world.database.rows

    def rows(sql: str, *params: Any) -> Any:
        found = listed(sql, *params)
        if "hold_expires_at <= ?" in sql:
            monkeypatch.undo()
            changes.cancel(world.hospital, first, TESTER, reason="in this moment")
        return found

    world.clock.advance(timedelta(minutes=10))
    monkeypatch.setattr(world.database, "rows", rows)
    assert changes.expire_holds(world.hospital, TESTER) == HOLDS - 1
    assert noshow.sweep(world.hospital) == 0
    world.hospital.close()


DROP = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def on_postgresql(url: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(statement)


def test_after_the_database_dropped_every_connection_requests_succeed_again(postgresql_url: str) -> None:
    world = small_hospital(postgresql_url)
    headers = {"Authorization": f"Bearer his.{clients.add(world.database, 'his', 'HIS')}"}
    client = create_app(world.hospital, "for tests only").test_client()
    for _ in range(3):
        on_postgresql(postgresql_url, DROP)
        assert client.get("/api/v1/departments", headers=headers).status_code == 200
    world.hospital.close()


def test_a_write_whose_connection_drops_is_done_again_once(postgresql_url: str) -> None:
    database = small_hospital(postgresql_url).database
    tries = []

    def work() -> Any:
        tries.append(database.rows("INSERT INTO tick (name, due_at) VALUES ('once', 1) RETURNING id"))
        if len(tries) == 1:
            on_postgresql(postgresql_url, DROP)
        return database.value("SELECT count(*) FROM tick WHERE name = 'once'")

    assert database.write(work) == 1
    assert len(tries) == 2
    database.close()


def test_while_the_database_cannot_be_reached_clients_are_told_to_try_again(postgresql_url: str) -> None:
    world = small_hospital(postgresql_url)
    headers = {"Authorization": f"Bearer his.{clients.add(world.database, 'his', 'HIS')}"}
    client = create_app(world.hospital, "for tests only").test_client()
    name = postgresql_url.split("/")[3].split("?")[0]
    elsewhere = postgresql_url.replace(name, "postgres")
    on_postgresql(elsewhere, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    on_postgresql(elsewhere, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    answers = [client.get("/api/v1/departments", headers=headers) for _ in range(2)]
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in answers] == [(503, "2")] * 2
    assert {answer.json["code"] for answer in answers} == {"unavailable"}
    on_postgresql(elsewhere, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    assert client.get("/api/v1/departments", headers=headers).status_code == 200
    world.hospital.close()
