"""One booking's statements as the product executes them, recorded, and played again by the bare driver.

Parameters are compared over several recordings. What differs is replaced in each replay: the booking's own keys by
fresh ones, ids and times by what the replay's own statements returned. So inserts insert and claims claim.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch
from zoneinfo import ZoneInfo

import apsw
import psycopg

from examlane.storage.database import PRAGMAS, Database
from examlane.storage.lock import FairLock

BEGIN, COMMIT = "BEGIN", "COMMIT"
ZONE = ZoneInfo("Asia/Shanghai")
INSTANTS = 1_000_000_000
"""Whole numbers from here on are instants, smaller ones ids and counts."""
PERIOD = 1800
FEW = 5
NUMBER = re.compile(r"[2-9A-Z]{4}-[2-9A-Z]{4}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SEATS = re.compile(r"\[\[\d+,(\d+)\]\]")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
CHOICES = "AND start_at < ?"
"""Only the look-up of equally free slots has these words; the product takes a random one of its rows."""
CHOSEN = ("slot", "resource")
CLAIMS = "UPDATE slot SET taken"

Row = Sequence[Any]
Results = list[list[Row]]


@dataclass(frozen=True)
class Statement:
    """One executed statement with what it was given and what it returned."""

    sql: str
    parameters: tuple[Any, ...] = ()
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Recording:
    serial: str
    statements: tuple[Statement, ...]

    def number(self) -> str:
        """The appointment's number, made up at random in the recording."""
        texts = (each for one in self.statements for each in one.parameters if isinstance(each, str))
        return next((text for text in texts if NUMBER.fullmatch(text)), "")


@dataclass
class Fresh:
    """What one replay is called by, and what its statements have returned so far."""

    serial: str
    number: str
    results: Results


Source = Callable[[Fresh], Any]


@dataclass(frozen=True)
class Step:
    """A statement of the template; `sources` make the parameters that differ from booking to booking."""

    sql: str
    constants: tuple[Any, ...]
    sources: tuple[tuple[int, Source], ...]
    is_claim: bool
    is_choice: bool

    def parameters(self, fresh: Fresh) -> list[Any]:
        values = list(self.constants)
        for position, source in self.sources:
            values[position] = source(fresh)
        return values


