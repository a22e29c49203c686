"""Clinical rules as data: their versions, and the choices between sources."""

from pathlib import Path

from peewee import SqliteDatabase


def up(migrator, db):
    engine = "sqlite" if isinstance(db, SqliteDatabase) else "postgresql"
    script = Path(__file__).with_name(f"0002_rules.{engine}.sql").read_text(encoding="utf-8")
    for statement in script.split(";\n"):
        if statement.strip():
            db.execute_sql(statement)


def down(migrator, db):
    for table in ("rule_choice", "rule_version"):
        db.execute_sql(f'DROP TABLE "{table}"')
