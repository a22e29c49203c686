"""The first schema, frozen as the statements that made it."""

from pathlib import Path

from peewee import SqliteDatabase


def up(migrator, db):
    for statement in _statements(db):
        db.execute_sql(statement)


def down(migrator, db):
    tables = [each.split('"')[1] for each in _statements(db) if each.startswith("CREATE TABLE")]
    for table in reversed(tables):
        db.execute_sql(f'DROP TABLE "{table}"')


def _statements(db):
    engine = "sqlite" if isinstance(db, SqliteDatabase) else "postgresql"
    script = Path(__file__).with_name(f"0001_initial.{engine}.sql").read_text(encoding="utf-8")
    return [statement.strip() for statement in script.split(";\n") if statement.strip()]