class Driver(Protocol):
    def execute(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """The rows of a statement."""

    def held(self) -> Any:
        """The lock that goes round a write transaction."""


# Recording


def record(database: Database, serial: str, book: Callable[[], None]) -> Recording:
    """Every statement and transaction border of one booking."""
    statements: list[Statement] = []
    rows, transaction = database.rows, database._transaction

    def traced(sql: str, *parameters: Any) -> list[Any]:
        found = rows(sql, *parameters)
        statements.append(Statement(sql, parameters, tuple(found if CHOICES in sql else _ordered(found))))
        return found

    @contextmanager
    def bordered() -> Iterator[None]:
        statements.append(Statement(BEGIN))
        with transaction():
            yield
        statements.append(Statement(COMMIT))

    with (
        patch.object(random, "choice", lambda values: values[0]),
        patch.object(database, "rows", traced),
        patch.object(database, "_transaction", bordered),
    ):
        book()
    return Recording(serial, tuple(statements))


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """A few rows in an order that does not depend on the database's plan; many are never looked into."""
    few = 1 < len(rows) < FEW
    return sorted(rows, key=lambda row: str(row[0])) if few else list(rows)


# Making the template


def template(recordings: Sequence[Recording], sqlite: bool) -> list[Step]:
    """The steps that the recordings have in common. Raises `ValueError` if they do not run alike."""
    shapes = {tuple(statement.sql for statement in recording.statements) for recording in recordings}
    if len(shapes) != 1:
        raise ValueError("the recorded bookings did not execute the same statements")
    return [_step(recordings, position, sqlite) for position in range(len(recordings[0].statements))]


def _step(recordings: Sequence[Recording], position: int, sqlite: bool) -> Step:
    first = recordings[0].statements[position]
    sources = []
    for index in range(len(first.parameters)):
        values = [recording.statements[position].parameters[index] for recording in recordings]
        source = _source(recordings, position, index, values)
        if source is not None:
            sources.append((index, source))
    sql = first.sql if sqlite else first.sql.replace("%", "%%").replace("?", "%s")
    if sqlite and first.sql == BEGIN:
        sql = "BEGIN IMMEDIATE"
    claims, chooses = first.sql.startswith(CLAIMS), CHOICES in first.sql
    return Step(sql, first.parameters, tuple(sources), claims, chooses)


def _source(recordings: Sequence[Recording], position: int, index: int, values: Sequence[Any]) -> Source | None:
    first = values[0]
    if isinstance(first, str):
        return _text(recordings, position, values)
    sql = recordings[0].statements[position].sql
    table = _table(sql, index)
    # The same room may have been free in every recording; it will not be in every replay.
    if not isinstance(first, int) or (len(set(values)) == 1 and table not in CHOSEN):
        return None
    found = _origin(recordings, position, table, values)
    if found is None:
        raise ValueError(f"where {first} comes from in: {sql}")
    return found


def _table(sql: str, index: int) -> str:
    """The table whose id a parameter is, told from its column's name; empty when it cannot be told."""
    if sql.startswith("INSERT"):
        names = sql[sql.index("(") + 1 : sql.index(")")].split(",")
    else:
        names = re.findall(r"(\w+) [=<>+]+ \?", sql)
        names = names if len(names) == sql.count("?") else []
    name = names[index].strip() if index < len(names) else ""
    own = re.search(r"(?:UPDATE|FROM) (\w+)", sql)
    if name == "id" and own is not None:
        return own[1]
    return {"order_id": "exam_order"}.get(name, name.removesuffix("_id"))


def _text(recordings: Sequence[Recording], position: int, values: Sequence[str]) -> Source | None:
    serial, number = recordings[0].serial, recordings[0].number()
    text = values[0]
    if UUID.fullmatch(text):
        return lambda fresh: str(uuid.uuid4())
    if DAY.fullmatch(text) and len(set(values)) > 1:
        return _day(recordings, position)
    if (seats := SEATS.fullmatch(text)) is not None:
        chosen = max(step for step, one in enumerate(recordings[0].statements[:position]) if CHOICES in one.sql)
        return lambda fresh: f"[[{fresh.results[chosen][0][0]},{seats[1]}]]"
    if serial in text or (number and number in text):
        return lambda fresh: text.replace(serial, fresh.serial).replace(number or serial, fresh.number)
    return None


def _day(recordings: Sequence[Recording], position: int) -> Source:
    """The business date of the visit: of the last single instant that a search returned."""
    statements = recordings[0].statements[:position]
    step = max(
        number
        for number, one in enumerate(statements)
        if len(one.rows) == 1 and len(one.rows[0]) == 1 and type(one.rows[0][0]) is int and one.rows[0][0] > INSTANTS
    )
    return lambda fresh: datetime.fromtimestamp(fresh.results[step][0][0], ZONE).date().isoformat()


def _origin(recordings: Sequence[Recording], position: int, table: str, values: Sequence[int]) -> Source | None:
    """The returned value that a parameter equals, or for instants is a fixed time away from, in every recording."""
    same, away, cut = [], [], []
    for step, row, column in _places(recordings, position):
        differences = {
            value - recording.statements[step].rows[row][column] for recording, value in zip(recordings, values, strict=True)
        }
        if differences == {0}:
            same.append((step, row, column, 0))
        elif len(differences) == 1 and values[0] > INSTANTS:
            away.append((step, row, column, differences.pop()))
        elif values[0] > INSTANTS and differences <= set(range(-PERIOD, PERIOD + 1)):
            cut.append((step, row, column, values[0] - _cut(recordings[0].statements[step].rows[row][column])))
    # Rows of different tables may be numbered alike: the id of the table that the parameter speaks of comes first.
    inserted = f"INSERT INTO {table} "
    sqls = [statement.sql for statement in recordings[0].statements]
    own = [place for place in same if sqls[place[0]].startswith(inserted) or (table in CHOSEN and CHOICES in sqls[place[0]])]
    for step, row, column, later in (*own, *same, *away[-1:]):
        return lambda fresh: fresh.results[step][row][column] + later
    for step, row, column, later in cut:
        return lambda fresh: _cut(fresh.results[step][row][column]) + later
    return None


def _cut(instant: int) -> int:
    """The beginning of the period that a patient is shown."""
    return instant - instant % PERIOD


def _places(recordings: Sequence[Recording], position: int) -> Iterator[tuple[int, int, int]]:
    """Where whole numbers were returned before a statement, in all recordings; of a choice only its first row."""
    for step in range(position):
        returned = [recording.statements[step].rows for recording in recordings]
        rows = min(len(rows) for rows in returned)
        is_choice = CHOICES in recordings[0].statements[step].sql
        for row in range(min(rows, 1) if is_choice else rows if rows < FEW else 0):
            for column in range(len(returned[0][row])):
                if all(type(rows[row][column]) is int for rows in returned):
                    yield step, row, column


# Playing


class Player:
    """Plays templates with fresh keys; a lost race for a slot starts again after the last commit, as the product does."""

    def __init__(self, driver: Driver, templates: Mapping[str, Sequence[Step]]) -> None:
        self._driver = driver
        self._templates = templates

    def play(self, item: str, serial: str) -> None:
        steps = self._templates[item]
        number = "".join(random.choices(ALPHABET, k=4)) + "-" + "".join(random.choices(ALPHABET, k=4))
        fresh = Fresh(serial, number, [[] for _ in steps])
        at = 0
        while at < len(steps):
            if steps[at].sql.startswith(BEGIN):
                with self._driver.held():
                    end = self._transaction(steps, at, fresh)
            else:
                end = at if self._run(steps, at, fresh) else None
            at = _after_commit(steps, at) if end is None else end + 1

    def _transaction(self, steps: Sequence[Step], at: int, fresh: Fresh) -> int | None:
        """Run to the commit; where it was, or None after a lost race."""
        while True:
            if not self._run(steps, at, fresh):
                self._driver.execute("ROLLBACK", ())
                return None
            if steps[at].sql == COMMIT:
                return at
            at += 1

    def _run(self, steps: Sequence[Step], at: int, fresh: Fresh) -> bool:
        step = steps[at]
        rows = self._driver.execute(step.sql, step.parameters(fresh))
        if step.is_choice:
            if not rows:
                return False
            rows = [random.choice(rows)]
        fresh.results[at] = _ordered(rows)
        return bool(rows) or not step.is_claim


def _after_commit(steps: Sequence[Step], at: int) -> int:
    return max((step + 1 for step in range(at) if steps[step].sql == COMMIT), default=0)


class SqliteDriver:
    """apsw with the product's pragmas and its fair lock."""

    def __init__(self, url: str) -> None:
        path = Path(url.removeprefix("sqlite:///"))
        self._connection = apsw.Connection(str(path))
        self._connection.set_busy_timeout(30_000)
        for name, value in PRAGMAS.items():
            self._connection.execute(f"PRAGMA {name} = {value}")
        self._lock = FairLock(path.with_name(path.name + ".lock"))

    def execute(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        return list(self._connection.execute(sql, parameters))

    def held(self) -> Any:
        return self._lock.held()


class PostgresqlDriver:
    """psycopg, every statement prepared at its first use."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.prepare_threshold = 0
        self._connection.prepared_max = 1000
        self._cursor = self._connection.cursor()

    def execute(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        self._cursor.execute(sql, parameters or None)
        return list(self._cursor) if self._cursor.description else []

    @contextmanager
    def held(self) -> Iterator[None]:
        yield


def driver(url: str) -> Driver:
    return SqliteDriver(url) if url.startswith("sqlite") else PostgresqlDriver(url)
