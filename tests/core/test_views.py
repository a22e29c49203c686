"""Read-only views: the same on both databases, as documented, and nobody's name, number or facts in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import peewee
import pytest
from click.testing import CliRunner

from examlane import Fact
from examlane.appointments import changes
from examlane.storage import views
from examlane.testing import TESTER, World, small_hospital
from examlane_api.cli import cli

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    world = small_hospital(database_url, planning_window=timedelta())
    order = world.order("US-THYROID", "CT-HEAD", number="O1", note="张三请看左叶", context={"weight_kg": Fact(60)})
    world.pay(order)
    world.database.write(lambda: world.database.rows("UPDATE patient SET phone = '13800001234' RETURNING id"))
    world.clock.advance(world.item("O1/1").starts_at - world.clock.now())
    changes.check_in(world.hospital, world.item("O1/1").appointment, TESTER)
    yield world
    world.hospital.close()


def read(world: World, name: str, columns: str) -> list[tuple[Any, ...]]:
    return [tuple(str(cell) for cell in row) for row in world.database.rows(f"SELECT {columns} FROM {name}")]


def test_the_views_tell_of_orders_visits_queues_and_seats_with_times_in_utc(world: World) -> None:
    assert views.create(world.database) == tuple(views.VIEWS)
    number = world.item("O1/1").appointment

    assert read(world, "view_order_item", "order_number, line, item, department, state, payment, ordered_at")[0] == (
        "O1", "1", "US-THYROID", "US", "accepted", "paid", "2026-11-23 00:00:00",
    )  # fmt: skip
    starts = world.item("O1/1").starts_at - timedelta(hours=8)
    (here,) = read(world, "view_waiting", "appointment, place, queue_number, state, starts_at")
    assert here == (number, "US-N", "1", "checked_in", f"{starts:%Y-%m-%d %H:%M:%S}")
    assert (number, "O1", "1", "US-THYROID", "1") in read(
        world, "view_appointment_item", "appointment, order_number, line, item, active"
    )
    assert len(read(world, "view_appointment", "appointment, starts_at, campus, encounter")) == 2
    ((free, seats),) = world.database.rows(
        "SELECT (SELECT sum(free) FROM view_free_seats), (SELECT sum(capacity + extra - taken - withheld) FROM slot)"
    )
    assert free == seats


def test_the_page_names_each_view_with_its_columns(world: World) -> None:
    views.create(world.database)
    shown = dict(re.findall(r"^\| `(view_\w+)` \| [^|]+ \| `([^`]+)` \|$", PAGE.read_text("utf-8"), re.M))
    columns = {name: ", ".join(each.name for each in world.database.engine.get_columns(name)) for name in views.VIEWS}

    assert shown == columns


def test_no_view_holds_a_name_a_number_of_a_patient_or_a_clinical_fact(world: World) -> None:
    views.create(world.database)
    shown = str([world.database.rows(f"SELECT * FROM {name}") for name in views.VIEWS])

    assert [word for word in ("患者", "'P1'", "13800001234", "张三", "weight") if word in shown] == []


def test_views_are_made_anew_and_taken_away(world: World) -> None:
    views.create(world.database)
    views.create(world.database)
    views.drop(world.database)
    with pytest.raises(peewee.DatabaseError):
        world.database.rows("SELECT * FROM view_waiting")


@pytest.mark.parametrize("role", ["his; DROP TABLE patient", "His", '"his"', "1his", "a" * 64])
def test_a_role_with_anything_but_a_plain_name_is_refused(sqlite_url: str, role: str) -> None:
    world = small_hospital(sqlite_url)
    with pytest.raises(ValueError):
        views.create(world.database, role)
    world.hospital.close()


def test_on_postgresql_a_role_may_read_the_views_and_nothing_else(postgresql_url: str) -> None:
    world = small_hospital(postgresql_url)
    database = world.database
    database.rows("CREATE ROLE reader_of_views")
    views.create(database, "reader_of_views")
    may = "SELECT has_table_privilege('reader_of_views', ?, 'SELECT'), has_table_privilege('reader_of_views', ?, 'INSERT')"
    assert {database.rows(may, name, name)[0] for name in views.VIEWS} == {(True, False)}
    assert database.rows(may, "patient", "patient") == [(False, False)]
    views.drop(database)
    database.rows("DROP ROLE reader_of_views")
    world.hospital.close()


def test_the_command_makes_them(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small_hospital(sqlite_url).hospital.close()
    monkeypatch.setenv("EXAMLANE_DATABASE", sqlite_url)
    assert CliRunner().invoke(cli, ["views", "create"]).output.split() == list(views.VIEWS)
    assert CliRunner().invoke(cli, ["views", "create", "--grant", "x y"]).exit_code == 1
    assert CliRunner().invoke(cli, ["views", "drop"]).exit_code == 0
