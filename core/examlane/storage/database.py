"""Connecting to SQLite or PostgreSQL, constant SQL, and the one way to write: `Database.write`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import peewee
from playhouse import migrations
from playhouse.apsw_ext import APSWDatabase

from examlane.errors import Unavailable
from examlane.storage.lock import FairLock
from examlane.storage.models import Table
from examlane.storage.tables import TABLES

Row = tuple[Any, ...]
Result = TypeVar("Result")

PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "foreign_keys": 1,
    "wal_autocheckpoint": 8000,
    "cache_size": -65536,
}
MIGRATIONS = Path(__file__).parent / "migrations"
RETRYABLE = ("40001", "40P01", "08", "57P", "25006", "57014", "55P03")
ATTEMPTS = 6


class Sqlite(APSWDatabase):
    """SQLite through apsw, whose wheel brings a library without the WAL corruption bug of older ones."""

    def _add_conn_hooks(self, connection: Any) -> None:
        super()._add_conn_hooks(connection)
        # Only the migrations' own history binds instants; apsw takes none by itself.
        connection.convert_binding = lambda cursor, number, value: str(value)


class Database:
    """One hospital's database. Parameters are written `?` and the same statements run on both engines."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite:///")
        if self.is_sqlite:
            path = Path(url.removeprefix("sqlite:///"))
            self.engine: Any = Sqlite(str(path), pragmas=PRAGMAS, timeout=30)
            self._lock: FairLock | None = FairLock(path.with_name(path.name + ".lock"))
        else:
            self.engine = peewee.PostgresqlDatabase(url, prefer_psycopg3=True)
            self._lock = None
        self._writing = "IMMEDIATE" if self.is_sqlite else None

    def create_tables(self) -> None:
        """Create whatever is missing of the declared schema."""
        with self.bound(), self._guard():
            self.engine.create_tables(TABLES)

    def migrate(self) -> list[str]:
        """Apply what is missing of the schema's history; returns the names of the applied migrations."""
        with self._guard():
            applied: list[str] = migrations.Runner(self.engine, str(MIGRATIONS)).up()
        return applied

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Let the ORM's tables speak to this database inside the block."""
        with self.engine.bind_ctx(TABLES, bind_refs=False, bind_backrefs=False):
            yield

    def rows(self, sql: str, *params: Any) -> list[Row]:
        """All rows of a statement; inside `write` it is a part of the transaction."""
        if self.is_sqlite:
            found: list[Row] = self.engine.execute_sql(sql, params).fetchall()
            return found
        try:
            cursor = self.engine.execute_sql(_for_postgresql(sql), params)
        except (peewee.OperationalError, peewee.InterfaceError) as error:
            # A connection that was lost while idle: outside a transaction the statement is simply sent again.
            if self.engine.in_transaction() or not _connection_lost(error):
                raise
            self._recover()
            cursor = self.engine.execute_sql(_for_postgresql(sql), params)
        return [] if cursor.description is None else cursor.fetchall()

    def row(self, sql: str, *params: Any) -> Row | None:
        rows = self.rows(sql, *params)
        return rows[0] if rows else None

    def value(self, sql: str, *params: Any) -> Any:
        row = self.row(sql, *params)
        return row[0] if row else None

    def insert(self, table: type[Table], **values: Any) -> int:
        """Insert one row and return its id."""
        rows = self.rows(_insert_statement(table, tuple(values)), *values.values())
        return int(rows[0][0])

    def insert_many(self, table: type[Table], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows in batches, for master data and rosters."""
        size = 10_000 // len(names)
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            marks = "(" + ", ".join("?" for _ in names) + ")"
            columns = ", ".join(table._meta.fields[name].column_name for name in names)
            values = ", ".join(marks for _ in batch)
            statement = f"INSERT INTO {table._meta.table_name} ({columns}) VALUES {values}"
            self.engine.execute_sql(
                statement if self.is_sqlite else statement.replace("?", "%s"), [cell for row in batch for cell in row]
            )

    def write(self, work: Callable[[], Result], *, durable: bool = True) -> Result:
        """Run `work` in one write transaction, again a bounded number of times if the database asks for it.

        `work` must contain database statements only. Raises `Unavailable` when trying again did not help.
        `durable=False` does not wait for the disk: only for what can be made anew after a power failure.
        """
        for attempt in range(ATTEMPTS):
            try:
                with self._guard(), self._synchronous(durable), self._transaction():
                    if not durable and not self.is_sqlite:
                        self.rows("SET LOCAL synchronous_commit = off")
                    return work()
            except (peewee.OperationalError, peewee.InterfaceError, peewee.InternalError) as error:
                if not (_busy(error) if self.is_sqlite else _may_retry(error)):
                    raise
                self._recover()
            except peewee.IntegrityError:
                # On PostgreSQL a unique key may just have been taken by another transaction: read again and see.
                if self.is_sqlite or attempt > 1:
                    raise
            time.sleep(min(0.5, 0.02 * 2**attempt) * (0.5 + random.random()))
        raise Unavailable("the database stays busy or cannot be reached")

    def close(self) -> None:
        """Close this thread's connection."""
        with self._guard():
            self.engine.close()

    def _guard(self) -> Any:
        return self._lock.held() if self._lock else nullcontext()

    def _transaction(self) -> Any:
        return self.engine.transaction(self._writing) if self._writing else self.engine.transaction()

    @contextmanager
    def _synchronous(self, durable: bool) -> Iterator[None]:
        if durable or not self.is_sqlite:
            yield
            return
        self.rows("PRAGMA synchronous = normal")
        try:
            yield
        finally:
            self.rows("PRAGMA synchronous = full")

    def _recover(self) -> None:
        """Drop a PostgreSQL connection that failed; the next statement opens another."""
        if self.is_sqlite:
            return
        connection = self.engine.connection() if not self.engine.is_closed() else None
        self.engine._state.reset()  # a lost connection can neither be rolled back nor closed by the rules
        if connection is not None:
            connection.close()


def where(*conditions: tuple[str, Any]) -> tuple[str, list[Any]]:
    """A WHERE clause of those conditions that have a value, and the values; of several values one must be met (IN)."""
    told = [(condition, value) for condition, value in conditions if value not in (None, "", (), [])]
    parts = ["1 = 1"]
    values: list[Any] = []
    for condition, value in told:
        several = isinstance(value, tuple | list)
        parts.append(f"{condition} ({', '.join('?' for _ in value)})" if several else condition)
        values += value if several else [value]
    return " AND ".join(parts), values


@cache
def _for_postgresql(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


@cache
def _insert_statement(table: type[Table], names: tuple[str, ...]) -> str:
    fields = table._meta.fields
    columns = ", ".join(fields[name].column_name for name in names)
    marks = ", ".join("?" for _ in names)
    defaults = {field.name: value for field, value in table._meta.defaults.items() if field.name not in names}
    for name, value in defaults.items():
        literal = f"'{value}'" if isinstance(value, str) else str(value)
        columns += f", {fields[name].column_name}"
        marks += f", {literal}"
    return f"INSERT INTO {table._meta.table_name} ({columns}) VALUES ({marks}) RETURNING id"


def _connection_lost(error: Exception) -> bool:
    state = getattr(error.__cause__ or error.__context__, "sqlstate", "")
    return not state or state.startswith(("08", "57P"))


def _may_retry(error: Exception) -> bool:
    state = getattr(error.__cause__ or error.__context__, "sqlstate", "")
    return not state or state.startswith(RETRYABLE)


def _busy(error: Exception) -> bool:
    return any(word in str(error).lower() for word in ("locked", "busy"))
