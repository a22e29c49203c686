"""Read-only views for peers without a service: stable names and columns, no name or clinical fact of a patient."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from examlane.storage.database import Database

UTC = re.compile(r"UTC\(([a-z_.]+)\)")
"""How a view's text says that whole seconds are shown as a timestamp in UTC."""
ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)
VIEWS: Mapping[str, str] = MappingProxyType({
    "view_appointment": """SELECT a.number AS appointment, a.version AS version, a.state AS state, a.mode AS booking_mode,
a.department AS department, g.code AS place, g.name AS place_name, c.code AS campus, e.number AS encounter,
e.encounter_class AS encounter_class, a.day AS business_day, UTC(a.start_at) AS starts_at, UTC(a.end_at) AS ends_at,
UTC(a.period_start_at) AS period_starts_at, UTC(a.period_end_at) AS period_ends_at, a.queue_number AS queue_number
FROM appointment a JOIN resource_group g ON g.id = a.group_id JOIN campus c ON c.id = g.campus_id
JOIN encounter e ON e.id = a.encounter_id""",
    "view_appointment_item": """SELECT a.number AS appointment, o.number AS order_number, oi.line AS line, i.code AS item,
i.name AS item_name, i.modality AS modality, ai.active AS active, ai.outcome AS outcome
FROM appointment_item ai JOIN appointment a ON a.id = ai.appointment_id JOIN order_item oi ON oi.id = ai.order_item_id
JOIN exam_order o ON o.id = oi.order_id JOIN exam_item i ON i.id = oi.item_id""",
    "view_order_item": """SELECT o.number AS order_number, oi.line AS line, e.number AS encounter, i.code AS item,
d.code AS department, o.ordering_department AS ordering_department, o.priority AS priority,
UTC(o.ordered_at) AS ordered_at, oi.state AS state, oi.reason AS reason, oi.payment AS payment,
coalesce(oi.payable_told, 0) AS payable FROM order_item oi JOIN exam_order o ON o.id = oi.order_id
JOIN encounter e ON e.id = o.encounter_id JOIN exam_item i ON i.id = oi.item_id
JOIN department d ON d.id = i.department_id""",
    "view_waiting": """SELECT a.number AS appointment, a.department AS department, g.code AS place,
a.queue_number AS queue_number, a.state AS state, UTC(a.queue_at) AS here_since, UTC(a.start_at) AS starts_at
FROM appointment a JOIN resource_group g ON g.id = a.group_id
WHERE a.state IN ('checked_in', 'called', 'called_absent', 'deferred')""",
    "view_free_seats": """SELECT s.day AS business_day, d.code AS department, r.code AS resource, s.audience AS audience,
UTC(s.start_at) AS starts_at, UTC(s.end_at) AS ends_at, s.capacity + s.extra AS seats,
CASE WHEN s.is_open = 1 THEN s.capacity + s.extra - s.taken - s.withheld ELSE 0 END AS free FROM slot s
JOIN resource r ON r.id = s.resource_id JOIN resource_group g ON g.id = r.group_id
JOIN department d ON d.id = g.department_id""",
})  # fmt: skip


def create(database: Database, role: str = "") -> tuple[str, ...]:
    """Make the views as this release has them, for `role` to read on PostgreSQL; returns their names.

    Raises `ValueError` for what is no plain name of a role.
    """
    if role and not ROLE.fullmatch(role):
        raise ValueError(f"{role} is no plain name of a role")

    def write() -> None:
        _drop(database)
        for name, select in VIEWS.items():
            database.engine.execute_sql(f"CREATE VIEW {name} AS {_spelled(database, select)}")
            if role and not database.is_sqlite:
                database.engine.execute_sql(f"GRANT SELECT ON {name} TO {role}")

    database.write(write)
    return tuple(VIEWS)


def drop(database: Database) -> None:
    """Take the views away, for instance before an upgrade changes a table that they read."""
    database.write(lambda: _drop(database))


def _drop(database: Database) -> None:
    for name in VIEWS:
        database.engine.execute_sql(f"DROP VIEW IF EXISTS {name}")


def _spelled(database: Database, select: str) -> str:
    utc = r"datetime(\1, 'unixepoch')" if database.is_sqlite else r"(to_timestamp(\1) AT TIME ZONE 'UTC')"
    return UTC.sub(utc, select)
