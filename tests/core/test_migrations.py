"""Migrations: the migrated schema is the declared one, up, down and again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examlane.storage.database import MIGRATIONS, Database

SCHEMA = {
    True: "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE 'schema_migration%' "
    "ORDER BY type, name",
    False: "SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
    "AND tablename <> 'schema_migration' UNION ALL "
    "SELECT 'constraint', r.relname || '.' || c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c "
    "JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace "
    "WHERE n.nspname = 'public' AND r.relname <> 'schema_migration' UNION ALL "
    "SELECT 'column', table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '') || "
    "coalesce(character_maximum_length, 0) FROM information_schema.columns WHERE table_schema = 'public' "
    "AND table_name <> 'schema_migration' ORDER BY 1, 2",
}


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def another_url(request: pytest.FixtureRequest, database_url: str, postgresql_url: str, tmp_path: object) -> str:
    return f"sqlite:///{tmp_path}/other.db" if database_url.startswith("sqlite") else other_database(postgresql_url)


def other_database(url: str) -> str:
    import psycopg

    name = url.split("/")[3].split("?")[0]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}b")
    return url.replace(name, f"{name}b")


def schema(database: Database) -> list[tuple[object, ...]]:
    rows = database.rows(SCHEMA[database.is_sqlite])
    return sorted((kind, name, str(sql).replace("IF NOT EXISTS ", "")) for kind, name, sql in rows)


def test_the_migrated_schema_is_the_declared_one(empty: Database, another_url: str) -> None:
    empty.migrate()
    declared = Database(another_url)
    declared.create_tables()
    expected = schema(declared)
    declared.close()

    assert schema(empty) == expected


def test_migrating_again_does_nothing_and_going_back_leaves_nothing(empty: Database) -> None:
    from playhouse.migrations import Runner

    assert empty.migrate() == ["0001_initial"]
    assert empty.migrate() == []
    runner = Runner(empty.engine, str(MIGRATIONS))
    runner.down("0001_initial")

    assert schema(empty) == []
